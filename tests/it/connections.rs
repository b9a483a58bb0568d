//! What one connection may cost: how slow, how idle, how old it may be, how many there may be, and what its client is told.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::poll_fn;
use h2::Reason;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::support::{
    by_hand::{Upstream, within},
    client::frames,
    gateway::{TestGateway, World},
    library::{self, PATIENCE, framed},
    raw::{
        ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS,
        WINDOW_UPDATE, frame, head,
    },
};

const PING_REQUEST: &[u8] = b"GET /ping HTTP/1.1\r\nhost: test\r\n\r\n";
/// A client's settings that let the gateway send nothing: INITIAL_WINDOW_SIZE 0.
const NO_WINDOW: &[(u16, u32)] = &[(4, 0)];

fn gateway(connections: &str) -> TestGateway {
    World::new().with_config("[connections]").with_config(connections).start()
}

async fn connect(address: SocketAddr, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream
}

/// All that comes until the connection ends.
async fn rest(what: &str, stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset ends it too.
    let _ = within(what, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// One answer of the kind `GET /ping` has.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert!(within("an answer", stream.read_buf(&mut answer)).await.unwrap() > 0, "it was closed");
    }
    String::from_utf8(answer).unwrap()
}

/// A 408 in the words of the REST surface.
fn check_408(what: &str, answer: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{what}: {answer}");
    assert!(head.contains("connection: close") && head.contains("x-request-id: "), "{what}: {answer}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {answer}"));
    assert_eq!(body["code"], 4, "{what}: {answer}");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let gateway = gateway("header_timeout = \"400ms\"");
    for half in ["G", "GET /ping HTTP/1.1\r\n", "GET /ping HTTP/1.1\r\nhost: test\r\nx-slow: "] {
        let begun = Instant::now();
        let mut stream = connect(gateway.address, half.as_bytes()).await;
        check_408(half, &rest(half, &mut stream).await);
        assert!(begun.elapsed() >= Duration::from_millis(400), "{half}: after {:?}", begun.elapsed());
    }
    // The second request of a connection has its own time.
    let mut stream = connect(gateway.address, PING_REQUEST).await;
    answer(&mut stream).await;
    sleep(Duration::from_millis(600)).await;
    stream.write_all(b"GET /ping HT").await.unwrap();
    check_408("the second request", &rest("the second request", &mut stream).await);
    // Who has sent nothing that could be answered is closed without a word.
    for nothing in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let mut stream = connect(gateway.address, nothing).await;
        assert_eq!(rest("a silent client", &mut stream).await, "");
    }
    // A block of HTTP/2 headers that never ends.
    let mut raw = Raw::connect(gateway.address, &[]).await;
    assert!(raw.send(&frame(HEADERS, 0, 1, &head("GET", "/ping", &[]))).await);
    while raw.next(PATIENCE).await.is_some() {}
    // A preface without SETTINGS, or with half of them.
    for half in [&b""[..], &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])[..12]] {
        let begun = Instant::now();
        let mut stream = connect(gateway.address, &[PREFACE, half].concat()).await;
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("an end in time");
        assert!(begun.elapsed() >= Duration::from_millis(400), "after {:?}", begun.elapsed());
    }
    // Who has said them may be quiet.
    let mut raw = Raw::connect(gateway.address, &[]).await;
    sleep(Duration::from_millis(900)).await;
    assert!(raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/ping", &[]))).await);
    assert!(raw.wait_for(HEADERS, PATIENCE).await.is_some());
}

