//! Whether a store can be reached: what operations found out, for those that come next, for the health report and for the
//! log. A store that is away is not asked by every call, but by one now and then.

use std::{
    borrow::Cow,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::{Micros, StoreError, StoreHealth};

/// How soon a store that is away is asked again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The target of lines in the log that say that a store was found as it should be.
pub const AT_START: &str = "propylon::start";

/// How a store is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nobody has asked it yet.
    Unknown,
    Up {
        since: Micros,
    },
    Down {
        since: Micros,
        /// Why, as the last who asked was told.
        error: String,
    },
}

/// Stands before one store.
#[derive(Debug)]
pub(super) struct Gate {
    /// `database` or `redis`
    store: &'static str,
    /// Where it is, without its password.
    address: String,
    /// The longest an operation may take, the wait for a connection included.
    limit: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// While it is away: how often it was asked in vain, and when it may be asked again.
    failures: u32,
    next: Instant,
    /// When it last failed to answer who had been let through to find out.
    failed: Option<Instant>,
    /// When it last answered, and how long that took.
    answered: Option<(Instant, Duration)>,
    /// Operations that it answered, that it did not, and how often it was found to be away.
    counts: (u64, u64, u64),
}

impl Gate {
    pub(super) fn new(store: &'static str, address: String, limit: Duration) -> Self {
        let inner = Inner {
            state: State::Unknown,
            failures: 0,
            next: Instant::now(),
            failed: None,
            answered: None,
            counts: (0, 0, 0),
        };
        Self { store, address, limit, inner: Mutex::new(inner) }
    }

    pub(super) fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// How the store is doing, as far as is known.
    pub(super) fn health(&self) -> StoreHealth {
        let inner = self.inner();
        let (answered, failed, outages) = inner.counts;
        StoreHealth {
            answered,
            failed,
            outages,
            store: self.store,
            address: self.address.clone(),
            state: inner.state.clone(),
            latency: inner.answered.map(|(_, took)| took).filter(|_| matches!(inner.state, State::Up { .. })),
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Runs one operation, bounded in time. While the store is away most are refused at once.
    pub(super) async fn run<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.enter()?;
        let begun = Instant::now();
        let result = timeout(self.limit, operation).await.unwrap_or_else(|_| {
            let why = format!("no answer within {} ms", self.limit.as_millis());
            Err(self.away(why))
        });
        match &result {
            Err(StoreError::Away { why, .. }) => Err(self.failed(why, begun)),
            _ => {
                self.answered(begun);
                result
            }
        }
    }

    /// An error that says that the store is away. What comes out of [`Gate::run`] says when to come back.
    pub(super) fn away(&self, why: impl Into<Cow<'static, str>>) -> StoreError {
        StoreError::Away { store: self.store, retry_after: FIRST_PAUSE, why: why.into() }
    }

    /// Lets an operation through, unless the store is away and has been asked a moment ago.
    fn enter(&self) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let State::Down { error, .. } = &inner.state else { return Ok(()) };
        let now = Instant::now();
        if now < inner.next {
            let (retry_after, why) = (inner.next - now, error.clone().into());
            return Err(StoreError::Away { store: self.store, retry_after, why });
        }
        // This one finds out; the others are refused until it has, or has had the time to.
        inner.next = now + self.limit;
        Ok(())
    }

    /// Notes an answer to an operation that began at `begun`.
    fn answered(&self, begun: Instant) {
        let mut inner = self.inner();
        inner.answered = Some((Instant::now(), begun.elapsed()));
        inner.counts.0 += 1;
        if let State::Up { .. } = inner.state {
            return;
        }
        let before = std::mem::replace(&mut inner.state, State::Up { since: Micros::now() });
        inner.failures = 0;
        drop(inner);
        match before {
            State::Down { since, .. } => {
                let away_ms = u64::try_from(Micros::now().since(since).as_millis()).unwrap_or(u64::MAX);
                info!(store = self.store, address = self.address, away_ms, "the store is back");
            }
            _ => info!(target: AT_START, store = self.store, address = self.address, "the store is there"),
        }
    }

