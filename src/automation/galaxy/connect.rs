//! Connections to Galaxy over HTTP/1.1, in clear or over TLS. Those that have given a whole answer are kept for the next one.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The most connections that are kept.
const KEPT: usize = 4;

type Sender = SendRequest<Empty<Bytes>>;

/// An answer, with its whole body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Opens connections to whatever host an address has, and keeps some.
#[derive(Default)]
pub(super) struct Connections {
    /// Made when it is first needed: the machine's authorities are read from its files.
    tls: OnceLock<Result<TlsConnector, String>>,
    /// By scheme and authority.
    kept: Mutex<Vec<(String, Sender)>>,
}

impl Connections {
    /// The answer to a GET, of at most `most` bytes.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn get(&self, at: &Uri, most: usize) -> Result<Answer, String> {
        let of = format!("{:?}://{:?}", at.scheme(), at.authority());
        while let Some(mut kept) = self.take(&of) {
            // One that was closed meanwhile has seen nothing of it.
            if kept.ready().await.is_err() {
                continue;
            }
            match self.ask(&of, kept, at, most).await {
                Err(Failed { unsent: true, .. }) => {}
                answered => return answered.map_err(|failed| failed.why),
            }
        }
        let opened = self.open(at).await.map_err(|error| error.to_string())?;
        self.ask(&of, opened, at, most).await.map_err(|failed| failed.why)
    }

    async fn ask(&self, of: &str, mut sender: Sender, at: &Uri, most: usize) -> Result<Answer, Failed> {
        let path = at.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, at.authority().map_or("", |authority| authority.as_str()))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("propylon/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| Failed { unsent: false, why: error.to_string() })?;
        let answered = sender.send_request(request).await;
        let (head, body) = answered
            .map_err(|error| Failed { unsent: error.is_canceled(), why: causes(&error) })?
            .into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|error| Failed { unsent: false, why: error.to_string() })?.to_bytes();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT && !sender.is_closed() {
            kept.push((of.to_owned(), sender));
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn take(&self, of: &str) -> Option<Sender> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, sender)| !sender.is_closed());
        let at = kept.iter().position(|(known, _)| known == of)?;
        Some(kept.swap_remove(at).1)
    }

    async fn open(&self, at: &Uri) -> io::Result<Sender> {
        let host = at.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = at.scheme() == Some(&Scheme::HTTPS);
        let port = at.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host.as_str(), port)).await?;
        // Only latency is lost where it cannot be set.
        let _ = tcp.set_nodelay(true);
        if !secure {
            return shaken(tcp).await;
        }
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let tls = self.tls.get_or_init(trusting).clone().map_err(io::Error::other)?;
        shaken(tls.connect(name, tcp).await?).await
    }
}

/// Why there is no answer, and whether the other side can have seen nothing of the request.
struct Failed {
    unsent: bool,
    why: String,
}

async fn shaken<S>(stream: S) -> io::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}

/// TLS that trusts the machine's own authorities.
fn trusting() -> Result<TlsConnector, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(std::sync::Arc::new(config)))
}

/// An error with what has caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    words
}
