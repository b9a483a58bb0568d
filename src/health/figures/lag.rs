//! How late workers come to what is due: each has a task that wants to be woken at short intervals, and notes by how much
//! it was woken later. A worker that comes to nothing is as late as its task has been waiting.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Finding, state};
use crate::health::Settings;

/// How often a task wants to be woken.
const EVERY: Duration = Duration::from_millis(250);
/// The latest of this time counts, and of the one before.
const WINDOW: Duration = Duration::from_secs(5);

/// The lag of all workers.
#[derive(Debug)]
pub struct Lag {
    workers: Mutex<Vec<Arc<Worker>>>,
    /// The zero of the tasks' clocks.
    begun: Instant,
}

impl Default for Lag {
    fn default() -> Self {
        Self { workers: Mutex::default(), begun: Instant::now() }
    }
}

/// One worker's, in microseconds.
#[derive(Debug, Default)]
struct Worker {
    /// When its task wants to be woken.
    due: AtomicU64,
    /// The latest in this window, and in the one before.
    now: AtomicU64,
    before: AtomicU64,
}

/// What the workers have in common: how many there are, and the latest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Worst {
    workers: usize,
    lag: Duration,
}

/// A worker is gone with its task.
struct Gone<'a>(&'a Lag, Arc<Worker>);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.workers().retain(|worker| !Arc::ptr_eq(worker, &self.1));
    }
}

impl Lag {
    /// Watches the runtime that it runs on, until it is dropped.
    pub async fn watch(&self) {
        let worker = Arc::new(Worker::default());
        let mut window = Instant::now();
        worker.due.store(self.micros(window + EVERY), Relaxed);
        self.workers().push(Arc::clone(&worker));
        let _gone = Gone(self, Arc::clone(&worker));
        loop {
            let due = Instant::now() + EVERY;
            worker.due.store(self.micros(due), Relaxed);
            sleep(EVERY).await;
            let now = Instant::now();
            if now.duration_since(window) >= WINDOW {
                worker.before.store(worker.now.swap(0, Relaxed), Relaxed);
                window = now;
            }
            worker.now.fetch_max(micros(now.saturating_duration_since(due)), Relaxed);
        }
    }

    /// The latest of all workers; `None` where none is watched.
    pub(super) fn worst(&self) -> Option<Worst> {
        let now = self.micros(Instant::now());
        let workers = self.workers();
        let of = |worker: &Arc<Worker>| {
            let waiting = now.saturating_sub(worker.due.load(Relaxed));
            waiting.max(worker.now.load(Relaxed)).max(worker.before.load(Relaxed))
        };
        let lag = Duration::from_micros(workers.iter().map(of).max()?);
        Some(Worst { workers: workers.len(), lag })
    }

    fn micros(&self, at: Instant) -> u64 {
        micros(at.saturating_duration_since(self.begun))
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What the lag means.
pub(super) fn judge(worst: Worst, settings: &Settings) -> Finding {
    let milliseconds = |time: Duration| (time.as_secs_f64() * 1e5).round() / 100.0;
    let of = |time: Option<Duration>| time.map(milliseconds);
    let lag = milliseconds(worst.lag);
    Finding {
        state: state(lag, of(settings.degraded.lag), of(settings.unhealthy.lag)),
        message: format!("what is due waits {lag} ms at most"),
        details: vec![("lag_ms", lag.into()), ("workers", (worst.workers as f64).into())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    #[tokio::test]
    async fn a_worker_that_is_held_up_is_seen_while_it_is_and_for_a_while_after() {
        let lag = Arc::new(Lag::default());
        assert_eq!(lag.worst(), None);
        let watched = Arc::clone(&lag);
        let watching = tokio::spawn(async move { watched.watch().await });
        tokio::task::yield_now().await;
        assert_eq!(lag.worst().unwrap().workers, 1);
        // Nothing else runs on this thread meanwhile.
        let held = EVERY + Duration::from_millis(400);
        std::thread::sleep(held);
        assert!(lag.worst().unwrap().lag >= Duration::from_millis(390), "{:?}", lag.worst());
        sleep(EVERY + EVERY).await;
        assert!(lag.worst().unwrap().lag >= Duration::from_millis(390), "{:?}", lag.worst());
        watching.abort();
        let _ = watching.await;
        assert_eq!(lag.worst(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_long_ago_counts_no_more() {
        let lag = Arc::new(Lag::default());
        let watched = Arc::clone(&lag);
        tokio::spawn(async move { watched.watch().await });
        tokio::task::yield_now().await;
        tokio::time::advance(EVERY + Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        assert!(lag.worst().unwrap().lag >= Duration::from_secs(1));
        sleep(WINDOW * 3).await;
        assert!(lag.worst().unwrap().lag < Duration::from_millis(10), "{:?}", lag.worst());
    }

    #[test]
    fn a_lag_is_judged() {
        let settings = Settings::default();
        let of = |millis| judge(Worst { workers: 2, lag: Duration::from_millis(millis) }, &settings);
        assert_eq!(
            [of(1).state, of(250).state, of(5000).state],
            [State::Healthy, State::Degraded, State::Unhealthy]
        );
        assert_eq!(of(3).message, "what is due waits 3 ms at most");
    }
}
