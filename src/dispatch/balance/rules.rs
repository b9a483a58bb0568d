//! What the config says of an upstream's endpoints: how calls are spread over them, how long one may take, which calls are
//! sent again, and when an endpoint or the whole upstream is left alone. Plain values.

use std::time::Duration;

use http::HeaderName;

use crate::route::RetryRules;

/// The rules of one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resilience {
    pub balance: Balancing,
    /// How often host names are looked up again.
    pub resolve_interval: Duration,
    /// How long the head of a response may take, at each attempt.
    pub first_byte_timeout: Option<Duration>,
    /// How long a response's body may pause.
    pub idle_timeout: Option<Duration>,
    /// How long nothing may go through a tunnel.
    pub tunnel_idle_timeout: Option<Duration>,
    pub retry: RetryRules,
    /// `None`: every call is let through.
    pub breaker: Option<BreakerRules>,
    /// `None`: no endpoint is ever left out for its failures.
    pub ejection: Option<EjectionRules>,
    /// `None`: nothing is asked of endpoints but calls.
    pub health: Option<HealthRules>,
    /// `None`: as many calls at a time as come.
    pub limits: Option<LoadRules>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balancing {
    RoundRobin,
    /// Of two that are drawn, the one with fewer calls on it.
    LeastRequests,
    /// Of two that are drawn, the one whose answers are likelier soon: its latency, which rises at once and falls slowly,
    /// times the calls on it.
    PeakEwma,
    /// The same key, the same endpoint.
    Hash(HashBy),
}

/// What of a call is its key. A call without one goes where least requests would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    Header(HeaderName),
    Cookie(String),
    /// The client's address.
    Client,
    /// The path, without its query.
    Path,
}

/// `[upstreams.breaker]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerRules {
    /// So many failures one after the other open it.
    pub consecutive_failures: u32,
    /// Of a hundred calls within the window, so many failures open it …
    pub failure_percent: u32,
    /// … if there were at least so many calls.
    pub min_calls: u32,
    pub window: Duration,
    /// How long no call is let through then.
    pub open: Duration,
    /// How many calls are let through after that, to see how they go.
    pub probes: u32,
}

/// `[upstreams.ejection]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EjectionRules {
    /// So many failures one after the other.
    pub consecutive_failures: u32,
    /// How long, the first time; each further time as much longer.
    pub time: Duration,
    /// Further endpoints stay where so many of a hundred are out already.
    pub max_percent: u32,
}

/// `[upstreams.health]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRules {
    pub kind: HealthKind,
    pub interval: Duration,
    pub timeout: Duration,
    /// So many good answers after a bad one.
    pub healthy_after: u32,
    /// So many bad answers after a good one; the very first decides by itself.
    pub unhealthy_after: u32,
}

/// How an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthKind {
    /// It accepts connections.
    Tcp,
    /// It answers a GET of this path with 2xx.
    Http { path: String },
    /// It says by `grpc.health.v1` that this service is SERVING; empty: the whole server.
    Grpc { service: String },
}

/// `[upstreams.limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRules {
    /// Calls at a time, over all workers.
    pub requests: usize,
    /// How many may wait for their turn, and how long.
    pub waiting: usize,
    pub wait: Duration,
    /// Tunnels at a time; `None`: as many as are opened.
    pub tunnels: Option<usize>,
}

impl Default for Resilience {
    fn default() -> Self {
        Self {
            balance: Balancing::LeastRequests,
            resolve_interval: Duration::from_secs(10),
            first_byte_timeout: None,
            idle_timeout: None,
            tunnel_idle_timeout: Some(Duration::from_secs(3600)),
            retry: RetryRules::default(),
            breaker: Some(BreakerRules::default()),
            ejection: Some(EjectionRules::default()),
            health: None,
            limits: None,
        }
    }
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_percent: 50,
            min_calls: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(5),
            probes: 3,
        }
    }
}

impl Default for EjectionRules {
    fn default() -> Self {
        Self { consecutive_failures: 5, time: Duration::from_secs(10), max_percent: 50 }
    }
}

impl Default for LoadRules {
    fn default() -> Self {
        Self { requests: 1000, waiting: 100, wait: Duration::from_secs(1), tunnels: None }
    }
}
