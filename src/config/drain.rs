//! How the gateway stops.

use std::time::Duration;

/// What happens on SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long calls are still taken after readiness has gone, so that balancers have seen it.
    pub delay: Duration,
    /// How long calls in flight may go on then; what is left is closed.
    pub timeout: Duration,
}
