//! Streams over every surface: each message goes on as it comes, a client that goes away cancels the upstream's call, a
//! slow client slows the upstream down, both sides may talk in turns, and a stop lets them finish.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, future::poll_fn};
use h2::{Reason, SendStream};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::{
    by_hand::{Upstream, within},
    client::{frames, request},
    gateway::World,
    library::{self, PATIENCE, framed},
};

/// How long nothing must move before a sender counts as held up.
const STILL: Duration = Duration::from_millis(700);

/// A book of `pages`, as a frame.
fn page(pages: u32) -> Bytes {
    frames("library.v1.Book", &[&format!("{{\"pages\": \"{pages}\"}}")])
}

fn end(mut stream: SendStream<Bytes>) {
    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    stream.send_trailers(status).unwrap();
}

type Sent = BoxBody<Bytes, std::convert::Infallible>;

/// One client's connection, over which it streams.
enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Sent>),
    Http2(hyper::client::conn::http2::SendRequest<Sent>),
}

impl Sender {
    async fn connect(address: SocketAddr, two: bool) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        if two {
            let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            // Small, so that what a client does not read is soon felt.
            builder.initial_stream_window_size(64 << 10).initial_connection_window_size(64 << 10);
            let (sender, connection) = builder.handshake(stream).await.unwrap();
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            Self::Http1(sender)
        }
    }

    async fn send(&mut self, address: SocketAddr, request: Request<Sent>) -> Response<Incoming> {
        let (mut parts, body) = request.into_parts();
        match self {
            Self::Http1(sender) => {
                parts.headers.insert("host", "test".parse().unwrap());
                sender.send_request(Request::from_parts(parts, body)).await.unwrap()
            }
            Self::Http2(sender) => {
                parts.uri = format!("http://{address}{}", parts.uri).parse().unwrap();
                sender.send_request(Request::from_parts(parts, body)).await.unwrap()
            }
        }
    }
}

/// A surface that streams replies: its name, HTTP/2 or not, content type, accept, and what a page looks like there.
struct Streaming {
    name: &'static str,
    http2: bool,
    content_type: &'static str,
    accept: &'static str,
}

const SURFACES: [Streaming; 7] = [
    Streaming { name: "gRPC", http2: true, content_type: "application/grpc", accept: "*/*" },
    Streaming { name: "gRPC-Web", http2: false, content_type: "application/grpc-web", accept: "*/*" },
    Streaming {
        name: "gRPC-Web text",
        http2: false,
        content_type: "application/grpc-web-text",
        accept: "*/*",
    },
    Streaming {
        name: "lines",
        http2: false,
        content_type: "application/json",
        accept: "application/x-ndjson",
    },
    Streaming {
        name: "lines, HTTP/2",
        http2: true,
        content_type: "application/json",
        accept: "application/x-ndjson",
    },
    Streaming { name: "events", http2: false, content_type: "application/json", accept: "text/event-stream" },
    Streaming { name: "array", http2: false, content_type: "application/json", accept: "application/json" },
];

impl Streaming {
    fn request(&self) -> Request<Sent> {
        let headers = [("content-type", self.content_type), ("accept", self.accept)];
        let (path, body) = match self.content_type {
            "application/json" => ("/v1/pages", Bytes::from_static(b"{\"pages\": 2}")),
            "application/grpc-web-text" => ("/library.v1.Library/ListPages", "AAAAAAA=".into()),
            _ => ("/library.v1.Library/ListPages", framed(b"")),
        };
        request(&Method::POST, path, &headers, body).map(|body| Full::new(body).boxed())
    }

