//! Somebody whose tokens are taken: the gateway itself, or another service, with what its tokens must say and where its
//! keys are.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};

use super::{
    Audience, Failed, KeySet, Means, Principal, Refused, Remote,
    claims::{ClaimMap, Times, audiences, is_for},
    jose::Token,
};

/// The most seconds by which clocks may differ.
pub const MOST_SKEW: u64 = 60;

/// What the gateway's own tokens say of where they come from, and whom they are for; its name among the issuers.
pub const OWN: &str = "propylon";

/// One issuer of tokens.
#[derive(Debug)]
pub struct Issuer {
    /// Its name in the config.
    pub name: Arc<str>,
    /// What `iss` must be; `None` where its tokens need have none.
    pub issuer: Option<String>,
    /// What `aud` must name one of; empty where its tokens need have none.
    pub audiences: Vec<String>,
    /// The addresses of the resources that it makes tokens for, beside what `audiences` says; the gateway itself makes them for
    /// whatever resource of its own.
    pub resources: Vec<Arc<str>>,
    pub keys: KeySource,
    pub claims: ClaimMap,
    /// Seconds by which its clock may differ; at most [`MOST_SKEW`].
    pub skew: u64,
    /// The most seconds that a token is good for from its `iat` on, whatever its `exp` is; `None` where `exp` alone decides.
    pub lifetime: Option<u64>,
}

/// Where an issuer's keys are.
#[derive(Debug)]
pub enum KeySource {
    /// The gateway's own; none until they have been read.
    Own(Arc<ArcSwap<KeySet>>),
    /// Here.
    Here(KeySet),
    /// At its JWKS.
    Remote(Arc<Remote>),
}

impl Issuer {
    /// The gateway itself, whose tokens these keys verify. One that was issued when the lifetime was longer ends with the
    /// lifetime of today: what is revoked is remembered no longer than that.
    #[must_use]
    pub fn own(keys: Arc<ArcSwap<KeySet>>, lifetime: Duration) -> Self {
        Self {
            name: OWN.into(),
            issuer: Some(OWN.to_owned()),
            audiences: vec![OWN.to_owned()],
            resources: Vec::new(),
            keys: KeySource::Own(keys),
            claims: ClaimMap::own(),
            skew: MOST_SKEW,
            lifetime: Some(lifetime.as_secs()),
        }
    }

    /// True where it may have issued a token with these claims, which nobody has verified yet.
    #[must_use]
    pub fn may_have_issued(&self, claims: &Map<String, Value>) -> bool {
        self.issuer.as_ref().is_none_or(|wanted| claims.get("iss").and_then(Value::as_str) == Some(wanted))
    }

    /// Verifies a token of this issuer's.
    ///
    /// # Errors
    /// What is wrong with it; or its keys cannot be had.
    pub async fn verify(&self, token: &Token<'_>, now: u64) -> Result<Principal, Failed> {
        let signed = match &self.keys {
            KeySource::Own(keys) => {
                let keys = keys.load();
                if keys.is_empty() {
                    return Err(Failed::Away("the gateway's own keys have not been read yet".to_owned()));
                }
                keys.signed(token)
            }
            KeySource::Here(keys) => keys.signed(token),
            KeySource::Remote(remote) => remote.keys(token).await.map_err(Failed::Away)?.signed(token),
        };
        if !signed {
            return Err(Refused::Signature.into());
        }
        // Only now is anything believed.
        let times = Times::read(&token.claims, now, self.skew.min(MOST_SKEW), self.lifetime)?;
        let general = self.audiences.is_empty() || is_for(&token.claims, &self.audiences);
        let named = audiences(&token.claims).map(Arc::from);
        let resources: Vec<Arc<str>> = match &self.keys {
            KeySource::Own(_) => named.filter(|_| !general).collect(),
            KeySource::Here(_) | KeySource::Remote(_) => {
                named.filter(|name| self.resources.contains(name)).collect()
            }
        };
        if !general && resources.is_empty() {
            return Err(Refused::Audience.into());
        }
        let means = match &self.keys {
            KeySource::Own(_) => Means::Own,
            KeySource::Here(_) | KeySource::Remote(_) => Means::Token { issuer: Arc::clone(&self.name) },
        };
        let caller = self.claims.principal(&token.claims, means, times)?;
        Ok(Principal { audience: Audience { general, resources }, ..caller })
    }
}
