//! The config: as it is written (`settings`), found wrong or right (`document`, `shape`, `check`), and as it is meant. Every
//! value is checked here, once, so that what holds a [`Config`] holds a valid one.

mod address;
mod built_in;
pub mod callers;
mod check;
mod defaults;
mod document;
mod drain;
mod environment;
mod excerpt;
mod json_schema;
mod load;
mod mcp;
mod mcp_servers;
mod mistake;
mod nearby;
mod otlp;
mod rules;
mod secret;
mod settings;
mod shape;
mod source;
mod store;
mod terminal;
mod tls;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue};

pub use self::{
    address::{Address, Addresses},
    built_in::{BuiltIn, BuiltIns, Own, Page},
    callers::Callers,
    check::{listen_address, time, upstream_address},
    document::Origin,
    drain::Drain,
    environment::Environment,
    excerpt::Span,
    json_schema::json_schema,
    load::{ConfigError, Flag, Loaded, SERVICES, Sources},
    mcp::{Glob, Mcp, Oauth, OauthScope, ToolRule},
    mcp_servers::{McpServer, NameGlob, ServerReached},
    mistake::{Mistake, Severity},
    nearby::{read_file, unreadable},
    otlp::{Collector, Push, Resource, Traces},
    rules::Rules,
    secret::Secret,
    source::{Report, Source},
    store::Accounts,
    terminal::colours,
    tls::{BadPair, Clients, Pair, ReadPair, Tls, authorities, certificates, not_good_at},
};
use crate::{
    auth::Network,
    dispatch::Resilience,
    route::{
        Conditions, Cors, Host as HostName, Limits, Origins, Proxy, Redirect, Respond,
        router::Settings as Paths,
    },
    schema::{HttpRule, Template, Verb},
    surface::rest::{Profile, health_body::HealthBody},
    transcode::{JsonInput, JsonStyle},
};

/// The address served when nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What the gateway runs on.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// The operator's listener, if there is one.
    pub admin: Option<SocketAddr>,
    /// The port speaks TLS.
    pub tls: Option<Tls>,
    /// Networks that begin each connection with a PROXY header.
    pub proxy_protocol: Vec<Network>,
    /// Runtimes, each on a thread and a listener socket of its own.
    pub workers: usize,
    pub environment: Arc<str>,
    /// The instance's name among its replicas; one is made up where it is not given.
    pub instance: Option<Arc<str>>,
    /// The hosts that requests may ask for; any where there are none.
    pub hosts: Vec<HostName>,
    pub drain: Drain,
    /// Read the config again when its file, or one it names, changes.
    pub watch_config: bool,
    pub log: Log,
    /// The numbers that are kept; `None`: none are.
    pub metrics: Option<crate::telemetry::Settings>,
    /// Where they are sent.
    pub push: Push,
    pub traces: Traces,
    pub connections: Connections,
    pub limits: Limits,
    /// The most bytes of one request's headers.
    pub header_bytes: u32,
    /// The most headers of a request of HTTP/1.1.
    pub headers: usize,
    /// The longest a unary call may take.
    pub timeout: Duration,
    pub cors: Cors,
    pub callers: Callers,
    pub store: crate::store::Settings,
    pub accounts: Accounts,
    pub health: crate::health::Settings,
    pub rest: Rest,
    pub mcp: Mcp,
    pub galaxy: crate::automation::GalaxySettings,
    pub built_ins: BuiltIns,
    pub upstreams: Vec<Upstream>,
    pub services: Vec<ServiceRoute>,
    pub paths: Vec<PathRoute>,
    pub http_upstreams: Vec<HttpUpstream>,
    pub http_rules: Vec<HttpRule>,
}

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
    /// A line for each request.
    pub requests: bool,
    /// A request that takes this long is slow.
    pub slow: Duration,
}

/// The least that is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// How it is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Json,
    Text,
}