#[tokio::test]
async fn a_body_that_pauses_is_refused_in_its_callers_protocol() {
    let gateway = World::with_library(library::start().await)
        .with_config("[connections]\nbody_timeout = \"400ms\"")
        .start();
    let half = |headers: &str, body: &str| {
        format!("{headers}host: test\r\ncontent-length: 1000\r\n\r\n{body}").into_bytes()
    };
    let rest_call =
        half("POST /v1/shelves/7/books HTTP/1.1\r\ncontent-type: application/json\r\n", "{\"title\"");
    let mut stream = connect(gateway.address, &rest_call).await;
    check_408("REST", &rest("REST", &mut stream).await);
    let web = "POST /library.v1.Library/GetBook HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n";
    let mut stream = connect(gateway.address, &half(web, "\0\0\0")).await;
    let said = rest("gRPC-Web", &mut stream).await;
    assert!(said.contains("grpc-status: 4") && said.contains("paused for 400ms"), "{said}");

    // Over HTTP/2: one message is late, in gRPC and in REST; a stream may be as quiet as it likes.
    let mut raw = Raw::connect(gateway.address, &[]).await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let json = [("content-type", "application/json")];
    let book = frames("library.v1.Book", &["{\"pages\": \"7\"}"]);
    let sent = [
        frame(HEADERS, END_HEADERS, 1, &head("POST", "/library.v1.Library/Collect", &grpc)),
        frame(DATA, 0, 1, &book),
        frame(HEADERS, END_HEADERS, 3, &head("POST", "/library.v1.Library/GetBook", &grpc)),
        frame(DATA, 0, 3, b"\0\0\0\0\x09x"),
        frame(HEADERS, END_HEADERS, 5, &head("POST", "/v1/shelves/7/books", &json)),
        frame(DATA, 0, 5, b"{"),
    ];
    assert!(raw.send(&sent.concat()).await);
    let mut late =
        [raw.wait_for(HEADERS, PATIENCE).await.unwrap(), raw.wait_for(HEADERS, PATIENCE).await.unwrap()];
    late.sort_by_key(|answer| answer.stream);
    let said = |number: usize| String::from_utf8_lossy(&late[number].payload).into_owned();
    assert_eq!((late[0].stream, late[1].stream), (3, 5));
    assert!(late[0].flags & END_STREAM != 0, "trailers only: {}", said(0));
    sleep(Duration::from_millis(800)).await;
    assert!(raw.send(&[frame(DATA, 0, 1, &book), frame(DATA, END_STREAM, 1, &[])].concat()).await);
    let collected = raw.wait_for(HEADERS, PATIENCE).await.unwrap();
    assert_eq!(collected.stream, 1, "{collected:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_quiet_one_is_not() {
    let gateway = gateway("header_timeout = \"300ms\"\nidle_timeout = \"1500ms\"");
    let mut one = connect(gateway.address, PING_REQUEST).await;
    answer(&mut one).await;
    let mut two = Raw::connect(gateway.address, &[]).await;
    // A Watch is a call, however quiet.
    let mut watch = Raw::connect(gateway.address, &[]).await;
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let call = [
        frame(HEADERS, END_HEADERS, 1, &head("POST", "/grpc.health.v1.Health/Watch", &grpc)),
        frame(DATA, END_STREAM, 1, &framed(b"")),
    ];
    assert!(watch.send(&call.concat()).await);
    // Longer than a head may take, but no head has begun.
    sleep(Duration::from_millis(900)).await;
    one.write_all(PING_REQUEST).await.unwrap();
    answer(&mut one).await;
    let begun = Instant::now();
    assert_eq!(rest("an idle connection", &mut one).await, "");
    assert!(begun.elapsed() >= Duration::from_millis(1200), "after {:?}", begun.elapsed());
    let goaway = two.wait_for(GOAWAY, PATIENCE).await.expect("GOAWAY before the end");
    assert_eq!(goaway.payload[4..8], [0; 4]);
    while two.next(PATIENCE).await.is_some() {}
    // All this time the other was open, and still is.
    assert!(watch.send(&frame(PING, 0, 0, b"8 bytes.")).await);
    let answer = watch.wait_for(PING, PATIENCE).await.expect("an answer");
    assert_eq!(answer.payload, b"8 bytes.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_is_closed() {
    let mut upstream = Upstream::start().await;
    let gateway =
        World::with_library(upstream.address).with_config("[connections]\nwrite_timeout = \"600ms\"").start();
    // HTTP/2: the client's window stays shut.
    let mut shut = Raw::connect(gateway.address, NO_WINDOW).await;
    assert!(shut.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/ping", &[]))).await);
    let begun = Instant::now();
    while shut.next(PATIENCE).await.is_some() {}
    assert!(begun.elapsed() >= Duration::from_millis(600), "after {:?}", begun.elapsed());
    // One that takes a little, now and then, is slow and nothing else.
    let mut slow = Raw::connect(gateway.address, NO_WINDOW).await;
    assert!(slow.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/ping", &[]))).await);
    let mut taken = 0;
    for _ in 0..5 {
        sleep(Duration::from_millis(300)).await;
        assert!(slow.send(&frame(WINDOW_UPDATE, 0, 1, &2u32.to_be_bytes())).await);
        taken += slow.wait_for(DATA, PATIENCE).await.expect("a little").payload.len();
    }
    assert_eq!(taken, 10);
    // HTTP/1.1: nothing is read from the socket; the upstream is told that the call is over.
    let mut stream = std::net::TcpStream::connect(gateway.address).unwrap();
    let body = "POST /v1/pages HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(body.as_bytes()).unwrap();
    let mut pages = upstream.call().await.head();
    let page = framed(&[b"\x12\xf0\x93\x09".to_vec(), vec![b'x'; 150_000]].concat());
    for _ in 0..200 {
        pages.send_data(Bytes::clone(&page), false).unwrap();
    }
    let reset = within("the upstream is told", poll_fn(|cx| pages.poll_reset(cx))).await;
    assert!(reset.is_err() || reset.is_ok_and(|reason| reason == Reason::CANCEL));
    drop(stream);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let gateway = gateway("keepalive_interval = \"300ms\"\nkeepalive_timeout = \"300ms\"");
    let mut dead = Raw::connect(gateway.address, &[]).await;
    let mut live = Raw::connect(gateway.address, &[]).await;
    for _ in 0..4 {
        let ping = live.wait_for(PING, PATIENCE).await.expect("a ping");
        assert!(live.send(&frame(PING, ACK, 0, &ping.payload)).await);
    }
    assert!(dead.wait_for(PING, PATIENCE).await.is_some(), "a ping");
    while dead.next(PATIENCE).await.is_some() {}
    assert!(live.wait_for(PING, PATIENCE).await.is_some(), "a ping still");
}

#[tokio::test]
async fn an_old_connection_is_replaced() {
    let gateway = gateway("max_age = \"700ms\"\nmax_age_grace = \"600ms\"");
    let begun = Instant::now();
    let mut raw = Raw::connect(gateway.address, &[]).await;
    let mut one = connect(gateway.address, PING_REQUEST).await;
    answer(&mut one).await;
    // It has a call, which outlives it.
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let block = head("POST", "/grpc.health.v1.Health/Watch", &grpc);
    assert!(
        raw.send(
            &[frame(HEADERS, END_HEADERS, 1, &block), frame(DATA, END_STREAM, 1, &framed(b""))].concat()
        )
        .await
    );
    let goaway = raw.wait_for(GOAWAY, PATIENCE).await.expect("GOAWAY");
    let (old, tenth) = (begun.elapsed(), Duration::from_millis(70));
    assert!(old >= Duration::from_millis(700) - tenth, "after {old:?}");
    assert_eq!(goaway.payload[4..8], [0; 4]);
    while raw.next(PATIENCE).await.is_some() {}
    assert!(begun.elapsed() >= old + Duration::from_millis(500), "its grace was {:?}", begun.elapsed() - old);
    assert_eq!(rest("an old connection", &mut one).await, "");
}

#[tokio::test]
async fn connections_over_a_cap_are_refused() {
    let gateway = gateway("max = 3\nmax_per_address = 2");
    let from = async |last: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::from([127, 0, 0, last]), 0)).unwrap();
        let mut stream = socket.connect(gateway.address).await.unwrap();
        stream.write_all(PING_REQUEST).await.unwrap();
        stream
    };
    let mut first = from(1).await;
    answer(&mut first).await;
    let mut second = from(1).await;
    answer(&mut second).await;
    let refused = async |last: u8, why: &str| {
        let said = rest("a refused connection", &mut from(last).await).await;
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{said:?}"));
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{said}");
        for line in [
            "connection: close",
            "content-type: application/json",
            "retry-after: 1",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.lines().any(|said| said == line), "{line}: {said}");
        }
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect(head);
        let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(
            (&body["code"], &body["message"], &body["request_id"]),
            (&json!(14), &json!(format!("too many connections: {why}")), &json!(id)),
            "{said}"
        );
    };
    let of_address = "this address has as many connections as one may have";
    let of_all = "the gateway has as many connections as it takes";
    refused(1, of_address).await;
    let mut third = from(2).await;
    answer(&mut third).await;
    refused(2, of_all).await;
    refused(3, of_all).await;
    // HTTP/2 is told in its own words, and that nothing of it was looked at.
    let mut raw = Raw::connect(gateway.address, &[]).await;
    let settings = raw.next(PATIENCE).await.unwrap();
    assert_eq!((settings.kind, settings.flags, settings.payload.len()), (SETTINGS, 0, 0));
    let goaway = raw.next(PATIENCE).await.unwrap();
    let (numbers, words) = goaway.payload.split_at(8);
    assert_eq!((goaway.kind, goaway.stream, numbers), (GOAWAY, 0, &[0, 0, 0, 0, 0, 0, 0, 0xb][..]));
    assert_eq!(std::str::from_utf8(words), Ok(of_all));
    assert_eq!(raw.next(PATIENCE).await, None);
    // As a client of a library understands it.
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let (request, ended) = tokio::join!(
        async {
            let request = http::Request::get("http://test/ping").body(()).unwrap();
            match poll_fn(|cx| send.poll_ready(cx)).await {
                Ok(()) => send.send_request(request, true).unwrap().0.await.map(drop),
                Err(error) => Err(error),
            }
        },
        within("the end of the connection", connection)
    );
    let error = ended.unwrap_err();
    assert!(error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM), "{error:?}");
    assert_eq!(request.unwrap_err().reason(), Some(Reason::ENHANCE_YOUR_CALM));
    drop(first);
    let begun = Instant::now();
    loop {
        // Its end is seen a moment later.
        let mut again = from(1).await;
        let mut said = [0; 12];
        if again.read_exact(&mut said).await.is_ok() && said == *b"HTTP/1.1 200" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "no connection is taken again");
        sleep(Duration::from_millis(20)).await;
    }
    let said = gateway.program.output();
    assert!(said.contains("connections.max_per_address"), "{said}");
}

