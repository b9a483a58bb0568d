//! Calls at a steady rate, whatever becomes of those before: over gRPC, REST and plain HTTP, some that may be repeated and some
//! that may not; and what became of each.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use propylon::status::from_trailers;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::support::client::frames;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    GrpcGet,
    GrpcCreate,
    RestGet,
    HttpGet,
    HttpPost,
}

impl Kind {
    const ALL: [Self; 5] = [Self::GrpcGet, Self::GrpcCreate, Self::RestGet, Self::HttpGet, Self::HttpPost];

    /// It may be sent twice.
    pub(crate) fn repeatable(self) -> bool {
        !matches!(self, Self::GrpcCreate | Self::HttpPost)
    }
}

/// What became of one call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) failure: Option<String>,
}

impl Call {
    pub(crate) fn took(&self) -> Duration {
        self.ended - self.began
    }
}

/// Calls for a while, and waits for all answers.
pub(crate) async fn load(gateway: SocketAddr, rate: u32, time: Duration, deadline: Duration) -> Vec<Call> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    let mut kinds = Kind::ALL.into_iter().cycle();
    for number in 0_u32.. {
        let at = begun + Duration::from_secs(1) / rate * number;
        if at - begun >= time {
            break;
        }
        tokio::time::sleep_until(at.into()).await;
        calls.spawn(call(sender.clone(), gateway, kinds.next().unwrap(), deadline));
    }
    calls.join_all().await
}

/// Makes one call.
async fn call(
    mut sender: SendRequest<Full<Bytes>>,
    gateway: SocketAddr,
    kind: Kind,
    deadline: Duration,
) -> Call {
    let request = request(gateway, kind, deadline);
    let began = Instant::now();
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| format!("no response: {error}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("a broken response: {error}"))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let body = body.to_bytes();
        let text = || String::from_utf8_lossy(&body).into_owned();
        if matches!(kind, Kind::GrpcGet | Kind::GrpcCreate) {
            return match from_trailers(&trailers).or_else(|| from_trailers(&head.headers)) {
                Some(Ok(())) if body.len() > 5 => Ok(()),
                Some(Err(status)) => Err(format!("{:?}: {}", status.code(), status.message())),
                other => Err(format!("{other:?}")),
            };
        }
        match serde_json::from_slice::<serde_json::Value>(&body) {
            Ok(json) if head.status == 200 && json["name"].is_string() => Ok(()),
            _ => Err(format!("{}: {}", head.status, text())),
        }
    };
    let outcome = timeout(Duration::from_secs(30), exchange).await.unwrap_or_else(|_| Err("stuck".into()));
    Call { kind, began, ended: Instant::now(), failure: outcome.err() }
}

fn request(gateway: SocketAddr, kind: Kind, deadline: Duration) -> Request<Full<Bytes>> {
    let (method, path, body) = match kind {
        Kind::GrpcGet => (
            Method::POST,
            "/library.v1.Library/GetBook",
            frames("library.v1.GetBookRequest", &[r#"{"name": "shelves/1/books/2"}"#]),
        ),
        Kind::GrpcCreate => (
            Method::POST,
            "/library.v1.Library/CreateBook",
            frames("library.v1.CreateBookRequest", &[r#"{"shelf": "1"}"#]),
        ),
        Kind::RestGet => (Method::GET, "/v1/shelves/1/books/2", Bytes::new()),
        Kind::HttpGet => (Method::GET, "/plain/a", Bytes::new()),
        Kind::HttpPost => (Method::POST, "/plain/a", Bytes::from_static(b"{\"a\": 1}")),
    };
    let mut request = Request::builder().method(method).uri(format!("http://{gateway}{path}"));
    request = match kind {
        Kind::GrpcGet | Kind::GrpcCreate => request
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}m", deadline.as_millis())),
        _ => request.header("x-request-timeout", format!("{}ms", deadline.as_millis())),
    };
    request.body(Full::new(body)).unwrap()
}
