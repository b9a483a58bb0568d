//! A road that ends before the destination: policies say what they would do, the message is read as it would be sent, and
//! nothing is. Who explains a request sends it down here through the very door and surface that serve.

use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt as _;
use tonic::Status;

use crate::{
    auth::Unmet,
    call::{Body, Call, Frames, Message, Reply, Road, Target, status_of},
    policy::{Described, Description},
    route::{Destination, Route},
    snapshot::Snapshot,
    status::Whose,
};

/// The road, and what came down it.
#[derive(Debug)]
pub(super) struct Rehearsal {
    snapshot: Arc<Snapshot>,
    /// Credentials are verified: there are stores to ask.
    verifies: bool,
    seen: Mutex<Seen>,
}

/// What came down the road.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The call, where there was one: its route and its target.
    pub(super) call: Option<(Arc<Route>, Target)>,
    /// The policies that it met, up to one that refused it.
    pub(super) policies: Vec<Described>,
    /// Whether they let it through is for credentials to decide that nobody has verified.
    pub(super) depends: bool,
    /// What became of it at the end of the road, if it came so far: whether its message can be sent.
    pub(super) end: Option<Result<(), Status>>,
}

impl Rehearsal {
    /// A road of this snapshot's; `verifies`: the credentials.
    pub(super) fn on(snapshot: &Arc<Snapshot>, verifies: bool) -> Self {
        Self { snapshot: Arc::clone(snapshot), verifies, seen: Mutex::default() }
    }

    /// What came down the road so far.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// In a request that is only asked about: what would act because of it does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rehearsed;

impl Road for Rehearsal {
    async fn identify(&self, call: &mut Call) -> Result<(), Status> {
        // What it would find out is told when the call is admitted.
        call.caller.entry = None;
        Ok(())
    }

    fn permits(&self, call: &Call, route: &Route) -> Result<(), Unmet> {
        self.snapshot.policies.permits(call, route)
    }

    async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        let Description { policies, depends } = self.snapshot.policies.describe(call, self.verifies).await;
        let refusal = policies.iter().find_map(|policy| policy.effect.as_ref().err().cloned());
        self.note(|seen| {
            seen.call = Some((Arc::clone(&call.route), call.target.clone()));
            (seen.policies, seen.depends) = (policies, depends);
        });
        refusal.map_or(Ok(()), Err)
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, Status> {
        match call.route.destination {
            // The route itself answers, or nothing does: there is nothing to keep from being sent.
            Destination::Respond(_) | Destination::Redirect(_) | Destination::Nothing => {
                return self.snapshot.dispatch(call).await;
            }
            Destination::Local
            | Destination::Upstream(_)
            | Destination::Proxy(_)
            | Destination::McpServer(_)
            | Destination::Page => {}
        }
        let end = sendable(call.message).await;
        self.note(|seen| seen.end = Some(end.clone()));
        end?;
        // Nobody reads it: what came to the end of the road has passed.
        Err(Status::cancelled("a rehearsal ends before the destination"))
    }
}

/// Reads a message to its end, as the destination would.
async fn sendable(message: Message) -> Result<(), Status> {
    let mut body: Body = match message {
        Message::Body(body) => body,
        message => match message.frames().await? {
            Frames::Whole(_) => return Ok(()),
            Frames::Stream(body) => body,
        },
    };
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            return Err(status_of(error, Whose::Client));
        }
    }
    Ok(())
}
