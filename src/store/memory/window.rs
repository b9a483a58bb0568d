//! The arithmetic of one limit under one key; `redis/window.lua` is the same, line by line.

use std::{collections::VecDeque, time::Duration};

use crate::{auth::Rate, store::Taken};

/// A window is counted in so many slots.
const SLOTS: u64 = 60;

/// What was counted under a key. Times are in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The time of the last call that was let through; its clock never goes back.
    at: u64,
    /// What the bucket has lost, in calls times milliseconds: a call costs a window, a millisecond brings the calls of one.
    debt: u64,
    /// The calls in all slots.
    total: u64,
    slots: VecDeque<Slot>,
    /// When nothing of it counts any more.
    over_at: u64,
}

/// Calls that are counted together.
#[derive(Debug)]
struct Slot {
    first: u64,
    last: u64,
    calls: u64,
}

/// What a window holds at some time, before a call is counted or not.
#[derive(Debug)]
pub(super) struct Sight {
    now: u64,
    /// How many slots have fallen out of the window.
    old: usize,
    debt: u64,
    total: u64,
    pub(super) allowed: bool,
}

impl Window {
    /// Lets one call through and counts it, or refuses it and changes nothing.
    pub(super) fn take(&mut self, rate: &Rate, now: u64) -> Taken {
        let mut sight = self.look(rate, now);
        if sight.allowed {
            self.count(rate, &mut sight);
        }
        self.tell(rate, &sight)
    }

    /// Looks whether a call would be let through.
    pub(super) fn look(&self, rate: &Rate, now: u64) -> Sight {
        let now = now.max(self.at);
        let window = rate.window_ms();
        let debt = self.debt.saturating_sub((now - self.at).saturating_mul(rate.calls()));
        let old = self.slots.iter().take_while(|slot| slot.last + window <= now).count();
        let total = self.total - self.slots.iter().take(old).map(|slot| slot.calls).sum::<u64>();
        let allowed = total < rate.most() && debt + window <= rate.most() * window;
        Sight { now, old, debt, total, allowed }
    }

    /// Counts a call that is let through.
    pub(super) fn count(&mut self, rate: &Rate, sight: &mut Sight) {
        let (now, window) = (sight.now, rate.window_ms());
        sight.debt += window;
        sight.total += 1;
        self.slots.drain(..sight.old.min(self.slots.len()));
        sight.old = 0;
        (self.at, self.debt, self.total) = (now, sight.debt, sight.total);
        match self.slots.back_mut() {
            Some(slot) if now - slot.first < window.div_ceil(SLOTS) => {
                slot.last = now;
                slot.calls += 1;
            }
            _ => self.slots.push_back(Slot { first: now, last: now, calls: 1 }),
        }
        self.over_at = now + self.reset(rate, sight);
    }

    /// What is told of a call that was counted, or was not.
    pub(super) fn tell(&self, rate: &Rate, sight: &Sight) -> Taken {
        let (most, window) = (rate.most(), rate.window_ms());
        let mut retry = 0;
        if !sight.allowed {
            // When enough has fallen out of the window, and the bucket has one again.
            let mut left = sight.total;
            for slot in self.slots.iter().skip(sight.old) {
                if left < most {
                    break;
                }
                left -= slot.calls;
                retry = slot.last + window - sight.now;
            }
            let empty = (sight.debt + window).saturating_sub(most * window);
            retry = retry.max(empty.div_ceil(rate.calls()));
        }
        Taken {
            allowed: sight.allowed,
            remaining: most
                .saturating_sub(sight.total)
                .min((most * window).saturating_sub(sight.debt) / window),
            reset_after: Duration::from_millis(self.reset(rate, sight)),
            retry_after: Duration::from_millis(retry),
        }
    }

    /// In how many milliseconds nothing of it counts any more; nothing for a window without calls.
    fn reset(&self, rate: &Rate, sight: &Sight) -> u64 {
        let window = rate.window_ms();
        let last = self.slots.iter().skip(sight.old).next_back();
        let slots = last.map_or(0, |slot| (slot.last + window).saturating_sub(sight.now));
        slots.max(sight.debt.div_ceil(rate.calls()))
    }

    /// How many calls it had when one was let through last.
    pub(super) fn calls(&self) -> u64 {
        self.total
    }

