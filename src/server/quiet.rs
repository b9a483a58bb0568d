//! A line of the log that clients can cause is written at most once a second, however often they cause it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a kind of line is silent after one was written.
const SILENCE: Duration = Duration::from_secs(1);

/// One kind of line. The counters are shared by all workers.
#[derive(Debug)]
pub(super) struct Quiet {
    /// Milliseconds of the process's life until which nothing is written.
    until: AtomicU64,
    unsaid: AtomicU64,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Quiet {
    pub(super) const fn new() -> Self {
        Self { until: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// `Some` if the line may be written now, with how many were not since the last one.
    pub(super) fn says(&self) -> Option<u64> {
        self.says_at(START.elapsed())
    }

    fn says_at(&self, now: Duration) -> Option<u64> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = self.until.load(Ordering::Relaxed);
        let next = millis(now + SILENCE);
        let mine = millis(now) >= until
            && self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_the_rest_counted() {
        let quiet = Quiet::new();
        let check = |millis: u64, want: Option<u64>| {
            assert_eq!(quiet.says_at(Duration::from_millis(millis)), want, "at {millis} ms");
        };
        check(0, Some(0));
        check(1, None);
        check(999, None);
        check(1000, Some(2));
        check(1500, None);
        check(9000, Some(1));
    }
}
