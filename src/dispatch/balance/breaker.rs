//! The circuit breaker of one upstream: closed, calls pass; after too many failures it is open, and calls fail at once; after
//! a while a few probes pass, and close it if all go well. Failures of calls that were on their way together count as one
//! in the row: an instance that dies with fifty calls on it is one misfortune, not fifty.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{figures::BreakerState, rules::BreakerRules, window::Window};

/// All times are milliseconds of the upstream's own clock.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: BreakerRules,
    /// All calls, and those that failed.
    window: Window,
    /// Failures one after the other.
    row: AtomicU32,
    /// When the last of them was.
    failed_at: AtomicU64,
    /// Read before the lock is taken.
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed,
    Open {
        until: u64,
        why: Arc<str>,
    },
    /// `since` the last probe was let through.
    Probing {
        on_their_way: u32,
        went_well: u32,
        since: u64,
        why: Arc<str>,
    },
}

/// A call that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Free,
    Probe,
}

/// A call that was not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shut {
    /// After that a probe may pass.
    pub(super) wait: Duration,
    pub(super) why: Arc<str>,
}

impl Breaker {
    pub(super) fn new(rules: BreakerRules) -> Self {
        Self {
            window: Window::new(rules.window),
            rules,
            row: AtomicU32::new(0),
            failed_at: AtomicU64::new(0),
            closed: AtomicBool::new(true),
            state: Mutex::new(State::Closed),
        }
    }

    pub(super) fn enter(&self, now: u64) -> Result<Pass, Shut> {
        if self.closed.load(Relaxed) {
            return Ok(Pass::Free);
        }
        let mut state = self.lock();
        if let State::Open { until, why } = &*state
            && *until <= now
        {
            *state = State::Probing { on_their_way: 0, went_well: 0, since: now, why: Arc::clone(why) };
        }
        let open = u64::try_from(self.rules.open.as_millis()).unwrap_or(u64::MAX);
        match &mut *state {
            State::Closed => Ok(Pass::Free),
            State::Open { until, why } => {
                Err(Shut { wait: Duration::from_millis(until.saturating_sub(now)), why: Arc::clone(why) })
            }
            State::Probing { on_their_way, went_well, since, why } => {
                // A probe that takes long, such as a stream with nothing to say, says nothing of the upstream: another is due.
                let until = since.saturating_add(open);
                if until <= now {
                    *on_their_way = 0;
                }
                if *on_their_way + *went_well >= self.rules.probes {
                    return Err(Shut { wait: Duration::from_millis(until - now), why: Arc::clone(why) });
                }
                (*on_their_way, *since) = (*on_their_way + 1, now);
                Ok(Pass::Probe)
            }
        }
    }

    /// Calls fail at once: nobody is let through to see how they go.
    pub(super) fn is_open(&self, now: u64) -> bool {
        !self.closed.load(Relaxed) && matches!(&*self.lock(), State::Open { until, .. } if *until > now)
    }

    /// A call that began at `began` went well.
    pub(super) fn went_well(&self, pass: Pass, now: u64) {
        match pass {
            Pass::Free => {
                self.window.count(now);
                if self.row.load(Relaxed) > 0 {
                    self.row.store(0, Relaxed);
                }
            }
            Pass::Probe => {
                let mut state = self.lock();
                let State::Probing { on_their_way, went_well, .. } = &mut *state else { return };
                *on_their_way = on_their_way.saturating_sub(1);
                *went_well += 1;
                if *went_well >= self.rules.probes {
                    *state = State::Closed;
                    self.window.clear();
                    self.row.store(0, Relaxed);
                    self.closed.store(true, Relaxed);
                }
            }
        }
    }

    /// A call that began at `began` failed; true if that opened the breaker.
    pub(super) fn failed(&self, pass: Pass, began: u64, now: u64, last: &str) -> bool {
        if pass == Pass::Probe {
            let mut state = self.lock();
            let State::Probing { .. } = &*state else { return false };
            self.open(&mut state, now, format!("a probe failed: {last}"));
            return true;
        }
        self.window.count(now);
        self.window.mark(now);
        let row = if self.row.load(Relaxed) == 0 || began >= self.failed_at.load(Relaxed) {
            self.failed_at.store(now, Relaxed);
            self.row.fetch_add(1, Relaxed) + 1
        } else {
            self.row.load(Relaxed)
        };
        let BreakerRules { consecutive_failures, failure_percent, min_calls, window, .. } = &self.rules;
        let why = if row >= *consecutive_failures {
            format!("{row} calls failed one after the other, the last: {last}")
        } else {
            let (calls, failures) = self.window.sums(now);
            if calls < u64::from(*min_calls) || failures * 100 < calls * u64::from(*failure_percent) {
                return false;
            }
            format!("{failures} of {calls} calls within {window:?} failed, the last: {last}")
        };
        let mut state = self.lock();
        // Who was on the way when it opened does not open it again.
        let State::Closed = &*state else { return false };
        self.open(&mut state, now, why);
        true
    }

