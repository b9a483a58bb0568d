//! Connections of HTTP/1.1 to one endpoint. One that has answered is kept for the next request; each worker keeps its own, so
//! that a request and its connection are served by one thread.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Status;

use super::lend::Lent;
use crate::{
    call::Body,
    dispatch::{dial::Dial, worker},
};

/// A connection without a request is closed after one to two of these.
const TURN: Duration = Duration::from_secs(30);
/// The most of such connections of one worker.
const MOST_IDLE: usize = 256;

/// The connections of all workers to one endpoint.
pub(super) struct Connections {
    dial: Dial,
    each: Box<[Shelf]>,
    /// For threads that are no workers.
    others: Shelf,
}

/// Connections that wait for a request. Nobody but its worker takes the lock, but when it is closed.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Idle>>);

#[derive(Default)]
struct Idle {
    /// And the turn in which each was put there; the last one is the next to be taken.
    open: Vec<(SendRequest<Lent>, u64)>,
    turn: u64,
    /// Somebody closes those that nobody takes.
    swept: bool,
}

/// Why there is no response.
pub(super) enum NoAnswer {
    /// There is no connection.
    Unconnected(Status),
    Broken(hyper::Error),
}

impl Connections {
    pub(super) fn new(dial: Dial, workers: usize) -> Self {
        Self { dial, each: (0..workers).map(|_| Shelf::default()).collect(), others: Shelf::default() }
    }

    fn own(&self) -> &Shelf {
        worker::index().and_then(|index| self.each.get(index)).unwrap_or(&self.others)
    }

    /// Sends a request, in origin form, by a connection that is kept or by a new one, and waits for its response's head.
    ///
    /// # Errors
    /// What became of the connection. A request that a kept one did not take, as it was closed in that moment, goes by another.
    pub(super) async fn send(&self, mut request: Request<Lent>) -> Result<Response<Body>, NoAnswer> {
        let shelf = self.own();
        while let Some(mut sender) = shelf.take() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(kept(response, sender, shelf)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(NoAnswer::Broken(failed.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok(kept(response, sender, shelf)),
            Err(failed) => Err(NoAnswer::Broken(failed.into_error())),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Lent>, NoAnswer> {
        let dial = &self.dial;
        let tcp = dial.tcp().await.map_err(NoAnswer::Unconnected)?;
        match &dial.tls {
            None => shake_hands(tcp).await,
            Some(tls) => {
                let shaken = async { tls.connect(tcp).await.map_err(|what| dial.unavailable(what)) };
                shake_hands(dial.shake(shaken).await.map_err(NoAnswer::Unconnected)?).await
            }
        }
    }
}

/// Begins HTTP/1.1, which takes no word of the other side.
async fn shake_hands(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Lent>, NoAnswer> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(NoAnswer::Broken)?;
    // What breaks a connection its request is told of.
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    Ok(sender)
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that takes a request at once, if there is any: one may still be busy with the end of a request whose answer came
    /// early.
    fn take(&self) -> Option<SendRequest<Lent>> {
        let mut idle = self.lock();
        let last = idle.open.last()?;
        if !last.0.is_ready() {
            idle.open.retain(|(sender, _)| !sender.is_closed());
        }
        let at = idle.open.iter().rposition(|(sender, _)| sender.is_ready())?;
        Some(idle.open.remove(at).0)
    }

    /// Keeps a connection whose response has ended.
    fn put(&self, sender: SendRequest<Lent>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.open.len() >= MOST_IDLE {
            return;
        }
        let turn = idle.turn;
        idle.open.push((sender, turn));
        if !idle.swept {
            idle.swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }
}

/// Closes what nobody takes, as long as there is anything.
async fn sweep(shelf: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(TURN).await;
        let Some(shelf) = shelf.upgrade().map(Shelf) else { return };
        let mut idle = shelf.lock();
        let turn = idle.turn;
        idle.open.retain(|(sender, since)| *since == turn && !sender.is_closed());
        idle.turn += 1;
        if idle.open.is_empty() {
            idle.swept = false;
            return;
        }
    }
}

/// The response, whose connection is kept when it has ended.
fn kept(response: Response<Incoming>, sender: SendRequest<Lent>, shelf: &Shelf) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // The connection is another protocol's now.
        return response.map(Body::new);
    }
    if response.body().is_end_stream() {
        shelf.put(sender);
        return response.map(Body::new);
    }
    response.map(|body| Body::new(Ending { body, back: Some((sender, shelf.clone())) }))
}

/// A response's body, at whose end its connection goes back. Where it is dropped before, the connection is closed.
struct Ending {
    body: Incoming,
    back: Option<(SendRequest<Lent>, Shelf)>,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let ended = match &frame {
            Some(Ok(_)) => this.body.is_end_stream(),
            Some(Err(_)) => {
                this.back = None;
                false
            }
            None => true,
        };
        if ended && let Some((sender, shelf)) = this.back.take() {
            shelf.put(sender);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use http_body_util::BodyExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{call::Frames, dispatch::replay::Outgoing};

    /// Answers each request with a body of two bytes, and `last` ones with its connection's end behind them.
    async fn server(last: usize) -> (Connections, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                tokio::spawn(answer(stream, last));
            }
        });
        let timeout = Duration::from_secs(5);
        let dial = Dial {
            label: "it".into(),
            address,
            tls: None,
            connect_timeout: timeout,
            handshake_timeout: timeout,
        };
        (Connections::new(dial, 0), accepted)
    }

