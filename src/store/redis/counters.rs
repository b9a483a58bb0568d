//! Counters in Redis: one script, one round trip. What is sent is numbers and a key, never a part of the script.

use std::time::Duration;

use tonic::async_trait;

use super::Redis;
use crate::store::{Counters, Limit, StoreError, Taken};

#[async_trait]
impl Counters for Redis {
    async fn take_at(&self, key: &str, limit: &Limit, now_ms: Option<u64>) -> Result<Taken, StoreError> {
        let mut call = self.script.prepare_invoke();
        call.key(format!("{}{key}", self.prefix));
        call.arg(limit.calls()).arg(limit.window_ms()).arg(limit.burst()).arg(now_ms.unwrap_or(0));
        let (allowed, remaining, reset, retry): (u8, u64, u64, u64) =
            self.run(|mut connection| async move { call.invoke_async(&mut connection).await }).await?;
        Ok(Taken {
            allowed: allowed == 1,
            remaining,
            reset_after: Duration::from_millis(reset),
            retry_after: Duration::from_millis(retry),
        })
    }
}
