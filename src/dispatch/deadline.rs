//! The deadline of a call: as the `grpc-timeout` an upstream is told ("gRPC over HTTP/2", `Timeout → "grpc-timeout"
//! TimeoutValue TimeoutUnit`, at most eight digits, units H M S m u n), and over the body of a reply.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until, timeout};
use tonic::Status;

use super::upload::Until;
use crate::status::{Fault, Refusal, refuse, to_trailers};

/// What a call ends with whose deadline passed before something happened at its destination.
pub(super) fn passed(before: &str, destination: impl fmt::Display) -> Status {
    let status =
        Status::deadline_exceeded(format!("the call's deadline passed before {before} ({destination})"));
    Fault::upstream().on(status)
}

/// What a call ends with whose deadline passed while its request was still coming: nothing was sent on.
pub(super) fn not_sent() -> Status {
    refuse(Refusal::RequestTimeout, "the call's deadline passed before its whole request had come")
}

/// DEADLINE_EXCEEDED for an endpoint that took longer than one of its own limits.
pub(super) fn late(label: &str, what: &str, limit: Duration, name: &str) -> Status {
    let status = Status::deadline_exceeded(format!("{label} {what} within {limit:?} ({name})"));
    Fault::upstream().on(status)
}

/// The next part of an endpoint's answer, which may pause so long.
///
/// # Errors
/// DEADLINE_EXCEEDED where it pauses for longer.
pub(super) async fn next_frame<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    idle: Option<Duration>,
    label: &str,
) -> Result<Option<Result<Frame<Bytes>, B::Error>>, Status> {
    match idle {
        None => Ok(body.frame().await),
        Some(idle) => timeout(idle, body.frame()).await.map_err(|_| paused(label, idle)),
    }
}

/// DEADLINE_EXCEEDED for an answer that paused.
pub(super) fn paused(label: &str, idle: Duration) -> Status {
    let status =
        Status::deadline_exceeded(format!("{label} paused in its answer for {idle:?} (idle_timeout)"));
    Fault::upstream().on(status)
}

/// A limit of one step on the way to an endpoint.
pub(super) struct Limit<'a> {
    /// When it is over, and how long it is; `None`: there is none.
    time: Option<(Until, Duration)>,
    name: &'a str,
    what: &'a str,
    label: &'a str,
}

impl<'a> Limit<'a> {
    pub(super) fn new(time: Option<(Until, Duration)>, name: &'a str, what: &'a str, label: &'a str) -> Self {
        Self { time, name, what, label }
    }

    /// Waits for a step.
    ///
    /// # Errors
    /// The step's own; DEADLINE_EXCEEDED, of which the step's kind of failure is made, where it is late.
    pub(super) fn hold<T, E: From<Status>, F: Future<Output = Result<T, E>>>(
        self,
        step: F,
    ) -> Holding<'a, F> {
        Holding { step, limit: self, timer: None }
    }
}

pin_project! {
    /// A step that may take only so long. (Not an `async fn`: that would have a second place for the step, which is what is
    /// large in a call's future.)
    pub(super) struct Holding<'a, F> {
        #[pin]
        step: F,
        limit: Limit<'a>,
        // Made only for a step that has to be waited for.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<T, E: From<Status>, F: Future<Output = Result<T, E>>> Future for Holding<'_, F> {
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let this = self.project();
        if let Poll::Ready(done) = this.step.poll(cx) {
            return Poll::Ready(done);
        }
        let Limit { time, name, what, label } = this.limit;
        let Some((until, limit)) = time else { return Poll::Pending };
        while let Some(again) = until.again() {
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(again)));
            ready!(timer.as_mut().poll(cx));
            // It may be later than it was.
            *this.timer = None;
        }
        Poll::Ready(Err(late(label, what, *limit, name).into()))
    }
}

/// A `grpc-timeout`: in the finest unit whose value has at most five digits, rounded down, never 0. (Dispatch keeps the
/// deadline to the nanosecond. A text that most calls share is one byte by HPACK; one that no two share fills its table.)
pub(super) fn timeout_value(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos().max(1);
    let units = [
        (1, b'n'),
        (1_000, b'u'),
        (1_000_000, b'm'),
        (1_000_000_000, b'S'),
        (60_000_000_000, b'M'),
        (3_600_000_000_000, b'H'),
    ];
    let fits = units.into_iter().map(|(nanos_of_unit, unit)| (nanos / nanos_of_unit, unit));
    let (value, unit) = fits.into_iter().find(|(value, _)| *value <= 99_999).unwrap_or((99_999, b'H'));
    // `value` has one to five digits now, so this is at most six bytes of ASCII.
    let mut digits = itoa::Buffer::new();
    let mut text = Vec::with_capacity(6);
    text.extend_from_slice(digits.format(value).as_bytes());
    text.push(unit);
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("1n"))
}

/// A reply's body that must have ended at a time: a late one ends with DEADLINE_EXCEEDED, and what makes it is dropped.
pub(super) struct Timed<B, D> {
    body: Option<B>,
    sleep: Pin<Box<Sleep>>,
    /// Who is late, in words.
    destination: D,
}

impl<B, D> Timed<B, D> {
    pub(super) fn new(body: B, sleep: Pin<Box<Sleep>>, destination: D) -> Self {
        Self { body: Some(body), sleep, destination }
    }
}

impl<B, D> Body for Timed<B, D>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin,
    D: fmt::Display + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        // The timer comes first: a reply that is always ready must end, too.
        if this.sleep.as_mut().poll(cx).is_pending() {
            return Pin::new(body).poll_frame(cx);
        }
        this.body = None;
        let mut trailers = HeaderMap::new();
        to_trailers(&passed("the reply ended", &this.destination), &mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_five_digits() {
        let check = |left: Duration, want: &str| assert_eq!(timeout_value(left), want, "{left:?}");
        check(Duration::ZERO, "1n");
        check(Duration::from_nanos(1), "1n");
        check(Duration::from_nanos(99_999), "99999n");
        check(Duration::from_nanos(100_999), "100u");
        check(Duration::from_millis(250), "250m");
        check(Duration::from_micros(59_999_993), "59999m");
        check(Duration::from_secs(100), "100S");
        check(Duration::from_secs(100_000), "1666M");
        check(Duration::from_secs(6_000_000_000), "99999H");
        check(Duration::MAX, "99999H");
    }
}
