//! The cache of one process, bounded in entries and bytes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tonic::async_trait;

use crate::{
    store::{Cache, StoreError},
    telemetry::{CacheFigures, CacheUse},
};

const MOST_ENTRIES: usize = 100_000;
const MOST_BYTES: usize = 64 << 20;
/// A time beyond what can be told apart is a long one.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// What an entry costs beside its key and its value.
const OVERHEAD: usize = 128;

/// Keeps values in this process.
#[derive(Debug, Default)]
pub struct MemoryCache {
    inner: Mutex<Inner>,
    used: CacheUse,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Box<str>, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    until: Instant,
}

impl Inner {
    fn remove(&mut self, key: &str) {
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.bytes -= cost(&key, &entry.value);
        }
    }

    /// Makes room for so many bytes: what is over goes first, then whatever comes first.
    fn make_room(&mut self, bytes: usize) {
        let fits = |inner: &Self, entries| inner.entries.len() < entries && inner.bytes + bytes <= MOST_BYTES;
        if fits(self, MOST_ENTRIES) {
            return;
        }
        let now = Instant::now();
        let over: Vec<_> =
            self.entries.iter().filter(|(_, e)| e.until <= now).map(|(k, _)| k.clone()).collect();
        for key in over {
            self.remove(&key);
        }
        // A tenth more than is needed, so that this does not come with every entry.
        while !fits(self, MOST_ENTRIES / 10 * 9) {
            let Some(key) = self.entries.keys().next().cloned() else { return };
            self.remove(&key);
        }
    }
}

impl MemoryCache {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let inner = self.inner();
        let entry = inner.entries.get(key).filter(|entry| Instant::now() < entry.until);
        let found = Ok(entry.map(|entry| entry.value.clone()));
        self.used.asked(&found);
        found
    }

    async fn renew(&self, key: &str, ttl: Duration) -> Result<Option<Bytes>, StoreError> {
        let (mut inner, now) = (self.inner(), Instant::now());
        let entry = inner.entries.get_mut(key).filter(|entry| now < entry.until);
        let found = Ok(entry.map(|entry| {
            entry.until = now + ttl.min(LONGEST);
            entry.value.clone()
        }));
        self.used.asked(&found);
        found
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        let mut inner = self.inner();
        inner.remove(key);
        let bytes = cost(key, &value);
        if bytes > MOST_BYTES / 8 || ttl < Duration::from_millis(1) {
            return Ok(());
        }
        inner.make_room(bytes);
        inner.bytes += bytes;
        let until = Instant::now() + ttl.min(LONGEST);
        inner.entries.insert(key.into(), Entry { value, until });
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner().remove(key);
        Ok(())
    }

    fn figures(&self) -> CacheFigures {
        let inner = self.inner();
        CacheFigures {
            cache: "memory",
            counts: self.used.counts(),
            entries: Some(inner.entries.len()),
            bytes: Some(inner.bytes),
        }
    }
}

fn cost(key: &str, value: &Bytes) -> usize {
    key.len() + value.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_holds_so_much_and_no_more() {
        let cache = MemoryCache::default();
        let long = Duration::from_secs(600);
        for number in 0..120_000 {
            cache.set(&number.to_string(), Bytes::from_static(b"x"), long).await.unwrap();
        }
        assert!(cache.inner.lock().unwrap().entries.len() <= MOST_ENTRIES);
        for number in 0..100 {
            cache.set(&format!("big{number}"), vec![0; 1 << 20].into(), long).await.unwrap();
        }
        let (bytes, counted) = {
            let inner = cache.inner.lock().unwrap();
            (inner.bytes, inner.entries.iter().map(|(key, entry)| cost(key, &entry.value)).sum::<usize>())
        };
        assert!(bytes <= MOST_BYTES && bytes == counted, "{bytes} {counted}");
        // What is too large is not kept, and what it replaces is gone.
        cache.set("big99", vec![0; MOST_BYTES].into(), long).await.unwrap();
        assert_eq!(cache.get("big99").await.unwrap(), None);
    }
}
