//! An instance of an upstream that can be killed, brought back, and made to misbehave while calls are on it. It speaks gRPC
//! (`library.v1.Library`, over HTTP/2) or plain HTTP/1.1, and tells who it is.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use propylon::{call::Body, status};
use prost::Message as _;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tonic::Status;

use crate::support::library::{Book, framed, trailers_only};

/// How it behaves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mode {
    Fine,
    /// It answers, but not before.
    Slow(Duration),
    /// Connections and calls are taken, and nothing is ever answered.
    BlackHole,
    /// What it sends is no protocol.
    Garbage,
    /// It answers half, and then the connection is gone.
    MidBody,
    /// It says that it cannot: UNAVAILABLE or 503, with these headers or trailers.
    Unavailable(Vec<(&'static str, &'static str)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Grpc,
    Http,
    /// Plain HTTP over HTTP/2.
    Http2,
}

struct Shared {
    speaks: Speaks,
    name: String,
    mode: Mutex<Mode>,
    calls: AtomicUsize,
    connections: AtomicUsize,
    /// How often it was asked how it is.
    checks: AtomicUsize,
    /// What the paths and headers of calls were.
    seen: Mutex<Vec<(String, HeaderMap)>>,
}

pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Instance {
    pub(crate) async fn start(speaks: Speaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            speaks,
            name: address.to_string(),
            mode: Mutex::new(Mode::Fine),
            calls: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            seen: Mutex::default(),
        });
        let server = Some(tokio::spawn(accept(listener, Arc::clone(&shared))));
        Self { address, shared, server }
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(crate) fn becomes(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// How many calls have reached it.
    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// How often it was asked how it is.
    pub(crate) fn checks(&self) -> usize {
        self.shared.checks.load(SeqCst)
    }

    /// What has reached it since the last asking.
    pub(crate) fn take_seen(&self) -> Vec<(String, HeaderMap)> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    /// Ends at once: the listener, and every connection wherever it is.
    pub(crate) async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    /// Comes back in the same place.
    pub(crate) async fn revive(&mut self) {
        self.becomes(Mode::Fine);
        if self.server.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            self.server = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, SeqCst);
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream, shared: Arc<Shared>) {
    let mode = shared.mode.lock().unwrap().clone();
    match mode {
        Mode::BlackHole => std::future::pending().await,
        Mode::Garbage => {
            let _ = stream.write_all(&[0xff; 100]).await;
            return;
        }
        _ => {}
    }
    let speaks = shared.speaks;
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let io = TokioIo::new(stream);
    let _ = match speaks {
        Speaks::Http => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
        Speaks::Grpc | Speaks::Http2 => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
        }
    };
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, io::Error> {
    match request.uri().path() {
        "/health" => {
            shared.checks.fetch_add(1, SeqCst);
            let fine = *shared.mode.lock().unwrap() == Mode::Fine;
            let response = Response::builder().status(if fine { 204 } else { 500 });
            return Ok(response.body(Body::empty()).unwrap());
        }
        "/grpc.health.v1.Health/Check" => return Ok(health(shared, false)),
        "/grpc.health.v1.Health/Watch" => return Ok(health(shared, true)),
        _ => {}
    }
    shared.calls.fetch_add(1, SeqCst);
    let (head, body) = request.into_parts();
    shared.seen.lock().unwrap().push((head.uri.to_string(), head.headers.clone()));
    let mode = shared.mode.lock().unwrap().clone();
    let grpc = shared.speaks == Speaks::Grpc;
    match &mode {
        Mode::Fine | Mode::MidBody | Mode::Unavailable(_) => {}
        Mode::Slow(time) => sleep(*time).await,
        Mode::BlackHole => std::future::pending().await,
        Mode::Garbage if grpc => return Ok(Response::new(Body::from("<html>who are you?</html>"))),
        Mode::Garbage => return Err(io::Error::other("nonsense")),
    }
    if head.headers.contains_key("x-slowly") {
        sleep(Duration::from_millis(300)).await;
    }
    let sent = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if let Mode::Unavailable(headers) = &mode {
        return Ok(unavailable(grpc, headers));
    }
    let whole = if grpc {
        let book = Book { name: shared.name.clone(), pages: sent.len() as i64, ..Book::default() };
        framed(&book.encode_to_vec())
    } else {
        serde_json::json!({ "name": shared.name, "length": sent.len() }).to_string().into()
    };
    let mut response = if mode == Mode::MidBody {
        let pieces = [Ok(Frame::data(whole.slice(..whole.len() / 2))), Err(io::Error::other("gone"))];
        let body = StreamBody::new(stream::iter(pieces));
        let mut response = Response::new(Body::new(body));
        if !grpc {
            response.headers_mut().insert("content-length", whole.len().into());
        }
        response
    } else if grpc {
        let frames = [Frame::data(whole), Frame::trailers(status::ok_trailers())];
        Response::new(Body::new(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)))))
    } else {
        Response::new(Body::from(whole))
    };
    let kind = if grpc { "application/grpc" } else { "application/json" };
    response.headers_mut().insert("content-type", kind.parse().unwrap());
    Ok(response)
}

fn unavailable(grpc: bool, headers: &[(&'static str, &'static str)]) -> Response<Body> {
    let mut response = if grpc {
        let mut response = trailers_only(&Status::unavailable("not now"));
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response
    } else {
        let mut response = Response::new(Body::from(Bytes::from_static(b"not now")));
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        response
    };
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

/// Whether it is SERVING; to a watcher at each change.
fn health(shared: Arc<Shared>, watch: bool) -> Response<Body> {
    shared.checks.fetch_add(1, SeqCst);
    let states = stream::unfold((shared, None), move |(shared, said)| async move {
        loop {
            let now = *shared.mode.lock().unwrap() == Mode::Fine;
            if said != Some(now) {
                // HealthCheckResponse { status: SERVING | NOT_SERVING }
                let message = framed(&[8, if now { 1 } else { 2 }]);
                return Some((Ok::<_, Infallible>(Frame::data(message)), (shared, Some(now))));
            }
            if !watch {
                return None;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    let end = stream::iter([Ok(Frame::trailers(status::ok_trailers()))]);
    let mut response = Response::new(Body::new(StreamBody::new(Box::pin(states.chain(end)))));
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response
}
