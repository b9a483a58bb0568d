//! The operator's listener (`[admin] listen`): what is served there, and that nothing else is. It is plain text, for probes
//! that speak no TLS, and for who looks after the gateway from where the public port does not lead.

use std::sync::Arc;

use http::HeaderMap;
use tonic::Status;

use crate::{
    auth::Unmet,
    call::{Call, Message, Reply, Road, Target},
    config::Page,
    route::{Destination, Route},
    snapshot::Snapshot,
    status::Fault,
};

/// The services that are reached there. Who logs in does so where passwords are not sent in plain text.
const SERVICES: [&str; 6] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "propylon.gateway.v1.AdminService",
    "propylon.gateway.v1.HealthService",
    "propylon.gateway.v1.RoutingService",
];

/// True for a page that is served there.
pub(super) fn has_page(page: Page) -> bool {
    match page {
        Page::Livez | Page::Readyz | Page::Metrics => true,
        // Passwords go where no plain text is spoken.
        Page::Index
        | Page::Openapi
        | Page::Docs
        | Page::Redoc
        | Page::Jwks
        | Page::ResourceMetadata
        | Page::ServerMetadata
        | Page::Authorize
        | Page::Token
        | Page::Register
        | Page::Revoke => false,
    }
}

/// That something is not served there.
pub(super) fn elsewhere(path: &str) -> Status {
    let message = format!(
        "{path} is not served by the admin listener, which has probes, health, /admin and what is served alone; \
         ask at the gateway's own port"
    );
    Fault::client().on(Status::not_found(message))
}

/// The snapshot's road, for what is served there.
#[derive(Debug)]
pub(super) struct OperatorRoad(pub(super) Arc<Snapshot>);

impl Road for OperatorRoad {
    async fn identify(&self, call: &mut Call) -> Result<(), Status> {
        self.0.identify(call).await
    }

    fn permits(&self, call: &Call, route: &Route) -> Result<(), Unmet> {
        self.0.permits(call, route)
    }

    async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        let path = match &call.target {
            Target::Rpc { path, .. } => path.path(),
            Target::Http(head) => head.uri.path(),
        };
        let service =
            path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
        let served = matches!(&call.target, Target::Rpc { .. })
            && matches!(call.route.destination, Destination::Local)
            && service.is_some_and(|service| SERVICES.contains(&service));
        // What finds nothing anywhere is told so in its own words.
        let settled = matches!(call.message, Message::Settled(_));
        if served || settled {
            return self.0.admit(call).await;
        }
        let refused = elsewhere(path);
        if let Some(record) = &call.record {
            record.admitted(call);
        }
        Err(refused)
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, Status> {
        self.0.dispatch(call).await
    }

    fn ahead(&self, call: &Call) -> HeaderMap {
        self.0.ahead(call)
    }
}
