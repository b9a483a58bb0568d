//! What outlives a process, and what replicas share: accounts, API keys, refresh tokens, signing keys, revocations and audit
//! lines in SQLite or PostgreSQL; a cache and counters in this process or in Redis. One trait a concern, in a file of its
//! own; `sql`, `redis` and `memory` keep them.
//!
//! A store may be away at any time, at the start as well: its operations then fail within their timeout, and with
//! [`StoreError::Away`]; they work again when it is back.

mod accounts;
mod api_keys;
mod asked;
mod audit;
mod cache;
mod counters;
mod counting;
mod error;
mod gate;
mod memory;
mod oauth;
mod redis;
mod refresh_tokens;
mod revocations;
mod secret;
mod signing_keys;
mod sql;
mod stores;
mod time;
mod url;

pub use self::{
    accounts::{
        ADMIN, Account, AccountChange, AccountCounts, AccountFilter, Accounts, Changed, Ending, NewAccount,
    },
    api_keys::{ApiKey, ApiKeys},
    asked::{ask_postgres, ask_redis},
    audit::{Audit, AuditLine, Note},
    cache::Cache,
    counters::{Ask, Counters, Taken},
    counting::Counting,
    error::{Conflict, StoreError},
    gate::{AT_START, State},
    memory::{MemoryCache, MemoryCounters},
    oauth::{Grant, NewGrant, Oauth, OauthClient, OauthLogin, OauthRequest, Redeemed, Redemption},
    refresh_tokens::{NewFamily, RefreshTokens, Rotation, Session},
    revocations::{Revocation, RevocationList, Revocations, Revoked},
    secret::{Digest, PasswordHash, Private},
    signing_keys::{SigningKey, SigningKeys},
    stores::{Settings, StoreHealth, Stores},
    time::Micros,
    url::{DatabaseUrl, RedisUrl, Tls, UrlError},
};

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The id of the last item of the page before; empty for the first page.
    pub after: String,
    /// How many items at most.
    pub limit: u32,
}
