//! Makes one HTTP/2 connection to an upstream: name resolution, TCP, TLS, and a handshake that is over only when the peer has
//! answered.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use h2::{Ping, client::SendRequest};
use http::uri::Authority;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::Status;

use super::Settings;
use crate::status::Fault;

/// Flow-control windows in bytes: of a stream, of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The most bytes of a reply's head or trailers.
const HEADER_BYTES: u32 = 64 << 10;
/// How soon a peer that vanished without a word is noticed.
const VANISHED: Duration = Duration::from_secs(30);

/// Drives a connection until it ends.
pub(super) type Driver = BoxFuture<'static, ()>;

/// Knows how to reach one upstream.
pub(super) struct Connector {
    /// `upstream "books" (127.0.0.1:9000)`, as messages name it.
    pub(super) who: String,
    address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    handshake_timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &Settings, address: &str, authority: &Authority) -> Result<Self, String> {
        let tls = if settings.tls {
            let name = ServerName::try_from(authority.host().trim_matches(['[', ']']).to_owned())
                .map_err(|error| format!("{:?} is no TLS server name: {error}", authority.host()))?;
            Some((TlsConnector::from(Arc::new(client_config(settings)?)), name))
        } else {
            None
        };
        Ok(Self {
            who: format!("upstream {:?} ({address})", &*settings.name),
            address: address.to_owned(),
            tls,
            connect_timeout: settings.connect_timeout,
            handshake_timeout: settings.handshake_timeout,
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects.
    ///
    /// # Errors
    /// UNAVAILABLE, naming the upstream and what it failed at.
    pub(super) async fn connect(&self) -> Result<(SendRequest<Bytes>, Driver), Status> {
        let stream = match timeout(self.connect_timeout, self.tcp()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(self.unavailable("refused the connection"));
            }
            Ok(Err(error)) => return Err(self.unavailable(&format!("cannot be reached: {error}"))),
            Err(_) => {
                return Err(self.unavailable(&format!(
                    "did not accept the connection within {:?}",
                    self.connect_timeout
                )));
            }
        };
        match timeout(self.handshake_timeout, self.handshake(stream)).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(why)) => Err(self.unavailable(&why)),
            Err(_) => Err(self
                .unavailable(&format!("did not finish its handshake within {:?}", self.handshake_timeout))),
        }
    }

    fn unavailable(&self, what: &str) -> Status {
        Fault::upstream().unsent().on(Status::unavailable(format!("{} {what}", self.who)))
    }

    /// Tries every address of the name, in the resolver's order.
    async fn tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in lookup_host(&self.address).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let socket = SockRef::from(&stream);
                    // What a system does not know of these is only noticed later.
                    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(VANISHED));
                    #[cfg(target_os = "linux")]
                    let _ = socket.set_tcp_user_timeout(Some(VANISHED));
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn handshake(&self, stream: TcpStream) -> Result<(SendRequest<Bytes>, Driver), String> {
        let Some((tls, name)) = &self.tls else { return http2(stream).await };
        let stream =
            tls.connect(name.clone(), stream).await.map_err(|error| format!("failed in TLS: {error}"))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("does not speak HTTP/2 over TLS (no h2 by ALPN)".to_owned());
        }
        http2(stream).await
    }
}

async fn http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(SendRequest<Bytes>, Driver), String> {
    let failed = |error: h2::Error| format!("failed in its HTTP/2 handshake: {error}");
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_reset_streams(1024)
        // A call that its client cancels is a reset of ours: no number of them may end the connection for the others.
        .max_local_error_reset_streams(None);
    let (sender, mut connection) = builder.handshake(stream).await.map_err(failed)?;
    // h2's handshake is over when its own preface is sent. A ping's answer says that the peer is there, and has sent its
    // SETTINGS before.
    let mut pings = connection.ping_pong().ok_or("has no ping")?;
    let mut driver = async move {
        // Each stream says itself what ended it.
        let _ = connection.await;
    }
    .boxed();
    tokio::select! {
        pong = pings.ping(Ping::opaque()) => pong.map_err(failed)?,
        () = &mut driver => return Err("closed the connection in its HTTP/2 handshake".to_owned()),
    };
    Ok((sender, driver))
}

fn client_config(settings: &Settings) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &settings.ca {
        Some(file) => {
            let wrong = |why: String| format!("ca {}: {why}", file.display());
            let certificates =
                CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(
                    "this machine has no certificate authorities to trust; `ca` names a file of them"
                        .to_owned(),
                );
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
