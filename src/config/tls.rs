//! `[tls]` as meant: which certificates are shown, and which are asked for. And what is in their PEM files, read here once for
//! all who need it: the check of a config, the port, the upstreams.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    sign::CertifiedKey,
};

use super::read_file;
use crate::auth::Certificate;

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The one that is shown where no other is asked for.
    pub pair: Pair,
    /// `[[tls.certificates]]`
    pub others: Vec<Pair>,
    /// TLS 1.2 is not spoken.
    pub only_13: bool,
    pub handshake_timeout: Duration,
    pub clients: Clients,
}

/// A certificate and its key, by their PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    NotAsked,
    /// By one of the authorities in this PEM file; who has none is let in where it is not `required`.
    Asked {
        ca: PathBuf,
        required: bool,
    },
}

impl Tls {
    /// Every pair, with the path of its key in the config.
    pub fn pairs(&self) -> impl Iterator<Item = (String, &Pair)> {
        let others = self.others.iter().enumerate();
        let others = others.map(|(index, pair)| (format!("tls.certificates[{index}]"), pair));
        std::iter::once(("tls".to_owned(), &self.pair)).chain(others)
    }

    /// Every file that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.pairs().flat_map(|(_, pair)| pair.files());
        let ca = match &self.clients {
            Clients::NotAsked => None,
            Clients::Asked { ca, .. } => Some(ca.as_path()),
        };
        pairs.chain(ca)
    }
}

/// What is wrong with a pair: the sentence, and which of its files it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPair {
    /// `certificate` or `key`
    pub file: &'static str,
    pub why: String,
}

/// A certificate with its key, as TLS uses them.
#[derive(Debug, Clone)]
pub struct ReadPair {
    pub certified: Arc<CertifiedKey>,
    /// What the certificate itself says.
    pub certificate: Arc<Certificate>,
}

impl Pair {
    /// Both of its files.
    pub fn files(&self) -> [&Path; 2] {
        [&self.certificate, &self.key]
    }

    /// Reads both files, and holds one against the other.
    ///
    /// # Errors
    /// One of them cannot be read, is not what it should be, or the key is another certificate's.
    pub fn read(&self) -> Result<ReadPair, BadPair> {
        let of_certificate = |why| BadPair { file: "certificate", why };
        let of_key = |why| BadPair { file: "key", why };
        let chain = certificates(&self.certificate).map_err(of_certificate)?;
        let named = self.certificate.display();
        let certificate = chain.first().and_then(|first| Certificate::read(first));
        let unreadable = || of_certificate(format!("the first of the certificates {named} is none of X.509"));
        let certificate = Arc::new(certificate.ok_or_else(unreadable)?);
        let key = key(&self.key).map_err(of_key)?;
        let shown = self.key.display();
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                of_key(format!("the key {shown} is not that of the certificate {named}"))
            }
            error => of_key(format!("cannot use the key {shown}: {error}")),
        })?;
        Ok(ReadPair { certified: Arc::new(certified), certificate })
    }
}

/// Reads a PEM file of certificates.
///
/// # Errors
/// It cannot be read, is no PEM, or has no certificate in it.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong =
        |why: &dyn std::fmt::Display| format!("cannot use the certificates {}: {why}", file.display());
    let pem = read_file(file).map_err(|why| wrong(&why))?;
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        found.push(certificate.map_err(|error| wrong(&format!("{error:?}")))?);
    }
    if found.is_empty() {
        let key = has(&pem, "PRIVATE KEY-----");
        return Err(wrong(if key {
            &"it holds a key, and no certificate"
        } else {
            &"it holds no certificate"
        }));
    }
    Ok(found)
}

/// Reads a PEM file of a private key.
///
/// # Errors
/// It cannot be read, is no PEM, or has no key in it that can be used as it is.
fn key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let wrong = |why: &str| format!("cannot use the key {}: {why}", file.display());
    let pem = read_file(file).map_err(|why| wrong(&why))?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if has(&pem, "ENCRYPTED PRIVATE KEY") => {
            Err(wrong("it is encrypted, and nobody is asked for its password; store it decrypted"))
        }
        Err(pem::Error::NoItemsFound) if has(&pem, "CERTIFICATE-----") => {
            Err(wrong("it holds a certificate, and no private key"))
        }
        Err(pem::Error::NoItemsFound) => Err(wrong("it holds no private key")),
        // What stands there is not shown.
        Err(_) => Err(wrong("it is not PEM")),
    }
}

/// Reads a PEM file of authorities.
///
/// # Errors
/// It cannot be read, or one of its certificates can be nobody's authority.
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store
            .add(certificate)
            .map_err(|error| format!("cannot use the certificates {}: {error}", file.display()))?;
    }
    Ok(store)
}

fn has(pem: &[u8], text: &str) -> bool {
    memchr::memmem::find(pem, text.as_bytes()).is_some()
}

/// What is strange about how long a certificate is good; `None` where it is good now. `now` is in seconds since 1970.
#[must_use]
pub fn not_good_at(certificate: &Certificate, now: u64) -> Option<String> {
    let said = |at: u64| {
        let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        at.map_or_else(|| "a time that nobody knows".to_owned(), |at| at.to_string())
    };
    if now > certificate.not_after {
        return Some(format!("the certificate has expired, at {}", said(certificate.not_after)));
    }
    (now < certificate.not_before)
        .then(|| format!("the certificate is not good yet, only from {} on", said(certificate.not_before)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    #[test]
    fn a_pair_is_read_or_it_is_said_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let Made { cert, signing_key } = generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        put("a.crt", &cert.pem());
        put("a.key", &signing_key.serialize_pem());
        put("b.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
        put("empty", "");
        put("text", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n");
        let locked = signing_key.serialize_pem().replace("PRIVATE", "ENCRYPTED PRIVATE");
        put("locked.key", &locked);
        put("both", &format!("{}{}", signing_key.serialize_pem(), cert.pem()));
        let pair = |certificate: &str, key: &str| Pair {
            certificate: folder.path().join(certificate),
            key: folder.path().join(key),
        };
        let check = |certificate: &str, key: &str, file: &str, want: &str| {
            let bad = pair(certificate, key).read().unwrap_err();
            assert_eq!(bad.file, file, "{bad:?}");
            assert!(bad.why.contains(want), "{bad:?}");
        };
        for (certificate, key) in [("a.crt", "a.key"), ("both", "both")] {
            let read = pair(certificate, key).read().unwrap();
            assert!(read.certificate.is_for("a.example"));
        }
        check("a.crt", "b.key", "key", "is not that of the certificate");
        check("nowhere", "a.key", "certificate", "No such file");
        check("empty", "a.key", "certificate", "it holds no certificate");
        check("a.key", "a.key", "certificate", "it holds a key, and no certificate");
        check("text", "a.key", "certificate", "");
        check("a.crt", "a.crt", "key", "it holds a certificate, and no private key");
        check("a.crt", "empty", "key", "it holds no private key");
        check("a.crt", "locked.key", "key", "it is encrypted");
    }

    #[test]
    fn a_certificate_has_its_time() {
        let Made { cert, .. } = generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let read = Certificate::read(cert.der()).unwrap();
        assert_eq!(not_good_at(&read, read.not_before), None);
        assert_eq!(not_good_at(&read, read.not_after), None);
        assert!(not_good_at(&read, read.not_before - 1).unwrap().contains("not good yet, only from 197"));
        assert!(not_good_at(&read, read.not_after + 1).unwrap().contains("has expired, at 4096-01-01T"));
    }
}
