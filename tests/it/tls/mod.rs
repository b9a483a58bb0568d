//! TLS as clients meet it: the port and its certificates (`port`), taken over anew while it runs (`reload`), callers by their
//! certificates (`callers`), upstreams that want TLS of the gateway (`upstreams`). And what stands beside the port: the operator's
//! listener (`admin`), balancers with their PROXY header (`balancers`).

mod admin;
mod balancers;
mod callers;
mod port;
mod reload;
mod upstreams;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};

use crate::support::{
    certificates::{Authority, Client},
    client::request,
    gateway::{TestGateway, World},
    library,
};

/// `[tls]` with the files that [`world`] puts there.
const TLS: &str = "[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n";

/// A gateway before the library whose port has a certificate for localhost.
fn world(upstream: SocketAddr, authority: &Authority) -> World {
    let pair = authority.issue(&["localhost", "127.0.0.1"]);
    World::with_library(upstream)
        .with_file("tls.crt", pair.certificate.as_bytes())
        .with_file("tls.key", pair.key.as_bytes())
        .with_file("ca.pem", authority.pem.as_bytes())
}

/// The same, running with some lines behind those of `[tls]`.
async fn start(more: &str) -> (TestGateway, Authority, Client) {
    let authority = Authority::new();
    let upstream = library::start().await;
    let gateway = world(upstream, &authority).with_config(&format!("{TLS}{more}")).start();
    let client = Client::trusting(&authority);
    (gateway, authority, client)
}

/// A call that shows what its upstream was told.
fn get_book(headers: &[(&str, &str)]) -> Request<Bytes> {
    request(&Method::GET, "/v1/books:get", headers, "")
}

/// What the upstream saw of it.
fn seen(body: &[u8]) -> Vec<String> {
    let book: serde_json::Value = serde_json::from_slice(body).unwrap();
    let tags = book["tags"].as_array().unwrap_or_else(|| panic!("{book}"));
    tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}
