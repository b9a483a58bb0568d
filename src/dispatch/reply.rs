//! Turns whatever answered a call into a [`Reply`]: an error at once is a status, and a body ends with trailers that carry a
//! readable status whatever happened to it ("gRPC over HTTP/2", Responses).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::{deadline_exceeded, feed::Feed};
use crate::{
    call::{Body, Guards, HttpStatus, Reply},
    status::{self, Fault},
};

/// Reads a reply's head. `who` names the one that answered, in messages.
///
/// # Errors
/// The status of a trailers-only reply; what is not gRPC at all.
pub(super) fn read_head(mut head: response::Parts, who: &str) -> Result<Head, Status> {
    let end = status::from_trailers(&head.headers);
    let content_type = head.headers.remove(header::CONTENT_TYPE);
    if let Some(end) = end {
        clean(&mut head.headers);
        return match end {
            Ok(()) => Ok(Head { metadata: head.headers, ended: true }),
            Err(mut status) => {
                status::take_status(&mut head.headers);
                *status.metadata_mut() = tonic::metadata::MetadataMap::from_headers(head.headers);
                Err(status)
            }
        };
    }
    if head.status != StatusCode::OK {
        let message = format!("{who} answered HTTP {} in place of a gRPC status", head.status.as_u16());
        return Err(Fault::upstream().on(Status::new(status::code_of_http(head.status), message)));
    }
    if !content_type.as_ref().is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        let shown =
            content_type.as_ref().map_or("none".into(), |value| String::from_utf8_lossy(value.as_bytes()));
        let message = format!("{who} answered with content-type {shown}, which is not gRPC");
        return Err(Fault::upstream().on(Status::unknown(message)));
    }
    clean(&mut head.headers);
    Ok(Head { metadata: head.headers, ended: false })
}

/// The head of a reply that is not an error.
pub(super) struct Head {
    pub(super) metadata: HeaderMap,
    /// The head has the status already: there is no message.
    pub(super) ended: bool,
}

impl Head {
    /// The reply with its body, which is read from `source`.
    pub(super) fn reply<S: Source>(
        self,
        source: S,
        feed: Option<Feed>,
        http_status: Option<HttpStatus>,
    ) -> Reply {
        let body = if self.ended {
            Body::empty()
        } else {
            Body::new(ReplyBody { source, feed, state: State::Open })
        };
        Reply { metadata: self.metadata, body, http_status, guards: Guards::default() }
    }
}

/// What is of the connection, not of the call.
fn clean(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRAILER);
}

/// Where a reply's body comes from.
pub(super) trait Source: Send + Unpin + 'static {
    /// The next frame; an error is the status that the call ends with.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>>;
    /// Names the one that answers, in messages.
    fn who(&self) -> String;
}

/// A body that never fails and always ends with a status.
struct ReplyBody<S> {
    source: S,
    /// The rest of the request, while it is still being sent.
    feed: Option<Feed>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Open,
    Ended,
}

impl<S: Source> ReplyBody<S> {
    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        status::to_trailers(status, &mut trailers);
        self.state = State::Ended;
        self.feed = None;
        Frame::trailers(trailers)
    }

    fn trailers(&mut self, trailers: HeaderMap) -> Frame<Bytes> {
        match status::check_trailers(&trailers) {
            Ok(()) => {
                self.state = State::Ended;
                Frame::trailers(trailers)
            }
            Err(None) => {
                let message = format!("{} ended its reply without a grpc-status", self.source.who());
                self.end(&Fault::upstream().on(Status::unknown(message)))
            }
            Err(Some(status)) => self.end(&status),
        }
    }
}

impl<S: Source> http_body::Body for ReplyBody<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.state == State::Ended {
            return Poll::Ready(None);
        }
        if let Some(Poll::Ready(fed)) = this.feed.as_mut().map(|feed| feed.poll_fed(cx)) {
            this.feed = None;
            if let Err(status) = fed {
                return Poll::Ready(Some(Ok(this.end(&status))));
            }
        }
        let frame = match std::task::ready!(this.source.poll(cx)) {
            Some(Ok(frame)) => match frame.into_trailers() {
                Ok(trailers) => this.trailers(trailers),
                Err(data) => data,
            },
            Some(Err(status)) => this.end(&status),
            None => this.trailers(HeaderMap::new()),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended
    }
}

/// The same body, cut with DEADLINE_EXCEEDED when the deadline passes; what answers it is dropped then.
pub(super) fn until(body: Body, deadline: Instant) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Until { body: Some(body), sleep: Box::pin(tokio::time::sleep_until(deadline)) })
}

struct Until {
    body: Option<Body>,
    sleep: Pin<Box<Sleep>>,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        std::task::ready!(this.sleep.as_mut().poll(cx));
        this.body = None;
        let mut trailers = HeaderMap::new();
        status::to_trailers(&deadline_exceeded(), &mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
