//! What is checked of each connection from time to time: that it is not idle for too long, not half-sent, not stalled, not
//! too old. The checks read the connection's gauges and compare them with what they saw before, so that serving a request
//! costs no clock; what begins is therefore seen up to an eighth of the shortest limit late, and its end is looked for when
//! it is due.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use tokio::time::Instant;

use super::{exchange::Gauges, sniff::Http};
use crate::config::Connections;

/// How often a connection is looked at, at most and at least.
const OFTEN: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_secs(5);
/// The same once it is to end.
pub(super) const ENDING: Duration = Duration::from_millis(100);
/// How long a connection without a call may take to answer that it is to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// It takes no more calls, and ends with its last one.
    Retire,
    /// The head of its request is too late: told so where its protocol has words for it, then closed.
    LateHead,
    Close(&'static str),
}

/// What has been seen of one connection.
#[derive(Debug)]
pub(super) struct Checks {
    limits: Connections,
    http: Http,
    /// When it is old enough to be replaced.
    old_at: Option<Instant>,
    idle: Since<u64>,
    half_read: Since<u64>,
    stalled: Since<u64>,
    retired: Option<Retired>,
}

/// It was asked to end.
#[derive(Debug)]
struct Retired {
    /// When it is closed, whatever goes on; the drain has a deadline of its own.
    close_at: Option<Instant>,
    quiet: Since<u64>,
}

/// Since when something has been what it is now.
#[derive(Debug, Default)]
struct Since<T>(Option<(T, Instant)>);

impl<T: PartialEq> Since<T> {
    /// How long it has been `state`; `None` is no state to last.
    fn lasts(&mut self, state: Option<T>, now: Instant) -> Duration {
        match (state, &self.0) {
            (Some(state), Some((before, since))) if state == *before => now.saturating_duration_since(*since),
            (state, _) => {
                self.0 = state.map(|state| (state, now));
                Duration::ZERO
            }
        }
    }

    /// How long it may go on within a limit, if it lasts.
    fn left(&self, limit: Duration, now: Instant) -> Option<Duration> {
        let (_, since) = self.0.as_ref()?;
        Some(limit.saturating_sub(now.saturating_duration_since(*since)))
    }
}

impl Checks {
    pub(super) fn new(limits: &Connections, http: Http, now: Instant) -> Self {
        let old_at =
            limits.max_age.and_then(|age| now.checked_add(jittered(age, RandomState::new().hash_one(0))));
        Self {
            limits: *limits,
            http,
            old_at,
            idle: Since::default(),
            half_read: Since::default(),
            stalled: Since::default(),
            retired: None,
        }
    }

    /// How often [`Checks::check`] wants to be asked at least.
    pub(super) fn interval(limits: &Connections) -> Duration {
        let Connections { header_timeout, idle_timeout, write_timeout, max_age, .. } = limits;
        let shortest = (*header_timeout).min(*idle_timeout).min(*write_timeout);
        (max_age.map_or(shortest, |age| age.min(shortest)) / 8).clamp(OFTEN, SELDOM)
    }

    /// How soon it wants to be asked again, where nothing was wrong at `now`; `None` once it is to end.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        if self.retired.is_some() {
            return None;
        }
        let limits = &self.limits;
        let due = [
            self.half_read.left(limits.header_timeout, now),
            self.stalled.left(limits.write_timeout, now),
            self.idle.left(limits.idle_timeout, now),
        ];
        let first = due.into_iter().flatten().min().unwrap_or(SELDOM);
        Some(first.min(Self::interval(limits)).max(OFTEN))
    }

    /// The connection has been asked to end; `grace` is how long its calls may go on.
    pub(super) fn retire(&mut self, grace: Option<Duration>, now: Instant) {
        let close_at = grace.and_then(|grace| now.checked_add(grace));
        self.retired.get_or_insert_with(|| Retired { close_at, quiet: Since::default() });
    }

    pub(super) fn check(&mut self, gauges: &Gauges, now: Instant) -> Verdict {
        let limits = &self.limits;
        let (begun, reads) = (gauges.begun.load(Relaxed), gauges.reads.load(Relaxed));
        let in_flight = gauges.in_flight.load(Relaxed);
        let head = match self.http {
            Http::One => gauges.half_read().then_some(begun),
            Http::Two => Some(gauges.block.load(Relaxed)).filter(|block| *block > 0),
        };
        if self.half_read.lasts(head, now) >= limits.header_timeout {
            return Verdict::LateHead;
        }
        let offered = gauges.offered.load(Relaxed) > 0;
        let taken = offered.then(|| gauges.taken.load(Relaxed));
        if self.stalled.lasts(taken, now) >= limits.write_timeout {
            return Verdict::Close("its client takes nothing");
        }
        if let Some(retired) = &mut self.retired {
            if retired.close_at.is_some_and(|at| now >= at) {
                return Verdict::Close("its time is up");
            }
            // A client that is there answers, and the connection ends by itself; one that is gone never would.
            if retired.quiet.lasts((in_flight == 0 && head.is_none()).then_some(reads), now) >= LAST_WORDS {
                return Verdict::Close("it was idle");
            }
            return Verdict::Keep;
        }
        let idle = self.idle.lasts((in_flight == 0).then_some(begun), now) >= limits.idle_timeout;
        if idle || self.old_at.is_some_and(|at| now >= at) { Verdict::Retire } else { Verdict::Keep }
    }
}

