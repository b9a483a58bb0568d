//! What the port shows and asks for in its TLS handshakes, made of the config's files. It is swapped whole: a handshake takes
//! what is there when it begins, and what is open goes on with what it began with.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tracing::warn;

use crate::{
    auth::{Certificate, Digest, digest, now},
    config::{Clients, Config, ReadPair, Tls, authorities, not_good_at, read_file},
    services::admin::Mistake,
};

/// TLS as the port speaks it.
pub struct PortTls {
    pub config: Arc<ServerConfig>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Of all that it was made of.
    made_of: Digest,
    /// Its certificates in words.
    shown: String,
}

impl fmt::Debug for PortTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PortTls").field(&self.shown).finish()
    }
}

/// Makes the TLS of a config, or none where the port speaks plain text. Where its files hold what they held `before`, it is
/// the same.
///
/// # Errors
/// A file cannot be used, or two do not belong together.
pub(super) fn prepare(
    config: &Config,
    before: Option<&Arc<PortTls>>,
) -> Result<Option<Arc<PortTls>>, Vec<Mistake>> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let made_of = made_of(tls);
    if let Some(before) = before.filter(|before| before.made_of == made_of) {
        return Ok(Some(Arc::clone(before)));
    }
    let (mut read, mut mistakes) = (Vec::new(), Vec::new());
    for (path, pair) in tls.pairs() {
        match pair.read() {
            Ok(one) => read.push(one),
            Err(bad) => mistakes.push(mistake(format!("{path}.{}", bad.file), &bad.why)),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    for one in &read {
        if let Some(why) = not_good_at(&one.certificate, now()) {
            warn!("{}: {why}", named(&one.certificate));
        }
    }
    let shown = read.iter().map(|one| in_words(&one.certificate)).collect::<Vec<_>>().join("; ");
    let config = made(tls, read).map_err(|(key, why)| vec![mistake(key.to_owned(), &why)])?;
    let handshake_timeout = tls.handshake_timeout;
    Ok(Some(Arc::new(PortTls { config: Arc::new(config), handshake_timeout, made_of, shown })))
}

/// What a reload changed, in words; none where nothing did, or where the config itself says so.
pub(super) fn changed(before: Option<&Arc<PortTls>>, after: Option<&Arc<PortTls>>) -> Option<String> {
    match (before, after) {
        (Some(before), Some(after)) if before.made_of != after.made_of => {
            Some(format!("tls: the certificates are others now: {}", after.shown))
        }
        (None, Some(after)) => Some(format!("tls: new connections speak TLS: {}", after.shown)),
        (Some(_), None) => Some("tls: new connections speak plain text".to_owned()),
        _ => None,
    }
}

fn mistake(subject: String, why: &str) -> Mistake {
    Mistake { message: format!("{subject}: {why}"), subject }
}

/// Settings and contents of files; one that cannot be read now is told of when it is used.
fn made_of(tls: &Tls) -> Digest {
    let mut all = format!("{tls:?}").into_bytes();
    for file in tls.files() {
        all.extend(digest(&read_file(file).unwrap_or_default()));
    }
    digest(&all)
}

fn made(tls: &Tls, read: Vec<ReadPair>) -> Result<ServerConfig, (&'static str, String)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = if tls.only_13 { &[&TLS13][..] } else { &[&TLS13, &TLS12][..] };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
    let builder = builder.map_err(|error| ("tls", error.to_string()))?;
    let builder = match &tls.clients {
        Clients::NotAsked => builder.with_no_client_auth(),
        Clients::Asked { ca, required } => {
            let wrong = |why| ("tls.client_ca", why);
            let roots = Arc::new(authorities(ca).map_err(wrong)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(read)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Chooses by the name that a client asks for.
struct ByName(Vec<ReadPair>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|one| &one.certificate)).finish()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            // A name that is written out goes before one that a star stands for.
            let exactly =
                |one: &&ReadPair| one.certificate.dns.iter().any(|dns| dns.eq_ignore_ascii_case(name));
            let of_name = |one: &&ReadPair| one.certificate.is_for(name);
            self.0.iter().find(exactly).or_else(|| self.0.iter().find(of_name))
        });
        named.or_else(|| self.0.first()).map(|one| Arc::clone(&one.certified))
    }
}

fn named(certificate: &Certificate) -> String {
    let names = certificate.dns.join(", ");
    match &certificate.common_name {
        _ if !names.is_empty() => names,
        Some(name) => name.to_string(),
        None => "a certificate without a name".to_owned(),
    }
}

fn in_words(certificate: &Certificate) -> String {
    let until = i64::try_from(certificate.not_after).ok();
    let until = until.and_then(|at| jiff::Timestamp::from_second(at).ok());
    let until = until.map_or_else(String::new, |at| format!(" until {at}"));
    format!("{}{until}", named(certificate))
}
