//! The cache in Redis: `GET`, `GETEX … PX`, `SET … PX`, `DEL`, under the keys as they are.

use std::time::Duration;

use ::redis::cmd;
use bytes::Bytes;
use tonic::async_trait;

use super::Redis;
use crate::{
    store::{Cache, StoreError},
    telemetry::CacheFigures,
};

#[async_trait]
impl Cache for Redis {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let mut command = cmd("GET");
        command.arg(key);
        let value: Result<Option<Vec<u8>>, _> =
            self.run(|mut connection| async move { command.query_async(&mut connection).await }).await;
        self.used.asked(&value);
        Ok(value?.map(Bytes::from))
    }

    async fn renew(&self, key: &str, ttl: Duration) -> Result<Option<Bytes>, StoreError> {
        let mut command = cmd("GETEX");
        command.arg(key).arg("PX").arg(milliseconds(ttl).max(1));
        let value: Result<Option<Vec<u8>>, _> =
            self.run(|mut connection| async move { command.query_async(&mut connection).await }).await;
        self.used.asked(&value);
        Ok(value?.map(Bytes::from))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        let ttl = milliseconds(ttl);
        if ttl == 0 {
            return self.delete(key).await;
        }
        let mut command = cmd("SET");
        command.arg(key).arg(&*value).arg("PX").arg(ttl);
        self.run(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let mut command = cmd("DEL");
        command.arg(key);
        self.run(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// What else is in it nobody here knows.
    fn figures(&self) -> CacheFigures {
        CacheFigures { cache: "redis", counts: self.used.counts(), entries: None, bytes: None }
    }
}

/// A time as Redis takes it; one beyond what can be told apart is a long one.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).min(10 * 365 * 24 * 60 * 60 * 1000)
}
