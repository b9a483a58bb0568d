//! Explaining never lies: for a table of requests, what `ExplainRoute` says of each is what the running gateway answers
//! to it. And the commands `explain`, `routes` and `health`, word for word.

use std::{net::SocketAddr, process::Command, time::Duration};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{frames, http1, http2, request},
    gateway::{TestGateway, World},
    library,
    process::Program,
    reflecting::{FIRST, Reflecting},
};

/// A request, and what is expected of it in short: `passes METHOD`, `answered STATUS` or `refused STATUS CODE`.
struct Case {
    request: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    want: &'static str,
}

const fn case(
    request: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    want: &'static str,
) -> Case {
    Case { request, headers, body, want }
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const WEB: (&str, &str) = ("content-type", "application/grpc-web");
const JSON: (&str, &str) = ("content-type", "application/json");
const PAGE: (&str, &str) = ("origin", "https://page.example");
const EVIL: (&str, &str) = ("origin", "https://evil.example");
const ASKS: (&str, &str) = ("access-control-request-method", "PATCH");
const ASKS_PUT: (&str, &str) = ("access-control-request-method", "PUT");
/// Longer than the headers of a request may be here.
const LONG: &str = match std::str::from_utf8(&[b'x'; 5000]) {
    Ok(text) => text,
    Err(_) => "",
};
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const UPGRADE_OF_EVIL: [(&str, &str); 5] = [UPGRADE[0], UPGRADE[1], UPGRADE[2], UPGRADE[3], EVIL];

#[rustfmt::skip]
const CASES: &[Case] = &[
    // REST: what finds a binding.
    case("GET /v1/shelves/7/books/8", &[], "", "passes GetBook"),
    case("HEAD /v1/shelves/7/books/8", &[], "", "passes GetBook"),
    case("GET /v1/shelves/7/books/8?edition=3", &[], "", "passes GetBook"),
    case("GET /v1/shelves/a%2Fb/books/%C3%A4", &[], "", "passes GetBook"),
    case("POST /v1/shelves/7/books", &[JSON], r#"{"title": "T"}"#, "passes CreateBook"),
    case("PATCH /v1/shelves/7/books/8", &[JSON], r#"{"pages": 3}"#, "passes UpdateBook"),
    case("PUT /v1/shelves/7/books/8", &[JSON], "", "passes PutBook"),
    case("POST /v1/collect", &[JSON], r#"[{"pages": 1}, {"pages": 2}]"#, "passes Collect"),
    case("POST /v1/pages", &[JSON, ("accept", "text/event-stream")], r#"{"pages": 2}"#, "passes ListPages"),
    case("POST /v1/pages", &[JSON, ("accept", "application/x-ndjson")], r#"{"pages": 2}"#, "passes ListPages"),
    case("POST /v1/upload", &[("content-type", "text/plain")], "hello", "passes Upload"),
    case("GET /v1/shelves/7/books/8", &[PAGE], "", "passes GetBook"),
    case("GET /v1/shelves/7/books/8", &[EVIL], "", "passes GetBook"),
    case("GET /v1/shelves/7/books/8", &[("x-request-timeout", "5")], "", "passes GetBook"),
    // The gateway's own.
    case("GET /ping", &[], "", "passes built-in"),
    case("GET /health", &[], "", "passes built-in"),
    case("GET /api/v1/routes?service=library.v1.Library", &[], "", "passes built-in"),
    case("POST /api/v1/routes:explain", &[JSON], r#"{"path": "/ping"}"#, "passes built-in"),
    case("GET /livez", &[], "", "answered 200"),
    case("GET /readyz", &[], "", "answered 200"),
    case("GET /.well-known/jwks.json", &[], "", "answered 200"),
    case("POST /livez", &[], "", "refused 405 12"),
    case("GET /", &[], "", "answered 200"),
    case("GET /", &[("accept", "text/html")], "", "answered 200"),
    case("GET /docs", &[], "", "answered 200"),
    case("OPTIONS /docs", &[], "", "answered 204"),
    case("GET /openapi.json", &[("if-none-match", "*")], "", "answered 304"),
    case("GET /docs/nothing.js", &[], "", "refused 404 5"),
    // What the config answers.
    case("GET /closed/shop?x=1", &[], "", "answered 503"),
    case("POST /closed/shop", &[JSON], "{}", "refused 405 12"),
    case("GET /old/shelves/7", &[], "", "answered 308"),
    case("POST /old/shelves/7", &[], "", "refused 405 12"),
    case("GET /closed/shop", &[("x-request-timeout", "0")], "", "refused 504 4"),
    case("GET /closed/shop", &[("x-request-timeout", "soon")], "", "refused 400 3"),
    case("GET /closed/shop", &UPGRADE, "", "refused 400 3"),
    // OPTIONS, and what browsers ask first.
    case("OPTIONS /v1/shelves/7/books/8", &[], "", "answered 204"),
    case("OPTIONS /v1/nothing/here", &[], "", "refused 404 5"),
    case("OPTIONS /v1/shelves/7/books/8", &[PAGE, ASKS], "", "answered 204"),
    case("OPTIONS /v1/shelves/7/books/8", &[EVIL, ASKS], "", "answered 204"),
    case("OPTIONS /v1/shelves/7/books/8", &[EVIL, ASKS_PUT], "", "answered 204"),
    case("PUT /v1/shelves/7/books/8", &[EVIL, JSON], "{}", "passes PutBook"),
    case("GET /v1/shelves/7/books/8", &[("x-long", LONG)], "", "refused 431 8"),
    case("POST /library.v1.Library/Plain", &[GRPC, ("content-length", "5"), ("x-long", LONG)], "", "refused 200 8"),
    // REST: what finds none.
    case("GET /v1/shelfs/7/books/8", &[], "", "refused 404 5"),
    case("DELETE /v1/shelves/7/books/8", &[], "", "refused 405 12"),
    case("GET /v1/shelves/7/books/8/", &[], "", "refused 404 5"),
    case("GET /v1/shelves/%zz/books/8", &[], "", "refused 400 3"),
    case("POST /library.v1.Library/Plain", &[JSON], "{}", "refused 404 5"),
    case("POST /legacy.Old/Do", &[JSON], "{}", "refused 404 5"),
    case("POST /library.v1.Library/Plain", &[JSON, ("connect-protocol-version", "1")], "{}", "refused 415 3"),
    // REST: what does not fit its binding.
    case("GET /v1/shelves/7/books/8?edition=x", &[], "", "refused 400 3"),
    case("GET /v1/shelves/7/books/8?editon=3", &[], "", "refused 400 3"),
    case("GET /v1/shelves/7/books/8?edition=3&edition=4", &[], "", "refused 400 3"),
    case("POST /v1/fail?code=5", &[JSON], "{}", "refused 400 3"),
    case("POST /v1/shelves/7/books", &[JSON], r#"{"title": }"#, "refused 400 3"),
    case("POST /v1/shelves/7/books", &[JSON], r#"{"titel": "T"}"#, "refused 400 3"),
    case("POST /v1/shelves/7/books", &[("content-type", "text/plain")], "{}", "refused 415 3"),
    case("POST /v1/shelves/7/books", &[JSON, ("content-encoding", "zzz")], "{}", "refused 415 3"),
    case("POST /v1/collect", &[JSON], r#"[{"pages": "many"}]"#, "refused 400 3"),
    case("GET /v1/shelves/7/books/8", &[("accept", "text/html")], "", "refused 406 3"),
    case("GET /v1/shelves/7/books/8", &[("x-request-timeout", "soon")], "", "refused 400 3"),
    case("GET /v1/shelves/7/books/8", &[("x-request-timeout", "0")], "", "refused 504 4"),
    case("GET /v1/shelves/7/books/8", &[("x-data-bin", "***")], "", "refused 400 3"),
    // Native gRPC.
    case("POST /library.v1.Library/Plain", &[GRPC], "", "passes Plain"),
    case("POST /library.v1.Library/Chat", &[GRPC], "", "passes Chat"),
    case("POST /propylon.gateway.v1.HealthService/Ping", &[GRPC], "", "passes built-in"),
    case("POST /legacy.Old/Do", &[GRPC], "", "passes /legacy.Old/Do"),
    case("POST /library.v1.Library/Plein", &[GRPC], "", "refused 200 12"),
    case("POST /library.v1.Librari/Plain", &[GRPC], "", "refused 200 12"),
    case("POST /Library", &[GRPC], "", "refused 200 12"),
    case("POST /v1/fail", &[GRPC], "", "refused 200 12"),
    case("GET /library.v1.Library/Plain", &[GRPC], "", "refused 405 12"),
    case("POST /library.v1.Library/Plain", &[("content-type", "application/grpc+json")], "", "refused 415 3"),
    case("POST /library.v1.Library/Plain", &[GRPC, ("grpc-timeout", "soon")], "", "refused 200 3"),
    case("POST /library.v1.Library/Plain", &[GRPC, ("grpc-timeout", "0m")], "", "refused 200 4"),
    // gRPC-Web.
    case("POST /library.v1.Library/Plain", &[WEB], "", "passes Plain"),
    case("POST /library.v1.Library/Plain", &[WEB, PAGE], "", "passes Plain"),
    case("POST /library.v1.Library/Plain", &[("content-type", "application/grpc-web-text")], "", "passes Plain"),
    case("POST /library.v1.Library/Plein", &[WEB], "", "refused 200 12"),
    case("PUT /library.v1.Library/Plain", &[WEB], "", "refused 405 12"),
    // WebSockets.
    case("GET /v1/chat", &UPGRADE, "", "passes Chat"),
    case("GET /v1/chat", &UPGRADE_OF_EVIL, "", "refused 403 7"),
    case("GET /v1/chat", &[("connection", "upgrade"), ("upgrade", "websocket")], "", "refused 400 3"),
    case("GET /v1/chats", &UPGRADE, "", "refused 404 5"),
    case("GET /v1/shelves/7/books/8", &UPGRADE, "", "passes GetBook"),
];

const CONFIG: &str = r#"
[cors]
origins = ["https://page.example"]
[limits]
header_bytes = 4000
[[routes]]
name = "closed"
path = "/closed/{what}"
respond = { status = 503, headers = { retry-after = "60" }, body = { closed = "${path.what}" } }
[[routes]]
path = "/old/{rest=**}"
methods = ["GET"]
redirect = { to = "/v1/${path.rest}" }
[[routes]]
service = "library.v1.Library/PutBook"
timeout = "2s"
cors = { origins = ["*"] }
"#;

async fn world() -> TestGateway {
    world_and_upstream().await.0
}

/// The gateway, and where its upstream listens.
async fn world_and_upstream() -> (TestGateway, SocketAddr) {
    let upstream = library::start().await;
    let legacy = format!(
        "[[upstreams]]\nname = \"legacy\"\ngrpc = \"http://{upstream}\"\nreflection = false\nservices = [\"legacy.*\"]\n"
    );
    let world = World::with_library(upstream).with_config(&legacy).with_config(CONFIG);
    (world.start(), upstream)
}

#[tokio::test]
async fn what_is_explained_is_what_is_served() {
    let gateway = world().await;
    for case in CASES {
        let (method, path) = case.request.split_once(' ').unwrap();
        // The upstream says which method it was called by.
        let headers = [case.headers, &[("x-which", "1")]].concat();
        // The tests' client says this of the host, but over HTTP/2, where it is no header.
        let host: &[_] = if headers.contains(&GRPC) { &[] } else { &[("host", "test")] };
        let explained = explain(gateway.address, method, path, &[&headers, host].concat(), case.body).await;
        let served = serve(gateway.address, method, path, &headers, case.body).await;
        let name = format!("{} {:?} {}\n{explained:#}\n{served:#?}", case.request, case.headers, case.body);
        let (outcome, destination) = (&explained["outcome"], &explained["destination"]["kind"]);
        let called = explained["method"]["path"].as_str().unwrap_or_default();
        if outcome == "passes" {
            assert_eq!(explained["http_status"], 0, "{name}");
            match destination.as_str().unwrap() {
                // A WebSocket's upstream speaks on the socket.
                "upstream" if served.http == 101 => assert_eq!(called, "/library.v1.Library/Chat", "{name}"),
                "upstream" => assert_eq!(served.called.as_deref(), Some(called), "{name}"),
                "built-in" => assert!(served.called.is_none() && served.http == 200, "{name}"),
                other => panic!("{other}: {name}"),
            }
        } else {
            assert_eq!(served.called, None, "it reached the upstream: {name}");
            assert_eq!(explained["http_status"], served.http, "{name}");
            for (told, said) in explained["answer_headers"].as_object().unwrap() {
                assert_eq!(said.as_str(), served.said(told), "{told}: {name}");
            }
            for told in ["allow", "location", "retry-after", "access-control-allow-origin"] {
                assert_eq!(explained["answer_headers"][told].as_str(), served.said(told), "{told}: {name}");
            }
        }
        if outcome == "refused" {
            assert_eq!(
                (&explained["code"], &explained["message"]),
                (&json!(served.code), &json!(served.message)),
                "{name}"
            );
        }
        let short = match outcome.as_str().unwrap() {
            "passes" if destination == "built-in" => "passes built-in".to_owned(),
            "passes" => format!("passes {}", called.trim_start_matches("/library.v1.Library/")),
            "answered" => format!("answered {}", explained["http_status"]),
            _ => format!("refused {} {}", explained["http_status"], explained["code"]),
        };
        assert!(case.want.is_empty() || short == case.want, "{short}, not {}: {name}", case.want);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_explained_as_they_are_served() {
    let (operator, student) = ("an-operator's-token--which-is-long", "a-student's-token--which-is-long-too");
    let token = |name: &str, role: &str| {
        format!(
            "[[auth.tokens]]\nname = {name:?}\ntoken = {{ file = {name:?} }}\nuser = {name:?}\nroles = [{role:?}]\n"
        )
    };
    let access =
        "[access]\ndefault = \"authenticated\"\n[[access.rules]]\nmatch = [\"/docs\"]\nroles = [\"admin\"]\n";
    let gateway = World::with_library(library::start().await)
        .with_file("operator", operator.as_bytes())
        .with_file("student", student.as_bytes())
        .with_config(&(token("operator", "admin") + &token("student", "student") + access))
        .start();
    let (operator, student) = (format!("Bearer {operator}"), format!("Bearer {student}"));
    let (book, plain) = ("GET /v1/shelves/7/books/8", "POST /library.v1.Library/Plain");
    for (asked, bearer, want) in [
        (book, "", "refused 401 16"),
        (book, "Bearer bad", "refused 401 16"),
        (book, "Bearer a.b.c", "refused 401 16"),
        (book, &student, "passes 0 0"),
        (plain, "Bearer bad", "refused 200 16"),
        (plain, &student, "passes 0 0"),
        ("GET /admin/users", &student, "refused 403 7"),
        ("GET /admin/users", &operator, "passes 0 0"),
        ("POST /admin/reload", "", "passes 0 0"),
        ("POST /admin/reload", "Bearer bad", "refused 401 16"),
        ("GET /ping", "Bearer bad", "passes 0 0"),
        ("GET /docs", "", "refused 401 16"),
        ("GET /docs", &student, "refused 403 7"),
        ("GET /docs", &operator, "answered 200 0"),
        ("POST /docs", "", "refused 401 16"),
        ("POST /docs", &operator, "refused 405 12"),
        ("GET /redoc", "Bearer bad", "answered 200 0"),
        ("GET /nothing", "", "refused 404 5"),
        ("GET /nothing", "Bearer bad", "refused 404 5"),
    ] {
        let (method, path) = asked.split_once(' ').unwrap();
        let mut headers = vec![("authorization", bearer)];
        headers.retain(|(_, value)| !value.is_empty());
        headers.extend((asked == plain).then_some(GRPC));
        let explained = explain(gateway.address, method, path, &headers, "").await;
        let served = serve(gateway.address, method, path, &headers, "").await;
        let name = format!("{asked} {bearer}\n{explained:#}\n{served:#?}");
        let outcome = explained["outcome"].as_str().unwrap();
        assert_eq!(format!("{outcome} {} {}", explained["http_status"], explained["code"]), want, "{name}");
        assert_eq!(outcome != "refused", served.http == 200 && served.code == 0, "{name}");
        if outcome == "refused" {
            assert_eq!(explained["http_status"], served.http, "{name}");
            assert_eq!(explained["message"], served.message, "{name}");
        }
        if path == "/docs" {
            assert_eq!(
                (&explained["surface"], &explained["route"]),
                (&json!("page"), &Value::Null),
                "{name}"
            );
            let policies = explained["policies"].as_array().unwrap();
            let effect = policies.iter().find(|policy| policy["name"] == "authorize").unwrap();
            let says = if bearer == operator { "role admin (access.rules[0])" } else { "refuses: /docs" };
            assert!(effect["effect"].as_str().unwrap().starts_with(says), "{name}");
        }
        if path == "/nothing" {
            // There is no such route, and none is made up.
            assert_eq!(
                (&explained["route"], &explained["destination"]),
                (&Value::Null, &Value::Null),
                "{name}"
            );
        }
    }
    // Where there is nobody to ask it is not guessed.
    let config = gateway.config().display().to_string();
    let said = |bearer: &str| {
        let bearer = format!("authorization: {bearer}");
        propylon(&["explain", "GET", "/v1/shelves/7/books/8", "-H", &bearer, "--config", &config]).1
    };
    let text = said("Bearer bad");
    assert!(text.contains("  ? goes to upstream library at http://"), "{text}");
    assert!(text.contains(", if its credentials are good\n"), "{text}");
    assert!(text.contains("authenticate  depends on the credentials: they are not verified here"), "{text}");
}

/// What the gateway explains of a request.
async fn explain(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let asked = json!({ "method": method, "path": path, "headers": headers, "body": body });
    let asked = request(&Method::POST, "/api/v1/routes:explain", &[JSON], asked.to_string());
    let response = http1(address, asked).await;
    let body = &response.body().0;
    assert_eq!(response.status(), 200, "{method} {path}: {body:?}");
    serde_json::from_slice(body).unwrap()
}

/// What the gateway answers to a request in earnest.
#[derive(Debug, Default)]
struct Served {
    http: u16,
    code: i64,
    message: String,
    /// The method that the upstream was called by, if it was.
    called: Option<String>,
    headers: http::HeaderMap,
}

impl Served {
    fn said(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn serve(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Served {
    let grpc = headers.iter().any(|(_, value)| value.starts_with("application/grpc"));
    let native = grpc && !headers.iter().any(|(_, value)| value.starts_with("application/grpc-web"));
    // A unary call of gRPC's has a message.
    let text = headers.iter().any(|(_, value)| value.starts_with("application/grpc-web-text"));
    let body = match (grpc, text) {
        (true, true) => Bytes::from_static(b"AAAAAAA="),
        (true, false) => frames("library.v1.GetBookRequest", &["{}"]),
        (false, _) => Bytes::from(body.to_owned()),
    };
    let request = request(&method.parse().unwrap(), path, headers, body);
    let response = if native { http2(address, request).await } else { http1(address, request).await };
    let mut served =
        Served { http: response.status().as_u16(), headers: response.headers().clone(), ..Served::default() };
    if let Some(Err(status)) = propylon::status::from_trailers(response.headers()) {
        (served.code, served.message) = (i64::from(status.code() as i32), status.message().to_owned());
    }
    served.called = served.said("x-method").map(str::to_owned);
    if served.code == 0
        && let Ok(Value::Object(error)) = serde_json::from_slice::<Value>(&response.body().0)
    {
        served.code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        served.message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    served
}

#[tokio::test]
async fn a_binding_is_explained_to_its_last_parameter() {
    let gateway = world().await;
    let path = "/v1/shelves/7/books/8?edition=3&editon=4";
    let explained = explain(gateway.address, "GET", path, &[("x-request-timeout", "5")], "").await;
    assert_eq!(explained["surface"], "rest");
    let binding = &explained["binding"];
    assert_eq!(
        (&binding["verb"], &binding["template"]),
        (&json!("GET"), &json!("/v1/{name=shelves/*/books/*}"))
    );
    assert_eq!(
        binding["path"],
        json!([{ "name": "name", "value": "shelves/7/books/8", "field": "name", "type": "string", "problem": "" }])
    );
    let query = binding["query"].as_array().unwrap();
    assert_eq!((&query[0]["field"], &query[0]["type"]), (&json!("edition"), &json!("int32")));
    assert!(query[1]["problem"].as_str().unwrap().contains("did you mean `edition`"), "{query:?}");
    assert_eq!((&binding["body"], &binding["answers"]), (&json!("none"), &json!("application/json")));
    let policies = [
        ("client address", "127.0.0.1, this machine"),
        ("address limit", "none for this address"),
        ("authenticate", "nobody: the call brings no credentials"),
        ("authorize", "everyone (access.default)"),
        ("caller's limit", "by the caller's tier, if it is known"),
        ("deadline", "5s, the client's"),
        ("identity upstream", "told: X-Gateway-Request-ID; X-User-ID, X-User-Email, X-User-Role and X-User-Permissions of a known caller; no credentials of the caller's"),
    ]
    .map(|(name, effect)| json!({ "name": name, "effect": effect, "refuses": false }));
    assert_eq!(explained["policies"], json!(policies));
    assert_eq!(explained["route"]["timeout"], 60.0);
    assert_eq!(explained["route"]["cors_origins"], "https://page.example");
    let destination = &explained["destination"];
    assert_eq!((&destination["name"], &destination["schema_known"]), (&json!("library"), &json!(true)));
}

#[tokio::test]
async fn a_route_is_explained_with_its_own_rules() {
    let gateway = world().await;
    let explained = explain(gateway.address, "PUT", "/v1/shelves/7/books/8", &[JSON], "{}").await;
    let route = &explained["route"];
    assert_eq!((&route["timeout"], &route["cors_origins"]), (&json!(2), &json!("*")));
    let explained = explain(gateway.address, "GET", "/closed/shop", &[], "").await;
    assert_eq!((&explained["surface"], &explained["route"]["name"]), (&json!("http"), &json!("closed")));
    assert_eq!(explained["binding"]["template"], "/closed/{what}");
    let captured = &explained["binding"]["path"][0];
    assert_eq!((&captured["name"], &captured["value"]), (&json!("what"), &json!("shop")));
    assert_eq!(
        (&explained["destination"]["kind"], &explained["destination"]["name"]),
        (&json!("respond"), &json!("503"))
    );
    let explained = explain(gateway.address, "GET", "/old/shelves", &[], "").await;
    assert_eq!(explained["destination"]["name"], "/v1/${path.rest}");
    assert_eq!(explained["answer_headers"]["location"], "/v1/shelves");
}

#[tokio::test]
async fn near_misses_are_ranked() {
    let gateway = world().await;
    let near = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let explained = explain(gateway.address, method, path, headers, "").await;
        let near = explained["near_misses"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        near.map(|near| format!("{} {}: {}", text(&near["verb"]), text(&near["path"]), text(&near["why"])))
            .collect::<Vec<_>>()
    };
    let found = near("GET", "/v1/shelfs/7/books/8", &[]).await;
    assert_eq!(found[0], "GET /v1/{name=shelves/*/books/*}: it has \"shelves\", not \"shelfs\"");
    assert!(found.len() >= 3, "{found:?}");
    let found = near("POST", "/library.v1.Library/Plain", &[JSON]).await;
    assert!(found[0].starts_with("POST /library.v1.Library/Plain: it is served as gRPC"), "{found:?}");
    let found = near("POST", "/v1/fail", &[GRPC]).await;
    assert!(found[0].starts_with("POST /v1/fail: the path is one of REST"), "{found:?}");
    let found = near("POST", "/library.v1.Library/GetBok", &[GRPC]).await;
    assert_eq!(found[0], "POST /library.v1.Library/GetBook: the method is GetBook, not GetBok");
    assert_eq!(near("GET", "/v1/shelves/7/books/8", &[]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_404_names_what_an_explanation_lists_first() {
    let gateway = world().await;
    // A request that nothing matches, and what both name; a blank means that neither names anything.
    let check = async |request: &str, want: &str| {
        let (method, path) = request.split_once(' ').unwrap();
        let explained = explain(gateway.address, method, path, &[("host", "test")], "").await;
        let first = &explained["near_misses"][0];
        let text = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(format!("{} {}", text("verb"), text("path")).trim(), want, "{request}: {explained:#}");
        let served = serve(gateway.address, method, path, &[], "").await;
        assert_eq!(served.http, 404, "{request}");
        let named = served.message.split_once("; the nearest is ").map_or("", |(_, nearest)| nearest);
        assert_eq!(named, want, "{request}: {}", served.message);
    };
    check("GET /v1/shelfs/7/books/8", "GET /v1/{name=shelves/*/books/*}").await;
    check("GET /v1/shelves/7/boks/8", "GET /v1/{name=shelves/*/books/*}").await;
    check("PATCH /v1/shelfs/7/books/8", "PATCH /v1/{book.name=shelves/*/books/*}").await;
    check("GET /shelves/7/books/8", "GET /v1/{name=shelves/*/books/*}").await;
    check("GET /api/v1/shelves/7/books/8", "GET /v1/{name=shelves/*/books/*}").await;
    check("GET /v1/shelves/7/books/8/", "GET /v1/{name=shelves/*/books/*}").await;
    check("POST /v1/colect", "POST /v1/collect").await;
    check("POST /v1/page", "POST /v1/pages").await;
    check("GET /api/v1/auth/mee", "GET /api/v1/auth/me").await;
    check("GET /api/v1/router", "GET /api/v1/routes").await;
    check("GET /admin/user", "GET /admin/users").await;
    // Pages of the gateway's own, beside what else is as near.
    check("GET /doc", "GET /docs").await;
    check("GET /Docs", "GET /docs").await;
    check("GET /docs/", "GET /docs").await;
    check("GET /openapi.yaml", "GET /openapi.json").await;
    check("GET /redocs", "GET /redoc").await;
    check("GET /live", "GET /livez").await;
    check("GET /ready", "GET /readyz").await;
    check("GET /well-known/jwks.json", "GET /.well-known/jwks.json").await;
    check("GET /helth", "GET /health").await;
    // What the config answers.
    check("GET /close/shop", "GET /closed/{what}").await;
    check("GET /wp-login.php", "").await;
    check("GET /nothing/alike", "").await;
    check(&format!("GET /{}", "a/".repeat(40)), "").await;
}

#[tokio::test]
async fn what_cannot_be_a_request_is_refused() {
    let gateway = world().await;
    let check = async |asked: Value, want: &str| {
        let asked = request(&Method::POST, "/api/v1/routes:explain", &[JSON], asked.to_string());
        let response = http1(gateway.address, asked).await;
        let body: Value = serde_json::from_slice(&response.body().0).unwrap();
        let got = (&body["outcome"], &body["http_status"], body["message"].as_str());
        assert_eq!((response.status().as_u16(), got), (200, (&json!("refused"), &json!(400), Some(want))));
    };
    check(json!({}), "the path \"\" does not begin with /").await;
    check(json!({ "path": "v1" }), "the path \"v1\" does not begin with /").await;
    check(json!({ "path": "/", "method": "G T" }), "\"G T\" is not an HTTP method").await;
    check(json!({ "path": "/", "headers": { "a b": "" } }), "\"a b\" is not the name of a header").await;
    check(json!({ "path": "/", "headers": { "a": "\n" } }), "\"\\n\" is not a value of header a").await;
}

/// Runs the program to its end: exit code and what it printed.
fn propylon(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    let mut program = Program::start("propylon", command.args(arguments)).unwrap();
    let code = program.exit_code(Duration::from_secs(60)).unwrap();
    (code, program.output())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_the_same_of_a_gateway_that_runs_and_of_its_config() {
    let (gateway, upstream) = world_and_upstream().await;
    let (server, config) = (gateway.address.to_string(), gateway.config().display().to_string());
    let both = |command: &[&str]| {
        let running = propylon(&[command, &["--server", &server]].concat());
        let built = propylon(&[command, &["--config", &config]].concat());
        assert_eq!(running, built);
        running
    };
    let (code, text) = both(&["explain", "GET", "/v1/shelves/7/books/8?edition=3"]);
    let want = format!(
        "\
GET /v1/shelves/7/books/8?edition=3

  ✓ goes to upstream library at http://{upstream}

  surface      REST
  binding      GET /v1/{{name=shelves/*/books/*}}
  method       library.v1.Library/GetBook
               library.v1.GetBookRequest → library.v1.Book
  path         name  \"shelves/7/books/8\"  string
  query        edition  \"3\"  int32
  body         none
  answers      application/json
  route        /library.v1.Library/GetBook
  rules        60 s · request 4 MiB · reply 64 MiB
  cors         pages of https://page.example
  policies     1 client address  127.0.0.1, this machine
               2 address limit  none for this address
               3 authenticate  nobody: the call brings no credentials
               4 authorize  everyone (access.default)
               5 caller's limit  by the caller's tier, if it is known
               6 deadline  60s, the route's
               7 identity upstream  told: X-Gateway-Request-ID; X-User-ID, X-User-Email, X-User-Role and X-User-Permissions of a known caller; no credentials of the caller's"
    );
    assert_eq!((code, text.as_str()), (0, want.as_str()), "\n{text}");

    let (code, text) = both(&["explain", "put", "/v1/shelfs/7/boks/"]);
    let want = "\
PUT /v1/shelfs/7/boks/

  ✗ 404 Not Found · NOT_FOUND (5)
    there is no PUT /v1/shelfs/7/boks/; the nearest is POST /v1/shelves/{shelf}/books

  surface      REST

  near         POST /v1/shelves/{shelf}/books  library.v1.Library.CreateBook
               PUT  /v1/shelfs /7      /boks /
               ^^^      ^^^^^^          ^^^^ ^
               → it has \"shelves\", not \"shelfs\"; it has \"books\", not \"boks\"; it is POST, not PUT; it has no slash at its end

               PUT /v1/{name=shelves/*/books/*}  library.v1.Library.PutBook
               PUT /v1/shelfs       /7      /boks/
                       ^^^^^^          ^^^^^     ^
               → it has \"shelves\", not \"shelfs\"; it has /books in between; it has no slash at its end";
    assert_eq!((code, text.as_str()), (0, want), "\n{text}");

    let (code, text) = both(&["explain", "grpc", "library.v1.Library/GetBok", "--json"]);
    let explained: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &explained["code"], &explained["surface"]), (0, &json!(12), &json!("grpc")));

    let (code, text) = both(&["routes", "--service", "library.v1.Library"]);
    assert_eq!(code, 0);
    for row in [
        &format!("library  http://{upstream}"),
        "  library.v1.Library",
        "    GetBook                    GET    /v1/{name=shelves/*/books/*}",
        "    ListPages   server stream  POST   /v1/pages",
    ] {
        assert!(text.lines().any(|line| line == row), "{row}\nis not in\n{text}");
    }
    let (code, text) = both(&["routes"]);
    assert_eq!(code, 0);
    for (path, what) in [
        ("/closed/{what}", "responds 503"),
        ("/old/{rest=**}", "redirects to /v1/${path.rest}"),
        ("/readyz", "the gateway's own page"),
    ] {
        let row = text.lines().find(|line| line.contains(&format!(" {path} ")));
        assert!(row.is_some_and(|row| row.ends_with(what)), "{path} {what}\nis not in\n{text}");
    }
    let (code, text) = both(&["routes", "--json"]);
    let routes: Value = serde_json::from_str(&text).unwrap();
    let paths: Vec<_> = routes["routes"].as_array().unwrap().iter().map(|route| &route["path"]).collect();
    assert!(code == 0 && paths.contains(&&json!("/library.v1.Library/GetBook")), "{text}");
    let (code, text) = both(&["routes", "--service", "library.v1.Librari"]);
    assert!(text.contains("(did you mean \"library.v1.Library\"?)"), "{text}");
    assert_ne!(code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_are_asked_what_they_serve_and_one_that_is_away_is_named() {
    let upstream = Reflecting::start("127.0.0.1:0".parse().unwrap(), FIRST).await.address.to_string();
    let (code, text) = propylon(&["explain", "GET", "/v1/items/7", "--grpc", &upstream]);
    let goes = format!("  ✓ goes to upstream {upstream} at http://{upstream}");
    assert!(code == 0 && text.lines().any(|line| line == goes), "{code} {text}");
    assert!(text.contains("\n  cors         pages of this machine\n"), "{text}");
    let (code, text) = propylon(&["routes", "--grpc", &upstream, "--service", "shop.v1.Shop"]);
    let want = format!(
        "{upstream}  http://{upstream}\n\n  shop.v1.Shop\n    \
         Get                   GET    /v1/items/{{name}}\n                          POST   /shop.v1.Shop/Get\n                          tool   shop_v1_Shop_Get\n    \
         Watch  server stream  GET    /v1/watch\n                          POST   /shop.v1.Shop/Watch\n                          tool   shop_v1_Shop_Watch\n\n\
         every method is at POST /package.Service/Method too, by gRPC and gRPC-Web"
    );
    assert_eq!((code, text.as_str()), (0, want.as_str()), "\n{text}");
    let (code, text) = propylon(&["explain", "GET", "/v1/items/7", "--grpc", "127.0.0.1:1"]);
    assert!(code == 0 && text.contains("404 Not Found"), "{code} {text}");
    let warning = "warning: upstream 127.0.0.1:1 has not answered reflection: its methods are not known";
    assert!(text.contains(warning), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_what_it_found_on_one_line() {
    let gateway = world().await;
    let address = gateway.address.to_string();
    assert_eq!(propylon(&["health", &address]), (0, "SERVING".to_owned()));
    assert_eq!(propylon(&["health", &format!("http://{address}"), "--service", "library.v1.Library"]).0, 0);
    let (code, text) = propylon(&["health", &address, "--service", "library.v1.Librari"]);
    assert_eq!((code, text), (1, format!("http://{address} has no service \"library.v1.Librari\"")));
    drop(gateway);
    let (code, text) = propylon(&["health", &address]);
    assert_eq!(code, 1);
    assert!(
        text.starts_with(&format!("cannot connect to http://{address}: ")) && text.lines().count() == 1,
        "{text}"
    );
    // Somebody listens, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let began = std::time::Instant::now();
    let (code, text) = propylon(&["health", &silent, "--timeout", "300ms"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((code, text.lines().count()), (1, 1), "{text}");
    // Whatever is wrong, it is not healthy: a container's HEALTHCHECK knows 0 and 1 alone.
    let (code, text) = propylon(&["health", "nowhere"]);
    assert_eq!(code, 1, "{text}");
    let (code, text) = propylon(&["health", "18101"]);
    assert!(code == 1 && text.contains("18101 is a port alone: did you mean 127.0.0.1:18101?"), "{text}");
    let (code, text) = propylon(&["health", "--config", "/nowhere.toml"]);
    assert!(code == 1 && text.contains("/nowhere.toml"), "{text}");
    let (code, text) = propylon(&["health", &address, "--timeout", "soon"]);
    assert!(code == 1 && text.contains("--timeout: \"soon\" is not a time"), "{code} {text}");
}

#[test]
fn a_typo_is_answered_with_the_nearest() {
    let check = |arguments: &[&str], want: &str| {
        let (code, text) = propylon(arguments);
        assert!(code != 0 && text.contains(want), "{arguments:?}: {code} {text}");
    };
    check(&["explian", "GET", "/"], "a similar subcommand exists: 'explain'");
    check(&["routes", "--jsn"], "a similar argument exists: '--json'");
    check(&["explain", "GET"], "<PATH>");
    check(&["routes", "--server", "a:1", "--config", "b"], "cannot be used with");
    // Nobody is asked over TLS but a gateway that runs.
    for trust in [&["--tls"][..], &["--insecure"], &["--ca", "ca.pem"]] {
        check(&[&["routes"], trust].concat(), "--server <HOST:PORT>");
        check(&[&["explain", "GET", "/"], trust].concat(), "--server <HOST:PORT>");
        check(&[&["explain", "GET", "/", "--grpc", "a:1"], trust].concat(), "cannot be used with");
        check(&[&["routes", "--config", "b"], trust].concat(), "cannot be used with");
    }
    check(&["explain", "GET", "/", "-H", "accept"], "\"accept\" is not a header; it is 'name: value'");
    check(&["routes", "--server", "127.0.0.1:1"], "cannot connect to http://127.0.0.1:1");
    check(&["routes", "--config", "/nowhere.toml"], "/nowhere.toml");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_s_call_is_explained_as_it_is_served() {
    let gateway = World::with_library(crate::support::library::start().await)
        .with_config("[mcp]\nexpose = [\"library.*\"]\nnames = \"method\"\n")
        .start();
    let server = gateway.address.to_string();
    let ask = |message: &str| {
        propylon(&[
            "explain",
            "POST",
            "/mcp",
            "-H",
            "content-type: application/json",
            "-d",
            message,
            "--server",
            &server,
        ])
    };
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"GetBook","arguments":{"name":"a"}}}"#;
    let (code, text) = ask(call);
    assert!(code == 0 && text.contains("goes to upstream library"), "{code} {text}");
    for words in ["surface      MCP", "method       library.v1.Library/GetBook", "authorize"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (_, text) = ask(&call.replace("\"name\":\"a\"", "\"nmae\":\"a\""));
    assert!(text.contains("did you mean `name`"), "{text}");
    let (_, text) = ask(&call.replace("GetBook", "GetBok"));
    assert!(text.contains("Unknown tool: GetBok"), "{text}");
    let (_, text) = ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(text.contains("is answered 200 OK"), "{text}");
}
