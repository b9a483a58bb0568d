//! Credentials that were verified, by digest, until they expire: a token is verified once and then looked up. Bounded, and
//! in shards, so that workers do not wait for each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Digest, Principal};

const SHARDS: usize = 32;
/// Callers kept in one shard; over all, 64 thousand.
const MOST: usize = 2048;

#[derive(Debug)]
pub(super) struct Cache {
    shards: [Mutex<HashMap<Digest, Entry>>; SHARDS],
}

#[derive(Debug, Clone)]
struct Entry {
    principal: Arc<Principal>,
    /// In seconds since 1970.
    until: u64,
    version: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Cache {
    /// Whose a credential is, and the version of the revocations that it was verified under.
    pub(super) fn find(&self, digest: &Digest, now: u64) -> Option<(Arc<Principal>, u64)> {
        let shard = self.shard(digest)?.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.get(digest)?;
        (entry.until > now).then(|| (Arc::clone(&entry.principal), entry.version))
    }

    /// How many are in it, those that are over among them.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub(super) fn keep(
        &self,
        digest: &Digest,
        principal: &Arc<Principal>,
        now: u64,
        until: u64,
        version: u64,
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
        shard.insert(*digest, Entry { principal: Arc::clone(principal), until, version });
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
        // Verified again, it is of the version that it was verified under now.
        cache.keep(&last, &somebody, 0, 100, 7);
        assert_eq!(cache.find(&last, 99).map(|(_, version)| version), Some(7));
    }
}
