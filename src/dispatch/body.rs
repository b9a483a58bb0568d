//! The body of an HTTP request as it is read here: within its limit, at its pace, and the client's own mistakes kept apart
//! from what an upstream makes of them.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;

use super::{request::Mistake, upload::Upload};
use crate::{
    call::{Body, Pace, status_of},
    route::Limits,
    status::{Refusal, Whose, refuse},
};

/// What is taken of a client's body.
pub(super) struct Bounded {
    body: Body,
    limit: usize,
    left: usize,
    pace: Pace,
    mistake: Mistake,
    /// Told how far it has come.
    upload: Option<Arc<Upload>>,
    /// Nothing is read before this.
    wait: Option<BoxFuture<'static, ()>>,
}

impl Bounded {
    /// # Errors
    /// 413 for a body that says itself that it is too long.
    pub(super) fn new(body: Body, limits: Limits) -> Result<(Self, Mistake), Status> {
        let limit = limits.request_bytes;
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large(limit));
        }
        let mistake = Mistake::default();
        let pace = Pace::new(limits.request_pause);
        let bounded =
            Self { body, limit, left: limit, pace, mistake: Arc::clone(&mistake), upload: None, wait: None };
        Ok((bounded, mistake))
    }

    /// Reads nothing before something has happened.
    pub(super) fn after(self, wait: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { wait: Some(Box::pin(wait)), ..self }
    }

    /// How far it has come from now on; `None`: there is nothing to it.
    pub(super) fn watch(&mut self) -> Option<Arc<Upload>> {
        self.upload = (!self.body.is_end_stream()).then(Upload::begin);
        self.upload.clone()
    }

    fn fail(&self, status: Status) -> Status {
        self.mistake.get_or_init(|| status).clone()
    }
}

fn too_large(limit: usize) -> Status {
    refuse(Refusal::TooLarge, format!("the request's body is over the limit of {limit} bytes"))
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(wait) = &mut this.wait {
            ready!(wait.as_mut().poll(cx));
            this.wait = None;
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if let Some(upload) = &this.upload {
                upload.waits();
            }
            return this.pace.poll_pause(cx).map(|late| Some(Err(this.fail(late))));
        };
        this.pace.moved();
        if let Some(upload) = &this.upload {
            upload.moved();
        }
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = frame.map_err(|error| status_of(error, Whose::Client)).and_then(|frame| {
            let length = frame.data_ref().map_or(0, Bytes::len);
            this.left = this.left.checked_sub(length).ok_or_else(|| too_large(this.limit))?;
            Ok(frame)
        });
        Poll::Ready(Some(frame.map_err(|status| this.fail(status))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
