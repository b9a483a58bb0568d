//! A call that has ended, as it waits to be sent: what its spans tell, cut to a length, with nothing in it that belongs to the
//! connection or the config, so that what waits is as short as it seems.

use std::{
    net::IpAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::{HeaderValue, StatusCode, Version};
use tonic::Code;

use crate::{
    call::{
        Attempt, Ended, Outcome, Way,
        trace::{Fact, Note, SpanId, TraceContext, What},
    },
    route::Destination,
};

/// The longest text, in bytes.
const MOST_TEXT: usize = 256;
/// The longest path.
const MOST_PATH: usize = 1024;

/// How close two readings of clocks are that belong together, and how often they are read again for it.
const CLOSE: Duration = Duration::from_micros(20);
const MOST_READINGS: usize = 3;

/// A call.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) trace: TraceContext,
    pub(super) way: Way,
    /// Nanoseconds since 1970.
    pub(super) began: u64,
    pub(super) took: Duration,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) version: Version,
    pub(super) secure: bool,
    /// Whom the request was for, as it says.
    pub(super) host: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) peer: IpAddr,
    pub(super) client: IpAddr,
    /// The id of who called, where it is told.
    pub(super) user: Option<String>,
    /// The route's template, or the method of gRPC; `None` where nothing was found.
    pub(super) route: Option<String>,
    /// `package.Service/Method`
    pub(super) rpc: Option<String>,
    /// The method of MCP, and the tool that it calls, if any.
    pub(super) asked: Option<(String, Option<String>)>,
    pub(super) http_status: Option<StatusCode>,
    pub(super) code: Option<Code>,
    pub(super) message: Option<String>,
    pub(super) cancelled: bool,
    pub(super) request_bytes: Option<u64>,
    pub(super) response_bytes: u64,
    pub(super) request_id: Option<String>,
    /// It goes to upstreams that speak plain HTTP: by this scheme, as this path.
    pub(super) sent_as: Option<(&'static str, String)>,
    pub(super) attempts: Vec<Tried>,
    pub(super) parts: Vec<Part>,
    pub(super) events: Vec<Event>,
}

/// One sending of it to an endpoint.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) span: SpanId,
    pub(super) upstream: String,
    pub(super) endpoint: std::net::SocketAddr,
    /// Since the call began.
    pub(super) began: Duration,
    pub(super) took: Duration,
    pub(super) http_status: Option<u16>,
    /// Why it failed.
    pub(super) failed: Option<(Code, String)>,
    /// Nobody has failed it, and its answer was the call's.
    pub(super) answered: bool,
}

/// A part of its way.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) span: SpanId,
    pub(super) began: Duration,
    pub(super) took: Duration,
}

/// Something that happened.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) at: Duration,
    pub(super) facts: Vec<(&'static str, Fact)>,
}

