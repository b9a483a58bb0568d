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

use std::{collections::HashMap, fmt, pin::Pin, sync::Arc, time::Duration};

use ::http::HeaderMap;
use futures_util::{
    TryFutureExt as _,
    future::{BoxFuture, Either},
};
use tokio::time::{Instant, Sleep};
use tonic::Status;

pub use self::{
    ask::{ask, ask_framed},
    balance::{
        Balancing, BreakerRules, BreakerState, Condition, EjectionRules, Figures, HashBy, HealthKind,
        HealthRules, Host, LoadRules, Resilience,
    },
    grpc::{Settings, Upstream},
    http::{HttpSettings, HttpUpstream, Posted},
    local::Local,
    tls::{Connector, Identity, Roots, Speaks, Tls},
};
use self::{http::Proxied, respond::Asked};
use crate::{
    call::{Body, Call, Caller, Frames, Guards, Message, Peer, Record, Reply, Target, Told, trace::Part},
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
    ///
    /// A call's future is boxed where its kind is known: what one kind needs, the others do not carry along.
    pub fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Reply, Status>> {
        match (&call.message, &call.target) {
            (Message::Settled(_), _) => Box::pin(std::future::ready(settled(call))),
            (_, Target::Rpc { .. }) => self.rpc(call),
            (_, Target::Http(_)) => Box::pin(self.http(call)),
        }
    }

    /// A call of what is spoken in HTTP.
    async fn http(&self, call: Call) -> Result<Reply, Status> {
        let Call {
            route, target, metadata, message, peer, timeout, deadline, caller, guards, record, ..
        } = call;
        let Target::Http(head) = target else { return Err(misrouted(&route.name)) };
        if let Destination::Proxy(proxy) = &route.destination {
            let Message::Body(body) = message else { return Err(misrouted(&route.name)) };
            let upstream = self.proxied.get(&proxy.upstream).ok_or_else(|| not_there(&proxy.upstream))?;
            let client = caller.client.map_or(peer.address.ip(), |client| client.address);
            // When its client will have gone, where it says so.
            let own = timeout.zip(deadline).and_then(|(own, deadline)| {
                deadline.checked_add(route.timeout.map_or(Duration::ZERO, |ours| own.saturating_sub(ours)))
            });
            let (headers, secure, limits, usual) = (metadata, peer.secure, route.limits, route.timeout);
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
                record,
            };
            return upstream.call(proxy, proxied).await;
        }
        respond::drain(message, route.limits, deadline).await?;
        let asked = Asked { http: head, headers: metadata, peer };
        match &route.destination {
            Destination::Respond(respond) => Ok(asked.respond(respond, guards)),
            Destination::Redirect(redirect) => Ok(asked.redirect(redirect, guards)),
            Destination::Local
            | Destination::Upstream(_)
            | Destination::Proxy(_)
            | Destination::McpServer(_)
            | Destination::Page
            | Destination::Nothing => Err(misrouted(&route.name)),
        }
    }

    /// A call of a gRPC method.
    fn rpc(&self, call: Call) -> BoxFuture<'_, Result<Reply, Status>> {
        let Call { route, target, metadata, message, peer, deadline, caller, guards, record, .. } = call;
        let at_once = |status| Box::pin(std::future::ready(Err(status)));
        let Target::Rpc { path, method } = target else { return at_once(misrouted(&route.name)) };
        let to = match self.find(&route) {
            Ok(to) => to,
            Err(status) => return at_once(status),
        };
        let unary = method.is_some_and(|method| !method.server_streaming);
        let (usual, retry) = (route.timeout, route.retry.clone());
        let repeatable = retry.as_ref().and_then(|retry| retry.repeatable).unwrap_or(route.repeatable);
        let seen = record.clone();
        let sending = move |frames| {
            let sending = Sending {
                path,
                metadata,
                frames,
                peer,
                caller,
                deadline,
                usual,
                repeatable,
                retry,
                unary,
                record: seen,
            };
            to.answer(sending)
        };
        let Some(deadline) = deadline else {
            return Box::pin(async move {
                let frames = frames(message, record.as_ref()).await?;
                Ok(sending(frames).await?.reply(to, None, guards, record))
            });
        };
        if deadline <= Instant::now() {
            return at_once(deadline::passed("the call was sent", to));
        }
        // One timer for the head, and then for the body.
        let mut sleep = Box::pin(tokio::time::sleep_until(deadline));
        Box::pin(async move {
            let frames = match message {
                Message::Frames(frames) => frames,
                message => tokio::select! {
                    biased;
                    frames = frames(message, record.as_ref()) => frames?,
                    () = &mut sleep => return Err(deadline::not_sent()),
                },
            };
            let answer = tokio::select! {
                biased;
                answer = sending(frames) => answer?,
                () = &mut sleep => return Err(deadline::passed("a reply came", to)),
            };
            Ok(answer.reply(to, Some(sleep), guards, record))
        })
    }

    /// How the upstreams are doing now, by their names.
    pub fn figures(&self) -> Vec<(Arc<str>, Figures)> {
        let grpc = self.upstreams.iter().map(|(name, upstream)| (Arc::clone(name), upstream.figures()));
        let http = self.proxied.iter().map(|(name, upstream)| (Arc::clone(name), upstream.figures()));
        let mut all: Vec<_> = grpc.chain(http).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
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
            | Destination::McpServer(_)
            | Destination::Page
            | Destination::Nothing => Err(misrouted(&route.name)),
        }
    }
}

