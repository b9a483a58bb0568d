//! How an endpoint of an upstream is reached, whatever it speaks: connected to within a time.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tonic::Status;

use super::tls::Connector;
use crate::status::Fault;

/// Where an endpoint is.
pub(super) struct Dial {
    /// `upstream "books" (127.0.0.1:9000)`
    pub(super) label: Arc<str>,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<Connector>>,
    /// For TCP.
    pub(super) connect_timeout: Duration,
    /// For what comes before the first call: TLS, HTTP/2's settings.
    pub(super) handshake_timeout: Duration,
}

impl Dial {
    /// UNAVAILABLE, of a call that was not sent.
    pub(super) fn unavailable(&self, what: impl std::fmt::Display) -> Status {
        Fault::upstream().unsent().on(Status::unavailable(format!("{} {what}", self.label)))
    }

    /// A handshake that has its time.
    ///
    /// # Errors
    /// UNAVAILABLE where the time is over; the handshake's own.
    pub(super) async fn shake<T>(
        &self,
        handshake: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        timeout(self.handshake_timeout, handshake).await.unwrap_or_else(|_| {
            let within = self.handshake_timeout;
            Err(self.unavailable(format_args!(
                "accepted the connection but did not finish its handshake within {within:?}"
            )))
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// UNAVAILABLE, with why.
    pub(super) async fn tcp(&self) -> Result<TcpStream, Status> {
        let Self { address, connect_timeout, .. } = self;
        match timeout(*connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Only latency is lost where it cannot be set.
                let _ = tcp.set_nodelay(true);
                Ok(tcp)
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(self.unavailable("refused the connection"))
            }
            Ok(Err(error)) => Err(self.unavailable(format_args!("could not be connected to: {error}"))),
            Err(_) => {
                Err(self.unavailable(format_args!("did not accept a connection within {connect_timeout:?}")))
            }
        }
    }
}
