//! What is known of one request when it has ended. The door makes the record where somebody wants it; whoever finds
//! something out on the way writes it there; it is closed when the last byte of the response has gone, when the client has,
//! or when the tunnel that it became has ended. Then its observers see it whole: metrics, the access log, traces.

mod asked;
mod ended;
mod traced;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use http::{Extensions, HeaderValue, StatusCode, Uri, Version};
use tonic::{Code, Status};

pub use self::{asked::Asked, ended::Ended, traced::Traced};
use super::{
    Call, Lasting, Target,
    attempt::{Attempt, Attempts, Outcome},
    trace::{SpanId, TraceContext},
    way::Way,
};
use crate::{
    auth::Principal,
    route::{Binding, Route},
    schema::Method,
    telemetry::Credentials,
};

/// Who looks at records that are closed, in this order. The slice is as short as its list in the gateway.
pub type Observers = Arc<[Arc<dyn Observer>]>;

/// Looks at records that are closed. It is called by the task that served the request, so it does not wait.
pub trait Observer: Send + Sync + fmt::Debug {
    /// A request has come. It ends, too.
    fn began(&self, _arrived: &Arrived) {}

    /// It has ended.
    fn ended(&self, call: &Ended<'_>);
}

/// One request on its way.
pub struct Record {
    arrived: Arrived,
    observers: Observers,
    found: Mutex<Found>,
}

/// What a request's head says, and its connection.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub at: Instant,
    /// The protocol that it was taken for.
    pub way: Way,
    pub method: http::Method,
    /// As it was sent: its query may hold what nobody else may read.
    pub uri: Uri,
    pub version: Version,
    /// It came by TLS.
    pub secure: bool,
    /// The other end of its connection.
    pub peer: IpAddr,
    /// Whom it is for, where its URI does not say.
    pub host: Option<HeaderValue>,
    pub user_agent: Option<HeaderValue>,
    pub request_id: HeaderValue,
    /// What it says of its body's length, in bytes.
    pub request_bytes: Option<u64>,
    /// The trace that it is part of; `None` where there is none.
    pub trace: Option<TraceContext>,
}

#[derive(Debug, Default)]
struct Found {
    way: Option<Way>,
    route: Option<Arc<Route>>,
    binding: Option<Arc<Binding>>,
    principal: Option<Arc<Principal>>,
    client: Option<IpAddr>,
    attempts: Attempts,
    traced: Traced,
    http_status: Option<StatusCode>,
    code: Option<Code>,
    message: Option<String>,
    asked: Option<Box<Asked>>,
    tunnel: Tunnel,
    streams: bool,
    /// When a stream's response began.
    head: Option<Instant>,
    credentials: Option<Credentials>,
    limited: Option<&'static str>,
    closed: bool,
}

/// What the head of a response says of what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Responds {
    /// So many bytes.
    Whole,
    /// It does not say how many.
    Open,
    Stream,
    Tunnel,
}

/// Whether a request became a tunnel. Its end may be told before its beginning.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    #[default]
    None,
    /// Somebody will say when it ends, if it begins.
    Possible,
    Open,
    Ended,
}

impl Record {
    /// Begins a record that its observers see at the end.
    #[must_use]
    pub fn begin(arrived: Arrived, observers: &Observers) -> Arc<Self> {
        for observer in &**observers {
            observer.began(&arrived);
        }
        Arc::new(Self { arrived, observers: Arc::clone(observers), found: Mutex::default() })
    }