    async fn answer(mut stream: TcpStream, last: usize) {
        let mut head = Vec::new();
        for _ in 0..last {
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            assert!(head.starts_with(b"GET /a?b HTTP/1.1\r\n"), "{}", head.escape_ascii());
            head.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    }

    fn request() -> Request<Lent> {
        let nothing = super::super::lend::Lender::new(Outgoing::new(Frames::Stream(Body::empty()), 0));
        Request::builder().uri("/a?b").header("host", "it").body(nothing.lend()).unwrap()
    }

    async fn body(response: Result<Response<Body>, NoAnswer>) -> Bytes {
        let Ok(response) = response else { panic!("no response") };
        response.into_body().collect().await.unwrap().to_bytes()
    }

    fn idle(connections: &Connections) -> usize {
        connections.own().lock().open.len()
    }

    #[tokio::test]
    async fn a_connection_whose_answer_was_read_serves_the_next_request() {
        let (connections, accepted) = server(usize::MAX).await;
        for _ in 0..5 {
            assert_eq!(body(connections.send(request()).await).await, "ok");
        }
        assert_eq!((accepted.load(SeqCst), idle(&connections)), (1, 1));
        let at_once = futures_util::future::join_all(
            (0..4).map(|_| async { body(connections.send(request()).await).await }),
        );
        assert_eq!(at_once.await, ["ok"; 4]);
        assert_eq!((accepted.load(SeqCst), idle(&connections)), (4, 4));
    }

    #[tokio::test]
    async fn one_whose_answer_nobody_read_is_closed() {
        let (connections, accepted) = server(usize::MAX).await;
        drop(connections.send(request()).await);
        assert_eq!(idle(&connections), 0);
        assert_eq!(body(connections.send(request()).await).await, "ok");
        assert_eq!((accepted.load(SeqCst), idle(&connections)), (2, 1));
    }

    #[tokio::test]
    async fn one_that_the_server_has_closed_is_not_taken() {
        let (connections, accepted) = server(2).await;
        for sent in 0..10 {
            assert_eq!(body(connections.send(request()).await).await, "ok");
            let closes = sent % 2 == 1;
            while closes && connections.own().lock().open.iter().any(|(sender, _)| sender.is_ready()) {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(accepted.load(SeqCst), 5);
    }

    #[tokio::test]
    async fn one_that_nobody_takes_is_closed_in_time() {
        let (connections, accepted) = server(usize::MAX).await;
        assert_eq!(body(connections.send(request()).await).await, "ok");
        tokio::time::pause();
        tokio::time::sleep(TURN * 2 + Duration::from_secs(1)).await;
        assert_eq!(idle(&connections), 0);
        tokio::time::resume();
        assert_eq!(body(connections.send(request()).await).await, "ok");
        assert_eq!((accepted.load(SeqCst), idle(&connections)), (2, 1));
    }
}
