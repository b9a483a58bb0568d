//! What a client wants to hear of beside the lists: the resources that it has subscribed to, and how much of the log.

use std::sync::Arc;

use http::HeaderValue;
use tokio::sync::broadcast;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Mcp, error::RpcError, members::Members, relay::LEVELS, session_header};
use crate::{
    call::{Call, Road},
    federation::{Object, Subscription},
};

/// How soon one may ask again for whom there is no room.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);
/// What is told of resources.
type Hears = broadcast::Receiver<Arc<str>>;

/// The most resources of which one listener hears.
const MOST_SUBSCRIPTIONS: usize = 1000;

impl Mcp {
    /// What a listener of the newest version hears of resources, of those that it may read; the subscriptions live as long as it
    /// listens.
    pub(super) fn updates(
        &self,
        road: &impl Road,
        call: &Call,
        params: &Members<'_>,
    ) -> (Option<Hears>, Vec<(String, Subscription)>) {
        let notifications = params.get("notifications").and_then(|asked| Object::read(asked.get()).ok());
        let uris = notifications
            .and_then(|asked| serde_json::from_str(asked.get("resourceSubscriptions")?.get()).ok());
        let uris: Vec<String> = uris.unwrap_or_default();
        let (tell, updates) = broadcast::channel(64);
        let mut held: Vec<(String, Subscription)> = Vec::new();
        for uri in uris.into_iter().take(MOST_SUBSCRIPTIONS) {
            let found = self.shelf.whose(&uri).filter(|(stand, _)| {
                let takes = stand.listing.as_ref().is_some_and(|listing| listing.subscribes());
                takes && stand.resources.as_ref().is_some_and(|route| road.permits(call, route).is_ok())
            });
            let Some((stand, called)) = found else { continue };
            let subscription = stand.server.subscribe(&called, &uri, tell.clone());
            held.push((uri, subscription));
        }
        ((!held.is_empty()).then_some(updates), held)
    }

    /// `resources/subscribe` and its end, in a session.
    pub(super) fn subscribe(
        &self,
        road: &impl Road,
        call: &Call,
        begins: bool,
        params: &Members<'_>,
    ) -> Result<Vec<u8>, RpcError> {
        let uri = params.text("uri").ok().flatten();
        let uri = uri.ok_or_else(|| RpcError::params("uri is the URI of a resource"))?;
        let session = call.metadata.get(session_header()).and_then(|session| session.to_str().ok());
        let session =
            session.ok_or_else(|| RpcError::params("what changes is told on a session's stream alone"))?;
        if !begins {
            self.board.feeds.remove(session, &uri);
            return Ok(Vec::new());
        }
        let found = self.shelf.whose(&uri).filter(|(stand, _)| {
            stand.resources.as_ref().is_some_and(|route| road.permits(call, route).is_ok())
        });
        let (stand, called) = found.ok_or_else(|| RpcError::no_resource(&uri))?;
        let added = self.board.feeds.add(session, &uri, self.settings.session_lifetime, |tell| {
            stand.server.subscribe(&called, &uri, tell)
        });
        if !added {
            return Err(RpcError::of_status(&full()));
        }
        Ok(Vec::new())
    }

    /// `logging/setLevel`: how much a session's client wants to hear of the log.
    pub(super) async fn set_level(
        &self,
        session: Option<&HeaderValue>,
        params: &Members<'_>,
    ) -> Result<Vec<u8>, RpcError> {
        let level = params.text("level").ok().flatten();
        let level = level.filter(|level| LEVELS.contains(&&**level));
        let level =
            level.ok_or_else(|| RpcError::params(format!("level is one of {}", LEVELS.join(", "))))?;
        if let Some(session) = session.and_then(|session| session.to_str().ok()) {
            let kept = self.board.sessions.set_level(session, &level, self.settings.session_lifetime).await;
            kept.map_err(|error| RpcError::of_status(&error.status()))?;
        }
        Ok(Vec::new())
    }
}

/// There are as many streams as there may be.
pub(super) fn full() -> Status {
    let details = ErrorDetails::with_retry_info(Some(AGAIN));
    let message = "as many listen for changes as there may be (mcp.listeners, mcp.listeners_per_caller); ask again soon";
    Status::with_error_details(Code::Unavailable, message, details)
}
