//! What calls were like, for an operator who asks without a Prometheus: how many, how fast, how many failed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Four to each power of two, from a microsecond to a day and a half.
const SLOTS: usize = 148;
/// Seconds that are looked back.
const BACK: u64 = 60;
/// More than that, so that the current second has a place of its own.
const SECONDS: usize = 64;

/// How long calls took: counted by durations that differ by at most a quarter.
#[derive(Debug)]
pub(super) struct Durations(Box<[AtomicU64]>);

impl Default for Durations {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Durations {
    pub(super) fn count(&self, took: Duration) {
        if let Some(slot) = self.0.get(slot(micros(took))) {
            slot.fetch_add(1, Relaxed);
        }
    }

    fn counts(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|slot| slot.load(Relaxed))
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn slot(micros: u64) -> usize {
    let power = micros.max(1).ilog2() as usize;
    if power < 2 {
        return micros as usize;
    }
    let quarter = (micros >> (power - 2)) & 3;
    ((power - 1) * 4 + quarter as usize).min(SLOTS - 1)
}

/// The least that a slot counts, in microseconds.
fn least(slot: usize) -> u64 {
    if slot < 4 { slot as u64 } else { (4 + slot as u64 % 4) << (slot / 4 - 1) }
}

/// Calls of some kind, all of them since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    pub requests: u64,
    /// Those that failed here or behind.
    pub errors: u64,
    /// Those that were refused, or were wrong.
    pub client_errors: u64,
    counts: Vec<u64>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { requests: 0, errors: 0, client_errors: 0, counts: vec![0; SLOTS] }
    }
}

impl Traffic {
    /// Adds calls of one outcome.
    pub(super) fn add(&mut self, durations: &Durations, failed: bool, refused: bool) {
        let mut calls = 0;
        for (sum, count) in self.counts.iter_mut().zip(durations.counts()) {
            *sum += count;
            calls += count;
        }
        self.requests += calls;
        self.errors += if failed { calls } else { 0 };
        self.client_errors += if refused { calls } else { 0 };
    }

    /// How long so many of them took at most, in milliseconds, to about a tenth; 0 where there were none.
    #[must_use]
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let rank = part * self.requests as f64;
        let mut below = 0;
        for (slot, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            if (below + count) as f64 >= rank {
                let (from, to) = (least(slot) as f64, least(slot + 1) as f64);
                let share = (rank - below as f64) / *count as f64;
                return (from + (to - from) * share) / 1000.0;
            }
            below += count;
        }
        0.0
    }
}

/// What calls of one route by one surface were like.
#[derive(Debug, Clone)]
pub struct RouteTraffic {
    pub route: Arc<str>,
    pub surface: &'static str,
    pub traffic: Traffic,
}

/// How many calls there were in each of the last seconds.
#[derive(Debug)]
pub(super) struct Seconds {
    began: Instant,
    /// Which second it is of in the upper half, how many calls in the lower.
    slots: [AtomicU64; SECONDS],
}

impl Seconds {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, slots: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    pub(super) fn count(&self, now: Instant) {
        let second = self.second(now);
        let Some(slot) = self.slots.get(second as usize % SECONDS) else { return };
        let known = slot.load(Relaxed);
        if known >> 32 == second {
            slot.fetch_add(1, Relaxed);
        } else {
            // Who comes at the same time may have begun it: one call more or less is no matter.
            let begun = slot.compare_exchange(known, second << 32 | 1, Relaxed, Relaxed);
            if begun.is_err() {
                slot.fetch_add(1, Relaxed);
            }
        }
    }

    /// Calls a second, over the last minute or since the start.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let second = self.second(now);
        let lately = second.saturating_sub(BACK)..second;
        let lengths = (lately.end - lately.start).max(1);
        let all = self.slots.iter().map(|slot| slot.load(Relaxed));
        // In its first second there is no other.
        let counts = all.filter(|slot| second == 0 || lately.contains(&(slot >> 32)));
        counts.map(|slot| slot & u64::from(u32::MAX)).sum::<u64>() as f64 / lengths as f64
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() & u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_one_another_without_a_gap() {
        for slot in 0..SLOTS - 1 {
            assert_eq!(self::slot(least(slot)), slot);
            assert_eq!(self::slot(least(slot + 1) - 1), slot);
            assert!(slot < 4 || least(slot + 1) * 4 <= least(slot) * 5, "{slot}");
        }
        assert_eq!((slot(0), slot(u64::MAX)), (0, SLOTS - 1));
    }

    #[test]
    fn quantiles_are_near_what_was_counted() {
        let (durations, mut traffic) = (Durations::default(), Traffic::default());
        assert_eq!(traffic.quantile_ms(0.5), 0.0);
        (1..=1000).for_each(|ms| durations.count(Duration::from_millis(ms)));
        traffic.add(&durations, true, false);
        assert_eq!((traffic.requests, traffic.errors, traffic.client_errors), (1000, 1000, 0));
        for (part, want) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let got = traffic.quantile_ms(part);
            assert!((got / want - 1.0).abs() < 0.13, "{part}: {got}");
        }
    }

    #[test]
    fn a_rate_is_of_the_last_minute() {
        let began = Instant::now();
        let seconds = Seconds::new(began);
        let at = |second: u64| began + Duration::from_secs(second);
        (0..5).for_each(|_| seconds.count(at(0)));
        assert_eq!(seconds.rate(at(0)), 5.0);
        assert_eq!(seconds.rate(at(1)), 5.0);
        assert_eq!(seconds.rate(at(10)), 0.5);
        assert_eq!(seconds.rate(at(61)), 0.0);
        (0..120).for_each(|_| seconds.count(at(64)));
        assert_eq!(seconds.rate(at(65)), 2.0, "in the place of the first second");
    }
}
