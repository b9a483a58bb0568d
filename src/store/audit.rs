//! Audit lines: who did what to whom, when. They are only ever added.

use tonic::async_trait;

use super::{Micros, Page, StoreError};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// A UUID (version 7).
    pub id: String,
    pub at: Micros,
    /// Who did it: an account's id, an API key's (`key:…`), or `operator`, at the command line.
    pub actor: String,
    /// What was done, such as `account.update`.
    pub action: String,
    /// To what: an account's or a key's id. Empty where there is nothing.
    pub target: String,
    /// The call's request id; empty where it had none.
    pub request_id: String,
    /// The client's address; empty where there was none.
    pub address: String,
    /// What changed, in words; never a secret.
    pub details: String,
}

/// Keeps audit lines.
#[async_trait]
pub trait Audit: Send + Sync {
    /// # Errors
    /// The store's own.
    async fn add(&self, line: &AuditLine) -> Result<(), StoreError>;

    /// The newest lines first, about one target or all.
    ///
    /// # Errors
    /// The store's own.
    async fn list(&self, target: Option<&str>, page: &Page) -> Result<Vec<AuditLine>, StoreError>;
}
