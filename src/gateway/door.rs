//! The door: what every request meets before and behind its surface. Request ids, header limits, CORS, panics and the
//! headers that every response has are here; the gateway's own pages are `pages`'s; all else is a surface's, chosen by
//! `Snapshot::protocol_of`.

use std::{
    net::Ipv4Addr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use http::{HeaderValue, Method, Uri, Version, header, request};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{debug, error};

use super::{
    Gateway, PortTls,
    cors::{self, Page},
    framing,
    head_fault::HeadFault,
    headers,
    operator::{self, OperatorRoad},
    pages, rebinding,
    request_id::{self, REQUEST_ID},
    traces,
};
use crate::{
    call::{Arrived, Body, Peer, Record, Road, UNREAD, Unanswered, Way, trace::TraceContext},
    config::Config,
    route::{Asked, path},
    snapshot::Snapshot,
    status::{self, Fault, Refusal, refuse},
    surface::{self, Answer as _, Failed, Protocol, Request, Response, Surface as _},
    telemetry::Open,
};

/// When one who had a connection too many may come again.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);

/// What a worker's connections are served with.
#[derive(Clone)]
pub struct Door {
    gateway: Arc<Gateway>,
    operator: bool,
}

/// The door of a gateway.
pub fn door(gateway: &Arc<Gateway>) -> Door {
    Door { gateway: Arc::clone(gateway), operator: false }
}

/// The door of its operator's listener.
pub fn operator_door(gateway: &Arc<Gateway>) -> Door {
    Door { gateway: Arc::clone(gateway), operator: true }
}

impl Door {
    /// How long calls in flight may go on once the drain has begun; what is left is closed.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.gateway.config().drain.timeout
    }

    /// Serves one request: whatever becomes of it, its client is answered in its own protocol.
    pub async fn serve(self, mut request: Request) -> Response {
        let snapshot = self.gateway.snapshot();
        let arrival = Arrival::of(&snapshot, &mut request);
        let (id, method) = (arrival.id.to_str().unwrap_or_default(), arrival.method.as_str());
        debug!(request_id = id, method, path = arrival.uri.path(), "a request begins");
        let recorded = snapshot.observers.as_ref().map(|observers| {
            let trace = traces::place(&snapshot, self.operator, &mut request);
            let record = Record::begin(arrival.recorded(&request, trace), observers);
            record.attach(request.extensions_mut());
            (Unanswered::new(Arc::clone(&record)), record)
        });
        let response = if self.operator {
            let road = Arc::new(OperatorRoad(Arc::clone(&snapshot)));
            self.pass(&snapshot, &road, arrival, request).await
        } else {
            self.pass(&snapshot, &snapshot, arrival, request).await
        };
        let Some((unanswered, record)) = recorded else { return response };
        if let Some(failed) = Failed::of(&response) {
            failed.tell(&record);
        }
        unanswered.answered(response)
    }

    /// What a handshake is made with that begins now; `None`: plain text is spoken.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<PortTls>> {
        if self.operator { None } else { self.gateway.tls.load_full() }
    }

    /// A connection is open for as long as what is returned lives.
    #[must_use]
    pub fn connected(&self) -> Option<Open> {
        self.gateway.telemetry.as_ref().map(|telemetry| telemetry.own.connected(self.operator))
    }

    /// A connection was refused for this reason, a word.
    pub fn refused(&self, reason: &str) {
        if let Some(telemetry) = &self.gateway.telemetry {
            telemetry.own.refused(reason);
        }
    }

    /// True for the operator's listener.
    #[must_use]
    pub fn is_operators(&self) -> bool {
        self.operator
    }

    /// The same by one snapshot, its calls down a road that need not be the snapshot's own: who explains a request sends
    /// it down one that ends before the destination. Nothing of it is recorded.
    pub(super) fn serve_on<'a, R: Road + 'static>(
        &'a self,
        snapshot: &'a Arc<Snapshot>,
        road: &'a Arc<R>,
        mut request: Request,
    ) -> impl Future<Output = Response> + Send + 'a {
        let arrival = Arrival::of(snapshot, &mut request);
        self.pass(snapshot, road, arrival, request)
    }

    fn pass<'a, R: Road + 'static>(
        &'a self,
        snapshot: &'a Arc<Snapshot>,
        road: &'a Arc<R>,
        arrival: Arrival,
        mut request: Request,
    ) -> impl Future<Output = Response> + Send + 'a {
        // No browser speaks HTTP/2 in plain text, as most of native gRPC's calls come.
        if arrival.protocol != Protocol::Grpc || arrival.secure || arrival.version != Version::HTTP_2 {
            rebinding::note(&mut request);
        }
        // Native gRPC is not spoken by pages: neither CORS nor what browsers are told concerns it.
        let page = match arrival.protocol {
            Protocol::Grpc => None,
            Protocol::GrpcWeb { .. } | Protocol::Mcp | Protocol::Rest => Page::of(snapshot, &request),
        };
        cors::forget_certificate(page.as_ref(), &mut request);
        let answer = match &page {
            Some(page) if page.preflight() => {
                if let Some(record) = Record::of(request.extensions()) {
                    page.tell(&record);
                }
                Ok(Ok(future::ready(page.preflight_answer()).boxed()))
            }
            _ => catch_unwind(AssertUnwindSafe(|| {
                self.answer(snapshot, road, &arrival, page.as_ref(), request)
            })),
        };
        async move {
            let answered = match answer {
                Ok(Ok(answer)) => AssertUnwindSafe(answer).catch_unwind().await.map(Ok),
                Ok(Err(status)) => Ok(Err(status)),
                Err(panic) => Err(panic),
            };
            let answered = answered.unwrap_or_else(|_| {
                let id = arrival.id.to_str().unwrap_or_default();
                error!(path = arrival.uri.path(), request_id = id, "a request's handler panicked");
                Err(Status::internal("the gateway failed; its log has the request id"))
            });
            let mut response = match answered {
                Ok(response) => response,
                // Boxed, as it is rare: what a request may become is moved along with it.
                Err(status) => Box::pin(arrival.refuse(snapshot, status)).await,
            };
            let headers = response.headers_mut();
            // Native gRPC has no use for them: no browser speaks it.
            if arrival.protocol != Protocol::Grpc {
                headers::secure(&snapshot.config, arrival.secure, headers);
                headers::time(arrival.at, headers);
                cors::tell(snapshot, page.as_ref(), headers);
            }
            headers.insert(REQUEST_ID, arrival.id);
            response
        }
    }

    /// The answer to a client of HTTP/1.1 whose request has no head that can be read.
    pub async fn refuse_head(&self, fault: HeadFault, peer: Peer) -> Response {
        let snapshot = self.gateway.snapshot();
        self.refuse_unread(&snapshot, fault.status(&snapshot.config), Some(peer)).await
    }

    /// The answer to a client of HTTP/1.1 whose connection is over a cap, for the reason that is given.
    pub async fn refuse_connection(&self, why: &str) -> Response {
        let details = ErrorDetails::with_retry_info(Some(CONNECT_AGAIN));
        let message = format!("too many connections: {why}");
        let status = Status::with_error_details(Code::Unavailable, message, details);
        self.refuse_unread(&self.gateway.snapshot(), status, None).await
    }

    /// Refuses what no request was read of. It is recorded where it is known whose it was: as a request of no method, for nothing.
    async fn refuse_unread(&self, snapshot: &Snapshot, status: Status, peer: Option<Peer>) -> Response {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from_static("*");
        if let Ok(unread) = Method::from_bytes(UNREAD.as_bytes()) {
            *request.method_mut() = unread;
        }
        let observers = snapshot.observers.as_ref().filter(|_| peer.is_some());
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let arrival = Arrival::of(snapshot, &mut request);
        let record = observers.map(|observers| Record::begin(arrival.recorded(&request, None), observers));
        if let Some(record) = &record {
            record.failed(status.code(), status.message());
        }
        let unanswered = record.map(Unanswered::new);
        let mut response = arrival.refuse(snapshot, status).await;
        headers::secure(&snapshot.config, arrival.secure, response.headers_mut());
        response.headers_mut().insert(REQUEST_ID, arrival.id);
        match unanswered {
            Some(unanswered) => unanswered.answered(response),
            None => response,
        }
    }

    /// Serves a request by the page or the surface it is for.
    ///
    /// # Errors
    /// What is refused before any surface sees it.
    fn answer<'a, R: Road + 'static>(
        &'a self,
        snapshot: &'a Arc<Snapshot>,
        road: &'a Arc<R>,
        arrival: &Arrival,
        page: Option<&Page<'_>>,
        request: Request,
    ) -> Result<BoxFuture<'a, Response>, Status> {
        framing::check(&request)?;
        bounded(&snapshot.config, &request)?;
        asked_of(snapshot, &request)?;
        if let Some(page) = page.filter(|_| surface::rest::is_socket(&request)) {
            page.may_open_sockets()?;
        }
        Ok(match arrival.protocol {
            Protocol::Grpc => Box::pin(surface::serve(&snapshot.grpc, &**road, request)),
            Protocol::GrpcWeb { .. } => Box::pin(surface::serve(&snapshot.grpc_web, &**road, request)),
            Protocol::Mcp => match snapshot.mcp_at(request.uri().path()) {
                Some(mcp) if !self.operator => {
                    let page = cors::may_use_tools(snapshot, page, &request);
                    Box::pin(mcp.serve(road, request, page))
                }
                _ => return Err(operator::elsewhere(request.uri().path())),
            },
            Protocol::Rest => {
                let refused = |why| Fault::client().on(Status::invalid_argument(why));
                path::readable(request.uri().path()).map_err(refused)?;
                match pages::find(snapshot, request.uri().path()) {
                    Some(found) if self.operator && !found.is_operators() => {
                        return Err(operator::elsewhere(request.uri().path()));
                    }
                    // What the operator's listener has is admitted as everywhere.
                    Some(found) if self.operator => {
                        Box::pin(pages::serve(&self.gateway, snapshot, &**snapshot, found, request))
                    }
                    Some(found) => Box::pin(pages::serve(&self.gateway, snapshot, &**road, found, request)),
                    None => snapshot.rest.serve(road, request),
                }
            }
        })
    }
}

