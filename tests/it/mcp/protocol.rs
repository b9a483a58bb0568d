//! The protocol as the specifications have it: a row for each thing that a server must do with a message.

use http::Method;
use serde_json::{Value, json};

use super::{Got, MODERN, bare, modern, rpc, send, start};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_told_so() {
    let gateway = start("").await;
    let at = gateway.address;
    let check = async |body: &str, http: u16, code: i64, id: Value, data: &str| {
        let got = send(at, &Method::POST, &[JSON], body.to_owned()).await;
        assert_eq!((got.http, got.code(), &got.json["id"]), (http, code, &id), "{body}");
        assert_eq!(got.json["jsonrpc"], "2.0");
        let said = got.json["error"]["data"].as_str().unwrap_or_default();
        assert!(said.contains(data), "{body}: {said}");
    };
    let null = Value::Null;
    check(r#"{"jsonrpc":"2.0","#, 400, -32700, null.clone(), "EOF").await;
    check("", 400, -32700, null.clone(), "EOF").await;
    check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, 400, -32600, null.clone(), "batches").await;
    check(r#"{"jsonrpc":"1.0","id":5,"method":"ping"}"#, 400, -32600, 5.into(), "Invalid JSON-RPC version")
        .await;
    check(r#"{"id":5,"method":"ping"}"#, 400, -32600, 5.into(), "Invalid JSON-RPC version").await;
    let method = "Method is required and must be a string";
    check(r#"{"jsonrpc":"2.0","id":5}"#, 400, -32600, 5.into(), method).await;
    check(r#"{"jsonrpc":"2.0","id":5,"method":7}"#, 400, -32600, 5.into(), method).await;
    check(r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, 400, -32600, null, "ID must be").await;
    check(r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}"#, 400, -32600, "a".into(), "Params")
        .await;
    let got = bare(at, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    assert_eq!((got.http, got.json), (202, Value::Null));
    let got = bare(at, &json!({"jsonrpc": "2.0", "id": "abc-1", "method": "tools/list"})).await;
    assert_eq!((got.http, &got.json["id"]), (200, &json!("abc-1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_http_itself_refuses_is_refused_in_json_rpc() {
    let gateway = start("[limits]\nrequest_bytes = 5000").await;
    let at = gateway.address;
    let ping = rpc("ping", &json!({})).to_string();
    let check = async |method: Method, headers: &[(&str, &str)], body: String, http: u16, code: i64| {
        let got = send(at, &method, headers, body).await;
        assert_eq!((got.http, got.code()), (http, code), "{method} {headers:?}");
        got
    };
    let got = check(Method::GET, &[], String::new(), 405, -32600).await;
    assert_eq!(got.header("allow"), "POST");
    check(Method::PUT, &[JSON], ping.clone(), 405, -32600).await;
    check(Method::DELETE, &[], String::new(), 405, -32600).await;
    check(Method::POST, &[("content-type", "text/plain")], ping.clone(), 415, -32600).await;
    check(Method::POST, &[JSON, ("accept", "text/html")], ping.clone(), 406, -32600).await;
    check(Method::POST, &[JSON], format!("{ping}{}", " ".repeat(6000)), 413, -32600).await;
    check(Method::POST, &[JSON, ("content-encoding", "nonsense")], ping.clone(), 415, -32600).await;
    check(Method::POST, &[JSON, ("x-request-timeout", "soon")], ping.clone(), 400, -32600).await;
    for accept in ["*/*", "application/json", "application/json, text/event-stream"] {
        let got = send(at, &Method::POST, &[JSON, ("accept", accept)], ping.clone()).await;
        assert_eq!((got.http, got.header("content-type")), (200, "application/json"), "{accept}");
    }
    // Who takes nothing else is answered by one event.
    let got = send(at, &Method::POST, &[JSON, ("accept", "text/event-stream")], ping.clone()).await;
    assert_eq!((got.header("content-type"), got.events.len()), ("text/event-stream", 1));
    let got = send(at, &Method::OPTIONS, &[], "").await;
    assert_eq!((got.http, got.header("allow")), (204, "POST, GET, DELETE, OPTIONS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_is_answered_without_a_session() {
    let gateway = start("instructions = \"Look before you lend.\"").await;
    let at = gateway.address;
    let discovered = modern(at, "server/discover", &json!({}), &[]).await;
    let result = discovered.result();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["supportedVersions"][0], MODERN);
    assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}));
    assert_eq!(result["instructions"], "Look before you lend.");
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(60_000), &json!("public")));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "Propylon");
    assert_eq!(discovered.header("mcp-session-id"), "");
    let list = modern(at, "tools/list", &json!({}), &[("mcp-session-id", "whatever")]).await;
    let result = list.result();
    assert_eq!((&result["resultType"], &result["ttlMs"]), (&json!("complete"), &json!(60_000)));
    assert_eq!(result["cacheScope"], "public");
    for removed in
        ["initialize", "ping", "logging/setLevel", "resources/subscribe", "prompts/list", "no/such"]
    {
        let got = modern(at, removed, &json!({}), &[]).await;
        assert_eq!((got.http, got.code(), &got.json["id"]), (404, -32601, &json!(1)), "{removed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_says_what_the_body_says() {
    let gateway = start("").await;
    let at = gateway.address;
    let meta = |version: &str| {
        json!({"_meta": {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }})
    };
    let check = async |headers: &[(&str, &str)], method: &str, params: &Value, code: i64| {
        let all = [&[JSON], headers].concat();
        let got = send(at, &Method::POST, &all, rpc(method, params).to_string()).await;
        assert_eq!((got.http, got.code()), (400, code), "{headers:?} {method} {params}");
        assert_eq!(got.json["id"], 1);
        got
    };
    let (version, list) = (("mcp-protocol-version", MODERN), ("mcp-method", "tools/list"));
    check(&[version, list], "tools/list", &json!({}), -32602).await;
    check(&[], "server/discover", &json!({}), -32602).await;
    check(&[version], "tools/list", &meta(MODERN), -32020).await;
    check(&[list], "tools/list", &meta(MODERN), -32020).await;
    check(&[version, ("mcp-method", "TOOLS/LIST")], "tools/list", &meta(MODERN), -32020).await;
    check(&[version, list, list], "tools/list", &meta(MODERN), -32020).await;
    check(&[version, list], "tools/list", &meta("v9"), -32020).await;
    let got = check(&[("mcp-protocol-version", "v9"), list], "tools/list", &meta("v9"), -32022).await;
    let data = &got.json["error"]["data"];
    assert_eq!((&data["requested"], &data["supported"][0]), (&json!("v9"), &json!(MODERN)));
    let mut call = meta(MODERN);
    call["name"] = "GetBook".into();
    let method = ("mcp-method", "tools/call");
    check(&[version, method], "tools/call", &call, -32020).await;
    check(&[version, method, ("mcp-name", "Plain")], "tools/call", &call, -32020).await;
    let all = [JSON, version, method, ("mcp-name", "=?base64?R2V0Qm9vaw==?=")];
    let got = send(at, &Method::POST, &all, rpc("tools/call", &call).to_string()).await;
    assert_eq!(got.http, 200, "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_the_same_each_time_and_comes_in_pages() {
    let gateway = start("page_size = 3").await;
    let at = gateway.address;
    let page = async |cursor: Value| -> Got { bare(at, &rpc("tools/list", &cursor)).await };
    let first = page(json!({})).await;
    assert_eq!(super::names(first.result()), ["CreateBook", "Fail", "GetBook"]);
    assert_eq!(first.json, page(json!({"cursor": null})).await.json);
    let cursor = first.result()["nextCursor"].clone();
    let second = page(json!({"cursor": cursor})).await;
    assert_eq!(super::names(second.result()), ["ListPages", "Plain", "PutBook"]);
    let last = page(json!({"cursor": second.result()["nextCursor"]})).await;
    assert_eq!(super::names(last.result()), ["UpdateBook", "Upload"]);
    assert!(last.result().get("nextCursor").is_none() && last.result().get("ttlMs").is_none());
    for cursor in [json!("!"), json!(7)] {
        assert_eq!(page(json!({"cursor": cursor})).await.code(), -32602, "{cursor}");
    }
}
