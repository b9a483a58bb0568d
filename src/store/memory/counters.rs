//! Counters in this process. What they hold is bounded: a flood from many addresses makes them forget those who called
//! least, never those who are at their limit.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tonic::async_trait;

use super::window::Window;
use crate::{
    auth::Rate,
    store::{Ask, Counters, StoreError, Taken},
};

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
    pub fn take_now(&self, key: &str, rate: &Rate, now_ms: Option<u64>) -> Taken {
        let now = now_ms.unwrap_or_else(wall_clock_ms);
        // A place has a shard.
        let Some(shard) = self.shards.get(self.place(key)) else { return Window::default().take(rate, now) };
        let mut shard = lock(shard);
        // Most callers have called before.
        if let Some(window) = shard.windows.get_mut(key) {
            return window.take(rate, now);
        }
        shard.window(key, now).take(rate, now)
    }

    /// Asks for one call under several keys, which are counted together or not at all; without a wait.
    pub fn take_all_now(&self, asks: &[Ask<'_>], now_ms: Option<u64>) -> Vec<Taken> {
        if let [Ask { key, rate }] = asks {
            return vec![self.take_now(key, rate, now_ms)];
        }
        let now = now_ms.unwrap_or_else(wall_clock_ms);
        // Locked in one order by all who ask, each once.
        let places: BTreeSet<usize> = asks.iter().map(|ask| self.place(ask.key)).collect();
        let mut shards: BTreeMap<usize, MutexGuard<'_, Shard>> =
            places.into_iter().filter_map(|at| Some((at, lock(self.shards.get(at)?)))).collect();
        // Looked up first: to make room for one may let another go.
        for ask in asks {
            if let Some(shard) = shards.get_mut(&self.place(ask.key)) {
                shard.window(ask.key, now);
            }
        }
        let mut window = |key: &str, act: &mut dyn FnMut(&mut Window)| {
            let shard = shards.get_mut(&self.place(key));
            act(shard.and_then(|shard| shard.windows.get_mut(key)).unwrap_or(&mut Window::default()));
        };
        let mut sights = Vec::with_capacity(asks.len());
        for Ask { key, rate } in asks {
            window(key, &mut |window| sights.push(window.look(rate, now)));
        }
        let all = sights.iter().all(|sight| sight.allowed);
        let mut taken = Vec::with_capacity(asks.len());
        for (Ask { key, rate }, sight) in asks.iter().zip(&mut sights) {
            window(key, &mut |window| {
                if all {
                    window.count(rate, sight);
                }
                taken.push(window.tell(rate, sight));
            });
        }
        taken
    }

    /// Which shard a key is in.
    fn place(&self, key: &str) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().windows.len()).sum()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// A key's window, which may be new.
    fn window(&mut self, key: &str, now: u64) -> &mut Window {
        if !self.windows.contains_key(key) {
            if self.windows.len() >= self.sweep_at {
                self.sweep(now);
            }
            self.windows.insert(key.into(), Window::default());
        }
        self.windows.entry(key.into()).or_default()
    }

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
    async fn take_all_at(&self, asks: &[Ask<'_>], now_ms: Option<u64>) -> Result<Vec<Taken>, StoreError> {
        Ok(self.take_all_now(asks, now_ms))
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
        let limit = Rate::new(100, Duration::from_secs(60), 0).unwrap();
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