    /// A call that nobody can judge: its client went away.
    pub(super) fn left(&self, pass: Pass) {
        if pass == Pass::Probe
            && let State::Probing { on_their_way, .. } = &mut *self.lock()
        {
            *on_their_way = on_their_way.saturating_sub(1);
        }
    }

    /// False while no call is let through.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// How it is, for those who ask.
    pub(super) fn state(&self) -> BreakerState {
        match &*self.lock() {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    fn open(&self, state: &mut State, now: u64, why: String) {
        let open = u64::try_from(self.rules.open.as_millis()).unwrap_or(u64::MAX);
        *state = State::Open { until: now.saturating_add(open), why: why.into() };
        self.closed.store(false, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerRules::default())
    }

    #[test]
    fn probes_that_do_not_end_keep_it_shut_no_longer_than_it_was_open() {
        let (breaker, mut now) = (breaker(), 0);
        assert!(fail(&breaker, 5, &mut now));
        let rules = BreakerRules::default();
        let open = u64::try_from(rules.open.as_millis()).unwrap();
        now += open;
        for _ in 0..rules.probes {
            assert_eq!(breaker.enter(now), Ok(Pass::Probe));
        }
        let shut = breaker.enter(now + open - 1).unwrap_err();
        assert_eq!(shut.wait, Duration::from_millis(1));
        now += open;
        for _ in 0..rules.probes {
            assert_eq!(breaker.enter(now), Ok(Pass::Probe));
            breaker.went_well(Pass::Probe, now);
        }
        assert_eq!(breaker.enter(now), Ok(Pass::Free));
        // Those that were forgotten end at last.
        breaker.left(Pass::Probe);
        assert!(breaker.is_closed());
    }

    /// One call after the other, each of a millisecond.
    fn fail(breaker: &Breaker, times: u64, now: &mut u64) -> bool {
        (0..times).any(|_| {
            *now += 2;
            breaker.failed(Pass::Free, *now - 1, *now, "no")
        })
    }

    #[test]
    fn failures_one_after_the_other_open_it_and_probes_close_it() {
        let (breaker, mut now) = (breaker(), 0);
        assert!(!fail(&breaker, 4, &mut now));
        breaker.went_well(Pass::Free, now);
        assert!(!fail(&breaker, 4, &mut now));
        assert!(fail(&breaker, 1, &mut now));
        let shut = breaker.enter(now + 1_000).unwrap_err();
        assert_eq!(shut.wait, Duration::from_secs(4));
        assert_eq!(&*shut.why, "5 calls failed one after the other, the last: no");
        // Those that were on their way do not keep it open.
        assert!(!breaker.failed(Pass::Free, now - 3, now + 2_000, "late"));
        now += 5_000;
        let probes: Vec<_> = (0..3).map(|_| breaker.enter(now).unwrap()).collect();
        assert_eq!(probes, [Pass::Probe; 3]);
        assert!(breaker.enter(now).is_err());
        // One whose client goes away makes room for another.
        breaker.left(Pass::Probe);
        assert_eq!(breaker.enter(now), Ok(Pass::Probe));
        for _ in 0..3 {
            assert!(!breaker.is_closed());
            breaker.went_well(Pass::Probe, now);
        }
        assert!(breaker.is_closed());
        assert_eq!(breaker.enter(now), Ok(Pass::Free));
        assert!(!fail(&breaker, 4, &mut now), "what was before is forgotten");
    }

    #[test]
    fn a_probe_that_fails_opens_it_again() {
        let (breaker, mut now) = (breaker(), 0);
        assert!(fail(&breaker, 5, &mut now));
        now += 5_000;
        assert_eq!(breaker.enter(now), Ok(Pass::Probe));
        assert!(breaker.failed(Pass::Probe, now, now + 10, "still no"));
        assert_eq!(&*breaker.enter(now + 20).unwrap_err().why, "a probe failed: still no");
        assert_eq!(breaker.enter(now + 5_010), Ok(Pass::Probe));
    }

    #[test]
    fn too_many_of_the_calls_within_the_window_open_it() {
        let breaker = breaker();
        for call in 0..9 {
            breaker.went_well(Pass::Free, call * 2);
            assert!(!breaker.failed(Pass::Free, call * 2, call * 2 + 1, "no"), "too few calls yet: {call}");
        }
        breaker.went_well(Pass::Free, 20);
        assert!(breaker.failed(Pass::Free, 20, 21, "no"));
        assert_eq!(&*breaker.enter(22).unwrap_err().why, "10 of 20 calls within 10s failed, the last: no");
        let other = self::breaker();
        for call in 0..1_000 {
            other.went_well(Pass::Free, call);
            assert!(call % 3 != 0 || !other.failed(Pass::Free, call, call, "no"), "a quarter is too few");
        }
    }

    #[test]
    fn calls_that_die_together_are_one_failure_of_the_row() {
        let breaker = breaker();
        for call in 0..1_000 {
            breaker.went_well(Pass::Free, call);
        }
        for _ in 0..50 {
            assert!(!breaker.failed(Pass::Free, 990, 1_000, "died"));
        }
        assert!(breaker.is_closed());
    }
}