/// `[connections]`: what a client's connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Connections at once, over all workers.
    pub max: usize,
    /// Connections at once from one address (IPv6: from one /64).
    pub max_per_address: usize,
    /// How long at most a new connection waits whose address has flooded lately; zero: never.
    pub flood_wait: Duration,
    /// HTTP/2: streams at once on one connection.
    pub streams: u32,
    /// How long a handshake, or the head of a request, may take.
    pub header_timeout: Duration,
    /// How long a request's body may pause.
    pub body_timeout: Duration,
    /// How long a connection may be without a call.
    pub idle_timeout: Duration,
    /// How long a client may take none of what is sent to it.
    pub write_timeout: Duration,
    /// HTTP/2: how often a quiet connection is pinged, and how long the answer may take.
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// How old a connection may grow, give or take a tenth; then its client is asked to open another.
    pub max_age: Option<Duration>,
    /// How long its calls may go on then.
    pub max_age_grace: Duration,
}

/// `[rest]`
#[derive(Debug, Clone)]
pub struct Rest {
    /// What the deployment calls itself on its pages and in its OpenAPI document.
    pub title: Arc<str>,
    pub description: Arc<str>,
    /// The version it shows; the gateway's own where it has none.
    pub version: Option<Arc<str>>,
    /// Serve every method at `POST /package.Service/Method` too.
    pub method_paths: bool,
    pub paths: Paths,
    pub ignore_unknown_parameters: bool,
    pub input: JsonInput,
    pub security_headers: bool,
    /// What every response over HTTP has, in place of the gateway's own headers of the same names.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What `GET /` answers as JSON, in place of the gateway's own words.
    pub index: Option<serde_json::Map<String, serde_json::Value>>,
    pub profile: Profile,
    /// What the health bodies look like, where that is not as they are.
    pub health: Option<Arc<HealthBody>>,
}

/// A gRPC upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub name: Arc<str>,
    pub addresses: Addresses,
    pub schema: SchemaSource,
    /// Patterns of the services to route there; empty: all that its schema has.
    pub services: Vec<String>,
    pub connect_timeout: Duration,
    pub handshake_timeout: Duration,
    /// How often a quiet connection is pinged, and how long the answer may take.
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// Overrides the general limit for unary calls.
    pub timeout: Option<Duration>,
    /// `:authority` and TLS server name, where they differ from the address.
    pub authority: Option<String>,
    /// PEM file of the certificate authorities to trust, in place of the machine's own.
    pub ca: Option<PathBuf>,
    /// The name that its certificate is for, where that is not its authority's host.
    pub server_name: Option<String>,
    /// The certificate that is shown to it, where it asks for one.
    pub client: Option<Pair>,
    /// Sent with each call, in place of what the caller sent under the same names; each value can be sent.
    pub metadata: Vec<(HeaderName, Secret)>,
    pub style: JsonStyle,
    /// The caller's credentials go on to it.
    pub forward_credentials: bool,
    /// How its endpoints are used.
    pub resilience: Resilience,
}

/// `[[upstreams]]` with `http`: one that speaks plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUpstream {
    pub name: Arc<str>,
    pub addresses: Addresses,
    /// It speaks HTTP/2, not HTTP/1.1.
    pub http2: bool,
    /// How its endpoints are used.
    pub resilience: Resilience,
    /// Its `Host` and TLS server name, where they differ from the address.
    pub authority: Option<String>,
    pub connect_timeout: Duration,
    pub handshake_timeout: Duration,
    /// Overrides the general limit: how long the head of a response may take.
    pub timeout: Option<Duration>,
    /// PEM file of the certificate authorities to trust, in place of the machine's own.
    pub ca: Option<PathBuf>,
    /// The name that its certificate is for, where that is not its authority's host.
    pub server_name: Option<String>,
    /// The certificate that is shown to it, where it asks for one.
    pub client: Option<Pair>,
    /// Sent with each request, in place of what the client sent under the same names; each value can be sent.
    pub headers: Vec<(HeaderName, Secret)>,
    /// The caller's credentials go on to it.
    pub forward_credentials: bool,
}

