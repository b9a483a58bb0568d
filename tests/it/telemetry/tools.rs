//! What agents ask for, in numbers: by method and tool, with what kind of error.

use http::Method;
use serde_json::{Value, json};

use super::{exposition::Scrape, metrics::until};
use crate::support::{
    client::{http1, request},
    gateway::{TestGateway, World},
    library,
};

async fn send(gateway: &TestGateway, method: Method, session: &str, body: &Value) -> http::HeaderMap {
    let headers = [("content-type", "application/json"), ("mcp-session-id", session)];
    let headers = if session.is_empty() { &headers[..1] } else { &headers[..] };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http1(gateway.address, request(&method, "/mcp", headers, body)).await.headers().clone()
}

pub(super) async fn ask(gateway: &TestGateway, method: &str, params: Value) -> http::HeaderMap {
    send(gateway, Method::POST, "", &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
        .await
}

#[tokio::test]
async fn requests_of_agents_are_counted_by_method_tool_and_error() {
    let gateway = World::with_library(library::start().await)
        .with_config("[mcp]\nexpose = [\"library.v1.*\"]\nnames = \"method\"\n")
        .start();
    let book = json!({"name": "shelves/1/books/2"});
    ask(&gateway, "tools/list", json!({})).await;
    for _ in 0..2 {
        ask(&gateway, "tools/call", json!({"name": "GetBook", "arguments": book})).await;
    }
    ask(&gateway, "tools/call", json!({"name": "Fail", "arguments": {"code": 5, "message": "no"}})).await;
    ask(&gateway, "tools/call", json!({"name": "made-up-by-a-client"})).await;
    ask(&gateway, "made/up", json!({})).await;
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let session = ask(&gateway, "initialize", params).await["mcp-session-id"].to_str().unwrap().to_owned();
    send(&gateway, Method::POST, &session, &json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})).await;
    send(&gateway, Method::DELETE, &session, &Value::Null).await;
    let http = "http_server_request_duration_seconds_count";
    // All of them are of one path, whatever they call.
    let scrape =
        until(&gateway, |scrape: &Scrape| scrape.sum(http, "http_route=\"/mcp\"") == Some(9.0)).await;
    let check = |method: &str, tool: &str, error: &str, want: f64| {
        let operation = if tool.is_empty() { "" } else { "execute_tool" };
        let labels = format!(
            "mcp_method_name=\"{method}\",gen_ai_tool_name=\"{tool}\",error_type=\"{error}\",gen_ai_operation_name=\"{operation}\""
        );
        let found = scrape.sum("mcp_server_operation_duration_seconds_count", &labels);
        assert_eq!(found, Some(want), "{labels} in\n{}", scrape.text);
    };
    check("tools/list", "", "", 1.0);
    check("tools/call", "GetBook", "", 2.0);
    check("tools/call", "Fail", "tool_error", 1.0);
    check("tools/call", "", "-32602", 1.0);
    check("_OTHER", "", "-32601", 1.0);
    check("initialize", "", "", 1.0);
    check("ping", "", "", 1.0);
    assert_eq!(scrape.sum("mcp_server_operation_duration_seconds_count", ""), Some(8.0));
    assert_eq!(scrape.sum("mcp_server_session_duration_seconds_count", ""), Some(1.0));
    assert_eq!(
        scrape.sum("propylon_cache_requests_total", "cache=\"mcp_sessions\",result=\"hit\""),
        Some(2.0)
    );
    assert!(!scrape.text.contains("made"), "{}", scrape.text);
    let output = gateway.program.output();
    let logged = |members: &[(&str, &str)]| {
        output
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .any(|line| line["route"] == "/mcp" && members.iter().all(|(name, value)| line[*name] == *value))
    };
    let rpc = "/library.v1.Library/GetBook";
    assert!(logged(&[("mcp_method", "tools/call"), ("tool", "GetBook"), ("rpc", rpc)]), "{output}");
    assert!(logged(&[("mcp_method", "made/up")]), "{output}");
}
