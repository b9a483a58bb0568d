//! What a stop does to clients: those that are busy lose no call, those that do nothing are let go at once, and whoever
//! never ends has until the deadline.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_tungstenite::connect_async;

use crate::support::{
    by_hand::{Upstream, within},
    client::{frames, http1, request},
    gateway::World,
    library::{self, PATIENCE, framed},
    raw::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, frame, head},
};

/// `[gateway]` of the drains here.
const DELAY: Duration = Duration::from_millis(600);
const DRAIN: Duration = Duration::from_millis(2500);
const CONFIG: &str = "[gateway]\nworkers = 2\ndrain_delay = \"600ms\"\ndrain = \"2500ms\"";
const GET: &[u8] = b"GET /v1/shelves/1/books/2 HTTP/1.1\r\nhost: test\r\n\r\n";

const EVENTS: &[u8] = b"POST /v1/pages HTTP/1.1\r\nhost: test\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n\
    content-length: 2\r\n\r\n{}";

/// Calls over HTTP/1.1, one after the other without a pause, until the gateway says that one was the last; how many.
async fn busy_http1(gateway: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let mut calls = 0;
    loop {
        stream.write_all(GET).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let read = within("an answer", stream.read_buf(&mut answer)).await.unwrap();
            assert!(read > 0, "call {calls} got no answer: {}", String::from_utf8_lossy(&answer));
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        calls += 1;
        if answer.contains("\r\nconnection: close\r\n") {
            assert_eq!(within("the end", stream.read(&mut [0; 8])).await.unwrap_or(0), 0);
            return calls;
        }
    }
}

