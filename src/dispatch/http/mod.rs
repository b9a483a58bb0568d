//! An upstream that speaks plain HTTP: HTTP/1.1 or HTTP/2, in clear or over TLS. A request goes on as it came, but for what
//! belongs to its hop, with its body as it comes; and so does the response. It goes to one of the upstream's endpoints, and to
//! another where that fails and may be done. An upgrade (a WebSocket's, say) becomes a tunnel once the upstream has agreed to it.

mod answer;
mod expect;
mod headers;
mod health;
mod kept;
mod lend;
mod outline;
mod post;
mod settings;
mod transport;
mod tunnel;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE},
};
use tokio::time::{Instant, sleep};
use tonic::Status;

use self::{
    answer::Relayed,
    headers::Came,
    kept::Connections,
    lend::Lender,
    outline::{Head, Outline, is_idempotent, until},
    transport::{Lost, Sent, Transport},
};
pub use self::{post::Posted, settings::HttpSettings};
use super::{
    balance::{
        Asked, Attempts, Balance, Condition, Endpoint, FAIR, Failure, Figures, Plan, Reach, System, Upkeep,
        Verdict,
    },
    body::Bounded,
    deadline::{self, Limit},
    dial::Dial,
    http2::Pools,
    replay::Outgoing,
    request::Mistake,
    tls::{Connector, Speaks},
    upload::Until,
};
use crate::{
    call::{Body, Frames, Guards, HttpHead, HttpStatus, Record, Reply, Upgrade, trace::TRACEPARENT},
    route::{Limits, Proxy, RetryRules},
    status::Fault,
};

const PER_TRY: &str = "retry.per_try_timeout";
const FIRST_BYTE: &str = "first_byte_timeout";

/// An HTTP upstream with its connections.
pub struct HttpUpstream {
    settings: HttpSettings,
    balance: Arc<Balance<Transport>>,
    head: Arc<Head>,
    upkeep: OnceLock<Upkeep>,
}

/// A request on its way to an upstream.
pub(super) struct Proxied {
    pub(super) head: Box<HttpHead>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Whom it is from.
    pub(super) client: std::net::IpAddr,
    /// It came over TLS.
    pub(super) secure: bool,
    pub(super) limits: Limits,
    /// When it must have been answered, if its client sends it at once.
    pub(super) deadline: Option<Instant>,
    /// When it must have been answered, whatever its client does.
    pub(super) own: Option<Instant>,
    /// How long a request of its kind may take.
    pub(super) usual: Option<Duration>,
    /// How it is sent again, where its route says so.
    pub(super) retry: Option<Arc<RetryRules>>,
    pub(super) guards: Guards,
    pub(super) record: Option<Arc<Record>>,
}

/// What an attempt gives: a response, or why there is none, with the one to give where it is not sent again.
type Attempt = Result<Response<Body>, (Failure, Option<Response<Body>>)>;

