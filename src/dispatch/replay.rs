//! A request's body on its way to an upstream, kept while it is short, so that it can be sent again from its beginning.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::call::{Body, Frames};

/// What a call sends.
pub(super) enum Outgoing {
    /// All of it is here.
    Whole(Bytes),
    Stream(Replay),
    /// It has gone on to a task of its own.
    Gone,
}

impl Outgoing {
    /// `most`: the longest stream, in bytes, that is kept.
    pub(super) fn new(frames: Frames, most: usize) -> Self {
        match frames {
            Frames::Whole(message) => Self::Whole(message),
            Frames::Stream(body) => Self::Stream(Replay::new(body, most)),
        }
    }

    /// Begins again. False where not all that was sent is still here.
    pub(super) fn rewind(&mut self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Stream(replay) => replay.rewind(),
            Self::Gone => false,
        }
    }

    /// True where it can be sent again from its beginning.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Stream(replay) => replay.whole,
            Self::Gone => false,
        }
    }

    /// How long it is, as far as it has come.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Whole(message) => message.len(),
            Self::Stream(replay) => replay.length,
            Self::Gone => 0,
        }
    }

    /// Nothing needs to be kept any more.
    pub(super) fn forget(&mut self) {
        if let Self::Stream(replay) = self {
            replay.kept.drain(..replay.given);
            (replay.given, replay.most, replay.whole) = (0, 0, false);
        }
    }
}

/// A body that keeps what it has given, up to a length.
pub(super) struct Replay {
    body: Body,
    /// What has come so far, unless that was too much.
    kept: Vec<Bytes>,
    /// How many of these were given since the beginning.
    given: usize,
    length: usize,
    most: usize,
    /// All that has come is kept.
    whole: bool,
    ended: bool,
}

impl Replay {
    fn new(body: Body, most: usize) -> Self {
        Self { body, kept: Vec::new(), given: 0, length: 0, most, whole: true, ended: false }
    }

    fn rewind(&mut self) -> bool {
        self.given = 0;
        self.whole
    }

    fn keep(&mut self, data: &Bytes) {
        self.length = self.length.saturating_add(data.len());
        self.whole &= self.length <= self.most;
        if self.whole {
            self.kept.push(data.clone());
            self.given = self.kept.len();
        } else {
            self.kept = Vec::new();
            self.given = 0;
        }
    }
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(data) = this.kept.get(this.given) {
            this.given += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            None => this.ended = true,
            Some(Err(_)) => this.whole = false,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.keep(data);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.given == self.kept.len() && (self.ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // What is still to be given again comes before what is still to come.
        let again: usize = self.kept.iter().skip(self.given).map(Bytes::len).sum();
        let mut hint = self.body.size_hint();
        if let Some(exact) = hint.exact() {
            hint.set_exact(exact + again as u64);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    fn outgoing(pieces: &[&'static str], most: usize) -> Outgoing {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from(*piece))).collect();
        Outgoing::new(Frames::Stream(Body::from_stream(stream::iter(pieces))), most)
    }

    async fn read(outgoing: &mut Outgoing, frames: usize) -> String {
        let Outgoing::Stream(replay) = outgoing else { panic!() };
        let mut text = String::new();
        for _ in 0..frames {
            let Some(frame) = replay.frame().await else { break };
            text += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
        }
        text
    }

    #[tokio::test]
    async fn what_is_short_is_given_again_from_its_beginning() {
        let mut body = outgoing(&["ab", "cd", "ef"], 6);
        assert_eq!(read(&mut body, 2).await, "abcd");
        assert!(body.rewind());
        assert_eq!(read(&mut body, 9).await, "abcdef");
        assert!(body.rewind());
        assert_eq!((read(&mut body, 9).await.as_str(), body.length()), ("abcdef", 6));
    }

    #[tokio::test]
    async fn what_is_longer_or_broken_is_given_once() {
        let mut body = outgoing(&["ab", "cd", "ef"], 5);
        assert_eq!(read(&mut body, 9).await, "abcdef");
        assert!(!body.rewind());
        let mut forgotten = outgoing(&["ab", "cd"], 5);
        assert_eq!(read(&mut forgotten, 9).await, "abcd");
        assert!(forgotten.rewind());
        assert_eq!(read(&mut forgotten, 1).await, "ab");
        forgotten.forget();
        assert_eq!(read(&mut forgotten, 9).await, "cd", "what is still to be given is still here");
        assert!(!forgotten.is_whole() && !forgotten.rewind());
        let broken = stream::iter([Ok(Bytes::from("ab")), Err(std::io::Error::other("gone"))]);
        let mut broken = Outgoing::new(Frames::Stream(Body::from_stream(broken)), 5);
        let Outgoing::Stream(replay) = &mut broken else { panic!() };
        assert!(replay.frame().await.unwrap().is_ok() && replay.frame().await.unwrap().is_err());
        assert!(!broken.rewind());
    }
}