impl Finished {
    /// A call that is recorded; `None` for one that is not. `names_users`: who called is told by id.
    pub(super) fn of(call: &Ended<'_>, names_users: bool) -> Option<Self> {
        let arrived = call.arrived;
        let trace = arrived.trace.as_ref().filter(|trace| trace.own.sampled)?;
        let since = |at: Instant| at.saturating_duration_since(arrived.at);
        let route = call.route.filter(|route| route.destination != Destination::Nothing);
        let is_rpc = route
            .is_some_and(|route| matches!(route.destination, Destination::Local | Destination::Upstream(_)));
        // A route may be for all methods of a service: of gRPC the path is the method's.
        let rpc = match call.way {
            Way::Grpc | Way::GrpcWeb => Some(arrived.uri.path()),
            Way::Rest | Way::Mcp | Way::Http => route.map(|route| &*route.name),
        };
        let rpc = rpc.filter(|_| is_rpc).map(|path| cut(path.trim_start_matches('/'), MOST_TEXT));
        let told = |value: &HeaderValue| cut(&String::from_utf8_lossy(value.as_bytes()), MOST_TEXT);
        let (mut parts, mut events) = (Vec::new(), Vec::new());
        for Note { name, at, what } in &call.traced.notes {
            let at = since(*at);
            match what {
                What::Event(facts) => events.push(Event { name, at, facts: facts.clone() }),
                What::Part { span, took } => {
                    let took = took.unwrap_or(call.took.saturating_sub(at));
                    parts.push(Part { name, span: *span, began: at, took });
                }
            }
        }
        Some(Self {
            trace: owned(trace),
            way: call.way,
            began: nanos(on_the_wall(arrived.at)),
            took: call.took,
            method: cut(arrived.method.as_str(), MOST_TEXT),
            path: cut(arrived.uri.path(), MOST_PATH),
            version: arrived.version,
            secure: arrived.secure,
            host: match arrived.uri.authority() {
                Some(authority) => Some(cut(authority.as_str(), MOST_TEXT)),
                None => arrived.host.as_ref().map(told),
            },
            user_agent: arrived.user_agent.as_ref().map(told),
            peer: arrived.peer,
            client: call.client,
            user: call.principal.filter(|_| names_users).map(|caller| cut(&caller.id, MOST_TEXT)),
            route: call.called().map(|(name, _)| cut(name, MOST_TEXT)),
            rpc,
            asked: call.asked.filter(|asked| !asked.method.is_empty()).map(|asked| {
                let tool = asked.tool.as_ref().map(|tool| cut(tool, MOST_TEXT));
                (asked.method.to_string(), tool)
            }),
            http_status: call.http_status,
            code: call.code,
            message: call.message.map(|message| cut(message, MOST_TEXT)),
            cancelled: call.cancelled,
            request_bytes: arrived.request_bytes,
            response_bytes: call.response_bytes,
            request_id: Some(told(&arrived.request_id)),
            sent_as: call.traced.sent_as.as_ref().map(|(scheme, path)| (*scheme, cut(path, MOST_PATH))),
            attempts: call.attempts().filter_map(|attempt| Tried::of(attempt, call.took, since)).collect(),
            parts,
            events,
        })
    }

    /// How many spans it is.
    pub(super) fn spans(&self) -> usize {
        1 + self.attempts.len() + self.parts.len()
    }

    /// One of which nothing is known.
    #[cfg(test)]
    pub(super) fn example() -> Self {
        use crate::call::trace::SpanContext;
        Self {
            trace: TraceContext {
                own: SpanContext { sampled: true, ..SpanContext::root() },
                parent: None,
                link: None,
                state: None,
                goes_on: true,
            },
            way: Way::Http,
            began: 1_000_000_000,
            took: Duration::from_millis(10),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            version: Version::HTTP_11,
            secure: false,
            host: None,
            user_agent: None,
            peer: [127, 0, 0, 1].into(),
            client: [127, 0, 0, 1].into(),
            user: None,
            route: None,
            rpc: None,
            asked: None,
            http_status: Some(StatusCode::OK),
            code: None,
            message: None,
            cancelled: false,
            request_bytes: None,
            response_bytes: 0,
            request_id: None,
            sent_as: None,
            attempts: Vec::new(),
            parts: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl Tried {
    fn of(attempt: &Attempt, whole: Duration, since: impl Fn(Instant) -> Duration) -> Option<Self> {
        let began = since(attempt.began);
        // What goes on when the call ends, ends with it.
        let ended = attempt.ended.map_or(whole, since);
        let failed = match &attempt.outcome {
            Outcome::Failed { code, message, .. } => Some((*code, cut(message, MOST_TEXT))),
            Outcome::Open | Outcome::Answered => None,
        };
        Some(Self {
            span: attempt.span?,
            upstream: cut(&attempt.upstream, MOST_TEXT),
            endpoint: attempt.endpoint,
            began,
            took: ended.saturating_sub(began),
            http_status: attempt.http_status,
            failed,
            answered: attempt.answered.is_some(),
        })
    }
}

/// A time of the clock that never goes back as one since 1970. A thread that loses its core between the two clocks' readings
/// would tell a wrong one: it reads them again.
fn on_the_wall(at: Instant) -> Duration {
    let read = || {
        let before = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let apart = before.elapsed();
        (apart, wall.saturating_sub(before.saturating_duration_since(at)))
    };
    let mut best = read();
    for _ in 0..MOST_READINGS {
        if best.0 <= CLOSE {
            break;
        }
        best = read().min(best);
    }
    best.1
}

/// The same without a header that is kept with all others of its request.
fn owned(trace: &TraceContext) -> TraceContext {
    let state = trace.state.as_ref().and_then(|state| HeaderValue::from_bytes(state.as_bytes()).ok());
    TraceContext { state, ..trace.clone() }
}

/// The beginning of a text.
fn cut(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned()
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
