//! Who calls, who may, how often, and what upstreams are told of it: decided once, so each table here runs over every
//! surface.

mod access;
mod attacks;
mod issuers;
mod limits;
mod outages;
mod pages;
mod spoofing;

use std::net::SocketAddr;

use http::Method;

use crate::support::{
    client::{Outcome, frames, grpc, grpc_web, request, rest},
    gateway::{TestGateway, World},
    library,
    tokens::{KEYS, SECRET, Served},
};

/// A gateway that takes tokens of an issuer with a JWKS, of a legacy service without `iss` and `aud`, and two of its own.
async fn start(more: &str) -> (TestGateway, Served) {
    let upstream = library::start().await;
    let issuer = Served::start(&KEYS.jwks()).await;
    let gateway = World::with_library(upstream)
        .with_file("secret", SECRET.as_bytes())
        .with_file("operator", OPERATOR.as_bytes())
        .with_config(&format!(
            r#"
            [[auth.issuers]]
            name = "main"
            issuer = "https://issuer.example"
            audience = ["library"]
            jwks = "http://{}/keys"
            claims = {{ roles = ["roles"], permissions = ["permissions"], tier = "tier" }}
            [[auth.issuers]]
            name = "legacy"
            check_issuer = false
            check_audience = false
            secret = {{ file = "secret" }}
            claims = {{ id = "user_id", roles = ["role"] }}
            [[auth.tokens]]
            name = "operator"
            token = {{ file = "operator" }}
            user = "operator"
            roles = ["admin"]
            tier = "elite"
            {more}
            "#,
            issuer.address
        ))
        .start();
    (gateway, issuer)
}

const OPERATOR: &str = "an-operator's-token--which-is-long";

/// A method without parameters, over each surface.
async fn everywhere(
    gateway: SocketAddr,
    method: &str,
    message: &str,
    path: (Method, &str, &str),
    headers: &[(&str, &str)],
) -> Vec<(&'static str, Outcome)> {
    let body = frames(message, &["{}"]);
    let rpc = format!("/library.v1.Library/{method}");
    let json = [headers, &[("content-type", "application/json")]].concat();
    let book = "library.v1.Book";
    vec![
        ("gRPC", grpc(gateway, &rpc, headers, body.clone(), book).await),
        ("gRPC-Web", grpc_web(gateway, false, &rpc, headers, body.clone(), book).await),
        ("gRPC-Web text", grpc_web(gateway, true, &rpc, headers, body, book).await),
        ("REST", rest(gateway, request(&path.0, path.1, &json, path.2.to_owned())).await),
    ]
}

/// A call that records what its upstream was told.
async fn get(gateway: SocketAddr, headers: &[(&str, &str)]) -> Vec<(&'static str, Outcome)> {
    let path = (Method::GET, "/v1/books:get", "");
    everywhere(gateway, "GetBook", "library.v1.GetBookRequest", path, headers).await
}

/// A header of an answer, wherever its surface has it.
fn told<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let value = outcome.headers.get(name).or_else(|| outcome.trailers.get(name));
    value.map_or("", |value| value.to_str().unwrap())
}

/// What the upstream saw of a call.
fn seen(outcome: &Outcome) -> Vec<String> {
    let tags = outcome.messages.first().and_then(|book| book["tags"].as_array()).cloned().unwrap_or_default();
    tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}
