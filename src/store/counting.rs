//! Where calls are counted: in Redis, which replicas share, or in this process; and what holds while Redis is away.

use std::{fmt, sync::Arc};

use super::{Ask, Counters, MemoryCounters, StoreError, Taken};
use crate::auth::Away;

/// The counters of a gateway.
#[derive(Clone)]
pub struct Counting {
    /// Of this process: where there is no Redis, or while it is away.
    pub local: Arc<MemoryCounters>,
    /// Those that replicas share.
    pub shared: Option<Arc<dyn Counters>>,
}

impl Counting {
    /// Counts in this process alone.
    #[must_use]
    pub fn here() -> Self {
        Self { local: Arc::default(), shared: None }
    }

    /// Asks for one call under one key. `None`: Redis is away, and the limit lets every call through then.
    ///
    /// # Errors
    /// Redis is away, and the limit lets no call through then.
    pub async fn take_one(&self, ask: Ask<'_>, away: Away) -> Result<Option<Taken>, StoreError> {
        let Ask { key, rate } = ask;
        let Some(shared) = &self.shared else { return Ok(Some(self.local.take_now(key, rate, None))) };
        match (shared.take(key, rate).await, away) {
            (Ok(taken), _) => Ok(Some(taken)),
            (Err(_), Away::Open) => Ok(None),
            (Err(_), Away::Local) => Ok(Some(self.local.take_now(key, rate, None))),
            (Err(error), Away::Closed) => Err(error),
        }
    }

    /// Asks for one call under several keys; each ask with what holds while Redis is away. In the order of the asks, as
    /// many answers; `None`: Redis is away, and the limit lets every call through then.
    ///
    /// # Errors
    /// Redis is away, and one of the limits lets no call through then.
    pub async fn take(&self, asks: &[(Ask<'_>, Away)]) -> Result<Vec<Option<Taken>>, StoreError> {
        let all: Vec<Ask<'_>> = asks.iter().map(|(ask, _)| *ask).collect();
        let Some(shared) = &self.shared else {
            return Ok(self.local.take_all_now(&all, None).into_iter().map(Some).collect());
        };
        let error = match shared.take_all_at(&all, None).await {
            Ok(taken) => return Ok(taken.into_iter().map(Some).collect()),
            Err(error) => error,
        };
        if asks.iter().any(|(_, away)| *away == Away::Closed) {
            return Err(error);
        }
        let local = asks.iter().filter(|(_, away)| *away == Away::Local);
        let local: Vec<Ask<'_>> = local.map(|(ask, _)| *ask).collect();
        let mut taken = self.local.take_all_now(&local, None).into_iter();
        Ok(asks.iter().map(|(_, away)| if *away == Away::Local { taken.next() } else { None }).collect())
    }
}

impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counting").field("shared", &self.shared.is_some()).finish_non_exhaustive()
    }
}
