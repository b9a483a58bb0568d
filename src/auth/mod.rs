//! Who calls, and on what terms a route may be called: credentials and what makes them good, access rules, limits. Pure
//! domain: it knows no surface and no store; what it needs of a store it says in traits ([`ApiKeys`], [`Revocations`]).

pub mod access;
mod api_key;
mod cache;
mod certificate;
mod certificate_callers;
pub mod claims;
pub mod client;
mod credential;
mod email;
mod fetch;
mod issuer;
pub mod jose;
mod json;
pub mod keys;
mod limit;
mod mint;
mod principal;
mod public;
mod rate;
mod refused;
mod remote;
mod resource;
mod rulebook;
mod rules;
mod terms;
mod verifier;

pub use self::{
    access::{Access, Rule, Subject, Unmet},
    api_key::ApiKey,
    certificate::{Certificate, NameKind},
    certificate_callers::{CERTIFICATE, CertificateCallers, CertificateGrant, NamePattern},
    client::{Client, Network, Proxies, place},
    credential::{API_KEY, Presented},
    email::{email_key, same_email},
    fetch::{Endpoint, Fetch, Https},
    issuer::{Issuer, KeySource, MOST_SKEW, OWN},
    keys::{Key, KeySet, SigningKey},
    limit::{Away, Limit},
    mint::{Minter, NewToken},
    principal::{CountedBy, Means, Principal},
    public::is_public,
    rate::Rate,
    refused::{Failed, Refused},
    remote::Remote,
    resource::{Audience, Origin, Resource, meant},
    rulebook::{Entry, Rulebook, Used, Whose},
    rules::{Cover, Pattern, Place},
    terms::{Credentials, RouteLimit, Scope, Terms},
    verifier::{ApiKeys, Revocations, StaticToken, Verifier},
};

/// SHA-256 of a credential: what is looked up, cached and kept in its place.
pub type Digest = [u8; 32];

/// The digest of a credential's text.
#[must_use]
pub fn digest(text: &[u8]) -> Digest {
    let mut out = [0; 32];
    // SHA-256 has 32 bytes.
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text).as_ref());
    out
}

/// Bytes in small hexadecimal letters, two each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|d| char::from_digit(d.into(), 16))
        .collect()
}

/// Seconds since 1970, by the wall clock.
#[must_use]
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
