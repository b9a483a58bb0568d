//! How long a response's body may be waited for: at a time, and in all. The clock runs only while somebody waits for the
//! upstream, so that a client which takes its time has as much as it likes.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use super::deadline;

#[derive(Debug)]
pub(super) struct Pause {
    /// At a time.
    most: Option<Duration>,
    /// What is left of all.
    left: Option<Duration>,
    /// Made at the first wait: most bodies have come when they are asked for.
    clock: Option<Pin<Box<Sleep>>>,
    since: Option<Instant>,
    late: bool,
}

impl Pause {
    /// `most`: at a time; `left`: in all; `None` where it may be for ever.
    pub(super) fn new(most: Option<Duration>, left: Option<Duration>) -> Option<Self> {
        (most.is_some() || left.is_some()).then_some(Self {
            most,
            left,
            clock: None,
            since: None,
            late: false,
        })
    }

    /// True once it has been waited for too long in all.
    pub(super) fn is_over_all(&self) -> bool {
        self.late
    }

    /// The body was asked for its next part, which has come.
    pub(super) fn moved(&mut self) {
        if let (Some(since), Some(left)) = (self.since.take(), &mut self.left) {
            *left = left.saturating_sub(since.elapsed());
        }
    }

    /// The body was asked for its next part, which has not come. Ready when it has been waited for too long, with
    /// DEADLINE_EXCEEDED; `label`: who is waited for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, label: &str) -> Poll<Status> {
        let Some(most) = self.most.into_iter().chain(self.left).min() else { return Poll::Pending };
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(most)));
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            clock.as_mut().reset(now + most);
        }
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(match self.most {
            Some(pause) if pause <= most => deadline::paused(label, pause),
            _ => {
                self.late = true;
                deadline::passed("the response ended", label)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_counts_is_the_time_that_somebody_waits() {
        let second = Duration::from_secs(1);
        assert!(Pause::new(None, None).is_none());
        let mut pause = Pause::new(Some(3 * second), Some(4 * second)).unwrap();
        let begun = Instant::now();
        let said = poll_fn(|cx| pause.poll(cx, "it")).await;
        assert_eq!(
            (begun.elapsed(), said.message(), pause.is_over_all()),
            (3 * second, "it paused in its answer for 3s (idle_timeout)", false)
        );
        pause.moved();
        // Nobody asks for more for a while.
        sleep(100 * second).await;
        let begun = Instant::now();
        let said = poll_fn(|cx| pause.poll(cx, "it")).await;
        let why = "the call's deadline passed before the response ended (it)";
        assert_eq!((begun.elapsed(), said.message(), pause.is_over_all()), (second, why, true));
    }
}
