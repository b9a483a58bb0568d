//! The gateway as agents meet it: both eras of MCP at one endpoint, gRPC methods as tools, and what nobody may do by way of
//! them.

mod federation;
mod fixture;
mod hostile;
mod listening;
mod oauth;
mod one_limit;
mod protocol;
mod real_clients;
mod service;
mod sessions;
mod tools;
mod upstream;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::support::{
    client::{http1, request},
    gateway::{TestGateway, World},
    library,
};

const MODERN: &str = "2026-07-28";

/// What came of a message.
#[derive(Debug)]
struct Got {
    http: u16,
    headers: HeaderMap,
    /// The message, of an event stream the last one; null where there is none.
    json: Value,
    /// Every message of an event stream.
    events: Vec<Value>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error.
    fn code(&self) -> i64 {
        self.json["error"]["code"].as_i64().unwrap_or_else(|| panic!("an error: {self:?}"))
    }

    fn result(&self) -> &Value {
        assert_eq!(self.http, 200, "{self:?}");
        assert!(self.json["result"].is_object(), "{self:?}");
        &self.json["result"]
    }

    /// The first text of a tool's result.
    fn text(&self) -> &str {
        self.result()["content"][0]["text"].as_str().unwrap()
    }
}

/// Sends a body to an endpoint with these headers, and reads all of the response.
async fn send(address: SocketAddr, method: &Method, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
    let response = http1(address, request(method, "/mcp", headers, body)).await;
    let (head, (body, _)) = response.into_parts();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let streamed = head.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let data = |line: &str| line.strip_prefix("data: ").map(|json| serde_json::from_str(json).unwrap());
    let events: Vec<Value> = if streamed { text.lines().filter_map(data).collect() } else { Vec::new() };
    let json = match events.last() {
        Some(last) => last.clone(),
        None => serde_json::from_str(&text).unwrap_or_default(),
    };
    Got { http: head.status.as_u16(), headers: head.headers, json, events }
}

/// Sends a message that says nothing of its version.
async fn bare(address: SocketAddr, message: &Value) -> Got {
    send(address, &Method::POST, &[("content-type", "application/json")], message.to_string()).await
}

fn rpc(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// Calls a tool, and says nothing of the version.
async fn call(address: SocketAddr, tool: &str, arguments: &Value) -> Got {
    bare(address, &rpc("tools/call", &json!({"name": tool, "arguments": arguments}))).await
}

/// Sends a request of the newest version.
async fn modern(address: SocketAddr, method: &str, params: &Value, headers: &[(&str, &str)]) -> Got {
    let mut params = params.clone();
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    let mut all = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", method),
    ];
    if !name.is_empty() {
        all.push(("mcp-name", &name));
    }
    all.extend(headers);
    send(address, &Method::POST, &all, rpc(method, &params).to_string()).await
}

/// A gateway before the library, all of whose methods are tools under short names.
async fn start(more: &str) -> TestGateway {
    World::with_library(library::start().await)
        .with_config(&format!("[mcp]\nexpose = [\"library.v1.*\"]\nnames = \"method\"\n{more}"))
        .start()
}

/// The names of the tools that are listed.
fn names(list: &Value) -> Vec<&str> {
    list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}
