//! An upstream that speaks gRPC: HTTP/2 by prior knowledge, or over TLS. A call goes to one of its endpoints, and to another
//! where that fails and may be done; the reply of one that may be repeated is held until it is whole, if it is short.

mod health;
mod reply;
mod settings;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{
    HeaderMap, Method, Request, Response, Uri, Version,
    uri::{PathAndQuery, Scheme},
};
use tokio::time::{Instant, sleep};
use tonic::Status;

pub(super) use self::reply::Relayed;
use self::reply::{Begun, Held};
pub use self::settings::Settings;
use super::{
    balance::{
        Asked, Attempts, Balance, Condition, Endpoint, FAIR, Failure, Figures, Plan, Reach, System, Upkeep,
    },
    deadline::Limit,
    dial::Dial,
    http2::{self, Pools},
    replay::Outgoing,
    reply::{self as normal, Opened},
    request,
    tls::{Connector, Speaks},
    upload::Until,
};
use crate::{
    call::{Frames, Record, trace::TRACEPARENT},
    route::RetryRules,
};

/// What an attempt gives: an answer, or why there is none, with the answer to give where it is not sent again.
type Attempt = Result<Opened<Relayed>, (Failure, Option<Opened<Relayed>>)>;

const PER_TRY: &str = "retry.per_try_timeout";
const FIRST_BYTE: &str = "first_byte_timeout";

/// A gRPC upstream with its connections.
pub struct Upstream {
    balance: Arc<Balance<Pools>>,
    head: Arc<Head>,
    upkeep: OnceLock<Upkeep>,
}

/// What the heads of all its calls have in common.
struct Head {
    scheme: Scheme,
    /// The `:authority` of calls, by the addresses as they were written.
    authorities: Box<[http::uri::Authority]>,
    metadata: HeaderMap,
}

/// One call to an upstream.
pub(super) struct Question {
    pub(super) path: PathAndQuery,
    /// Those of a whole gRPC request.
    pub(super) headers: HeaderMap,
    pub(super) frames: Frames,
    pub(super) deadline: Option<Instant>,
    /// How long a call of its kind may take.
    pub(super) usual: Option<Duration>,
    pub(super) client: Option<IpAddr>,
    /// It does no harm to send it twice.
    pub(super) repeatable: bool,
    /// How it is sent again, where its route says so.
    pub(super) retry: Option<Arc<RetryRules>>,
    /// The reply is known to be one message.
    pub(super) unary: bool,
    pub(super) record: Option<Arc<Record>>,
}

impl Upstream {
    /// An upstream for `workers` workers (see [`super::worker::set`]). Nothing connects before the first call.
    ///
    /// # Errors
    /// Says which setting is not usable: a host that cannot be an authority, a CA that cannot be read.
    pub fn new(settings: Settings, workers: usize) -> Result<Self, String> {
        let label = settings.label();
        let wrong = |why: String| format!("{label}: {why}");
        let authorities = settings.authorities().map_err(wrong)?;
        let scheme = if settings.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let tls: Vec<_> = match &settings.tls {
            None => Vec::new(),
            Some(tls) => {
                let connector = |authority: &http::uri::Authority| {
                    Connector::new(tls, authority.host(), Speaks::Http2).map(Arc::new)
                };
                authorities.iter().map(connector).collect::<Result<_, _>>().map_err(wrong)?
            }
        };
        let (wire, connect_timeout, handshake_timeout) =
            (settings.wire(), settings.connect_timeout, settings.handshake_timeout);
        let balance = Balance::new(
            settings.name,
            Arc::clone(&label),
            settings.resilience,
            settings.hosts,
            connect_timeout,
            Arc::new(System),
            Box::new(move |place, address, label| {
                let (label, tls) = (Arc::clone(label), tls.get(place).map(Arc::clone));
                let dial = Dial { label, address, tls, connect_timeout, handshake_timeout };
                Pools::new(dial, wire.clone(), workers)
            }),
        );
        let head = Arc::new(Head { scheme, authorities, metadata: settings.metadata });
        Ok(Self { balance: Arc::new(balance), head, upkeep: OnceLock::new() })
    }

    /// How it is doing now.
    pub(super) fn figures(&self) -> Figures {
        self.balance.figures()
    }

    /// Begins to look names up again and again, and to ask endpoints how they are, on the current runtime. It ends with
    /// the upstream. Once is enough.
    pub fn look_after(&self) {
        self.upkeep.get_or_init(|| Upkeep::begin(&self.balance, health::Health(Arc::clone(&self.head))));
    }