    /// True where nothing of it counts any more.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.over_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;

    fn limit(calls: u64, seconds: u64, burst: u64) -> Rate {
        Rate::new(calls, Duration::from_secs(seconds), burst).unwrap()
    }

    /// How many of `tries` at once are let through.
    fn at_once(window: &mut Window, limit: &Rate, now: u64, tries: u64) -> u64 {
        (0..tries).filter(|_| window.take(limit, now).allowed).count() as u64
    }

    #[test]
    fn a_window_without_a_burst_slides() {
        let (mut window, limit) = (Window::default(), limit(60, 60, 0));
        assert_eq!(at_once(&mut window, &limit, 1_000_000, 61), 60);
        let refused = window.take(&limit, 1_000_000 + 10 * SECOND);
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert_eq!((refused.retry_after.as_secs(), refused.reset_after.as_secs()), (50, 50));
        assert_eq!(at_once(&mut window, &limit, 1_000_000 + 60 * SECOND - 1, 5), 0);
        assert_eq!(at_once(&mut window, &limit, 1_000_000 + 60 * SECOND, 61), 60);
    }

    #[test]
    fn a_burst_comes_on_top_and_comes_back() {
        let (mut window, limit) = (Window::default(), limit(100, 60, 20));
        assert_eq!(window.take(&limit, 0).remaining, 119);
        assert_eq!(at_once(&mut window, &limit, 0, 200), 119);
        // A window later all calls are out of it, but the bucket has only what one window brings.
        assert_eq!(at_once(&mut window, &limit, 60 * SECOND, 200), 100);
        assert_eq!(at_once(&mut window, &limit, 120 * SECOND, 200), 100);
        // A fifth of a window unused brings the burst back.
        assert_eq!(at_once(&mut window, &limit, 192 * SECOND, 200), 120);
        // And whoever keeps asking gets the limit, not more.
        let mut through = 0;
        for second in 192..192 + 600 {
            through += at_once(&mut window, &limit, second * SECOND, 10);
        }
        assert!((980..=1000).contains(&through), "{through} in ten minutes");
    }

    #[test]
    fn a_refused_call_costs_nothing() {
        let (mut window, limit) = (Window::default(), limit(2, 10, 0));
        assert_eq!(at_once(&mut window, &limit, 0, 2), 2);
        for now in 0..10 * SECOND {
            let taken = window.take(&limit, now);
            assert_eq!((taken.allowed, taken.retry_after.as_millis() as u64), (false, 10 * SECOND - now));
        }
        assert_eq!(at_once(&mut window, &limit, 10 * SECOND, 3), 2);
    }

    #[test]
    fn no_window_ever_has_more_than_the_limit_and_its_burst() {
        let limit = limit(50, 1, 10);
        let (mut window, mut through) = (Window::default(), Vec::new());
        let mut now = 0;
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            now += (seed >> 33) % 12;
            let taken = window.take(&limit, now);
            if taken.allowed {
                through.push(now);
            } else {
                // It says when: a moment earlier it is refused still.
                let after = u64::try_from(taken.retry_after.as_millis()).unwrap();
                assert!(after > 0);
            }
            assert!(window.slots.len() <= 62, "{} slots", window.slots.len());
        }
        for (i, at) in through.iter().enumerate() {
            let before = through[..=i].iter().filter(|t| **t + 1000 > *at).count();
            assert!(before <= 60, "{before} in the second before {at}");
        }
        let allowed = through.len() as u64;
        let most = 50 * now / 1000 + 60;
        assert!(allowed <= most && allowed * 100 >= most * 97, "{allowed} of {most}");
    }

    #[test]
    fn the_largest_limit_does_not_overflow_nor_a_clock_that_jumps() {
        let limit = Rate::new(Rate::MOST_CALLS, Rate::LONGEST_WINDOW, 0).unwrap();
        let mut window = Window::default();
        assert!(window.take(&limit, u64::MAX >> 12).allowed);
        // Back in time: the clock stands.
        assert!(window.take(&limit, 0).allowed);
        assert_eq!(window.total, 2);
        assert!(!window.is_over(u64::MAX >> 12) && window.is_over(u64::MAX >> 1));
    }
}
