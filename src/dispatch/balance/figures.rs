//! How an upstream is doing, for those who ask.

use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use super::Balance;

/// How an upstream is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Calls that are on their way there.
    pub in_flight: usize,
    /// `None` where it has no breaker.
    pub breaker: Option<BreakerState>,
    /// How often an endpoint was left out for its failures, since the upstream is as it is.
    pub ejections: u64,
    /// Endpoints that are called.
    pub healthy: usize,
    /// Endpoints that health checks speak against.
    pub unhealthy: usize,
    /// Endpoints that are left out for their failures.
    pub ejected: usize,
}

/// How a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls fail at once.
    Open,
    /// A few pass, to find out.
    HalfOpen,
}

impl<T> Balance<T> {
    /// An endpoint was left out for its failures.
    pub(super) fn ejected(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    /// How it is doing.
    pub(in crate::dispatch) fn figures(&self) -> Figures {
        let now = self.millis(Instant::now());
        let mut figures = Figures {
            in_flight: 0,
            breaker: self.breaker.as_ref().map(super::Breaker::state),
            ejections: self.ejections.load(Relaxed),
            healthy: 0,
            unhealthy: 0,
            ejected: 0,
        };
        for endpoint in &self.set.load().endpoints {
            figures.in_flight += endpoint.load();
            match (endpoint.is_healthy(), endpoint.is_out(now)) {
                (false, _) => figures.unhealthy += 1,
                (true, true) => figures.ejected += 1,
                (true, false) => figures.healthy += 1,
            }
        }
        figures
    }
}
