//! The gateway's own pages, and what finds nothing, are calls like any other: the rules about callers hold for them.

use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::{OPERATOR, start, told};
use crate::support::{
    client::{Outcome, grpc, grpc_web, http1, request, rest},
    gateway::TestGateway,
    streams::Socket,
    tokens::good,
};

/// Eight calls of an address that nobody knows, and then none for a while.
const EIGHT: &str = "
[access]
default = \"public\"
[rate_limits]
address = 8
burst = 0
exempt = []
tiers = { free = 3, elite = 0 }
";

const REPLY: &str = "library.v1.Book";

async fn get(gateway: &TestGateway, path: &str, headers: &[(&str, &str)]) -> Outcome {
    rest(gateway.address, request(&Method::GET, path, headers, "")).await
}

/// The path of a file that a page consists of.
async fn asset(gateway: &TestGateway) -> String {
    let page = http1(gateway.address, request(&Method::GET, "/docs", &[("host", "a")], "")).await;
    let page = String::from_utf8(page.into_body().0.to_vec()).unwrap();
    let at = page.find("/docs/swagger-ui-").unwrap();
    page[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_address_is_counted_for_whatever_it_asks() {
    // Each of these is one call, and a refusal to be had for nothing would be a way around the limit.
    let web = "application/grpc-web";
    let empty = || Bytes::from_static(&[0; 5]);
    let all: [(&str, i32); 20] = [
        ("GET /", 0),
        ("GET /docs", 0),
        ("HEAD /redoc", 0),
        ("GET /openapi.json", 0),
        ("GET /.well-known/jwks.json", 0),
        ("OPTIONS /docs", 0),
        ("POST /docs", 12),
        ("GET /nothing/here", 5),
        ("DELETE /v1/books:get", 12),
        ("OPTIONS /v1/books:get", 0),
        ("GET /v1/%zz", 3),
        ("GET /v1/books:get accept: image/png", 3),
        ("GET /v1/books:get x-request-timeout: soon", 3),
        ("GET /v1/books:get x-data-bin: *", 3),
        ("GET /v1/books:get x-request-timeout: 0", 4),
        ("grpc /no.such.Service/Any", 12),
        ("grpc /library.v1.Library/Nothing", 12),
        ("grpc /library.v1.Library/GetBook grpc-timeout: 0n", 4),
        ("grpc-web /no.such.Service/Any", 12),
        ("socket /v1/nothing", 5),
    ];
    for (asked, code) in all {
        let (gateway, _issuer) = start(EIGHT).await;
        let address = gateway.address;
        let mut words = asked.splitn(3, ' ');
        let (kind, path) = (words.next().unwrap(), words.next().unwrap());
        let headers: Vec<(&str, &str)> = words.filter_map(|header| header.split_once(": ")).collect();
        for left in (0..8).rev() {
            let outcome = match kind {
                "grpc" => grpc(address, path, &headers, empty(), REPLY).await,
                "grpc-web" => grpc_web(address, false, path, &headers, empty(), REPLY).await,
                "socket" => {
                    let upgrade = [
                        ("connection", "upgrade"),
                        ("upgrade", "websocket"),
                        ("sec-websocket-version", "13"),
                        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                    ];
                    get(&gateway, path, &upgrade).await
                }
                verb => {
                    let method = verb.parse::<Method>().unwrap();
                    raw(&gateway, &method, path, &headers).await
                }
            };
            assert_eq!(outcome.code, code, "{asked}: {outcome:?}");
            assert_eq!(told(&outcome, "x-ratelimit-remaining"), left.to_string(), "{asked}: {outcome:?}");
        }
        // The ninth, whatever it is, is over the limit.
        let outcome = grpc(address, "/library.v1.Library/GetBook", &[], empty(), REPLY).await;
        assert_eq!((outcome.code, told(&outcome, "x-ratelimit-remaining")), (8, "0"), "after {asked}");
        let outcome = grpc_web(address, false, "/no.such.Service/Any", &[], empty(), REPLY).await;
        assert_eq!((outcome.code, web), (8, told(&outcome, "content-type").split('+').next().unwrap()));
        for path in ["/", "/docs", "/openapi.json", "/nothing", "/v1/books:get"] {
            let outcome = get(&gateway, path, &[]).await;
            assert_eq!((outcome.http, outcome.code), (429, 8), "{path} after {asked}: {outcome:?}");
            assert!(told(&outcome, "retry-after").parse::<u64>().is_ok(), "{outcome:?}");
            assert_eq!(told(&outcome, "ratelimit-policy"), "\"address\";q=8;w=60");
            assert_eq!(outcome.details[0]["@type"], "type.googleapis.com/google.rpc.RetryInfo");
        }
        // Who is known is counted as it is anywhere.
        let bearer = format!("Bearer {OPERATOR}");
        assert_eq!(get(&gateway, "/nothing", &[("authorization", &bearer)]).await.http, 404);
    }
}

/// Any answer over HTTP/1.1, an error or not.
async fn raw(gateway: &TestGateway, method: &Method, path: &str, headers: &[(&str, &str)]) -> Outcome {
    let (head, (body, _)) = http1(gateway.address, request(method, path, headers, "")).await.into_parts();
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = if head.status.is_success() { 0 } else { error["code"].as_i64().unwrap() };
    Outcome {
        http: head.status.as_u16(),
        headers: head.headers,
        code: i32::try_from(code).unwrap(),
        ..Outcome::default()
    }
}

#[tokio::test]
async fn one_count_holds_over_pages_calls_and_what_is_not_there() {
    let (gateway, _issuer) = start(EIGHT).await;
    let file = asset(&gateway).await;
    let paths = ["/", "/nowhere", "/openapi.json", file.as_str(), "/docs/", "/v1/books:get"];
    for (path, left) in paths.into_iter().zip((1..=6).rev()) {
        let outcome = raw(&gateway, &Method::GET, path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(told(&outcome, "x-ratelimit-remaining"), left.to_string(), "{path}");
    }
    let outcome = grpc(gateway.address, "/a.B/C", &[], Bytes::new(), REPLY).await;
    assert_eq!((outcome.code, told(&outcome, "x-ratelimit-remaining")), (12, "0"));
    assert_eq!(raw(&gateway, &Method::GET, &file, &[]).await.http, 429);
}

#[tokio::test]
async fn probes_are_never_limited() {
    let (gateway, _issuer) = start(&EIGHT.replace("address = 8", "address = 1")).await;
    assert_eq!(get(&gateway, "/nothing", &[]).await.http, 404);
    assert_eq!(get(&gateway, "/nothing", &[]).await.http, 429);
    for _ in 0..3 {
        for (path, headers) in [
            ("/livez", &[][..]),
            ("/readyz", &[]),
            // Whoever is asked for nothing is not asked for good credentials.
            ("/readyz", &[("authorization", "Bearer of.no.use")]),
        ] {
            let outcome = raw(&gateway, &Method::GET, path, headers).await;
            assert_eq!((outcome.http, told(&outcome, "x-ratelimit-limit")), (200, ""), "{path}");
        }
        let health = "grpc.health.v1.HealthCheckResponse";
        let outcome = grpc(gateway.address, "/grpc.health.v1.Health/Check", &[], empty(), health);
        assert_eq!(outcome.await.code, 0);
    }
    // Nor by who is known.
    let bearer = format!("Bearer {}", good("a", &serde_json::json!({})));
    for _ in 0..5 {
        assert_eq!(raw(&gateway, &Method::GET, "/livez", &[("authorization", &bearer)]).await.http, 200);
    }
    assert_eq!(
        told(&get(&gateway, "/nothing", &[("authorization", &bearer)]).await, "x-ratelimit-remaining"),
        "2"
    );
}

#[tokio::test]
async fn rules_close_pages_and_what_they_consist_of() {
    let rules = r#"
[access]
[[access.rules]]
match = ["/docs", "GET /openapi.json"]
roles = ["admin"]
[[access.rules]]
match = ["/readyz"]
[[rate_limits.rules]]
name = "reading"
match = ["/redoc"]
calls = 2
by = "everyone"
"#;
    let (gateway, _issuer) = start(rules).await;
    let operator = format!("Bearer {OPERATOR}");
    let student = format!("Bearer {}", good("s", &serde_json::json!({ "roles": ["student"] })));
    let page = http1(
        gateway.address,
        request(&Method::GET, "/docs", &[("authorization", &operator), ("host", "a")], ""),
    )
    .await;
    let page = String::from_utf8(page.into_body().0.to_vec()).unwrap();
    let file = page[page.find("/docs/swagger-ui-").unwrap()..].split('"').next().unwrap().to_owned();
    for path in ["/docs", "/docs?x=1", file.as_str(), "/openapi.json"] {
        let outcome = get(&gateway, path, &[]).await;
        assert_eq!((outcome.http, outcome.code), (401, 16), "{path}: {outcome:?}");
        assert_eq!(told(&outcome, "www-authenticate"), "Bearer", "{path}");
        let name = if path == "/openapi.json" { path } else { "/docs" };
        assert!(outcome.message.starts_with(&format!("{name} is for authenticated callers")), "{outcome:?}");
        for method in [Method::HEAD, Method::POST, Method::OPTIONS] {
            let answer = http1(gateway.address, request(&method, path, &[], "")).await;
            assert_eq!(answer.status(), 401, "{method} {path}");
        }
        let outcome = get(&gateway, path, &[("authorization", &student)]).await;
        assert_eq!((outcome.http, outcome.code), (403, 7), "{path}: {outcome:?}");
        assert!(outcome.message.contains("the role admin is missing"), "{outcome:?}");
        let headers = [("authorization", operator.as_str()), ("accept-encoding", "gzip")];
        let answer = http1(gateway.address, request(&Method::GET, path, &headers, "")).await;
        assert_eq!(answer.status(), 200, "{path}");
        // What is not for everyone is in no cache that others share.
        if let Some(cache) = answer.headers().get("cache-control") {
            let cache = cache.to_str().unwrap();
            assert!(cache.starts_with("private, ") && !cache.contains("public"), "{path}: {cache}");
        }
    }
    let probe = |headers| raw(&gateway, &Method::GET, "/readyz", headers);
    assert_eq!(probe(&[]).await.http, 401);
    assert_eq!(probe(&[("authorization", &student)]).await.http, 200);
    for path in ["/", "/livez", "/redoc", "/.well-known/jwks.json"] {
        let outcome = raw(&gateway, &Method::GET, path, &[]).await;
        assert_eq!(outcome.http, 200, "{path}");
        let cache = outcome.headers.get("cache-control").map_or("", |value| value.to_str().unwrap());
        assert!(!cache.contains("private"), "{path}");
    }
    let outcome = raw(&gateway, &Method::GET, "/redoc", &[("authorization", &operator)]).await;
    assert_eq!((outcome.http, told(&outcome, "x-ratelimit-remaining")), (200, "0"));
    assert_eq!(told(&outcome, "ratelimit-policy"), "\"reading\";q=2;w=60");
    assert_eq!(get(&gateway, "/redoc", &[]).await.http, 429);
}

#[tokio::test]
async fn rules_about_everything_hold_for_what_is_not_there() {
    let rules = r#"
[access]
[[access.rules]]
match = ["/**"]
roles = ["admin"]
[[access.rules]]
match = ["/livez", "/open/**"]
public = true
[[access.rules]]
match = ["*"]
deny = ["role:student"]
[[routes]]
path = "/open/page"
respond = { body = "open" }
[[rate_limits.rules]]
name = "all"
match = ["/**"]
calls = 5
by = "everyone"
"#;
    let (gateway, _issuer) = start(rules).await;
    let operator = format!("Bearer {OPERATOR}");
    let student = format!("Bearer {}", good("s", &serde_json::json!({ "roles": ["student"] })));
    let status = async |path: &str| raw(&gateway, &Method::GET, path, &[]).await.http;
    assert_eq!((status("/docs").await, status("/nothing").await, status("/livez").await), (401, 401, 200));
    assert_eq!(status("/readyz").await, 401);
    // A path below one that is open is not open by it: nothing is there.
    assert_eq!((status("/open/page").await, status("/open/nothing").await), (200, 401));
    let outcome = get(&gateway, "/nothing", &[("authorization", &operator)]).await;
    assert_eq!((outcome.http, told(&outcome, "ratelimit-policy")), (404, "\"all\";q=5;w=60"));
    let unknown = |credentials| {
        let headers = [("authorization", credentials)];
        async move { grpc(gateway.address, "/a.B/C", &headers, Bytes::new(), REPLY).await.code }
    };
    assert_eq!((unknown(&operator).await, unknown(&student).await), (12, 7));
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_is_counted() {
    let (gateway, _issuer) = start(&EIGHT.replace("address = 8", "address = 2")).await;
    let upgrade = |key| [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", key)];
    // No handshake: it has no key.
    let outcome = get(&gateway, "/v1/chat", &upgrade("13")).await;
    assert_eq!((outcome.http, told(&outcome, "x-ratelimit-remaining")), (400, "1"));
    assert_eq!(Socket::start(gateway.address, "/v1/chat").await.headers["x-ratelimit-remaining"], "0");
    assert_eq!(get(&gateway, "/v1/chat", &upgrade("13")).await.http, 429);
}

fn empty() -> Bytes {
    Bytes::from_static(&[0; 5])
}
