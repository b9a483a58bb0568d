//! So many a second, and no more.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// The most in one second.
const MOST: u64 = 20;

/// What was taken in the current second.
#[derive(Debug)]
pub struct Allowance {
    began: Instant,
    /// Which second it is in the upper half, how many were taken in the lower.
    taken: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { began: Instant::now(), taken: AtomicU64::new(0) }
    }
}

impl Allowance {
    /// Takes one, if there is one left now.
    pub(super) fn takes(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.began).as_secs() << 32;
        let took = self.taken.fetch_update(Relaxed, Relaxed, |taken| {
            let count = if taken >> 32 == second >> 32 { taken & u64::from(u32::MAX) } else { 0 };
            (count < MOST).then_some(second | (count + 1))
        });
        took.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_second_has_its_own() {
        let allowance = Allowance::default();
        let at = |second| allowance.began + Duration::from_secs(second);
        let taken = |second| (0..100).filter(|_| allowance.takes(at(second))).count();
        assert_eq!([taken(0), taken(0), taken(1), taken(7)], [20, 0, 20, 20]);
    }
}