#[tokio::test]
async fn a_crowd_over_a_cap_is_refused_without_holding_anybody_up() {
    let gateway = gateway("max = 1");
    let mut only = connect(gateway.address, PING_REQUEST).await;
    answer(&mut only).await;
    // More than are told in REST's words at once, and silent: their protocol is waited for, but not for long.
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    let asked = Instant::now();
    only.write_all(PING_REQUEST).await.unwrap();
    answer(&mut only).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "served after {:?}", asked.elapsed());
    let (mut briefly, mut at_length) = (0, 0);
    for stream in &mut crowd {
        let said = rest("one of a crowd", stream).await;
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 1\r\n"), "{said:?}");
        if said.ends_with("\r\n\r\ntoo many connections\n") { briefly += 1 } else { at_length += 1 }
    }
    assert!(begun.elapsed() < PATIENCE, "all were told after {:?}", begun.elapsed());
    assert!(briefly > 0 && at_length > 0, "{briefly} in a line, {at_length} in a body");
    // Who is told has gone: nothing of the crowd is left.
    drop(crowd);
    only.write_all(PING_REQUEST).await.unwrap();
    answer(&mut only).await;
}

#[tokio::test]
async fn tls_on_the_plain_port_is_told_apart_from_noise() {
    let mut gateway = World::new().with_config("[log]\nlevel = \"debug\"").start();
    // The record, the handshake's head and the version of a ClientHello.
    let hello = [&[0x16, 3, 1, 0, 0xa3, 1, 0, 0, 0x9f, 3, 3][..], &[7; 157]].concat();
    let mut stream = connect(gateway.address, &hello).await;
    let said = rest("a client of TLS", &mut stream).await;
    assert!(
        said.starts_with("HTTP/1.1 400 ") && said.contains("TLS was spoken to a port of plain HTTP"),
        "{said}"
    );
    let mut stream = connect(gateway.address, b"\x15\x03\x01 noise\r\n\r\n").await;
    let said = rest("noise", &mut stream).await;
    assert!(said.starts_with("HTTP/1.1 400 ") && !said.contains("TLS"), "{said}");
    let said = "TLS was spoken to a port of plain HTTP";
    gateway.program.wait_for(said, PATIENCE).unwrap();
    assert_eq!(gateway.program.output().matches(said).count(), 1);
}

