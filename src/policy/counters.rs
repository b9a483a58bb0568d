//! Counts calls in this process: a window that slides, in slots, and a bucket that regains what a burst took. A call that is
//! refused is not counted. Bounded: who has not called for a window is forgotten, and in need anybody.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::auth::Limit;

/// What came of asking for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// False: it was refused, and not counted.
    pub allowed: bool,
    /// How many more calls could come at once now, the burst included.
    pub remaining: u64,
    /// When all of the limit is there again, if nothing comes until then.
    pub reset_after: Duration,
    /// For a refused call: when one would be let through, if nothing comes until then.
    pub retry_after: Duration,
}

/// Whose calls are counted, and of what.
#[derive(Debug, Clone, Copy, Hash)]
pub struct Key<'a> {
    /// The limit's name, and what tells subjects of one kind from another's: `user`, `key`, `address`.
    pub limit: &'a str,
    pub kind: &'a str,
    pub subject: &'a str,
}

const SHARDS: usize = 32;
/// Counts kept in one shard; over all, 128 thousand, of some hundred bytes.
const MOST: usize = 4096;
/// A window is counted in so many slots.
const SLOTS: u64 = 60;

/// Counters in memory.
#[derive(Debug)]
pub struct Counters {
    shards: [Mutex<HashMap<u128, Count>>; SHARDS],
    /// Two hashes of 64 bits make a name that two subjects do not share, and that nobody can aim at.
    hashers: (RandomState, RandomState),
}

#[derive(Debug)]
struct Count {
    /// When a slot began, in ms, and its calls; oldest first.
    slots: VecDeque<(u64, u64)>,
    /// Calls in all slots.
    calls: u64,
    /// What is left in the bucket, in calls times the window's milliseconds.
    bucket: u64,
    /// When the bucket was last filled, in ms.
    filled: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hashers: (RandomState::new(), RandomState::new()),
        }
    }
}

impl Counters {
    /// Asks for one call at a time, in milliseconds since 1970.
    pub fn take(&self, key: &Key<'_>, limit: &Limit, now_ms: u64) -> Taken {
        let (high, low) = (self.hashers.0.hash_one(key), self.hashers.1.hash_one(key));
        let name = (u128::from(high) << 64) | u128::from(low);
        let Some(shard) = self.shards.get(high as usize % SHARDS) else { return free(limit) };
        let window = u64::try_from(limit.window.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= MOST && !shard.contains_key(&name) {
            make_room(&mut shard, now_ms, window);
        }
        let most = u64::from(limit.most());
        let count = shard.entry(name).or_insert_with(|| Count {
            slots: VecDeque::new(),
            calls: 0,
            bucket: most.saturating_mul(window),
            filled: now_ms,
        });
        count.take(u64::from(limit.calls), most, window, now_ms)
    }
}

impl Count {
    fn take(&mut self, calls: u64, most: u64, window: u64, now: u64) -> Taken {
        let now = now.max(self.filled);
        let full = most.saturating_mul(window);
        self.bucket = self.bucket.saturating_add((now - self.filled).saturating_mul(calls)).min(full);
        self.filled = now;
        while let Some((began, gone)) = self.slots.front().copied().filter(|(began, _)| began + window <= now)
        {
            debug_assert!(began + window <= now);
            self.calls -= gone;
            self.slots.pop_front();
        }
        let allowed = self.calls < most && self.bucket >= window;
        if allowed {
            self.calls += 1;
            self.bucket -= window;
            let slot = (window / SLOTS).max(1);
            // A slot is as old as its last call, so that a window is never exceeded.
            match self.slots.back_mut() {
                Some((began, count)) if *began / slot == now / slot => {
                    *began = now;
                    *count += 1;
                }
                _ => self.slots.push_back((now, 1)),
            }
        }
        let refill = |missing: u64| Duration::from_millis(missing.div_ceil(calls.max(1)));
        let until = |began: u64| Duration::from_millis((began + window).saturating_sub(now));
        let last = self.slots.back().map_or(Duration::ZERO, |(began, _)| until(*began));
        let first = self.slots.front().map_or(Duration::ZERO, |(began, _)| until(*began));
        Taken {
            allowed,
            remaining: most.saturating_sub(self.calls).min(self.bucket / window),
            reset_after: last.max(refill(full - self.bucket)),
            retry_after: match allowed {
                true => Duration::ZERO,
                false => {
                    let window_full = if self.calls < most { Duration::ZERO } else { first };
                    window_full.max(refill(window.saturating_sub(self.bucket)))
                }
            },
        }
    }
}

fn make_room(shard: &mut HashMap<u128, Count>, now: u64, window: u64) {
    shard.retain(|_, count| count.filled.saturating_add(window) > now);
    if shard.len() >= MOST {
        // A flood from more addresses than can be counted: half of them begin anew.
        let mut odd = false;
        shard.retain(|_, _| {
            odd = !odd;
            odd
        });
    }
}

fn free(limit: &Limit) -> Taken {
    let remaining = u64::from(limit.most());
    Taken { allowed: true, remaining, reset_after: Duration::ZERO, retry_after: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(subject: &str) -> Key<'_> {
        Key { limit: "l", kind: "user", subject }
    }

    #[test]
    fn a_window_slides_and_charges_no_refused_call() {
        let counters = Counters::default();
        let limit = Limit::new("l", 3, 0, MINUTE).unwrap();
        let take = |at: u64| counters.take(&key("u"), &limit, 1_000_000_000 + at * 1000);
        assert_eq!((take(0).allowed, take(10).allowed), (true, true));
        let third = take(20);
        assert_eq!((third.allowed, third.remaining), (true, 0));
        for at in 21..60 {
            let refused = take(at);
            assert!(!refused.allowed, "{at}");
            assert_eq!(refused.retry_after, Duration::from_secs(60 - at), "{at}");
        }
        // The first has left the window; the refused ones have never been in it.
        assert!(take(60).allowed && !take(61).allowed && take(70).allowed && !take(71).allowed);
        assert!(take(200).allowed);
    }

    #[test]
    fn a_burst_comes_on_top_and_comes_back_slowly() {
        let counters = Counters::default();
        let limit = Limit::new("l", 100, 20, MINUTE).unwrap();
        let at_once = |at: u64| {
            (0..200).filter(|_| counters.take(&key("u"), &limit, 1_000_000_000 + at).allowed).count()
        };
        assert_eq!(at_once(0), 120);
        assert_eq!(at_once(59_999), 0, "at most 120 in any window");
        assert_eq!(at_once(60_000), 100, "a hundred a minute in the long run");
        assert_eq!(at_once(120_000), 100);
        assert_eq!(at_once(300_000), 120, "after a pause, the burst again");
    }

    #[test]
    fn subjects_do_not_share_and_memory_is_bounded() {
        let counters = Counters::default();
        let limit = Limit::new("l", 1, 0, MINUTE).unwrap();
        for number in 0..300_000 {
            assert!(counters.take(&key(&number.to_string()), &limit, 1_000_000_000).allowed);
        }
        let kept: usize = counters.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * MOST, "{kept}");
        assert!(!counters.take(&key("299999"), &limit, 1_000_000_001).allowed);
    }
}