/// What is known of a call by its head.
fn settled(call: Call) -> Result<Reply, Status> {
    let Call { message, guards, route, .. } = call;
    match message {
        Message::Settled(outcome) => outcome.map(|reply| Reply { guards, ..reply }),
        _ => Err(misrouted(&route.name)),
    }
}

/// The frames to send; what is transcoded for it takes its time.
async fn frames(message: Message, record: Option<&Arc<Record>>) -> Result<Frames, Status> {
    let pending = matches!(message, Message::Pending(_));
    let _transcoding = pending.then(|| Part::begin(record, "transcode request"));
    message.frames().await
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
    record: Option<Arc<Record>>,
}

#[derive(Clone, Copy)]
enum To<'a> {
    Local(&'a Local),
    Upstream(&'a Arc<Upstream>),
}

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named().fmt(f)
    }
}

/// Who answers, kept for what may have to be said of it later.
enum Named {
    Local,
    Upstream(Arc<Upstream>),
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("the gateway's own service"),
            Self::Upstream(upstream) => upstream.fmt(f),
        }
    }
}

impl<'a> To<'a> {
    fn named(self) -> Named {
        match self {
            Self::Local(_) => Named::Local,
            Self::Upstream(upstream) => Named::Upstream(Arc::clone(upstream)),
        }
    }

    fn answer(self, sending: Sending) -> impl Future<Output = Result<Answer, Status>> + 'a {
        let Sending {
            path,
            mut metadata,
            frames,
            peer,
            caller,
            deadline,
            usual,
            repeatable,
            retry,
            unary,
            record,
        } = sending;
        request::head(&mut metadata, deadline);
        match self {
            Self::Local(local) => {
                let call = async move {
                    let _serving = Part::begin(record.as_ref(), "local service");
                    local.call(path, metadata, frames, (peer, caller)).await.map(Answer::Local)
                };
                Either::Left(Box::pin(call))
            }
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
                    record,
                };
                Either::Right(upstream.call(question).map_ok(Answer::Upstream))
            }
        }
    }
}

enum Answer {
    Local(reply::Opened<local::ServiceBody>),
    Upstream(reply::Opened<grpc::Relayed>),
}

impl Answer {
    fn reply(
        self,
        to: To<'_>,
        sleep: Option<Pin<Box<Sleep>>>,
        guards: Guards,
        record: Option<Arc<Record>>,
    ) -> Reply {
        match self {
            Self::Local(opened) => close(opened, to, sleep, guards, record),
            Self::Upstream(opened) => close(opened, to, sleep, guards, record),
        }
    }
}

fn close<B>(
    opened: reply::Opened<B>,
    to: To<'_>,
    sleep: Option<Pin<Box<Sleep>>>,
    guards: Guards,
    record: Option<Arc<Record>>,
) -> Reply
where
    B: http_body::Body<Data = bytes::Bytes, Error = Status> + Send + Unpin + 'static,
{
    let reply::Opened { metadata, http_status, attempts, body } = opened;
    let body = match (body, sleep, record) {
        (None, _, record) => {
            if let Some(record) = record {
                record.said(Ok(()));
            }
            Body::empty()
        }
        (Some(body), None, None) => Body::new(body),
        (Some(body), None, Some(record)) => Body::new(Told::new(body, record)),
        (Some(body), Some(sleep), None) => Body::new(deadline::Timed::new(body, sleep, to.named())),
        (Some(body), Some(sleep), Some(record)) => {
            Body::new(Told::new(deadline::Timed::new(body, sleep, to.named()), record))
        }
    };
    Reply { metadata, body, http_status, attempts, guards }
}
