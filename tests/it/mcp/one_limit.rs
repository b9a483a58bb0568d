//! The same method as a tool, over REST, gRPC and gRPC-Web: one outcome, under the same rules and one limit.

use http::Method;
use serde_json::{Value, json};

use super::{Got, rpc, send};
use crate::support::{
    client::{Outcome, frames, grpc, grpc_web, request, rest},
    gateway::{TestGateway, World},
    library,
};

const JSON: (&str, &str) = ("content-type", "application/json");
const READER: &str = "a-reader-s-token-which-is-long-enough";
const WRITER: &str = "a-writer-s-token-which-is-long-enough";

async fn start(more: &str) -> TestGateway {
    World::with_library(library::start().await)
        .with_file("reader", READER.as_bytes())
        .with_file("writer", WRITER.as_bytes())
        .with_config(&format!(
            "[mcp]\nexpose = [\"*\"]\nnames = \"method\"\n\
             [[auth.tokens]]\nname = \"reader\"\ntoken = {{ file = \"reader\" }}\nroles = [\"reader\"]\n\
             [[auth.tokens]]\nname = \"writer\"\ntoken = {{ file = \"writer\" }}\nroles = [\"writer\"]\n{more}"
        ))
        .start()
}

/// One call as each: a tool, over REST, gRPC, gRPC-Web.
async fn all(gateway: &TestGateway, headers: &[(&str, &str)]) -> [(&'static str, i32); 4] {
    let at = gateway.address;
    let message = frames("library.v1.GetBookRequest", &["{}"]);
    let path = "/library.v1.Library/GetBook";
    let code = |outcome: Outcome| outcome.code;
    [
        ("MCP", tool(&as_tool(gateway, headers).await)),
        ("REST", code(rest(at, request(&Method::GET, "/v1/books:get", headers, "")).await)),
        ("gRPC", code(grpc(at, path, headers, message.clone(), "library.v1.Book").await)),
        ("gRPC-Web", code(grpc_web(at, false, path, headers, message, "library.v1.Book").await)),
    ]
}

async fn as_tool(gateway: &TestGateway, headers: &[(&str, &str)]) -> Got {
    let all = [&[JSON], headers].concat();
    let call = rpc("tools/call", &json!({"name": "GetBook"})).to_string();
    send(gateway.address, &Method::POST, &all, call).await
}

/// What a tool's outcome is as a gRPC code.
fn tool(got: &Got) -> i32 {
    match got.http {
        // What one may not call one is not shown, and is then as what there is not.
        200 if got.json["error"]["message"] == "Unknown tool: GetBook" => 7,
        200 => 0,
        401 => 16,
        403 => 7,
        429 => 8,
        other => panic!("{other}: {got:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_it_may_call_it_by_any_way() {
    let rules = "[access]\ndefault = \"authenticated\"\n[[access.rules]]\nmatch = [\"library.v1.Library/GetBook\"]\n\
                 roles = [\"reader\"]\n";
    let gateway = start(rules).await;
    let (reader, writer) = (format!("Bearer {READER}"), format!("Bearer {WRITER}"));
    let check = async |headers: &[(&str, &str)], want: i32| {
        for (surface, code) in all(&gateway, headers).await {
            assert_eq!(code, want, "{surface} {headers:?}");
        }
    };
    check(&[], 16).await;
    check(&[("authorization", &reader)], 0).await;
    check(&[("authorization", &writer)], 7).await;
    check(&[("authorization", "Bearer nonsense")], 16).await;
    // A refusal is one in HTTP and in JSON-RPC.
    let got = as_tool(&gateway, &[]).await;
    assert_eq!((got.code(), &got.json["id"]), (-32001, &json!(1)));
    assert!(got.header("www-authenticate").starts_with("Bearer"), "{got:?}");
    let got = as_tool(&gateway, &[("authorization", "Bearer nonsense")]).await;
    assert!(got.header("www-authenticate").contains("invalid_token"), "{got:?}");
    assert_eq!(as_tool(&gateway, &[("authorization", &writer)]).await.code(), -32602);
    // Each is shown what it may call.
    let list = async |headers: &[(&str, &str)]| {
        let all = [&[JSON], headers].concat();
        let got = send(gateway.address, &Method::POST, &all, rpc("tools/list", &json!({})).to_string()).await;
        super::names(got.result()).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]).await, Vec::<String>::new());
    assert!(list(&[("authorization", &reader)]).await.contains(&"GetBook".to_owned()));
    let writers = list(&[("authorization", &writer)]).await;
    assert!(
        !writers.contains(&"GetBook".to_owned()) && writers.contains(&"PutBook".to_owned()),
        "{writers:?}"
    );
    let discovered = super::modern(gateway.address, "tools/list", &json!({}), &[]).await;
    assert_eq!(discovered.result()["cacheScope"], "private");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_it_whichever_way_it_comes() {
    let limits = "[access]\ndefault = \"public\"\n[rate_limits]\naddress = 0\n[[rate_limits.rules]]\nname = \"books\"\n\
                  match = [\"library.v1.Library/GetBook\"]\ncalls = 6\nby = \"everyone\"\n";
    let gateway = start(limits).await;
    let codes: Vec<i32> = [all(&gateway, &[]).await, all(&gateway, &[]).await]
        .into_iter()
        .flatten()
        .map(|(_, code)| code)
        .collect();
    assert_eq!(codes, [0, 0, 0, 0, 0, 0, 8, 8]);
    let got = as_tool(&gateway, &[]).await;
    assert_eq!((got.http, got.code(), &got.json["id"]), (429, -32005, &json!(1)));
    assert!(!got.header("retry-after").is_empty() && got.header("x-ratelimit-remaining") == "0", "{got:?}");
    // Lists are no calls of it.
    let list = send(gateway.address, &Method::POST, &[JSON], rpc("tools/list", &json!({})).to_string()).await;
    assert_eq!(list.http, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_charged_once_for_a_tool() {
    let limits = "[access]\ndefault = \"public\"\n[rate_limits]\naddress = 10\nburst = 0\nexempt = []\n\
                  tiers = { free = 5 }\n";
    let gateway = start(limits).await;
    let reader = format!("Bearer {READER}");
    let left = |got: &Got| got.header("x-ratelimit-remaining").to_owned();
    for want in ["4", "3"] {
        let got = as_tool(&gateway, &[("authorization", &reader)]).await;
        assert_eq!((got.http, left(&got).as_str()), (200, want));
    }
    let all = [JSON, ("authorization", reader.as_str())];
    let list = send(gateway.address, &Method::POST, &all, rpc("tools/list", &json!({})).to_string()).await;
    assert_eq!(left(&list), "2");
    let message = json!({"jsonrpc": "2.0", "id": 1}).to_string();
    let wrong = send(gateway.address, &Method::POST, &all, message).await;
    assert_eq!((wrong.http, left(&wrong).as_str()), (400, "1"));
    // Somebody whom nobody knows is counted by the address, once too.
    for want in ["9", "8"] {
        let got = as_tool(&gateway, &[]).await;
        assert_eq!((got.http, left(&got).as_str()), (200, want));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_may_be_closed_as_a_whole() {
    let rules =
        "[access]\ndefault = \"public\"\n[[access.rules]]\nmatch = [\"/mcp\"]\nroles = [\"writer\"]\n";
    let gateway = start(rules).await;
    let (reader, writer) = (format!("Bearer {READER}"), format!("Bearer {WRITER}"));
    assert_eq!(as_tool(&gateway, &[]).await.http, 401);
    assert_eq!(as_tool(&gateway, &[("authorization", &reader)]).await.http, 403);
    assert_eq!(as_tool(&gateway, &[("authorization", &writer)]).await.http, 200);
    // By the head alone: what it would have said is not looked at.
    let got = send(gateway.address, &Method::POST, &[JSON], "{").await;
    assert_eq!((got.http, got.code(), &got.json["id"]), (401, -32001, &Value::Null));
}
