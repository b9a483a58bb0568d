//! One endpoint of an upstream: where it is, what is on its way there, and whether it is fit to be chosen.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{latency::Latency, rules::EjectionRules};

/// The longest that an endpoint is left out, in times of the first.
const MOST_TIMES: u32 = 30;

/// An endpoint with what reaches it.
#[derive(Debug)]
pub(in crate::dispatch) struct Endpoint<T> {
    /// `upstream "orders" (10.0.0.1:50051)`
    pub(in crate::dispatch) label: Arc<str>,
    pub(in crate::dispatch) address: SocketAddr,
    /// Which of the upstream's addresses, as they were written, it is of.
    pub(in crate::dispatch) origin: usize,
    pub(in crate::dispatch) transport: T,
    /// Calls that are on their way.
    load: AtomicUsize,
    pub(super) latency: Latency,
    /// Failures one after the other.
    failures: AtomicU32,
    /// It was left out, and has not answered well since: one call at a time.
    on_trial: AtomicBool,
    /// Until when it is left out, in milliseconds of the upstream's clock.
    out_until: AtomicU64,
    /// How often it was left out lately.
    times_out: AtomicU32,
    /// What health checks say, as [`Health`].
    health: AtomicU8,
    /// Their answers of one kind, one after the other.
    answers: AtomicU32,
    /// When it last answered anybody, in milliseconds of the upstream's clock.
    answered: AtomicU64,
}

const UNKNOWN: u8 = 0;
const HEALTHY: u8 = 1;
const SICK: u8 = 2;

impl<T> Endpoint<T> {
    pub(super) fn new(label: Arc<str>, address: SocketAddr, origin: usize, transport: T) -> Self {
        Self {
            label,
            address,
            origin,
            transport,
            load: AtomicUsize::new(0),
            latency: Latency::default(),
            failures: AtomicU32::new(0),
            on_trial: AtomicBool::new(false),
            out_until: AtomicU64::new(0),
            times_out: AtomicU32::new(0),
            health: AtomicU8::new(UNKNOWN),
            answers: AtomicU32::new(0),
            answered: AtomicU64::new(0),
        }
    }

    pub(super) fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    pub(super) fn take(&self) {
        self.load.fetch_add(1, Relaxed);
    }

    pub(super) fn leave(&self) {
        self.load.fetch_sub(1, Relaxed);
    }

    /// Nothing speaks against it.
    pub(super) fn is_fit(&self, now: u64) -> bool {
        self.is_healthy() && !self.is_out(now) && !(self.on_trial.load(Relaxed) && self.load() > 0)
    }

    /// Health checks say nothing against it.
    pub(super) fn is_healthy(&self) -> bool {
        self.health.load(Relaxed) != SICK
    }

    /// Health checks speak for it.
    pub(super) fn is_found_healthy(&self) -> bool {
        self.health.load(Relaxed) == HEALTHY
    }

    /// It is left out for its failures.
    pub(super) fn is_out(&self, now: u64) -> bool {
        self.out_until.load(Relaxed) > now
    }

    /// It has answered, whatever the answer was.
    pub(super) fn went_well(&self, rules: Option<&EjectionRules>, now: u64) {
        self.answered.store(now, Relaxed);
        if self.failures.load(Relaxed) > 0 {
            self.failures.store(0, Relaxed);
        }
        if self.on_trial.load(Relaxed) {
            self.on_trial.store(false, Relaxed);
        }
        let times = self.times_out.load(Relaxed);
        if times > 0
            && let Some(rules) = rules
            && now >= self.out_until.load(Relaxed) + millis(rules.time)
        {
            // Each good while takes one off.
            self.times_out.store(times - 1, Relaxed);
            self.out_until.store(now, Relaxed);
        }
    }

    /// It has answered nobody since.
    pub(super) fn is_silent_since(&self, since: u64) -> bool {
        self.answered.load(Relaxed) < since
    }

