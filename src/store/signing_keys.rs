//! The keys that sign the gateway's own tokens: the same for all replicas, made once, replaced with an overlap in which the
//! old one still verifies.

use tonic::async_trait;

use super::{Micros, Private, StoreError};

/// One signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// `kid` in tokens and in the JWK set.
    pub kid: String,
    /// Such as `EdDSA`.
    pub algorithm: String,
    /// PKCS #8, DER.
    pub private: Private,
    pub created_at: Micros,
    /// It signs from here on; before, it is only published, so that every replica knows it when the first token comes.
    pub signs_from: Micros,
    /// It verifies until here; `None` for the newest, which has no successor yet.
    pub verifies_until: Option<Micros>,
}

/// Keeps signing keys. Every operation is bounded by the store's timeout.
#[async_trait]
pub trait SigningKeys: Send + Sync {
    /// All keys that still verify, the newest first.
    ///
    /// # Errors
    /// The store's own.
    async fn all(&self, now: Micros) -> Result<Vec<SigningKey>, StoreError>;

    /// Keeps `candidate` if there is no key without a successor, and answers as [`SigningKeys::all`] does then: of any
    /// number that try at once, one's key is kept, and all see it.
    ///
    /// # Errors
    /// The store's own.
    async fn first(&self, candidate: &SigningKey, now: Micros) -> Result<Vec<SigningKey>, StoreError>;

    /// Makes `next` the successor of the key `current`, which verifies until `until`. Where `current` has a successor
    /// already, nothing changes. Answers as [`SigningKeys::all`] does then.
    ///
    /// # Errors
    /// The store's own.
    async fn rotate(
        &self,
        current: &str,
        next: &SigningKey,
        until: Micros,
        now: Micros,
    ) -> Result<Vec<SigningKey>, StoreError>;
}
