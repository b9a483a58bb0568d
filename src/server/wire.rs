//! A client's socket as hyper reads and writes it: the bytes that were read before, floods of frames ended, writes that
//! wait no longer than they may, and an end that lets the last words arrive.

use std::{
    future::{Future as _, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    task::yield_now,
    time::{Instant, Sleep, sleep},
};
use tracing::warn;

use super::{
    caps::Permit,
    exchange::{Gauges, UNGREETED},
    frames::{Frames, SLICE},
    quiet::Quiet,
    refusal::{self, Kept},
    sniff::Start,
    stream::Stream,
};

/// How long, and for how many bytes, a client that was answered early is listened to, so that it reads the answer: a
/// socket closed with something unread takes back what it has sent.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;
/// The same of HTTP/2, whose clients send no body beyond the end of their last call: more than this is a flood that goes on.
const LINGER_FRAMES: usize = 16 << 10;

static FLOODS: Quiet = Quiet::new();

/// One connection's socket. The connection counts until this is dropped, by whoever has it then.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// Whose it is.
    peer: SocketAddr,
    /// What was read to know the protocol.
    start: Start,
    /// HTTP/2's frames.
    frames: Option<Frames>,
    /// HTTP/1.1: what may be a refusal of hyper's own, and has not been sent.
    kept: Kept,
    gauges: Arc<Gauges>,
    patience: Patience,
    /// All that was to be written last was: what follows begins a frame.
    whole: bool,
    ending: Option<Ending>,
    _permit: Permit,
}

/// What of some bytes to write is no refusal.
enum Part {
    Before(usize),
    Kept,
}

/// How long a client may take nothing of what is written.
#[derive(Debug)]
struct Patience {
    most: Duration,
    /// Made when a write first has to wait.
    clock: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

/// The write half is closed; the read half is listened to a little longer.
#[derive(Debug)]
struct Ending {
    clock: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Wire {
    pub(super) fn new(
        (stream, peer): (Stream, SocketAddr),
        start: Start,
        frames: Option<Frames>,
        gauges: &Arc<Gauges>,
        write_timeout: Duration,
        permit: Permit,
    ) -> Self {
        if frames.is_some() {
            gauges.block.store(UNGREETED, Relaxed);
        }
        let patience = Patience { most: write_timeout, clock: None, waiting: false };
        let gauges = Arc::clone(gauges);
        let kept = Kept::default();
        Self {
            stream,
            peer,
            start,
            frames,
            kept,
            gauges,
            patience,
            whole: true,
            ending: None,
            _permit: permit,
        }
    }

    /// The status that hyper refuses the request with, where that has been kept from the client; it is forgotten.
    pub(super) fn take_refusal(&mut self) -> Option<StatusCode> {
        let status = self.kept.status();
        self.kept.forget();
        status
    }

    /// Whether something has been kept from the client.
    pub(super) fn keeps(&self) -> bool {
        self.kept.status().is_some()
    }

    /// Sends what was kept, as no refusal, and ends the connection.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.release(cx)).await?;
        self.shutdown().await
    }

    /// Sends what was kept.
    fn release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { kept, stream, patience, .. } = self;
        kept.release(|bytes| match Pin::new(&mut *stream).poll_write(cx, bytes) {
            Poll::Pending => patience.poll(cx).map(Err),
            written => {
                patience.waiting = false;
                written
            }
        })
    }

    /// Keeps back the refusal that bytes end with; what comes before it is to be written by itself. `None`: there is none.
    fn keep(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Option<Part> {
        if self.frames.is_some() || self.gauges.tunnel.load(Relaxed) {
            return None;
        }
        let (status, at) = refusal::at_end(bytes)?;
        if at > 0 {
            return Some(Part::Before(at));
        }
        self.kept.keep(bytes, status);
        // Hyper ends a connection after a refusal. Where this was something else it reads on when it is woken.
        cx.waker().wake_by_ref();
        Some(Part::Kept)
    }

    /// Takes account of what a write came to.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.patience.waiting = false;
                self.whole = bytes == offered;
                if let Some(frames) = &mut self.frames {
                    frames.sent(bytes);
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.whole = false;
                self.patience.poll(cx).map(Err)
            }
        }
    }

    /// Takes account of what was read.
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let gauges = &self.gauges;
        gauges.reads.fetch_add(1, Relaxed);
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let come = frames.come(bytes);
        let unfinished = if frames.open { frames.blocks } else { 0 };
        gauges.block.store(if frames.greeted() { unfinished } else { UNGREETED }, Relaxed);
        let Err(flood) = come else { return Ok(()) };
        if self.whole {
            // One try: a client that floods is not waited for.
            self.stream.try_write(&goaway(frames.last_stream));
        }
        gauges.flooded.store(true, Relaxed);
        say_flood(self.peer, &flood.to_string());
        Err(io::Error::other(flood))
    }
}

