//! The access log: one line a request when it has ended, whatever way it came.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

use crate::support::{
    client::{frames, grpc, grpc_web, http1, request, rest},
    gateway::{TestGateway, World},
    library::{self, PATIENCE},
    recorder::Recorder,
    streams::Socket,
};

const GET_BOOK: &str = "library.v1.GetBookRequest";
const BOOK: &str = "library.v1.Book";
const ASKED: &str = r#"{"name": "shelves/1/books/2"}"#;

/// A line of the log that is an object with these members, once it is there.
async fn line(gateway: &TestGateway, wanted: Value) -> Value {
    let fits = |line: &Value| {
        wanted.as_object().unwrap().iter().all(|(key, value)| line.get(key).unwrap_or(&Value::Null) == value)
    };
    let begun = Instant::now();
    loop {
        let output = gateway.program.output();
        let mut lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(found) = lines.find(fits) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "no line with {wanted} in:\n{output}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_line_says_what_became_of_a_call() {
    let (library, http) = (library::start().await, Recorder::start().await);
    let gateway = World::with_library(library)
        .with_config(&format!(
            "[[upstreams]]\nname = \"users\"\nhttp = \"http://{}\"\n[[routes]]\npath = \"/api/{{rest=**}}\"\nupstream = \"users\"",
            http.address
        ))
        .start();
    let at = gateway.address;
    let id = |id: &'static str| {
        [("x-request-id", id), ("user-agent", "the test/1"), ("authorization", "Bearer SECRET1")]
    };
    rest(at, request(&Method::GET, "/v1/shelves/1/books/2?edition=2", &id("rest"), "")).await;
    let book = || frames(GET_BOOK, &[ASKED]);
    let wrong = request(&Method::GET, "/v1/shelves/1/books/2?edition=SECRET2", &id("wrong"), "");
    rest(at, wrong).await;
    grpc(at, "/library.v1.Library/GetBook", &id("grpc"), book(), BOOK).await;
    grpc_web(at, true, "/library.v1.Library/GetBook", &id("web"), book(), BOOK).await;
    let body = "{\"password\": \"SECRET3\"}";
    http1(at, request(&Method::POST, "/api/users/7?token=SECRET4", &id("http"), body)).await;
    http1(at, request(&Method::GET, "/livez", &id("page"), "")).await;
    http1(at, request(&Method::GET, "/nothing/here", &id("nothing"), "")).await;
    let fail = frames("library.v1.FailRequest", &[r#"{"code": 5, "message": "no such book"}"#]);
    grpc(at, "/library.v1.Library/Fail", &id("told"), fail, BOOK).await;
    rest(at, request(&Method::POST, "/v1/fail", &id("broken"), r#"{"code": 13, "message": "it broke"}"#))
        .await;
    let rows = [
        json!({"request_id": "rest", "surface": "rest", "method": "GET", "path": "/v1/shelves/1/books/2",
            "route": "/v1/{name=shelves/*/books/*}", "rpc": "/library.v1.Library/GetBook", "status": 200, "grpc_status": "OK", "upstream": "library",
            "attempts": 1, "level": "info", "user_agent": "the test/1", "client": "127.0.0.1", "protocol": "HTTP/1.1",
            "target": "propylon::access", "message": "request", "error": null, "trace_id": null}),
        json!({"request_id": "wrong", "status": 400, "error": "edition: \"…\" is not an int32", "level": "info"}),
        json!({"request_id": "grpc", "surface": "grpc", "method": "POST", "path": "/library.v1.Library/GetBook",
            "status": 200, "grpc_status": "OK", "upstream": "library", "protocol": "HTTP/2", "level": "info"}),
        json!({"request_id": "web", "surface": "grpc_web", "status": 200, "grpc_status": "OK", "upstream": "library"}),
        json!({"request_id": "http", "surface": "http", "method": "POST", "path": "/api/users/7", "status": 200,
            "grpc_status": null, "upstream": "users", "attempts": 1, "request_bytes": body.len()}),
        json!({"request_id": "page", "surface": "http", "path": "/livez", "status": 200, "response_bytes": 3,
            "upstream": null, "attempts": null}),
        json!({"request_id": "nothing", "status": 404, "grpc_status": "NOT_FOUND", "level": "info"}),
        json!({"request_id": "told", "status": 200, "grpc_status": "NOT_FOUND", "error": "no such book", "level": "info"}),
        json!({"request_id": "broken", "status": 500, "grpc_status": "INTERNAL", "error": "it broke", "level": "warn"}),
    ];
    for row in rows {
        let line = line(&gateway, row).await;
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0 && line["response_bytes"].is_u64(), "{line}");
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    }
    let output = gateway.program.output();
    assert!(!output.contains("SECRET"), "{output}");
    let lines = output.lines().filter(|line| line.contains("propylon::access")).count();
    assert_eq!(lines, 9, "one a request:\n{output}");
}

#[tokio::test]
async fn what_is_slow_or_not_trusted_is_a_warning() {
    let upstream = Recorder::start().await;
    let gateway = World::new()
        .with_variable("API_TOKEN", "the-one-token-that-is-good-0123456789")
        .with_config(&format!(
            "[log]\nslow = \"300ms\"\n[[upstreams]]\nname = \"u\"\nhttp = \"http://{}\"\ntimeout = \"400ms\"\n\
             [[routes]]\npath = \"/{{rest=**}}\"\nupstream = \"u\"",
            upstream.address
        ))
        .start();
    let ask = async |path: &str, id: &str, token: &str| {
        let headers = [("x-request-id", id), ("authorization", token)];
        http1(gateway.address, request(&Method::GET, path, &headers, "")).await.status().as_u16()
    };
    assert_eq!(ask("/slow", "slow", "").await, 504);
    let slow = line(
        &gateway,
        json!({"request_id": "slow", "level": "warn", "message": "slow request", "status": 504}),
    )
    .await;
    assert!(slow["duration_ms"].as_f64().unwrap() >= 400.0, "{slow}");
    assert_eq!(ask("/admin/users", "bad", "Bearer WRONGWRONGWRONG").await, 401);
    line(
        &gateway,
        json!({"request_id": "bad", "level": "warn", "status": 401, "grpc_status": "UNAUTHENTICATED"}),
    )
    .await;
    // Who brings nothing does nothing suspicious.
    let nobody =
        http1(gateway.address, request(&Method::GET, "/admin/users", &[("x-request-id", "none")], "")).await;
    assert_eq!(nobody.status(), 401);
    line(&gateway, json!({"request_id": "none", "level": "info", "status": 401})).await;
    let output = gateway.program.output();
    assert!(!output.contains("WRONG") && !output.contains("the-one-token"), "{output}");
}

#[tokio::test]
async fn a_tunnels_line_comes_when_it_ends_and_a_lost_clients_at_once() {
    let (library, http) = (library::start().await, Recorder::start().await);
    let gateway = World::with_library(library)
        .with_config(&format!(
            "[log]\nslow = \"50ms\"\n[[upstreams]]\nname = \"u\"\nhttp = \"http://{}\"\n[[routes]]\npath = \"/u/{{rest=**}}\"\n\
             upstream = \"u\"\nstrip_segments = 1",
            http.address
        ))
        .start();
    let socket = Socket::start(gateway.address, "/v1/chat").await;
    sleep(Duration::from_millis(200)).await;
    assert!(!gateway.program.output().contains("/v1/chat"));
    drop(socket);
    // However long it took, it is no slow request.
    line(&gateway, json!({"path": "/v1/chat", "status": 101, "level": "info", "message": "request"})).await;
    let mut gone = TcpStream::connect(gateway.address).await.unwrap();
    gone.write_all(b"GET /u/slow HTTP/1.1\r\nhost: a\r\nx-request-id: gone\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    drop(gone);
    let wanted = json!({"request_id": "gone", "status": 499, "cancelled": true, "grpc_status": "CANCELLED", "upstream": "u"});
    line(&gateway, wanted).await;
}

#[tokio::test]
async fn it_can_be_off_or_less_and_a_reload_changes_that() {
    let upstream = Recorder::start().await;
    let config = |log: &str| {
        format!(
            "{log}\n[[upstreams]]\nname = \"u\"\nhttp = \"http://{}\"\n[[routes]]\npath = \"/{{rest=**}}\"\nupstream = \"u\"",
            upstream.address
        )
    };
    let gateway = World::new().with_config(&config("[log]\nrequests = false\n")).start();
    let ask = async |id: &str| {
        http1(gateway.address, request(&Method::GET, "/x", &[("x-request-id", id)], "")).await;
    };
    ask("off").await;
    let next = async |log: &str| {
        gateway.rewrite(&config(log));
        let outcome = rest(gateway.address, request(&Method::POST, "/admin/reload", &[], "")).await;
        assert_eq!(outcome.http, 200, "{outcome:?}");
    };
    next("[log]\nlevel = \"debug\"\n").await;
    ask("debug").await;
    line(
        &gateway,
        json!({"request_id": "debug", "level": "debug", "message": "a request begins", "path": "/x"}),
    )
    .await;
    line(&gateway, json!({"request_id": "debug", "level": "info", "target": "propylon::access"})).await;
    next("[log]\nlevel = \"warn\"\n").await;
    ask("warn").await;
    next("[log]\nlevel = \"info\"\n").await;
    ask("last").await;
    line(&gateway, json!({"request_id": "last", "status": 200})).await;
    let output = gateway.program.output();
    assert!(
        !output.contains("\"off\"") && !output.contains("\"warn\",\"target\":\"propylon::access\""),
        "{output}"
    );
    assert!(!output.contains("\"request_id\":\"warn\""), "{output}");
}

#[tokio::test]
async fn a_person_reads_it_as_text() {
    let gateway = World::new().with_variable("LOG_STRUCTURED", "false").start();
    http1(gateway.address, request(&Method::GET, "/livez", &[("x-request-id", "me")], "")).await;
    let begun = Instant::now();
    let found = loop {
        let output = gateway.program.output();
        if let Some(line) = output.lines().find(|line| line.ends_with("id=me")) {
            break line.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{output}");
        sleep(Duration::from_millis(10)).await;
    };
    assert!(
        found.contains("  INFO GET /livez 200 ") && found.contains(" 3 B http client=127.0.0.1 "),
        "{found}"
    );
}
