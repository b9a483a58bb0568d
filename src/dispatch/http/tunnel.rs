//! A connection that has switched to another protocol: bytes go both ways until both sides have ended, or nothing has gone
//! either way for too long.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    time::{Instant, sleep_until},
};

use crate::call::{Guards, Upgrade};

/// Joins the client's connection and the upstream's, once both have switched. `idle`: how long nothing may go through it.
/// Guards live until the tunnel ends.
pub(super) fn open(client: Upgrade, upstream: OnUpgrade, idle: Option<Duration>, guards: Guards) {
    tokio::spawn(async move {
        let Upgrade { on, lasting, .. } = client;
        let (client, upstream) = match tokio::try_join!(on, upstream) {
            Ok(both) => both,
            Err(error) => return tracing::debug!("a tunnel was not opened: {error}"),
        };
        if let Err(error) = join(TokioIo::new(client), TokioIo::new(upstream), idle).await {
            tracing::debug!("a tunnel broke: {error}");
        }
        drop((lasting, guards));
    });
}

/// # Errors
/// What broke a side; that nothing went through for too long.
async fn join<C, U>(client: C, mut upstream: U, idle: Option<Duration>) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Arc::new(Moved { begun: Instant::now(), last: AtomicU64::new(0) });
    let mut client = Seen { stream: client, moved: Arc::clone(&moved) };
    let both = copy_bidirectional(&mut client, &mut upstream);
    let Some(idle) = idle else { return both.await.map(|_| ()) };
    tokio::select! {
        ended = both => ended.map(|_| ()),
        () = moved.idle(idle) => {
            let why = format!("nothing went through it for {idle:?} (tunnel_idle_timeout)");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        }
    }
}

/// When something last went through a tunnel.
struct Moved {
    begun: Instant,
    /// In milliseconds after that.
    last: AtomicU64,
}

impl Moved {
    fn now(&self) {
        let since = self.begun.elapsed().as_millis();
        self.last.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    /// Ready when nothing has for so long.
    async fn idle(&self, most: Duration) {
        loop {
            let until = self.begun + Duration::from_millis(self.last.load(Relaxed)) + most;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// One side of a tunnel: what goes either way is read from it or written to it.
struct Seen<S> {
    stream: S,
    moved: Arc<Moved>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Seen<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.moved.now();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Seen<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if written.is_ready() {
            self.moved.now();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::sleep,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_through_which_nothing_goes_ends_and_one_that_is_used_lives() {
        let minute = Duration::from_secs(60);
        let ((client, mut near), (upstream, mut far)) = (duplex(64), duplex(64));
        let joined = tokio::spawn(join(client, upstream, Some(minute)));
        for ways in 0..10 {
            sleep(minute - Duration::from_secs(1)).await;
            let (from, to) = if ways % 2 == 0 { (&mut near, &mut far) } else { (&mut far, &mut near) };
            from.write_all(b"x").await.unwrap();
            assert_eq!(to.read_u8().await.unwrap(), b'x');
        }
        let last = Instant::now();
        let ended = joined.await.unwrap().unwrap_err();
        assert_eq!(ended.to_string(), "nothing went through it for 60s (tunnel_idle_timeout)");
        assert!(last.elapsed() < minute + Duration::from_secs(1), "{:?}", last.elapsed());
        assert_eq!((near.read(&mut [0]).await.unwrap(), far.read(&mut [0]).await.unwrap()), (0, 0));
        // One without a limit ends with its sides.
        let ((client, mut near), (upstream, far)) = (duplex(64), duplex(64));
        let joined = tokio::spawn(join(client, upstream, None));
        sleep(minute * 600).await;
        near.write_all(b"x").await.unwrap();
        drop((near, far));
        let _ = joined.await.unwrap();
    }
}
