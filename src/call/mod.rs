//! One call, whatever protocol it came by, and the road it takes.
//!
//! A surface opens its request as a [`Call`]; policies admit it, dispatch answers it with a [`Reply`]; the surface
//! closes the outcome in its own protocol. Nothing here knows any of them.

mod attempt;
mod frames;
mod pace;
mod record;
mod recorded;
mod request_values;
pub mod trace;
mod way;

use std::{any::Any, future::Future, net::SocketAddr, sync::Arc, time::Duration};

pub use attempt::{Attempt, Outcome};
pub use axum::body::Body;
use bytes::Bytes;
pub(crate) use frames::status_of;
pub use frames::{Encoding, FrameGuard, FrameReader, HEADER_BYTES, frame};
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, Uri, uri::PathAndQuery};
pub use pace::Pace;
pub use record::{Arrived, Asked, Ended, Observer, Observers, Record, Traced};
pub(crate) use recorded::Told;
pub use recorded::Unanswered;
pub use request_values::RequestValues;
use tokio::time::Instant;
use tonic::Status;
pub use way::{UNREAD, Way};

use crate::{
    auth::{Certificate, Client, Limit, Principal, Unmet},
    route::Route,
    schema::Method,
};

/// One call on its way from a surface to what answers it.
#[derive(Debug)]
pub struct Call {
    /// Everything that was decided when the config was loaded.
    pub route: Arc<Route>,
    pub target: Target,
    /// Request metadata: custom headers only. Hop-by-hop, `content-type`, `te` and `grpc-timeout` are not in here;
    /// `grpc-encoding` and `grpc-accept-encoding` are, where the client's frames need them. Of a [`Target::Http`]: all
    /// headers but those of the hop.
    pub metadata: HeaderMap,
    pub message: Message,
    pub peer: Peer,
    /// How long the client is ready to wait, as it said in its own protocol.
    pub timeout: Option<Duration>,
    /// When the call must have ended: set by the deadline policy, enforced by dispatch.
    pub deadline: Option<Instant>,
    /// What policies found out about who calls.
    pub caller: Caller,
    /// What must live until the reply's body has ended.
    pub guards: Guards,
    /// Where what is found out is written, if anybody wants to know.
    pub record: Option<Arc<Record>>,
}

/// Who calls, as far as policies have found out.
#[derive(Debug, Default)]
pub struct Caller {
    /// Where the call comes from: the connection's other end, or whom a trusted proxy speaks for.
    pub client: Option<Client>,
    /// `None` for somebody whom nobody knows.
    pub principal: Option<Arc<Principal>>,
    /// The limit with the least left, of those that the call was counted by: told to the caller with the reply.
    pub counted: Option<Counted>,
    /// The route of the endpoint that it came by, of a call whose caller was found out there ([`Road::identify`]) before it
    /// was known what is called. Its limits hold beside those of the call's own route.
    pub entry: Option<Arc<Route>>,
    /// The caller's own limit has counted it already: it is part of another call.
    pub charged: bool,
}

/// What is left of a limit.
#[derive(Debug, Clone)]
pub struct Counted {
    pub limit: Arc<Limit>,
    /// Calls that could come now.
    pub remaining: u64,
    /// When all of the limit is there again.
    pub reset_after: Duration,
}

/// What is called.
#[derive(Debug, Clone)]
pub enum Target {
    /// A gRPC method. `method` is `None` for a service whose schema is not known.
    Rpc { path: PathAndQuery, method: Option<Arc<Method>> },
    /// An HTTP request as it came, for what answers HTTP itself.
    Http(Box<HttpHead>),
}

/// The head of an HTTP request, beside its headers.
#[derive(Debug, Clone)]
pub struct HttpHead {
    pub method: http::Method,
    pub uri: Uri,
    /// What the variables of the route's path template captured.
    pub captured: Vec<Captured>,
    /// The client asks to go on in another protocol, and its connection can.
    pub upgrade: Option<Upgrade>,
    /// The version of HTTP that it came by.
    pub version: http::Version,
    /// The client waits to be told that its body is wanted (`Expect: 100-continue`).
    pub expects: bool,
}

/// A connection that can go on in another protocol, once that is agreed to with a 101.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// Which: what the client's `Upgrade` says.
    pub protocol: http::HeaderValue,
    pub on: hyper::upgrade::OnUpgrade,
    /// Kept for as long as the connection is used.
    pub lasting: Option<Lasting>,
}

