//! Certificates of a test's own, and clients that speak TLS.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::library::PATIENCE;

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names: those with `://` are URIs, those with `@` e-mail addresses, and `cn:` is before a common
    /// name. It is good for servers and for clients.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let hosts = names.iter().filter(|name| !name.contains([':', '@']) || **name == "::1");
        let mut params =
            CertificateParams::new(hosts.map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        for name in names {
            if let Some(name) = name.strip_prefix("cn:") {
                params.distinguished_name.push(DnType::CommonName, name);
            } else if name.contains("://") {
                params.subject_alt_names.push(SanType::URI((*name).try_into().unwrap()));
            } else if name.contains('@') {
                params.subject_alt_names.push(SanType::Rfc822Name((*name).try_into().unwrap()));
            }
        }
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// How a test connects.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) ca: String,
    pub(crate) identity: Option<Pair>,
    pub(crate) name: &'static str,
    pub(crate) alpn: Option<&'static str>,
    pub(crate) only: Option<&'static SupportedProtocolVersion>,
}

pub(crate) static ONLY_12: &SupportedProtocolVersion = &TLS12;

impl Client {
    /// A client that trusts an authority and shows nothing.
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self { ca: authority.pem.clone(), identity: None, name: "localhost", alpn: None, only: None }
    }

    pub(crate) fn showing(&self, pair: &Pair) -> Self {
        Self { identity: Some(pair.clone()), ..self.clone() }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap()).unwrap();
        let versions = self.only.map_or(vec![&TLS13, &TLS12], |only| vec![only]);
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain.collect::<Result<_, _>>().unwrap(), key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
        // Each connection is one of its own.
        config.resumption = rustls::client::Resumption::disabled();
        config
    }

    /// Connects and shakes hands; the error is the handshake's. (With TLS 1.3 a server refuses a client's certificate only
    /// after that.)
    pub(crate) async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config()));
        let name = ServerName::try_from(self.name).unwrap();
        timeout(PATIENCE, async { connector.connect(name, TcpStream::connect(address).await?).await })
            .await
            .expect("a handshake in time")
    }

    /// One request over HTTP/1.1 on a connection of its own; the error is whatever kept it from an answer.
    pub(crate) async fn http1(
        &self,
        address: SocketAddr,
        request: Request<Bytes>,
    ) -> Result<Response<(Bytes, HeaderMap)>, String> {
        let stream = self.connect(address).await.map_err(|error| error.to_string())?;
        let exchange = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|e| e.to_string())?;
            tokio::spawn(connection);
            let mut request = request.map(Full::new);
            request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
            whole(sender.send_request(request).await.map_err(|error| format!("{error:?}"))?).await
        };
        timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    /// The same over HTTP/2.
    pub(crate) async fn http2(
        &self,
        address: SocketAddr,
        request: Request<Bytes>,
    ) -> Result<Response<(Bytes, HeaderMap)>, String> {
        let client = Self { alpn: Some("h2"), ..self.clone() };
        let stream = client.connect(address).await.map_err(|error| error.to_string())?;
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            let (mut parts, body) = request.into_parts();
            parts.uri = format!("https://localhost{}", parts.uri).parse().unwrap();
            let request = Request::from_parts(parts, Full::new(body));
            whole(sender.send_request(request).await.map_err(|error| format!("{error:?}"))?).await
        };
        timeout(PATIENCE, exchange).await.expect("an answer in time")
    }
}

async fn whole(response: Response<hyper::body::Incoming>) -> Result<Response<(Bytes, HeaderMap)>, String> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Response::from_parts(head, (body.to_bytes(), trailers)))
}