/// Where an upstream's schema comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaSource {
    /// A file with an encoded `google.protobuf.FileDescriptorSet`.
    Descriptors(PathBuf),
    /// The upstream's own server reflection, read again at this interval.
    Reflection { interval: Duration },
    /// Not known: its services pass as native gRPC and gRPC-Web only.
    Unknown,
}

/// `[[routes]]` with `service`: what is called by gRPC's names, whatever surface it comes by.
#[derive(Debug, Clone)]
pub struct ServiceRoute {
    /// Which of `[[routes]]` it is, counted from 0.
    pub entry: usize,
    /// `package.Service`, a prefix (`package.*`), or one method (`package.Service/Method`).
    pub pattern: String,
    /// The upstreams that answer, each by its weight; who serves it already where there is none.
    pub upstreams: Vec<Share>,
    /// Which of its calls.
    pub when: Conditions,
    pub rules: Rules,
}

/// One of the upstreams that a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub upstream: Arc<str>,
    /// Of the sum of all.
    pub weight: u32,
}

/// `[[routes]]` with `path`: what is called by an HTTP path.
#[derive(Debug, Clone)]
pub struct PathRoute {
    /// Which of `[[routes]]` it is, counted from 0.
    pub entry: usize,
    /// The key that says which paths: `path`, or `prefix`.
    pub written: &'static str,
    pub name: Arc<str>,
    /// At least one; [`Verb::Any`] for all.
    pub verbs: Vec<Verb>,
    pub template: Template,
    /// Of a prefix that is not every path: the path that it is itself.
    pub prefix: Option<Template>,
    pub when: Conditions,
    pub action: Action,
    pub rules: Rules,
}

/// What a path's route does.
#[derive(Debug, Clone)]
pub enum Action {
    Respond(Arc<Respond>),
    Redirect(Arc<Redirect>),
    /// At least one, each with its weight.
    Proxy(Vec<(u32, Arc<Proxy>)>),
}

/// Who makes the tokens of MCP's endpoint for OAuth.
#[derive(Debug, Clone, Copy)]
pub enum Authorization<'a> {
    /// The gateway itself, for its accounts.
    Own,
    Issuer(&'a callers::TrustedIssuer),
}

impl Config {
    /// Who makes the tokens of MCP's endpoint for OAuth; `None` where there is no such endpoint.
    #[must_use]
    pub fn authorization(&self) -> Option<Authorization<'_>> {
        let oauth = &self.mcp.oauth;
        if !(self.mcp.enabled && oauth.enabled) {
            return None;
        }
        match &oauth.issuer {
            Some(name) => {
                let mut issuers = self.callers.issuers.iter();
                issuers.find(|issuer| issuer.name == *name).map(Authorization::Issuer)
            }
            None => {
                let own = self.built_ins.has_accounts() && self.built_ins.get(Own::Oauth).enabled;
                own.then_some(Authorization::Own)
            }
        }
    }

    /// True where calls may go to somebody else.
    #[must_use]
    pub fn has_upstreams(&self) -> bool {
        let servers = self.mcp.enabled && !self.mcp.servers.is_empty();
        servers || !self.upstreams.is_empty() || !self.http_upstreams.is_empty()
    }

    /// True where the answer to a page depends on its origin, on some route.
    #[must_use]
    pub fn answers_by_origin(&self) -> bool {
        let rules =
            self.services.iter().map(|route| &route.rules).chain(self.paths.iter().map(|route| &route.rules));
        let named = |cors: &Cors| !matches!(cors.origins, Origins::None | Origins::Any);
        rules.filter_map(|rules| rules.cors.as_deref()).chain([&self.cors]).any(named)
    }
}