impl HttpUpstream {
    /// An upstream for `workers` workers (see [`super::worker::set`]). Nothing connects before the first request.
    ///
    /// # Errors
    /// Says which setting is not usable: a host that cannot be an authority, a CA that cannot be read.
    pub fn new(settings: HttpSettings, workers: usize) -> Result<Self, String> {
        let label: Arc<str> = format!("upstream {:?}", settings.name).into();
        let wrong = |why: String| format!("{label}: {why}");
        let places = settings.places().map_err(wrong)?;
        let speaks = if settings.http2 { Speaks::Http2 } else { Speaks::Http1 };
        let connectors = settings.tls.iter().flat_map(|tls| {
            places.iter().map(move |place| Connector::new(tls, place.authority.host(), speaks).map(Arc::new))
        });
        let connectors = connectors.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let HttpSettings { http2, connect_timeout, handshake_timeout, .. } = settings;
        let balance = Balance::new(
            Arc::clone(&settings.name),
            Arc::clone(&label),
            settings.resilience.clone(),
            settings.hosts.clone(),
            connect_timeout,
            Arc::new(System),
            Box::new(move |place, address, label| {
                let (label, tls) = (Arc::clone(label), connectors.get(place).map(Arc::clone));
                let dial = Dial { label, address, tls, connect_timeout, handshake_timeout };
                if http2 {
                    Transport::Http2(Pools::new(dial, HttpSettings::wire(), workers))
                } else {
                    Transport::Http1(Box::new(Connections::new(dial, workers)))
                }
            }),
        );
        let host = places.first().map_or(HeaderValue::from_static(""), |place| place.host.clone());
        let (scheme, headers) = (settings.scheme(), settings.headers.clone());
        let head = Arc::new(Head { scheme, places, host, headers });
        Ok(Self { settings, balance: Arc::new(balance), head, upkeep: OnceLock::new() })
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

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// Sends a request and waits for its response's head.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a path that is none as it would go on; what the client did wrong with its body; UNAVAILABLE
    /// where the upstream cannot be reached or does not answer in HTTP; DEADLINE_EXCEEDED.
    pub(super) async fn call(&self, proxy: &Proxy, proxied: Proxied) -> Result<Reply, Status> {
        let Proxied {
            mut head,
            mut headers,
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
        } = proxied;
        let path =
            proxy.path_of(&head.uri).map_err(|why| Fault::client().on(Status::invalid_argument(why)))?;
        if let Some(record) = &record {
            let scheme = if self.settings.tls.is_some() { "https" } else { "http" };
            record.sends_as(scheme, path.path());
        }
        let came = Came { uri: &head.uri, version: head.version, client, secure };
        self.head(&mut headers, proxy, &came);
        // HTTP/2 has no upgrades (RFC 9113, 8.6): the request goes on without.
        let upgrade = head.upgrade.take().filter(|_| !self.settings.http2);
        if let Some(upgrade) = &upgrade {
            headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, upgrade.protocol.clone());
        }
        let (mut bounded, mistake) = Bounded::new(body, limits)?;
        let upload = bounded.watch();
        let until = until(deadline, own, usual, upload.as_ref());
        let mut expected = None;
        // hyper tells of a 100 over HTTP/1.1 alone.
        if head.expects && !self.settings.http2 && !http_body::Body::is_end_stream(&bounded) {
            (bounded, expected) = expect::hold(bounded, &mut headers);
        }
        let most = retry.as_deref().unwrap_or(&self.balance.rules.retry).body_bytes;
        let may = retry.as_ref().and_then(|retry| retry.repeatable);
        let outgoing = Outgoing::new(Frames::Stream(Body::new(bounded)), most);
        let sent =
            if self.settings.http2 { Sent::Http2(outgoing) } else { Sent::Http1(Lender::new(outgoing)) };
        let plan = Plan {
            repeatable: upgrade.is_none() && may.unwrap_or_else(|| is_idempotent(&head.method)),
            retry,
            deadline: until.clone(),
            fair: usual.map_or(FAIR, |usual| usual.min(FAIR)),
            key: self.balance.key(&headers, path.path(), Some(client)),
            own: false,
            tunnel: upgrade.is_some(),
            record,
        };
        let (method, keep_host) = (head.method.clone(), proxy.keep_host);
        let request = Outline { method, path, headers, keep_host, expected, upload, until };
        let run = self.run(plan, &request, sent, (upgrade, guards), &mistake);
        let answered = match &request.until {
            None => run.await,
            Some(until) => {
                until.hold(run).await.unwrap_or_else(|| Err(deadline::passed("a response came", self)))
            }
        };
        answered.map_err(|status| mistake.get().cloned().unwrap_or(status))
    }

