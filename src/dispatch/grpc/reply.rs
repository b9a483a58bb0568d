//! The body of a gRPC upstream's reply: held until it is whole, or given on as it comes with the call in it, which is told how
//! it ends.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tonic::{Code, Status};

use crate::{
    call::HEADER_BYTES,
    dispatch::{
        balance::{Asked, Attempts, Failure, Reach, Verdict},
        deadline,
        http2::{Pools, UpstreamBody},
        pause::Pause,
        reply::is_readable,
    },
    status::{Fault, from_trailers},
};

/// What became of holding a reply.
pub(super) enum Held {
    Whole(Whole),
    /// It is longer than what is held: what has come, and the rest.
    Long(Begun, Box<UpstreamBody>),
}

/// What has come of a reply.
#[derive(Default)]
pub(super) struct Begun {
    /// Mostly there is only one piece.
    first: Option<Bytes>,
    others: VecDeque<Bytes>,
    length: usize,
}

/// All of a reply.
pub(super) struct Whole {
    begun: Begun,
    trailers: Option<HeaderMap>,
}

impl Begun {
    fn push(&mut self, data: Bytes) {
        self.length += data.len();
        match &self.first {
            None => self.first = Some(data),
            Some(_) => self.others.push_back(data),
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.others.pop_front())
    }

    /// True where it is just one frame.
    fn is_one_frame(&self) -> bool {
        let bytes = self.first.iter().chain(&self.others).flat_map(|piece| piece.iter());
        let mut header = [0; HEADER_BYTES];
        header.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let [flag, length @ ..] = header;
        flag <= 1 && u32::from_be_bytes(length) as usize == self.length.saturating_sub(HEADER_BYTES)
    }
}

/// Reads a reply to its end, if it is at most `most` bytes.
///
/// # Errors
/// What became of a stream that broke, or paused for too long.
pub(super) async fn hold(
    mut body: UpstreamBody,
    most: usize,
    idle: Option<Duration>,
    label: &str,
) -> Result<Held, Status> {
    let mut begun = Begun::default();
    while let Some(frame) = deadline::next_frame(&mut body, idle, label).await? {
        match frame?.into_data() {
            Ok(data) => begun.push(data),
            Err(trailers) => {
                return Ok(Held::Whole(Whole { begun, trailers: trailers.into_trailers().ok() }));
            }
        }
        if begun.length > most {
            return Ok(Held::Long(begun, Box::new(body)));
        }
    }
    Ok(Held::Whole(Whole { begun, trailers: None }))
}

impl Whole {
    /// What is wrong with it; `None` where it is a reply to be given on.
    pub(super) fn judge(&self, head: &HeaderMap, label: &str, codes: &[Code]) -> Option<Failure> {
        let status = self.trailers.as_ref().and_then(from_trailers).or_else(|| from_trailers(head));
        let broken = |what: &str| {
            let status = Status::unknown(format!("{label} {what}"));
            Some(Failure::new(Fault::upstream().on(status), Reach::Seen))
        };
        match status {
            None => broken("ended its reply without a grpc-status"),
            Some(Ok(())) if self.begun.length == 0 || self.begun.is_one_frame() => None,
            Some(Ok(())) => broken("answered with what is not one message"),
            Some(Err(status)) => {
                let asked = self.trailers.as_ref().and_then(Asked::of_grpc).or_else(|| Asked::of_grpc(head));
                let said = self.trailers.as_ref().is_some_and(said) || said(head);
                Some(of_status(status, said, codes, asked))
            }
        }
    }
}

/// True where these headers, or trailers, hold a failure that can be read: the upstream's own word.
pub(super) fn said(headers: &HeaderMap) -> bool {
    matches!(from_trailers(headers), Some(Err(status)) if is_readable(headers, &status))
}

/// What a status means: what an upstream has `said`, or what was made of its answer.
pub(super) fn of_status(status: Status, said: bool, codes: &[Code], asked: Option<Asked>) -> Failure {
    if !said {
        return Failure { asked, ..Failure::new(status, Reach::Seen) };
    }
    let verdict = verdict(status.code());
    Failure { passing: codes.contains(&status.code()), verdict, asked, status, reach: Reach::Seen, said }
}

/// Other codes are an application's answers.
fn verdict(code: Code) -> Verdict {
    match code {
        Code::Unavailable => Verdict::Bad,
        // Whose deadline it was is not said.
        Code::DeadlineExceeded => Verdict::BadIfFair,
        _ => Verdict::Good,
    }
}

/// A reply's body.
pub(in crate::dispatch) struct Relayed {
    begun: Begun,
    live: Option<Box<Live>>,
    trailers: Option<HeaderMap>,
}

struct Live {
    body: UpstreamBody,
    label: Arc<str>,
    pause: Option<Pause>,
    /// Told how it ends.
    call: Option<Attempts<Pools>>,
}

impl Relayed {
    pub(super) fn whole(whole: Whole) -> Self {
        Self { begun: whole.begun, live: None, trailers: whole.trailers }
    }

    /// What has come of it, and then the rest as it comes.
    pub(super) fn live(begun: Begun, body: UpstreamBody, label: &Arc<str>, idle: Option<Duration>) -> Self {
        let (label, pause) = (Arc::clone(label), Pause::new(idle, None));
        let live = Box::new(Live { body, label, pause, call: None });
        Self { begun, live: Some(live), trailers: None }
    }

    /// Takes the call along, to be told how the reply ends. Gives it back where the reply is here already.
    pub(super) fn carry(&mut self, call: Attempts<Pools>) -> Option<Attempts<Pools>> {
        match &mut self.live {
            Some(live) => {
                live.call = Some(call);
                None
            }
            None => Some(call),
        }
    }
}

impl Live {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let Some(pause) = &mut self.pause else { return Poll::Pending };
            return pause.poll(cx, &self.label).map(|late| Some(Err(late)));
        };
        if let Some(pause) = &mut self.pause {
            pause.moved();
        }
        Poll::Ready(frame)
    }

    /// Tells the call how it ended.
    fn ended(&mut self, last: Option<&Result<Frame<Bytes>, Status>>) {
        let Some(mut call) = self.call.take() else { return };
        let trailers = match last {
            Some(Err(status)) => return call.ended_with(&of_status(status.clone(), false, &[], None)),
            Some(Ok(frame)) => frame.trailers_ref(),
            None => None,
        };
        let failure = match trailers.and_then(from_trailers) {
            Some(Ok(())) => return call.went_well(),
            Some(Err(status)) => of_status(status, trailers.is_some_and(said), &[], None),
            None => {
                let status = Status::unknown(format!("{} ended its reply without a grpc-status", self.label));
                Failure::new(Fault::upstream().on(status), Reach::Seen)
            }
        };
        call.ended_with(&failure);
    }
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(data) = this.begun.pop() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let Some(live) = &mut this.live else {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let frame = std::task::ready!(live.poll(cx));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            live.ended(frame.as_ref());
            // The stream and what it holds go at once.
            this.live = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.begun.first.is_none()
            && self.begun.others.is_empty()
            && self.trailers.is_none()
            && self.live.as_ref().is_none_or(|live| live.body.is_end_stream())
    }
}