    /// It has failed; true where that is reason to leave it out.
    pub(super) fn failed(&self, rules: &EjectionRules) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed) + 1;
        failures >= rules.consecutive_failures || self.on_trial.load(Relaxed)
    }

    /// Leaves it out, each time for longer.
    pub(super) fn put_out(&self, rules: &EjectionRules, now: u64) -> Duration {
        let times = (self.times_out.load(Relaxed) + 1).min(MOST_TIMES);
        self.times_out.store(times, Relaxed);
        let time = rules.time.saturating_mul(times);
        self.failures.store(0, Relaxed);
        self.on_trial.store(true, Relaxed);
        self.pause(time, now);
        time
    }

    /// Leaves it alone for a while, as it has asked.
    pub(super) fn pause(&self, time: Duration, now: u64) {
        self.out_until.fetch_max(now.saturating_add(millis(time)), Relaxed);
    }

    /// What a health check has found; true where that changes what is thought of it.
    pub(super) fn checked(&self, healthy: bool, healthy_after: u32, unhealthy_after: u32) -> bool {
        let (found, after) = if healthy { (HEALTHY, healthy_after) } else { (SICK, unhealthy_after) };
        let before = self.health.load(Relaxed);
        if before == found {
            self.answers.store(0, Relaxed);
            return false;
        }
        let answers = self.answers.fetch_add(1, Relaxed) + 1;
        if before != UNKNOWN && answers < after {
            return false;
        }
        self.answers.store(0, Relaxed);
        self.health.store(found, Relaxed);
        // Nothing was thought of it before: that it is healthy is no news.
        before != UNKNOWN || !healthy
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint<()> {
        Endpoint::new("e".into(), ([127, 0, 0, 1], 1).into(), 0, ())
    }

    #[test]
    fn an_endpoint_that_fails_again_and_again_is_left_out_longer_each_time() {
        let (endpoint, rules) = (endpoint(), EjectionRules::default());
        assert!((0..4).all(|_| !endpoint.failed(&rules)));
        endpoint.went_well(Some(&rules), 0);
        assert!((0..4).all(|_| !endpoint.failed(&rules)));
        assert!(endpoint.failed(&rules));
        assert_eq!(endpoint.put_out(&rules, 0), Duration::from_secs(10));
        assert!(!endpoint.is_fit(9_999) && endpoint.is_fit(10_000));
        // It comes back with one call at a time, and one failure is enough.
        endpoint.take();
        assert!(!endpoint.is_fit(10_000));
        endpoint.leave();
        assert!(endpoint.failed(&rules));
        assert_eq!(endpoint.put_out(&rules, 10_000), Duration::from_secs(20));
        assert!(!endpoint.is_fit(29_999) && endpoint.is_fit(30_000));
        endpoint.went_well(Some(&rules), 30_000);
        endpoint.take();
        assert!(endpoint.is_fit(30_000));
        // Good whiles are counted, too.
        endpoint.went_well(Some(&rules), 40_000);
        endpoint.went_well(Some(&rules), 50_000);
        assert_eq!(endpoint.put_out(&rules, 60_000), Duration::from_secs(10));
    }

    #[test]
    fn the_first_check_decides_and_then_several() {
        let endpoint = endpoint();
        assert!(endpoint.is_healthy());
        assert!(endpoint.checked(false, 2, 3) && !endpoint.is_healthy());
        assert!(!endpoint.checked(true, 2, 3));
        assert!(!endpoint.checked(false, 2, 3) && !endpoint.checked(true, 2, 3));
        assert!(endpoint.checked(true, 2, 3) && endpoint.is_healthy());
        assert!(!endpoint.checked(false, 2, 3) && !endpoint.checked(false, 2, 3) && endpoint.is_healthy());
        assert!(endpoint.checked(false, 2, 3) && !endpoint.is_healthy());
        assert!(!self::endpoint().checked(true, 2, 3), "no news");
    }
}
