//! A gRPC upstream: calls over HTTP/2 on a small pool of connections for each worker.
//!
//! The pool speaks `h2` itself. A client over hyper hands each request through a channel to the connection's task and
//! sends its body from a task of its own; here the caller sends it, which costs neither, and sees the peer's SETTINGS.

mod connect;
mod pool;

use std::{
    fmt,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Frame;
use tokio::time::Instant;
use tonic::{Code, Status};

use self::{
    connect::Connector,
    pool::{Lease, Pool},
};
use super::{
    feed::Feed,
    reply::{self, Source},
    worker,
};
use crate::{
    call::{Frames, Reply},
    status::Fault,
};

/// How an upstream is reached.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name in the config.
    pub name: Arc<str>,
    pub host: String,
    pub port: u16,
    /// TLS with HTTP/2 by ALPN; else HTTP/2 with prior knowledge.
    pub tls: bool,
    /// `:authority` and the TLS server name, where they differ from the address.
    pub authority: Option<String>,
    /// PEM file of the certificate authorities to trust in place of the machine's own.
    pub ca: Option<PathBuf>,
    /// The longest a TCP connect may take.
    pub connect_timeout: Duration,
    /// The longest the handshakes of TLS and HTTP/2 may take together.
    pub handshake_timeout: Duration,
}

/// A gRPC upstream.
pub struct Upstream {
    connector: Arc<Connector>,
    authority: Authority,
    /// One for each worker, and a last one for every other thread.
    pools: Box<[Pool]>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.connector.who).finish()
    }
}

impl Upstream {
    /// An upstream for this many workers. Nothing is connected yet.
    ///
    /// # Errors
    /// The address, the authority or the CA file cannot be used; the message says why.
    pub fn new(settings: &Settings, workers: usize) -> Result<Self, String> {
        let host =
            if settings.host.contains(':') { format!("[{}]", settings.host) } else { settings.host.clone() };
        let address = format!("{host}:{}", settings.port);
        let authority = settings.authority.clone().unwrap_or_else(|| address.clone());
        let authority = authority.parse().map_err(|error| format!("authority {authority:?}: {error}"))?;
        let connector = Arc::new(Connector::new(settings, &address, &authority)?);
        Ok(Self { connector, authority, pools: (0..=workers).map(|_| Pool::default()).collect() })
    }

    /// Names it in messages: `upstream "books" (127.0.0.1:9000)`.
    pub(super) fn who(&self) -> &str {
        &self.connector.who
    }

    /// Sends a call and waits for the head of its reply.
    ///
    /// # Errors
    /// UNAVAILABLE where the upstream cannot be reached or the connection breaks; the client's own fault in a streamed
    /// message; the upstream's status.
    pub async fn call(
        &self,
        path: PathAndQuery,
        metadata: HeaderMap,
        deadline: Option<Instant>,
        frames: Frames,
    ) -> Result<Reply, Status> {
        let head = self.head(path, metadata, deadline)?;
        match frames {
            Frames::Stream(body) => {
                let (response, stream, lease) = self.open(head, false).await?;
                self.exchange(response, Some(Feed::new(body, stream)), lease).await
            }
            Frames::Whole(bytes) => {
                let first = self.send_whole(head.clone(), bytes.clone()).await;
                match first {
                    // It never reached the application: once more, on a connection that takes it.
                    Err(status) if Fault::of(&status).is_some_and(|fault| fault.retry) => {
                        self.send_whole(head, bytes).await
                    }
                    outcome => outcome,
                }
            }
        }
    }

    async fn send_whole(&self, head: Request<()>, bytes: Bytes) -> Result<Reply, Status> {
        let (response, mut stream, lease) = self.open(head, false).await?;
        // Kept by h2 until the upstream's window allows it; a stream that was reset says so in its response.
        let _ = stream.send_data(bytes, true);
        self.exchange(response, None, lease).await
    }

    async fn open(
        &self,
        head: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>, Lease), Status> {
        let pool = self.pools.get(worker::index().unwrap_or(usize::MAX)).or(self.pools.last());
        let Some(pool) = pool else { return Err(Status::internal("the upstream has no pool")) };
        let (mut sender, lease) = pool.take(&self.connector).await?;
        match sender.send_request(head, end) {
            Ok((response, stream)) => Ok((response, stream, lease)),
            Err(error) => Err(self.broken(&error, true)),
        }
    }

