//! `[auth]`, `[access]` and `[rate_limits]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CertificateGrant, Text, Time};

/// `[auth]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Auth {
    /// A secret of at least 32 bytes that signs and verifies the tokens which are issued here, by reference; whoever has it can
    /// make them too (with `iat`: none is good for longer than accounts.access_lifetime). Default: none; an Ed25519 key is made, kept in the database and exchanged now and then.
    pub(in crate::config) secret: Option<Text>,
    /// What it signs by: HS256, HS384 or HS512; EdDSA without a secret. Default: HS256, or EdDSA without a secret.
    pub(in crate::config) algorithm: Option<String>,
    /// Whose tokens are taken. Default: nobody's.
    pub(in crate::config) issuers: Vec<Issuer>,
    /// Tokens that are taken as they are, as Authorization: Bearer and as X-API-Key. Default: none.
    pub(in crate::config) tokens: Vec<Token>,
    /// What callers have who are known by their client certificate: the first entry that fits holds. Default: nothing.
    pub(in crate::config) certificates: Vec<CertificateGrant>,
}

/// `[[auth.issuers]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"], "oneOf" = [
    { "required": ["jwks"] },
    { "required": ["secret"] },
    { "required": ["discovery"], "properties": { "discovery": { "const": true } } },
]))]
pub(in crate::config) struct Issuer {
    /// Names it in rules and messages.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// What iss must be. Default: none, which check_issuer = false allows.
    pub(in crate::config) issuer: Option<String>,
    /// What aud must name one of. Default: none, which check_audience = false allows.
    pub(in crate::config) audience: Vec<String>,
    /// False: iss is not looked at. Default: true.
    pub(in crate::config) check_issuer: Option<bool>,
    /// False: aud is not looked at. Default: true.
    pub(in crate::config) check_audience: Option<bool>,
    /// Where its keys are: an https address of a JWKS. One of jwks, discovery and secret says where.
    pub(in crate::config) jwks: Option<String>,
    /// Its keys are where ISSUER/.well-known/openid-configuration says. Default: false.
    pub(in crate::config) discovery: Option<bool>,
    /// A secret of at least 32 bytes that it signs with, by reference.
    pub(in crate::config) secret: Option<Text>,
    /// The secret's algorithm: HS256, HS384 or HS512. Default: HS256.
    pub(in crate::config) algorithm: Option<String>,
    /// A PEM file with certificate authorities to trust for its keys, beside the machine's own. Default: none.
    pub(in crate::config) ca: Option<PathBuf>,
    /// By how much its clock may differ, 60s at most. Default: 60s.
    pub(in crate::config) leeway: Option<Time>,
    /// Where its tokens say who their bearer is.
    pub(in crate::config) claims: Claims,
}

/// `claims` of an issuer: paths of claims, such as sub or realm_access.roles.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Claims {
    /// The user's id. Default: sub.
    pub(in crate::config) id: Option<String>,
    /// The user's e-mail address. Default: email.
    pub(in crate::config) email: Option<String>,
    /// The user's roles. Default: none are taken.
    pub(in crate::config) roles: Option<Vec<String>>,
    /// The user's permissions. Default: none are taken.
    pub(in crate::config) permissions: Option<Vec<String>>,
    /// The token's scopes. Default: scope.
    pub(in crate::config) scopes: Option<Vec<String>>,
    /// The user's tier. Default: none is taken.
    pub(in crate::config) tier: Option<String>,
}

/// `[[auth.tokens]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "token"]))]
pub(in crate::config) struct Token {
    /// Names it in messages.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// The token, of at least 16 characters, by reference.
    pub(in crate::config) token: Option<Text>,
    /// The id of the user that it is of. Default: its name.
    pub(in crate::config) user: Option<String>,
    /// The user's e-mail address. Default: none.
    pub(in crate::config) email: Option<String>,
    /// The user's roles. Default: none.
    pub(in crate::config) roles: Vec<String>,
    /// The user's permissions. Default: none.
    pub(in crate::config) permissions: Vec<String>,
    /// The token's scopes. Default: none.
    pub(in crate::config) scopes: Vec<String>,
    /// The user's tier. Default: rate_limits.default_tier.
    pub(in crate::config) tier: Option<String>,
}

/// `[access]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Access {
    /// What holds for the upstreams' methods that no rule names: authenticated or public. Default: authenticated.
    pub(in crate::config) default: Option<Openness>,
    /// Rules about methods and paths; the most exact pattern decides. Default: none.
    #[schemars(extend("items" = { "$ref": "#/$defs/AccessRule", "required": ["match"] }))]
    pub(in crate::config) rules: Vec<AccessRule>,
}

