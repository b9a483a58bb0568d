//! How long a client's body may pause: the clock of one body, which runs only while somebody waits for it.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::status::{Refusal, refuse};

/// The clock of one body.
#[derive(Debug)]
pub struct Pace {
    pause: Duration,
    /// Made at the first wait: most bodies have come when they are asked for.
    clock: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Pace {
    /// For a body that may pause so long.
    #[must_use]
    pub fn new(pause: Duration) -> Self {
        Self { pause, clock: None, waiting: false }
    }

    /// The body was asked for its next part, which has come.
    pub fn moved(&mut self) {
        self.waiting = false;
    }

    /// The body was asked for its next part, which has not come.
    ///
    /// Ready when the pause has been too long, with a refusal that says so (408, DEADLINE_EXCEEDED).
    pub fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let pause = self.pause;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(pause)));
        if !std::mem::replace(&mut self.waiting, true) {
            clock.as_mut().reset(Instant::now() + pause);
        }
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(refuse(Refusal::RequestTimeout, format!("the request's body paused for {pause:?}")))
    }
}
