//! An upstream that speaks gRPC: HTTP/2 by prior knowledge, or over TLS. A call is sent straight into a connection of
//! the current worker's pool: no buffer, no channel and no task stand between.

mod connection;
mod pool;
mod stream;

use std::{fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, Method, Request, Uri, Version,
    uri::{Authority, PathAndQuery, Scheme},
};
use tonic::Status;

pub(super) use self::stream::UpstreamBody;
use self::{connection::Address, pool::Pool};
use super::{
    Tls,
    reply::{self, Opened},
    worker,
};
use crate::call::Frames;

/// What the config says of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name in the config, for messages.
    pub name: Arc<str>,
    /// A host name or an address (IPv6 without brackets).
    pub host: String,
    pub port: u16,
    /// `None`: HTTP/2 in clear by prior knowledge.
    pub tls: Option<Tls>,
    /// The `:authority` of calls; `None`: the host and port.
    pub authority: Option<Authority>,
    /// Sent with each call, in place of what the caller sent under the same names.
    pub metadata: HeaderMap,
    /// For name resolution and TCP, all addresses together.
    pub connect_timeout: Duration,
    /// For TLS and the upstream's HTTP/2 settings.
    pub handshake_timeout: Duration,
    /// How often a connection with calls on it is asked for a sign of life; `None`: never. gRPC servers close
    /// connections that ask more often than they allow (by default every five minutes).
    pub keep_alive_interval: Option<Duration>,
    /// How long a sign of life may take.
    pub keep_alive_timeout: Duration,
    /// How long a connection beyond a worker's first may stay without a call.
    pub idle_timeout: Duration,
    /// The most connections of one worker. Further calls wait for a stream.
    pub max_connections: usize,
}

impl Settings {
    #[must_use]
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        Self {
            name: name.into(),
            host: host.to_owned(),
            port,
            tls: None,
            authority: None,
            metadata: HeaderMap::new(),
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            keep_alive_interval: Some(Duration::from_secs(300)),
            keep_alive_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(90),
            max_connections: 64,
        }
    }
}

/// A gRPC upstream with its connections.
pub struct Upstream {
    /// `upstream "books" (127.0.0.1:9000)`
    label: Arc<str>,
    scheme: Scheme,
    authority: Authority,
    metadata: HeaderMap,
    /// One for each worker.
    pools: Box<[Arc<Pool>]>,
    /// For threads that are no workers.
    others: Arc<Pool>,
}

impl Upstream {
    /// An upstream for `workers` workers (see [`worker::set`]). Nothing connects before the first call.
    ///
    /// # Errors
    /// Says which setting is not usable: a host that cannot be an authority, a CA that cannot be read.
    pub fn new(settings: Settings, workers: usize) -> Result<Self, String> {
        let bracketed = if settings.host.contains(':') {
            format!("[{}]:{}", settings.host, settings.port)
        } else {
            format!("{}:{}", settings.host, settings.port)
        };
        let label: Arc<str> = if *settings.name == *bracketed {
            format!("upstream {bracketed}").into()
        } else {
            format!("upstream {:?} ({bracketed})", settings.name).into()
        };
        let authority = match settings.authority.clone() {
            Some(authority) => authority,
            None => Authority::try_from(bracketed)
                .map_err(|error| format!("{label}: {:?} is not a host: {error}", settings.host))?,
        };
        let scheme = if settings.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let metadata = settings.metadata.clone();
        let address = Arc::new(Address::new(Arc::clone(&label), settings, &authority)?);
        let pool = |_| Arc::new(Pool::new(Arc::clone(&address)));
        let pools = (0..workers).map(pool).collect();
        Ok(Self { label, scheme, authority, metadata, pools, others: pool(workers) })
    }

    /// Sends one call and waits for its reply's head; `headers` are a whole gRPC request's.
    pub(super) async fn call(
        &self,
        path: PathAndQuery,
        mut headers: HeaderMap,
        mut frames: Frames,
    ) -> Result<Opened<UpstreamBody>, Status> {
        for (name, value) in &self.metadata {
            headers.insert(name, value.clone());
        }
        let pool = self.pool();
        // A whole message that the upstream says it has not seen is sent once more.
        if let Frames::Whole(message) = &frames {
            let lease = pool.lease().await?;
            let first = self.request(path.clone(), headers.clone())?;
            match stream::send(lease, first, Frames::Whole(message.clone()), &self.label).await {
                Err(failure) if failure.unsent => {}
                Err(failure) => return Err(failure.status),
                Ok(response) => return reply::open(&self.label, response),
            }
        }
        let lease = pool.lease().await?;
        let request = self.request(path, std::mem::take(&mut headers))?;
        let frames = std::mem::replace(&mut frames, Frames::Whole(bytes::Bytes::new()));
        match stream::send(lease, request, frames, &self.label).await {
            Err(failure) => Err(failure.status),
            Ok(response) => reply::open(&self.label, response),
        }
    }

    fn pool(&self) -> &Arc<Pool> {
        worker::index().and_then(|index| self.pools.get(index)).unwrap_or(&self.others)
    }

    fn request(&self, path: PathAndQuery, headers: HeaderMap) -> Result<Request<()>, Status> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
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
        f.write_str(&self.label)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.label).finish()
    }
}