/// A time give or take a tenth, so that connections that were opened together are not closed together.
fn jittered(time: Duration, random: u64) -> Duration {
    // Of 2001 steps from 0.9 to 1.1.
    let step = u32::try_from(random % 2001).unwrap_or_default();
    time.saturating_mul(9_000 + step) / 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Connections {
        Connections {
            header_timeout: 10 * SECOND,
            idle_timeout: 300 * SECOND,
            write_timeout: 60 * SECOND,
            ..Connections::default()
        }
    }

    struct Case {
        checks: Checks,
        gauges: Gauges,
        start: Instant,
    }

    fn case(http: Http, limits: &Connections) -> Case {
        let start = Instant::now();
        Case { checks: Checks::new(limits, http, start), gauges: Gauges::default(), start }
    }

    impl Case {
        fn at(&mut self, second: u32, want: Verdict) {
            let got = self.checks.check(&self.gauges, self.start + SECOND * second);
            assert_eq!(got, want, "after {second} s");
        }
    }

    #[test]
    fn an_idle_connection_is_closed() {
        for http in [Http::One, Http::Two] {
            let mut case = case(http, &limits());
            case.at(1, Verdict::Keep);
            case.at(300, Verdict::Keep);
            case.gauges.begun.store(1, Relaxed);
            case.at(305, Verdict::Keep);
            case.at(604, Verdict::Keep);
            case.gauges.in_flight.store(1, Relaxed);
            case.at(606, Verdict::Keep);
            case.at(6000, Verdict::Keep);
            case.gauges.in_flight.store(0, Relaxed);
            case.at(6001, Verdict::Keep);
            case.at(6301, Verdict::Retire);
        }
    }

    #[test]
    fn half_a_head_is_late() {
        let mut one = case(Http::One, &limits());
        one.gauges.reads.store(1, Relaxed);
        one.at(1, Verdict::Keep);
        one.gauges.reads.store(5, Relaxed);
        one.at(10, Verdict::Keep);
        one.at(11, Verdict::LateHead);
        one.gauges.in_flight.store(1, Relaxed);
        one.at(12, Verdict::Keep);
        let mut two = case(Http::Two, &limits());
        two.gauges.reads.store(1, Relaxed);
        two.at(1, Verdict::Keep);
        two.at(20, Verdict::Keep);
        two.gauges.block.store(7, Relaxed);
        two.at(21, Verdict::Keep);
        two.gauges.block.store(8, Relaxed);
        two.at(30, Verdict::Keep);
        two.at(40, Verdict::LateHead);
    }

    #[test]
    fn a_late_head_is_late_by_an_eighth_at_most() {
        for begins in [0, 1, 1249, 1250, 1251, 2000, 60_003] {
            let mut case = case(Http::One, &limits());
            let (begins, mut at) = (case.start + Duration::from_millis(begins), case.start);
            let late = loop {
                at += case.checks.next(at).unwrap();
                case.gauges.reads.store(u64::from(at > begins), Relaxed);
                match case.checks.check(&case.gauges, at) {
                    Verdict::Keep => {}
                    verdict => break (verdict, at - begins),
                }
            };
            assert_eq!(late.0, Verdict::LateHead);
            let (least, most) = (10 * SECOND, 10 * SECOND + 10 * SECOND / 8 + OFTEN);
            assert!((least..=most).contains(&late.1), "{late:?}");
        }
    }

    #[test]
    fn a_client_that_takes_nothing_is_closed() {
        let mut case = case(Http::Two, &limits());
        case.gauges.in_flight.store(2, Relaxed);
        case.gauges.offered.store(2, Relaxed);
        case.at(1, Verdict::Keep);
        case.at(60, Verdict::Keep);
        case.gauges.taken.store(1, Relaxed);
        case.at(62, Verdict::Keep);
        case.at(121, Verdict::Keep);
        case.at(122, Verdict::Close("its client takes nothing"));
        case.gauges.offered.store(0, Relaxed);
        case.at(123, Verdict::Keep);
    }

    #[test]
    fn an_old_connection_retires_and_is_closed() {
        let limits = Connections { max_age: Some(100 * SECOND), ..limits() };
        let mut case = case(Http::Two, &limits);
        case.gauges.in_flight.store(1, Relaxed);
        case.at(89, Verdict::Keep);
        case.at(111, Verdict::Retire);
        case.checks.retire(Some(30 * SECOND), case.start + SECOND * 111);
        case.at(112, Verdict::Keep);
        case.at(140, Verdict::Keep);
        case.at(141, Verdict::Close("its time is up"));
    }

    #[test]
    fn a_retired_connection_without_calls_has_a_second() {
        let mut case = case(Http::Two, &limits());
        case.checks.retire(None, case.start);
        case.at(1, Verdict::Keep);
        case.gauges.reads.store(1, Relaxed);
        case.at(2, Verdict::Keep);
        case.gauges.in_flight.store(1, Relaxed);
        case.at(3, Verdict::Keep);
        case.gauges.in_flight.store(0, Relaxed);
        case.at(4, Verdict::Keep);
        case.at(5, Verdict::Close("it was idle"));
    }

    #[test]
    fn jitter_is_a_tenth_at_most() {
        for (random, want) in [(0, 90_000), (1000, 100_000), (2000, 110_000), (2001, 90_000)] {
            assert_eq!(jittered(100 * SECOND, random), Duration::from_millis(want));
        }
    }
}
