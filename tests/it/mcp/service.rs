//! `McpService`: what agents are offered, for programs that speak gRPC or REST; under the rules of each tool.

use http::Method;
use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::support::{
    client::{http1, request},
    gateway::World,
    library,
};

const JSON: (&str, &str) = ("content-type", "application/json");

/// What a path answers: the status and the JSON.
async fn rest(
    at: std::net::SocketAddr,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Value) {
    let all = [&[JSON], headers].concat();
    let response = http1(at, request(method, path, &all, body.to_owned())).await;
    let (head, (body, _)) = response.into_parts();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_is_listed_and_called_over_rest() {
    let server = Fixture::start(false);
    let gateway = World::with_library(library::start().await)
        .with_config("[mcp]\nexpose = [\"library.v1.*\"]\nnames = \"method\"\n")
        .with_config(&server.config("far", ""))
        .start();
    let at = gateway.address;
    let (status, tools) = rest(at, &Method::GET, "/api/v1/mcp/tools", &[], "").await;
    assert_eq!(status, 200, "{tools}");
    let names: Vec<_> =
        tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"GetBook") && names.contains(&"far__who"), "{names:?}");
    assert!(tools["tools"][0]["input_schema"]["type"] == "object", "{tools}");

    let said = "This is a simple text response for testing.";
    let (status, called) =
        rest(at, &Method::POST, "/api/v1/mcp/tools/far__test_simple_text:call", &[], "{}").await;
    assert_eq!((status, &called["content"][0]["text"]), (200, &json!(said)), "{called}");
    let (_, own) = rest(at, &Method::POST, "/api/v1/mcp/tools/GetBook:call", &[], "{\"arguments\":{}}").await;
    assert!(own["content"].is_array(), "{own}");
    let (_, failed) =
        rest(at, &Method::POST, "/api/v1/mcp/tools/far__test_error_handling:call", &[], "{}").await;
    assert_eq!(failed["is_error"], true, "{failed}");
    let (status, unknown) = rest(at, &Method::POST, "/api/v1/mcp/tools/none:call", &[], "{}").await;
    assert_eq!((status, &unknown["status"]), (404, &json!("NOT_FOUND")), "{unknown}");

    // A tool that asks is called again with the answers.
    let path = "/api/v1/mcp/tools/far__test_input_required_result_elicitation:call";
    let (_, asks) = rest(at, &Method::POST, path, &[], "{}").await;
    assert_eq!(asks["input_requests"]["user_name"]["method"], "elicitation/create", "{asks}");
    let answer = json!({"input_responses": {"user_name": {"action": "accept", "content": {"name": "ann"}}}});
    let (_, done) = rest(at, &Method::POST, path, &[], &answer.to_string()).await;
    assert!(done["content"][0]["text"].as_str().unwrap().contains("ann"), "{done}");

    let (_, read) =
        rest(at, &Method::POST, "/api/v1/mcp/resources:read", &[], "{\"uri\":\"far+test://static-text\"}")
            .await;
    assert_eq!(read["contents"][0]["uri"], "far+test://static-text", "{read}");
    let (_, resources) = rest(at, &Method::GET, "/api/v1/mcp/resources", &[], "").await;
    assert_eq!(resources["resources"].as_array().unwrap().len(), 3, "{resources}");
    let (_, templates) = rest(at, &Method::GET, "/api/v1/mcp/resource_templates", &[], "").await;
    assert_eq!(templates["resource_templates"].as_array().unwrap().len(), 1, "{templates}");
    let (_, prompts) = rest(at, &Method::GET, "/api/v1/mcp/prompts", &[], "").await;
    assert_eq!(prompts["prompts"].as_array().unwrap().len(), 5, "{prompts}");
    let (_, prompt) =
        rest(at, &Method::POST, "/api/v1/mcp/prompts/far__test_simple_prompt:get", &[], "{}").await;
    assert_eq!(prompt["messages"][0]["role"], "user", "{prompt}");
    let begun = json!({"prompt": "far__test_prompt_with_arguments", "argument": "arg1", "value": "par"});
    let (_, completed) = rest(at, &Method::POST, "/api/v1/mcp:complete", &[], &begun.to_string()).await;
    assert_eq!(completed["values"], json!(["paris", "park", "party"]), "{completed}");
    let (_, servers) = rest(at, &Method::GET, "/api/v1/mcp/servers", &[], "").await;
    assert_eq!(
        (&servers["servers"][0]["state"], &servers["servers"][0]["version"]),
        (&json!("up"), &json!("2026-07-28"))
    );
    let (_, discovered) = rest(at, &Method::GET, "/api/v1/mcp", &[], "").await;
    assert_eq!(discovered["supported_versions"][0], "2026-07-28", "{discovered}");
    assert!(discovered["capabilities"]["prompts"].is_object(), "{discovered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_on_the_way_is_a_stream() {
    let server = Fixture::start(false);
    let gateway = World::new().with_config(&server.config("far", "")).start();
    let path = "/api/v1/mcp/tools/far__test_tool_with_progress:stream";
    let accept = [JSON, ("accept", "application/x-ndjson")];
    let response = http1(gateway.address, request(&Method::POST, path, &accept, "{}")).await;
    let (_, (body, _)) = response.into_parts();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(text.matches("\"progress\":{").count(), 3, "{text}");
    assert!(text.contains("Progress test completed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tools_rule_and_limit_hold_there_too_and_a_caller_is_charged_once() {
    let server = Fixture::start(false);
    let token = "5b1c7e09d2f84a36";
    let config = "[[auth.tokens]]\nname = \"writer\"\ntoken = { env = \"WRITER\" }\nroles = [\"writer\"]\n\
         [access]\ndefault = \"public\"\n[[access.rules]]\nmatch = [\"mcp.far/who\"]\nroles = [\"writer\"]\n\
         [rate_limits]\naddress = 0\n[[rate_limits.rules]]\nname = \"few\"\nmatch = [\"mcp.far/test_simple_text\"]\n\
         calls = 2\nby = \"everyone\"\n";
    let gateway = World::new()
        .with_variable("WRITER", token)
        .with_config(config)
        .with_config(&server.config("far", ""))
        .start();
    let at = gateway.address;
    let bearer = format!("Bearer {token}");
    let known = [("authorization", bearer.as_str())];
    let who = "/api/v1/mcp/tools/far__who:call";
    assert_eq!(rest(at, &Method::POST, who, &[], "{}").await.0, 401);
    let (status, called) = rest(at, &Method::POST, who, &known, "{}").await;
    assert_eq!(status, 200, "{called}");
    let (_, tools) = rest(at, &Method::GET, "/api/v1/mcp/tools", &[], "").await;
    assert!(!tools.to_string().contains("far__who"), "{tools}");
    for want in [200, 200, 429] {
        let path = "/api/v1/mcp/tools/far__test_simple_text:call";
        assert_eq!(rest(at, &Method::POST, path, &[], "{}").await.0, want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_tool_itself_and_no_way_past_what_pages_may() {
    let expose = |what: &str| format!("[mcp]\nexpose = [\"library.v1.*\", \"{what}\"]\nnames = \"method\"\n");
    let upstream = library::start().await;
    let gateway = World::with_library(upstream).with_config(&expose("propylon.gateway.v1.*")).start();
    let at = gateway.address;
    let (status, tools) = rest(at, &Method::GET, "/api/v1/mcp/tools", &[], "").await;
    let names: Vec<_> =
        tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(status, 200, "{tools}");
    assert!(names.contains(&"GetBook") && names.contains(&"CheckServices"), "{names:?}");
    assert!(!names.contains(&"CallTool") && !names.contains(&"ListTools"), "{names:?}");
    let call = "/api/v1/mcp/tools/GetBook:call";
    let evil = ("origin", "http://evil.example");
    for (headers, want) in [(&[][..], 200), (&[evil], 403), (&[evil, ("host", "evil.example")], 403)] {
        let (status, got) = rest(at, &Method::POST, call, headers, "{\"arguments\":{}}").await;
        assert_eq!(status, want, "{headers:?}: {got}");
    }
    let named = "propylon.gateway.v1.McpService/CallTool";
    let (code, said) = World::with_library(upstream).with_config(&expose(named)).fails();
    assert!(code == 78 && said.contains("is itself a way to the tools"), "{code}: {said}");
}