/// What one variable of a path template captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    pub name: Arc<str>,
    /// Decoded; where it spans segments, its `%2F` are kept.
    pub value: String,
    /// It may span several segments.
    pub multi: bool,
}

impl Target {
    /// True unless it is known that the client sends exactly one message, as an HTTP request is.
    #[must_use]
    pub fn client_streaming(&self) -> bool {
        match self {
            Self::Rpc { method, .. } => method.as_ref().is_none_or(|method| method.client_streaming),
            Self::Http(_) => false,
        }
    }

    /// True unless it is known that the reply holds exactly one message.
    #[must_use]
    pub fn server_streaming(&self) -> bool {
        match self {
            Self::Rpc { method, .. } => method.as_ref().is_none_or(|method| method.server_streaming),
            Self::Http(_) => false,
        }
    }
}

/// What the client sends.
pub enum Message {
    /// gRPC frames as the client made them, never decoded.
    Frames(Frames),
    /// A body still to be read and transcoded, once the call is admitted.
    Pending(Pending),
    /// The body of a [`Target::Http`], as it comes.
    Body(Body),
    /// None that is read: the outcome is known by the request's head, and told once the call is admitted.
    Settled(Box<Result<Reply, Status>>),
}

impl Call {
    /// A call whose outcome is known by its head: it finds nothing, or asks for what there is not. It is admitted like any
    /// other first, so that who calls too often, or may not call, learns nothing more by it.
    pub fn settled(
        route: &Arc<Route>,
        target: Target,
        metadata: HeaderMap,
        peer: Peer,
        record: Option<Arc<Record>>,
        outcome: Result<Reply, Status>,
    ) -> Self {
        Self {
            route: Arc::clone(route),
            target,
            metadata,
            message: Message::Settled(Box::new(outcome)),
            peer,
            timeout: None,
            deadline: None,
            caller: Caller::default(),
            guards: Guards::default(),
            record,
        }
    }
}

impl Message {
    /// The frames to send; a pending message is read and transcoded now.
    ///
    /// # Errors
    /// What the pending message's surface says of a body it cannot transcode (the client's fault).
    pub async fn frames(self) -> Result<Frames, Status> {
        match self {
            Self::Frames(frames) => Ok(frames),
            Self::Pending(pending) => (pending.0)().await,
            Self::Body(_) => Err(Status::internal("the body of an HTTP request is no message of gRPC's")),
            Self::Settled(outcome) => Err(outcome
                .err()
                .unwrap_or_else(|| Status::internal("a call that is answered already has no message"))),
        }
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Frames(Frames::Whole(_)) => "Whole",
            Self::Frames(Frames::Stream(_)) => "Stream",
            Self::Pending(_) => "Pending",
            Self::Body(_) => "Body",
            Self::Settled(_) => "Settled",
        })
    }
}

/// gRPC frames: five bytes of header (compressed flag, big-endian length), then the message, any number of times.
pub enum Frames {
    /// All of them at once: a unary request made by a surface. Can be sent again.
    Whole(Bytes),
    /// As they come. A body error is a `tonic::Status` that says what the client did wrong; anything else
    /// means that the client went away.
    Stream(Body),
}

impl From<Frames> for Body {
    fn from(frames: Frames) -> Self {
        match frames {
            Frames::Whole(bytes) => bytes.into(),
            Frames::Stream(body) => body,
        }
    }
}

/// A request body that is read and transcoded only when dispatch asks for it.
pub struct Pending(Box<dyn FnOnce() -> BoxFuture<'static, Result<Frames, Status>> + Send>);

impl Pending {
    pub fn new<F>(read: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Frames, Status>> + Send + 'static,
    {
        Self(Box::new(move || Box::pin(read())))
    }
}

/// Who is at the other end of the connection. The server puts it into each request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub address: SocketAddr,
    /// True where the connection is TLS.
    pub secure: bool,
    /// The certificate that the client has shown, and that was verified.
    pub certificate: Option<Arc<Certificate>>,
    /// It came by the operator's listener, `[admin] listen`.
    pub operator: bool,
    /// `address` is that of a balancer, which has not said for whom it has opened the connection.
    pub relayed: bool,
    /// A page asks, under a name that is not this machine's: the door's to say.
    pub foreign_name: bool,
}

impl Peer {
    /// A peer of whom nothing but its address is known.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            secure: false,
            certificate: None,
            operator: false,
            relayed: false,
            foreign_name: false,
        }
    }
}

