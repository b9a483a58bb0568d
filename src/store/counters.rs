//! Counters for rate limits: a sliding window with a burst, which charges nothing for a call that it refuses.
//!
//! A [`Limit`] of N per window W with a burst of B lets a call through where both hold: in the window before it there are
//! fewer than N + B calls, and a bucket of N + B, which regains N per W, is not empty. So at most N + B calls are in any
//! window, N per window on average; what a burst took comes back while less than N is used. Without a burst the bucket
//! never decides, and what remains is a sliding window of N.
//!
//! Calls are counted together in slots of a sixtieth of a window, each as old as its last call: a window is never
//! exceeded, and what falls out of it may come out a sixtieth later. All arithmetic is in whole milliseconds and whole
//! calls, the same here and in Redis (`redis/window.lua`).

use std::time::Duration;

use tonic::async_trait;

use super::StoreError;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    calls: u64,
    window_ms: u64,
    burst: u64,
}

impl Limit {
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

    /// A limit of our own: what is out of bounds is brought to the nearest that can be counted.
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
}

/// What came of asking for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// False: it was refused, and not counted.
    pub allowed: bool,
    /// How many more calls could come at once now, the burst included.
    pub remaining: u64,
    /// When all of the limit is there again, if nothing comes until then.
    pub reset_after: Duration,
    /// For a refused call: when one would be let through, if nothing comes until then. Nothing for one that was let
    /// through.
    pub retry_after: Duration,
}

/// Counts calls under keys, in this process or in Redis. A key is used with one limit; where the limit changes, what
/// was counted stays.
#[async_trait]
pub trait Counters: Send + Sync {
    /// Asks for one call, by the counter's own clock. One round trip.
    ///
    /// # Errors
    /// The store's own.
    async fn take(&self, key: &str, limit: &Limit) -> Result<Taken, StoreError> {
        self.take_at(key, limit, None).await
    }

    /// The same at a given time, in milliseconds since 1970. Time never goes back under a key.
    ///
    /// # Errors
    /// The store's own.
    async fn take_at(&self, key: &str, limit: &Limit, now_ms: Option<u64>) -> Result<Taken, StoreError>;
}

/// What a limit does while Redis is away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Away {
    /// Every call is let through.
    Open,
    /// Every call fails with UNAVAILABLE.
    Closed,
    /// Each replica counts its own.
    #[default]
    Local,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_that_can_be_counted() {
        let second = Duration::from_secs(1);
        let limit = Limit::new(100, second, 20).unwrap();
        assert_eq!((limit.calls(), limit.window(), limit.burst()), (100, second, 20));
        for (calls, window, burst) in [
            (0, second, 20),
            (1, Duration::from_micros(999), 0),
            (1, Duration::from_secs(86_401), 0),
            (Limit::MOST_CALLS, second, 1),
            (u64::MAX, second, u64::MAX),
        ] {
            assert_eq!(Limit::new(calls, window, burst), None, "{calls} {window:?} {burst}");
        }
    }
}
