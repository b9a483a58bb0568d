//! What reaches one endpoint of an HTTP upstream: kept connections of HTTP/1.1, or of HTTP/2; and what became of a request
//! that they gave no response to.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use http::{
    HeaderValue, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST},
};
use http_body::Body as _;
use hyper_util::{
    client::legacy::{Client, Error},
    rt::{TokioExecutor, TokioTimer},
};
use tonic::{Code, Status};

use super::{
    connect::Connect,
    lend::{Lender, Lent},
};
use crate::{
    call::Body,
    dispatch::{
        balance::Reach,
        dial::Dial,
        http2::{self, Pools, UpstreamBody},
        replay::Outgoing,
        worker,
    },
    status::Fault,
};

/// How long a connection without a request is kept.
const IDLE: Duration = Duration::from_secs(60);
/// The most of such connections of one worker.
const MOST_IDLE: usize = 256;

/// The connections of all workers to one endpoint.
pub(super) enum Transport {
    Http1(Box<Clients>),
    Http2(Pools),
}

/// A client for each worker.
pub(super) struct Clients {
    each: Box<[Client<Connect, Lent>]>,
    /// For threads that are no workers.
    others: Client<Connect, Lent>,
}

impl Clients {
    pub(super) fn new(dial: Dial, workers: usize) -> Self {
        let dial = Arc::new(dial);
        let client = || {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(MOST_IDLE)
                .set_host(false)
                .build(Connect(Arc::clone(&dial)))
        };
        Self { each: (0..workers).map(|_| client()).collect(), others: client() }
    }

    fn own(&self) -> &Client<Connect, Lent> {
        worker::index().and_then(|index| self.each.get(index)).unwrap_or(&self.others)
    }
}

/// A request's body, as the upstream's protocol takes it.
pub(super) enum Sent {
    Http1(Lender),
    Http2(Outgoing),
}

impl Sent {
    /// True where it can be sent again from its beginning.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Http1(lender) => lender.is_whole(),
            Self::Http2(outgoing) => outgoing.is_whole(),
        }
    }

    /// Begins it again. False where not all of it is here any more.
    pub(super) fn rewind(&mut self) -> bool {
        match self {
            Self::Http1(lender) => lender.rewind(),
            Self::Http2(outgoing) => outgoing.rewind(),
        }
    }
}

/// A request without a response.
pub(super) struct Lost {
    pub(super) status: Status,
    pub(super) reach: Reach,
}

impl From<Status> for Lost {
    /// What came too late may have been seen.
    fn from(status: Status) -> Self {
        Self { status, reach: Reach::Seen }
    }
}

impl Transport {
    /// Sends a request and waits for its response's head.
    ///
    /// # Errors
    /// What became of it, and how far it came.
    pub(super) async fn send(
        &self,
        mut request: Request<()>,
        sent: &mut Sent,
        label: &Arc<str>,
    ) -> Result<Response<Body>, Lost> {
        match (self, sent) {
            (Self::Http1(clients), Sent::Http1(lender)) => {
                let request = request.map(|()| lender.lend());
                match clients.own().request(request).await {
                    Ok(response) => Ok(response.map(Body::new)),
                    Err(error) => Err(lost(&error, label)),
                }
            }
            (Self::Http2(pools), Sent::Http2(outgoing)) => {
                let lease = pools.lease().await;
                let lease = lease.map_err(|status| Lost { status, reach: Reach::Nowhere })?;
                for_http2(&mut request)?;
                match http2::send(lease, request, outgoing, label).await {
                    Ok(response) => Ok(sized(response).map(Body::new)),
                    Err(http2::Failed { status, unsent }) => {
                        let reach = if unsent { Reach::Unseen } else { Reach::Seen };
                        Err(Lost { status: of_http(status), reach })
                    }
                }
            }
            _ => Err(Status::internal("a request was made for another protocol").into()),
        }
    }
}

/// Its body, which knows how long the head says it is.
fn sized(response: Response<UpstreamBody>) -> Response<UpstreamBody> {
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    response.map(|body| if body.is_end_stream() { body } else { body.of_length(length) })
}

/// Whom it is for is said once, and nothing is said of the connection (RFC 9113, 8.2.2 and 8.3.1).
fn for_http2(request: &mut Request<()>) -> Result<(), Status> {
    request.headers_mut().remove(CONNECTION);
    let host = request.headers_mut().remove(HOST);
    let host = host.as_ref().and_then(|host: &HeaderValue| host.to_str().ok()?.parse().ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.authority = host.or(parts.authority);
    *request.uri_mut() = http::Uri::from_parts(parts).map_err(|error| Status::internal(error.to_string()))?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

/// An HTTP client has no use for what gRPC makes of a reset: the upstream could not answer.
fn of_http(status: Status) -> Status {
    match (status.code(), Fault::of(&status)) {
        (Code::Unavailable | Code::DeadlineExceeded, _) | (_, None) => status,
        (_, Some(fault)) if fault.whose != crate::status::Whose::Upstream => status,
        (_, Some(fault)) => fault.clone().on(Status::unavailable(status.message())),
    }
}

/// What became of a request that has no response.
fn lost(error: &Error, label: &str) -> Lost {
    let broken = |what: fmt::Arguments<'_>, reach| Lost { status: broken(label, what), reach };
    let reach = if error.is_connect() { Reach::Nowhere } else { Reach::Seen };
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(status) = cause.downcast_ref::<Status>() {
            return Lost { status: status.clone(), reach };
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return if error.is_user() {
                // It could not be written down: that says nothing of the upstream.
                let status = Status::internal(format!("the request could not be sent to {label}: {error}"));
                let fault = Fault { refusal: None, whose: crate::status::Whose::Gateway, retry: false };
                Lost { status: fault.on(status), reach }
            } else if error.is_canceled() {
                // It was never taken off the connection's queue.
                broken(format_args!("closed the connection before it was asked"), Reach::Unseen)
            } else if error.is_parse() {
                broken(format_args!("did not answer in HTTP/1.1: {error}"), reach)
            } else if error.is_incomplete_message() || error.is_closed() {
                broken(format_args!("closed the connection before it answered"), reach)
            } else {
                let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                broken(format_args!("lost the connection: {why}"), reach)
            };
        }
        source = cause.source();
    }
    broken(format_args!("did not answer: {error}"), reach)
}

/// UNAVAILABLE, of a request that the upstream may have seen.
pub(super) fn broken(label: &str, what: impl fmt::Display) -> Status {
    Fault::upstream().on(Status::unavailable(format!("{label} {what}")))
}
