//! What the policies decide by, made from the config. What was counted, and what was verified while nothing about it has
//! changed, outlives a config.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::accounts::Accounts;
use crate::{
    auth::{
        Endpoint, Fetch, Https, Issuer, Key, KeySet, KeySource, Means, Principal, Remote, StaticToken,
        Verifier,
    },
    config::{
        Authorization, Config,
        callers::{Callers, ConfigToken, Keys, TrustedIssuer},
        read_file,
    },
    policy::{Limits, Policies},
    services::{accounts::StoredKeys, admin::Mistake},
};

/// The policies of a config. `before`: those of the config before it, and that config.
///
/// # Errors
/// A file that it names cannot be used.
pub(super) fn policies(
    config: &Config,
    own: &Accounts,
    before: Option<(&Policies, &Config)>,
) -> Result<Arc<Policies>, Vec<Mistake>> {
    let callers = &config.callers;
    let same = |old: &Config| {
        old.callers.issuers == callers.issuers
            && resource(old) == resource(config)
            && old.callers.tokens == callers.tokens
            && old.callers.certificates == callers.certificates
            && !names_files(callers)
    };
    let verifier = match before {
        // With the keys it has read, and whom it remembers.
        Some((policies, old)) if same(old) => Arc::clone(&policies.verifier),
        _ => Arc::new(verifier(config, own)?),
    };
    Ok(Arc::new(Policies {
        verifier,
        proxies: callers.proxies.clone(),
        limits: Limits::new(callers.limits.clone(), own.stores.counting.clone()),
    }))
}

/// Says at the start that services are open which others than this machine reach.
pub(super) fn warn_of_open_services(config: &Config) {
    let open = config.callers.rules.default.public && config.has_upstreams();
    if open && !config.listen.ip().is_loopback() {
        tracing::warn!(
            listen = %config.listen,
            "every method of the upstreams that no rule names is open to whoever reaches the gateway (access.default)"
        );
    }
}

/// A file may have changed although its name has not.
fn names_files(callers: &Callers) -> bool {
    callers.issuers.iter().any(|issuer| {
        matches!(&issuer.keys, Keys::Jwks { ca: Some(_), .. } | Keys::Discovery { ca: Some(_), .. })
    })
}

/// The issuer that makes tokens for MCP's endpoint, where that is not the gateway itself, and the address that they name.
fn resource(config: &Config) -> Option<(Arc<str>, Arc<str>)> {
    let Some(Authorization::Issuer(issuer)) = config.authorization() else { return None };
    let origin = config.mcp.oauth.origin.0.as_ref()?;
    Some((Arc::clone(&issuer.name), format!("{origin}{}", config.mcp.oauth_path()).into()))
}

fn verifier(config: &Config, own: &Accounts) -> Result<Verifier, Vec<Mistake>> {
    let (callers, resource) = (&config.callers, resource(config));
    let mut mistakes = Vec::new();
    let mut issuers = Vec::with_capacity(callers.issuers.len() + 1);
    if own.in_use {
        issuers.push(own.keyring.issuer());
    }
    for written in &callers.issuers {
        match issuer(written) {
            Ok(mut issuer) => {
                let resource = resource.iter().filter(|(name, _)| *name == issuer.name);
                issuer.resources.extend(resource.map(|(_, address)| Arc::clone(address)));
                issuers.push(issuer);
            }
            Err(why) => {
                let subject = format!("auth.issuers.{}{}", written.name, key_of_keys(&written.keys));
                mistakes.push(Mistake { message: format!("{subject}: {why}"), subject });
            }
        }
    }
    if mistakes.is_empty() {
        let mut verifier = Verifier::new(issuers, callers.tokens.iter().map(token).collect());
        if let Some(callers) = &callers.certificates {
            verifier = verifier.with_certificates(callers.clone());
        }
        if !own.in_use {
            return Ok(verifier);
        }
        let keys = Arc::new(StoredKeys(Arc::clone(&own.stores)));
        Ok(verifier.with_api_keys(keys).with_revocations(Arc::clone(&own.stores.revoked) as _))
    } else {
        Err(mistakes)
    }
}

fn issuer(written: &TrustedIssuer) -> Result<Issuer, String> {
    let keys = match &written.keys {
        Keys::Secret { secret, algorithm } => {
            let key = Key::secret(secret.expose().as_bytes(), algorithm)?;
            KeySource::Here(KeySet::new(vec![key]))
        }
        Keys::Jwks { address, ca } => {
            KeySource::Remote(Arc::new(Remote::at(Endpoint::parse(address)?, fetch(ca.as_deref())?)))
        }
        Keys::Discovery { issuer, ca } => {
            KeySource::Remote(Arc::new(Remote::discovered(issuer, fetch(ca.as_deref())?)?))
        }
    };
    Ok(Issuer {
        name: Arc::clone(&written.name),
        issuer: written.issuer.clone(),
        audiences: written.audiences.clone(),
        resources: Vec::new(),
        keys,
        claims: written.claims.clone(),
        skew: written.leeway.as_secs(),
        lifetime: None,
    })
}

/// The key of what can be wrong with the keys of an issuer whose config is right: a file.
fn key_of_keys(keys: &Keys) -> &'static str {
    match keys {
        Keys::Secret { .. } => ".secret",
        Keys::Jwks { ca: Some(_), .. } | Keys::Discovery { ca: Some(_), .. } => ".ca",
        Keys::Jwks { .. } => ".jwks",
        Keys::Discovery { .. } => ".discovery",
    }
}

fn fetch(ca: Option<&std::path::Path>) -> Result<Arc<dyn Fetch>, String> {
    let mut more = Vec::new();
    if let Some(file) = ca {
        let wrong = |why: &dyn std::fmt::Display| format!("ca {}: {why}", file.display());
        let pem = read_file(file).map_err(|why| wrong(&why))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            more.push(certificate.map_err(|error| wrong(&error))?);
        }
        if more.is_empty() {
            return Err(wrong(&"it has no certificate"));
        }
    }
    Ok(Arc::new(Https::new(&more)?))
}

fn token(written: &ConfigToken) -> StaticToken {
    let caller = Principal {
        email: written.email.clone(),
        roles: written.roles.clone(),
        permissions: written.permissions.clone(),
        scopes: written.scopes.clone(),
        tier: written.tier.clone(),
        ..Principal::new(Arc::clone(&written.user), Means::Static { name: Arc::clone(&written.name) })
    };
    StaticToken::new(written.token.expose(), caller)
}
