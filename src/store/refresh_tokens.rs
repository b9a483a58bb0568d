//! Refresh tokens: opaque, kept as digests, another at each use. All that came from one login are a family; whoever shows
//! one that was used already has stolen it or was stolen from, and ends the family.

use tonic::async_trait;

use super::{Account, Digest, Ending, Micros, PasswordHash, Revocation, StoreError};

/// The first refresh token of a login.
#[derive(Debug, Clone)]
pub struct NewFamily {
    /// A UUID (version 7): the session, `sid` in access tokens.
    pub id: String,
    pub account: String,
    pub digest: Digest,
    pub expires_at: Micros,
    /// The hash of the password that was shown for it.
    pub password: PasswordHash,
    /// It is a login, which is counted and noted; a registration is none.
    pub login: bool,
}

/// What came of showing a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The old one is used up; the new one is good. The account as it is at that.
    Rotated(Session, Box<Account>),
    /// It was used before: its family has ended now, and whatever came of it is revoked.
    Reused(Session, Revocation),
    /// Its time is over, its family ended before, or its account is not active.
    Ended(Session),
    Unknown,
}

/// Whose token it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub family: String,
    pub account: String,
}

/// Keeps refresh tokens. Every operation is bounded by the store's timeout.
#[async_trait]
pub trait RefreshTokens: Send + Sync {
    /// Begins a family, if the account is active and its password still the one that was shown: the account as it is at
    /// that, in one step. `None` where it is not so, and nothing has begun.
    ///
    /// # Errors
    /// The store's own.
    async fn begin(&self, new: &NewFamily, now: Micros) -> Result<Option<Account>, StoreError>;

    /// Uses a token up and puts another in its place, in one step: of any number that show the same token at once, at
    /// most one gets [`Rotation::Rotated`]. What a token that was used before ends is revoked until `until`.
    ///
    /// # Errors
    /// The store's own.
    async fn rotate(
        &self,
        old: &Digest,
        new: &Digest,
        expires_at: Micros,
        until: Micros,
        now: Micros,
    ) -> Result<Rotation, StoreError>;

    /// Whose a token is, without using it up; `None` where it is unknown.
    ///
    /// # Errors
    /// The store's own.
    async fn session(&self, token: &Digest) -> Result<Option<Session>, StoreError>;

    /// Ends a family, if there is one that has not ended, and revokes its tokens until `until`, in one step.
    ///
    /// # Errors
    /// The store's own.
    async fn end(&self, family: &str, until: Micros, now: Micros) -> Result<Revocation, StoreError>;

    /// Ends all families of an account but one, and revokes their tokens and what is known of the account's API keys, in one
    /// step.
    ///
    /// # Errors
    /// The store's own.
    async fn end_all(
        &self,
        account: &str,
        ending: Ending<'_>,
        now: Micros,
    ) -> Result<Vec<Revocation>, StoreError>;

    /// How many families go on.
    ///
    /// # Errors
    /// The store's own.
    async fn count_live(&self, now: Micros) -> Result<i64, StoreError>;

    /// Forgets families whose time was over before `before`; how many.
    ///
    /// # Errors
    /// The store's own.
    async fn forget(&self, before: Micros) -> Result<u64, StoreError>;
}
