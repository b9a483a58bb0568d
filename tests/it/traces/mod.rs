//! Traces as a collector sees them: one from the client to the upstream on every surface, whatever the collector does.

mod calls;
mod outages;
mod streams;

use std::net::SocketAddr;

use crate::support::{
    collector::hex,
    gateway::{TestGateway, World},
};

/// A gateway whose traces all go to `endpoint`, soon.
fn traced(world: World, service: &str, endpoint: SocketAddr, protocol: &str, more: &str) -> TestGateway {
    world
        .with_config(&format!(
            "[otlp]\nendpoint = \"http://{endpoint}\"\nprotocol = \"{protocol}\"\nservice = \"{service}\"\n\
             [traces]\nsample = 1\ndelay = \"100ms\"\n{more}"
        ))
        .start()
}

/// A trace that a client begins: its id, and the `traceparent` that says so.
struct Begun {
    id: String,
    span: String,
    header: String,
}

impl Begun {
    fn new(sampled: bool) -> Self {
        let id = hex(uuid::Uuid::now_v7().as_bytes());
        let span = id[16..].to_owned();
        let header = format!("00-{id}-{span}-0{}", u8::from(sampled));
        Self { id, span, header }
    }
}
