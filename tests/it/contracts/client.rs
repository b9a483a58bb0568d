//! How a case's requests are sent: over one connection, or many at once; from an address; and never normalised.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

/// A machine under load is slow; a call that hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) took: Duration,
}

/// One client with one connection, which it opens again when it was closed.
pub(super) struct Client {
    to: SocketAddr,
    from: Option<IpAddr>,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(to: SocketAddr, from: Option<IpAddr>) -> Self {
        Self { to, from, open: None }
    }

    pub(super) async fn send(&mut self, request: Request<Bytes>) -> Result<Answer, String> {
        let began = Instant::now();
        let exchange = async {
            let mut sender = match self.open.take() {
                Some(sender) if !sender.is_closed() => sender,
                _ => self.connect().await?,
            };
            sender.ready().await.map_err(|error| error.to_string())?;
            let response =
                sender.send_request(request.map(Full::new)).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            self.open = Some(sender);
            Ok(Answer { status: head.status, headers: head.headers, body, took: began.elapsed() })
        };
        tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| "no answer in time".to_owned())?
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0)).map_err(|error| error.to_string())?;
        }
        let stream = socket.connect(self.to).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A request of HTTP/1.1 as it is written.
pub(super) fn request(
    method: &str,
    path: &str,
    headers: impl IntoIterator<Item = (String, String)>,
    body: Bytes,
) -> Request<Bytes> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(&value).unwrap());
    }
    request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
    request
}