/// Calls over HTTP/2, one after the other without a pause, until the gateway takes no more; how many.
async fn busy_http2(gateway: SocketAddr) -> usize {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let path = format!("http://{gateway}/library.v1.Library/GetBook");
    let body = frames("library.v1.GetBookRequest", &[r#"{"name": "x"}"#]);
    let mut calls = 0;
    loop {
        // After GOAWAY the client itself says that a call was not sent.
        if sender.ready().await.is_err() {
            within("the end", connection).await.unwrap().unwrap();
            return calls;
        }
        let call = Request::post(&path).header("content-type", "application/grpc").header("te", "trailers");
        let sent = sender.try_send_request(call.body(Full::new(body.clone())).unwrap()).await;
        let response = match sent {
            Ok(response) => response,
            Err(mut error) => match error.take_message() {
                Some(_unsent) => continue,
                None => panic!("call {calls} failed: {:?}", error.into_error()),
            },
        };
        let answer = response.into_body().collect().await.expect("a whole answer");
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
        calls += 1;
    }
}

/// A connection on which something was sent, and from which nothing is read; when it was closed.
fn watched(gateway: SocketAddr, sent: &'static [u8]) -> (JoinHandle<Instant>, std::net::TcpStream) {
    let mut stream = std::net::TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(sent).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let closed = tokio::task::spawn_blocking(move || {
        let mut scrap = [0; 1024];
        // An end and a reset are the same to who does nothing.
        while matches!(reader.read(&mut scrap), Ok(1..)) {}
        Instant::now()
    });
    (closed, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_fails_no_busy_call_and_waits_for_no_idle_client() {
    let mut gateway = World::with_library(library::start().await).with_config(CONFIG).start();
    let at = gateway.address;
    let busy: Vec<JoinHandle<usize>> = vec![
        tokio::spawn(busy_http1(at)),
        tokio::spawn(busy_http1(at)),
        tokio::spawn(busy_http2(at)),
        tokio::spawn(busy_http2(at)),
    ];
    let idle: Vec<_> = [
        ("half-open", &b""[..]),
        ("half a preface", b"PRI * HTTP/2.0\r\n"),
        ("idle after a call", b"GET /ping HTTP/1.1\r\nhost: test\r\n\r\n"),
        // A client that has read SETTINGS, PING and GOAWAY and answers none of them.
        ("idle HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ]
    .map(|(what, sent)| (what, watched(at, sent)))
    .into();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    gateway.program.signal("TERM");
    gateway.program.wait_for("asked to stop", PATIENCE).unwrap();
    // While balancers have not noticed yet, calls are taken; who asks is told.
    let ready = http1(at, request(&Method::GET, "/readyz", &[], "")).await;
    assert_eq!(ready.status(), 503);
    let ping = http1(at, request(&Method::GET, "/ping", &[], "")).await;
    assert_eq!(ping.status(), 200);
    for client in busy {
        let calls = within("a busy client", client).await.unwrap();
        assert!(calls >= 3, "{calls}");
    }
    for (what, (closed, _stream)) in idle {
        let took = within(what, closed).await.unwrap() - begun;
        assert!(took >= DELAY, "{what}: closed before the delay was over, after {took:?}");
        assert!(took < DELAY + DRAIN, "{what}: closed only after {took:?}");
    }
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    let took = begun.elapsed();
    assert!(took < DELAY + DRAIN, "nothing was left to wait for, but it took {took:?}");
    assert!(TcpStream::connect(at).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_calls_finish_and_closes_what_never_ends_at_its_deadline() {
    let mut upstream = Upstream::start().await;
    let mut gateway = World::with_library(upstream.address).with_config(CONFIG).start();
    let at = gateway.address;
    // A call that is answered only once the drain has begun.
    let slow = tokio::spawn(http1(at, request(&Method::GET, "/v1/shelves/1/books/2", &[], "")));
    let mut answer = upstream.call().await.head();
    // A WebSocket, a stream of events, a health Watch, and half a request's head: none of them ends by itself.
    let (mut socket, _) = connect_async(format!("ws://{at}/v1/chat")).await.unwrap();
    let chat = upstream.call().await.head();
    let (events, _events) = watched(at, EVENTS);
    let pages = upstream.call().await.head();
    let mut watch = Raw::connect(at, &[]).await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let block = head("POST", "/grpc.health.v1.Health/Watch", &headers);
    let sent = [frame(HEADERS, END_HEADERS, 1, &block), frame(DATA, END_STREAM, 1, &framed(b""))].concat();
    assert!(watch.send(&sent).await);
    watch.wait_for(HEADERS, PATIENCE).await.unwrap();
    let (half, _half) = watched(at, b"GET /ping HTTP/1.1\r\nhos");

    let begun = Instant::now();
    gateway.program.signal("TERM");
    tokio::time::sleep(DELAY + Duration::from_millis(300)).await;
    answer.send_data(framed(b"\x0a\x01x"), false).unwrap();
    answer
        .send_trailers(
            [("grpc-status", "0")]
                .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
                .into_iter()
                .collect(),
        )
        .unwrap();
    let slow = within("the slow call", slow).await.unwrap();
    assert_eq!((slow.status().as_u16(), &slow.headers()["connection"]), (200, &"close".parse().unwrap()));
    // Told to go, it may go on until the deadline.
    let goaway = watch.wait_for(GOAWAY, PATIENCE).await.expect("GOAWAY");
    assert_eq!(goaway.payload[4..8], [0; 4]);
    let deadline = DELAY + DRAIN;
    let late = Duration::from_secs(1);
    let ended = async |what: &str, closed: Instant| {
        let took = closed - begun;
        assert!(took + Duration::from_millis(50) >= deadline && took <= deadline + late, "{what}: {took:?}");
    };
    ended("events", within("events", events).await.unwrap()).await;
    ended("half a head", within("half a head", half).await.unwrap()).await;
    while watch.next(PATIENCE).await.is_some() {}
    ended("Watch", Instant::now()).await;
    while let Some(Ok(_)) = within("the socket", socket.next()).await {}
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    let took = begun.elapsed();
    assert!(took <= deadline + late, "it took {took:?}");
    drop((chat, pages));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_does_not_hold_a_drain_up() {
    let mut upstream = Upstream::start().await;
    let mut gateway = World::with_library(upstream.address).with_config(CONFIG).start();
    // Pages without end, to a client which takes none, over HTTP/1.1 and over HTTP/2.
    let mut one = std::net::TcpStream::connect(gateway.address).unwrap();
    one.write_all(EVENTS).unwrap();
    let mut first = upstream.call().await.head();
    let mut two = Raw::connect(gateway.address, &[(4, 0)]).await;
    let headers = [("accept", "text/event-stream"), ("content-type", "application/json")];
    let block = head("POST", "/v1/pages", &headers);
    let sent = [frame(HEADERS, END_HEADERS, 1, &block), frame(DATA, END_STREAM, 1, b"{}")].concat();
    assert!(two.send(&sent).await);
    let mut second = upstream.call().await.head();
    let page = framed(&[b"\x12\xf0\x93\x09".to_vec(), vec![b'x'; 150_000]].concat());
    for _ in 0..200 {
        first.send_data(page.clone(), false).unwrap();
        second.send_data(page.clone(), false).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    gateway.program.signal("TERM");
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    let took = begun.elapsed();
    assert!(took <= DELAY + DRAIN + Duration::from_secs(1), "it took {took:?}");
    let _ = one.shutdown(Shutdown::Both);
    assert!(two.wait_for(RST_STREAM, PATIENCE).await.is_none());
}
