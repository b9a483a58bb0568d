//! A cache: values that may be gone at any time.

use std::time::Duration;

use bytes::Bytes;
use tonic::async_trait;

use super::StoreError;
use crate::telemetry::CacheFigures;

/// Keeps values for a while, in this process or in Redis. What cannot be reached is an error; who asks treats that as a
/// value that is not there.
#[async_trait]
pub trait Cache: Send + Sync {
    /// # Errors
    /// The store's own.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// The value of a key, which is kept for so long from now on; what is not there does not come back by it.
    ///
    /// # Errors
    /// The store's own.
    async fn renew(&self, key: &str, ttl: Duration) -> Result<Option<Bytes>, StoreError>;

    /// Keeps a value for `ttl` at most (to the millisecond; one that is over at once is not kept).
    ///
    /// # Errors
    /// The store's own.
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError>;

    /// # Errors
    /// The store's own.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// How often it had what it was asked for, and what is in it.
    fn figures(&self) -> CacheFigures;
}
