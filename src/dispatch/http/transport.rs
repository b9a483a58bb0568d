//! What reaches one endpoint of an HTTP upstream: kept connections of HTTP/1.1, or of HTTP/2; and what became of a request
//! that they gave no response to.

use std::{error::Error as _, fmt, sync::Arc};

use http::{
    HeaderValue, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST},
};
use http_body::Body as _;
use tonic::{Code, Status};

use super::{
    kept::{Connections, NoAnswer},
    lend::Lender,
};
use crate::{
    call::Body,
    dispatch::{
        balance::Reach,
        http2::{self, Pools, UpstreamBody},
        replay::Outgoing,
    },
    status::Fault,
};

/// The connections of all workers to one endpoint.
pub(super) enum Transport {
    Http1(Box<Connections>),
    Http2(Pools),
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
            (Self::Http1(connections), Sent::Http1(lender)) => {
                for_http1(&mut request);
                connections.send(request.map(|()| lender.lend())).await.map_err(|why| match why {
                    NoAnswer::Unconnected(status) => Lost { status, reach: Reach::Nowhere },
                    NoAnswer::Broken(error) => lost(&error, label),
                })
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

/// Its path is all that is said of its address (RFC 9112, 3.2.1): the rest is the Host's.
fn for_http1(request: &mut Request<()>) {
    let path = std::mem::take(request.uri_mut()).into_parts().path_and_query;
    *request.uri_mut() = path.map(http::Uri::from).unwrap_or_default();
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
fn lost(error: &hyper::Error, label: &str) -> Lost {
    let broken = |what: fmt::Arguments<'_>, reach| Lost { status: broken(label, what), reach };
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(status) = cause.downcast_ref::<Status>() {
            return Lost { status: status.clone(), reach: Reach::Seen };
        }
        source = cause.source();
    }
    if error.is_user() {
        // It could not be written down: that says nothing of the upstream.
        let status = Status::internal(format!("the request could not be sent to {label}: {error}"));
        let fault = Fault { refusal: None, whose: crate::status::Whose::Gateway, retry: false };
        Lost { status: fault.on(status), reach: Reach::Seen }
    } else if error.is_canceled() {
        // It was never taken off the connection's queue.
        broken(format_args!("closed the connection before it was asked"), Reach::Unseen)
    } else if error.is_parse() {
        broken(format_args!("did not answer in HTTP/1.1: {error}"), Reach::Seen)
    } else if error.is_incomplete_message() || error.is_closed() {
        broken(format_args!("closed the connection before it answered"), Reach::Seen)
    } else {
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        broken(format_args!("lost the connection: {why}"), Reach::Seen)
    }
}

/// UNAVAILABLE, of a request that the upstream may have seen.
pub(super) fn broken(label: &str, what: impl fmt::Display) -> Status {
    Fault::upstream().on(Status::unavailable(format!("{label} {what}")))
}
