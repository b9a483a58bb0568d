//! An upstream whose calls a test answers by hand, message by message, when it likes.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{SendStream, server::SendResponse};
use http::{Request, Response};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::library::PATIENCE;

/// A call as the upstream sees it; the test answers it by hand.
pub(crate) struct Exchange {
    _request: Request<h2::RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

/// An upstream whose calls wait for the test to answer them.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) calls: mpsc::UnboundedReceiver<Exchange>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        // The test may be over.
                        let _ = sender.send(Exchange { _request: request, respond });
                    }
                });
            }
        });
        Self { address, calls }
    }

    pub(crate) async fn call(&mut self) -> Exchange {
        within("a call at the upstream", self.calls.recv()).await.unwrap()
    }
}

impl Exchange {
    /// Sends the head of an answer, whose messages and trailers the test sends.
    pub(crate) fn head(&mut self) -> SendStream<Bytes> {
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        self.respond.send_response(head, false).unwrap()
    }
}

/// Waits for something, and fails with its name when it is not there in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}
