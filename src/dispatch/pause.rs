//! How long a response's body may pause: a clock that runs only while somebody waits.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

#[derive(Debug)]
pub(super) struct Pause {
    pub(super) most: Duration,
    /// Made at the first wait: most bodies have come when they are asked for.
    clock: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Pause {
    pub(super) fn new(most: Duration) -> Self {
        Self { most, clock: None, waiting: false }
    }

    /// The body was asked for its next part, which has come.
    pub(super) fn moved(&mut self) {
        self.waiting = false;
    }

    /// The body was asked for its next part, which has not come. Ready when the pause has been too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let most = self.most;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(most)));
        if !std::mem::replace(&mut self.waiting, true) {
            clock.as_mut().reset(Instant::now() + most);
        }
        clock.as_mut().poll(cx)
    }
}
