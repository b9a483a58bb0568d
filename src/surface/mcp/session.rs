//! The sessions of the older versions: what was agreed upon with `initialize`, under an id that nobody can guess, for its
//! caller alone. They are kept where replicas share them, so that any of them may be asked next.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::era::legacy;
use crate::{
    auth::{Principal, digest, hex, now},
    store::{Cache, StoreError},
    telemetry::CacheUse,
};

/// Where sessions are kept.
pub(super) struct Sessions {
    cache: Arc<dyn Cache>,
    used: CacheUse,
}

/// One session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) version: &'static str,
    /// What its client has said that it can do, as JSON.
    pub(super) capabilities: Option<String>,
    /// The least that its client wants of the log, where it has said so.
    pub(super) level: Option<String>,
    /// In seconds since 1970, where that was written down.
    opened: u64,
}

impl Session {
    /// How long it has been open.
    pub(super) fn lasted(&self) -> Option<Duration> {
        (self.opened > 0).then(|| Duration::from_secs(now().saturating_sub(self.opened)))
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: String,
    /// A digest of whose it is; empty for somebody whom nobody knows.
    whose: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capabilities: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    /// When it was opened.
    #[serde(default)]
    opened: u64,
}

impl Sessions {
    pub(super) fn new(cache: Arc<dyn Cache>) -> Self {
        Self { cache, used: CacheUse::default() }
    }

    /// How often one was there that was asked for.
    pub(super) fn used(&self) -> &CacheUse {
        &self.used
    }

    /// Opens a session that ends when it was not used for `lifetime`, and answers its id.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(super) async fn open(
        &self,
        version: &str,
        capabilities: Option<&str>,
        caller: Option<&Principal>,
        lifetime: Duration,
    ) -> Result<String, StoreError> {
        let mut bytes = [0; 24];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| StoreError::Broken("the machine gives no randomness".to_owned()))?;
        let id = hex(&bytes);
        let capabilities = capabilities.map(str::to_owned);
        let (version, whose) = (version.to_owned(), whose(caller));
        let kept = Kept { version, whose, opened: now(), capabilities, level: None };
        let value = serde_json::to_vec(&kept).unwrap_or_default();
        self.cache.set(&key(&id), value.into(), lifetime).await?;
        Ok(id)
    }

    /// The session of an id, if it is this caller's; it lives on from now.
    ///
    /// # Errors
    /// Where sessions are kept nobody answers.
    pub(super) async fn find(
        &self,
        id: &str,
        caller: Option<&Principal>,
        lifetime: Duration,
    ) -> Result<Option<Session>, StoreError> {
        // In one step: one that ends meanwhile does not come back.
        let value = self.cache.renew(&key(id), lifetime).await;
        self.used.asked(&value);
        let Some(value) = value? else { return Ok(None) };
        let Ok(kept) = serde_json::from_slice::<Kept>(&value) else { return Ok(None) };
        let Some(version) = legacy(&kept.version).filter(|_| kept.whose == whose(caller)) else {
            return Ok(None);
        };
        let Kept { capabilities, level, opened, .. } = kept;
        Ok(Some(Session { version, opened, capabilities, level }))
    }

    /// Notes what a session's client wants of the log; the session is its caller's, as has been seen to.
    ///
    /// # Errors
    /// Where sessions are kept nobody answers.
    pub(super) async fn set_level(
        &self,
        id: &str,
        level: &str,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let Some(value) = self.cache.get(&key(id)).await? else { return Ok(()) };
        let Ok(mut kept) = serde_json::from_slice::<Kept>(&value) else { return Ok(()) };
        kept.level = Some(level.to_owned());
        let value = serde_json::to_vec(&kept).unwrap_or_default();
        self.cache.set(&key(id), value.into(), lifetime).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Where sessions are kept nobody answers.
    pub(super) async fn close(&self, id: &str) -> Result<(), StoreError> {
        self.cache.delete(&key(id)).await
    }
}

/// Under a digest: who reads the store can use no session.
fn key(id: &str) -> String {
    format!("propylon:mcp:session:{}", hex(&digest(id.as_bytes())))
}

/// A digest of whose something is; empty for somebody whom nobody knows.
pub(super) fn whose(caller: Option<&Principal>) -> String {
    let Some(caller) = caller else { return String::new() };
    let by = caller.counted_by();
    // The parts cannot run into each other.
    hex(&digest(format!("{}\0{}\0{}", by.kind, by.realm, by.id).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Means, store::MemoryCache};

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_session_is_its_callers_alone() {
        let sessions = Sessions::new(Arc::<MemoryCache>::default());
        let of = |id: &str, means: Means| Principal::new(id, means);
        let (a, b) = (of("a", Means::Own), of("b", Means::Own));
        let elsewhere = of("a", Means::Token { issuer: "other".into() });
        let id = sessions.open("2025-06-18", Some("{}"), Some(&a), HOUR).await.unwrap();
        assert!(id.len() == 48 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let found = async |caller| sessions.find(&id, caller, HOUR).await.unwrap();
        let session = found(Some(&a)).await.unwrap();
        assert_eq!(session.version, "2025-06-18");
        assert!(session.lasted().is_some_and(|lasted| lasted < HOUR));
        assert_eq!(session.capabilities.as_deref(), Some("{}"));
        sessions.set_level(&id, "error", HOUR).await.unwrap();
        assert_eq!(found(Some(&a)).await, Some(Session { level: Some("error".to_owned()), ..session }));
        for caller in [Some(&b), Some(&elsewhere), None] {
            assert_eq!(found(caller).await, None, "{caller:?}");
        }
        sessions.close(&id).await.unwrap();
        assert_eq!(found(Some(&a)).await, None);
        let anonymous = sessions.open("2025-03-26", None, None, HOUR).await.unwrap();
        assert_eq!(sessions.find(&anonymous, Some(&a), HOUR).await.unwrap(), None);
        assert!(sessions.find(&anonymous, None, HOUR).await.unwrap().is_some());
        assert_eq!(sessions.find("", None, HOUR).await.unwrap(), None);
    }
}
