//! What a request meets before and beside the surfaces: the gateway's own pages, bodies that break HTTP's rules or come too
//! slowly, and pages of other origins.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{
    client::{http1, http2, request, rest},
    gateway::World,
    library::{self, PATIENCE},
};

/// Sends bytes as they are, and reads until the answer's body has come.
async fn raw(address: SocketAddr, bytes: &[u8]) -> (u16, Value) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            let body = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body));
            if let Some(Ok(body)) = body {
                return (text[9..12].parse().unwrap(), body);
            }
            let read = stream.read(&mut chunk).await.unwrap();
            assert_ne!(read, 0, "the connection ended after {text}");
            answer.extend_from_slice(&chunk[..read]);
        }
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

#[tokio::test]
async fn the_gateways_pages_speak_like_every_route() {
    let gateway = World::new().start();
    let response =
        http1(gateway.address, request(&Method::GET, "/livez", &[("x-request-id", "mine")], "")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-request-id"]),
        (200, &"mine".parse().unwrap())
    );
    let outcome =
        rest(gateway.address, request(&Method::POST, "/readyz", &[("x-request-id", "mine")], "{}")).await;
    assert_eq!((outcome.http, outcome.message.as_str()), (405, "/readyz has no POST; it has GET, HEAD"));
    assert_eq!(outcome.headers["allow"], "GET, HEAD, OPTIONS");
    assert_eq!(outcome.headers["x-request-id"], "mine");
}

#[tokio::test]
async fn a_body_that_breaks_http_is_the_clients_mistake() {
    let gateway = World::with_library(library::start().await).start();
    let head = "POST /v1/fail HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (status, body) = raw(gateway.address, format!("{head}zz\r\n{{}}\r\n0\r\n\r\n").as_bytes()).await;
    assert_eq!((status, &body["status"]), (400, &"INVALID_ARGUMENT".into()), "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("the request's body is not framed as HTTP/1.1 wants it"), "{message}");
}

#[tokio::test]
async fn a_request_that_comes_too_slowly_is_not_the_upstreams_fault() {
    let gateway = World::with_library(library::start().await).start();
    let head = "POST /v1/fail HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\
                x-request-timeout: 0.2\r\n\r\n{";
    let (status, body) = raw(gateway.address, head.as_bytes()).await;
    assert_eq!((status, &body["status"]), (408, &"DEADLINE_EXCEEDED".into()), "{body}");
    assert_eq!(body["message"], "the call's deadline passed before its whole request had come");
}

#[tokio::test]
async fn a_page_says_what_its_body_is() {
    let gateway = World::with_library(library::start().await).start();
    let page = [("origin", "https://elsewhere.example")];
    let outcome = rest(gateway.address, request(&Method::POST, "/v1/pages", &page, "{}")).await;
    assert_eq!(outcome.http, 415, "{outcome:?}");
    assert_eq!(outcome.message, "a page's request says what its body is: content-type application/json");
    let outcome = rest(gateway.address, request(&Method::POST, "/v1/pages", &[], "{}")).await;
    assert_eq!(outcome.http, 200, "{outcome:?}");
}

#[tokio::test]
async fn a_query_parameters_violation_names_it() {
    let gateway = World::with_library(library::start().await).start();
    let outcome = rest(gateway.address, request(&Method::GET, "/v1/books:get?nmae=x", &[], "")).await;
    assert_eq!(outcome.http, 400);
    assert_eq!(outcome.details[0]["fieldViolations"][0]["field"], "nmae", "{outcome:?}");
}

#[tokio::test]
async fn a_large_message_of_a_websocket_is_refused_in_words() {
    let gateway = World::with_library(library::start().await).start();
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/v1/chat", gateway.address)).await.unwrap();
    let exchange = async {
        socket.send(Message::text(format!("{{\"title\": \"{}\"}}", "x".repeat(5 << 20)))).await.unwrap();
        loop {
            if let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() {
                return frame;
            }
        }
    };
    let frame = timeout(PATIENCE, exchange).await.expect("a close frame in time");
    assert_eq!(frame.code, CloseCode::Size, "{}", frame.reason);
    assert_eq!(frame.reason.as_str(), "a message of the WebSocket is over the limit of 4194304 bytes");
}

/// The headers of an answer to one request with these headers.
async fn told(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, http::HeaderMap) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let response = http1(address, request(&method, path, headers, "")).await;
    (response.status().as_u16(), response.headers().clone())
}

