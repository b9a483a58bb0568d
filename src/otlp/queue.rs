//! What waits to be sent: bounded, and never waited for. Who has something to say says it or loses it; the loss is counted.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use super::finished::Finished;

/// Calls that have ended and are recorded, each with its spans.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    /// The most spans that wait.
    most: usize,
    /// As many spans are sent at once.
    batch: usize,
    /// Spans that were lost for want of room.
    lost: AtomicU64,
    /// There is a batch.
    due: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: VecDeque<Finished>,
    spans: usize,
}

impl Queue {
    #[must_use]
    pub fn new(most: usize, batch: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            most,
            batch: batch.min(most).max(1),
            lost: AtomicU64::new(0),
            due: Notify::new(),
        }
    }

    /// Takes a call's spans, or loses them.
    pub(super) fn push(&self, call: Finished) {
        let spans = call.spans();
        let mut waiting = self.waiting();
        if waiting.spans + spans > self.most {
            drop(waiting);
            self.lose(spans);
            return;
        }
        let before = waiting.spans;
        waiting.spans += spans;
        waiting.calls.push_back(call);
        drop(waiting);
        // Nobody is woken for each: what is there is looked for now and then.
        if before < self.batch && before + spans >= self.batch {
            self.due.notify_one();
        }
    }

    /// A batch of what waits, the oldest first: at least one call, if there is any.
    pub(super) fn take(&self) -> Vec<Finished> {
        let mut waiting = self.waiting();
        let (mut calls, mut spans) = (Vec::new(), 0);
        while let Some(next) = waiting.calls.front().map(Finished::spans)
            && (calls.is_empty() || spans + next <= self.batch)
        {
            calls.extend(waiting.calls.pop_front());
            spans += next;
        }
        waiting.spans -= spans;
        calls
    }

    /// True where a whole batch waits.
    pub(super) fn is_due(&self) -> bool {
        self.waiting().spans >= self.batch
    }

    /// Waits until a whole batch does.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    pub(super) fn lose(&self, spans: usize) {
        self.lost.fetch_add(spans as u64, Relaxed);
    }

    /// How many spans were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_no_room_is_lost_and_counted() {
        let queue = Queue::new(5, 2);
        for _ in 0..9 {
            queue.push(Finished::example());
        }
        assert_eq!(queue.lost(), 4);
        let sizes: Vec<usize> = std::iter::from_fn(|| Some(queue.take().len()).filter(|n| *n > 0)).collect();
        assert_eq!(sizes, [2, 2, 1]);
        queue.push(Finished::example());
        assert_eq!((queue.lost(), queue.is_due()), (4, false));
        queue.push(Finished::example());
        assert!(queue.is_due());
        queue.due().await;
    }
}