    /// Notes a failure of an operation that began at `begun`.
    fn failed(&self, why: &str, begun: Instant) -> StoreError {
        let mut inner = self.inner();
        inner.counts.1 += 1;
        let error =
            |retry_after| StoreError::Away { store: self.store, retry_after, why: why.to_owned().into() };
        // Others were answered in the meantime: this one had bad luck, or the store is slow, but it is there.
        if matches!(inner.state, State::Up { .. }) && inner.answered.is_some_and(|(at, _)| at > begun) {
            return error(FIRST_PAUSE);
        }
        let now = Instant::now();
        // One of those that were on their way when it was found out: they all have failed for one reason, once.
        if matches!(inner.state, State::Down { .. }) && inner.failed.is_some_and(|at| at > begun) {
            return error(inner.next.saturating_duration_since(now).max(FIRST_PAUSE));
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << inner.failures.min(6)).min(LONGEST_PAUSE);
        inner.failures = inner.failures.saturating_add(1);
        (inner.next, inner.failed) = (now + pause, Some(now));
        let since = match inner.state {
            State::Down { since, .. } => since,
            _ => Micros::now(),
        };
        let before = std::mem::replace(&mut inner.state, State::Down { since, error: why.to_owned() });
        inner.counts.2 += u64::from(!matches!(before, State::Down { .. }));
        drop(inner);
        if !matches!(before, State::Down { .. }) {
            warn!(store = self.store, address = self.address, "the store cannot be reached: {why}");
        }
        error(pause)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls a future once.
    async fn pending<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    fn gate() -> Gate {
        Gate::new("database", "here".into(), Duration::from_secs(2))
    }

    async fn fail(gate: &Gate) -> StoreError {
        gate.run::<()>(async { Err(gate.away("refused")) }).await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_less_and_less() {
        let gate = gate();
        assert_eq!(gate.state(), State::Unknown);
        let mut asked = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            let mut reached = false;
            let error = gate
                .run::<()>(async {
                    reached = true;
                    Err(gate.away("refused"))
                })
                .await
                .unwrap_err();
            asked += u32::from(reached);
            let StoreError::Away { retry_after, why, .. } = error else { panic!("{error:?}") };
            assert!(retry_after <= LONGEST_PAUSE && why == "refused");
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!((15..=20).contains(&asked), "asked {asked} times in a minute");
        assert!(matches!(gate.state(), State::Down { error, .. } if error == "refused"));
        tokio::time::advance(LONGEST_PAUSE).await;
        assert_eq!(gate.health().latency, None);
        let slow = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok(7)
        };
        assert_eq!(gate.run(slow).await, Ok(7));
        assert!(matches!(gate.state(), State::Up { .. }));
        assert_eq!(gate.health().latency, Some(Duration::from_millis(30)));
        // And then from the beginning.
        let StoreError::Away { retry_after, .. } = fail(&gate).await else { panic!() };
        assert_eq!(retry_after, FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_finds_out_while_the_others_are_refused() {
        let gate = gate();
        fail(&gate).await;
        tokio::time::advance(FIRST_PAUSE).await;
        let hanging = gate.run::<()>(std::future::pending());
        tokio::pin!(hanging);
        assert!(pending(hanging.as_mut()).await);
        let StoreError::Away { retry_after, .. } = fail(&gate).await else { panic!() };
        assert_eq!(retry_after, Duration::from_secs(2));
        let StoreError::Away { why, .. } = hanging.await.unwrap_err() else { panic!() };
        assert_eq!(why, "no answer within 2000 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn operations_that_fail_together_are_one_failure() {
        let gate = gate();
        gate.run(async { Ok(()) }).await.unwrap();
        // 32 calls within 310 ms, on a store that is frozen meanwhile: the first fails at 2 s, the last at 2.31 s.
        let begun = Instant::now();
        let calls = (0..32).map(|number| {
            let gate = &gate;
            async move {
                tokio::time::sleep(Duration::from_millis(10 * number)).await;
                gate.run::<()>(std::future::pending()).await.unwrap_err()
            }
        });
        let failed = futures_util::future::join_all(calls).await;
        for error in &failed {
            let StoreError::Away { retry_after, .. } = error else { panic!("{error:?}") };
            assert_eq!(*retry_after, FIRST_PAUSE);
        }
        // The next one finds out that it is back.
        assert_eq!(begun.elapsed(), Duration::from_millis(2310));
        gate.run(async { Ok(()) }).await.unwrap();
        assert!(matches!(gate.state(), State::Up { .. }));
        // Each that finds out alone is a step.
        for pause in [100, 200, 400] {
            let StoreError::Away { retry_after, .. } = fail(&gate).await else { panic!() };
            assert_eq!(retry_after, Duration::from_millis(pause));
            tokio::time::advance(retry_after).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_slow_operation_among_others_does_not_make_a_store_away() {
        let gate = gate();
        gate.run(async { Ok(()) }).await.unwrap();
        let slow = gate.run::<()>(std::future::pending());
        tokio::pin!(slow);
        assert!(pending(slow.as_mut()).await);
        tokio::time::advance(Duration::from_secs(1)).await;
        gate.run(async { Ok(()) }).await.unwrap();
        slow.await.unwrap_err();
        assert!(matches!(gate.state(), State::Up { .. }));
        // Conflicts are answers.
        let taken = StoreError::Conflict(super::super::Conflict::EmailTaken);
        assert_eq!(gate.run::<()>(async { Err(taken.clone()) }).await.unwrap_err(), taken);
        assert!(matches!(gate.state(), State::Up { .. }));
    }
}