    /// What its calls and its health checks have told of it.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.balance.condition()
    }

    /// Connects to one of its endpoints.
    ///
    /// # Errors
    /// None can be connected to; in words that follow its name.
    pub async fn reach(&self) -> Result<(), String> {
        self.balance.reach().await
    }

    /// Sends one call and waits for its reply's head.
    ///
    /// # Errors
    /// UNAVAILABLE, with why: it was not sent, or no endpoint could answer it; DEADLINE_EXCEEDED for one that took too long;
    /// the client's own mistake; the upstream's own status where its reply is only a status.
    pub(super) fn call(&self, question: Question) -> impl Future<Output = Result<Opened<Relayed>, Status>> {
        let Question { path, mut headers, frames, deadline, usual, client, repeatable, retry, unary, record } =
            question;
        for (name, value) in &self.head.metadata {
            headers.insert(name, value.clone());
        }
        let fair = usual.map_or(FAIR, |usual| usual.min(FAIR));
        let key = self.balance.key(&headers, path.path(), client);
        let deadline = deadline.map(Until::At);
        let plan = Plan { repeatable, retry, deadline, fair, key, own: false, tunnel: false, record };
        self.run(plan, path, headers, frames, unary)
    }

    /// Asks what the gateway itself wants to know: the breaker and the limit are no matter, and it is not counted.
    ///
    /// # Errors
    /// As [`Upstream::call`].
    pub(super) fn ask(
        &self,
        path: PathAndQuery,
        headers: HeaderMap,
        frames: Frames,
    ) -> impl Future<Output = Result<Opened<Relayed>, Status>> {
        let plan = Plan {
            repeatable: false,
            retry: None,
            deadline: None,
            fair: FAIR,
            key: None,
            own: true,
            tunnel: false,
            record: None,
        };
        self.run(plan, path, headers, frames, false)
    }

    fn run(
        &self,
        plan: Plan,
        path: PathAndQuery,
        headers: HeaderMap,
        frames: Frames,
        unary: bool,
    ) -> impl Future<Output = Result<Opened<Relayed>, Status>> {
        let most = plan.retry.as_deref().unwrap_or(&self.balance.rules.retry).body_bytes;
        let mut outgoing = Outgoing::new(frames, most);
        let call = Attempts::begin(&self.balance, plan);
        async move {
            let mut call = call.await?;
            loop {
                let endpoint =
                    call.next().await.map_err(|status| call.ended(Failure::new(status, Reach::Nowhere)))?;
                let tried = self.attempt(&endpoint, &call, (&path, &headers), &mut outgoing, unary).await;
                let (failure, answer) = match tried {
                    Err(failed) => failed,
                    Ok(mut opened) => {
                        opened.attempts = call.sent();
                        if !unary {
                            // A stream may go on for days.
                            call.went_well();
                        }
                        let call = match opened.body.as_mut().and_then(normal::Normal::get_mut) {
                            Some(relayed) => relayed.carry(call),
                            None => Some(call),
                        };
                        if let Some(mut call) = call {
                            call.went_well();
                        }
                        return Ok(opened);
                    }
                };
                let whole =
                    outgoing.is_whole() && (failure.reach != Reach::Seen || outgoing.length() <= most);
                match call.again(&failure, whole).filter(|_| outgoing.rewind()) {
                    Some(wait) if wait.is_zero() => {}
                    Some(wait) => sleep(wait).await,
                    None => {
                        let answer = answer.map(|answer| Opened { attempts: call.sent(), ..answer });
                        return answer.ok_or_else(|| call.ended(failure));
                    }
                }
            }
        }
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint<Pools>,
        call: &Attempts<Pools>,
        (path, headers): (&PathAndQuery, &HeaderMap),
        outgoing: &mut Outgoing,
        unary: bool,
    ) -> Attempt {
        let (rules, retry) = (&self.balance.rules, call.retry());
        let failed = |status, reach| (Failure::new(status, reach), None);
        let limit = |time: Option<(Instant, Duration)>, name, what| {
            let time = time.map(|(at, limit)| (Until::At(at), limit));
            Limit::new(time, name, what, &endpoint.label)
        };
        let whole = call.until();
        let lease = limit(whole, PER_TRY, "was not connected to").hold(endpoint.transport.lease()).await;
        let lease = lease.map_err(|status| failed(status, Reach::Nowhere))?;
        let first = rules.first_byte_timeout.map(|limit| (Instant::now() + limit, limit));
        let head = match (first, whole) {
            (Some(first), Some(whole)) if first > whole => {
                limit(Some(whole), PER_TRY, "did not begin to answer")
            }
            (None, whole) => limit(whole, PER_TRY, "did not begin to answer"),
            (first, _) => limit(first, FIRST_BYTE, "did not begin to answer"),
        };
        let mut headers = headers.clone();
        if let Some(parent) = call.traceparent() {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(deadline) = call.deadline().filter(|_| call.sent() > 1) {
            request::tell(&mut headers, deadline);
        }
        let request = self.head.request(endpoint.origin, path.clone(), headers);
        let request = request.map_err(|status| failed(status, Reach::Seen))?;
        let sent = head.hold(http2::send(lease, request, outgoing, &endpoint.label)).await;
        let response = sent.map_err(|http2::Failed { status, unsent }| {
            failed(status, if unsent { Reach::Unseen } else { Reach::Seen })
        })?;
        call.answered(None);
        let (head, body) = response.into_parts();
        let live = |begun, body| (Relayed::live(begun, body, &endpoint.label, rules.idle_timeout), None);
        let (relayed, verdict) = if unary && call.may_repeat() {
            let limit = limit(whole, PER_TRY, "did not end its answer");
            let held =
                limit.hold(reply::hold(body, retry.body_bytes, rules.idle_timeout, &endpoint.label)).await;
            match held.map_err(|status| failed(status, Reach::Seen))? {
                Held::Long(begun, body) => live(begun, *body),
                Held::Whole(whole) => {
                    let verdict = whole.judge(&head.headers, &endpoint.label, &retry.codes);
                    (Relayed::whole(whole), verdict)
                }
            }
        } else {
            live(Begun::default(), body)
        };
        let said = reply::said(&head.headers);
        match (normal::open(&endpoint.label, Response::from_parts(head, relayed)), verdict) {
            (Ok(opened), None) => Ok(opened),
            (Ok(opened), Some(failure)) => Err((failure, Some(opened))),
            (Err(status), _) => {
                let asked = Asked::of_grpc(status.metadata().as_ref());
                Err((reply::of_status(status, said, &retry.codes, asked), None))
            }
        }
    }
}

impl Head {
    /// A request to the upstream's address of this place.
    fn request(&self, place: usize, path: PathAndQuery, headers: HeaderMap) -> Result<Request<()>, Status> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = self.authorities.get(place).cloned();
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(|error| Status::internal(error.to_string()))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.balance.fmt(f)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({})", self.balance)
    }
}
