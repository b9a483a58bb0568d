//! TLS towards an upstream: whom to trust, under which name, and which HTTP by ALPN. One crypto provider, aws-lc-rs.

use std::{fmt, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    },
};

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub roots: Roots,
    /// The name its certificate must carry, and SNI; `None`: the host of the upstream's authority.
    pub server_name: Option<String>,
    /// The certificate that is shown to it, where it asks for one.
    pub identity: Option<Identity>,
}

/// A certificate and its key, by the contents of their PEM files.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Whose certificates an upstream may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those the system trusts.
    Native,
    /// Those of a PEM file's contents.
    Pem(Vec<u8>),
    /// Nobody's authority is asked for: this certificate itself, in DER, whatever name it is for.
    Exactly(Vec<u8>),
    /// Anybody's: for who asks without a secret, and wants no more than an answer.
    Anybody,
}

/// A connector made of the settings once.
pub struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    speaks: Speaks,
}

/// What is spoken over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Http1,
    Http2,
}

impl Connector {
    /// Makes one towards a host, unless the settings name another.
    ///
    /// # Errors
    /// Which setting is not usable: a name no certificate can have, authorities that cannot be read.
    pub fn new(tls: &Tls, host: &str, speaks: Speaks) -> Result<Self, String> {
        let host = tls.server_name.as_deref().unwrap_or(host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| format!("{host:?} is not a name a certificate can have: {error}"))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("no usable TLS version: {error}"))?;
        let builder = match Unnamed::of(&tls.roots) {
            Some(unnamed) => builder.dangerous().with_custom_certificate_verifier(Arc::new(unnamed)),
            None => builder.with_root_certificates(tls.roots.store()?),
        };
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                let wrong = |error| format!("the client certificate and its key are not usable: {error}");
                builder.with_client_auth_cert(chain, key).map_err(wrong)?
            }
        };
        config.alpn_protocols = vec![match speaks {
            Speaks::Http1 => b"http/1.1".to_vec(),
            Speaks::Http2 => b"h2".to_vec(),
        }];
        Ok(Self { tls: Arc::new(config).into(), name, speaks })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// What went wrong, in words that follow the server's name.
    pub async fn connect(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, String> {
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

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.name).finish()
    }
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| format!("the client certificate is not PEM: {error}"))?;
        // What stands there is not shown.
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            "the PEM of the client certificate's key holds no key that can be used".to_owned()
        })?;
        Ok((chain, key))
    }
}

/// Takes a server for what it is without any authority's word. It must have the key of its certificate all the same.
#[derive(Debug)]
struct Unnamed {
    exactly: Option<Vec<u8>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Unnamed {
    fn of(roots: &Roots) -> Option<Self> {
        let exactly = match roots {
            Roots::Exactly(certificate) => Some(certificate.clone()),
            Roots::Anybody => None,
            Roots::Native | Roots::Pem(_) => return None,
        };
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Some(Self { exactly, algorithms })
    }
}

impl ServerCertVerifier for Unnamed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.exactly {
            Some(exactly) if **exactly != **end_entity => {
                Err(Error::General("the server shows another certificate than the config names".to_owned()))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Roots {
    fn store(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match self {
            Self::Exactly(_) | Self::Anybody => {}
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