/// Refuses headers over the limit.
fn bounded(config: &Config, request: &Request) -> Result<(), Status> {
    let header_bytes: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let most = usize::try_from(config.header_bytes).unwrap_or(usize::MAX);
    if header_bytes > most {
        let message = format!("the headers of the request are {header_bytes} bytes; the limit is {most}");
        return Err(refuse(Refusal::HeadersTooLarge, message));
    }
    Ok(())
}

/// Refuses a request for a host that is none of the config's. Who probes has but an address, and may ask by it.
fn asked_of(snapshot: &Snapshot, request: &Request) -> Result<(), Status> {
    let hosts = &snapshot.config.hosts;
    if hosts.is_empty() || pages::is_probe(snapshot, request) {
        return Ok(());
    }
    let host = Asked::of(request.uri(), request.headers()).host().unwrap_or_default();
    if hosts.iter().any(|known| known.is(host)) {
        return Ok(());
    }
    let message = format!("the host {} is not served here", status::shown(host));
    Err(Fault::client().on(Status::invalid_argument(message)))
}

/// What is kept of a request's head: enough to refuse it in its own protocol when it is gone.
struct Arrival {
    at: Instant,
    protocol: Protocol,
    id: HeaderValue,
    method: Method,
    uri: Uri,
    version: Version,
    content_type: Option<HeaderValue>,
    /// It came by TLS.
    secure: bool,
}

