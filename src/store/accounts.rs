//! Accounts: who may log in, and what is known of them.

use std::collections::BTreeMap;

use tonic::async_trait;

use super::{Micros, Note, Page, PasswordHash, Revocation, StoreError};

/// The role that may administer the gateway; the last active account with it cannot lose it.
pub const ADMIN: &str = "admin";

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// A UUID (version 7).
    pub id: String,
    /// As its owner wrote it, trimmed.
    pub email: String,
    pub username: String,
    /// Sorted, each once.
    pub roles: Vec<String>,
    /// Sorted, each once.
    pub permissions: Vec<String>,
    /// Such as `free`: which rate limit holds.
    pub tier: String,
    /// False: it cannot log in, and none of its credentials is taken.
    pub active: bool,
    /// What its owner says of themselves; the gateway gives it no meaning.
    pub profile: BTreeMap<String, String>,
    pub created_at: Micros,
    pub updated_at: Micros,
    pub last_login_at: Option<Micros>,
    /// How often it has logged in.
    pub logins: i64,
}

impl Account {
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == ADMIN)
    }
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// A UUID (version 7) made for it.
    pub id: String,
    pub email: String,
    /// The e-mail as it is compared: see [`crate::auth::email_key`].
    pub email_key: String,
    pub username: String,
    pub password: PasswordHash,
    pub roles: Vec<String>,
    pub permissions: Vec<String>,
    pub tier: String,
}

/// What changes of an account; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    pub username: Option<String>,
    pub roles: Option<Vec<String>>,
    pub permissions: Option<Vec<String>>,
    pub tier: Option<String>,
    pub active: Option<bool>,
    pub profile: Option<BTreeMap<String, String>>,
    pub password: Option<PasswordHash>,
}

/// What ends with a change of an account: its sessions with their tokens, and what is known of its API keys.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// The session that goes on; "" for none.
    pub but: &'a str,
    /// Until when what is revoked is remembered.
    pub until: Micros,
}

/// An account that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub account: Account,
    /// What ended with the change; nothing where nothing was to.
    pub revoked: Vec<Revocation>,
}

/// Which accounts are listed.
#[derive(Debug, Clone, Default)]
pub struct AccountFilter {
    /// Those whose e-mail contains this, whatever its case.
    pub email: Option<String>,
    pub active: Option<bool>,
}

/// How many accounts there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountCounts {
    pub total: i64,
    pub active: i64,
    pub admins: i64,
    pub by_tier: BTreeMap<String, i64>,
}

/// Keeps accounts. Every operation is bounded by the store's timeout.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Makes an account.
    ///
    /// # Errors
    /// `Conflict(EmailTaken)`: of any number that try at once, exactly one makes it.
    async fn create(&self, new: &NewAccount, now: Micros) -> Result<Account, StoreError>;

    /// Makes an admin where no account has that role; `None` where one has. Of any number that try at once, one makes
    /// it, and the audit line with it. An account that has the e-mail already becomes an admin, with this password, and
    /// what it had of sessions ends.
    ///
    /// # Errors
    /// The store's own.
    async fn create_first_admin(
        &self,
        new: &NewAccount,
        ending: Ending<'_>,
        audit: Note<'_>,
        now: Micros,
    ) -> Result<Option<Changed>, StoreError>;

    /// # Errors
    /// The store's own.
    async fn get(&self, id: &str) -> Result<Option<Account>, StoreError>;

    /// The account with an e-mail (as [`crate::auth::email_key`] makes it), and its password's hash.
    ///
    /// # Errors
    /// The store's own.
    async fn by_email(&self, key: &str) -> Result<Option<(Account, PasswordHash)>, StoreError>;

    /// An account's password hash.
    ///
    /// # Errors
    /// The store's own.
    async fn password(&self, id: &str) -> Result<Option<PasswordHash>, StoreError>;

    /// Changes an account, ends what is to end with it, and writes the audit line: all of it or nothing. `None` where there
    /// is no such account.
    ///
    /// # Errors
    /// `Conflict(LastAdmin)`.
    async fn update(
        &self,
        id: &str,
        change: &AccountChange,
        ending: Option<Ending<'_>>,
        audit: Option<Note<'_>>,
        now: Micros,
    ) -> Result<Option<Changed>, StoreError>;

    /// Replaces a password's hash by another of the same password, made with today's parameters, if it is still `old`.
    ///
    /// # Errors
    /// The store's own.
    async fn rehash(&self, id: &str, old: &PasswordHash, new: &PasswordHash) -> Result<(), StoreError>;

    /// Deletes an account with its API keys and refresh tokens, and revokes its tokens until `until`: all of it or nothing.
    /// `None` where there is no such account. Audit lines stay.
    ///
    /// # Errors
    /// `Conflict(LastAdmin)`.
    async fn delete(
        &self,
        id: &str,
        until: Micros,
        audit: Option<Note<'_>>,
        now: Micros,
    ) -> Result<Option<Revocation>, StoreError>;

    /// Accounts in the order they were made.
    ///
    /// # Errors
    /// The store's own.
    async fn list(&self, filter: &AccountFilter, page: &Page) -> Result<Vec<Account>, StoreError>;

    /// # Errors
    /// The store's own.
    async fn counts(&self) -> Result<AccountCounts, StoreError>;
}
