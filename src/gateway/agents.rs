//! The MCP endpoint for those within: what `McpService` asks, the surface of the snapshot in force answers.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tonic::Status;

use super::{
    Gateway,
    cors::{self, Page},
};
use crate::{
    call::{Body, Caller},
    federation::Server,
    proto::gateway_v1::McpServer,
    services::mcp::{Agents, Asker},
    surface::{Failed, Request, Response},
};

/// What `McpService` asks: tied to its gateway once that is there.
#[derive(Debug, Default)]
pub(super) struct Endpoint(OnceLock<Weak<Gateway>>);

impl Endpoint {
    /// From now on it answers by this gateway.
    pub(super) fn tie(&self, gateway: &Arc<Gateway>) {
        // Whoever came first stays.
        let _ = self.0.set(Arc::downgrade(gateway));
    }

    fn gateway(&self) -> Option<Arc<Gateway>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

impl Agents for Endpoint {
    fn ask(
        &self,
        asker: Asker,
        headers: HeaderMap,
        message: Bytes,
    ) -> BoxFuture<'static, Result<Response, Status>> {
        let gateway = self.gateway();
        Box::pin(async move {
            let gateway = gateway.ok_or_else(|| Status::unavailable("the gateway starts or stops"))?;
            let snapshot = gateway.snapshot();
            let Some(mcp) = &snapshot.mcp else {
                return Err(Status::unimplemented("MCP is not served here ([mcp] enabled)"));
            };
            let Asker { peer, client, principal } = asker;
            let mut request = Request::new(Body::from(message));
            *request.method_mut() = http::Method::POST;
            *request.uri_mut() = mcp.path().parse().unwrap_or_default();
            *request.headers_mut() = headers;
            request.extensions_mut().insert(peer);
            cors::may_use_tools(&snapshot, Page::of(&snapshot, &request).as_ref(), &request)?;
            let caller = Caller { client, principal, ..Caller::default() };
            let response = mcp.within(&snapshot, request, caller).await;
            match response.extensions().get::<Failed>() {
                // What policies refuse; all else is said in the message.
                Some(failed) if !response.status().is_success() => {
                    Err(Status::new(failed.code, failed.message.clone()))
                }
                _ => Ok(response),
            }
        })
    }

    fn servers(&self) -> Vec<McpServer> {
        let Some(gateway) = self.gateway() else { return Vec::new() };
        let (config, servers) = (gateway.config(), gateway.current().parts.servers.clone());
        let known = config.mcp.servers.iter().filter_map(|written| servers.get(&written.name));
        known.map(shown).collect()
    }
}

fn shown(server: &Arc<Server>) -> McpServer {
    let listing = server.listing();
    let state = match (&listing, server.away()) {
        (Some(_), _) => "up",
        (None, Some(_)) => "down",
        (None, None) => "unknown",
    };
    let listing = listing.unwrap_or_default();
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    McpServer {
        name: server.name().to_string(),
        state: state.to_owned(),
        version: server.version().unwrap_or_default(),
        tools: count(listing.tools.len()),
        prompts: count(listing.prompts.len()),
        resources: count(listing.resources.len() + listing.templates.len()),
    }
}
