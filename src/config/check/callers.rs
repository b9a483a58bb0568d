//! `[auth]` and the proxies of `[gateway]` checked, with where their secrets are; and everything about callers put together.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::Check;
use crate::{
    auth::{Endpoint, Key, MOST_SKEW, Network, Proxies, claims::ClaimMap},
    config::{
        callers::{Callers, ConfigToken, Keys, OwnSecret, Private, TrustedIssuer},
        settings::{self, Time},
    },
};

/// What the gateway's own tokens are signed by where it makes the key.
const KEPT_KEY: &str = "EdDSA";
/// The shortest token that is taken as it is.
const LEAST_TOKEN: usize = 16;

impl Check<'_> {
    pub(super) fn callers(
        &mut self,
        auth: settings::Auth,
        access: settings::Access,
        rate_limits: settings::RateLimits,
        proxies: Proxies,
    ) -> Callers {
        let secret = self.own_secret(auth.secret, auth.algorithm);
        let mut callers = Callers { secret, proxies, ..Callers::default() };
        let mut names = HashSet::new();
        for (index, written) in auth.issuers.into_iter().enumerate() {
            let path = format!("auth.issuers[{index}]");
            self.own_name(&path, &written.name, &mut names);
            callers.issuers.extend(self.issuer(&path, written));
        }
        for (index, written) in auth.tokens.into_iter().enumerate() {
            let path = format!("auth.tokens[{index}]");
            self.own_name(&path, &written.name, &mut names);
            callers.tokens.extend(self.token(&path, written));
        }
        self.access(access, &mut callers.rules);
        callers.limits = self.rate_limits(rate_limits, callers.limits, &mut callers.rules);
        callers
    }

    /// What signs the gateway's own tokens.
    fn own_secret(&mut self, secret: Option<settings::Text>, algorithm: Option<String>) -> Option<OwnSecret> {
        let Some(secret) = secret else {
            let by_key = algorithm.as_deref().is_none_or(|algorithm| algorithm == KEPT_KEY);
            if !by_key {
                let algorithm = algorithm.unwrap_or_default();
                let why = format!(
                    "{algorithm:?} needs a secret: `secret` says where it is; without one it is {KEPT_KEY}"
                );
                self.found.add("auth.algorithm", why);
            }
            return None;
        };
        let algorithm = algorithm.unwrap_or_else(|| "HS256".to_owned());
        if !matches!(algorithm.as_str(), "HS256" | "HS384" | "HS512") {
            let why = format!("{algorithm:?} is not an algorithm for a secret; HS256, HS384 and HS512 are");
            self.found.add("auth.algorithm", why);
            return None;
        }
        let secret = self.text("secret", secret).and_then(|secret| {
            Key::secret(secret.expose().as_bytes(), &algorithm)?;
            Ok(Private::new(secret))
        });
        Some(OwnSecret { secret: self.found.take("auth.secret", secret)?, algorithm })
    }

    fn own_name(&mut self, path: &str, name: &str, names: &mut HashSet<String>) {
        if !name.is_empty() && !names.insert(name.to_owned()) {
            self.found.add(format!("{path}.name"), format!("{name:?} is no name of its own: another has it"));
        }
    }

    /// The proxies of `[gateway]`.
    pub(super) fn proxies(&mut self, trusted: &[String], header: Option<&str>) -> Proxies {
        let forwarded = match header.map(str::to_ascii_lowercase).as_deref() {
            None | Some("x-forwarded-for") => false,
            Some("forwarded") => true,
            Some(_) => {
                self.found.add("gateway.forwarded_header", "it is \"x-forwarded-for\" or \"forwarded\"");
                false
            }
        };
        let mut networks = Vec::new();
        for (index, text) in trusted.iter().enumerate().filter(|(_, text)| *text != "nearest") {
            let network = Network::parse(text)
                .map_err(|why| format!("{why}; or \"nearest\", for the nearest private hop"));
            networks.extend(self.found.take(format!("gateway.trusted_proxies[{index}]"), network));
        }
        Proxies { networks, nearest_private: trusted.iter().any(|text| text == "nearest"), forwarded }
    }

    fn issuer(&mut self, path: &str, written: settings::Issuer) -> Option<TrustedIssuer> {
        let key = |key: &str| format!("{path}.{key}");
        let demands_issuer = written.check_issuer.unwrap_or(true);
        let issuer = written.issuer.filter(|issuer| !issuer.is_empty());
        if demands_issuer && issuer.is_none() {
            let why = "what iss must be; check_issuer = false where this issuer's tokens have none";
            self.found.add(key("issuer"), why);
        }
        let demands_audience = written.check_audience.unwrap_or(true);
        if demands_audience && written.audience.is_empty() {
            let why = "what aud must name; check_audience = false where this issuer's tokens have none";
            self.found.add(key("audience"), why);
        }
        let ca = written.ca.map(|file| self.folder.join(file));
        let keys = match (written.secret, written.jwks, written.discovery.unwrap_or(false)) {
            (Some(secret), None, false) => {
                let algorithm = written.algorithm.unwrap_or_else(|| "HS256".to_owned());
                let secret = self.text("secret", secret).and_then(|secret| {
                    Key::secret(secret.expose().as_bytes(), &algorithm)?;
                    Ok(Private::new(secret))
                });
                let secret = self.found.take(key("secret"), secret)?;
                Keys::Secret { secret, algorithm }
            }
            (None, Some(address), false) => {
                self.found.take(key("jwks"), Endpoint::parse(&address))?;
                Keys::Jwks { address, ca }
            }
            (None, None, true) => {
                let Some(issuer) = issuer.clone() else {
                    self.found.add(key("discovery"), "it needs `issuer`");
                    return None;
                };
                self.found.take(key("issuer"), Endpoint::parse(&issuer))?;
                Keys::Discovery { issuer, ca }
            }
            _ => {
                self.found.add(path, "one place has its keys: `secret`, `jwks` or `discovery = true`");
                return None;
            }
        };
        let most = Duration::from_secs(MOST_SKEW);
        let leeway = match &written.leeway {
            Some(Time(text)) if matches!(text.as_str(), "0" | "0s") => Duration::ZERO,
            _ => self.time(&key("leeway"), written.leeway, most),
        };
        if leeway > most {
            self.found.add(key("leeway"), "clocks may differ by at most 60s");
        }
        let (default, claims) = (ClaimMap::default(), written.claims);
        Some(TrustedIssuer {
            issuer: issuer.filter(|_| demands_issuer),
            audiences: if demands_audience { written.audience } else { Vec::new() },
            keys,
            claims: ClaimMap {
                id: claims.id.unwrap_or(default.id),
                email: claims.email.or(default.email),
                roles: claims.roles.unwrap_or(default.roles),
                permissions: claims.permissions.unwrap_or(default.permissions),
                scopes: claims.scopes.unwrap_or(default.scopes),
                tier: claims.tier.or(default.tier),
            },
            leeway,
            name: written.name.into(),
        })
    }

    fn token(&mut self, path: &str, written: settings::Token) -> Option<ConfigToken> {
        // A token that is missing was told of by its shape.
        let token = self.text("token", written.token?).and_then(|token| {
            let fits = token.expose().bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
            if token.expose().len() < LEAST_TOKEN || !fits {
                return Err(format!(
                    "a token has at least {LEAST_TOKEN} characters, without spaces and commas"
                ));
            }
            Ok(Private::new(token))
        });
        let token = self.found.take(format!("{path}.token"), token)?;
        Some(ConfigToken {
            user: written.user.unwrap_or_else(|| written.name.clone()).into(),
            name: written.name.into(),
            token,
            email: written.email.map(Into::into),
            roles: texts(written.roles),
            permissions: texts(written.permissions),
            scopes: texts(written.scopes),
            tier: written.tier.map(Into::into),
        })
    }
}

pub(super) fn texts(list: Vec<String>) -> Vec<Arc<str>> {
    list.into_iter().map(Arc::from).collect()
}
