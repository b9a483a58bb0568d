//! Dispatch answers an admitted call: by a local service, by an upstream over gRPC, or by what the config says of its
//! route. It reads the pending message, sends it, and holds the call's deadline over the reply's head and body.

mod ask;
mod balance;
mod body;
mod deadline;
mod dial;
pub mod grpc;
mod http;
mod http2;
pub mod local;
mod pause;
pub mod reflection;
mod replay;
mod reply;
mod request;
mod respond;
mod tls;
mod upload;
pub mod worker;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use ::http::HeaderMap;
use tokio::time::{Instant, Sleep};
use tonic::Status;

pub use self::{
    ask::ask,
    balance::{
        Balancing, BreakerRules, EjectionRules, HashBy, HealthKind, HealthRules, Host, LoadRules, Resilience,
    },
    grpc::{Settings, Upstream},
    http::{HttpSettings, HttpUpstream},
    local::Local,
    tls::{Identity, Roots, Tls},
};
use self::{http::Proxied, respond::Asked};
use crate::{
    call::{Body, Call, Caller, Frames, Guards, Message, Peer, Reply, Target},
    route::{Destination, RetryRules, Route},
    status::{Fault, Whose},
};

/// Everything that can answer a call: the local services, and the upstreams by their name in the config.
#[derive(Debug)]
pub struct Dispatch {
    local: Local,
    upstreams: HashMap<Arc<str>, Arc<Upstream>>,
    proxied: HashMap<Arc<str>, Arc<HttpUpstream>>,
}

impl Dispatch {
    #[must_use]
    pub fn new(
        local: Local,
        upstreams: HashMap<Arc<str>, Arc<Upstream>>,
        proxied: HashMap<Arc<str>, Arc<HttpUpstream>>,
    ) -> Self {
        Self { local, upstreams, proxied }
    }

    /// Sends a call to its route's destination and waits for the reply's head.
    ///
    /// # Errors
    /// What the pending message's surface says of the client's body; UNAVAILABLE for an upstream that cannot be
    /// reached; DEADLINE_EXCEEDED; the upstream's own status where its reply is only a status.
    pub async fn dispatch(&self, call: Call) -> Result<Reply, Status> {
        let Call { route, target, metadata, message, peer, timeout, deadline, caller, guards } = call;
        let message = match message {
            Message::Settled(outcome) => return outcome.map(|reply| Reply { guards, ..reply }),
            message => message,
        };
        let (path, unary) = match target {
            Target::Rpc { path, method } => (path, method.is_some_and(|method| !method.server_streaming)),
            Target::Http(head) => {
                if let Destination::Proxy(proxy) = &route.destination {
                    let Message::Body(body) = message else { return Err(misrouted(&route.name)) };
                    let upstream =
                        self.proxied.get(&proxy.upstream).ok_or_else(|| not_there(&proxy.upstream))?;
                    let client = caller.client.map_or(peer.address.ip(), |client| client.address);
                    // When its client will have gone, where it says so.
                    let own = timeout.zip(deadline).and_then(|(own, deadline)| {
                        deadline.checked_add(
                            route.timeout.map_or(Duration::ZERO, |ours| own.saturating_sub(ours)),
                        )
                    });
                    let (headers, secure, limits, usual) =
                        (metadata, peer.secure, route.limits, route.timeout);
                    let retry = route.retry.clone();
                    let proxied = Proxied {
                        head,
                        headers,
                        body,
                        client,
                        secure,
                        limits,
                        deadline,
                        own,
                        usual,
                        retry,
                        guards,
                    };
                    return upstream.call(proxy, proxied).await;
                }
                respond::drain(message, route.limits, deadline).await?;
                let asked = Asked { http: head, headers: metadata, peer };
                return match &route.destination {
                    Destination::Respond(respond) => Ok(asked.respond(respond, guards)),
                    Destination::Redirect(redirect) => Ok(asked.redirect(redirect, guards)),
                    Destination::Local
                    | Destination::Upstream(_)
                    | Destination::Proxy(_)
                    | Destination::Page
                    | Destination::Nothing => Err(misrouted(&route.name)),
                };
            }
        };
        let to = self.find(&route)?;
        let (usual, retry) = (route.timeout, route.retry.clone());
        let repeatable = retry.as_ref().and_then(|retry| retry.repeatable).unwrap_or(route.repeatable);
        let Some(deadline) = deadline else {
            let frames = message.frames().await?;
            let sending = Sending {
                path,
                metadata,
                frames,
                peer,
                caller,
                deadline: None,
                usual,
                repeatable,
                retry,
                unary,
            };
            return Ok(to.answer(sending).await?.reply(to, None, guards));
        };
        if deadline <= Instant::now() {
            return Err(deadline::passed("the call was sent", to));
        }
        // One timer for the head, and then for the body.
        let mut sleep = Box::pin(tokio::time::sleep_until(deadline));
        let frames = tokio::select! {
            biased;
            frames = message.frames() => frames?,
            () = &mut sleep => return Err(deadline::not_sent()),
        };
        let deadline = Some(deadline);
        let sending =
            Sending { path, metadata, frames, peer, caller, deadline, usual, repeatable, retry, unary };
        let answer = tokio::select! {
            biased;
            answer = to.answer(sending) => answer?,
            () = &mut sleep => return Err(deadline::passed("a reply came", to)),
        };
        Ok(answer.reply(to, Some(sleep), guards))
    }

