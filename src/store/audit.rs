//! Audit lines: who did what to whom, when. They are only ever added.

use tonic::async_trait;

use super::{AT_START, Account, Micros, Page, StoreError};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// A UUID (version 7).
    pub id: String,
    pub at: Micros,
    /// Who did it: an account's id, an API key's (`key:…`), or `operator`, at the command line and on the gateway's own
    /// machine; `gateway`, which makes the first admin.
    pub actor: String,
    /// What was done, such as `user.update`.
    pub action: String,
    /// To what: an account's or a key's id. Empty where there is nothing.
    pub target: String,
    /// The call's request id; empty where it had none.
    pub request_id: String,
    /// The client's address; empty where there was none.
    pub address: String,
    /// What changed, in words, with what was before; never a secret.
    pub details: String,
}

/// Makes the line about an account, given as it was before the act (one that is made: as it is now). It is asked within the
/// act's own transaction, so that what it says was there is what the act found.
pub type Note<'a> = &'a (dyn Fn(&Account) -> AuditLine + Send + Sync);

impl AuditLine {
    /// The actor of what the gateway does by itself.
    pub const GATEWAY: &str = "gateway";

    /// Says it in the log too: for what has happened, once it has. What the gateway itself does at its start is told to a
    /// person by the start's own words.
    pub fn log(&self) {
        if self.actor == Self::GATEWAY {
            tracing::info!(target: AT_START, action = self.action, target_id = self.target, "{}", self.details);
            return;
        }
        tracing::info!(
            target: "audit",
            actor = self.actor,
            action = self.action,
            target_id = self.target,
            request_id = self.request_id,
            address = self.address,
            "{}",
            self.details
        );
    }
}

/// Keeps audit lines; one that is kept is in the log.
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
