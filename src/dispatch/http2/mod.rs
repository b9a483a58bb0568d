//! HTTP/2 towards one endpoint, over h2 itself: by prior knowledge, or over TLS. A call is sent straight into a connection of
//! the current worker's pool: no buffer, no channel and no task stand between.

mod connection;
mod pool;
mod stream;

use std::{sync::Arc, time::Duration};

use tonic::Status;

use self::{connection::Address, pool::Pool};
pub(super) use self::{
    pool::Lease,
    stream::{Failed, UpstreamBody, send},
};
use super::{dial::Dial, worker};

/// How connections are kept.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    /// How often a connection with calls on it is asked for a sign of life; `None`: never.
    pub(super) keep_alive_interval: Option<Duration>,
    /// How long a sign of life may take.
    pub(super) keep_alive_timeout: Duration,
    /// How long a connection beyond a worker's first may stay without a call.
    pub(super) idle_timeout: Duration,
    /// The most connections of one worker. Further calls wait for a stream.
    pub(super) max_connections: usize,
}

/// The connections of all workers to one endpoint.
pub(super) struct Pools {
    each: Box<[Arc<Pool>]>,
    /// For threads that are no workers.
    others: Arc<Pool>,
}

impl Pools {
    /// Nothing connects before the first call.
    pub(super) fn new(dial: Dial, wire: Wire, workers: usize) -> Self {
        let address = Arc::new(Address { dial, wire });
        let pool = || Arc::new(Pool::new(Arc::clone(&address)));
        Self { each: (0..workers).map(|_| pool()).collect(), others: pool() }
    }

    /// A place on a connection of the current worker's.
    ///
    /// # Errors
    /// UNAVAILABLE: there is no connection, and none could be opened.
    pub(super) async fn lease(&self) -> Result<Lease, Status> {
        worker::index().and_then(|index| self.each.get(index)).unwrap_or(&self.others).lease().await
    }
}
