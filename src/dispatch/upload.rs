//! Until when a call may take. What an upstream is given begins when it has the request: the time that a client takes for its
//! body is bounded by the pauses that it may make, not by what its route allows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout_at};

/// How far the body of a request has gone on.
#[derive(Debug)]
pub(super) struct Upload {
    began: Instant,
    /// When its last piece went on, in microseconds after that.
    moved: AtomicU64,
    /// The upstream would take more, and the client has not sent it yet.
    waits: AtomicBool,
}

impl Upload {
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), moved: AtomicU64::new(0), waits: AtomicBool::new(false) })
    }

    /// A piece of it goes on, or its end.
    pub(super) fn moved(&self) {
        let since = Instant::now().saturating_duration_since(self.began);
        self.moved.store(u64::try_from(since.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.waits.store(false, Relaxed);
    }

    /// It is the client's turn.
    pub(super) fn waits(&self) {
        self.waits.store(true, Relaxed);
    }

    /// Since when it is the upstream's turn; `None`: it is the client's.
    fn since(&self) -> Option<Instant> {
        let moved = Duration::from_micros(self.moved.load(Relaxed));
        (!self.waits.load(Relaxed)).then(|| self.began + moved)
    }
}

/// Until when something may take.
#[derive(Debug, Clone)]
pub(super) enum Until {
    At(Instant),
    Sent(Sent),
}

/// So long after the last piece of a body, and after this time.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) upload: Arc<Upload>,
    pub(super) from: Instant,
    pub(super) limit: Duration,
    /// Whatever becomes of the body.
    pub(super) latest: Option<Instant>,
}

impl Until {
    /// `limit` after a time, or after the whole request has gone on.
    pub(super) fn after(from: Instant, limit: Duration, upload: Option<&Arc<Upload>>) -> Self {
        match upload {
            None => Self::At(from + limit),
            Some(upload) => Self::Sent(Sent { upload: Arc::clone(upload), from, limit, latest: None }),
        }
    }

    /// As things are now; `None`: its clock does not run.
    pub(super) fn at(&self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(*at),
            Self::Sent(sent) => {
                let since = sent.upload.since().map(|since| since.max(sent.from) + sent.limit);
                since.into_iter().chain(sent.latest).min()
            }
        }
    }

    /// What is left of it for an answer that begins now.
    pub(super) fn left(&self) -> Duration {
        let limit = match self {
            Self::Sent(sent) => sent.limit,
            Self::At(_) => Duration::ZERO,
        };
        self.at().map_or(limit, |at| at.saturating_duration_since(Instant::now()))
    }

    /// When to look at it again; `None`: it has passed.
    pub(super) fn again(&self) -> Option<Instant> {
        /// How often a client is looked after that is slow to send its body.
        const LOOK: Duration = Duration::from_millis(50);
        let (now, at) = (Instant::now(), self.at());
        if at.is_some_and(|at| at <= now) {
            return None;
        }
        let stands = matches!(self, Self::Sent(sent) if sent.upload.since().is_none());
        let look = stands.then(|| now + LOOK);
        Some(at.into_iter().chain(look).min().unwrap_or(now + LOOK))
    }

    /// Ready when it has passed.
    pub(super) async fn pass(&self) {
        while let Some(again) = self.again() {
            sleep_until(again).await;
        }
    }

    /// Waits for a step; `None` where it takes too long.
    pub(super) async fn hold<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        match self {
            Self::At(at) => timeout_at(*at, step).await.ok(),
            Self::Sent(_) => tokio::select! {
                biased;
                done = step => Some(done),
                () = self.pass() => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_runs_from_the_last_piece_on_and_not_while_the_client_is_to_send_more() {
        let second = Duration::from_secs(1);
        let (begun, upload) = (Instant::now(), Upload::begin());
        let until = Until::after(begun, second, Some(&upload));
        assert_eq!(until.at(), Some(begun + second));
        upload.waits();
        assert_eq!(until.at(), None);
        let passes = tokio::spawn(async move {
            until.pass().await;
            Instant::now()
        });
        for _ in 0..10 {
            sleep(second * 3).await;
            upload.waits();
        }
        upload.moved();
        let last = Instant::now();
        let passed = passes.await.unwrap() - last;
        assert!(passed >= second && passed < second + Duration::from_millis(60), "{passed:?}");
        // What the upstream does not take is its own fault.
        let now = Instant::now();
        let until = Until::after(now, second, Some(&Upload::begin()));
        until.pass().await;
        assert_eq!(now.elapsed(), second);
        let (now, upload) = (Instant::now(), Upload::begin());
        upload.waits();
        let latest = Some(now + 2 * second);
        Until::Sent(Sent { upload, from: now, limit: second, latest }).pass().await;
        assert_eq!(now.elapsed(), 2 * second);
    }
}
