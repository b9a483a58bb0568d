//! What is looked for in what a config says of callers: whose tokens are taken, how often they may call, who is believed.

use std::collections::BTreeSet;

use super::{
    Finding, Severity,
    findings::{Found, exposed, finding},
};
use crate::config::{
    Config,
    callers::{Keys, TrustedIssuer},
};

pub(super) fn issuers(config: &Config) -> Found {
    let mut found = Vec::new();
    if let Some(own) = config.callers.secret.as_ref().filter(|_| config.built_ins.has_accounts()) {
        found.extend(guessed("auth.secret".to_owned(), own.secret.expose()));
        found.push(finding(
            Severity::Low,
            "auth.secret",
            "every service that can verify the tokens which are issued here can make them too, for any role",
            "take it out: a key is made and kept, and others verify by /.well-known/jwks.json",
        ));
    }
    for issuer in &config.callers.issuers {
        let TrustedIssuer { name, issuer, audiences, keys, claims, leeway: _ } = issuer;
        let key = |key: &str| format!("auth.issuers.{name}.{key}");
        let maps = !claims.roles.is_empty() || !claims.permissions.is_empty();
        let shared = matches!(keys, Keys::Jwks { .. } | Keys::Discovery { .. });
        if audiences.is_empty() {
            found.push(finding(
                if shared && maps { Severity::High } else { Severity::Medium },
                key("check_audience"),
                "a token that this issuer made for another service is taken here, with all that it says",
                "let the issuer name this service in aud, and say so in `audience`",
            ));
        }
        if issuer.is_none() {
            found.push(finding(
                if shared { Severity::Medium } else { Severity::Low },
                key("check_issuer"),
                "whoever signs with this issuer's keys may call itself anything",
                "say what iss must be in `issuer`, where its tokens have one",
            ));
        }
        match keys {
            Keys::Secret { secret, .. } => {
                found.extend(guessed(key("secret"), secret.expose()));
                if maps {
                    found.push(finding(
                        Severity::Low,
                        key("secret"),
                        "every service that can verify these tokens can make them too, for any role",
                        "an issuer with keys of its own, and `jwks`",
                    ));
                }
            }
            Keys::Jwks { address, .. } if address.starts_with("http://") => found.push(finding(
                Severity::Low,
                key("jwks"),
                "the keys are read in plain text: any program that takes the port signs as this issuer",
                "https://",
            )),
            Keys::Jwks { .. } | Keys::Discovery { .. } => {}
        }
    }
    found
}

/// A secret of few characters.
fn guessed(key: String, secret: &str) -> Option<Finding> {
    let distinct = secret.bytes().collect::<BTreeSet<_>>().len();
    (distinct < 10).then(|| {
        finding(
            Severity::High,
            key,
            format!("the secret has {distinct} different characters: it can be guessed from one token"),
            "32 random bytes, such as `openssl rand -base64 32` makes",
        )
    })
}

pub(super) fn tokens(config: &Config) -> Found {
    let mut found = Vec::new();
    for token in &config.callers.tokens {
        let key = format!("auth.tokens.{}", token.name);
        if token.token.expose().len() < 32 {
            found.push(finding(
                Severity::Medium,
                key.clone(),
                format!("the token has {} characters, and never expires", token.token.expose().len()),
                "32 random bytes, such as `openssl rand -base64 32` makes",
            ));
        }
        if token.roles.iter().any(|role| **role == *"admin") {
            found.push(finding(
                Severity::Low,
                key,
                "a token that never expires is an administrator: who finds it once stays one",
                "an issuer's token, or a role that may do less",
            ));
        }
    }
    found
}

pub(super) fn limits(config: &Config) -> Found {
    let limits = &config.callers.limits;
    let (grave, less) =
        if exposed(config) { (Severity::High, Severity::Medium) } else { (Severity::Low, Severity::Low) };
    if !limits.enabled {
        return vec![finding(
            grave,
            "rate_limits.enabled",
            "callers may call as often as they like, and try credentials as often",
            "take it out: the default limits are on",
        )];
    }
    let mut found = Vec::new();
    if limits.address.is_none() {
        found.push(finding(
            grave,
            "rate_limits.address",
            "an address may call, and try credentials, as often as it likes",
            "a limit for each address, such as 100",
        ));
    }
    if limits.exempt.iter().any(|network| network.is_everything()) {
        found.push(finding(
            grave,
            "rate_limits.exempt",
            "no address is counted",
            "name the networks that are yours",
        ));
    }
    if limits.tiers.get(&limits.default_tier).is_some_and(Option::is_none) {
        found.push(finding(
            less,
            "rate_limits.default_tier",
            format!("callers without a tier are of {}, which has no limit", limits.default_tier),
            "a default tier with a limit",
        ));
    }
    found
}

pub(super) fn proxies(config: &Config) -> Found {
    let proxies = &config.callers.proxies;
    let mut found = Vec::new();
    if proxies.networks.iter().any(|network| network.is_everything()) {
        found.push(finding(
            Severity::Critical,
            "gateway.trusted_proxies",
            "every client is believed when it says whom it speaks for: it passes for any address, this machine's too",
            "name the networks of your proxies",
        ));
    }
    if proxies.nearest_private && exposed(config) {
        found.push(finding(
            Severity::Medium,
            "gateway.trusted_proxies",
            "\"nearest\" believes any neighbour with a private address, whether it is a proxy or not",
            "name the networks of your proxies",
        ));
    }
    found
}
