//! Which pages of other origins may call, and what they may send and read (the Fetch standard's CORS protocol). Plain data;
//! the door answers by it.

use std::time::Duration;

/// `[cors]`, or the `cors` of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    pub origins: Origins,
    /// Pages may send cookies and HTTP authentication. Never with [`Origins::Any`].
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight.
    pub max_age: Duration,
    /// Response headers that a page may read beside those always exposed; lower case.
    pub expose: Vec<String>,
}

/// The origins that pages may call from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    None,
    /// `*`: any origin, without credentials.
    Any,
    /// Pages served from this machine, on any port.
    Loopback,
    /// `scheme://host[:port]`, each as a browser writes it.
    Listed(Vec<String>),
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            origins: Origins::None,
            credentials: false,
            max_age: Duration::from_secs(7200),
            expose: Vec::new(),
        }
    }
}
