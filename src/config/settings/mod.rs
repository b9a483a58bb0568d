//! The config as written: the shape of the file, with every key optional and nothing checked but its type. The JSON Schema
//! of the file is made from it, so each key's comment says what it does and what holds without it.
//! `super::check` turns it into the config as meant.

mod callers;
mod galaxy;
mod health;
mod mcp;
mod mcp_servers;
mod metrics;
mod otlp;
mod resilience;
mod rest;
mod routes;
mod store;
mod tls;
mod upstreams;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use self::{
    callers::{
        Access, AccessRule, Auth, By, Issuer, LimitRule, Openness, RateLimits, RedisAway, Reset, Token,
    },
    galaxy::Galaxy,
    health::{Degraded, GatewayHealth, Probe, ProbeKind, ProbesIn, Unhealthy},
    mcp::{Mcp, McpOauth, Tool, ToolNames},
    mcp_servers::{McpFailure, McpProtocol, McpServer},
    metrics::{Info, Metrics, Names},
    otlp::{Compression, Otlp, OtlpProtocol, Propagator, TraceTrust, Traces},
    resilience::{Balance, Breaker, Ejection, Health, HealthKind, OneOrMore, Retry, RouteRetry},
    rest::{BuiltIn, Errors, HealthBody, Rest, TrailingSlash},
    routes::{HeaderChanges, HttpRule, Redirect, Respond, Route, Share},
    store::{Accounts, Store},
    tls::{Admin, CertificateGrant, ClientCertificates, NameKind, Pair, Tls, TlsVersion},
    upstreams::{Text, Upstream},
};

/// Propylon's config: a file needs only the keys that it changes. Relative paths are taken from its folder.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Propylon's config")]
pub(super) struct Settings {
    /// The process: where it listens, what it is called, how it stops.
    pub(super) gateway: Gateway,
    /// Certificates: with one, the port speaks TLS.
    pub(super) tls: Tls,
    /// The operator's listener.
    pub(super) admin: Admin,
    /// What is logged, and how.
    pub(super) log: Log,
    /// The gateway's numbers, and the page that shows them.
    pub(super) metrics: Metrics,
    /// Where telemetry is sent.
    pub(super) otlp: Otlp,
    /// The traces of calls.
    pub(super) traces: Traces,
    /// What a client's connection may cost.
    pub(super) connections: Connections,
    /// How long messages and calls may be.
    pub(super) limits: Limits,
    /// Whom the gateway knows.
    pub(super) auth: Auth,
    /// Who may call. A route may have rules of its own.
    pub(super) access: Access,
    /// How often callers may call.
    pub(super) rate_limits: RateLimits,
    /// Where accounts, keys and all else that outlives the gateway are kept.
    pub(super) store: Store,
    /// The gateway's own accounts.
    pub(super) accounts: Accounts,
    /// How the gateway says how it is, and which services it asks for that.
    pub(super) health: GatewayHealth,
    /// Which pages of other origins may call. A route may have its own.
    pub(super) cors: Cors,
    /// The REST face of the deployment.
    pub(super) rest: Rest,
    /// MCP: gRPC methods as tools for agents.
    pub(super) mcp: Mcp,
    /// The catalogue of Ansible Galaxy.
    pub(super) galaxy: Galaxy,
    /// The gateway's own services and pages, by name: each can be switched off or moved.
    #[schemars(extend("propertyNames" = { "enum": super::Own::ALL.map(super::Own::name) }))]
    pub(super) builtin: BTreeMap<String, BuiltIn>,
    /// gRPC upstreams: their services appear as gRPC, gRPC-Web and, with google.api.http annotations, as REST.
    pub(super) upstreams: Vec<Upstream>,
    /// Routes: a gRPC service and who answers it, or an HTTP path that the gateway answers by itself; each with its rules.
    pub(super) routes: Vec<Route>,
    /// google.api.HttpRules for methods whose proto has none, or in place of those it has.
    #[schemars(extend("items" = { "$ref": "#/$defs/HttpRule", "required": ["selector"] }))]
    pub(super) http_rules: Vec<HttpRule>,
}

/// A time: a number with a unit, such as 500ms, 3s, 2m, 1h.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("examples" = ["500ms", "3s", "2m", "1h"]))]
pub(super) struct Time(pub(super) String);

