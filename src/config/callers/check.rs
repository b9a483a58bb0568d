//! `[auth]` checked, with where its secrets are; and everything about callers put together.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use super::{
    super::{ConfigError, check::duration},
    Callers, ConfigToken, Keys, Private, TrustedIssuer, limits, rules,
    rules::texts,
    settings::{self, OneOrMore, Text},
};
use crate::auth::{Endpoint, Key, MOST_SKEW, Network, Proxies, claims::ClaimMap};

/// The shortest token that is taken as it is.
const LEAST_TOKEN: usize = 16;
/// What examples have in the place of a secret.
const PLACEHOLDERS: [&str; 10] = [
    "changeme",
    "changethis",
    "replaceme",
    "placeholder",
    "yoursecret",
    "yourjwtsecret",
    "yourtoken",
    "supersecret",
    "mysecret",
    "insertyour",
];

pub(in crate::config) fn check(
    auth: settings::Auth,
    access: settings::Access,
    rate_limits: settings::RateLimits,
    proxies: Proxies,
    folder: &Path,
) -> Result<Callers, ConfigError> {
    let mut callers = Callers { proxies, ..Callers::default() };
    let mut names = HashSet::new();
    let mut named = |list: &str, name: &str| {
        if name.is_empty() || !names.insert(name.to_owned()) {
            return Err(ConfigError(format!("auth.{list}: {name:?} is no name of its own; each has one")));
        }
        Ok(())
    };
    for written in auth.issuers {
        named("issuers", &written.name)?;
        callers.issuers.push(issuer(written, folder)?);
    }
    for written in auth.tokens {
        named("tokens", &written.name)?;
        callers.tokens.push(token(written, folder)?);
    }
    rules::access(access, &mut callers.rules)?;
    callers.limits = limits::limits(rate_limits, callers.limits, &mut callers.rules)?;
    Ok(callers)
}

/// The proxies of `[gateway]`.
pub(in crate::config) fn proxies(trusted: &[String], header: Option<&str>) -> Result<Proxies, ConfigError> {
    let forwarded = match header.map(str::to_ascii_lowercase).as_deref() {
        None | Some("x-forwarded-for") => false,
        Some("forwarded") => true,
        Some(_) => {
            let message = "gateway.forwarded_header: it is \"x-forwarded-for\" or \"forwarded\"";
            return Err(ConfigError(message.to_owned()));
        }
    };
    let nearest_private = trusted.iter().any(|text| text == "nearest");
    let networks = trusted.iter().filter(|text| *text != "nearest");
    let parse = |text: &String| {
        Network::parse(text).map_err(|why| {
            ConfigError(format!(
                "gateway.trusted_proxies: {why}; or \"nearest\", for the nearest private hop"
            ))
        })
    };
    Ok(Proxies { networks: networks.map(parse).collect::<Result<_, _>>()?, nearest_private, forwarded })
}

