//! How often a cache had what it was asked for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counted where the cache is.
#[derive(Debug, Default)]
pub struct CacheUse {
    hits: AtomicU64,
    misses: AtomicU64,
    errors: AtomicU64,
}

impl CacheUse {
    /// It had it, or not, or could not be asked.
    pub fn asked<T, E>(&self, found: &Result<Option<T>, E>) {
        match found {
            Ok(Some(_)) => self.hit(),
            Ok(None) => self.missed(),
            Err(_) => drop(self.errors.fetch_add(1, Relaxed)),
        }
    }

    pub fn hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    pub fn missed(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    /// The words for it, and how often.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        [("hit", &self.hits), ("miss", &self.misses), ("error", &self.errors)]
            .map(|(word, count)| (word, count.load(Relaxed)))
    }
}

/// One cache as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFigures {
    /// What it keeps, or where it is.
    pub cache: &'static str,
    pub counts: [(&'static str, u64); 3],
    /// What is in it, where that is known.
    pub entries: Option<usize>,
    pub bytes: Option<usize>,
}
