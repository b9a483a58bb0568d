//! Streams that stay open while a test does something else, each read message by message.

use std::net::SocketAddr;

use futures_util::StreamExt as _;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{
    client::request,
    library::{PATIENCE, framed},
};

/// A server stream over gRPC, read message by message.
pub(crate) struct GrpcStream {
    body: hyper::body::Incoming,
    buffer: Vec<u8>,
}

impl GrpcStream {
    pub(crate) async fn start(gateway: SocketAddr, path: &str, message: &impl Message) -> Self {
        let stream = TcpStream::connect(gateway).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        let path = format!("http://{gateway}{path}");
        let request = request(&Method::POST, &path, &headers, framed(&message.encode_to_vec()));
        let response = timeout(PATIENCE, sender.send_request(request.map(Full::new))).await;
        Self { body: response.expect("a head in time").unwrap().into_body(), buffer: Vec::new() }
    }

    pub(crate) async fn next<M: Message + Default>(&mut self) -> M {
        loop {
            if self.buffer.len() >= 5 {
                let length = u32::from_be_bytes(self.buffer[1..5].try_into().unwrap()) as usize;
                if self.buffer.len() >= 5 + length {
                    let frame: Vec<u8> = self.buffer.drain(..5 + length).collect();
                    return M::decode(&frame[5..]).unwrap();
                }
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("a message in time");
            let data = frame.expect("the stream goes on").unwrap().into_data();
            self.buffer.extend_from_slice(&data.unwrap_or_else(|trailers| panic!("it ended: {trailers:?}")));
        }
    }
}

/// Server-sent events.
pub(crate) struct Events {
    body: hyper::body::Incoming,
    text: String,
}

impl Events {
    /// Answers when the first event is there: a head comes with it.
    pub(crate) async fn start(gateway: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(gateway).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let headers = [("accept", "text/event-stream"), ("host", "test")];
        let request = request(&Method::GET, path, &headers, "").map(Full::new);
        let response =
            timeout(PATIENCE, sender.send_request(request)).await.expect("a head in time").unwrap();
        assert_eq!(response.status(), 200, "{response:?}");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event's data.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return data;
                }
                continue;
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("an event in time");
            let data = frame.expect("the stream goes on").unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

/// A WebSocket.
pub(crate) struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Of the upgrade's answer.
    pub(crate) headers: HeaderMap,
}

impl Socket {
    pub(crate) async fn start(gateway: SocketAddr, path: &str) -> Self {
        let opened =
            timeout(PATIENCE, tokio_tungstenite::connect_async(format!("ws://{gateway}{path}"))).await;
        let (socket, answer) = opened.expect("an upgrade in time").unwrap();
        Self { socket, headers: answer.headers().clone() }
    }

    /// The next message's text.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
            match message.expect("the socket goes on").unwrap() {
                tokio_tungstenite::tungstenite::Message::Text(text) => return text.to_string(),
                tokio_tungstenite::tungstenite::Message::Close(frame) => panic!("it was closed: {frame:?}"),
                _ => {}
            }
        }
    }
}
