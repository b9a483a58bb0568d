//! Routes as the config has them: paths that answer by themselves, rules by route over every surface, built-ins that are
//! off or moved, what would never be reached, and the profile of the REST face.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use propylon::proto::{
    gateway_v1::{GetInfoRequest, GetInfoResponse, ListRoutesRequest, ListRoutesResponse},
    grpc_health_v1::{HealthCheckRequest, HealthListRequest, HealthListResponse},
    grpc_reflection_v1::{
        ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    },
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    schemas::call,
    support::{
        client::{Outcome, frames, grpc, grpc_web, http1, http2, request, rest},
        gateway::{TestGateway, World},
        library::{self, PATIENCE, framed},
        reflecting::Reflecting,
    },
};

/// One request over HTTP/1.1: status, headers, body as text.
async fn ask(
    gateway: &TestGateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, String) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let response = http1(gateway.address, request(&method, path, headers, "")).await;
    let (head, (body, _)) = response.into_parts();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(gateway: &TestGateway, path: &str) -> (u16, String) {
    let (status, _, body) = ask(gateway, "GET", path, &[]).await;
    (status, body)
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// Sends bytes as they are, closes the sending side, and reads to the end.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

const RESPONDING: &str = r#"
[[routes]]
name = "greeting"
path = "/hello/{name}"
methods = ["GET", "put"]
respond = { status = 203, headers = { X-Name = "n-${path.name}", X-Lang = "${header.accept-language}" }, body = { hello = "${path.name}", q = "${query.q}", from = "${request.method} ${request.path}", id = "${request.id}", nested = ["${request.host}", 7] } }
[[routes]]
path = "/text/{rest=**}"
respond = { body = "got ${path.rest} $${x}" }
[[routes]]
path = "/page/{name}"
respond = { body = "<h1>${path.name}</h1>", content_type = "text/html; charset=utf-8" }
[[routes]]
path = "/any"
methods = ["*"]
respond = { status = 204 }
[[routes]]
path = "/v1/shelves/1/books/own"
respond = { body = "mine" }
"#;

#[tokio::test]
async fn a_path_answers_with_the_requests_own_words() {
    let gateway = World::with_library(library::start().await).with_config(RESPONDING).start();
    let sent = [("accept-language", "de"), ("x-request-id", "r-1"), ("host", "a.example")];
    for method in ["GET", "PUT"] {
        let (status, headers, body) =
            ask(&gateway, method, "/hello/J%C3%B6rg%20%22x%22?q=a+b%5C", &sent).await;
        assert_eq!((status, said(&headers, "content-type")), (203, "application/json"));
        assert_eq!((said(&headers, "x-name"), said(&headers, "x-lang")), ("n-J%C3%B6rg \"x\"", "de"));
        let want = json!({
            "hello": "Jörg \"x\"", "q": "a b\\", "from": format!("{method} /hello/J%C3%B6rg%20%22x%22"), "id": "r-1",
            "nested": ["a.example", 7]
        });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), want);
    }
    let (status, headers, body) = ask(&gateway, "GET", "/text/a/b%2Fc", &[]).await;
    assert_eq!(
        (status, said(&headers, "content-type"), body.as_str()),
        (200, "text/plain; charset=utf-8", "got a/b%2Fc ${x}")
    );
    assert_eq!(
        get(&gateway, "/page/%3Cscript%3E&'").await,
        (200, "<h1>&lt;script&gt;&amp;&#39;</h1>".to_owned())
    );
    // The more exact template goes first, whichever it is of.
    assert_eq!(get(&gateway, "/v1/shelves/1/books/own").await, (200, "mine".to_owned()));
    let (status, body) = get(&gateway, "/v1/shelves/1/books/other").await;
    assert!(status == 200 && body.contains("shelves/1/books/other"), "{status} {body}");
    // Over HTTP/2 the host is in the address.
    let response = http2(gateway.address, request(&Method::GET, "/hello/x", &[], "")).await;
    let body: Value = serde_json::from_slice(&response.body().0).unwrap();
    assert_eq!((response.status().as_u16(), &body["nested"][0]), (203, &json!(gateway.address.to_string())));
}

