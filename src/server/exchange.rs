//! One request and its response on a connection: counted while they last, their bodies watched on the way. What is
//! counted stands in the connection's [`Gauges`], which `checks` reads; nothing here reads a clock.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::call::Pace;

/// HTTP/2 takes a piece of a response as soon as the client's window is open at all, and keeps what does not fit: pieces
/// are no longer than this, so that a client which takes nothing holds little.
const PIECE: usize = 64 << 10;

/// Stands for no block of headers, but the client's SETTINGS: they may take as long as a head.
pub(super) const UNGREETED: u64 = u64::MAX;

/// What goes on on one connection.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    /// Requests without the end of their response yet, tunnels that came of them included.
    pub(super) in_flight: AtomicU64,
    /// Requests ever begun.
    pub(super) begun: AtomicU64,
    /// Times that something was read, ever; and as it was when no request was left.
    pub(super) reads: AtomicU64,
    pub(super) reads_at_rest: AtomicU64,
    /// Response bodies of which the client has not taken what they last gave; and parts taken, ever.
    pub(super) offered: AtomicU64,
    pub(super) taken: AtomicU64,
    /// HTTP/2: the number of the block of headers that is being read, 0 between them; [`UNGREETED`] before the client's
    /// first frame has come.
    pub(super) block: AtomicU64,
    /// HTTP/1.1: a request was answered without reading its body to the end.
    pub(super) unread: AtomicBool,
    /// The client has sent more frames than any use of the connection explains.
    pub(super) flooded: AtomicBool,
    /// HTTP/1.1: the connection has become another protocol's.
    pub(super) tunnel: AtomicBool,
    /// HTTP/1.1: the connection is to end, so the next response says that it is the last.
    pub(super) last: AtomicBool,
}

impl Gauges {
    /// Something has been read that belongs to no request yet.
    pub(super) fn half_read(&self) -> bool {
        self.in_flight.load(Relaxed) == 0 && self.reads.load(Relaxed) != self.reads_at_rest.load(Relaxed)
    }
}

/// One request, until its response has ended.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Gauges>);

impl Exchange {
    pub(super) fn begin(gauges: &Arc<Gauges>) -> Self {
        gauges.in_flight.fetch_add(1, Relaxed);
        gauges.begun.fetch_add(1, Relaxed);
        gauges.unread.store(false, Relaxed);
        Self(Arc::clone(gauges))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.0.reads_at_rest.store(self.0.reads.load(Relaxed), Relaxed);
        }
    }
}

/// The body of an HTTP/1.1 request: it may pause only so long, and is known when it was not read to its end.
#[derive(Debug)]
pub(super) struct Upload {
    body: Incoming,
    pace: Pace,
    gauges: Arc<Gauges>,
    ended: bool,
}

impl Upload {
    pub(super) fn new(body: Incoming, pause: Duration, gauges: &Arc<Gauges>) -> Self {
        Self { body, pace: Pace::new(pause), gauges: Arc::clone(gauges), ended: false }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let late = ready!(this.pace.poll_pause(cx));
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        };
        this.pace.moved();
        this.ended = frame.is_none() || this.body.is_end_stream();
        Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.gauges.unread.store(true, Relaxed);
        }
    }
}

/// The body of a response, whose end is the exchange's.
#[derive(Debug)]
pub(super) struct Download {
    body: Body,
    /// What is left of a long piece.
    rest: Bytes,
    /// The client has yet to take what was given last.
    offered: bool,
    exchange: Exchange,
}

impl Download {
    pub(super) fn new(body: Body, exchange: Exchange) -> Self {
        Self { body, rest: Bytes::new(), offered: false, exchange }
    }

    fn offer(&mut self, offered: bool) {
        let gauges = &self.exchange.0;
        match (self.offered, offered) {
            (false, true) => drop(gauges.offered.fetch_add(1, Relaxed)),
            (true, false) => {
                gauges.offered.fetch_sub(1, Relaxed);
                gauges.taken.fetch_add(1, Relaxed);
            }
            (true, true) | (false, false) => {}
        }
        self.offered = offered;
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        // Asked for more, the client has taken what there was.
        this.offer(false);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.offer(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.offer(false);
    }
}
