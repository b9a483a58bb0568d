//! What happened lately: two counts over a window that slides in ten steps. Any thread counts, none waits; a count may be
//! lost where a step ends.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

const STEPS: u64 = 10;

#[derive(Debug)]
pub(super) struct Window {
    /// Milliseconds of one step.
    step: u64,
    steps: [Step; STEPS as usize],
}

#[derive(Debug, Default)]
struct Step {
    /// Which step it was last used for, counted from 1.
    number: AtomicU64,
    all: AtomicU32,
    marked: AtomicU32,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let step = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).div_ceil(STEPS).max(1);
        Self { step, steps: Default::default() }
    }

    /// One more of all; `now` in milliseconds.
    pub(super) fn count(&self, now: u64) {
        self.step(now).all.fetch_add(1, Relaxed);
    }

    /// One more of the marked.
    pub(super) fn mark(&self, now: u64) {
        self.step(now).marked.fetch_add(1, Relaxed);
    }

    /// All of the window, and those marked.
    pub(super) fn sums(&self, now: u64) -> (u64, u64) {
        let oldest = (now / self.step + 2).saturating_sub(STEPS);
        let fresh = self.steps.iter().filter(|step| step.number.load(Relaxed) >= oldest.max(1));
        fresh.fold((0, 0), |(all, marked), step| {
            (all + u64::from(step.all.load(Relaxed)), marked + u64::from(step.marked.load(Relaxed)))
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for step in &self.steps {
            step.number.store(0, Relaxed);
        }
    }

    fn step(&self, now: u64) -> &Step {
        let number = now / self.step + 1;
        let step = &self.steps[(number % STEPS) as usize];
        let used = step.number.load(Relaxed);
        if used != number && step.number.compare_exchange(used, number, Relaxed, Relaxed).is_ok() {
            step.all.store(0, Relaxed);
            step.marked.store(0, Relaxed);
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let window = Window::new(Duration::from_secs(10));
        for second in 0..30 {
            window.count(second * 1000);
            if second % 2 == 0 {
                window.mark(second * 1000);
            }
            let all = (second + 1).min(10);
            assert_eq!(window.sums(second * 1000).0, all, "{second}");
        }
        assert_eq!(window.sums(29_999), (10, 5));
        assert_eq!(window.sums(33_000), (6, 3));
        assert_eq!(window.sums(60_000), (0, 0));
        window.count(60_000);
        window.clear();
        assert_eq!(window.sums(60_000), (0, 0));
    }
}