impl Arrival {
    fn of(snapshot: &Snapshot, request: &mut Request) -> Self {
        Self {
            at: Instant::now(),
            id: request_id::of(request.headers_mut()),
            protocol: snapshot.protocol_of(request),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            content_type: request.headers().get(header::CONTENT_TYPE).cloned(),
            secure: surface::peer(request.extensions()).secure,
        }
    }

    /// What its record begins with.
    fn recorded(&self, request: &Request, trace: Option<TraceContext>) -> Arrived {
        let header = |name| request.headers().get(name);
        let length = header(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Arrived {
            at: self.at,
            way: match self.protocol {
                Protocol::Grpc => Way::Grpc,
                Protocol::GrpcWeb { .. } => Way::GrpcWeb,
                Protocol::Mcp => Way::Mcp,
                Protocol::Rest => Way::Rest,
            },
            method: self.method.clone(),
            uri: self.uri.clone(),
            version: self.version,
            secure: self.secure,
            peer: request
                .extensions()
                .get::<Peer>()
                .map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.address.ip()),
            host: header(header::HOST).cloned(),
            user_agent: header(header::USER_AGENT).cloned(),
            request_id: self.id.clone(),
            request_bytes: length.and_then(|length| length.parse().ok()),
            trace,
        }
    }

    /// A failure that comes before any surface, or of one that panicked, in the client's protocol.
    async fn refuse(&self, snapshot: &Snapshot, status: Status) -> Response {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = match self.protocol {
            Protocol::Grpc | Protocol::GrpcWeb { .. } => Method::POST,
            Protocol::Mcp | Protocol::Rest => self.method.clone(),
        };
        parts.uri = self.uri.clone();
        parts.version = self.version;
        parts.headers.insert(REQUEST_ID, self.id.clone());
        parts.headers.extend(self.content_type.clone().map(|value| (header::CONTENT_TYPE, value)));
        let request = |parts: request::Parts| Request::from_parts(parts, Body::empty());
        match self.protocol {
            Protocol::Grpc => snapshot.grpc.open(request(parts)).await.0.close(Err(status)).await,
            Protocol::GrpcWeb { .. } => {
                snapshot.grpc_web.open(request(parts)).await.0.close(Err(status)).await
            }
            Protocol::Mcp if let Some(mcp) = snapshot.mcp_at(parts.uri.path()) => mcp.refuse(&parts, &status),
            Protocol::Mcp | Protocol::Rest => snapshot.rest.refuse(parts, &status),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::gateway::Source;

    /// A body whose reader panics.
    struct Broken;

    impl http_body::Body for Broken {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            panic!("a body that cannot be read")
        }
    }

    #[tokio::test]
    async fn a_panic_is_one_requests_failure_in_its_own_protocol() {
        let door = door(&Gateway::start(Config::default(), Source::fixed(Config::default())).await.unwrap());
        let ask = async |content_type: &str| {
            let request = http::Request::post("/propylon.gateway.v1.HealthService/Ping")
                .version(Version::HTTP_2)
                .header(header::CONTENT_TYPE, content_type)
                .header(REQUEST_ID, "mine");
            let response = door.clone().serve(request.body(Body::new(Broken)).unwrap()).await;
            let (head, body) = response.into_parts();
            assert!(body.collect().await.unwrap().to_bytes().is_empty());
            assert_eq!(
                (head.status.as_u16(), &head.headers[REQUEST_ID]),
                (200, &HeaderValue::from_static("mine"))
            );
            assert_eq!(head.headers["grpc-status"], "13", "{content_type}");
        };
        // The second meets a gateway in which a handler has panicked.
        for content_type in ["application/grpc", "application/grpc-web", "application/grpc"] {
            ask(content_type).await;
        }
    }
}
