//! Sends a request's body to an upstream's stream, no faster than the upstream takes it.
//!
//! While the reply's head is awaited, the caller polls the feed itself: a unary request is sent without a task. What is left
//! of a stream then goes on in a task of its own, so that a client which does not read its replies can still send.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::{
    call::{Body, status_of},
    status::Whose,
};

/// A request's body on its way.
pub(super) enum Feed {
    /// Polled by whoever holds it.
    Held(Sending),
    /// In a task of its own.
    Task(Detached),
}

/// A task that ends with its handle.
pub(super) struct Detached(JoinHandle<Result<(), Status>>);

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The state of a body being sent.
pub(super) struct Sending {
    body: Body,
    stream: SendStream<Bytes>,
    /// What was taken from the body and not yet sent, and whether it is the last.
    pending: Bytes,
    last: bool,
}

impl Feed {
    pub(super) fn new(body: Body, stream: SendStream<Bytes>) -> Self {
        Self::Held(Sending { body, stream, pending: Bytes::new(), last: false })
    }

    /// Ready when everything has been sent, or the upstream takes no more.
    ///
    /// # Errors
    /// What the client did wrong; the upstream's stream has been reset.
    pub(super) fn poll_fed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match self {
            Self::Held(sending) => sending.poll_send(cx),
            Self::Task(task) => Poll::Ready(match ready!(Pin::new(&mut task.0).poll(cx)) {
                Ok(sent) => sent,
                Err(_) => Err(Status::internal("sending the request failed")),
            }),
        }
    }

    /// Lets the rest go on in a task, which ends when the feed is dropped.
    pub(super) fn detach(self) -> Self {
        match self {
            Self::Held(sending) => Self::Task(Detached(tokio::spawn(sending))),
            task @ Self::Task(_) => task,
        }
    }
}

impl Sending {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        loop {
            if !self.pending.is_empty() {
                let Some(capacity) = ready!(self.poll_capacity(cx)) else { return Poll::Ready(Ok(())) };
                let piece = self.pending.split_to(capacity.min(self.pending.len()));
                let end = self.last && self.pending.is_empty();
                if self.stream.send_data(piece, end).is_err() || end {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => {
                    // The upstream has reset the stream if this fails: its reply says so.
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(status_of(error, Whose::Client)));
                }
                Some(Ok(frame)) => {
                    self.pending = frame.into_data().unwrap_or_default();
                    self.last = self.body.is_end_stream();
                    if self.last && self.pending.is_empty() {
                        let _ = self.stream.send_data(Bytes::new(), true);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    /// How many bytes may be sent now; `None` when the stream takes no more.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.stream.reserve_capacity(self.pending.len());
        let capacity = self.stream.capacity();
        if capacity > 0 {
            return Poll::Ready(Some(capacity));
        }
        loop {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(Ok(capacity)) => return Poll::Ready(Some(capacity)),
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}

impl Future for Sending {
    type Output = Result<(), Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_send(cx)
    }
}
