//! Counters in this process. What they hold is bounded: a flood from many addresses makes them forget those who called
//! least, never those who are at their limit.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tonic::async_trait;

use super::window::Window;
use crate::store::{Counters, Limit, StoreError, Taken};

const SHARDS: usize = 64;
/// The most keys of one shard: 131,072 in all.
const MOST_KEYS: usize = 2048;

/// Counts in this process.
#[derive(Debug)]
pub struct MemoryCounters {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    windows: HashMap<Box<str>, Window>,
    /// How many keys there may be before those that are over are looked for.
    sweep_at: usize,
}

impl Default for MemoryCounters {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new() }
    }
}

impl MemoryCounters {
    /// Asks for one call, without a wait. The time is in milliseconds since 1970; now, where there is none.
    pub fn take_now(&self, key: &str, limit: &Limit, now_ms: Option<u64>) -> Taken {
        let now = now_ms.unwrap_or_else(wall_clock_ms);
        let index = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(index) else {
            // An index below the number of shards has one.
            return Window::default().take(limit, now);
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = shard.windows.get_mut(key) {
            return window.take(limit, now);
        }
        if shard.windows.len() >= shard.sweep_at {
            shard.sweep(now);
        }
        shard.windows.entry(key.into()).or_default().take(limit, now)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().windows.len()).sum()
    }
}

impl Shard {
    /// Lets go of what is over; where that is not enough, of those who called least.
    fn sweep(&mut self, now: u64) {
        self.windows.retain(|_, window| !window.is_over(now));
        let mut fewest = 1;
        while self.windows.len() >= MOST_KEYS {
            self.windows.retain(|_, window| window.calls() > fewest);
            fewest = fewest.saturating_mul(2);
        }
        self.sweep_at = (self.windows.len() * 2).clamp(64, MOST_KEYS);
    }
}

#[async_trait]
impl Counters for MemoryCounters {
    async fn take_at(&self, key: &str, limit: &Limit, now_ms: Option<u64>) -> Result<Taken, StoreError> {
        Ok(self.take_now(key, limit, now_ms))
    }
}

fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_keys_is_bounded_and_forgets_nobody_who_is_at_the_limit() {
        let counters = MemoryCounters::default();
        let limit = Limit::new(100, Duration::from_secs(60), 0).unwrap();
        for _ in 0..100 {
            assert!(counters.take_now("busy", &limit, Some(0)).allowed);
        }
        for number in 0..400_000 {
            counters.take_now(&format!("flood-{number}"), &limit, Some(1));
        }
        assert!(counters.len() <= SHARDS * MOST_KEYS, "{} keys", counters.len());
        assert!(!counters.take_now("busy", &limit, Some(2)).allowed);
        // What is over makes room.
        for number in 0..200_000 {
            counters.take_now(&format!("later-{number}"), &limit, Some(120_000));
        }
        assert!(counters.len() <= SHARDS * MOST_KEYS);
    }
}