#[tokio::test]
async fn other_methods_of_a_path_that_answers_by_itself() {
    let gateway = World::new().with_config(RESPONDING).start();
    let (status, headers, body) = ask(&gateway, "HEAD", "/text/abc", &[]).await;
    assert_eq!((status, said(&headers, "content-length"), body.as_str()), (200, "12", ""));
    let (status, headers, _) = ask(&gateway, "OPTIONS", "/hello/x", &[]).await;
    assert_eq!((status, said(&headers, "allow")), (204, "GET, HEAD, PUT, OPTIONS"));
    let (status, headers, body) = ask(&gateway, "DELETE", "/hello/x", &[]).await;
    assert_eq!((status, said(&headers, "allow")), (405, "GET, HEAD, PUT, OPTIONS"));
    assert!(body.contains("/hello/x has no DELETE; it has GET, HEAD, PUT"), "{body}");
    for method in ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"] {
        let (status, headers, body) = ask(&gateway, method, "/any", &[]).await;
        assert_eq!((status, said(&headers, "content-type"), body.as_str()), (204, "", ""), "{method}");
    }
    let (status, body) = get(&gateway, "/helo/x").await;
    assert!(
        status == 404 && body.contains("there is no GET /helo/x; the nearest is GET /hello/{name}"),
        "{body}"
    );
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let (status, _, body) = ask(&gateway, "GET", "/hello/x", &upgrade).await;
    assert_eq!(status, 400);
    assert!(body.contains("/hello/x answers HTTP requests alone: there is no WebSocket here"), "{body}");
}

