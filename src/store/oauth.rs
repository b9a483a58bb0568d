//! What the authorization server keeps: clients that registered themselves, what people who have logged in are asked, the
//! codes that come of their answers, and what the tokens that come of those are for. Everything secret is kept as a digest.

use tonic::async_trait;

use super::{Account, Digest, Micros, PasswordHash, Revocation, StoreError};

/// A program that registered itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthClient {
    pub id: String,
    /// As it calls itself.
    pub name: String,
    pub redirects: Vec<String>,
}

/// What a program asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthRequest {
    pub client: String,
    /// Where the answer goes.
    pub redirect: String,
    /// SHA-256 of what it must show with the code, in base64url.
    pub challenge: String,
    /// The address of what the tokens are for.
    pub resource: String,
    pub scopes: Vec<String>,
    /// Its own, given back with the answer; empty for none.
    pub state: String,
}

/// Somebody who has logged in to answer a request.
#[derive(Debug, Clone)]
pub struct OauthLogin {
    pub account: String,
    /// The hash of the password that was shown.
    pub password: PasswordHash,
    /// A digest of what their browser alone knows.
    pub browser: String,
    /// What the answer comes with.
    pub ticket: Digest,
    pub expires_at: Micros,
}

/// What a program shows for its tokens.
#[derive(Debug, Clone, Copy)]
pub struct Redemption<'a> {
    pub code: &'a Digest,
    pub client: &'a str,
    /// `None` where it does not say.
    pub redirect: Option<&'a str>,
    /// Made of the verifier that it shows.
    pub challenge: &'a str,
    /// `None` where it does not say.
    pub resource: Option<&'a str>,
}

/// What comes of a code.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// A UUID (version 7): the session of its tokens.
    pub family: String,
    /// That of the refresh token.
    pub digest: Digest,
    pub expires_at: Micros,
}

/// What a program was let do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub family: String,
    pub client: String,
    pub resource: String,
    pub scopes: Vec<String>,
}

/// What came of showing a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    Granted(Grant, Box<Account>),
    /// It is used up now: what is named does not fit.
    Wrong(&'static str),
    /// It was used before: what came of it then has ended now.
    Replayed(Option<Revocation>),
    /// There is none, its time is over, or its account is not active.
    Unknown,
}

/// Keeps what the authorization server knows. Every operation is bounded by the store's timeout.
#[async_trait]
pub trait Oauth: Send + Sync {
    /// # Errors
    /// The store's own.
    async fn register(&self, client: &OauthClient, now: Micros) -> Result<(), StoreError>;

    /// # Errors
    /// The store's own.
    async fn client(&self, id: &str) -> Result<Option<OauthClient>, StoreError>;

    /// Keeps what somebody is asked who has logged in, with the login noted; false where the account has another password by
    /// now, or is not active.
    ///
    /// # Errors
    /// The store's own.
    async fn ask(&self, login: &OauthLogin, request: &OauthRequest, now: Micros) -> Result<bool, StoreError>;

    /// Uses a ticket up, in the browser that it was given to: what was asked, and whose account it is about. With a `code` that
    /// is good from then on, until the time beside it. `None` where there is no such ticket, or its time is over.
    ///
    /// # Errors
    /// The store's own.
    async fn answer(
        &self,
        ticket: &Digest,
        browser: &str,
        code: Option<(&Digest, Micros)>,
        now: Micros,
    ) -> Result<Option<(OauthRequest, String)>, StoreError>;

    /// Uses a code up and begins a family of tokens, in one step: of any number that show one code, at most one gets tokens,
    /// and the next one ends them. What ends is revoked until `until`.
    ///
    /// # Errors
    /// The store's own.
    async fn redeem(
        &self,
        shown: &Redemption<'_>,
        new: &NewGrant,
        until: Micros,
        now: Micros,
    ) -> Result<Redeemed, StoreError>;

    /// What a refresh token of a program's is for, without using it up.
    ///
    /// # Errors
    /// The store's own.
    async fn grant(&self, token: &Digest) -> Result<Option<Grant>, StoreError>;

    /// Forgets requests and codes whose time was over before `before`, and clients that nobody has let do anything.
    ///
    /// # Errors
    /// The store's own.
    async fn forget(&self, before: Micros) -> Result<u64, StoreError>;
}
