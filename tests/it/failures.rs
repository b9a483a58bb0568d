//! Upstreams that misbehave: each gives the right status in each protocol, leaves nothing stuck, and the next call is fine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use http::{HeaderMap, Method, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    client::{Outcome, frames, grpc, grpc_web, request, rest},
    gateway::World,
    library::{self, framed},
};

/// An upstream on raw HTTP/2 that does what the request's `x-behave` asks for.
async fn misbehaving() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(stream));
        }
    });
    address
}

async fn connection(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let behave =
            request.headers().get("x-behave").map_or(String::new(), |v| v.to_str().unwrap().to_owned());
        if behave == "kill" {
            return;
        }
        if behave == "goaway" {
            connection.abrupt_shutdown(Reason::NO_ERROR);
            continue;
        }
        behave_so(&behave, &request, respond);
    }
}

fn behave_so(behave: &str, _request: &Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    let head = |status: u16| Response::builder().status(status).header("content-type", "application/grpc");
    let book = framed(b"\x0a\x01x");
    let trailers = |rows: &[(&'static str, &'static str)]| -> HeaderMap {
        rows.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    };
    match behave {
        "no status" => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            stream.send_data(book, true).unwrap();
        }
        "no status in trailers" => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            stream.send_data(book, false).unwrap();
            stream.send_trailers(trailers(&[("x-other", "1")])).unwrap();
        }
        "malformed details" => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            let rows = [("grpc-status", "5"), ("grpc-message", "gone"), ("grpc-status-details-bin", "%%%")];
            stream.send_trailers(trailers(&rows)).unwrap();
        }
        "malformed details at once" => {
            let head = head(200).header("grpc-status", "5").header("grpc-status-details-bin", "%%%");
            respond.send_response(head.body(()).unwrap(), true).unwrap();
        }
        "unknown code" => {
            respond.send_response(head(200).header("grpc-status", "77").body(()).unwrap(), true).unwrap();
        }
        "reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "refuse the stream" => respond.send_reset(Reason::REFUSED_STREAM),
        "reset in the middle" => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            stream.send_data(book, false).unwrap();
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "not gRPC" => {
            let head = Response::builder().status(200).header("content-type", "text/html");
            let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
            stream.send_data("<html>".into(), true).unwrap();
        }
        "HTTP 503" => {
            respond.send_response(Response::builder().status(503).body(()).unwrap(), true).unwrap();
        }
        "truncated frame" => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"\0\0\0\0\x09abc"), false).unwrap();
            stream.send_trailers(trailers(&[("grpc-status", "0")])).unwrap();
        }
        "garbage message" => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            stream.send_data(framed(b"\xff\xff\xff"), false).unwrap();
            stream.send_trailers(trailers(&[("grpc-status", "0")])).unwrap();
        }
        _ => {
            let mut stream = respond.send_response(head(200).body(()).unwrap(), false).unwrap();
            stream.send_data(book, false).unwrap();
            stream.send_trailers(trailers(&[("grpc-status", "0")])).unwrap();
        }
    }
}