    fn find(&self, route: &Route) -> Result<To<'_>, Status> {
        match &route.destination {
            Destination::Local => Ok(To::Local(&self.local)),
            Destination::Upstream(name) => {
                self.upstreams.get(name).map(To::Upstream).ok_or_else(|| not_there(name))
            }
            Destination::Respond(_)
            | Destination::Redirect(_)
            | Destination::Proxy(_)
            | Destination::Page
            | Destination::Nothing => Err(misrouted(&route.name)),
        }
    }
}

fn not_there(upstream: &str) -> Status {
    ours(format!("a route names upstream {upstream:?}, which is not there"))
}

fn misrouted(route: &str) -> Status {
    ours(format!("the route {route} does not answer calls of this protocol"))
}

/// A failure that is the gateway's own.
fn ours(message: String) -> Status {
    Fault { refusal: None, whose: Whose::Gateway, retry: false }.on(Status::internal(message))
}

/// What is needed of a call to send it.
struct Sending {
    path: ::http::uri::PathAndQuery,
    metadata: HeaderMap,
    frames: Frames,
    peer: Peer,
    caller: Caller,
    deadline: Option<Instant>,
    /// How long a call of its kind may take.
    usual: Option<Duration>,
    /// It does no harm to send it twice.
    repeatable: bool,
    /// How it is sent again, where its route says so.
    retry: Option<Arc<RetryRules>>,
    /// The reply is known to be one message.
    unary: bool,
}

#[derive(Clone, Copy)]
enum To<'a> {
    Local(&'a Local),
    Upstream(&'a Arc<Upstream>),
}

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(_) => f.write_str("the gateway's own service"),
            Self::Upstream(upstream) => upstream.fmt(f),
        }
    }
}

impl To<'_> {
    async fn answer(self, sending: Sending) -> Result<Answer, Status> {
        let Sending { path, mut metadata, frames, peer, caller, deadline, usual, repeatable, retry, unary } =
            sending;
        request::head(&mut metadata, deadline);
        match self {
            Self::Local(local) => local.call(path, metadata, frames, (peer, caller)).await.map(Answer::Local),
            Self::Upstream(upstream) => {
                let client = caller.client.map_or(peer.address.ip(), |client| client.address);
                request::say_where_from(&mut metadata, client, peer.secure);
                let (headers, client) = (metadata, Some(client));
                let question = grpc::Question {
                    path,
                    headers,
                    frames,
                    deadline,
                    usual,
                    client,
                    repeatable,
                    retry,
                    unary,
                };
                upstream.call(question).await.map(Answer::Upstream)
            }
        }
    }
}

enum Answer {
    Local(reply::Opened<local::ServiceBody>),
    Upstream(reply::Opened<grpc::Relayed>),
}

impl Answer {
    fn reply(self, to: To<'_>, sleep: Option<std::pin::Pin<Box<Sleep>>>, guards: Guards) -> Reply {
        match self {
            Self::Local(opened) => close(opened, to, sleep, guards),
            Self::Upstream(opened) => close(opened, to, sleep, guards),
        }
    }
}

fn close<B>(
    opened: reply::Opened<B>,
    to: To<'_>,
    sleep: Option<std::pin::Pin<Box<Sleep>>>,
    guards: Guards,
) -> Reply
where
    B: http_body::Body<Data = bytes::Bytes, Error = Status> + Send + Unpin + 'static,
{
    let reply::Opened { metadata, http_status, attempts, body } = opened;
    let body = match (body, sleep) {
        (None, _) => Body::empty(),
        (Some(body), None) => Body::new(body),
        (Some(body), Some(sleep)) => Body::new(deadline::Timed::new(body, sleep, to)),
    };
    Reply { metadata, body, http_status, attempts, guards }
}