    async fn exchange(
        &self,
        mut response: ResponseFuture,
        mut feed: Option<Feed>,
        lease: Lease,
    ) -> Result<Reply, Status> {
        let response = std::future::poll_fn(|cx| {
            if let Some(Poll::Ready(fed)) = feed.as_mut().map(|feed| feed.poll_fed(cx)) {
                feed = None;
                fed?;
            }
            Pin::new(&mut response).poll(cx).map(|head| head.map_err(|error| self.broken(&error, false)))
        });
        let (head, stream): (_, RecvStream) = Response::into_parts(response.await?);
        let ended = stream.is_end_stream();
        let head = reply::read_head(head, &self.connector.who)?;
        if ended && !head.ended {
            let message = format!("{} ended its reply without a grpc-status", self.connector.who);
            return Err(Fault::upstream().on(Status::unknown(message)));
        }
        let body = UpstreamBody { stream, connector: Arc::clone(&self.connector), data: true, _lease: lease };
        Ok(head.reply(body, feed.map(Feed::detach), None))
    }

    fn head(
        &self,
        path: PathAndQuery,
        metadata: HeaderMap,
        deadline: Option<Instant>,
    ) -> Result<Request<()>, Status> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(if self.connector.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(path);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            Uri::from_parts(uri).map_err(|error| Status::invalid_argument(format!("the path: {error}")))?;
        let headers = request.headers_mut();
        *headers = metadata;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if let Some(deadline) = deadline {
            headers.insert("grpc-timeout", timeout(deadline.saturating_duration_since(Instant::now())));
        }
        Ok(request)
    }

    fn broken(&self, error: &h2::Error, unsent: bool) -> Status {
        status_of(error, &self.connector.who, unsent)
    }
}

/// What a broken stream means ("gRPC over HTTP/2", Errors). The fault says whether the call may be sent again.
fn status_of(error: &h2::Error, who: &str, unsent: bool) -> Status {
    let (code, what, unprocessed) = match error.reason() {
        // A GOAWAY reaches only the streams that the upstream has not begun.
        _ if error.is_go_away() && error.is_remote() => (Code::Unavailable, "is going away", true),
        Some(Reason::REFUSED_STREAM) => (Code::Unavailable, "refused the stream", true),
        Some(Reason::CANCEL) if error.is_remote() => (Code::Cancelled, "cancelled the stream", false),
        Some(Reason::ENHANCE_YOUR_CALM) => (Code::ResourceExhausted, "asked to be called less often", false),
        Some(Reason::INADEQUATE_SECURITY) => (Code::PermissionDenied, "asks for better security", false),
        Some(_) if error.is_reset() => (Code::Internal, "reset the stream", false),
        _ => (Code::Unavailable, "broke the connection", false),
    };
    let fault = if unsent || unprocessed { Fault::upstream().unsent() } else { Fault::upstream() };
    fault.on(Status::new(code, format!("{who} {what}: {error}")))
}

/// What is left of a deadline as `grpc-timeout`: at most five digits, in the smallest unit that fits, rounded up. (The
/// deadline is kept here to the nanosecond; a text that is the same for most calls is one byte by HPACK.)
fn timeout(left: Duration) -> HeaderValue {
    const MOST: u128 = 99_999;
    let units = [("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000)];
    let nanos = left.as_nanos().max(1);
    let (unit, number) = units
        .into_iter()
        .map(|(unit, nanos_each)| (unit, nanos.div_ceil(nanos_each)))
        .find(|(_, number)| *number <= MOST)
        .unwrap_or(("H", MOST));
    HeaderValue::try_from(format!("{number}{unit}")).unwrap_or(HeaderValue::from_static("1n"))
}

/// The body of an upstream's reply.
struct UpstreamBody {
    stream: RecvStream,
    connector: Arc<Connector>,
    /// Data may still come; then trailers.
    data: bool,
    _lease: Lease,
}

impl Source for UpstreamBody {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let who = &self.connector.who;
        if self.data {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Given back as it is handed on: what asks for the next frame has room for it.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(status_of(&error, who, false)))),
                None => self.data = false,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(status_of(&error, who, false))),
        })
    }

    fn who(&self) -> String {
        self.connector.who.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_fits_five_digits() {
        let check = |left: Duration, want: &str| assert_eq!(timeout(left), want, "{left:?}");
        check(Duration::ZERO, "1n");
        check(Duration::from_nanos(99_999), "99999n");
        check(Duration::from_nanos(100_001), "101u");
        check(Duration::from_millis(250), "250m");
        check(Duration::from_secs(60).saturating_sub(Duration::from_micros(7)), "60000m");
        check(Duration::from_secs(100), "100S");
        check(Duration::from_secs(100_000), "1667M");
        check(Duration::from_secs(360_000_000), "99999H");
        check(Duration::MAX, "99999H");
    }
}