/// `[access] default`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Openness {
    Authenticated,
    Public,
}

/// `[[access.rules]]`, and `access` of a route, which has no `match`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct AccessRule {
    /// What it is about: package.Service, package.Service/Method, package.*, a path, or a path with /** behind it; a path may
    /// have an HTTP method and a space before it.
    #[serde(rename = "match")]
    pub(in crate::config) patterns: Vec<String>,
    /// Everyone may call. Default: false.
    pub(in crate::config) public: Option<bool>,
    /// The caller has one of these roles. Default: none is asked for.
    pub(in crate::config) roles: Vec<String>,
    /// The caller has all of these permissions. Default: none is asked for.
    pub(in crate::config) permissions: Vec<String>,
    /// The caller has all of these scopes. Default: none is asked for.
    pub(in crate::config) scopes: Vec<String>,
    /// The caller is of one of these tiers. Default: of any.
    pub(in crate::config) tiers: Vec<String>,
    /// Who may call whatever the lines above say: user:ID (an account here, or a token's user in this config),
    /// user:ISSUER/ID, role:NAME, tier:NAME, key:ID, issuer:NAME, network:CIDR, loopback (this machine, with no proxy in
    /// between; pages under its own names alone), admin-listener (whoever calls by admin.listen). Who is known by a client
    /// certificate is user:certificate/ID. Default: nobody.
    pub(in crate::config) allow: Vec<String>,
    /// Who may not call, whatever any line says, in the same words; user:ID is of any issuer here, and may be an e-mail
    /// address. A rule that says only this leaves what would hold without it. Default: nobody.
    pub(in crate::config) deny: Vec<String>,
}

/// `[rate_limits]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RateLimits {
    /// False: nothing is counted. Default: true.
    pub(in crate::config) enabled: Option<bool>,
    /// The window that slides. Default: 1m.
    pub(in crate::config) window: Option<Time>,
    /// Calls of one address (of one /64) in a window whose caller is not known; 0: no limit. Default: 100.
    pub(in crate::config) address: Option<u32>,
    /// How many more of one address at once. Default: 20.
    pub(in crate::config) burst: Option<u32>,
    /// Calls of one caller in a window, by its tier; 0: no limit. Default: free 60, premium 120, elite 0.
    pub(in crate::config) tiers: Option<BTreeMap<String, u32>>,
    /// How many more of one caller at once, whatever its tier. Default: 0.
    pub(in crate::config) tier_burst: Option<u32>,
    /// The tier of callers that have none, or one that has no limit here. Default: free.
    pub(in crate::config) default_tier: Option<String>,
    /// Addresses that are not counted: networks, and loopback. Default: loopback.
    pub(in crate::config) exempt: Option<Vec<String>>,
    /// What X-RateLimit-Reset says: epoch (when, in seconds since 1970) or delta (in how many seconds). Default: epoch.
    pub(in crate::config) reset: Option<Reset>,
    /// What limits do while store.redis is away: local (each replica counts its own), open (every call is let through) or
    /// closed (none is). Default: local.
    pub(in crate::config) redis_away: Option<RedisAway>,
    /// Limits of methods and paths; each that matches holds. Default: none.
    pub(in crate::config) rules: Vec<LimitRule>,
}

/// `[rate_limits] reset`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Reset {
    Epoch,
    Delta,
}

/// `redis_away`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RedisAway {
    Local,
    Open,
    Closed,
}

/// `[[rate_limits.rules]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["match", "calls"]))]
pub(in crate::config) struct LimitRule {
    /// Its name in RateLimit-Policy, which no other limit has. Default: its number.
    pub(in crate::config) name: Option<String>,
    /// What it is about, as in access.rules.
    #[serde(rename = "match")]
    pub(in crate::config) patterns: Vec<String>,
    /// Calls in a window.
    #[schemars(range(min = 1))]
    pub(in crate::config) calls: u32,
    /// How many more at once. Default: 0.
    pub(in crate::config) burst: u32,
    /// The window that slides. Default: rate_limits.window.
    pub(in crate::config) window: Option<Time>,
    /// Whose calls are counted together: caller, address or everyone. Default: caller.
    pub(in crate::config) by: Option<By>,
    /// What it does while store.redis is away. Default: rate_limits.redis_away.
    pub(in crate::config) redis_away: Option<RedisAway>,
}

/// `by` of a limit
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum By {
    Caller,
    Address,
    Everyone,
}
