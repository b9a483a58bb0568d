//! How the endpoints of `[[upstreams]]` are used, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Time;

/// One text, or a list of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend(
    "type" = ["string", "array"],
    "items" = { "type": "string", "minLength": 1 },
    "minLength" = 1,
), transform = super::upstreams::without_branches)]
pub(in crate::config) enum OneOrMore {
    One(String),
    Several(Vec<String>),
}

/// `balance`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Balance {
    RoundRobin,
    LeastRequests,
    PeakEwma,
    Hash,
}

/// `[upstreams.retry]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Retry {
    /// How often a call may be sent in all, if it may be repeated: by its verb, by idempotency_level, or by the verbs of its
    /// HTTP rules. What was never seen by an upstream is sent again whatever this says. Default: 3.
    #[schemars(range(min = 1, max = 20))]
    pub(in crate::config) attempts: Option<u32>,
    /// How long one attempt may take, of a call that may be repeated. Default: none.
    pub(in crate::config) per_try_timeout: Option<Time>,
    /// The longest pause before the second attempt; it doubles with each further one, and its length is drawn from nothing to
    /// that. Default: 25ms.
    pub(in crate::config) backoff: Option<Time>,
    /// The longest pause there is, an upstream's own wish (Retry-After, grpc-retry-pushback-ms) included. Default: 1s.
    pub(in crate::config) max_backoff: Option<Time>,
    /// How many of the calls of the last ten seconds may be sent again, 0 to 1; three a second always may. Default: 0.2.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) budget: Option<f64>,
    /// HTTP statuses after which a request is sent again. Default: those of a gateway (502, 503, 504).
    #[schemars(inner(range(min = 400, max = 599)))]
    pub(in crate::config) statuses: Option<Vec<u16>>,
    /// gRPC codes after which a call is sent again. Default: UNAVAILABLE.
    pub(in crate::config) codes: Option<Vec<String>>,
    /// The longest request body in bytes that is kept to be sent again, and the longest response that is held until it is
    /// whole. Default: 65536 (64 KiB).
    #[schemars(range(max = 16_777_216))]
    pub(in crate::config) body_bytes: Option<usize>,
}

/// `retry` of a route
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RouteRetry {
    /// How often a call may be sent in all; 1: once.
    #[schemars(range(min = 1, max = 20))]
    pub(in crate::config) attempts: Option<u32>,
    /// Whether calls may be sent twice, whatever their verb, their idempotency_level or their HTTP rules say. Default: what
    /// these say.
    pub(in crate::config) repeatable: Option<bool>,
    /// How long one attempt may take, of a call that may be repeated.
    pub(in crate::config) per_try_timeout: Option<Time>,
    /// The longest pause before the second attempt.
    pub(in crate::config) backoff: Option<Time>,
    /// The longest pause there is.
    pub(in crate::config) max_backoff: Option<Time>,
    /// HTTP statuses after which a request is sent again.
    #[schemars(inner(range(min = 400, max = 599)))]
    pub(in crate::config) statuses: Option<Vec<u16>>,
    /// gRPC codes after which a call is sent again.
    pub(in crate::config) codes: Option<Vec<String>>,
    /// The longest request body in bytes that is kept to be sent again, and the longest response that is held until it is
    /// whole.
    #[schemars(range(max = 16_777_216))]
    pub(in crate::config) body_bytes: Option<usize>,
}

/// `[upstreams.breaker]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Breaker {
    /// Whether there is one. Default: true.
    pub(in crate::config) enabled: Option<bool>,
    /// So many calls that fail one after the other open it. Default: 5.
    #[schemars(range(min = 1))]
    pub(in crate::config) consecutive_failures: Option<u32>,
    /// This part of the calls within the window, if they fail, opens it, 0 to 1. Default: 0.5.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) failure_ratio: Option<f64>,
    /// If there were at least so many calls. Default: 20.
    #[schemars(range(min = 1))]
    pub(in crate::config) min_calls: Option<u32>,
    /// Over how long that is counted. Default: 10s.
    pub(in crate::config) window: Option<Time>,
    /// How long no call is let through then. Default: 5s.
    pub(in crate::config) open: Option<Time>,
    /// How many calls are let through after that; if all go well, it is closed again. Default: 3.
    #[schemars(range(min = 1))]
    pub(in crate::config) probes: Option<u32>,
}

/// `[upstreams.ejection]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Ejection {
    /// Whether endpoints that fail are left out. Default: true.
    pub(in crate::config) enabled: Option<bool>,
    /// So many failures of one endpoint, one after the other. Default: 5.
    #[schemars(range(min = 1))]
    pub(in crate::config) consecutive_failures: Option<u32>,
    /// How long it is left out: the second time twice as long, and so on. Default: 10s.
    #[serde(rename = "for")]
    pub(in crate::config) time: Option<Time>,
    /// No further one is left out while so many of a hundred are. Default: 50.
    #[schemars(range(max = 100))]
    pub(in crate::config) max_percent: Option<u32>,
}

/// `[upstreams.health]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Health {
    /// How endpoints are asked: http (a GET is answered with 2xx), tcp (a connection is accepted) or grpc (grpc.health.v1).
    /// Default: what it speaks, grpc or http.
    pub(in crate::config) kind: Option<HealthKind>,
    /// The path of the GET. Default: /.
    #[schemars(length(min = 1))]
    pub(in crate::config) path: Option<String>,
    /// The service that grpc.health.v1 is asked for. Default: the whole server.
    pub(in crate::config) service: Option<String>,
    /// How often. Default: 5s.
    pub(in crate::config) interval: Option<Time>,
    /// How long the answer may take. Default: 1s.
    pub(in crate::config) timeout: Option<Time>,
    /// So many good answers after a bad one. Default: 2.
    #[schemars(range(min = 1))]
    pub(in crate::config) healthy_after: Option<u32>,
    /// So many bad answers after a good one; the very first answer decides alone. Default: 3.
    #[schemars(range(min = 1))]
    pub(in crate::config) unhealthy_after: Option<u32>,
}

/// `[upstreams.health] kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum HealthKind {
    Http,
    Tcp,
    Grpc,
}

/// `[upstreams.limits]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Load {
    /// Calls at a time, over all workers and endpoints. Default: 1000.
    #[schemars(range(min = 1))]
    pub(in crate::config) requests: Option<usize>,
    /// How many more may wait for their turn; the others are answered 503. Default: 100.
    pub(in crate::config) waiting: Option<usize>,
    /// How long they may wait. Default: 1s.
    pub(in crate::config) wait: Option<Time>,
    /// Tunnels (upgraded connections, such as WebSockets) at a time, which are not counted as requests once they are open.
    /// Default: none are turned away.
    #[schemars(range(min = 1))]
    pub(in crate::config) tunnels: Option<usize>,
}
