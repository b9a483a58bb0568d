//! The response of an HTTP upstream: a short one is held until it is whole, so that one that breaks off can be asked for again,
//! or is said to have broken off; any other is given on as it comes, with the call in it, which is told how it ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;

use super::transport::{Transport, broken};
use crate::{
    call::{Body, status_of},
    dispatch::{
        balance::{Attempts, Failure, Reach, Verdict},
        deadline,
        pause::Pause,
    },
    status::{Fault, Whose},
};

/// How long a body may pause that says how long it is, where nothing else is said.
const PAUSE: Duration = Duration::from_secs(60);

/// How long a response says that it is, if that is at most `most` bytes and it has not ended.
pub(super) fn short(body: &Body, most: usize) -> bool {
    let length = body.size_hint().exact();
    !body.is_end_stream() && length.is_some_and(|length| length <= most as u64)
}

/// Reads a short response to its end.
///
/// # Errors
/// UNAVAILABLE: it broke off; DEADLINE_EXCEEDED: it paused for too long.
pub(super) async fn hold(mut body: Body, idle: Option<Duration>, label: &str) -> Result<Body, Status> {
    let idle = idle.or(Some(PAUSE));
    let mut first = None;
    let mut all = BytesMut::new();
    while let Some(frame) = deadline::next_frame(&mut body, idle, label).await? {
        let frame = frame.map_err(|error| broke_off(error, label))?;
        // Trailers of a response that says how long it is are nobody's.
        let Ok(data) = frame.into_data() else { continue };
        match &first {
            None => first = Some(data),
            Some(first) => {
                if all.is_empty() {
                    all.extend_from_slice(first);
                }
                all.extend_from_slice(&data);
            }
        }
    }
    let whole = if all.is_empty() { first.unwrap_or_default() } else { all.freeze() };
    Ok(Body::from(whole))
}

fn broke_off(error: axum::Error, label: &str) -> Status {
    let why = error.to_string();
    let status = status_of(error, Whose::Upstream);
    if Fault::of(&status).is_some_and(|fault| fault.whose == Whose::Upstream)
        && status.message().starts_with(label)
    {
        return status;
    }
    broken(label, format_args!("broke off its response: {why}"))
}

/// A response's body as it comes.
pub(super) struct Relayed {
    body: Body,
    label: Arc<str>,
    pause: Option<Pause>,
    call: Option<Attempts<Transport>>,
}

impl Relayed {
    /// `idle`: how long it may pause; `left`: how long it may be waited for in all. One that does not say how long it is, may go on
    /// for ever; one that does, may pause for a minute where nothing else is said.
    pub(super) fn body(
        body: Body,
        label: &Arc<str>,
        (idle, left): (Option<Duration>, Option<Duration>),
        call: Option<Attempts<Transport>>,
    ) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let ends = body.size_hint().exact().is_some();
        let pause = Pause::new(idle.or(ends.then_some(PAUSE)), left.filter(|_| ends));
        Body::new(Self { body, label: Arc::clone(label), pause, call })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let Some(pause) = &mut self.pause else { return Poll::Pending };
            return pause.poll(cx, &self.label).map(|late| Some(Err(axum::Error::new(late))));
        };
        if let Some(pause) = &mut self.pause {
            pause.moved();
        }
        Poll::Ready(frame)
    }
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let frame = std::task::ready!(this.poll(cx));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                if let Some(mut call) = this.call.take() {
                    let status = broken(&this.label, format_args!("broke off its response: {error}"));
                    let mut failure = Failure::new(status, Reach::Seen);
                    if this.pause.as_ref().is_some_and(Pause::is_over_all) {
                        // Its client may have given it little.
                        failure.verdict = Verdict::BadIfFair;
                    }
                    call.ended_with(&failure);
                }
            }
            None => drop(this.call.take()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