#[tokio::test]
async fn few_open_files_are_survived() {
    let gateway = World::new().with_config("[gateway]\nworkers = 1").start();
    let mut served = connect(gateway.address, PING_REQUEST).await;
    answer(&mut served).await;
    let pid = Pid::from_raw(gateway.program.id().cast_signed()).unwrap();
    let files = || {
        let names = std::fs::read_dir(format!("/proc/{}/fd", gateway.program.id())).unwrap();
        names.map(|name| name.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect::<Vec<u64>>()
    };
    let open = files();
    let free = (0..).find(|number| !open.contains(number)).unwrap();
    // No file more: accept fails with EMFILE.
    let before =
        prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(free), maximum: Some(20_000) }).unwrap();
    let mut waiting = connect(gateway.address, PING_REQUEST).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(500), waiting.read(&mut byte)).await;
    assert!(early.is_err(), "it was answered: {early:?}");
    served.write_all(PING_REQUEST).await.unwrap();
    answer(&mut served).await;
    drop(served);
    answer(&mut waiting).await;
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    answer(&mut connect(gateway.address, PING_REQUEST).await).await;
    let said = gateway.program.output();
    assert!(
        said.contains("connections cannot be accepted") && said.matches("cannot be accepted").count() < 5,
        "{said}"
    );
}