    async fn run(
        &self,
        plan: Plan,
        request: &Outline,
        mut sent: Sent,
        (upgrade, guards): (Option<Upgrade>, Guards),
        mistake: &Mistake,
    ) -> Result<Reply, Status> {
        let mut call = Attempts::begin(&self.balance, plan).await?;
        loop {
            let endpoint =
                call.next().await.map_err(|status| call.ended(Failure::new(status, Reach::Nowhere)))?;
            let (mut failure, answer) = match self.attempt(&endpoint, &call, request, &mut sent).await {
                Ok(response) => {
                    call.went_well();
                    let sent = call.sent();
                    let reply = self.reply(&endpoint, response, (request, Some(call)), upgrade, guards)?;
                    return Ok(Reply { attempts: sent, ..reply });
                }
                Err(failed) => failed,
            };
            if mistake.get().is_some() {
                // A body that its client broke off says nothing of the endpoint, and does not get better.
                (failure.verdict, failure.passing) = (Verdict::Unknown, false);
            }
            // An answer may be on its way while the request still goes on: that is not called back for nothing.
            let wait = call.again(&failure, sent.is_whole()).filter(|_| sent.rewind());
            match (wait, answer) {
                (Some(wait), _) if wait.is_zero() => {}
                (Some(wait), _) => sleep(wait).await,
                (None, Some(response)) => {
                    let reply = self.reply(&endpoint, response, (request, None), upgrade, guards)?;
                    return Ok(Reply { attempts: call.sent(), ..reply });
                }
                (None, None) => return Err(call.ended(failure)),
            }
        }
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint<Transport>,
        call: &Attempts<Transport>,
        outline: &Outline,
        sent: &mut Sent,
    ) -> Attempt {
        let (rules, retry, label) = (&self.balance.rules, call.retry(), &endpoint.label);
        let failed = |Lost { status, reach }| (Failure::new(status, reach), None);
        let mut request =
            self.head.request(endpoint.origin, outline).map_err(|status| failed(status.into()))?;
        if let Some(parent) = call.traceparent() {
            request.headers_mut().insert(TRACEPARENT, parent);
        }
        let now = Instant::now();
        let after = |limit| (Until::after(now, limit, outline.upload.as_ref()), limit);
        let whole = call.until().map(|(_, limit)| limit);
        let (time, name) = match (rules.first_byte_timeout, whole) {
            (Some(first), Some(whole)) if first > whole => (Some(whole), PER_TRY),
            (None, whole) => (whole, PER_TRY),
            (first, _) => (first, FIRST_BYTE),
        };
        let whole = whole.map(after);
        let limit = Limit::new(time.map(after), name, "did not begin to answer", label);
        let response = limit.hold(endpoint.transport.send(request, sent, label)).await.map_err(failed)?;
        call.answered(Some(response.status()));
        let (head, body) = response.into_parts();
        let body = if answer::short(&body, retry.body_bytes) {
            let limit = Limit::new(whole, PER_TRY, "did not end its response", label);
            limit
                .hold(answer::hold(body, rules.idle_timeout, label))
                .await
                .map_err(|status| failed(status.into()))?
        } else {
            body
        };
        let status = head.status;
        let response = Response::from_parts(head, body);
        let passing = retry.statuses.contains(&status.as_u16());
        let bad = matches!(status.as_u16(), 502..=504);
        if !passing && !bad {
            return Ok(response);
        }
        let said = Status::unavailable(format!("{label} answered with {}", status.as_u16()));
        let failure = Failure {
            passing,
            verdict: if bad { Verdict::Bad } else { Verdict::Good },
            asked: Asked::of_http(response.headers()),
            ..Failure::new(said, Reach::Seen)
        };
        Err((failure, Some(response)))
    }

    /// The reply that a response is, with the call in it where it is still on its way.
    fn reply(
        &self,
        endpoint: &Endpoint<Transport>,
        mut response: Response<Body>,
        (request, call): (&Outline, Option<Attempts<Transport>>),
        upgrade: Option<Upgrade>,
        mut guards: Guards,
    ) -> Result<Reply, Status> {
        let http_status = Some(HttpStatus(response.status()));
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(upgrade) = upgrade else {
                let why = "switched to another protocol, which nobody asked for";
                return Err(transport::broken(&endpoint.label, why));
            };
            let upstream = hyper::upgrade::on(&mut response);
            let metadata = std::mem::take(response.headers_mut());
            let call = call.map(Attempts::switched);
            guards.push(call);
            tunnel::open(upgrade, upstream, self.balance.rules.tunnel_idle_timeout, guards);
            let guards = Guards::default();
            return Ok(Reply { metadata, body: Body::empty(), http_status, attempts: 0, guards });
        }
        let (head, body) = response.into_parts();
        let (idle, left) = (self.balance.rules.idle_timeout, request.until.as_ref().map(Until::left));
        let body = Relayed::body(body, &endpoint.label, (idle, left), call);
        Ok(Reply { metadata: head.headers, body, http_status, attempts: 0, guards })
    }

    /// Says where the request comes from, and whom it is for.
    fn head(&self, headers: &mut HeaderMap, proxy: &Proxy, came: &Came<'_>) {
        let host = headers::say(headers, came);
        let own = host.filter(|_| proxy.keep_host).unwrap_or_else(|| self.head.host.clone());
        headers.insert(HOST, own);
        headers.remove(CONTENT_LENGTH);
        for (name, value) in &self.head.headers {
            headers.insert(name, value.clone());
        }
    }
}

impl fmt::Display for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.balance.fmt(f)
    }
}

impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUpstream({})", self.balance)
    }
}
