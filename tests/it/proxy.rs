//! Routes to plain HTTP upstreams: what goes on and how, what comes back, and upstreams that misbehave.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    client::{http1, http2, request, rest},
    gateway::{TestGateway, World},
    library::PATIENCE,
    recorder::Recorder,
};

async fn start(more: &str) -> (TestGateway, Recorder) {
    let upstream = Recorder::start().await;
    let gateway = World::new()
        .with_config(&format!(
            r#"
            [[upstreams]]
            name = "users"
            http = "http://{}"
            timeout = "1s"
            [[routes]]
            path = "/api/users/{{rest=**}}"
            upstream = "users"
            strip_segments = 1
            escaped_slashes = true
            [[routes]]
            path = "/raw/{{rest=**}}"
            upstream = "users"
            strip_segments = 1
            [[routes]]
            path = "/v1/{{rest=**}}"
            methods = ["GET", "POST"]
            upstream = "users"
            strip_segments = 1
            add_prefix = "/v2"
            keep_host = true
            request_bytes = 1000
            {more}
            "#,
            upstream.address
        ))
        .start();
    (gateway, upstream)
}

/// What the upstream saw of a request.
async fn seen(
    gateway: &TestGateway,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Value {
    let response =
        http1(gateway.address, request(&method, path, headers, Bytes::copy_from_slice(body.as_bytes())))
            .await;
    let text = String::from_utf8_lossy(&response.body().0).into_owned();
    assert_eq!(response.status(), 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_request_goes_on_as_it_came() {
    let (gateway, upstream) = start("").await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let body = if method == Method::GET { "" } else { "{\"a\": 1}" };
        let seen =
            seen(&gateway, method.clone(), "/api/users/7/b%2Fc?x=1&x=%20", &[("x-a", "1")], body).await;
        assert_eq!(seen["method"], method.as_str());
        assert_eq!(seen["path"], "/users/7/b%2Fc?x=1&x=%20");
        assert_eq!(seen["body"], body);
        let headers = &seen["headers"];
        assert_eq!((&headers["x-a"], &headers["host"]), (&"1".into(), &upstream.address.to_string().into()));
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "test");
        assert_eq!(headers["via"], "1.1 propylon");
        assert_eq!(headers["forwarded"], "for=127.0.0.1;host=\"test\";proto=http");
        assert!(headers["x-gateway-request-id"].is_string(), "{headers}");
    }
    // One connection is enough for one after another, whichever worker they came to.
    assert!(upstream.connections() <= 4, "{}", upstream.connections());
    let over_http2 =
        http2(gateway.address, request(&Method::GET, "/api/users", &[("te", "trailers")], "")).await;
    let text: Value = serde_json::from_slice(&over_http2.body().0).unwrap();
    assert_eq!((&text["path"], &text["headers"]["te"]), (&"/users".into(), &"trailers".into()));
    assert_eq!(text["headers"]["via"], "2 propylon");
    let prefixed = seen(&gateway, Method::GET, "/v1/a?b=c", &[("host", "shop.example")], "").await;
    assert_eq!(prefixed["path"], "/v2/a?b=c");
    assert_eq!(prefixed["headers"]["host"], "shop.example");
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_not_believed() {
    let (gateway, _upstream) = start("").await;
    let lies = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-user-id", "admin"),
        ("x_user_role", "admin"),
        ("connection", "x-dropped, keep-alive"),
        ("x-dropped", "1"),
        ("authorization", "Bearer c2VjcmV0"),
    ];
    let seen = seen(&gateway, Method::GET, "/api/users", &lies, "").await.to_string();
    for lie in ["203.0.113.9", "evil.example", "https", "admin", "x-dropped", "c2VjcmV0"] {
        assert!(!seen.contains(lie), "{lie}: {seen}");
    }
}

#[tokio::test]
async fn a_response_comes_back_as_it_is() {
    let (gateway, _upstream) = start("").await;
    let response = http1(gateway.address, request(&Method::GET, "/raw/teapot", &[], "")).await;
    assert_eq!((response.status().as_u16(), &response.body().0[..]), (418, &b"short and stout"[..]));
    let headers = response.headers();
    assert_eq!(headers["x-own"], "1");
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert!(!headers.contains_key("x-hop"), "{headers:?}");
    assert!(headers.contains_key("x-request-id"), "{headers:?}");
    let head = http1(gateway.address, request(&Method::HEAD, "/raw/teapot", &[], "")).await;
    assert_eq!((head.status().as_u16(), head.body().0.len()), (418, 0));
    // A path that the upstream does not see is refused here; the verbs of a route are its own.
    for (method, path, status) in
        [(Method::PUT, "/v1/a", 405), (Method::GET, "/nowhere", 404), (Method::GET, "/raw/..%2fadmin", 400)]
    {
        let answer = rest(gateway.address, request(&method, path, &[], "")).await;
        assert_eq!(answer.http, status, "{answer:?}");
    }
}

#[tokio::test]
async fn bodies_go_through_as_they_come() {
    let (gateway, _upstream) = start("").await;
    // Events come one by one, long before the response has ended.
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let get = Request::get("/raw/events").header("host", "a").body(http_body_util::Empty::<Bytes>::new());
    let response = timeout(PATIENCE, sender.send_request(get.unwrap())).await.unwrap().unwrap();
    let mut events = response.into_body().into_data_stream();
    for number in 0..3 {
        let event = timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(event, format!("data: {number}\n\n"));
    }
    drop(events);
    // A route may have a limit.
    let long = "x".repeat(1001);
    let answer = rest(gateway.address, request(&Method::POST, "/v1/a", &[], long)).await;
    assert_eq!(answer.http, 413, "{answer:?}");
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    // A WebSocket is the upstream's to speak.
    tunnel("shout", "").await;
    tunnel("websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n").await;
    // An upstream that does not agree answers as it likes; and HTTP is spoken to the gateway alone.
    let (gateway, upstream) = start("").await;
    let plain = http1(gateway.address, request(&Method::GET, "/raw/x", &[("upgrade", "shout")], "")).await;
    assert_eq!(plain.status(), 200);
    for protocol in ["h2c", "foo, h2c", "TLS/1.3", "HTTP/2.0"] {
        let asked = [
            ("connection", "upgrade, http2-settings"),
            ("upgrade", protocol),
            ("http2-settings", "AAMAAABk"),
        ];
        let plain = http1(gateway.address, request(&Method::GET, "/raw/x", &asked, "")).await;
        let seen = String::from_utf8_lossy(&plain.body().0).into_owned();
        assert!(plain.status() == 200 && !seen.contains("upgrade"), "{protocol}: {seen}");
    }
    assert_eq!(upstream.requests(), 5);
}

#[tokio::test]
async fn a_websocket_over_http2_reaches_an_upstream_of_http1() {
    let (gateway, upstream) = start(
        "[[routes]]\npath = \"/own\"\nrespond = { body = \"hello\" }\n[cors]\norigins = [\"https://shop.example\"]",
    )
    .await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // The gateway's settings, which allow extended CONNECT, come with its first answer at the latest.
    let warm_up = Request::get(format!("http://{}/livez", gateway.address));
    let warm_up = client.send_request(warm_up.body(http_body_util::Empty::<Bytes>::new()).unwrap());
    assert_eq!(timeout(PATIENCE, warm_up).await.unwrap().unwrap().status(), 200);
    let mut connect = async |path: &str, protocol: Option<&'static str>, origin: &str| {
        let mut request = Request::connect(format!("http://{}{path}", gateway.address))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat")
            .header("origin", origin)
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap();
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(hyper::ext::Protocol::from_static(protocol));
        }
        timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap()
    };
    let (websocket, page) = (Some("websocket"), "https://shop.example");
    let response = connect("/raw/chat", websocket, page).await;
    assert_eq!(response.status(), 200, "{response:?}");
    for gone in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!response.headers().contains_key(gone), "{response:?}");
    }
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    for word in ["hello", "again"] {
        io.write_all(word.as_bytes()).await.unwrap();
        let mut said = [0; 5];
        timeout(PATIENCE, io.read_exact(&mut said)).await.unwrap().unwrap();
        assert_eq!(said, *word.to_ascii_uppercase().as_bytes());
    }
    // Its end is the upstream's end, and the connection is there for the next.
    io.shutdown().await.unwrap();
    assert_eq!(timeout(PATIENCE, io.read(&mut [0; 9])).await.unwrap().unwrap(), 0);
    let before = upstream.requests();
    for (path, protocol, origin, status, asked) in [
        ("/raw/stubborn", websocket, page, 501, 1),
        ("/raw/liar", websocket, page, 500, 1),
        ("/raw/closes", websocket, page, 503, 1),
        ("/own", websocket, page, 400, 0),
        ("/nowhere", websocket, page, 404, 0),
        ("/raw/chat", websocket, "https://evil.example", 403, 0),
        ("/raw/chat", Some("connect-udp"), page, 405, 0),
        ("/raw/chat", websocket, page, 200, 1),
    ] {
        let seen = upstream.requests();
        let response = connect(path, protocol, origin).await;
        assert_eq!(
            (response.status().as_u16(), upstream.requests() - seen),
            (status, asked),
            "{path} {protocol:?}"
        );
    }
    assert_eq!(upstream.requests() - before, 4);
}

