//! On what terms a route may be called: who may, how often, and what becomes of the caller's credentials. Decided when the
//! config was loaded.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{Access, Limit, Resource};

/// The terms of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub access: Access,
    /// Limits of this route, beside those of callers.
    pub limits: Vec<RouteLimit>,
    pub credentials: Arc<Credentials>,
    /// No limit counts its calls: a probe that is turned away would take down what it asks about.
    pub uncounted: bool,
    /// It is a resource that takes no tokens but those made for it.
    pub resource: Option<Arc<Resource>>,
}

/// How often a route may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLimit {
    pub limit: Arc<Limit>,
    pub scope: Scope,
}

/// Whose calls are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each caller's; each address's where the caller is not known.
    Caller,
    /// Each address's.
    Address,
    /// All calls of the route.
    Everyone,
}

/// What becomes of credentials on the way to what answers a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The caller's own go on as they are.
    pub forward: bool,
    /// Sent in their place: headers with the gateway's own credentials.
    pub own: Vec<(HeaderName, HeaderValue)>,
}

impl Default for Terms {
    /// Everyone may call, as often as they like: for what no rules were written about, in tests and tools. What serves
    /// clients gets its terms from the config.
    fn default() -> Self {
        Self {
            access: Access::public(),
            limits: Vec::new(),
            credentials: Arc::default(),
            uncounted: false,
            resource: None,
        }
    }
}
