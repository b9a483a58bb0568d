//! Answers admitted calls: by a local service, or by a gRPC upstream. The deadline is enforced here, over the reply's head and
//! its body.

mod feed;
pub mod grpc;
mod local;
pub mod reflection;
mod reply;
pub mod worker;

use std::{collections::HashMap, sync::Arc};

use tokio::time::timeout_at;
use tonic::Status;

pub use grpc::Upstream;
pub use local::Local;

use crate::{
    call::{Call, Reply, Target},
    route::Destination,
    status::Fault,
};

/// Everything that can answer a call.
#[derive(Debug)]
pub struct Dispatch {
    local: Local,
    /// By name in the config.
    upstreams: HashMap<Arc<str>, Arc<Upstream>>,
}

impl Dispatch {
    #[must_use]
    pub fn new(local: Local, upstreams: HashMap<Arc<str>, Arc<Upstream>>) -> Self {
        Self { local, upstreams }
    }

    /// Sends a call to what its route says, and waits for the reply's head; the call's guards move into the reply.
    ///
    /// # Errors
    /// A message that cannot be made (the client's fault), whatever goes wrong before the reply's head, the upstream's
    /// own status, DEADLINE_EXCEEDED.
    pub async fn dispatch(&self, mut call: Call) -> Result<Reply, Status> {
        let guards = std::mem::take(&mut call.guards);
        let deadline = call.deadline;
        let answered = match deadline {
            None => self.answer(call).await,
            Some(at) => timeout_at(at, self.answer(call)).await.unwrap_or_else(|_| Err(deadline_exceeded())),
        };
        let mut reply = answered?;
        reply.guards = guards;
        if let Some(at) = deadline {
            reply.body = reply::until(reply.body, at);
        }
        Ok(reply)
    }

    async fn answer(&self, call: Call) -> Result<Reply, Status> {
        let frames = call.message.frames().await?;
        let Target::Rpc { path, .. } = call.target;
        match &call.route.destination {
            Destination::Local => self.local.call(path, call.metadata, call.peer, frames).await,
            Destination::Upstream(name) => match self.upstreams.get(name) {
                Some(upstream) => upstream.call(path, call.metadata, call.deadline, frames).await,
                None => {
                    Err(Status::internal(format!("the route {} has no upstream {name:?}", call.route.name)))
                }
            },
        }
    }
}

fn deadline_exceeded() -> Status {
    Fault::upstream().on(Status::deadline_exceeded("the deadline passed before the call was answered"))
}