fn issuer(written: settings::Issuer, folder: &Path) -> Result<TrustedIssuer, ConfigError> {
    let name = written.name;
    let key = |key: &str| format!("auth.issuers.{name}.{key}");
    let wrong = |at: &str, why: &str| ConfigError(format!("{}: {why}", key(at)));
    let demands_issuer = written.check_issuer.unwrap_or(true);
    let issuer = match (written.issuer, demands_issuer) {
        (Some(issuer), _) if !issuer.is_empty() => Some(issuer),
        (_, false) => None,
        (_, true) => {
            let why = "what iss must be; check_issuer = false where this issuer's tokens have none";
            return Err(wrong("issuer", why));
        }
    };
    let demands_audience = written.check_audience.unwrap_or(true);
    if demands_audience && written.audience.is_empty() {
        let why = "what aud must name; check_audience = false where this issuer's tokens have none";
        return Err(wrong("audience", why));
    }
    let ca = written.ca.map(|file| folder.join(file));
    let keys = match (written.secret, written.jwks, written.discovery.unwrap_or(false)) {
        (Some(secret), None, false) => {
            let algorithm = written.algorithm.unwrap_or_else(|| "HS256".to_owned());
            let secret = read(&key("secret"), secret, folder)?;
            Key::secret(secret.expose().as_bytes(), &algorithm).map_err(|why| wrong("secret", &why))?;
            Keys::Secret { secret, algorithm }
        }
        (None, Some(address), false) => {
            Endpoint::parse(&address).map_err(|why| wrong("jwks", &why))?;
            Keys::Jwks { address, ca }
        }
        (None, None, true) => {
            let issuer = issuer.clone().ok_or_else(|| wrong("discovery", "it needs `issuer`"))?;
            Endpoint::parse(&issuer).map_err(|why| wrong("issuer", &why))?;
            Keys::Discovery { issuer, ca }
        }
        _ => {
            let why = "one place has its keys: `secret`, `jwks` or `discovery = true`";
            return Err(wrong("keys", why));
        }
    };
    let most = Duration::from_secs(MOST_SKEW);
    let leeway = match written.leeway.as_deref() {
        Some("0s" | "0") => Duration::ZERO,
        _ => duration(&key("leeway"), written.leeway, most)?,
    };
    if leeway > most {
        return Err(wrong("leeway", "clocks may differ by at most 60s"));
    }
    let list = |written: Option<OneOrMore>, default: Vec<String>| match written {
        None => default,
        Some(OneOrMore::One(path)) => vec![path],
        Some(OneOrMore::More(paths)) => paths,
    };
    let (default, claims) = (ClaimMap::default(), written.claims);
    Ok(TrustedIssuer {
        issuer: issuer.filter(|_| demands_issuer),
        audiences: if demands_audience { written.audience } else { Vec::new() },
        keys,
        claims: ClaimMap {
            id: claims.id.unwrap_or(default.id),
            email: claims.email.or(default.email),
            roles: list(claims.roles, default.roles),
            permissions: list(claims.permissions, default.permissions),
            scopes: list(claims.scopes, default.scopes),
            tier: claims.tier.or(default.tier),
        },
        leeway,
        name: name.into(),
    })
}

fn token(written: settings::Token, folder: &Path) -> Result<ConfigToken, ConfigError> {
    let key = format!("auth.tokens.{}.token", written.name);
    let reference = written.token.ok_or_else(|| {
        ConfigError(format!("{key}: where the token is: {{ env = \"NAME\" }} or {{ file = \"PATH\" }}"))
    })?;
    let token = read(&key, reference, folder)?;
    let fits = token.expose().bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if token.expose().len() < LEAST_TOKEN || !fits {
        let message =
            format!("{key}: a token has at least {LEAST_TOKEN} characters, without spaces and commas");
        return Err(ConfigError(message));
    }
    Ok(ConfigToken {
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

/// Reads a secret from where it is. What it holds is in no message.
pub(in crate::config) fn read(key: &str, reference: Text, folder: &Path) -> Result<Private, ConfigError> {
    let wrong = |why: String| ConfigError(format!("{key}: {why}"));
    let text = match reference {
        Text::Literal(_) => {
            let why = "a secret is not written into the config; say where it is: { env = \"NAME\" } or { file = \"PATH\" }";
            return Err(wrong(why.to_owned()));
        }
        Text::Reference { env: Some(name), file: None } => {
            #[expect(clippy::disallowed_methods, reason = "this is config/")]
            let value = std::env::var(&name);
            value.map_err(|_| wrong(format!("the environment variable {name} is not set")))?
        }
        Text::Reference { env: None, file: Some(file) } => {
            let file = folder.join(file);
            fs::read_to_string(&file)
                .map_err(|error| wrong(format!("the file {} cannot be read: {error}", file.display())))?
        }
        Text::Reference { .. } => {
            return Err(wrong("it has either env or file, the one place where it is".to_owned()));
        }
    };
    let text = text.trim_end_matches(['\n', '\r']);
    let plain: String =
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let same = plain.bytes().all(|byte| Some(byte) == plain.bytes().next());
    if plain.is_empty() || same || PLACEHOLDERS.iter().any(|known| plain.starts_with(known)) {
        return Err(wrong("what is there is a placeholder, not a secret".to_owned()));
    }
    Ok(Private::new(text))
}
