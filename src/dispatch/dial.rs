//! How an upstream is reached, whatever it speaks: its name looked up, one of its addresses connected to, within a time.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tonic::Status;

use super::tls::Connector;
use crate::status::Fault;

/// Where an upstream is.
pub(super) struct Dial {
    /// `upstream "books" (127.0.0.1:9000)`
    pub(super) label: Arc<str>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Connector>,
    /// For name resolution and TCP, all addresses together.
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

    /// Tries every address of the host, and gives each a fair part of the time that is left.
    ///
    /// # Errors
    /// UNAVAILABLE, with why.
    pub(super) async fn tcp(&self) -> Result<TcpStream, Status> {
        let Self { host, port, connect_timeout, .. } = self;
        let until = Instant::now() + *connect_timeout;
        let late =
            || self.unavailable(format_args!("did not accept a connection within {connect_timeout:?}"));
        let found = timeout_at(until, tokio::net::lookup_host((host.as_str(), *port))).await;
        let found = found
            .map_err(|_| self.unavailable(format_args!("could not be looked up within {connect_timeout:?}")))?
            .map_err(|error| self.unavailable(format_args!("could not be looked up: {error}")))?;
        let addresses: Vec<_> = found.collect();
        let mut failure = self.unavailable("has no address");
        for (tried, address) in addresses.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX).max(1);
            failure = match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Only latency is lost where it cannot be set.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.unavailable("refused the connection")
                }
                Ok(Err(error)) => self.unavailable(format_args!("could not be connected to: {error}")),
                Err(_) => late(),
            };
        }
        Err(failure)
    }
}
