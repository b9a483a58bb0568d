//! MCP's endpoint for tokens that were made for it, and the authorization server that makes them: on SQLite and on
//! PostgreSQL, with what is refused, and by whom.

mod asked;
mod clients;
mod dance;
mod resource;
mod tokens;

use http::Method;
use serde_json::{Value, json};

use super::{Got, rpc};
use crate::support::{
    client::{http1, request},
    dance::Dance,
    gateway::{TestGateway, World},
    library,
    servers::Server,
};

const WHO: (&str, &str) = ("op@x.example", "Battery-Staple-9");
const SCOPES: &str = "\
[[mcp.oauth.scopes]]\nname = \"books:read\"\ndescription = \"Look books up\"\n\
tools = [\"library.v1.Library/GetBook\"]\n\
[[mcp.oauth.scopes]]\nname = \"books:write\"\ntools = [\"PutBook\"]\n";

/// A gateway before the library with accounts in a database; its tools are under short names.
async fn gateway(store: &str, more: &str) -> TestGateway {
    World::with_library(library::start().await)
        .with_config(&format!(
            "[mcp]\nexpose = [\"library.v1.*\"]\nnames = \"method\"\n{SCOPES}{store}\n{more}"
        ))
        .with_variable("ADMIN_EMAIL", WHO.0)
        .with_variable("ADMIN_PASSWORD", WHO.1)
        .start()
}

/// One on each database that the machine has; the servers live as long as it.
async fn both() -> Vec<(&'static str, TestGateway, Vec<Server>)> {
    let mut all = vec![("SQLite", gateway("", "").await, Vec::new())];
    if let (Some(postgres), Some(redis)) = (Server::postgres(), Server::redis()) {
        let store =
            format!("[store]\ndatabase = \"{}\"\nredis = \"{}\"\n", postgres.url("postgres"), redis.url("0"));
        all.push(("PostgreSQL", gateway(&store, "").await, vec![postgres, redis]));
    }
    all
}

/// Sends a message to the endpoint for tokens of its own.
async fn ask(gateway: &TestGateway, token: Option<&str>, message: &Value) -> Got {
    ask_as(gateway, &gateway.address.to_string(), token, message).await
}

/// The same under another name.
async fn ask_as(gateway: &TestGateway, host: &str, token: Option<&str>, message: &Value) -> Got {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("host", host), ("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let sent = request(&Method::POST, "/mcp/oauth", &headers, message.to_string());
    let (head, (body, _)) = http1(gateway.address, sent).await.into_parts();
    let json = serde_json::from_slice(&body).unwrap_or_default();
    Got { http: head.status.as_u16(), headers: head.headers, json, events: Vec::new() }
}

fn list() -> Value {
    rpc("tools/list", &json!({}))
}

fn call(tool: &str) -> Value {
    rpc("tools/call", &json!({"name": tool, "arguments": {}}))
}

/// The access token of the admin's, for a program that was let do this.
async fn token(gateway: &TestGateway, scope: &str) -> String {
    let tokens = Dance::new(gateway.address).whole(WHO, scope).await;
    tokens["access_token"].as_str().unwrap().to_owned()
}