/// Held by what goes on when its request has been answered and its connection handed over: a WebSocket. The drain waits
/// until none is left, and the connection it came by counts as used. The server puts it into the extensions of each request
/// that may be upgraded; what is in it is the server's own.
#[derive(Debug, Clone)]
pub struct Lasting(#[expect(dead_code, reason = "held, never read")] Arc<dyn Any + Send + Sync>);

impl Lasting {
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Arc::new(held))
    }
}

/// A response whose head is not an error.
///
/// `body` holds gRPC frames and always ends with trailers that carry a readable `grpc-status`, whatever the upstream
/// did, unless `metadata` has one already (a trailers-only reply of a call that went well without a message, whose
/// body is empty). It never yields an error: what broke is a status in its trailers.
///
/// Of a [`Target::Http`] it is the HTTP response as the client gets it: `metadata` has its headers, `content-type` among
/// them, `body` its bytes, `http_status` its status.
#[derive(Debug)]
pub struct Reply {
    /// Response metadata, `grpc-encoding` included; hop-by-hop headers, `content-type` and the like are not in here.
    pub metadata: HeaderMap,
    pub body: Body,
    /// Set by a local service that wants another HTTP status than 200, which REST alone honours; and by what answers HTTP.
    pub http_status: Option<HttpStatus>,
    /// How often the call was sent to an upstream; 0 where none was asked.
    pub attempts: u32,
    pub guards: Guards,
}

/// The HTTP status of a local service's successful reply (503 with the health body, 201, 412). A service puts it into
/// its `tonic::Response`'s extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpStatus(pub StatusCode);

/// What lives until the reply's body ends: permits, drain counts, an access line. Dropping them is what ends them.
#[derive(Default)]
pub struct Guards(Vec<Box<dyn Any + Send>>);

impl Guards {
    pub fn push(&mut self, guard: impl Any + Send) {
        self.0.push(Box::new(guard));
    }

    /// Moves the guards into a body, which drops them when it ends or is dropped.
    pub fn into_body(self, body: Body) -> Body {
        if self.0.is_empty() { body } else { Body::new(frames::Guarded { body, _guards: self }) }
    }
}

impl std::fmt::Debug for Guards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guards({})", self.0.len())
    }
}

/// The one road: policies admit a call, dispatch answers it.
pub trait Road: Send + Sync {
    /// Lets every policy see the call, in order.
    ///
    /// # Errors
    /// The first policy's refusal.
    fn admit(&self, call: &mut Call) -> impl Future<Output = Result<(), Status>> + Send;

    /// Sends the call to what answers it and waits for the reply's head.
    ///
    /// # Errors
    /// Whatever went wrong before the reply's first byte, the upstream's own status included.
    fn dispatch(&self, call: Call) -> impl Future<Output = Result<Reply, Status>> + Send;

    /// Finds out who calls, and whether they may call at the call's route at all, for a surface that must read something of the
    /// body before it knows what is called. [`Road::admit`] does the rest, for that route or for another that the call was
    /// given meanwhile.
    ///
    /// # Errors
    /// The first refusal.
    fn identify(&self, call: &mut Call) -> impl Future<Output = Result<(), Status>> + Send {
        // A road without policies asks nothing.
        let _ = call;
        std::future::ready(Ok(()))
    }

    /// Whether the caller of a call that was identified may call a route. Nothing is counted.
    ///
    /// # Errors
    /// What it lacks.
    fn permits(&self, _call: &Call, _route: &Route) -> Result<(), Unmet> {
        Ok(())
    }

    /// What the caller of an admitted call is told in a head that it gets before the reply's.
    fn ahead(&self, _call: &Call) -> HeaderMap {
        HeaderMap::new()
    }

    /// [`Road::admit`], then [`Road::dispatch`].
    ///
    /// # Errors
    /// Those of both.
    fn run(&self, mut call: Call) -> impl Future<Output = Result<Reply, Status>> + Send {
        async move {
            self.admit(&mut call).await?;
            self.dispatch(call).await
        }
    }
}
