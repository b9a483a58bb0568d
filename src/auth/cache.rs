//! Credentials that were verified, by digest, until they expire: a token is verified once and then looked up. Bounded, and
//! in shards, so that workers do not wait for each other.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Digest, Principal};

const SHARDS: usize = 32;
/// Callers kept in one shard; over all, 64 thousand.
const MOST: usize = 2048;

#[derive(Debug)]
pub(super) struct Cache {
    shards: [Mutex<HashMap<Digest, Entry>>; SHARDS],
    /// What was verified under an earlier one is verified again.
    generation: AtomicU64,
}

#[derive(Debug, Clone)]
struct Entry {
    principal: Arc<Principal>,
    /// In seconds since 1970.
    until: u64,
    generation: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), generation: AtomicU64::new(0) }
    }
}

impl Cache {
    pub(super) fn find(&self, digest: &Digest, now: u64) -> Option<Arc<Principal>> {
        let generation = self.generation.load(Ordering::Acquire);
        let shard = self.shard(digest)?.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(digest)?;
        (entry.until > now && entry.generation == generation).then(|| Arc::clone(&entry.principal))
    }

    /// What a verification that begins now belongs to.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn keep(
        &self,
        digest: &Digest,
        principal: &Arc<Principal>,
        now: u64,
        until: u64,
        generation: u64,
    ) {
        let Some(shard) = self.shard(digest) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= MOST {
            shard.retain(|_, entry| entry.until > now);
        }
        if shard.len() >= MOST {
            // Who is dropped is verified again: any half will do.
            let mut odd = false;
            shard.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        shard.insert(*digest, Entry { principal: Arc::clone(principal), until, generation });
    }

    /// Forgets everybody: a key was taken back.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn shard(&self, digest: &Digest) -> Option<&Mutex<HashMap<Digest, Entry>>> {
        let [first, ..] = digest;
        self.shards.get(usize::from(*first) % SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Means, digest};

    #[test]
    fn it_is_bounded_and_forgets() {
        let cache = Cache::default();
        let somebody = Arc::new(Principal::new("u", Means::Static { name: "t".into() }));
        for number in 0..200_000_u32 {
            cache.keep(&digest(&number.to_le_bytes()), &somebody, 0, 100, 0);
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!((SHARDS * MOST / 2..=SHARDS * MOST).contains(&kept), "{kept}");
        let last = digest(&199_999_u32.to_le_bytes());
        assert!(cache.find(&last, 99).is_some() && cache.find(&last, 100).is_none());
        cache.forget();
        assert!(cache.find(&last, 99).is_none());
        // What began before the forgetting is not kept for after it.
        cache.keep(&last, &somebody, 0, 100, 0);
        assert!(cache.find(&last, 99).is_none());
    }
}
