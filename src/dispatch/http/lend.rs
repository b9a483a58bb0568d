//! A request's body that is lent to one attempt after another. HTTP/1.1 connections read it from tasks of their own: an
//! attempt that was given up must not read on while the next one does.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;

use crate::{
    call::status_of,
    dispatch::replay::Outgoing,
    status::{Fault, Whose},
};

/// Lends a body.
pub(super) struct Lender(Arc<Mutex<Shared>>);

struct Shared {
    outgoing: Outgoing,
    /// Which loan is the last.
    loan: u32,
}

impl Lender {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self(Arc::new(Mutex::new(Shared { outgoing, loan: 0 })))
    }

    /// Takes the body back from who has it, and begins it again. False where not all of it is here any more.
    pub(super) fn rewind(&self) -> bool {
        let mut shared = lock(&self.0);
        shared.loan += 1;
        shared.outgoing.rewind()
    }

    /// True where it can be sent again from its beginning.
    pub(super) fn is_whole(&self) -> bool {
        lock(&self.0).outgoing.is_whole()
    }

    /// Lends it to the next attempt.
    pub(super) fn lend(&self) -> Lent {
        let shared = lock(&self.0);
        if let Outgoing::Stream(replay) = &shared.outgoing
            && !replay.is_end_stream()
        {
            return Lent(Some((Arc::clone(&self.0), shared.loan)));
        }
        Lent(None)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body on loan; `None` where there is nothing to it.
pub(super) struct Lent(Option<(Arc<Mutex<Shared>>, u32)>);

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some((shared, loan)) = &self.0 else { return Poll::Ready(None) };
        let mut shared = lock(shared);
        let called_back = shared.loan != *loan;
        match &mut shared.outgoing {
            Outgoing::Stream(replay) if !called_back => Pin::new(replay)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|error| status_of(error, Whose::Client)))),
            _ => {
                let status = Status::cancelled("the request is sent elsewhere");
                Poll::Ready(Some(
                    Err(Fault { refusal: None, whose: Whose::Gateway, retry: false }.on(status)),
                ))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let Some((shared, loan)) = &self.0 else { return true };
        let shared = lock(shared);
        matches!(&shared.outgoing, Outgoing::Stream(replay) if shared.loan == *loan && replay.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some((shared, _)) = &self.0 else { return SizeHint::with_exact(0) };
        match &lock(shared).outgoing {
            Outgoing::Stream(replay) => replay.size_hint(),
            Outgoing::Whole(_) | Outgoing::Gone => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::call::{Body, Frames};

    #[tokio::test]
    async fn a_body_that_was_called_back_gives_nothing_more() {
        let pieces = ["ab", "cd"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let lender = Lender::new(Outgoing::new(Frames::Stream(body), 100));
        let mut first = lender.lend();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert!(lender.rewind());
        assert!(first.frame().await.unwrap().is_err());
        assert_eq!(lender.lend().collect().await.unwrap().to_bytes(), "abcd");
        let nothing = Lender::new(Outgoing::new(Frames::Stream(Body::empty()), 100));
        assert!(nothing.lend().is_end_stream());
    }
}