fn said<'a>(headers: &'a http::HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_preflight_is_answered_and_no_other_options() {
    let upstream = library::start().await;
    let origins = |list: &str| format!("[cors]\norigins = {list}\nmax_age = \"10m\"\n");
    let named = World::with_library(upstream).with_config(&origins("[\"https://a.example\"]")).start();
    let any = World::with_library(upstream).with_config(&origins("[\"*\"]")).start();
    let none = World::with_library(upstream).start();
    let (page, evil) = (("origin", "https://a.example"), ("origin", "https://evil.example"));
    const ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    let asks = ("access-control-request-method", "PATCH");
    let names = ("access-control-request-headers", "x-grpc-web,content-type");
    // Status, allowed origin, allowed methods.
    let check = async |gateway: SocketAddr,
                       method: &str,
                       headers: &[(&str, &str)],
                       want: (u16, &str, &str)| {
        let (status, told) = told(gateway, method, "/v1/books:get?name=x", headers).await;
        let got =
            (status, said(&told, "access-control-allow-origin"), said(&told, "access-control-allow-methods"));
        assert_eq!(got, want, "{method} {headers:?}");
        told
    };
    let told = check(named.address, "OPTIONS", &[page, asks, names], (204, "https://a.example", ALL)).await;
    assert_eq!(said(&told, "access-control-allow-headers"), "x-grpc-web,content-type");
    assert_eq!(said(&told, "access-control-max-age"), "600");
    let varies: Vec<_> = told.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(varies, ["access-control-request-method, access-control-request-headers", "origin"]);
    check(named.address, "OPTIONS", &[evil, asks], (204, "", "")).await;
    let told = check(named.address, "OPTIONS", &[page], (204, "https://a.example", "")).await;
    assert_eq!(said(&told, "allow"), "GET, HEAD, OPTIONS");
    check(named.address, "OPTIONS", &[asks], (204, "", "")).await;
    let told = check(named.address, "GET", &[page], (200, "https://a.example", "")).await;
    assert_eq!((said(&told, "access-control-expose-headers"), said(&told, "vary")), ("*", "origin"));
    let told = check(named.address, "GET", &[evil], (200, "", "")).await;
    assert_eq!(said(&told, "vary"), "origin");
    let told = check(named.address, "GET", &[], (200, "", "")).await;
    assert_eq!(said(&told, "vary"), "origin", "a cache must not give this answer to a page");
    check(any.address, "GET", &[evil], (200, "*", "")).await;
    let told = check(none.address, "OPTIONS", &[page, asks], (204, "", "")).await;
    assert_eq!(said(&told, "allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test]
async fn a_page_with_credentials_may_read_every_header_by_name() {
    let gateway = World::with_library(library::start().await)
        .with_config("[cors]\norigins = [\"https://a.example\"]\ncredentials = true\nexpose = [\"X-Own\"]\n")
        .start();
    let page = [("origin", "https://a.example")];
    let (_, told) = told(gateway.address, "GET", "/v1/books:get?name=x", &page).await;
    assert_eq!(said(&told, "access-control-allow-credentials"), "true");
    let exposed: Vec<_> = said(&told, "access-control-expose-headers").split(", ").collect();
    for name in ["grpc-status", "grpc-message", "x-request-id", "mcp-session-id", "x-own", "x-process-time"] {
        assert!(exposed.contains(&name), "{name} is not in {exposed:?}");
    }
}

#[tokio::test]
async fn every_answer_over_http_has_the_headers_of_the_edge() {
    let gateway = World::with_library(library::start().await).start();
    let (_, ping) = told(gateway.address, "GET", "/ping", &[]).await;
    let (status, missing) = told(gateway.address, "GET", "/nowhere", &[]).await;
    assert_eq!(status, 404);
    let (_, page) = told(gateway.address, "GET", "/livez", &[]).await;
    for headers in [ping, missing, page] {
        assert_eq!(said(&headers, "x-content-type-options"), "nosniff");
        assert_eq!(said(&headers, "x-frame-options"), "DENY");
        assert_eq!(said(&headers, "referrer-policy"), "strict-origin-when-cross-origin");
        assert_eq!(said(&headers, "content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
        assert!(!headers.contains_key("strict-transport-security"), "plain text has no HSTS");
        assert!(said(&headers, "x-process-time").parse::<f64>().unwrap() < 10.0);
        assert_eq!(said(&headers, "x-request-id").len(), 36);
    }
}

#[tokio::test]
async fn a_grpc_web_answer_has_them_too_and_a_native_one_does_not() {
    let gateway = World::new().start();
    let ping = |content_type| {
        let headers = [("content-type", content_type), ("te", "trailers")];
        request(&Method::POST, "/propylon.gateway.v1.HealthService/Ping", &headers, "\0\0\0\0\0")
    };
    let web = http1(gateway.address, ping("application/grpc-web")).await;
    let headers = web.headers();
    assert_eq!((web.status().as_u16(), said(headers, "content-type")), (200, "application/grpc-web"));
    assert_eq!(said(headers, "x-content-type-options"), "nosniff");
    assert_eq!(said(headers, "content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    assert!(said(headers, "x-process-time").parse::<f64>().unwrap() < 10.0);
    let native = http2(gateway.address, ping("application/grpc")).await;
    assert_eq!(native.status(), 200);
    for name in ["x-content-type-options", "content-security-policy", "x-process-time"] {
        assert_eq!(said(native.headers(), name), "", "{name}");
    }
}

/// What came on a connection: responses, each with its head and its body, and whether it was closed in the end.
async fn answers(address: SocketAddr, bytes: &[u8]) -> Vec<(String, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        String::from_utf8(all).unwrap()
    };
    let all = timeout(PATIENCE, exchange).await.expect("the connection's end in time");
    let mut rest = all.as_str();
    let mut answers = Vec::new();
    while let Some((head, body)) = rest.split_once("\r\n\r\n") {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let (body, next) = body.split_at(length.parse().unwrap());
        answers.push((head.to_owned(), body.to_owned()));
        rest = next;
    }
    assert_eq!(rest, "");
    answers
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_refused_like_everything_else() {
    let gateway = World::new().start();
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let (long, longer) = ("a".repeat(70_000), "a".repeat(200_000));
    let check = async |sent: &str, status: &str, code: &str, message: &str| {
        let mut answers = answers(gateway.address, sent.as_bytes()).await;
        let (head, body) = answers.pop().unwrap_or_else(|| panic!("no answer to {sent:.60}"));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{sent:.60}: {head}");
        assert_eq!((body["status"].as_str(), body["message"].as_str()), (Some(code), Some(message)));
        let id = body["request_id"].as_str().unwrap();
        for line in [
            &format!("x-request-id: {id}"),
            "content-type: application/json",
            "connection: close",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.lines().any(|said| said == line), "{sent:.60}: no {line} in {head}");
        }
        assert!(head.contains("\r\ndate: "), "{head}");
        answers.len()
    };
    let (bad, large) = ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED");
    let method = "the head of the request is not HTTP/1.1: invalid HTTP method parsed";
    let header = "the head of the request is not HTTP/1.1: invalid HTTP header parsed";
    let over = "the head of the request is over a limit: 65536 bytes, or 100 headers";
    let uri = "the URI of the request is longer than any that is read";
    let (s400, s431) = ("400 Bad Request", "431 Request Header Fields Too Large");
    assert_eq!(check("nonsense\r\n\r\n", s400, bad, method).await, 0);
    let tls = "TLS was spoken to a port of plain HTTP: say http:// instead of https:// (grpcurl: -plaintext)";
    assert_eq!(check("\x16\x03\x01\x02\0\x01\0", s400, bad, tls).await, 0);
    assert_eq!(check("GET /ping HTTP/1.0\r\nno header\r\n\r\n", s400, bad, header).await, 0);
    check(&format!("GET /ping HTTP/1.1\r\nhost: t\r\n{many}\r\n"), s431, large, over).await;
    check(&format!("GET /ping HTTP/1.1\r\nhost: t\r\nx: {longer}\r\n\r\n"), s431, large, over).await;
    check(&format!("GET /{long} HTTP/1.1\r\nhost: t\r\n\r\n"), "414 URI Too Long", large, uri).await;
    // What was asked before it is answered first.
    let ping = "GET /ping HTTP/1.1\r\nhost: t\r\n\r\n";
    assert_eq!(check(&format!("{ping}{ping}nonsense\r\n\r\n"), s400, bad, method).await, 2);
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_refused_by_the_deployments_profile() {
    let profile = "[rest.errors]\nfields = [\"code\", \"text=message\"]\n";
    let gateway = World::new().with_config(profile).start();
    let answers = answers(gateway.address, b"nonsense\r\n\r\n").await;
    let body: Value = serde_json::from_str(&answers[0].1).unwrap();
    assert!(body["text"].as_str().unwrap().starts_with("the head of the request is not"), "{body}");
}

#[tokio::test]
async fn a_body_that_looks_like_a_refusal_goes_out_whole() {
    let refusal = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                   date: Sat, 28 Nov 2026 02:43:28 GMT\r\n\r\n";
    let gateway = World::new()
        .with_config(&format!("[[routes]]\npath = \"/odd\"\nrespond = {{ body = {refusal:?} }}\n"))
        .start();
    let odd = "GET /odd HTTP/1.1\r\nhost: t\r\n\r\n";
    let last = "GET /odd HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let bodies = async |sent: String| -> Vec<String> {
        answers(gateway.address, sent.as_bytes()).await.into_iter().map(|(_, body)| body).collect()
    };
    assert_eq!(bodies(last.to_owned()).await, [refusal]);
    assert_eq!(bodies(format!("{odd}{odd}{last}")).await, [refusal; 3]);
    let with_refusal = bodies(format!("{odd}nonsense\r\n\r\n")).await;
    assert_eq!((with_refusal.len(), with_refusal[0].as_str()), (2, refusal));
    assert!(with_refusal[1].contains("the head of the request is not HTTP/1.1"), "{with_refusal:?}");
    // A client that waits for each answer has it without asking for more.
    let response = http1(gateway.address, request(&Method::GET, "/odd", &[], "")).await;
    assert_eq!(response.body().0, refusal);
}

#[tokio::test]
async fn a_routes_own_rules_say_which_pages_may_call() {
    let gateway = World::with_library(library::start().await)
        .with_config(
            "[cors]\norigins = [\"https://a.example\"]\n\
             [[routes]]\nservice = \"library.v1.Library/GetBook\"\ncors = { origins = [\"https://b.example\"] }\n\
             [[routes]]\npath = \"/open\"\nrespond = { body = \"hi\" }\ncors = { origins = [\"*\"] }\n",
        )
        .start();
    let asks = ("access-control-request-method", "GET");
    let by_web = ("access-control-request-method", "POST");
    let check = async |method: &str, path: &str, page: &str, further: &[(&str, &str)], want: &str| {
        let headers = [&[("origin", page)], further].concat();
        let (_, told) = told(gateway.address, method, path, &headers).await;
        assert_eq!(said(&told, "access-control-allow-origin"), want, "{method} {path} by {page}");
    };
    let (a, b) = ("https://a.example", "https://b.example");
    let get = "/v1/books:get?name=x";
    check("GET", get, a, &[], "").await;
    check("GET", get, b, &[], b).await;
    check("OPTIONS", get, b, &[asks], b).await;
    check("OPTIONS", get, a, &[asks], "").await;
    check("OPTIONS", "/library.v1.Library/GetBook", b, &[by_web], b).await;
    check("OPTIONS", "/library.v1.Library/GetBook", a, &[by_web], "").await;
    check("GET", "/open", "https://c.example", &[], "*").await;
    check("OPTIONS", "/open", "https://c.example", &[asks], "*").await;
    check("GET", "/nowhere", a, &[], a).await;
    check("GET", "/ping", b, &[], "").await;
    check("GET", "/ping", a, &[], a).await;
}

#[tokio::test]
async fn a_request_of_http1_has_one_host() {
    let gateway = World::new().start();
    let check = async |hosts: &str, want: &str| {
        let (status, body) =
            raw(gateway.address, format!("GET /ping HTTP/1.1\r\n{hosts}\r\n").as_bytes()).await;
        assert_eq!((status, body["message"].as_str()), (400, Some(want)), "{body}");
    };
    check("", "a request of HTTP/1.1 has one Host header; this one has 0").await;
    check("host: a\r\nhost: b\r\n", "a request of HTTP/1.1 has one Host header; this one has 2").await;
    let (status, _) = raw(gateway.address, b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn long_answers_of_the_gateways_own_are_compressed_too() {
    let long = "x".repeat(2000);
    let gateway = World::new()
        .with_config(&format!("[[routes]]\npath = \"/long\"\nrespond = {{ body = \"{long}\" }}\n"))
        .start();
    for path in ["/long", &format!("/ping?{long}=1")] {
        let (_, coded) = told(gateway.address, "GET", path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(
            (said(&coded, "content-encoding"), said(&coded, "vary")),
            ("gzip", "accept-encoding"),
            "{path}"
        );
        let length: usize = said(&coded, "content-length").parse().unwrap();
        assert!(length < 1000, "{path}: {length}");
        let (_, plain) = told(gateway.address, "GET", path, &[]).await;
        assert_eq!(said(&plain, "content-encoding"), "", "{path}");
    }
}

#[tokio::test]
async fn so_many_headers_may_come_as_the_config_says() {
    let gateway = World::new().with_config("[limits]\nheaders = 30\n").start();
    for (count, want) in [(29, "HTTP/1.1 200"), (31, "HTTP/1.1 431")] {
        // Two of them are said below.
        let many: String = (2..count).map(|n| format!("x-{n}: 1\r\n")).collect();
        let sent = format!("GET /ping HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{many}\r\n");
        let (head, body) = answers(gateway.address, sent.as_bytes()).await.pop().unwrap();
        assert!(head.starts_with(want), "{count}: {head}");
        assert_eq!(body.contains("or 30 headers"), count > 30, "{body}");
    }
}

#[tokio::test]
async fn the_slash_at_the_end_of_a_pages_path_is_what_the_config_says() {
    for (setting, want) in [("strict", (404, "")), ("ignore", (200, "")), ("redirect", (308, "/docs?a=b"))] {
        let gateway = World::new().with_config(&format!("[rest]\ntrailing_slash = \"{setting}\"\n")).start();
        let (status, headers) = told(gateway.address, "GET", "/docs/?a=b", &[]).await;
        assert_eq!((status, said(&headers, "location")), want, "{setting}");
    }
}
