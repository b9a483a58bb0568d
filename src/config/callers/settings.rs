//! `[auth]`, `[access]` and `[rate_limits]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// `[auth]`: whom the gateway knows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Auth {
    pub(in crate::config) issuers: Vec<Issuer>,
    pub(in crate::config) tokens: Vec<Token>,
}

/// `[[auth.issuers]]`: somebody else whose tokens are taken.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Issuer {
    pub(in crate::config) name: String,
    /// What `iss` must be.
    pub(in crate::config) issuer: Option<String>,
    /// What `aud` must name one of.
    pub(in crate::config) audience: Vec<String>,
    /// False: `iss` is not looked at.
    pub(in crate::config) check_issuer: Option<bool>,
    /// False: `aud` is not looked at.
    pub(in crate::config) check_audience: Option<bool>,
    pub(in crate::config) jwks: Option<String>,
    pub(in crate::config) discovery: Option<bool>,
    pub(in crate::config) secret: Option<Text>,
    /// Of a secret: HS256, HS384 or HS512.
    pub(in crate::config) algorithm: Option<String>,
    pub(in crate::config) ca: Option<PathBuf>,
    pub(in crate::config) leeway: Option<String>,
    pub(in crate::config) claims: Claims,
}

/// Where an issuer's tokens say who their bearer is: paths of claims.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Claims {
    pub(in crate::config) id: Option<String>,
    pub(in crate::config) email: Option<String>,
    pub(in crate::config) roles: Option<OneOrMore>,
    pub(in crate::config) permissions: Option<OneOrMore>,
    pub(in crate::config) scopes: Option<OneOrMore>,
    pub(in crate::config) tier: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// `[[auth.tokens]]`: a token that is taken as it is, and whose it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Token {
    pub(in crate::config) name: String,
    pub(in crate::config) token: Option<Text>,
    /// The user's id; the token's name without.
    pub(in crate::config) user: Option<String>,
    pub(in crate::config) email: Option<String>,
    pub(in crate::config) roles: Vec<String>,
    pub(in crate::config) permissions: Vec<String>,
    pub(in crate::config) scopes: Vec<String>,
    pub(in crate::config) tier: Option<String>,
}

/// A secret is not written into the config; it says where it is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::config) enum Text {
    Reference {
        env: Option<String>,
        file: Option<PathBuf>,
    },
    /// Written out: refused, and not kept.
    Literal(serde::de::IgnoredAny),
}

/// `[access]`: who may call.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Access {
    /// `authenticated` or `public`: what holds for routed services that no rule names.
    pub(in crate::config) default: Option<String>,
    pub(in crate::config) rules: Vec<AccessRule>,
}

/// `[[access.rules]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AccessRule {
    /// Patterns of methods and paths.
    #[serde(rename = "match")]
    pub(in crate::config) patterns: Vec<String>,
    pub(in crate::config) public: Option<bool>,
    pub(in crate::config) roles: Vec<String>,
    pub(in crate::config) permissions: Vec<String>,
    pub(in crate::config) scopes: Vec<String>,
    pub(in crate::config) tiers: Vec<String>,
    pub(in crate::config) allow: Vec<String>,
    pub(in crate::config) deny: Vec<String>,
}

/// `[rate_limits]`: how often callers may call.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RateLimits {
    pub(in crate::config) enabled: Option<bool>,
    pub(in crate::config) window: Option<String>,
    /// Calls of one address in a window, whose caller is not known; 0: no limit.
    pub(in crate::config) address: Option<u32>,
    pub(in crate::config) burst: Option<u32>,
    /// Calls of one caller in a window, by tier; 0: no limit.
    pub(in crate::config) tiers: Option<BTreeMap<String, u32>>,
    pub(in crate::config) default_tier: Option<String>,
    /// Networks whose addresses are not counted, and `loopback`.
    pub(in crate::config) exempt: Option<Vec<String>>,
    /// What X-RateLimit-Reset says: `epoch` or `delta`.
    pub(in crate::config) reset: Option<String>,
    pub(in crate::config) rules: Vec<LimitRule>,
}

/// `[[rate_limits.rules]]`: how often some methods and paths may be called.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct LimitRule {
    pub(in crate::config) name: Option<String>,
    #[serde(rename = "match")]
    pub(in crate::config) patterns: Vec<String>,
    pub(in crate::config) calls: u32,
    pub(in crate::config) burst: u32,
    pub(in crate::config) window: Option<String>,
    /// Whose calls are counted together: `caller`, `address` or `everyone`.
    pub(in crate::config) by: Option<String>,
}