    /// What a page is in this surface's bytes.
    fn shown(&self, pages: u32) -> Vec<u8> {
        match self.content_type {
            "application/json" => format!("{{\"pages\":\"{pages}\"}}").into_bytes(),
            "application/grpc-web-text" => {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(page(pages)).into_bytes()
            }
            _ => page(pages).to_vec(),
        }
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Reads until `part` has come.
async fn read_until(what: &str, response: &mut Response<Incoming>, part: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    within(what, async {
        while !has(&seen, part) {
            let frame =
                response.frame().await.unwrap_or_else(|| panic!("{what}: ended after {seen:?}")).unwrap();
            seen.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    })
    .await;
    seen
}

#[tokio::test]
async fn the_first_message_comes_before_the_second_is_sent() {
    let mut upstream = Upstream::start().await;
    let gateway = World::with_library(upstream.address).start();
    for surface in &SURFACES {
        let what = surface.name;
        let mut sender = Sender::connect(gateway.address, surface.http2).await;
        let (mut response, mut stream) = tokio::join!(
            async { within(what, sender.send(gateway.address, surface.request())).await },
            async {
                let mut stream = upstream.call().await.head();
                stream.send_data(page(7), false).unwrap();
                stream
            }
        );
        let first = read_until(what, &mut response, &surface.shown(7)).await;
        assert!(!has(&first, &surface.shown(8)), "{what}");
        stream.send_data(page(8), false).unwrap();
        end(stream);
        read_until(what, &mut response, &surface.shown(8)).await;
        within(what, response.collect()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_upstreams_call() {
    let mut upstream = Upstream::start().await;
    let gateway = World::with_library(upstream.address).start();
    for surface in &SURFACES {
        // In the middle of a stream, and before its head.
        for begun in [true, false] {
            let what = format!("{}, begun: {begun}", surface.name);
            let mut sender = Sender::connect(gateway.address, surface.http2).await;
            let address = gateway.address;
            let request = surface.request();
            let client = tokio::spawn(async move { (sender.send(address, request).await, sender) });
            let mut exchange = upstream.call().await;
            if begun {
                let mut stream = exchange.head();
                stream.send_data(page(7), false).unwrap();
                let (mut response, sender) = within(&what, client).await.unwrap();
                read_until(&what, &mut response, &surface.shown(7)).await;
                drop((response, sender));
                let reset = within(&what, poll_fn(|cx| stream.poll_reset(cx))).await;
                assert_eq!(reset.ok(), Some(Reason::CANCEL), "{what}");
            } else {
                client.abort();
                let reset = within(&what, poll_fn(|cx| exchange.respond.poll_reset(cx))).await;
                assert_eq!(reset.ok(), Some(Reason::CANCEL), "{what}");
            }
        }
    }
    // A WebSocket that is closed, and one that is cut off.
    for closed in [true, false] {
        let (mut socket, _) = connect_async(format!("ws://{}/v1/chat", gateway.address)).await.unwrap();
        socket.send(Message::text("{}")).await.unwrap();
        let mut exchange = upstream.call().await;
        if closed {
            socket.close(None).await.unwrap();
        }
        drop(socket);
        let reset = within("WebSocket", poll_fn(|cx| exchange.respond.poll_reset(cx))).await;
        assert_eq!(reset.ok(), Some(Reason::CANCEL), "closed: {closed}");
    }
}

/// Sends `all` bytes in frames of `size` as fast as the other side takes them. Answers what was sent when it stood still.
async fn push(stream: &mut SendStream<Bytes>, size: usize, all: usize) -> usize {
    let message = frames("library.v1.Book", &[&format!("{{\"title\": \"{}\"}}", "x".repeat(size))]);
    let mut sent = 0;
    while sent < all {
        let mut rest = message.clone();
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let Ok(Some(Ok(room))) = timeout(STILL, poll_fn(|cx| stream.poll_capacity(cx))).await else {
                return sent;
            };
            let piece = rest.split_to(room.min(rest.len()));
            sent += piece.len();
            stream.send_data(piece, false).unwrap();
        }
    }
    sent
}

/// The process's resident memory in KiB.
fn memory_kib(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_up() {
    const OFFERED: usize = 64 << 20;
    const MOST: usize = 24 << 20;
    let mut upstream = Upstream::start().await;
    let gateway = World::with_library(upstream.address).start();
    let before = memory_kib(gateway.program.id());
    for surface in &SURFACES {
        let what = surface.name;
        let mut sender = Sender::connect(gateway.address, surface.http2).await;
        let (response, (mut stream, sent)) = tokio::join!(
            async { within(what, sender.send(gateway.address, surface.request())).await },
            async {
                let mut stream = upstream.call().await.head();
                let sent = push(&mut stream, 32 << 10, OFFERED).await;
                (stream, sent)
            }
        );
        assert!(sent < MOST, "{what}: {sent} bytes went to a client that reads nothing");
        let grown = memory_kib(gateway.program.id()).saturating_sub(before);
        assert!(grown < 40 << 10, "{what}: the gateway grew by {grown} KiB");
        // Once it reads, the stream goes on from where it stood.
        let reader = tokio::spawn(async move { response.collect().await.map(|body| body.to_bytes().len()) });
        stream.reserve_capacity(1);
        let room = within(what, poll_fn(|cx| stream.poll_capacity(cx))).await;
        assert!(room.is_some_and(|room| room.is_ok()), "{what}");
        stream.send_reset(Reason::INTERNAL_ERROR);
        let read = within(what, reader).await.unwrap();
        assert!(read.is_ok_and(|read| read > sent / 2), "{what}");
    }
}

/// Requests that go out one by one, as the test sends them.
fn outgoing() -> (mpsc::UnboundedSender<Bytes>, Sent) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
    let frames = futures_util::stream::poll_fn(move |cx| {
        receiver
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes))))
    });
    (sender, BoxBody::new(StreamBody::new(frames)))
}

#[tokio::test]
async fn both_sides_talk_in_turns() {
    let gateway = World::with_library(library::start().await).start();
    let line = |n: u32| Bytes::from(format!("{{\"pages\":\"{n}\"}}\n"));
    for (what, path, content_type, written) in [
        ("gRPC", "/library.v1.Library/Chat", "application/grpc", page as fn(u32) -> Bytes),
        ("lines", "/v1/chat", "application/x-ndjson", line as fn(u32) -> Bytes),
    ] {
        let (outgoing, body) = outgoing();
        let headers = [("content-type", content_type), ("accept", content_type)];
        let request = request(&Method::POST, path, &headers, "").map(|_| body);
        let mut sender = Sender::connect(gateway.address, true).await;
        outgoing.send(written(100)).unwrap();
        let mut response = within(what, sender.send(gateway.address, request)).await;
        assert_eq!(response.status(), 200, "{what}");
        read_until(what, &mut response, &written(100)).await;
        for turn in 101..120 {
            outgoing.send(written(turn)).unwrap();
            read_until(what, &mut response, &written(turn)).await;
        }
        drop(outgoing);
        let rest = within(what, response.collect()).await.unwrap();
        assert!(what != "gRPC" || rest.trailers().is_some_and(|trailers| trailers["grpc-status"] == "0"));
    }
    let (mut socket, _) = connect_async(format!("ws://{}/v1/chat", gateway.address)).await.unwrap();
    for turn in 100..120 {
        let json = format!("{{\"pages\":\"{turn}\"}}");
        socket.send(Message::text(json.clone())).await.unwrap();
        let answer = within("WebSocket", socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text(json));
    }
    socket.send(Message::text("")).await.unwrap();
    let Message::Close(Some(frame)) = within("WebSocket", socket.next()).await.unwrap().unwrap() else {
        panic!("no close frame")
    };
    assert_eq!(u16::from(frame.code), 1000);
}

#[tokio::test]
async fn two_hundred_streams_at_once() {
    const STREAMS: usize = 200;
    let mut upstream = Upstream::start().await;
    let gateway = World::with_library(upstream.address).start();
    let address = gateway.address;
    let (first, mut firsts) = mpsc::unbounded_channel();
    let clients: Vec<_> = (0..STREAMS)
        .map(|at| {
            let first = first.clone();
            tokio::spawn(async move {
                let surface = &SURFACES[at % SURFACES.len()];
                let mut sender = Sender::connect(address, surface.http2).await;
                let mut response = sender.send(address, surface.request()).await;
                read_until(surface.name, &mut response, &surface.shown(7)).await;
                first.send(()).unwrap();
                read_until(surface.name, &mut response, &surface.shown(8)).await;
                response.collect().await.unwrap();
            })
        })
        .collect();
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = upstream.call().await.head();
        stream.send_data(page(7), false).unwrap();
        streams.push(stream);
    }
    for _ in 0..STREAMS {
        within("a first message", firsts.recv()).await.unwrap();
    }
    // All of them are open now, and each has its first message.
    for mut stream in streams {
        stream.send_data(page(8), false).unwrap();
        end(stream);
    }
    for client in clients {
        within("the end of a stream", client).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_a_stream_finish() {
    for surface in [&SURFACES[0], &SURFACES[3]] {
        let what = surface.name;
        let mut upstream = Upstream::start().await;
        let mut gateway =
            World::with_library(upstream.address).with_config("[gateway]\ndrain = \"15s\"").start();
        let mut sender = Sender::connect(gateway.address, surface.http2).await;
        let (mut response, mut stream) = tokio::join!(
            async { within(what, sender.send(gateway.address, surface.request())).await },
            async {
                let mut stream = upstream.call().await.head();
                stream.send_data(page(7), false).unwrap();
                stream
            }
        );
        read_until(what, &mut response, &surface.shown(7)).await;
        gateway.program.signal("TERM");
        gateway.program.wait_for("asked to stop", PATIENCE).unwrap();
        within("no new connections", async {
            while TcpStream::connect(gateway.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        stream.send_data(page(8), false).unwrap();
        end(stream);
        read_until(what, &mut response, &surface.shown(8)).await;
        within(what, response.collect()).await.unwrap();
        let begun = Instant::now();
        assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0, "{what}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: it waited for its drain time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_a_stream_that_does_not() {
    let mut upstream = Upstream::start().await;
    let mut gateway = World::with_library(upstream.address).with_config("[gateway]\ndrain = \"1s\"").start();
    let surface = &SURFACES[0];
    let mut sender = Sender::connect(gateway.address, surface.http2).await;
    let (mut response, mut stream) = tokio::join!(
        async { within("gRPC", sender.send(gateway.address, surface.request())).await },
        async {
            let mut stream = upstream.call().await.head();
            stream.send_data(page(7), false).unwrap();
            stream
        }
    );
    read_until("gRPC", &mut response, &surface.shown(7)).await;
    // An idle connection, and one in the middle of its request's head, must not hold the stop up either.
    let idle = TcpStream::connect(gateway.address).await.unwrap();
    let half = TcpStream::connect(gateway.address).await.unwrap();
    half.try_write(b"GET /ping HT").unwrap();
    let begun = Instant::now();
    gateway.program.signal("TERM");
    let code = gateway.program.exit_code(PATIENCE).unwrap();
    assert_eq!(code, 0);
    let took = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(8)).contains(&took), "it took {took:?}");
    let reset = within("the upstream is told", poll_fn(|cx| stream.poll_reset(cx))).await;
    // The reset, or the connection's end.
    assert!(reset.is_err() || reset.is_ok_and(|reason| reason == Reason::CANCEL));
    drop((idle, half));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_a_websocket_finish() {
    let mut upstream = Upstream::start().await;
    let mut gateway = World::with_library(upstream.address).with_config("[gateway]\ndrain = \"15s\"").start();
    let (mut socket, _) = connect_async(format!("ws://{}/v1/chat", gateway.address)).await.unwrap();
    let stream = within("the call", upstream.call()).await.head();
    gateway.program.signal("TERM");
    gateway.program.wait_for("asked to stop", PATIENCE).unwrap();
    // Its connection has long been handed over; only the socket itself is left.
    tokio::time::sleep(Duration::from_millis(300)).await;
    end(stream);
    let closed = within("the close", socket.next()).await.unwrap().unwrap();
    assert!(matches!(closed, Message::Close(Some(frame)) if u16::from(frame.code) == 1000));
    drop(socket);
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stop_does_not_wait() {
    let mut upstream = Upstream::start().await;
    let mut gateway = World::with_library(upstream.address).with_config("[gateway]\ndrain = \"60s\"").start();
    let (_socket, _) = connect_async(format!("ws://{}/v1/chat", gateway.address)).await.unwrap();
    let _stream = within("the call", upstream.call()).await.head();
    gateway.program.signal("TERM");
    gateway.program.wait_for("asked to stop", PATIENCE).unwrap();
    gateway.program.signal("INT");
    let begun = Instant::now();
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited for its drain time");
}
