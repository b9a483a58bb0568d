//! API keys: long random credentials for programs. A key is shown once, when it is made; its digest is kept.

use tonic::async_trait;

use super::{AuditLine, Digest, Micros, Page, Revocation, StoreError};

/// One API key, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// A UUID (version 7).
    pub id: String,
    pub name: String,
    /// The first characters of the key, to know it again by.
    pub prefix: String,
    /// The account it acts for; `None` for one of its own.
    pub owner: Option<String>,
    pub roles: Vec<String>,
    pub permissions: Vec<String>,
    pub scopes: Vec<String>,
    pub tier: String,
    pub created_at: Micros,
    pub expires_at: Option<Micros>,
    pub revoked_at: Option<Micros>,
    /// To the minute or so.
    pub last_used_at: Option<Micros>,
}

impl ApiKey {
    /// True while it may be used, apart from its owner's being active.
    #[must_use]
    pub fn usable(&self, now: Micros) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Keeps API keys. Every operation is bounded by the store's timeout.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Keeps a new key, and the audit line with it or not at all.
    ///
    /// # Errors
    /// The store's own.
    async fn create(
        &self,
        key: &ApiKey,
        digest: &Digest,
        audit: Option<&AuditLine>,
    ) -> Result<(), StoreError>;

    /// The key with a digest, whether it may be used or not.
    ///
    /// # Errors
    /// The store's own.
    async fn by_digest(&self, digest: &Digest) -> Result<Option<ApiKey>, StoreError>;

    /// # Errors
    /// The store's own.
    async fn get(&self, id: &str) -> Result<Option<ApiKey>, StoreError>;

    /// Keys in the order they were made, of one owner or of all.
    ///
    /// # Errors
    /// The store's own.
    async fn list(&self, owner: Option<&str>, page: &Page) -> Result<Vec<ApiKey>, StoreError>;

    /// Ends a key, and revokes what is known of it until `until`: all of it or nothing. Where it has ended already, the first
    /// end stays and no audit line is written. `None` where there is no such key.
    ///
    /// # Errors
    /// The store's own.
    async fn revoke(
        &self,
        id: &str,
        until: Micros,
        audit: Option<&AuditLine>,
        now: Micros,
    ) -> Result<Option<(ApiKey, Revocation)>, StoreError>;

    /// Notes when keys were used last.
    ///
    /// # Errors
    /// The store's own.
    async fn used(&self, keys: &[(String, Micros)]) -> Result<(), StoreError>;

    /// How many keys may be used now.
    ///
    /// # Errors
    /// The store's own.
    async fn count_usable(&self, now: Micros) -> Result<i64, StoreError>;
}
