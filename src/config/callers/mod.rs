//! The callers as meant: whom the gateway knows and how, who may call what, how often, and which proxies are believed.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::Secret;
use crate::{
    auth::{Away, CertificateCallers, Limit, Network, Proxies, Rate, Rulebook, claims::ClaimMap},
    policy::{LimitSettings, Reset},
};

/// Everything about callers.
#[derive(Debug, Clone)]
pub struct Callers {
    /// What signs the gateway's own tokens; without, a key that it makes and keeps.
    pub secret: Option<OwnSecret>,
    pub issuers: Vec<TrustedIssuer>,
    pub tokens: Vec<ConfigToken>,
    /// Who is known by a client certificate; `None` where the port asks for none.
    pub certificates: Option<CertificateCallers>,
    pub rules: Rulebook,
    pub limits: LimitSettings,
    pub proxies: Proxies,
}

/// `[auth] secret`: what the gateway's own tokens are signed and verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSecret {
    pub secret: Private,
    /// HS256, HS384 or HS512, for which the secret is long enough.
    pub algorithm: String,
}

/// `[[auth.issuers]]`: somebody else whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    pub name: Arc<str>,
    /// What `iss` must be; `None` where it is not looked at.
    pub issuer: Option<String>,
    /// What `aud` must name one of; empty where it is not looked at.
    pub audiences: Vec<String>,
    pub keys: Keys,
    pub claims: ClaimMap,
    /// By how much its clock may differ.
    pub leeway: Duration,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// A secret that both know, and its algorithm.
    Secret { secret: Private, algorithm: String },
    /// A JWKS at this address. `ca`: a PEM file with certificate authorities to trust beside the machine's own.
    Jwks { address: String, ca: Option<PathBuf> },
    /// The JWKS that the issuer's discovery document names.
    Discovery { issuer: String, ca: Option<PathBuf> },
}

/// `[[auth.tokens]]`: a token that is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigToken {
    pub name: Arc<str>,
    pub token: Private,
    pub user: Arc<str>,
    pub email: Option<Arc<str>>,
    pub roles: Vec<Arc<str>>,
    pub permissions: Vec<Arc<str>>,
    pub scopes: Vec<Arc<str>>,
    pub tier: Option<Arc<str>>,
}

/// A secret that is not shown. Its fingerprint is, so that a reload sees that it has changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Private(Secret);

impl Private {
    pub(super) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The file that it was read from, if it was.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.0.file()
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Private(#{:x})", self.0.fingerprint())
    }
}

impl Callers {
    /// The files that it was read from, and names.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let issuers = self.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Secret { secret, .. } => secret.file().map(Path::to_owned),
            Keys::Jwks { ca, .. } | Keys::Discovery { ca, .. } => ca.clone(),
        });
        let own = self.secret.iter().filter_map(|own| own.secret.file().map(Path::to_owned));
        own.chain(issuers)
            .chain(self.tokens.iter().filter_map(|token| token.token.file().map(Path::to_owned)))
    }
}

impl Default for Callers {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        let away = Away::default();
        let limit =
            |name: &str, calls, burst| Limit::new(name, Rate::new(calls, minute, burst)?, away).map(Arc::new);
        let tier = |name: &str, calls| (Arc::from(name), limit(&format!("tier-{name}"), calls, 0));
        Self {
            secret: None,
            issuers: Vec::new(),
            tokens: Vec::new(),
            certificates: None,
            rules: Rulebook::default(),
            limits: LimitSettings {
                enabled: true,
                address: limit("address", 100, 20),
                exempt: Vec::<Network>::new(),
                exempt_loopback: true,
                tiers: [tier("free", 60), tier("premium", 120), ("elite".into(), None)].into(),
                default_tier: "free".into(),
                window: minute,
                away,
                reset: Reset::Epoch,
            },
            proxies: Proxies::default(),
        }
    }
}
