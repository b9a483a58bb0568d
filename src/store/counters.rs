//! Counters for rate limits: a sliding window with a burst, which charges nothing for a call that it refuses.
//!
//! A [`Rate`] of N per window W with a burst of B lets a call through where both hold: in the window before it there are
//! fewer than N + B calls, and a bucket of N + B, which regains N per W, is not empty. So at most N + B calls are in any
//! window, N per window on average; what a burst took comes back while less than N is used. Without a burst the bucket
//! never decides, and what remains is a sliding window of N. A call that is asked of several counters at once is counted by
//! all of them or, where one refuses it, by none.
//!
//! Calls are counted together in slots of a sixtieth of a window, each as old as its last call: a window is never
//! exceeded, and what falls out of it may come out a sixtieth later. All arithmetic is in whole milliseconds and whole
//! calls, the same here and in Redis (`redis/window.lua`).

use std::time::Duration;

use tonic::async_trait;

use super::StoreError;
use crate::auth::Rate;

/// What a call is counted under, and how often that may be. A key is used with one rate; where the rate changes, what was
/// counted stays. Keys of one call differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    pub key: &'a str,
    pub rate: &'a Rate,
}

/// What came of asking a counter for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// False: this counter refuses the call. It is counted where no counter that was asked for it refuses.
    pub allowed: bool,
    /// How many more calls could come at once now, the burst included.
    pub remaining: u64,
    /// When all of the limit is there again, if nothing comes until then.
    pub reset_after: Duration,
    /// For a refused call: when one would be let through, if nothing comes until then. Nothing for one that was let
    /// through.
    pub retry_after: Duration,
}

/// Counts calls under keys, in this process or in Redis.
#[async_trait]
pub trait Counters: Send + Sync {
    /// Asks for one call, by the counter's own clock. One round trip.
    ///
    /// # Errors
    /// The store's own.
    async fn take(&self, key: &str, rate: &Rate) -> Result<Taken, StoreError> {
        self.take_at(key, rate, None).await
    }

    /// The same at a given time, in milliseconds since 1970. Time never goes back under a key.
    ///
    /// # Errors
    /// The store's own.
    async fn take_at(&self, key: &str, rate: &Rate, now_ms: Option<u64>) -> Result<Taken, StoreError> {
        let taken = self.take_all_at(&[Ask { key, rate }], now_ms).await?;
        taken.first().copied().ok_or_else(|| StoreError::Broken("a counter answered nothing".to_owned()))
    }

    /// Asks for one call that is counted under several keys: in the order of the asks, as many answers. One round trip.
    ///
    /// # Errors
    /// The store's own.
    async fn take_all_at(&self, asks: &[Ask<'_>], now_ms: Option<u64>) -> Result<Vec<Taken>, StoreError>;
}
