//! The listeners and their connections: HTTP/1.1 and HTTP/2 on one port, one accept loop per worker, every connection with
//! its limits, and a drain with a hard deadline.
//!
//! ```text
//! accept ── caps (in total, per address; over them: full) ── proxy_protocol (whose is it?) ── calm (who flooded waits) ── stream (TLS?)
//!                                                              ── sniff (which HTTP?) ── connection (hyper over a Wire)
//!                                                                     ├─ wire:    what is read and written, bounded
//!                                                                     │   ├─ frames: HTTP/2 frames counted, floods ended
//!                                                                     │   └─ refusal: hyper's own answers kept back
//!                                                                     ├─ exchange: its requests, bodies paced
//!                                                                     └─ checks:  idle, half-sent, stalled, too old
//! ```

mod accept;
mod answer;
mod calm;
mod caps;
mod checks;
mod connection;
mod exchange;
mod files;
mod frames;
mod full;
mod http;
mod opening;
mod proxy_protocol;
mod quiet;
mod refusal;
mod sniff;
mod stream;
mod wire;

use std::sync::Arc;

pub use accept::listen;
pub use files::raise_open_files;

use crate::{auth::Network, config::Connections};
use calm::Calm;
use caps::Caps;
use full::Telling;

/// What every connection is held to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The most bytes of one request's headers.
    pub header_bytes: u32,
    /// The most headers of a request of HTTP/1.1.
    pub headers: usize,
    pub connections: Connections,
    /// Whose connections begin with a PROXY header.
    pub proxy_protocol: Arc<[Network]>,
}

/// What the accept loops of all workers share.
#[derive(Debug, Clone)]
pub struct Server {
    rules: Rules,
    caps: Arc<Caps>,
    calm: Arc<Calm>,
    telling: Telling,
}

impl Server {
    /// A server without a connection yet. Each worker serves its own listener with a clone.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let caps = Caps::new(rules.connections.max, rules.connections.max_per_address);
        let calm = Calm::new(rules.connections.flood_wait);
        Self { rules, caps: Arc::new(caps), calm: Arc::new(calm), telling: Telling::new() }
    }
}
