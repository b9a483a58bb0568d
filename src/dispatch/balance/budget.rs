//! The retry budget: of the calls of the last ten seconds, so many may be sent again. An upstream that fails every call is
//! not asked three times for each.

use std::time::Duration;

use super::window::Window;

const WINDOW: Duration = Duration::from_secs(10);
/// What may be sent again within the window however few calls there were.
const LEAST: u64 = 30;

#[derive(Debug)]
pub(super) struct Budget {
    percent: u64,
    /// All calls, and those sent again.
    window: Window,
}

impl Budget {
    pub(super) fn new(percent: u32) -> Self {
        Self { percent: percent.into(), window: Window::new(WINDOW) }
    }

    /// One more call; `now` in milliseconds.
    pub(super) fn call(&self, now: u64) {
        self.window.count(now);
    }

    /// Takes one retry out, if one is left.
    pub(super) fn take(&self, now: u64) -> bool {
        let (calls, retries) = self.window.sums(now);
        let enough = retries < (calls * self.percent / 100).max(LEAST);
        if enough {
            self.window.mark(now);
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_calls_may_be_sent_again_and_a_few_always() {
        let budget = Budget::new(20);
        let spend = |now| (0..1_000).take_while(|_| budget.take(now)).count() as u64;
        assert_eq!(spend(0), LEAST);
        for now in 0..1_000 {
            budget.call(now * 10);
        }
        assert_eq!(spend(9_999), 200 - LEAST);
        // What was spent comes back as it grows old.
        assert_eq!(spend(25_000), LEAST);
    }
}
