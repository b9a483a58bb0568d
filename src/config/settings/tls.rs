//! `[tls]` and `[admin]` as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Time;

/// `[tls]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Tls {
    /// A PEM file: the certificate, and behind it those that lead to its authority. Default: none; the port speaks plain text.
    pub(in crate::config) certificate: Option<PathBuf>,
    /// The PEM file of its private key.
    pub(in crate::config) key: Option<PathBuf>,
    /// Further certificates: a client is shown the one that is for the name which it asks for, else the one above. Default:
    /// none.
    pub(in crate::config) certificates: Vec<Pair>,
    /// The oldest TLS that is spoken: 1.2 or 1.3. Default: 1.2.
    pub(in crate::config) min_version: Option<TlsVersion>,
    /// How long a handshake may take. Default: 10s.
    pub(in crate::config) handshake_timeout: Option<Time>,
    /// Whether clients are asked for a certificate: none (they are not), optional (who has none is let in) or required. One
    /// that is shown and is not good is never let in. Default: none.
    pub(in crate::config) client_certificates: Option<ClientCertificates>,
    /// A PEM file of the authorities whose certificates clients may have.
    pub(in crate::config) client_ca: Option<PathBuf>,
    /// Which name of a client's certificate is the caller's id: the first of these kinds that it has, of uri, dns, email and
    /// cn. Default: all four, in this order.
    #[schemars(length(min = 1))]
    pub(in crate::config) client_identity: Option<Vec<NameKind>>,
}

/// `[[tls.certificates]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["certificate", "key"]))]
pub(in crate::config) struct Pair {
    /// A PEM file, as tls.certificate.
    pub(in crate::config) certificate: PathBuf,
    /// The PEM file of its private key.
    pub(in crate::config) key: PathBuf,
}

/// `[tls] min_version`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(in crate::config) enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// `[tls] client_certificates`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ClientCertificates {
    None,
    Optional,
    Required,
}

/// A kind of a certificate's names
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum NameKind {
    Uri,
    Dns,
    Email,
    Cn,
}

/// `[admin]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Admin {
    /// A second listener, in plain text, for probes and for the operator: IP:PORT, or PORT alone, of this machine then. Who
    /// reaches it may read what is told on this machine. Default: none.
    pub(in crate::config) listen: Option<String>,
}

/// `[[auth.certificates]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["match"]))]
pub(in crate::config) struct CertificateGrant {
    /// The caller's id, by tls.client_identity; or with one * at its end or its beginning, all that begin or end so.
    #[serde(rename = "match")]
    pub(in crate::config) pattern: String,
    /// The caller's roles. Default: none.
    pub(in crate::config) roles: Vec<String>,
    /// The caller's permissions. Default: none.
    pub(in crate::config) permissions: Vec<String>,
    /// The caller's scopes. Default: none.
    pub(in crate::config) scopes: Vec<String>,
    /// The caller's tier. Default: rate_limits.default_tier.
    pub(in crate::config) tier: Option<String>,
}