    /// The record of a request, as the door put it into its extensions.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Arc<Self>> {
        extensions.get().cloned()
    }

    /// Goes along with a request; what may become a tunnel then closes it at the tunnel's end.
    pub fn attach(self: &Arc<Self>, extensions: &mut Extensions) {
        if let Some(lasting) = extensions.remove::<Lasting>() {
            self.found().tunnel = Tunnel::Possible;
            extensions.insert(Lasting::new((lasting, TunnelEnd(Arc::clone(self)))));
        }
        extensions.insert(Arc::clone(self));
    }

    /// What was known when it began.
    #[must_use]
    pub fn arrived(&self) -> &Arrived {
        &self.arrived
    }

    /// What a call is and who makes it, as far as policies have found out.
    pub fn admitted(&self, call: &Call) {
        let mut found = self.found();
        match &call.target {
            // A page of agents' is answered in HTTP, and is theirs all the same.
            Target::Http(_) if self.arrived.way == Way::Mcp => {}
            Target::Http(_) => found.way = Some(Way::Http),
            // Of a method that is not known nobody can say.
            Target::Rpc { method, .. } => {
                let streams = |method: &Arc<Method>| method.client_streaming || method.server_streaming;
                found.streams = method.as_ref().is_some_and(streams);
            }
        }
        found.route = Some(Arc::clone(&call.route));
        found.client = call.caller.client.map(|client| client.address);
        found.principal.clone_from(&call.caller.principal);
    }

    /// It is for this path template.
    pub fn bound(&self, binding: &Arc<Binding>) {
        self.found().binding = Some(Arc::clone(binding));
    }

    /// It asks, before another that would go there, whether that may come.
    pub fn asks_for(&self, route: &Arc<Route>) {
        self.found().route = Some(Arc::clone(route));
    }

    /// What became of the credentials that it brought.
    pub fn presented(&self, credentials: Credentials) {
        self.found().credentials = Some(credentials);
    }

    /// A limit has refused it.
    pub fn limited(&self, limit: &'static str) {
        self.found().limited = Some(limit);
    }

    /// The gRPC status that a call ends with, as its trailers say.
    pub fn said(&self, outcome: Result<(), &Status>) {
        match outcome {
            Ok(()) => self.found().code = Some(Code::Ok),
            Err(status) => self.failed(status.code(), status.message()),
        }
    }

    /// It failed, and its caller is told so.
    pub fn failed(&self, code: Code, message: &str) {
        let mut found = self.found();
        found.code = Some(code);
        found.message = Some(message.to_owned());
    }

    /// An attempt begins; gives its number.
    pub(crate) fn tries(&self, upstream: &Arc<str>, endpoint: SocketAddr, now: Instant) -> usize {
        let attempt = Attempt {
            upstream: Arc::clone(upstream),
            endpoint,
            began: now,
            answered: None,
            http_status: None,
            ended: None,
            outcome: Outcome::Open,
            span: self.is_traced().then(SpanId::new),
        };
        self.found().attempts.add(attempt)
    }

    /// The head of an attempt's answer has come.
    pub(crate) fn answered(&self, attempt: usize, http_status: Option<StatusCode>, now: Instant) {
        if let Some(attempt) = self.found().attempts.get(attempt) {
            attempt.answered = Some(now);
            attempt.http_status = http_status.map(|status| status.as_u16());
        }
    }

    /// An attempt has failed, with the status that the call would end with; `said`: by the upstream's own word.
    pub(crate) fn tried(&self, attempt: usize, status: &Status, said: bool, now: Instant) {
        if let Some(attempt) = self.found().attempts.get(attempt) {
            attempt.ended = Some(now);
            let (code, message) = (status.code(), status.message().to_owned());
            attempt.outcome = Outcome::Failed { code, message, said };
        }
    }

    /// An attempt is over, if nobody has said so before: with its answer, or given up.
    pub(crate) fn left(&self, attempt: usize, now: Instant) {
        if let Some(attempt) = self.found().attempts.get(attempt)
            && attempt.ended.is_none()
        {
            attempt.ended = Some(now);
            if attempt.answered.is_some() {
                attempt.outcome = Outcome::Answered;
            }
        }
    }

    /// The head of the response. `true`: it became a tunnel, which closes the record at its end.
    pub(super) fn responds(&self, status: StatusCode, how: Responds) -> bool {
        let mut found = self.found();
        found.http_status = Some(status);
        let tunnel = how == Responds::Tunnel;
        found.streams |= tunnel || how == Responds::Stream;
        if found.streams || how == Responds::Open {
            found.head = Some(Instant::now());
        }
        if tunnel && found.tunnel == Tunnel::Possible {
            found.tunnel = Tunnel::Open;
            return true;
        }
        false
    }

    /// What seemed to be open-ended has come at once.
    pub(super) fn was_whole(&self) {
        let mut found = self.found();
        if !found.streams {
            found.head = None;
        }
    }

    /// Ends it, once: whoever comes second changes nothing.
    pub(super) fn close(&self, response_bytes: u64, cancelled: bool) {
        // What observers look at nobody writes any more, and they are not called under the lock.
        let found = {
            let mut found = self.found();
            if found.closed {
                return;
            }
            std::mem::replace(&mut *found, Found { closed: true, ..Found::default() })
        };
        let took = self.arrived.at.elapsed();
        let code = found.code.or(cancelled.then_some(Code::Cancelled));
        let ended = Ended {
            arrived: &self.arrived,
            way: found.way.unwrap_or(self.arrived.way),
            route: found.route.as_ref(),
            binding: found.binding.as_deref(),
            principal: found.principal.as_deref(),
            client: found.client.unwrap_or(self.arrived.peer),
            attempts: &found.attempts,
            traced: &found.traced,
            http_status: found.http_status,
            code,
            message: found.message.as_deref(),
            response_bytes,
            took,
            head: found.head.map(|head| head.saturating_duration_since(self.arrived.at)),
            asked: found.asked.as_deref(),
            cancelled,
            streams: found.streams,
            credentials: found.credentials,
            limited: found.limited,
        };
        for observer in &*self.observers {
            observer.ended(&ended);
        }
    }

    fn tunnel_ended(&self) {
        let mut found = self.found();
        let was = std::mem::replace(&mut found.tunnel, Tunnel::Ended);
        drop(found);
        if was == Tunnel::Open {
            self.close(0, false);
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // What a panic left half-written is at worst a line that says less.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} {})", self.arrived.method, self.arrived.uri.path())
    }
}

/// Held by what a request became when its connection was handed over.
struct TunnelEnd(Arc<Record>);

impl Drop for TunnelEnd {
    fn drop(&mut self) {
        self.0.tunnel_ended();
    }
}