/// The same call over each surface.
async fn everywhere(gateway: SocketAddr, behave: &str) -> Vec<(&'static str, Outcome)> {
    let path = "/library.v1.Library/GetBook";
    let body = frames("library.v1.GetBookRequest", &[r#"{"name": "shelves/1/books/2"}"#]);
    let headers = [("x-behave", behave)];
    // What comes of a message that breaks off is not read as messages here: an empty type reads anything whole.
    let book = "library.v1.Book";
    vec![
        ("gRPC", grpc(gateway, path, &headers, body.clone(), book).await),
        ("gRPC-Web", grpc_web(gateway, false, path, &headers, body, book).await),
        ("REST", rest(gateway, request(&Method::GET, "/v1/shelves/1/books/2", &headers, "")).await),
    ]
}

async fn check(gateway: SocketAddr, behave: &str, code: i32, http: u16, message: &str) {
    for (surface, outcome) in everywhere(gateway, behave).await {
        let at = format!("{behave} over {surface}: {outcome:?}");
        assert_eq!(outcome.code, code, "{at}");
        assert!(outcome.message.contains(message), "{at}");
        assert_eq!(outcome.http, if surface == "REST" { http } else { 200 }, "{at}");
    }
    for (surface, outcome) in everywhere(gateway, "").await {
        assert_eq!((outcome.code, outcome.http), (0, 200), "after {behave}, over {surface}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_misbehaves_fails_one_call() {
    let gateway = World::with_library(misbehaving().await)
        // Half of all calls fail here.
        .with_config("breaker = { enabled = false }")
        .start();
    let rows: &[(&str, i32, u16, &str)] = &[
        ("no status", 2, 500, "library"),
        ("no status in trailers", 2, 500, "without a grpc-status"),
        ("malformed details", 13, 500, "malformed grpc-status-details-bin: gone"),
        ("malformed details at once", 13, 500, "malformed grpc-status-details-bin"),
        ("unknown code", 2, 500, "\"77\" is not a status code"),
        ("reset", 13, 500, "library"),
        ("reset in the middle", 13, 500, "library"),
        ("not gRPC", 2, 500, "text/html"),
        ("HTTP 503", 14, 503, "503"),
        ("kill", 14, 503, "library"),
    ];
    for (behave, code, http, message) in rows {
        check(gateway.address, behave, *code, *http, message).await;
    }
}

#[tokio::test]
async fn a_broken_message_is_the_upstreams_fault_over_rest() {
    let gateway = World::with_library(misbehaving().await).start();
    for behave in ["truncated frame", "garbage message"] {
        let headers = [("x-behave", behave)];
        let outcome =
            rest(gateway.address, request(&Method::GET, "/v1/shelves/1/books/2", &headers, "")).await;
        assert_eq!((outcome.code, outcome.http), (13, 500), "{behave}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_comes_back() {
    // A port that was free a moment ago: nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gateway = World::with_library(address).start();
    for (surface, outcome) in everywhere(gateway.address, "").await {
        assert_eq!(outcome.code, 14, "{surface}: {outcome:?}");
        assert!(
            outcome.message.contains("\"library\"") && outcome.message.contains("refused"),
            "{outcome:?}"
        );
        assert_eq!(outcome.http, if surface == "REST" { 503 } else { 200 });
    }
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(stream));
        }
    });
    for (surface, outcome) in everywhere(gateway.address, "").await {
        assert_eq!(outcome.code, 0, "{surface}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_stalls_in_its_handshake_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = World::with_library(listener.local_addr().unwrap())
        .with_config("handshake_timeout = \"300ms\"")
        .start();
    let stalled = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&stalled);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if still.load(Ordering::SeqCst) {
                kept.push(stream)
            } else {
                drop(tokio::spawn(connection(stream)))
            }
        }
    });
    let begun = Instant::now();
    for (surface, outcome) in everywhere(gateway.address, "").await {
        assert_eq!(outcome.code, 14, "{surface}: {outcome:?}");
        assert!(outcome.message.contains("handshake"), "{surface}: {outcome:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    stalled.store(false, Ordering::SeqCst);
    for (surface, outcome) in everywhere(gateway.address, "").await {
        assert_eq!(outcome.code, 0, "{surface}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_deadline_exceeded() {
    // Accepts the stream and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = World::with_library(listener.local_addr().unwrap()).start();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut kept = Vec::new();
                while let Some(Ok(exchange)) = connection.accept().await {
                    kept.push(exchange);
                }
            });
        }
    });
    let body = frames("library.v1.GetBookRequest", &["{}"]);
    let (path, book) = ("/library.v1.Library/GetBook", "library.v1.Book");
    let timeout = [("grpc-timeout", "200m")];
    let outcomes = [
        ("gRPC", grpc(gateway.address, path, &timeout, body.clone(), book).await, 200),
        ("gRPC-Web", grpc_web(gateway.address, false, path, &timeout, body, book).await, 200),
        (
            "REST",
            rest(
                gateway.address,
                request(&Method::GET, "/v1/books:get", &[("x-request-timeout", "0.2")], ""),
            )
            .await,
            504,
        ),
    ];
    for (surface, outcome, http) in outcomes {
        assert_eq!((outcome.code, outcome.http), (4, http), "{surface}: {outcome:?}");
    }
    let other = library::start().await;
    drop(gateway);
    let gateway = World::with_library(other).start();
    let outcome = rest(gateway.address, request(&Method::GET, "/v1/books:get?name=x", &[], "")).await;
    assert_eq!(outcome.messages[0]["name"], "x");
}
