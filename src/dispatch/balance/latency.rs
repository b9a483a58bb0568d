//! Peak EWMA (Finagle's): how long an endpoint's answers take. A slow answer counts at once and in full; quick ones take it
//! back slowly, by an exponential average over ten seconds.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// In milliseconds: after so long without a slow answer, a third of it is left.
const DECAY: f64 = 10_000.0;
/// What an endpoint that nothing is known of is thought to take while calls are on it.
const UNKNOWN: f64 = 1e9;

#[derive(Debug, Default)]
pub(super) struct Latency {
    /// The bits of an `f64` of nanoseconds; 0.0: nothing is known.
    nanos: AtomicU64,
    /// When it was last seen, in milliseconds.
    at: AtomicU64,
}

impl Latency {
    /// An answer has taken so long. Of two that come at once one may be lost.
    pub(super) fn observe(&self, took: Duration, now: u64) {
        let took = took.as_nanos() as f64;
        let known = self.decayed(now);
        let next = if took >= known {
            took
        } else {
            let weight = (-((now.saturating_sub(self.at.load(Relaxed))) as f64).max(1.0) / DECAY).exp();
            f64::from_bits(self.nanos.load(Relaxed)) * weight + took * (1.0 - weight)
        };
        self.nanos.store(next.max(1.0).to_bits(), Relaxed);
        self.at.store(now, Relaxed);
    }

    /// What one more call would wait, as far as can be told: nanoseconds, with so many calls on the endpoint.
    pub(super) fn cost(&self, load: usize, now: u64) -> f64 {
        let known = self.decayed(now);
        if known == 0.0 { UNKNOWN * load as f64 } else { known * (load + 1) as f64 }
    }

    fn decayed(&self, now: u64) -> f64 {
        let age = now.saturating_sub(self.at.load(Relaxed)) as f64;
        f64::from_bits(self.nanos.load(Relaxed)) * (-age / DECAY).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
        let latency = Latency::default();
        let ms = |latency: &Latency, now| latency.cost(0, now) / 1e6;
        assert_eq!((latency.cost(0, 0), latency.cost(2, 0)), (0.0, 2e9));
        latency.observe(Duration::from_millis(2), 0);
        assert!((ms(&latency, 0) - 2.0).abs() < 0.01);
        latency.observe(Duration::from_millis(200), 10);
        assert!((ms(&latency, 10) - 200.0).abs() < 0.1);
        for answer in 0..100 {
            latency.observe(Duration::from_millis(2), 10 + answer * 10);
        }
        assert!((150.0..190.0).contains(&ms(&latency, 1_010)), "{}", ms(&latency, 1_010));
        for answer in 0..4_000 {
            latency.observe(Duration::from_millis(2), 1_010 + answer * 10);
        }
        assert!(ms(&latency, 41_010) < 10.0, "{}", ms(&latency, 41_010));
        assert!(latency.cost(3, 41_010) > latency.cost(0, 41_010) * 3.9);
    }
}
