//! `[tls]` and `[admin]` checked: files that are there and belong together, and an address that can be listened on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{Check, callers::texts, values::listen_address};
use crate::{
    auth::{CertificateCallers, CertificateGrant, NameKind, NamePattern, now},
    config::{
        mistake::Mistake,
        settings::{self, ClientCertificates, TlsVersion},
        tls::{Clients, Pair, Tls, authorities, not_good_at},
    },
};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl Check<'_> {
    /// `None` where the port speaks plain text.
    pub(super) fn tls(&mut self, written: settings::Tls) -> Option<Tls> {
        let settings::Tls {
            certificate,
            key,
            certificates,
            min_version,
            handshake_timeout,
            client_certificates,
            client_ca,
            client_identity,
        } = written;
        let handshake_timeout = self.time("tls.handshake_timeout", handshake_timeout, HANDSHAKE);
        let pair = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(self.pair("tls", settings::Pair { certificate, key })),
            (Some(_), None) => {
                self.found.add("tls", "it has a certificate and no `key`");
                None
            }
            (None, Some(_)) => {
                self.found.add("tls", "it has a key and no `certificate`");
                None
            }
            (None, None) => {
                let more = !certificates.is_empty()
                    || client_certificates.is_some_and(|asked| asked != ClientCertificates::None)
                    || client_ca.is_some()
                    || client_identity.is_some();
                if more && !self.found.below("tls") {
                    let message = "it has no certificate, and without one the port speaks plain text: `certificate` and `key` say where it is";
                    self.found.add("tls", message);
                }
                None
            }
        };
        let others = certificates.into_iter().enumerate();
        let others = others.map(|(index, written)| self.pair(&format!("tls.certificates[{index}]"), written));
        let others: Vec<Option<Pair>> = others.collect();
        let asks = client_certificates.is_some_and(|asked| asked != ClientCertificates::None);
        let required = client_certificates == Some(ClientCertificates::Required);
        let ca = client_ca.map(|file| self.looks.folder.join(file));
        let clients = match (asks, ca) {
            (true, Some(ca)) => {
                let read = self.looks.files.then(|| authorities(&ca).map(drop));
                match read.map(|read| self.found.take("tls.client_ca", read)) {
                    Some(None) => None,
                    _ => Some(Clients::Asked { ca, required }),
                }
            }
            (true, None) => {
                let message =
                    "clients are asked for certificates, and `client_ca` does not say whose they may be";
                self.found.add("tls.client_certificates", message);
                None
            }
            (false, ca) => {
                let idle = [("client_ca", ca.is_some()), ("client_identity", client_identity.is_some())];
                for (name, _) in idle.iter().filter(|(_, there)| *there) {
                    let message =
                        "it does nothing: clients are not asked for certificates (client_certificates)";
                    self.found.push(Mistake::new(format!("tls.{name}"), message).of_key().warning());
                }
                Some(Clients::NotAsked)
            }
        };
        Some(Tls {
            pair: pair??,
            others: others.into_iter().collect::<Option<_>>()?,
            only_13: matches!(min_version, Some(TlsVersion::Tls13)),
            handshake_timeout,
            clients: clients?,
        })
    }

    /// A certificate and its key; `path` is around both.
    pub(super) fn pair(&mut self, path: &str, written: settings::Pair) -> Option<Pair> {
        self.pair_of((&format!("{path}.certificate"), &format!("{path}.key")), written)
    }

    /// The same, with the path of each.
    pub(super) fn pair_of(
        &mut self,
        (certificate, key): (&str, &str),
        written: settings::Pair,
    ) -> Option<Pair> {
        // One that is missing was told of by its shape.
        if written.certificate.as_os_str().is_empty() || written.key.as_os_str().is_empty() {
            return None;
        }
        let folder = self.looks.folder;
        let pair = Pair { certificate: folder.join(written.certificate), key: folder.join(written.key) };
        // A key is a secret: who only looks at a config need not have it.
        if !self.looks.files || !self.looks.secrets {
            return Some(pair);
        }
        match pair.read() {
            Ok(read) => {
                if let Some(why) = not_good_at(&read.certificate, now()) {
                    let message = format!("{why} ({})", pair.certificate.display());
                    self.found.push(Mistake::new(certificate, message).warning());
                }
                Some(pair)
            }
            Err(bad) => {
                self.found.add(if bad.file == "key" { key } else { certificate }, bad.why);
                None
            }
        }
    }

    /// Who is known by a client certificate.
    pub(super) fn certificate_callers(
        &mut self,
        identity: Option<Vec<settings::NameKind>>,
        grants: Vec<settings::CertificateGrant>,
        asks: bool,
    ) -> Option<CertificateCallers> {
        if !grants.is_empty() && !asks {
            let message = "it does nothing: clients are not asked for certificates (tls.client_certificates)";
            self.found.push(Mistake::new("auth.certificates", message).of_key().warning());
        }
        let mut meant = Vec::with_capacity(grants.len());
        for (index, written) in grants.into_iter().enumerate() {
            let key = format!("auth.certificates[{index}].match");
            if written.pattern.is_empty() {
                continue;
            }
            let Some(pattern) = self.found.take(&key, NamePattern::parse(&written.pattern)) else { continue };
            if meant.iter().any(|before: &CertificateGrant| before.pattern.covers(&pattern)) {
                let message =
                    format!("nothing is left for {pattern}: an entry above it fits all of its names");
                self.found.push(Mistake::new(key, message).warning());
            }
            meant.push(CertificateGrant {
                pattern,
                roles: texts(written.roles),
                permissions: texts(written.permissions),
                scopes: texts(written.scopes),
                tier: written.tier.map(Arc::from),
            });
        }
        let kinds = identity.map(|kinds| kinds.into_iter().map(name_kind).collect());
        let identity = kinds.unwrap_or_else(|| NameKind::ALL.to_vec());
        asks.then_some(CertificateCallers { identity, grants: meant })
    }

    /// `[admin]`: where the operator's listener is; of this machine, where only a port is said.
    pub(super) fn admin(&mut self, written: settings::Admin, main: SocketAddr) -> Option<SocketAddr> {
        let text = written.listen?;
        let whole = match text.trim_start_matches(':').parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) => text,
        };
        let address = self.found.take("admin.listen", listen_address(&whole))?;
        let both = address.port() != 0
            && address.port() == main.port()
            && (address.ip() == main.ip() || address.ip().is_unspecified() || main.ip().is_unspecified());
        if both {
            let message = format!("{address} is where the gateway itself listens (gateway.listen)");
            self.found.add("admin.listen", message);
            return None;
        }
        Some(address)
    }
}

fn name_kind(written: settings::NameKind) -> NameKind {
    match written {
        settings::NameKind::Uri => NameKind::Uri,
        settings::NameKind::Dns => NameKind::Dns,
        settings::NameKind::Email => NameKind::Email,
        settings::NameKind::Cn => NameKind::CommonName,
    }
}
