//! The one stand-in of all services: it records what it is asked, answers with what it saw, and is as sick as a case wants it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::support::{client::http1, galaxy};

/// How it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Up,
    /// Every answer has this status.
    Status(u16),
    /// Nothing listens.
    Refused,
    /// It accepts, and never answers.
    Hang,
    /// It answers after a while.
    Slow(Duration),
    /// It answers with what is no HTTP.
    Garbage,
    /// It closes the connection of so many requests before it answers, and is up then.
    Flaky(usize),
    /// It closes the connection in the middle of its answer's body.
    Close,
}

impl State {
    /// As a contract writes it.
    pub(super) fn parse(text: &str) -> Self {
        let (name, number) = text.split_once(':').unwrap_or((text, ""));
        match (name, number.parse::<u64>()) {
            ("up", _) => Self::Up,
            ("down", _) => Self::Status(500),
            // That it was never there either is for who asks for the first time.
            ("refused" | "absent", _) => Self::Refused,
            ("hang", _) => Self::Hang,
            ("garbage", _) => Self::Garbage,
            ("close", _) => Self::Close,
            ("slow", Ok(number)) => Self::Slow(Duration::from_millis(number)),
            ("status", Ok(number)) => Self::Status(number as u16),
            ("flaky", Ok(number)) => Self::Flaky(number as usize),
            _ => panic!("{text} is no state of a stand-in"),
        }
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
    pub(super) at: Instant,
}

struct Shared {
    /// What it calls itself.
    service: String,
    /// Who answers in its place, but for what it echoes.
    behind: Mutex<Option<SocketAddr>>,
    state: Mutex<State>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

/// A service that runs until it is dropped.
pub(super) struct StandIn {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

impl StandIn {
    pub(super) async fn start(service: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            service: service.to_owned(),
            behind: Mutex::default(),
            state: Mutex::new(State::Up),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Has another service answer, for all paths but those of `/api/v1/matches`.
    pub(super) fn stand_before(&self, behind: Option<SocketAddr>) {
        *locked(&self.shared.behind) = behind;
    }

    /// Becomes as it is told, and forgets what it has seen.
    pub(super) async fn become_(&mut self, state: State) {
        let was = std::mem::replace(&mut *locked(&self.shared.state), state.clone());
        match (was == State::Refused, state == State::Refused) {
            (false, true) => {
                self.accepting.abort();
                // The listener and its connections are gone with the task.
                let _ = (&mut self.accepting).await;
            }
            (true, false) => {
                let listener = listen_again(self.address).await;
                self.accepting = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
            }
            _ => {}
        }
        self.forget();
    }

    pub(super) fn forget(&self) {
        locked(&self.shared.seen).clear();
        self.shared.connections.store(0, Ordering::SeqCst);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        locked(&self.shared.seen).clone()
    }

    /// Connections that were opened since it forgot.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    let begun = Instant::now();
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        match socket.bind(address).and_then(|()| socket.listen(1024)) {
            Ok(listener) => return listener,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let state = locked(&shared.state).clone();
    if state == State::Garbage {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.7\r\n\r\n").await;
        return;
    }
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Reply = Response<BoxBody<Bytes, io::Error>>;

/// An error closes the connection without an answer.
async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Reply, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    locked(&shared.seen).push(seen(&head, body.clone()));
    let state = {
        let mut state = locked(&shared.state);
        if let State::Flaky(left @ 1..) = &mut *state {
            *left -= 1;
            return Err(io::Error::other("flaky"));
        }
        state.clone()
    };
    let mut status = StatusCode::OK;
    match state {
        State::Hang | State::Refused => std::future::pending().await,
        State::Slow(time) => tokio::time::sleep(time).await,
        State::Status(number) => status = StatusCode::from_u16(number).unwrap(),
        State::Close => {
            let pieces = [Ok(Frame::data(Bytes::from_static(b"{\"half"))), Err(io::Error::other("closed"))];
            return Ok(Response::new(StreamBody::new(futures_util::stream::iter(pieces)).boxed()));
        }
        State::Up | State::Flaky(_) | State::Garbage => {}
    }
    let behind = *locked(&shared.behind);
    if let Some(behind) =
        behind.filter(|_| status.is_success() && !head.uri.path().starts_with("/api/v1/matches"))
    {
        let mut request = Request::from_parts(head, body);
        request.headers_mut().remove("connection");
        let (head, (body, _)) = http1(behind, request).await.into_parts();
        return Ok(Response::from_parts(head, whole(body)));
    }
    if shared.service == "galaxy-service" {
        let (code, answer) = galaxy::answer(head.uri.path(), head.uri.query().unwrap_or_default());
        let mut reply = Response::new(whole(answer.to_string().into()));
        *reply.status_mut() = if status.is_success() { code } else { status };
        return Ok(reply);
    }
    let echo = json!({
        "service": shared.service,
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query().unwrap_or_default(),
        "headers": said(&head.headers),
        "body": serde_json::from_slice(&body).unwrap_or(Value::from(String::from_utf8_lossy(&body))),
    });
    let mut reply = Response::new(whole(echo.to_string().into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(reply)
}

fn whole(body: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed()
}

fn seen(head: &Parts, body: Bytes) -> Seen {
    Seen {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: said(&head.headers),
        body,
        at: Instant::now(),
    }
}

fn said(headers: &HeaderMap) -> BTreeMap<String, String> {
    let value = |name| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(", ")
    };
    headers.keys().map(|name| (name.to_string(), value(name))).collect()
}
