//! TLS towards an upstream: whom to trust, under which name, and which HTTP by ALPN. One crypto provider, aws-lc-rs.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub roots: Roots,
    /// The name its certificate must carry, and SNI; `None`: the host of the upstream's authority.
    pub server_name: Option<String>,
}

/// Whose certificates an upstream may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those the system trusts.
    Native,
    /// Those of a PEM file's contents.
    Pem(Vec<u8>),
}

/// A connector made of the settings once.
pub(super) struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    speaks: Speaks,
}

/// What is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

impl Connector {
    pub(super) fn new(tls: &Tls, host: &str, speaks: Speaks) -> Result<Self, String> {
        let host = tls.server_name.as_deref().unwrap_or(host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| format!("{host:?} is not a name a certificate can have: {error}"))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("no usable TLS version: {error}"))?
            .with_root_certificates(tls.roots.store()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![match speaks {
            Speaks::Http1 => b"http/1.1".to_vec(),
            Speaks::Http2 => b"h2".to_vec(),
        }];
        Ok(Self { tls: Arc::new(config).into(), name, speaks })
    }

    /// Shakes hands; says what went wrong in words that follow the upstream's name.
    pub(super) async fn connect(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let stream = self
            .tls
            .connect(self.name.clone(), tcp)
            .await
            .map_err(|error| format!("failed its TLS handshake: {error}"))?;
        match (self.speaks, stream.get_ref().1.alpn_protocol()) {
            // Without ALPN it is HTTP/1.1 that is spoken.
            (Speaks::Http1, None | Some(b"http/1.1")) | (Speaks::Http2, Some(b"h2")) => Ok(stream),
            (Speaks::Http1, _) => Err("did not agree to HTTP/1.1 in its TLS handshake".into()),
            (Speaks::Http2, _) => Err("did not agree to HTTP/2 in its TLS handshake (ALPN h2)".into()),
        }
    }
}

impl Roots {
    fn store(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match self {
            Self::Native => {
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = store.add_parsable_certificates(found.certs);
                if added == 0 {
                    return Err(format!("the system has no root certificates: {:?}", found.errors));
                }
            }
            Self::Pem(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| format!("the CA is not PEM: {error}"))?;
                    store.add(certificate).map_err(|error| format!("the CA is not usable: {error}"))?;
                }
                if store.is_empty() {
                    return Err("the CA's PEM holds no certificate".into());
                }
            }
        }
        Ok(store)
    }
}
