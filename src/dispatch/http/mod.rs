//! An upstream that speaks plain HTTP/1.1, in clear or over TLS. A request goes on as it came, but for what belongs to its
//! hop, with its body as it comes; and so does the response. An upgrade (a WebSocket's, say) becomes a tunnel once the
//! upstream has agreed to it.

mod connect;
mod expect;
mod headers;
mod tunnel;

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE},
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper_util::{
    client::legacy::{Client, Error},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use self::{connect::Connect, headers::Came};
use super::{
    Tls,
    body::Bounded,
    deadline,
    dial::Dial,
    tls::{Connector, Speaks},
    worker,
};
use crate::{
    call::{Body, Guards, HttpHead, HttpStatus, Reply},
    route::{Limits, Proxy},
    status::Fault,
};

/// How long a connection without a request is kept.
const IDLE: Duration = Duration::from_secs(60);
/// The most of such connections of one worker.
const MOST_IDLE: usize = 256;

/// What the config says of an HTTP upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Its name in the config, for messages.
    pub name: Arc<str>,
    /// A host name or an address (IPv6 without brackets).
    pub host: String,
    pub port: u16,
    /// `None`: in clear.
    pub tls: Option<Tls>,
    /// The `Host` of requests; `None`: the host and port.
    pub authority: Option<Authority>,
    /// Sent with each request, in place of what the client sent under the same names.
    pub headers: HeaderMap,
    /// For name resolution and TCP, all addresses together.
    pub connect_timeout: Duration,
    /// For TLS.
    pub handshake_timeout: Duration,
}

/// An HTTP upstream with its connections.
pub struct HttpUpstream {
    settings: HttpSettings,
    dial: Arc<Dial>,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    headers: HeaderMap,
    /// One for each worker.
    clients: Box<[Client<Connect, Bounded>]>,
    /// For threads that are no workers.
    others: Client<Connect, Bounded>,
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
    /// When the response's head must have come.
    pub(super) deadline: Option<Instant>,
    pub(super) guards: Guards,
}

impl HttpUpstream {
    /// An upstream for `workers` workers (see [`worker::set`]). Nothing connects before the first request.
    ///
    /// # Errors
    /// Says which setting is not usable: a host that cannot be an authority, a CA that cannot be read.
    pub fn new(settings: HttpSettings, workers: usize) -> Result<Self, String> {
        let HttpSettings { name, host, port, tls, authority, headers, connect_timeout, handshake_timeout } =
            settings.clone();
        let bracketed =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let label: Arc<str> = format!("upstream {name:?} ({bracketed})").into();
        let wrong = |why: &dyn fmt::Display| format!("{label}: {why}");
        let authority = match authority {
            Some(authority) => authority,
            None => Authority::try_from(bracketed).map_err(|error| wrong(&error))?,
        };
        let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let tls = tls.as_ref().map(|tls| Connector::new(tls, authority.host(), Speaks::Http1)).transpose();
        let tls = tls.map_err(|error| wrong(&error))?;
        let host_header = match (authority.port_u16(), tls.is_some()) {
            (Some(443), true) | (Some(80), false) => authority.host(),
            _ => authority.as_str(),
        };
        let host_header = HeaderValue::try_from(host_header).map_err(|error| wrong(&error))?;
        let dial =
            Arc::new(Dial { label: Arc::clone(&label), host, port, tls, connect_timeout, handshake_timeout });
        let client = |_| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(MOST_IDLE)
                .set_host(false)
                .build(Connect(Arc::clone(&dial)))
        };
        let clients = (0..workers).map(client).collect();
        let others = client(workers);
        Ok(Self { settings, dial, scheme, authority, host: host_header, headers, clients, others })
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
        let Proxied { mut head, mut headers, body, client, secure, limits, deadline, guards } = proxied;
        let path =
            proxy.path_of(&head.uri).map_err(|why| Fault::client().on(Status::invalid_argument(why)))?;
        let came = Came { uri: &head.uri, version: head.version, client, secure };
        self.head(&mut headers, proxy, &came);
        let upgrade = head.upgrade.take();
        if let Some(upgrade) = &upgrade {
            headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, upgrade.protocol.clone());
        }
        let (outgoing, mistake) = Bounded::new(body, limits)?;
        let mut request = Request::new(outgoing);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = self.uri(path)?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        if head.expects && !http_body::Body::is_end_stream(request.body()) {
            request = expect::ask(request);
        }
        let sent = self.client().request(request);
        let answered = match deadline {
            None => sent.await,
            Some(deadline) => tokio::select! {
                biased;
                answered = sent => answered,
                () = sleep_until(deadline) => {
                    return Err(match mistake.get() {
                        Some(mistake) => mistake.clone(),
                        None => deadline::passed("a response came", &self.dial.label),
                    });
                }
            },
        };
        let mut response = answered.map_err(|error| match mistake.get() {
            Some(mistake) => mistake.clone(),
            None => self.failure(&error),
        })?;
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let Some(upgrade) = upgrade else {
                return Err(self.broken("switched to another protocol, which nobody asked for"));
            };
            let upstream = hyper::upgrade::on(&mut response);
            let headers = std::mem::take(response.headers_mut());
            tunnel::open(upgrade, upstream, guards);
            let http_status = Some(HttpStatus(status));
            return Ok(Reply {
                metadata: headers,
                body: Body::empty(),
                http_status,
                guards: Guards::default(),
            });
        }
        let (parts, body) = response.into_parts();
        Ok(Reply {
            metadata: parts.headers,
            body: Body::new(body),
            http_status: Some(HttpStatus(status)),
            guards,
        })
    }

    fn client(&self) -> &Client<Connect, Bounded> {
        worker::index().and_then(|index| self.clients.get(index)).unwrap_or(&self.others)
    }

    fn uri(&self, path: PathAndQuery) -> Result<Uri, Status> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|error| Status::internal(error.to_string()))
    }

    /// Says where the request comes from, and whom it is for.
    fn head(&self, headers: &mut HeaderMap, proxy: &Proxy, came: &Came<'_>) {
        let host = headers::say(headers, came);
        let own = host.filter(|_| proxy.keep_host).unwrap_or_else(|| self.host.clone());
        headers.insert(HOST, own);
        headers.remove(CONTENT_LENGTH);
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }

    /// What became of a request that has no response.
    fn failure(&self, error: &Error) -> Status {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(status) = cause.downcast_ref::<Status>() {
                return status.clone();
            }
            if let Some(error) = cause.downcast_ref::<hyper::Error>() {
                return if error.is_parse() {
                    self.broken(format_args!("did not answer in HTTP/1.1: {error}"))
                } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
                    self.broken("closed the connection before it answered")
                } else {
                    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                    self.broken(format_args!("lost the connection: {why}"))
                };
            }
            source = cause.source();
        }
        self.broken(format_args!("did not answer: {error}"))
    }

    /// UNAVAILABLE, of a request that the upstream may have seen.
    fn broken(&self, what: impl fmt::Display) -> Status {
        Fault::upstream().on(Status::unavailable(format!("{} {what}", self.dial.label)))
    }
}

impl fmt::Display for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.dial.label)
    }
}

impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpUpstream").field(&self.dial.label).finish()
    }
}