/// Tells of a flood that was ended.
pub(super) fn say_flood(peer: SocketAddr, flood: &str) {
    if let Some(unsaid) = FLOODS.says() {
        warn!(%peer, unsaid, "a connection was closed: {flood}");
    }
}

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, sections 6.8 and 7).
fn goaway(last_stream: u32) -> [u8; 17] {
    let [a, b, c, d] = last_stream.to_be_bytes();
    [0, 0, 8, 0x7, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0xb]
}

impl Patience {
    /// Ready when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let most = self.most;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(most)));
        if !std::mem::replace(&mut self.waiting, true) {
            clock.as_mut().reset(Instant::now() + most);
        }
        ready!(clock.as_mut().poll(cx));
        let why = format!("the client has taken nothing for {most:?}");
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, why))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.frames.as_mut().is_some_and(|frames| frames.wasted(std::time::Instant::now())) {
            self.gauges.flooded.store(true, Relaxed);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.release(cx))?;
        if this.frames.as_mut().is_some_and(Frames::turn_is_over) {
            // Woken once the runtime has looked at all other sockets too; it would be the first again otherwise.
            return pin!(yield_now()).poll(cx).map(Ok);
        }
        let before = buf.filled().len();
        let first = this.start.take(buf.remaining());
        let slice = this.frames.as_ref().map_or(usize::MAX, Frames::slice);
        if !first.is_empty() {
            buf.put_slice(first);
        } else if slice < buf.remaining() {
            let mut bytes = [0; SLICE];
            let mut part = ReadBuf::new(bytes.get_mut(..slice).unwrap_or_default());
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
            buf.put_slice(part.filled());
        } else {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        }
        let come = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(if come.is_empty() { Ok(()) } else { this.read(come) })
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.release(cx))?;
        let some = match this.keep(cx, buf) {
            Some(Part::Kept) => return Poll::Ready(Ok(buf.len())),
            Some(Part::Before(at)) => buf.get(..at).unwrap_or_default(),
            None => buf,
        };
        let written = Pin::new(&mut this.stream).poll_write(cx, some);
        this.wrote(cx, written, some.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let last = bufs.iter().rev().find(|buf| !buf.is_empty());
        if last.is_some_and(|last| refusal::at_end(last).is_some()) {
            // One after the other: what comes before it must not wait for it.
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        let this = self.get_mut();
        ready!(this.release(cx))?;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(cx, written, bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            // What TLS has taken and the client has not.
            Poll::Pending => this.patience.poll(cx).map(Err),
            flushed => {
                this.patience.waiting = false;
                flushed
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.kept.status().is_some() {
            // Whoever drives the connection knows in a moment what it was.
            return Poll::Ready(Ok(()));
        }
        if this.ending.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.gauges.unread.load(Relaxed) && !this.gauges.half_read() {
                return Poll::Ready(Ok(()));
            }
        }
        let bytes = if this.frames.is_some() { LINGER_FRAMES } else { LINGER_BYTES };
        let ending = this.ending.get_or_insert_with(|| Ending { clock: Box::pin(sleep(LINGER)), bytes });
        let mut scrap = [0; 4096];
        while ending.clock.as_mut().poll(cx).is_pending() {
            let mut scrap = ReadBuf::new(&mut scrap);
            // The client's end, or its reset, is what is waited for.
            let gone = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut scrap)).is_err();
            ending.bytes = ending.bytes.saturating_sub(scrap.filled().len());
            if gone || scrap.filled().is_empty() || ending.bytes == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
