//! The small client by which issuers' documents are read: one GET over HTTP/1.1, bounded in bytes and time, which follows
//! no redirect. `https`, or plain `http` to this machine alone.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::is_public;

/// How long one document may take, from the look-up of its host's name to its last byte.
const MOST_TIME: Duration = Duration::from_secs(5);

/// Reads documents.
pub trait Fetch: Send + Sync {
    /// The body of a document that is answered with 200, of at most `most` bytes.
    ///
    /// # Errors
    /// Why it cannot be had, in words for the log.
    fn get<'a>(&'a self, at: &'a Endpoint, most: usize) -> BoxFuture<'a, Result<Vec<u8>, String>>;
}

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Endpoint {
    /// Reads `https://HOST[:PORT]/PATH`, or `http://` with a host that is this machine.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is not an address to read keys from: {why}");
        let uri: Uri = text.parse().map_err(|_| wrong("it is https://HOST/PATH"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let local = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if local => false,
            Some("http") => return Err(wrong("keys are read over https, unless they are on this machine")),
            _ => return Err(wrong("it is https://HOST/PATH")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("it has a user's name in it"));
        }
        let port = match uri.authority().and_then(|authority| authority.as_str().rsplit_once(':')) {
            Some((_, port)) if !port.ends_with(']') => {
                let port = port.parse::<u16>().ok().filter(|port| *port > 0);
                port.ok_or_else(|| wrong("its port is not within 1 to 65535"))?
            }
            _ if tls => 443,
            _ => 80,
        };
        let path = uri.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned());
        Ok(Self { tls, host, port, path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}{}", self.host, self.port, self.path)
        } else {
            write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
        }
    }
}

/// Reads over the network.
pub struct Https {
    tls: TlsConnector,
    /// It asks nobody within the gateway's own networks.
    public: bool,
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Https")
    }
}

impl Https {
    /// A client that trusts the machine's own certificate authorities, and those of `more` (DER).
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(more: &[rustls::pki_types::CertificateDer<'static>]) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in more {
            roots.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), public: false })
    }

    /// The same for addresses that strangers give: over TLS, and to addresses of the whole internet alone, whatever a name
    /// leads to.
    #[must_use]
    pub fn of_strangers(self) -> Self {
        Self { public: true, ..self }
    }

    async fn connect(&self, at: &Endpoint) -> Result<TcpStream, String> {
        if !self.public {
            return TcpStream::connect((at.host.as_str(), at.port)).await.map_err(|error| error.to_string());
        }
        if !at.tls {
            return Err("it is not read over https".to_owned());
        }
        let found = lookup_host((at.host.as_str(), at.port)).await.map_err(|error| error.to_string())?;
        let found: Vec<_> = found.collect();
        // The name is looked up once: what was looked at is what is connected to.
        if let Some(private) = found.iter().find(|address| !is_public(address.ip())) {
            return Err(format!("{} is {}, which is no public address", at.host, private.ip()));
        }
        TcpStream::connect(found.as_slice()).await.map_err(|error| error.to_string())
    }

    async fn read(&self, at: &Endpoint, most: usize) -> Result<Vec<u8>, String> {
        let stream = self.connect(at).await?;
        if at.tls {
            let name = ServerName::try_from(at.host.clone()).map_err(|error| error.to_string())?;
            let stream = self.tls.connect(name, stream).await.map_err(|error| error.to_string())?;
            exchange(stream, at, most).await
        } else {
            exchange(stream, at, most).await
        }
    }
}

impl Fetch for Https {
    fn get<'a>(&'a self, at: &'a Endpoint, most: usize) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        Box::pin(async move {
            timeout(MOST_TIME, self.read(at, most))
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {MOST_TIME:?}")))
        })
    }
}

async fn exchange<S>(stream: S, at: &Endpoint, most: usize) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let exchange = async move {
        let request = Request::get(&at.path)
            .header(header::HOST, format!("{}:{}", at.host, at.port))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("propylon/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()));
        }
        let body = Limited::new(response.into_body(), most).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes().to_vec())
    };
    let (mut exchange, connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = connection => match ended {
            // What came before the end may be a whole answer.
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn keys_are_read_over_https() {
        let check = |text: &str, want: Result<&str, &str>| match (Endpoint::parse(text), want) {
            (Ok(got), Ok(want)) => assert_eq!(got.to_string(), want, "{text}"),
            (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
            (got, want) => panic!("{text}: {got:?}, not {want:?}"),
        };
        check("https://a.example/keys?x=1", Ok("https://a.example:443/keys?x=1"));
        check("http://127.0.0.1:9000/keys", Ok("http://127.0.0.1:9000/keys"));
        check("http://[::1]:9000", Ok("http://[::1]:9000/"));
        check("http://a.example/keys", Err("over https"));
        check("https://user:secret@a.example/", Err("a user's name"));
        check("https://a.example:99999/", Err("its port is not within"));
        check("https://a.example:0/", Err("its port is not within"));
        check("https://[::1]/keys", Ok("https://[::1]:443/keys"));
        check("ftp://a.example/", Err("it is https://HOST/PATH"));
        check("/keys", Err("no host"));
        check("", Err("it is https://HOST/PATH"));
    }

    #[tokio::test]
    async fn strangers_have_nobody_asked_within() {
        let fetch = Https::new(&[]).unwrap().of_strangers();
        let refused = async |text: &str, why: &str| {
            let failed = fetch.get(&Endpoint::parse(text).unwrap(), 10).await.unwrap_err();
            assert!(failed.contains(why), "{text}: {failed}");
        };
        refused("https://localhost:1/x", "no public address").await;
        refused("https://127.0.0.1:1/x", "no public address").await;
        refused("https://[::1]:1/x", "no public address").await;
        refused("https://169.254.169.254/latest", "no public address").await;
        refused("http://127.0.0.1:1/x", "not read over https").await;
    }

    #[tokio::test]
    async fn an_answer_is_bounded_and_is_200() {
        let fetch = Https::new(&[]).unwrap();
        let ask = async |answer: &'static str| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = Endpoint::parse(&format!("http://{}/keys", listener.local_addr().unwrap())).unwrap();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
            fetch.get(&at, 10).await
        };
        assert_eq!(ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap(), b"{}");
        let moved =
            ask("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
        assert!(moved.unwrap_err().contains("302"));
        let long = ask("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n01234567890").await;
        assert!(long.unwrap_err().contains("limit"));
        assert!(ask("").await.is_err());
    }
}