/// `[gateway]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gateway {
    /// The address to listen on, IP:PORT; gRPC, gRPC-Web, REST and MCP share it. --listen goes before it. Default: 127.0.0.1:8080.
    pub(super) listen: Option<String>,
    /// Workers: each is a thread with a listener socket and upstream connections of its own. Default: 0, one per core.
    #[schemars(range(max = 1024))]
    pub(super) workers: Option<usize>,
    /// Told to callers of GetInfo and Check. Default: development.
    pub(super) environment: Option<String>,
    /// This instance's name among its replicas. Default: one that is made up at start.
    #[schemars(length(min = 1))]
    pub(super) instance: Option<String>,
    /// The hosts that requests may ask for, without ports, such as api.example.com or *.example.com; others are refused with
    /// 400, but for probes. Default: any.
    pub(super) hosts: Vec<String>,
    /// How long calls are still taken after SIGTERM, once readiness has gone, so that balancers have seen it. Default: 0s.
    pub(super) drain_delay: Option<Time>,
    /// How long calls in flight may go on then; what is left is closed. Default: 30s.
    pub(super) drain: Option<Time>,
    /// Read the config again when its file, or one that it names, changes. Default: true.
    pub(super) watch_config: Option<bool>,
    /// Networks of proxies that are believed when they say whom they speak for; nearest stands for any neighbour with a private
    /// address, for one hop. Default: nobody is believed.
    pub(super) trusted_proxies: Vec<String>,
    /// Where they say it: x-forwarded-for or forwarded (RFC 7239). Default: x-forwarded-for.
    pub(super) forwarded_header: Option<String>,
}

/// `[log]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    /// The least that is logged: error, warn, info, debug or trace. Default: info.
    pub(super) level: Option<Level>,
    /// How: json, text, or auto, which is text on a terminal and json elsewhere. Default: auto.
    pub(super) format: Option<Format>,
    /// A line for each request when it has ended: info, or a warning for what failed here (5xx) or was slow. Default: true.
    pub(super) requests: Option<bool>,
    /// A request that takes this long is slow, unless it is a stream. Default: 1s.
    pub(super) slow: Option<Time>,
}

/// `[log] level`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `[log] format`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Auto,
    Json,
    Text,
}

/// `[connections]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Connections {
    /// Connections at once, over all workers. Default: 20000.
    #[schemars(range(min = 1))]
    pub(super) max: Option<usize>,
    /// Connections at once from one address (IPv6: from one /64). Default: 2000.
    #[schemars(range(min = 1))]
    pub(super) max_per_address: Option<usize>,
    /// How long at most a new connection waits whose address has flooded lately; 0s: never. Default: 1s.
    pub(super) flood_wait: Option<Time>,
    /// HTTP/2: streams at once on one connection. Default: 1024.
    #[schemars(range(min = 1))]
    pub(super) streams: Option<u32>,
    /// How long a handshake, or the head of a request, may take. Default: 10s.
    pub(super) header_timeout: Option<Time>,
    /// How long a request's body may pause. Default: 30s.
    pub(super) body_timeout: Option<Time>,
    /// How long a connection may be without a call. Default: 5m.
    pub(super) idle_timeout: Option<Time>,
    /// How long a client may take none of what is sent to it. Default: 1m.
    pub(super) write_timeout: Option<Time>,
    /// HTTP/2: how often a quiet connection is pinged. Default: 1m.
    pub(super) keepalive_interval: Option<Time>,
    /// How long the answer to a ping may take. Default: 20s.
    pub(super) keepalive_timeout: Option<Time>,
    /// How old a connection may grow, give or take a tenth; then its client is asked to open another. Default: any age.
    pub(super) max_age: Option<Time>,
    /// How long the calls of a connection that is too old may go on. Default: 30s.
    pub(super) max_age_grace: Option<Time>,
    /// Networks of balancers that begin each connection with a PROXY header (v1 or v2), which says whose it is: from there it
    /// must come, from elsewhere it is not taken. Default: none.
    pub(super) proxy_protocol: Vec<String>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    /// The longest request message in bytes, decompressed. Default: 4194304 (4 MiB).
    #[schemars(range(min = 1))]
    pub(super) request_bytes: Option<usize>,
    /// The longest response message that is transcoded, in bytes, decompressed; native gRPC and gRPC-Web replies pass as
    /// they are. Default: 67108864 (64 MiB).
    #[schemars(range(min = 1))]
    pub(super) response_bytes: Option<usize>,
    /// The most bytes of one request's headers. Default: 65536 (64 KiB).
    #[schemars(range(min = 1024))]
    pub(super) header_bytes: Option<u32>,
    /// The most headers of a request of HTTP/1.1; HTTP/2, which cuts one cookie into many, counts their bytes alone.
    /// Default: 100.
    #[schemars(range(min = 20, max = 10_000))]
    pub(super) headers: Option<usize>,
    /// The longest a unary call may take; a caller's own timeout is cut to it. Default: 60s.
    pub(super) timeout: Option<Time>,
}

/// `[cors]`, or the `cors` of a route
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cors {
    /// Origins that pages may call from: a list of scheme://host[:port], or ["*"] for any (without credentials), or
    /// ["loopback"] for pages served from this machine on any port. Default: none.
    pub(super) origins: Vec<String>,
    /// Pages may send cookies and HTTP authentication, and call by their reader's client certificate. Default: false.
    pub(super) credentials: Option<bool>,
    /// How long a browser may keep the answer to a preflight. Default: 2h.
    pub(super) max_age: Option<Time>,
    /// Response headers that a page may read beside those that are always exposed. Default: none.
    pub(super) expose: Vec<String>,
}