async fn tunnel(protocol: &str, more: &str) {
    let (gateway, _upstream) = start("").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let sent = format!(
        "GET /raw/chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n{more}\r\n"
    );
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let head = async {
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap().to_ascii_lowercase()
    };
    let head = timeout(PATIENCE, head).await.unwrap();
    assert!(
        head.starts_with("http/1.1 101 ") && head.contains(&format!("\r\nupgrade: {protocol}\r\n")),
        "{head}"
    );
    for word in ["hello", "again"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut said = [0; 5];
        timeout(PATIENCE, stream.read_exact(&mut said)).await.unwrap().unwrap();
        assert_eq!(said, *word.to_ascii_uppercase().as_bytes());
    }
}

#[tokio::test]
async fn a_sick_upstream_is_told_of_in_words() {
    let (gateway, upstream) = start(
        "[[upstreams]]\nname = \"gone\"\nhttp = \"http://127.0.0.1:9\"\n[[routes]]\npath = \"/gone\"\nupstream = \"gone\"",
    )
    .await;
    for (path, status, words) in [
        ("/gone", 503, "refused the connection"),
        ("/raw/closes", 503, "closed the connection before it answered"),
        ("/raw/garbage", 503, "did not answer in HTTP/1.1"),
        ("/raw/slow", 504, "deadline passed before a response came"),
    ] {
        let begun = Instant::now();
        let answer = rest(gateway.address, request(&Method::GET, path, &[], "")).await;
        assert_eq!(answer.http, status, "{path}: {answer:?}");
        assert!(answer.message.contains(words) && answer.message.contains("upstream \""), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{path}: {:?}", begun.elapsed());
    }
    // What may have been seen is not sent again, unless its method says that it may be.
    for (method, times) in [(Method::POST, 1), (Method::GET, 3)] {
        let before = upstream.requests();
        rest(gateway.address, request(&method, "/raw/closes", &[], "")).await;
        assert_eq!(upstream.requests() - before, times, "{method}");
        // Of failures one after the other there are never many.
        assert_eq!(rest(gateway.address, request(&Method::GET, "/raw/last", &[], "")).await.http, 200);
    }
    // A response that breaks off is no whole response: of a short one nothing is given on, and of a long one no end.
    let short = rest(gateway.address, request(&Method::GET, "/raw/breaks/100", &[], "")).await;
    assert_eq!(short.http, 503, "{short:?}");
    assert!(short.message.contains("broke off its response"), "{short:?}");
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"GET /raw/breaks/100000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("half"), "{answer}");
    assert!(answer.contains("content-length: 100000"), "{answer}");
}

#[tokio::test]
async fn a_route_to_an_upstream_is_for_known_callers_unless_it_says_so() {
    let (gateway, upstream) =
        start("[[routes]]\npath = \"/open\"\nupstream = \"users\"\naccess = { public = true }\n[access]")
            .await;
    let before = upstream.requests();
    let refused = rest(gateway.address, request(&Method::GET, "/api/users", &[], "")).await;
    assert_eq!((refused.http, refused.code), (401, 16), "{refused:?}");
    assert_eq!(upstream.requests(), before, "a refused request is not sent");
    let open = rest(gateway.address, request(&Method::GET, "/open", &[], "")).await;
    assert_eq!(open.http, 200, "{open:?}");
}
