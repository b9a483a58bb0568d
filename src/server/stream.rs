//! A client's connection, in plain text or over TLS, as the wire reads and writes it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{auth::Certificate, gateway::PortTls};

/// The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// Boxed: what TLS keeps of a connection is large, and most of it is not looked at.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no TLS on a connection that should have it.
#[derive(Debug)]
pub(super) enum NoTls {
    /// Something else is spoken; with what was not read yet.
    Spoken(TcpStream),
    Failed(io::Error),
}

impl Stream {
    /// Shakes hands as a server.
    ///
    /// # Errors
    /// The client speaks no TLS, none that is spoken here, or is not who it must be; or it took too long.
    pub(super) async fn shake(tcp: TcpStream, tls: &PortTls) -> Result<Self, NoTls> {
        let shaken = timeout(tls.handshake_timeout, async {
            let mut first = [0];
            let read = tcp.peek(&mut first).await.map_err(NoTls::Failed)?;
            if read > 0 && first != [HANDSHAKE] {
                return Err(NoTls::Spoken(tcp));
            }
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
            acceptor.accept(tcp).await.map_err(NoTls::Failed)
        });
        let late = || NoTls::Failed(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
        let stream = shaken.await.map_err(|_| late())??;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// The certificate that the client has shown, which was verified.
    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        let Self::Tls(tls) = self else { return None };
        let first = tls.get_ref().1.peer_certificates()?.first()?;
        Certificate::read(first).map(Arc::new)
    }

    /// Writes what can be written at once, and does not wait.
    pub(super) fn try_write(&mut self, bytes: &[u8]) {
        let mut nobody = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut *self).poll_write(&mut nobody, bytes);
        let _ = Pin::new(self).poll_flush(&mut nobody);
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
        }
    }
}