#[tokio::test]
async fn what_a_client_sends_fills_a_place_and_nothing_more() {
    let config = r#"
        [[routes]]
        path = "/echo/{name}"
        respond = { headers = { X-Captured = "${path.name}", X-Query = "${query.q}", X-Header = "${header.x-in}" }, body = { c = "${path.name}", q = "${query.q}" } }
        [[routes]]
        path = "/to/{name}"
        redirect = { to = "/dir/${path.name}?next=${query.q}" }
    "#;
    let gateway = World::new().with_config(config).start();
    for attack in [
        "a%0d%0aX-Evil:%201",
        "a%0aX-Evil: 1",
        "%0d%0a%0d%0a<html>",
        "a%00b",
        "%7f",
        "%e2%80%a8",
        "%C4%8D%C4%8AX-Evil:1",
    ] {
        let attack = attack.replace(' ', "%20").replace('<', "%3C").replace('>', "%3E");
        let decoded = percent_encoding::percent_decode_str(&attack).decode_utf8().unwrap().into_owned();
        let head = format!("HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx-in: {}\r\n\r\n", "a\tb");
        let answer = raw(gateway.address, format!("GET /echo/{attack}?q={attack} {head}").as_bytes()).await;
        let (head_text, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head_text.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let evil = |line: &str| line.to_ascii_lowercase().starts_with("x-evil");
        assert!(!head_text.split(['\r', '\n']).any(evil), "{answer}");
        assert!(head_text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')), "{answer:?}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, json!({ "c": decoded, "q": decoded }));
        let answer = raw(gateway.address, format!("GET /to/{attack}?q={attack} {head}").as_bytes()).await;
        assert!(!answer.split(['\r', '\n']).any(evil), "{answer}");
        let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        assert!(
            location.starts_with("/dir/") && location.bytes().all(|byte| byte.is_ascii_graphic()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn redirects_lead_where_the_config_says() {
    let config = r#"
        [[routes]]
        path = "/old/{rest=**}"
        methods = ["*"]
        redirect = { to = "/${path.rest}" }
        [[routes]]
        path = "/moved/{name}"
        redirect = { to = "https://new.example/${path.name}#part", status = 302 }
        [[routes]]
        path = "/dropped"
        redirect = { to = "/x", status = 303, keep_query = false }
        [[routes]]
        path = "/own"
        redirect = { to = "/x?a=b" }
        [[routes]]
        path = "/same/{rest=**}"
        redirect = { to = "/other${request.path}" }
        [[routes]]
        path = "/secure"
        redirect = { to = "https://${request.host}${request.path}", status = 301 }
    "#;
    let gateway = World::new().with_config(config).start();
    let check = async |method: &str, path: &str, status: u16, location: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: h.example:8\r\nconnection: close\r\n\r\n");
        let answer = raw(gateway.address, head.as_bytes()).await;
        let seen = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
        assert_eq!((&answer[9..12], seen), (status.to_string().as_str(), location), "{path}: {answer}");
    };
    check("GET", "/old/a/b%2Fc%20d?x=1&y", 308, "/a/b%2Fc%20d?x=1&y").await;
    check("POST", "/old/a", 308, "/a").await;
    // Two slashes would begin a host.
    check("GET", "/old//evil.example/x", 308, "/evil.example/x").await;
    check("GET", "/old/%5Cevil.example", 308, "/%5Cevil.example").await;
    check("GET", "/old/%2Fevil.example", 308, "/%2Fevil.example").await;
    check("GET", "/moved/a%2Fb?q=1", 302, "https://new.example/a%2Fb?q=1#part").await;
    check("GET", "/moved/@evil.example%3f", 302, "https://new.example/%40evil.example%3F#part").await;
    check("GET", "/dropped?q=1", 303, "/x").await;
    check("GET", "/own?q=1", 308, "/x?a=b").await;
    check("GET", "/same/%61%20%5Cb", 308, "/other/same/%61%20%5Cb").await;
    check("GET", "/same/%61\\b", 400, "").await;
    check("GET", "/secure?a=1", 301, "https://h.example:8/secure?a=1").await;
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_taken_within_the_limit() {
    let config = r#"
        [connections]
        body_timeout = "500ms"
        [[routes]]
        path = "/take"
        methods = ["POST"]
        request_bytes = 10
        respond = { body = "taken" }
    "#;
    let gateway = World::new().with_config(config).start();
    // The body does not become the next request.
    let two = "POST /take HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nGET / HTTGET /nowhere HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    let answer = raw(gateway.address, two.as_bytes()).await;
    let statuses: Vec<_> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404"], "{answer}");
    let send =
        async |body: &str| rest(gateway.address, request(&Method::POST, "/take", &[], body.to_owned())).await;
    assert_eq!(send("0123456789").await.http, 200);
    let outcome = send("0123456789a").await;
    assert_eq!(
        (outcome.http, outcome.message.as_str()),
        (413, "the request's body is over the limit of 10 bytes")
    );
    let chunked = "POST /take HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
    let answer = raw(gateway.address, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let slow = "POST /take HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\nx-request-timeout: 0.2\r\nconnection: close\r\n\r\nabc";
    let answer = raw(gateway.address, slow.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let stalled = slow.replace("x-request-timeout: 0.2\r\n", "");
    let answer = raw(gateway.address, stalled.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("paused for 500ms"), "{answer}");
}

/// An upstream that takes every call and answers none.
async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|_| std::future::pending::<Result<Response<String>, Infallible>>());
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// A call of a unary method of the library's over each surface.
async fn over_each(
    gateway: SocketAddr,
    method: &str,
    message: &str,
    json: &str,
    verb: (Method, &str, &str),
) -> Vec<(&'static str, Outcome)> {
    let path = format!("/library.v1.Library/{method}");
    let body = frames(&format!("library.v1.{message}"), &[json]);
    let book = "library.v1.Book";
    let (verb, at, sent) = verb;
    vec![
        ("gRPC", grpc(gateway, &path, &[], body.clone(), book).await),
        ("gRPC-Web", grpc_web(gateway, false, &path, &[], body.clone(), book).await),
        ("gRPC-Web text", grpc_web(gateway, true, &path, &[], body, book).await),
        ("REST", rest(gateway, request(&verb, at, &[], sent.to_owned())).await),
    ]
}

#[tokio::test]
async fn the_most_specific_rule_holds_on_every_surface() {
    let config = r#"
        [[routes]]
        service = "library.v1.*"
        request_bytes = 20
        [[routes]]
        service = "library.v1.Library/CreateBook"
        request_bytes = 100
        [[routes]]
        service = "propylon.gateway.v1.RoutingService"
        request_bytes = 8
    "#;
    let gateway = World::with_library(library::start().await).with_config(config).start();
    let title = "t".repeat(50);
    let fits = format!(r#"{{"shelf": "1", "book": {{"title": "{title}"}}}}"#);
    let book = format!(r#"{{"title": "{title}"}}"#);
    let at = (Method::POST, "/v1/shelves/1/books", book.as_str());
    for (surface, outcome) in over_each(gateway.address, "CreateBook", "CreateBookRequest", &fits, at).await {
        assert_eq!(outcome.code, 0, "{surface}: {outcome:?}");
    }
    let long = format!(r#"{{"message": "{title}"}}"#);
    let at = (Method::POST, "/v1/fail", long.as_str());
    for (surface, outcome) in over_each(gateway.address, "Fail", "FailRequest", &long, at).await {
        assert_eq!(outcome.code, 8, "{surface}: {outcome:?}");
        assert!(outcome.message.contains("over the limit of 20 bytes"), "{surface}: {outcome:?}");
        assert_eq!(outcome.http, if surface == "REST" { 413 } else { 200 });
    }
    // The gateway's own services have rules too.
    let request_of = |service: &str| framed(&ListRoutesRequest { service: service.into() }.encode_to_vec());
    let list = "/propylon.gateway.v1.RoutingService/ListRoutes";
    let outcome = grpc(gateway.address, list, &[], request_of("a.very.long.Name"), "library.v1.Book").await;
    assert_eq!(
        (outcome.code, outcome.message.as_str()),
        (8, "a request message of 18 bytes is over the limit of 8 bytes")
    );
}

#[tokio::test]
async fn a_service_without_a_schema_has_rules_by_method_service_and_prefix() {
    let config = format!(
        r#"
        [[upstreams]]
        name = "legacy"
        grpc = "http://{}"
        reflection = false
        [[routes]]
        service = "library.*"
        upstream = "legacy"
        request_bytes = 10
        [[routes]]
        service = "library.v1.Library"
        request_bytes = 30
        [[routes]]
        service = "library.v1.Library/CreateBook"
        request_bytes = 100
    "#,
        library::start().await
    );
    let gateway = World::new().with_config(&config).start();
    let send = async |path: &str, length: usize| {
        let text = "t".repeat(length);
        let body = frames("library.v1.Book", &[&format!(r#"{{"title": "{text}"}}"#)]);
        grpc(gateway.address, path, &[], body, "library.v1.Book").await
    };
    let limited = async |path: &str, limit: usize| {
        let outcome = send(path, limit + 1).await;
        assert!(
            outcome.message.ends_with(&format!("over the limit of {limit} bytes")),
            "{path}: {outcome:?}"
        );
        assert_ne!(send(path, limit - 2).await.code, 8, "{path}");
    };
    limited("/library.v2.Other/Any", 10).await;
    limited("/library.v1.Library/PutBook", 30).await;
    limited("/library.v1.Library/CreateBook", 100).await;
    let all: Vec<ListRoutesResponse> = call(
        gateway.address,
        "/propylon.gateway.v1.RoutingService/ListRoutes",
        &ListRoutesRequest::default(),
    )
    .await;
    let listed: Vec<_> =
        all[0].routes.iter().filter(|route| route.source == "legacy").map(|route| &*route.path).collect();
    assert_eq!(listed, ["/library.*", "/library.v1.Library/*"]);
}

#[tokio::test]
async fn a_rules_timeout_cuts_unary_calls_and_one_method_may_go_elsewhere() {
    let config = format!(
        r#"
        [[upstreams]]
        name = "silent"
        grpc = "http://{}"
        reflection = false
        [[routes]]
        service = "library.v1.Library/PutBook"
        upstream = "silent"
        timeout = "300ms"
    "#,
        silent().await
    );
    let gateway = World::with_library(library::start().await).with_config(&config).start();
    let begun = std::time::Instant::now();
    let at = (Method::PUT, "/v1/shelves/1/books/2", "{}");
    for (surface, outcome) in over_each(gateway.address, "PutBook", "Book", "{}", at).await {
        assert_eq!(outcome.code, 4, "{surface}: {outcome:?}");
    }
    assert!(begun.elapsed() >= Duration::from_millis(1200) && begun.elapsed() < Duration::from_secs(20));
    let (status, _) = get(&gateway, "/v1/shelves/1/books/2").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_meet_the_rules_of_the_route_they_call() {
    let config = r#"
        [cors]
        origins = ["https://general.example"]
        [[routes]]
        service = "library.v1.Library/GetBook"
        cors = { origins = ["https://books.example"] }
        [[routes]]
        path = "/hello"
        methods = ["DELETE"]
        cors = { origins = ["https://hello.example"] }
        respond = { body = "x" }
    "#;
    let gateway = World::with_library(library::start().await).with_config(config).start();
    let allowed = async |method: &str, path: &str, origin: &str, asks: &str| {
        let asked = [("origin", origin), ("access-control-request-method", asks)];
        let headers = if asks.is_empty() { &asked[..1] } else { &asked[..] };
        let (_, headers, _) = ask(&gateway, method, path, headers).await;
        said(&headers, "access-control-allow-origin").to_owned()
    };
    let book = "/v1/shelves/1/books/2";
    for (method, path, origin, asks, want) in [
        ("GET", book, "https://books.example", "", true),
        ("GET", book, "https://general.example", "", false),
        ("OPTIONS", book, "https://books.example", "GET", true),
        ("OPTIONS", book, "https://general.example", "GET", false),
        // Another method of the same path is another route.
        ("OPTIONS", book, "https://general.example", "PUT", true),
        ("OPTIONS", book, "https://books.example", "PUT", false),
        ("OPTIONS", "/library.v1.Library/GetBook", "https://books.example", "POST", true),
        ("OPTIONS", "/library.v1.Library/Fail", "https://books.example", "POST", false),
        ("OPTIONS", "/hello", "https://hello.example", "DELETE", true),
        ("OPTIONS", "/nowhere", "https://general.example", "GET", true),
    ] {
        let seen = allowed(method, path, origin, asks).await;
        assert_eq!(seen, if want { origin } else { "" }, "{method} {path} {origin} {asks}");
    }
}

/// What the gateway's reflection answers to one question, as an error's code or the number of files.
async fn reflected(gateway: SocketAddr, version: &str, question: MessageRequest) -> Result<usize, i32> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let answers: Vec<ServerReflectionResponse> = call(gateway, &path, &request).await;
    match answers[0].message_response.clone().unwrap() {
        MessageResponse::FileDescriptorResponse(files) => Ok(files.file_descriptor_proto.len()),
        MessageResponse::ListServicesResponse(list) => Ok(list.service.len()),
        MessageResponse::ErrorResponse(error) => Err(error.error_code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_switched_off_is_on_no_surface() {
    let gateway =
        World::with_library(library::start().await).with_config("[builtin.health]\nenabled = false").start();
    let address = gateway.address;
    let service = "propylon.gateway.v1.HealthService";
    let (status, body) = get(&gateway, "/health").await;
    assert!(status == 404 && body.contains("there is no GET /health"), "{body}");
    let path = format!("/{service}/Ping");
    let outcome = grpc(address, &path, &[], framed(b""), "library.v1.Book").await;
    assert_eq!(outcome.code, 12, "{outcome:?}");
    assert!(outcome.message.starts_with(&format!("unknown service {service}")), "{outcome:?}");
    assert_eq!(grpc_web(address, true, &path, &[], framed(b""), "library.v1.Book").await.code, 12);
    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.into());
    for version in ["v1", "v1alpha"] {
        assert_eq!(reflected(address, version, symbol(service)).await, Err(5), "{version}");
        let file = MessageRequest::FileByFilename("propylon/gateway/v1/health.proto".into());
        assert_eq!(reflected(address, version, file).await, Err(5), "{version}");
        let files = reflected(address, version, symbol("propylon.gateway.v1.RoutingService")).await;
        assert!(files.unwrap() > 1, "{version}");
    }
    let health: Vec<HealthListResponse> =
        call(address, "/grpc.health.v1.Health/List", &HealthListRequest::default()).await;
    assert!(
        !health[0].statuses.contains_key(service) && health[0].statuses.contains_key("library.v1.Library")
    );
    let routes: Vec<ListRoutesResponse> =
        call(address, "/propylon.gateway.v1.RoutingService/ListRoutes", &ListRoutesRequest::default()).await;
    assert!(routes[0].routes.iter().all(|route| route.service != service));
    let info: Vec<GetInfoResponse> =
        call(address, "/propylon.gateway.v1.RoutingService/GetInfo", &GetInfoRequest {}).await;
    assert!(info[0].services.iter().all(|known| known.name != service));
    let outcome = grpc(
        address,
        "/grpc.health.v1.Health/Check",
        &[],
        framed(&HealthCheckRequest { service: service.into() }.encode_to_vec()),
        "library.v1.Book",
    );
    assert_eq!(outcome.await.code, 5);
}

#[tokio::test]
async fn without_reflection_and_health_calls_go_on() {
    let config = "[builtin.reflection]\nenabled = false\n[builtin.grpc_health]\nenabled = false";
    let gateway = World::with_library(library::start().await).with_config(config).start();
    for path in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
    ] {
        let outcome = grpc(gateway.address, path, &[], framed(b""), "library.v1.Book").await;
        assert_eq!(outcome.code, 12, "{path}: {outcome:?}");
        assert!(outcome.message.starts_with("unknown service grpc."), "{outcome:?}");
    }
    let body = frames("library.v1.GetBookRequest", &[r#"{"name": "shelves/1/books/2"}"#]);
    let outcome = grpc(gateway.address, "/library.v1.Library/GetBook", &[], body, "library.v1.Book").await;
    assert_eq!((outcome.code, &outcome.messages[0]["name"]), (0, &json!("shelves/1/books/2")));
    assert_eq!(get(&gateway, "/ping").await.0, 200);
    assert_eq!(get(&gateway, "/readyz").await.0, 200);
}

#[tokio::test]
async fn what_is_moved_is_there_and_not_where_it_was() {
    let config = r#"
        [builtin.health]
        prefix = "/internal/x"
        proto_names = false
        [builtin.routing]
        prefix = "/r"
        [rest.health]
        fields = ["cache_hit", "status", "summary"]
        [health]
        checks = ["server"]
        [[http_rules]]
        selector = "propylon.gateway.v1.HealthService.Ping"
        get = "/own/ping"
    "#;
    let gateway = World::new().with_config(config).start();
    for path in ["/internal/x/health", "/internal/x/api/v1/health"] {
        let (status, body) = get(&gateway, path).await;
        assert_eq!(status, 200, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((members, &body["status"]), (vec!["cacheHit", "status", "summary"], &json!("healthy")));
    }
    for (path, status) in [
        ("/health", 404),
        ("/gateway/info", 404),
        ("/r/gateway/info", 200),
        // A rule of the operator's is where it says.
        ("/own/ping", 200),
        ("/internal/x/own/ping", 404),
        ("/internal/x/ping", 404),
    ] {
        assert_eq!(get(&gateway, path).await.0, status, "{path}");
    }
    let (_, info) = get(&gateway, "/r/gateway/info").await;
    assert!(info.contains("\"started_at\"") && !info.contains("\"startedAt\""), "{info}");
    // What gRPC clients get is whole, and where it was.
    let check = "/propylon.gateway.v1.HealthService/Check";
    let whole: Vec<propylon::proto::gateway_v1::CheckResponse> =
        call(gateway.address, check, &propylon::proto::gateway_v1::CheckRequest {}).await;
    assert!(!whole[0].version.is_empty() && !whole[0].checks.is_empty());
    let routes: Vec<ListRoutesResponse> = call(
        gateway.address,
        "/propylon.gateway.v1.RoutingService/ListRoutes",
        &ListRoutesRequest::default(),
    )
    .await;
    let found = routes[0].routes.iter().find(|route| route.path == check).unwrap();
    assert_eq!(found.rest, ["GET /internal/x/health", "GET /internal/x/api/v1/health"]);
}

#[tokio::test]
async fn what_would_never_be_reached_is_refused_and_both_are_named() {
    let upstream = library::start().await;
    let check = async |config: &str, want: &[&str]| {
        let (code, said) = World::with_library(upstream).with_config(config).fails();
        assert_ne!(code, 0, "{config}");
        for want in want {
            assert!(said.contains(want), "{config}\nsaid {said}\nnot {want}");
        }
    };
    let route = |path: &str, methods: &str| {
        format!("[[routes]]\npath = \"{path}\"\nmethods = [{methods}]\nrespond = {{ body = \"x\" }}\n")
    };
    check(
        &route("/health", "\"GET\""),
        &["routes[0].path: GET /health would never be reached: there is GET /health of the gateway's own \
         propylon.gateway.v1.HealthService.Check ([builtin.health])"],
    )
    .await;
    check(&route("/health", "\"*\""), &["routes[0].path: * /health would never be reached"]).await;
    check(&(route("/a/{b}", "\"GET\"") + &route("/livez", "\"POST\"")), &[
        "routes[1].path: POST /livez would never be reached: there is the gateway's own /livez ([builtin.probes])",
    ])
    .await;
    check(&route("/docs/{page}", "\"GET\""), &["the gateway's own /docs ([builtin.docs])"]).await;
    check(
        &route("/mcp/oauth", "\"GET\""),
        &["/mcp of MCP (mcp.path moves it, and mcp.enabled = false switches it off)"],
    )
    .await;
    check(&route("/.well-known/{name}", "\"GET\""), &["/.well-known, which is kept for the gateway itself"])
        .await;
    check(&(route("/a/{b}", "\"GET\", \"PUT\"") + &route("/a/{c}", "\"PUT\"")), &[
        "routes[1].path: two bindings match the same requests: PUT /a/{b} of routes[0] and PUT /a/{c} of routes[1]",
    ])
    .await;
    check(&route("/v1/fail", "\"POST\""), &[
        "upstreams.library: two bindings match the same requests: POST /v1/fail of routes[0] and POST /v1/fail of \
         library.v1.Library.Fail",
    ])
    .await;
    check("[[http_rules]]\nselector = \"library.v1.Library.Plain\"\nget = \"/ping\"", &[
        "http_rules[0].get: GET /ping of library.v1.Library.Plain would never be reached: there is GET /ping of the \
         gateway's own propylon.gateway.v1.HealthService.Ping ([builtin.health])",
    ])
    .await;
    check(
        "[[http_rules]]\nselector = \"library.v1.Library.GetBok\"\nget = \"/x\"",
        &["http_rules[0].selector: ", "did you mean \"library.v1.Library.GetBook\""],
    )
    .await;
    check("[builtin.redoc]\nprefix = \"/docs/more\"", &[
        "builtin.redoc.prefix: /docs/more would never be reached: there is the gateway's own /docs ([builtin.docs])",
    ])
    .await;
    check("[builtin.health]\nprefix = \"/redoc\"", &["builtin.health.prefix: GET /redoc/health of"]).await;
    check("[[routes]]\nservice = \"library.v1.Libary\"\ntimeout = \"1s\"", &[
        "routes[0].service: no service or method that is served is \"library.v1.Libary\" (did you mean \"library.v1.Library\"?)",
    ])
    .await;
    check(
        "[[routes]]\nservice = \"library.v1.Library/GetBok\"\ntimeout = \"1s\"",
        &["did you mean \"library.v1.Library/GetBook\"?"],
    )
    .await;
    check("[builtin.health]\nenabled = false\n[[routes]]\nservice = \"propylon.gateway.v1.HealthService\"\ntimeout = \"1s\"", &[
        "routes[0].service: no service or method that is served is \"propylon.gateway.v1.HealthService\"",
    ])
    .await;
    let twice = "[[routes]]\nservice = \"library.*\"\ntimeout = \"1s\"\n";
    check(
        &twice.repeat(2),
        &["routes[1].service: two routes match the same calls: \"library.*\" here and in routes[0]"],
    )
    .await;
    // Every mistake at once.
    check(&(route("/livez", "\"GET\"") + &route("/mcp", "\"GET\"")), &["routes[0].path:", "routes[1].path:"])
        .await;
}

#[tokio::test]
async fn what_reflection_brings_in_the_way_is_left_out_and_told() {
    let methods = r#"
        rpc Ping(Item) returns (Item) { option (google.api.http) = { get: "/ping" }; }
        rpc Live(Item) returns (Item) {
            option (google.api.http) = { get: "/livez" additional_bindings { get: "/v1/live" } };
        }
        rpc Mine(Item) returns (Item) { option (google.api.http) = { get: "/mine/{name}" }; }
    "#;
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), methods).await;
    let config = format!(
        r#"
        [[upstreams]]
        name = "shop"
        grpc = "http://{}"
        [[routes]]
        path = "/mine/{{x}}"
        respond = {{ body = "mine" }}
        [[routes]]
        service = "shop.v1.Shp"
        timeout = "1s"
    "#,
        upstream.address
    );
    let gateway = World::new().with_config(&config).start();
    // The upstream answers once this waits: both are on one thread.
    let begun = std::time::Instant::now();
    while get(&gateway, "/v1/live?name=a").await.0 != 200 {
        assert!(begun.elapsed() < PATIENCE, "{}", gateway.program.output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for words in [
        "GET /ping of shop.v1.Shop.Ping would never be reached: there is GET /ping of the gateway's own",
        "GET /livez of shop.v1.Shop.Live would never be reached: there is the gateway's own /livez",
        "two bindings match the same requests: GET /mine/{x} of routes[0] and GET /mine/{name} of shop.v1.Shop.Mine; it is left out",
        "routes[1].service: no service or method that is served is \"shop.v1.Shp\"",
    ] {
        // A log that is JSON has its quotes escaped.
        let seen = gateway.program.output().replace("\\\"", "\"");
        assert!(seen.contains(words), "{words}\n{seen}");
    }
    let (status, body) = get(&gateway, "/ping").await;
    assert!(status == 200 && body.contains("pong"), "{body}");
    assert_eq!(get(&gateway, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&gateway, "/mine/a").await, (200, "mine".to_owned()));
    // They are still there by gRPC.
    let outcome = grpc(gateway.address, "/shop.v1.Shop/Mine", &[], framed(b""), "library.v1.Book").await;
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[tokio::test]
async fn a_route_that_answers_by_itself_is_explained() {
    let gateway = World::new().with_config(RESPONDING).start();
    let ask = json!({ "method": "PUT", "path": "/hello/x", "body": "abc" }).to_string();
    let headers = [("content-type", "application/json")];
    let outcome =
        rest(gateway.address, request(&Method::POST, "/api/v1/routes:explain", &headers, ask)).await;
    let said = &outcome.messages[0];
    assert_eq!(
        (&said["outcome"], &said["destination"]["kind"]),
        (&json!("answered"), &json!("respond")),
        "{said}"
    );
    assert_eq!(said["route"]["name"], "greeting");
}

#[tokio::test]
async fn what_is_off_leaves_its_place_to_routes() {
    let config = r#"
        [builtin.index]
        enabled = false
        [builtin.health]
        enabled = false
        [[routes]]
        path = "/"
        respond = { body = "root" }
        [[routes]]
        path = "/health"
        respond = { body = "mine" }
        [[routes]]
        path = "/{name}"
        respond = { body = "other ${path.name}" }
    "#;
    let gateway = World::new().with_config(config).start();
    for (path, want) in [("/", "root"), ("/health", "mine"), ("/x", "other x"), ("/livez", "ok\n")] {
        assert_eq!(get(&gateway, path).await, (200, want.to_owned()), "{path}");
    }
}

/// An error body's members in the order they came, and the body.
async fn failure(gateway: &TestGateway, method: &str, path: &str) -> (u16, Vec<String>, Value) {
    let (status, _, body) = ask(gateway, method, path, &[]).await;
    let json: Value = serde_json::from_str(&body).unwrap();
    let mut names: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
    names.sort_by_key(|name| body.find(&format!("\"{name}\":")));
    (status, names, json)
}

#[tokio::test]
async fn error_bodies_are_those_of_the_profile() {
    // dream: error, message, timestamp; a limited caller also reads retry_after.
    let dream = r#"
        [rest.errors]
        fields = ["error", "message", "timestamp", "retry_after"]
        reasons = { 429 = "Rate limit exceeded" }
    "#;
    let gateway = World::with_library(library::start().await).with_config(dream).start();
    let (status, names, body) = failure(&gateway, "GET", "/nope").await;
    assert_eq!((status, names), (404, ["error", "message", "timestamp"].map(str::to_owned).to_vec()));
    assert_eq!((&body["error"], &body["message"]), (&json!("Not Found"), &json!("there is no GET /nope")));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    let fail = request(&Method::POST, "/v1/fail", &[], r#"{"code": 8, "message": "slow down"}"#);
    let (head, (body, _)) = http1(gateway.address, fail).await.into_parts();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (head.status.as_u16(), &body["error"], &body["message"]),
        (429, &json!("Rate limit exceeded"), &json!("slow down"))
    );

    // twinmcp: its 404 and its 500.
    let twinmcp = r#"
        [rest.errors]
        fields = ["error", "message", "timestamp"]
        [rest.errors.messages]
        404 = "Route ${request.method} ${request.path} not found"
        500 = "An unexpected error occurred"
    "#;
    let gateway = World::with_library(library::start().await).with_config(twinmcp).start();
    let (status, _, body) = failure(&gateway, "GET", "/nope").await;
    assert_eq!(
        (status, &body["error"], &body["message"]),
        (404, &json!("Not Found"), &json!("Route GET /nope not found"))
    );
    let fail = request(&Method::POST, "/v1/fail", &[], r#"{"code": 13, "message": "secret: at line 7"}"#);
    let (head, (body, _)) = http1(gateway.address, fail).await.into_parts();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((head.status.as_u16(), &body["message"]), (500, &json!("An unexpected error occurred")));

    // friday and automation: `detail` alone.
    let friday = r#"
        [rest.errors]
        fields = ["detail=message"]
        messages = { 404 = "Not Found" }
        statuses = { FAILED_PRECONDITION = 409, INVALID_ARGUMENT = 422 }
    "#;
    let gateway = World::with_library(library::start().await).with_config(friday).start();
    assert_eq!(failure(&gateway, "GET", "/nope").await.2, json!({ "detail": "Not Found" }));
    let (status, _, body) = failure(&gateway, "GET", "/v1/books:get?edition=x").await;
    assert_eq!((status, body.as_object().unwrap().len()), (422, 1), "{body}");
    // What HTTP itself refuses, and what is refused before any surface, look the same.
    let (status, _, body) = failure(&gateway, "POST", "/livez").await;
    assert_eq!((status, body), (405, json!({ "detail": "/livez has no POST; it has GET, HEAD" })));
    let long = "x".repeat(70_000);
    let (status, _, body) = ask(&gateway, "GET", "/health", &[("x-long", &long)]).await;
    assert!(
        status == 431 && body.starts_with("{\"detail\":\"the headers of the request are "),
        "{status} {body}"
    );
    // A stream's last element keeps its own form.
    let torn = request(
        &Method::POST,
        "/v1/pages",
        &[("accept", "application/x-ndjson")],
        Bytes::from_static(br#"{"pages": 1, "code": 9, "message": "torn"}"#),
    );
    let outcome = rest(gateway.address, torn).await;
    assert_eq!((outcome.http, outcome.code, outcome.message.as_str()), (200, 9, "torn"));
}
