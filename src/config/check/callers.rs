//! `[auth]` and the proxies of `[gateway]` checked, with where their secrets are; and everything about callers put together.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use super::Check;
use crate::{
    auth::{CERTIFICATE, Endpoint, Key, MOST_SKEW, OWN, Proxies, claims::ClaimMap},
    config::{
        callers::{Callers, ConfigToken, Keys, OwnSecret, Private, TrustedIssuer},
        mistake::Mistake,
        settings::{self, Time},
        tls::certificates,
    },
};

/// What the gateway's own tokens are signed by where it makes the key.
const KEPT_KEY: &str = "EdDSA";
/// The shortest token that is taken as it is.
const LEAST_TOKEN: usize = 16;

/// What an issuer may have written.
const ISSUER_KEYS: [&str; 12] = [
    "algorithm",
    "audience",
    "ca",
    "check_audience",
    "check_issuer",
    "claims",
    "discovery",
    "issuer",
    "jwks",
    "leeway",
    "name",
    "secret",
];

/// What a shared secret signs with; the first of them where nothing is said.
const ALGORITHMS: [&str; 3] = ["HS256", "HS384", "HS512"];

impl Check<'_> {
    pub(super) fn callers(
        &mut self,
        auth: settings::Auth,
        access: settings::Access,
        rate_limits: settings::RateLimits,
        proxies: Proxies,
        (identity, grants, asks): (Option<Vec<settings::NameKind>>, Vec<settings::CertificateGrant>, bool),
    ) -> Callers {
        let secret = self.own_secret(auth.secret, auth.algorithm);
        let mut callers = Callers { secret, proxies, ..Callers::default() };
        let mut names = HashSet::new();
        for (index, written) in auth.issuers.into_iter().enumerate() {
            let path = format!("auth.issuers[{index}]");
            self.own_name(&path, &written.name, &mut names);
            if written.name == OWN {
                let why = "is the gateway's own name, by which rules know its tokens";
                self.found.add(format!("{path}.name"), format!("{OWN:?} {why}"));
            }
            if written.name == CERTIFICATE {
                let why = "is the name by which rules know who has a client certificate";
                self.found.add(format!("{path}.name"), format!("{CERTIFICATE:?} {why}"));
            }
            callers.issuers.extend(self.issuer(&path, written));
        }
        let of = |(index, token): (usize, &settings::Token)| Some((index, token.tier.clone()?));
        let tiers: Vec<(usize, String)> = auth.tokens.iter().enumerate().filter_map(of).collect();
        for (index, written) in auth.tokens.into_iter().enumerate() {
            let path = format!("auth.tokens[{index}]");
            self.own_name(&path, &written.name, &mut names);
            callers.tokens.extend(self.token(&path, written));
        }
        let of = |(index, grant): (usize, &settings::CertificateGrant)| Some((index, grant.tier.clone()?));
        let granted: Vec<(usize, String)> = grants.iter().enumerate().filter_map(of).collect();
        callers.certificates = self.certificate_callers(identity, grants, asks);
        self.access(access, &mut callers.rules);
        callers.limits = self.rate_limits(rate_limits, callers.limits, &mut callers.rules);
        let known: Vec<Arc<str>> = callers.limits.tiers.keys().cloned().collect();
        for (index, tier) in tiers {
            self.known_tier(format!("auth.tokens[{index}].tier"), &tier, &known);
        }
        for (index, tier) in granted {
            self.known_tier(format!("auth.certificates[{index}].tier"), &tier, &known);
        }
        for entry in &callers.rules.access {
            for (index, tier) in entry.what.tiers.iter().enumerate() {
                self.known_tier(format!("{}.tiers[{index}]", entry.key), tier, &known);
            }
        }
        callers
    }

    /// What signs the gateway's own tokens.
    fn own_secret(&mut self, secret: Option<settings::Text>, algorithm: Option<String>) -> Option<OwnSecret> {
        let Some(secret) = secret else {
            let algorithm = algorithm.filter(|algorithm| algorithm != KEPT_KEY)?;
            if ALGORITHMS.contains(&algorithm.as_str()) {
                let why = format!(
                    "{algorithm:?} needs a secret: `secret` says where it is; without one it is {KEPT_KEY}"
                );
                self.found.add("auth.algorithm", why);
            } else {
                let why = format!(
                    "{algorithm:?} is not among HS256, HS384 and HS512, nor {KEPT_KEY} without a secret"
                );
                let known = ALGORITHMS.into_iter().chain([KEPT_KEY]);
                self.found.push(Mistake::new("auth.algorithm", why).near(&algorithm, known));
            }
            return None;
        };
        let algorithm = self.algorithm("auth.algorithm", algorithm);
        let secret = self.text_or_stand_in("secret", secret).and_then(|secret| {
            Key::secret(secret.expose().as_bytes(), &algorithm)?;
            Ok(Private::new(secret))
        });
        Some(OwnSecret { secret: self.found.take("auth.secret", secret)?, algorithm })
    }

    /// What a shared secret signs with; the first there is in the place of one that is wrong.
    fn algorithm(&mut self, path: &str, written: Option<String>) -> String {
        let algorithm = written.unwrap_or_else(|| ALGORITHMS[0].to_owned());
        if ALGORITHMS.contains(&algorithm.as_str()) {
            return algorithm;
        }
        let message = format!("{algorithm:?} is not an algorithm for a secret; HS256, HS384 and HS512 are");
        self.found.push(Mistake::new(path, message).near(&algorithm.to_ascii_uppercase(), ALGORITHMS));
        ALGORITHMS[0].to_owned()
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
            Some(other) => {
                let message = "it is \"x-forwarded-for\" or \"forwarded\"";
                let mistake = Mistake::new("gateway.forwarded_header", message);
                self.found.push(mistake.near(other, ["x-forwarded-for", "forwarded"]));
                false
            }
        };
        let mut networks = Vec::new();
        for (index, text) in trusted.iter().enumerate().filter(|(_, text)| *text != "nearest") {
            networks.extend(self.network(&format!("gateway.trusted_proxies[{index}]"), text, "nearest"));
        }
        Proxies { networks, nearest_private: trusted.iter().any(|text| text == "nearest"), forwarded }
    }

    fn issuer(&mut self, path: &str, written: settings::Issuer) -> Option<TrustedIssuer> {
        let key = |key: &str| format!("{path}.{key}");
        let demands_issuer = written.check_issuer.unwrap_or(true);
        let issuer = written.issuer.filter(|issuer| !issuer.is_empty());
        // A key that is not known may be the one that is missing.
        let mistyped = self.found.leaves_open(path, &ISSUER_KEYS);
        if demands_issuer && issuer.is_none() && !mistyped {
            let why = "what iss must be; check_issuer = false where this issuer's tokens have none";
            self.found.add(key("issuer"), why);
        }
        let demands_audience = written.check_audience.unwrap_or(true);
        if demands_audience && written.audience.is_empty() && !mistyped {
            let why = "what aud must name; check_audience = false where this issuer's tokens have none";
            self.found.add(key("audience"), why);
        }
        let ca = written.ca.map(|file| self.looks.folder.join(file));
        let readable = |file: &PathBuf| self.looks.files.then(|| certificates(file));
        let ca = match ca.as_ref().and_then(readable) {
            Some(read) => self.found.take(key("ca"), read).and(ca),
            None => ca,
        };
        for (name, there) in [("algorithm", written.algorithm.is_some()), ("ca", ca.is_some())] {
            let (used, why) = match name {
                "ca" => (written.secret.is_none(), "a secret is not read over the network"),
                _ => (written.secret.is_some(), "keys that are read say their algorithm themselves"),
            };
            if there && !used {
                let mistake = Mistake::new(key(name), format!("it does nothing: {why}"));
                self.found.push(mistake.of_key());
            }
        }
        let most = Duration::from_secs(MOST_SKEW);
        let leeway = match &written.leeway {
            Some(Time(text)) if matches!(text.as_str(), "0" | "0s") => Duration::ZERO,
            _ => self.time(&key("leeway"), written.leeway, most),
        };
        if leeway > most {
            self.found.add(key("leeway"), "clocks may differ by at most 60s");
        }
        let (written_secret, written_jwks) = (written.secret.is_some(), written.jwks.clone());
        let keys = match (written.secret, written.jwks, written.discovery.unwrap_or(false)) {
            (Some(secret), None, false) => {
                let algorithm = self.algorithm(&key("algorithm"), written.algorithm);
                let secret = self.text_or_stand_in("secret", secret).and_then(|secret| {
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
                let places = [
                    ("secret", written_secret),
                    ("jwks", written_jwks.is_some()),
                    ("discovery", written.discovery == Some(true)),
                ];
                let mut there = places.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
                let why = "one place has its keys: `secret`, `jwks` or `discovery = true`";
                match (there.next(), there.next()) {
                    (Some(_), Some(second)) => self.found.push(Mistake::new(key(second), why).of_key()),
                    _ if mistyped => {}
                    _ => self.found.add(path, why),
                }
                // Each is looked at for itself: one of them stays.
                if let Some(address) = written_jwks {
                    self.found.take(key("jwks"), Endpoint::parse(&address));
                }
                if let Some(issuer) = issuer.filter(|_| written.discovery == Some(true)) {
                    self.found.take(key("issuer"), Endpoint::parse(&issuer));
                }
                return None;
            }
        };
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
        let token = self.text_or_stand_in("token", written.token?).and_then(|token| {
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
