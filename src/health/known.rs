//! Which services that may be absent were ever seen: from then on they are down, and not undeployed. Kept in the cache beside
//! what probes found, so that replicas and restarts know it too, as far as a cache keeps anything.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use crate::store::Cache;

/// A service that nobody has seen for so long may be taken for one that was never there.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The services that were seen, by their targets.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Inner>);

#[derive(Debug, Default, Clone)]
struct Inner {
    seen: BTreeSet<String>,
    /// What others have seen was asked for.
    asked: bool,
    /// All of it is in the cache.
    told: bool,
}

impl Known {
    /// The same, for the probes of another config.
    pub(super) fn again(&self) -> Self {
        Self(Mutex::new(self.inner().clone()))
    }

    pub(super) fn has(&self, target: &str) -> bool {
        self.inner().seen.contains(target)
    }

    pub(super) fn add(&self, target: &str) {
        let mut inner = self.inner();
        if inner.seen.insert(target.to_owned()) {
            inner.told = false;
        }
    }

    /// Takes over what others have seen, once it can be read.
    pub(super) async fn hear(&self, cache: &dyn Cache, key: &str) {
        if self.inner().asked {
            return;
        }
        let Ok(text) = cache.get(key).await else { return };
        let heard: Vec<String> = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let mut inner = self.inner();
        inner.asked = true;
        inner.seen.extend(heard);
    }

    /// Tells the others what is new.
    pub(super) async fn tell(&self, cache: &dyn Cache, key: &str) {
        let text = {
            let inner = self.inner();
            if inner.told || inner.seen.is_empty() {
                return;
            }
            serde_json::to_vec(&inner.seen).map(Bytes::from).unwrap_or_default()
        };
        if cache.set(key, text, KEPT).await.is_ok() {
            self.inner().told = true;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryCache;

    #[tokio::test]
    async fn a_restart_and_another_replica_know_what_was_seen() {
        let cache = MemoryCache::default();
        let (one, other) = (Known::default(), Known::default());
        one.hear(&cache, "seen").await;
        one.add("tcp a:1");
        one.tell(&cache, "seen").await;
        assert!(!other.has("tcp a:1"));
        other.hear(&cache, "seen").await;
        assert!(other.has("tcp a:1") && !other.has("tcp b:1"));
        assert!(other.again().has("tcp a:1"));
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_nothing() {
        let cache = MemoryCache::default();
        cache.set("seen", Bytes::from_static(b"{\"a\": 1}"), Duration::from_secs(9)).await.unwrap();
        let known = Known::default();
        known.hear(&cache, "seen").await;
        assert!(!known.has("a"));
    }
}
