//! One table of calls, run through every surface, with one expected outcome each: the statement of the core idea.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{self, Outcome, frames, grpc, grpc_web, request, rest},
    gateway::World,
    library,
};

/// One call, as each surface writes it.
struct Case {
    name: &'static str,
    method: &'static str,
    message: &'static str,
    /// The request messages.
    sent: &'static [&'static str],
    /// The same call over REST: verb, path, body.
    rest: (Method, &'static str, &'static str),
    want: Want,
}

/// What is expected, whatever the surface: the messages, then the status.
struct Want {
    messages: Value,
    code: i32,
    message: &'static str,
    details: Value,
}

fn ok(messages: Value) -> Want {
    Want { messages, code: 0, message: "", details: json!([]) }
}

fn fails(messages: Value, code: i32, message: &'static str, details: Value) -> Want {
    Want { messages, code, message, details }
}

fn info() -> Value {
    json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "LOST", "domain": "library.example", "metadata": { "shelf": "7" }
    }])
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "path variables of several segments",
            method: "PutBook",
            message: "Book",
            sent: &[
                r#"{"name": "shelves/1/books/2", "title": "Ä \"quoted\" 𝄞", "pages": "9007199254740993"}"#,
            ],
            rest: (
                Method::PUT,
                "/v1/shelves/1/books/2",
                r#"{"title": "Ä \"quoted\" \ud834\udd1e", "pages": 9007199254740993}"#,
            ),
            want: ok(
                json!([{ "name": "shelves/1/books/2", "title": "Ä \"quoted\" 𝄞", "pages": "9007199254740993" }]),
            ),
        },
        Case {
            name: "a body of one field, and a path variable",
            method: "CreateBook",
            message: "CreateBookRequest",
            sent: &[
                r#"{"shelf": "a b", "book": {"title": "T", "author": {"givenName": "G"}, "tags": ["x", "y"]}}"#,
            ],
            rest: (
                Method::POST,
                "/v1/shelves/a%20b/books",
                r#"{"title": "T", "author": {"given_name": "G"}, "tags": ["x", "y"]}"#,
            ),
            want: ok(json!([{
                "name": "shelves/a b/books/T", "title": "T", "author": { "givenName": "G" }, "tags": ["x", "y"]
            }])),
        },
        Case {
            name: "a PATCH fills its mask from the fields present",
            method: "UpdateBook",
            message: "UpdateBookRequest",
            sent: &[r#"{"book": {"name": "shelves/1/books/2", "pages": "3", "author": {"familyName": "F"}},
                        "updateMask": "pages,author.familyName"}"#],
            rest: (Method::PATCH, "/v1/shelves/1/books/2", r#"{"pages": 3, "author": {"familyName": "F"}}"#),
            want: ok(json!([{
                "name": "shelves/1/books/2", "title": "pages,author.family_name", "pages": "3",
                "author": { "familyName": "F" }
            }])),
        },
        Case {
            name: "an error with details",
            method: "Fail",
            message: "FailRequest",
            sent: &[r#"{"code": 5, "message": "no such book: 100% gone\n(ä)", "reason": "LOST"}"#],
            rest: (
                Method::POST,
                "/v1/fail",
                r#"{"code": 5, "message": "no such book: 100% gone\n(ä)", "reason": "LOST"}"#,
            ),
            want: fails(json!([]), 5, "no such book: 100% gone\n(ä)", info()),
        },
        Case {
            name: "a stream of several messages",
            method: "ListPages",
            message: "FailRequest",
            sent: &[r#"{"pages": 3}"#],
            rest: (Method::POST, "/v1/pages", r#"{"pages": 3}"#),
            want: ok(json!([{ "pages": "1" }, { "pages": "2" }, { "pages": "3" }])),
        },
        Case {
            name: "a stream of none",
            method: "ListPages",
            message: "FailRequest",
            sent: &["{}"],
            rest: (Method::POST, "/v1/pages", "{}"),
            want: ok(json!([])),
        },
        Case {
            name: "a stream that fails before its first message",
            method: "ListPages",
            message: "FailRequest",
            sent: &[r#"{"code": 9, "message": "closed"}"#],
            rest: (Method::POST, "/v1/pages", r#"{"code": 9, "message": "closed"}"#),
            want: fails(json!([]), 9, "closed", json!([])),
        },
        Case {
            name: "a stream that fails after its second message",
            method: "ListPages",
            message: "FailRequest",
            sent: &[r#"{"pages": 2, "code": 15, "message": "torn", "reason": "LOST"}"#],
            rest: (
                Method::POST,
                "/v1/pages",
                r#"{"pages": 2, "code": 15, "message": "torn", "reason": "LOST"}"#,
            ),
            want: fails(json!([{ "pages": "1" }, { "pages": "2" }]), 15, "torn", info()),
        },
        Case {
            name: "a client's stream",
            method: "Collect",
            message: "Book",
            sent: &[r#"{"pages": "1"}"#, r#"{"pages": "2"}"#, r#"{"pages": "39"}"#],
            rest: (Method::POST, "/v1/collect", "{\"pages\": 1}\n{\"pages\": \"2\"}\n{\"pages\": 39}\n"),
            want: ok(json!([{ "pages": "42" }])),
        },
        Case {
            name: "both stream",
            method: "Chat",
            message: "Book",
            sent: &[r#"{"title": "a"}"#, r#"{"title": "b"}"#],
            rest: (Method::POST, "/v1/chat", "{\"title\": \"a\"}\n{\"title\": \"b\"}"),
            want: ok(json!([{ "title": "a" }, { "title": "b" }])),
        },
    ]
}

/// Calls a case over each surface; the same headers go with each.
async fn outcomes(gateway: SocketAddr, case: &Case) -> Vec<(&'static str, Outcome)> {
    let path = format!("/library.v1.Library/{}", case.method);
    let body = frames(&format!("library.v1.{}", case.message), case.sent);
    let said = [("x-say", "hello")];
    let book = "library.v1.Book";
    let (verb, rest_path, rest_body) = &case.rest;
    let several = case.sent.len() > 1;
    let content_type = if several { "application/x-ndjson" } else { "application/json" };
    let streams = ["ListPages", "Chat"].contains(&case.method);
    let accept = if streams { "application/x-ndjson" } else { "application/json" };
    let headers = [&said[..], &[("content-type", content_type), ("accept", accept)]].concat();
    vec![
        ("gRPC", grpc(gateway, &path, &said, body.clone(), book).await),
        ("gRPC-Web", grpc_web(gateway, false, &path, &said, body.clone(), book).await),
        ("gRPC-Web text", grpc_web(gateway, true, &path, &said, body, book).await),
        ("REST", rest(gateway, request(verb, rest_path, &headers, *rest_body)).await),
    ]
}

#[tokio::test]
async fn one_table_through_every_surface() {
    let upstream = library::start().await;
    let gateway = World::with_library(upstream).start();
    for case in cases() {
        for (surface, outcome) in outcomes(gateway.address, &case).await {
            let at = format!("{} over {surface}: {outcome:?}", case.name);
            assert_eq!(Value::from(outcome.messages.clone()), case.want.messages, "{at}");
            assert_eq!(outcome.code, case.want.code, "{at}");
            assert_eq!(outcome.message, case.want.message, "{at}");
            assert_eq!(Value::from(outcome.details.clone()), case.want.details, "{at}");
            assert_eq!(outcome.headers.get("x-said").map(|v| v.as_bytes()), Some(&b"hello"[..]), "{at}");
            let failed_at_once = case.want.code != 0 && case.want.messages == json!([]);
            let http = match (surface, case.want.code) {
                ("REST", 5) if failed_at_once => 404,
                ("REST", 9) if failed_at_once => 400,
                _ => 200,
            };
            assert_eq!(outcome.http, http, "{at}");
        }
    }
}

#[tokio::test]
async fn a_streams_forms_over_rest() {
    let upstream = library::start().await;
    let gateway = World::with_library(upstream).start();
    let check = async |accept: &str, sent: &str, want: &str, content_type: &str| {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        let response =
            client::http1(gateway.address, request(&Method::POST, "/v1/pages", &headers, sent.to_owned()))
                .await;
        assert_eq!(response.status(), 200, "{accept}");
        assert_eq!(response.headers()["content-type"], content_type, "{accept}");
        assert_eq!(String::from_utf8_lossy(&response.body().0), want, "{accept}");
    };
    let (two, torn) = (r#"{"pages": 2}"#, r#"{"pages": 1, "code": 15, "message": "torn"}"#);
    let error = r#"{"error":{"code":15,"status":"DATA_LOSS","message":"torn","details":[]}}"#;
    check("application/json", two, r#"[{"pages":"1"},{"pages":"2"}]"#, "application/json").await;
    check("application/json", "{}", "[]", "application/json").await;
    check("application/json", torn, &format!(r#"[{{"pages":"1"}},{error}]"#), "application/json").await;
    check("application/x-ndjson", torn, &format!("{{\"pages\":\"1\"}}\n{error}\n"), "application/x-ndjson")
        .await;
    check(
        "text/event-stream",
        two,
        "id: 1\ndata: {\"pages\":\"1\"}\n\nid: 2\ndata: {\"pages\":\"2\"}\n\n",
        "text/event-stream",
    )
    .await;
    let event = "id: 1\ndata: {\"pages\":\"1\"}\n\nevent: error\ndata: ";
    let error = r#"{"code":15,"status":"DATA_LOSS","message":"torn","details":[]}"#;
    let response = client::http1(
        gateway.address,
        request(&Method::POST, "/v1/pages", &[("accept", "text/event-stream")], torn.to_owned()),
    )
    .await;
    let text = String::from_utf8_lossy(&response.body().0).into_owned();
    assert!(text.starts_with(event) && text.contains(error), "{text}");
}

#[tokio::test]
async fn metadata_goes_both_ways_and_identities_do_not() {
    let upstream = library::start().await;
    let gateway = World::with_library(upstream).start();
    let sent = [
        ("x-custom", "kept"),
        ("x-custom-bin", "AAEC"),
        ("x-user-id", "root"),
        ("X-User_Role", "admin"),
        ("x-user-email-bin", "AAEC"),
        ("connection", "x-dropped"),
        ("x-dropped", "1"),
    ];
    // HTTP/2 has no Connection header: there it is malformed, and not sent here.
    let body = frames("library.v1.GetBookRequest", &[r#"{"name": "shelves/1/books/2"}"#]);
    let native: Vec<_> =
        sent.iter().copied().filter(|(name, _)| !["connection", "x-dropped"].contains(name)).collect();
    let book = "library.v1.Book";
    let path = "/library.v1.Library/GetBook";
    let outcomes = [
        ("gRPC", grpc(gateway.address, path, &native, body.clone(), book).await),
        ("gRPC-Web", grpc_web(gateway.address, false, path, &sent, body, book).await),
        ("REST", rest(gateway.address, request(&Method::GET, "/v1/shelves/1/books/2", &sent, "")).await),
    ];
    for (surface, outcome) in outcomes {
        let seen = outcome.messages[0]["tags"].to_string();
        assert!(seen.contains("x-custom=kept") && seen.contains("x-custom-bin=AAEC"), "{surface}: {seen}");
        for name in ["x-user", "x_user", "user_role", "x-dropped"] {
            assert!(!seen.to_lowercase().contains(name), "{surface}: {name} reached the upstream: {seen}");
        }
        let trailer = outcome.trailers.get("x-trailer").or_else(|| outcome.headers.get("x-trailer"));
        assert_eq!(trailer.map(|value| value.as_bytes()), Some(&b"kept"[..]), "{surface}");
    }
}