#[tokio::test]
async fn an_unread_body_is_not_the_next_request() {
    let gateway = gateway("");
    let smuggled = "GET /ping HTTP/1.1\r\nhost: test\r\n\r\n";
    let head = format!("POST /nowhere HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", smuggled.len());
    // The body comes with the head, after the answer, or never.
    let last = head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let mut whole = connect(gateway.address, format!("{last}{smuggled}").as_bytes()).await;
    let said = rest("a body at once", &mut whole).await;
    assert_eq!((said.matches("HTTP/1.1 ").count(), said.starts_with("HTTP/1.1 404")), (1, true), "{said}");
    let mut late = connect(gateway.address, head.as_bytes()).await;
    let first = answer(&mut late).await;
    assert!(first.starts_with("HTTP/1.1 404"), "{first}");
    // It may have been closed already.
    let _ = late.write_all(smuggled.as_bytes()).await;
    assert_eq!(rest("a late body", &mut late).await, "");
}

#[tokio::test]
async fn the_limits_of_http2_are_what_the_config_says() {
    let gateway =
        World::new().with_config("[connections]\nstreams = 2\n[limits]\nheader_bytes = 20000").start();
    let mut raw = Raw::connect(gateway.address, &[]).await;
    let settings = raw.wait_for(SETTINGS, PATIENCE).await.unwrap();
    let said: Vec<(u16, u32)> = settings
        .payload
        .chunks(6)
        .map(|one| {
            (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]]))
        })
        .collect();
    let of = |name: u16| said.iter().find(|(which, _)| *which == name).map(|(_, value)| *value);
    // HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, CONNECT.
    let want = [(1, 4096), (3, 2), (4, 256 << 10), (5, 16 << 10), (6, 20_000 + (64 << 10)), (8, 1)];
    for (name, value) in want {
        // What is the protocol's own default need not be said.
        assert!(
            of(name) == Some(value) || (of(name).is_none() && [1, 5].contains(&name)),
            "{name}: {said:?}"
        );
    }
    assert!(raw.send(&frame(SETTINGS, ACK, 0, &[])).await);
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let open = |stream| {
        frame(HEADERS, END_HEADERS, stream, &head("POST", "/propylon.gateway.v1.HealthService/Ping", &grpc))
    };
    assert!(raw.send(&[open(1), open(3), open(5)].concat()).await);
    let reset = raw.wait_for(RST_STREAM, PATIENCE).await.unwrap();
    assert_eq!((reset.stream, reset.payload), (5, vec![0, 0, 0, 7]), "REFUSED_STREAM");
    // Streams that the client's errors have closed: not one more than 1,024 in a connection's life.
    let mut refused = 1;
    for stream in (7..).step_by(2) {
        if !raw.send(&open(stream)).await {
            break;
        }
        match raw.next(PATIENCE).await {
            Some(answer) if answer.kind == RST_STREAM => refused += 1,
            Some(answer) if answer.kind == GOAWAY => {
                assert_eq!(answer.payload[4..8], [0, 0, 0, 0xb]);
                break;
            }
            Some(_) => {}
            None => break,
        }
        assert!(refused < 2_000);
    }
    assert_eq!(refused, 1_024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_answers_no_ping_is_left() {
    for (attempts, want) in [(1, "HTTP/1.1 503"), (2, "HTTP/1.1 200")] {
        left(attempts, want).await;
    }
}

/// A connection falls silent under a call that is sent so often, at most.
async fn left(attempts: u32, want: &str) {
    // A gateway's way to its upstream that can be frozen: the system still takes what is sent.
    let upstream = library::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = listener.local_addr().unwrap();
    let (freeze, frozen) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        // Only the first connection freezes.
        let mut frozen = Some(frozen);
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut frozen = frozen.take();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(upstream).await.unwrap();
                let until = async {
                    match &mut frozen {
                        Some(frozen) => drop(frozen.wait_for(|frozen| *frozen).await),
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                    () = until => {}
                }
                sleep(Duration::from_secs(60)).await;
                drop((near, far));
            });
        }
    });
    let gateway = World::with_library(way)
        .with_config(&format!(
            "keepalive_interval = \"300ms\"\nkeepalive_timeout = \"300ms\"\nretry = {{ attempts = {attempts} }}\n\
             [gateway]\nworkers = 1"
        ))
        .start();
    let call = b"GET /v1/shelves/1/books/2 HTTP/1.1\r\nhost: test\r\n\r\n";
    let mut client = connect(gateway.address, call).await;
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
    freeze.send(true).unwrap();
    // The call that meets the silence fails in words, or is sent again, long before its own time is up; the next has
    // another connection.
    let begun = Instant::now();
    client.write_all(call).await.unwrap();
    let failed = answer(&mut client).await;
    assert!(failed.starts_with(want) && (attempts > 1 || failed.contains("library")), "{failed}");
    assert!(begun.elapsed() < Duration::from_secs(10), "after {:?}", begun.elapsed());
    client.write_all(call).await.unwrap();
    let again = answer(&mut client).await;
    assert!(again.starts_with("HTTP/1.1 200"), "{again}");
}
