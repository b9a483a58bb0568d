//! A plain HTTP/1.1 server that answers with what it saw; and by its path with what a sick one would.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// It runs as long as the test's runtime.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counted, opened) = (Arc::clone(&requests), Arc::clone(&connections));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(stream, Arc::clone(&counted)));
            }
        });
        Self { address, requests, connections }
    }

    /// How many requests it has seen.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How many connections were opened to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn connection(stream: TcpStream, requests: Arc<AtomicUsize>) {
    let mut start = [0; 64];
    let seen = stream.peek(&mut start).await.unwrap_or(0);
    let start = String::from_utf8_lossy(&start[..seen]).into_owned();
    let path = start.split(' ').nth(1).unwrap_or_default();
    if path == "/garbage" {
        let mut stream = stream;
        requests.fetch_add(1, Ordering::SeqCst);
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.7\r\n\r\n").await;
        return;
    }
    if path == "/closes" {
        let mut stream = stream;
        requests.fetch_add(1, Ordering::SeqCst);
        let _ = stream.read(&mut [0; 4096]).await;
        return;
    }
    if let Some(length) = path.strip_prefix("/breaks/") {
        let mut stream = stream;
        let _ = stream.read(&mut [0; 4096]).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nhalf");
        let _ = stream.write_all(head.as_bytes()).await;
        return;
    }
    if let Some(length) = path.strip_prefix("/drips/") {
        let mut stream = stream;
        let _ = stream.read(&mut [0; 4096]).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let mut sent = stream.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            sent = stream.write_all(b"x").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        return;
    }
    if path == "/chunks" {
        let mut stream = stream;
        let _ = stream.read(&mut [0; 4096]).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        for _ in 0..12 {
            let _ = stream.write_all(b"1\r\nx\r\n").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let _ = stream.write_all(b"0\r\n\r\n").await;
        return;
    }
    let service = service_fn(move |request| {
        requests.fetch_add(1, Ordering::SeqCst);
        answer(request)
    });
    let server = hyper::server::conn::http1::Builder::new();
    let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn answer(mut request: Request<Incoming>) -> Result<Reply, Infallible> {
    let path = request.uri().path().to_owned();
    if request.headers().contains_key("upgrade") && path != "/stubborn" {
        let key = request.headers().get("sec-websocket-key").map(|key| derive_accept_key(key.as_bytes()));
        let protocol = request.headers()["upgrade"].clone();
        let on = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(on.await.unwrap());
            let mut bytes = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                stream.write_all(&bytes[..length].to_ascii_uppercase()).await.unwrap();
            }
        });
        let mut reply = body(StatusCode::SWITCHING_PROTOCOLS, Bytes::new());
        reply.headers_mut().insert("upgrade", protocol);
        reply.headers_mut().insert("connection", "upgrade".parse().unwrap());
        if let Some(accept) = key {
            let accept = if path == "/liar" { "bm8=".to_owned() } else { accept };
            reply.headers_mut().insert("sec-websocket-accept", accept.parse().unwrap());
        }
        return Ok(reply);
    }
    match path.as_str() {
        "/slow" => tokio::time::sleep(Duration::from_secs(600)).await,
        "/events" => {
            let ticks = futures_util::stream::unfold(0, |number| async move {
                if number > 0 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Some((Ok(Frame::data(Bytes::from(format!("data: {number}\n\n")))), number + 1))
            });
            let mut reply = Response::new(http_body_util::BodyExt::boxed(StreamBody::new(ticks)));
            reply.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            return Ok(reply);
        }
        "/teapot" => {
            let mut reply = body(StatusCode::IM_A_TEAPOT, "short and stout".into());
            let headers = reply.headers_mut();
            headers.insert("x-own", "1".parse().unwrap());
            headers.append("set-cookie", "a=1".parse().unwrap());
            headers.append("set-cookie", "b=2".parse().unwrap());
            headers.insert("connection", "x-hop".parse().unwrap());
            headers.insert("x-hop", "1".parse().unwrap());
            return Ok(reply);
        }
        path => {
            if let Some(length) = path.strip_prefix("/long/") {
                return Ok(body(StatusCode::OK, vec![b'x'; length.parse().unwrap()].into()));
            }
        }
    }
    let (head, mut sent) = request.into_parts();
    let mut length = 0_u64;
    let (mut first, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(Ok(frame)) = sent.frame().await {
        match frame.into_data() {
            Ok(bytes) => {
                length += bytes.len() as u64;
                if first.len() < 1000 {
                    first.extend(&bytes);
                }
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    // What begins a connection decides how it behaves: this one is for nothing more.
    let last = head.uri.path() == "/last";
    let seen = json!({
        "method": head.method.as_str(),
        "path": head.uri.to_string(),
        "headers": headers(&head.headers),
        "trailers": headers(&trailers),
        "length": length,
        "body": String::from_utf8_lossy(&first),
    });
    let mut reply = body(StatusCode::OK, seen.to_string().into());
    reply.headers_mut().insert("content-type", "application/json".parse().unwrap());
    if last {
        reply.headers_mut().insert("connection", "close".parse().unwrap());
    }
    Ok(reply)
}

fn body(status: StatusCode, bytes: Bytes) -> Reply {
    let mut reply = Response::new(http_body_util::Full::new(bytes).boxed());
    *reply.status_mut() = status;
    reply
}

fn headers(headers: &HeaderMap) -> Value {
    headers
        .keys()
        .map(|name| {
            let values: Vec<_> =
                headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            (name.to_string(), Value::from(values.join(" | ")))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}
