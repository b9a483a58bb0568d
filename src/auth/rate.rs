//! How often something may happen, as the counters count it.

use std::time::Duration;

/// So many calls in a window that slides, and so many more at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    calls: u64,
    window_ms: u64,
    burst: u64,
}

impl Rate {
    /// The most calls of a window and a burst together, and the longest window: within them all products are exact in
    /// the doubles that Lua counts with.
    pub const MOST_CALLS: u64 = 10_000_000;
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

    /// `None` where there are no calls, no window (under a millisecond) or more of either than can be counted.
    #[must_use]
    pub fn new(calls: u64, window: Duration, burst: u64) -> Option<Self> {
        let window_ms = u64::try_from(window.as_millis()).ok()?;
        let fits = calls.checked_add(burst)? <= Self::MOST_CALLS && window <= Self::LONGEST_WINDOW;
        (fits && calls > 0 && window_ms > 0).then_some(Self { calls, window_ms, burst })
    }

    /// A rate of our own, its window in seconds: what is out of bounds is brought to the nearest that can be counted.
    #[must_use]
    pub fn of_seconds(calls: u64, window: u64, burst: u64) -> Self {
        let calls = calls.clamp(1, Self::MOST_CALLS);
        Self {
            calls,
            window_ms: window.clamp(1, 24 * 60 * 60) * 1000,
            burst: burst.min(Self::MOST_CALLS - calls),
        }
    }

    /// Calls in a window, without the burst.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    #[must_use]
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// How many more may come at once.
    #[must_use]
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// The most calls of one window.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.calls + self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_one_that_can_be_counted() {
        let second = Duration::from_secs(1);
        let rate = Rate::new(100, second, 20).unwrap();
        assert_eq!((rate.calls(), rate.window(), rate.burst(), rate.most()), (100, second, 20, 120));
        for (calls, window, burst) in [
            (0, second, 20),
            (1, Duration::from_micros(999), 0),
            (1, Duration::from_secs(86_401), 0),
            (Rate::MOST_CALLS, second, 1),
            (u64::MAX, second, u64::MAX),
        ] {
            assert_eq!(Rate::new(calls, window, burst), None, "{calls} {window:?} {burst}");
        }
    }
}
