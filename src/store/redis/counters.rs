//! Counters in Redis: one script, one round trip. What is sent is numbers and a key, never a part of the script.

use std::time::Duration;

use tonic::async_trait;

use super::Redis;
use crate::store::{Ask, Counters, StoreError, Taken};

#[async_trait]
impl Counters for Redis {
    async fn take_all_at(&self, asks: &[Ask<'_>], now_ms: Option<u64>) -> Result<Vec<Taken>, StoreError> {
        let mut call = self.script.prepare_invoke();
        call.arg(now_ms.unwrap_or(0));
        for Ask { key, rate } in asks {
            call.key(format!("{}{key}", self.prefix));
            call.arg(rate.calls()).arg(rate.window_ms()).arg(rate.burst());
        }
        let told: Vec<(u8, u64, u64, u64)> =
            self.run(|mut connection| async move { call.invoke_async(&mut connection).await }).await?;
        if told.len() != asks.len() {
            return Err(StoreError::Broken(format!("{} answers to {} asks", told.len(), asks.len())));
        }
        let taken = told.into_iter().map(|(allowed, remaining, reset, retry)| Taken {
            allowed: allowed == 1,
            remaining,
            reset_after: Duration::from_millis(reset),
            retry_after: Duration::from_millis(retry),
        });
        Ok(taken.collect())
    }
}
