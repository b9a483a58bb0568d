//! The config as meant: every value checked here, once, so that what holds a [`Config`] holds a valid one.
//! `settings` has the config as written.

mod built_in;
pub mod callers;
mod check;
mod nearby;
mod rest;
mod routes;
mod settings;
mod store;
mod terminal;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use built_in::{BuiltIn, BuiltIns, Own, Page};
pub use callers::Callers;
pub use check::{duration, listen_address, upstream_address};
pub use nearby::unreadable;
pub use store::Accounts;
pub use terminal::colours;

use crate::{
    auth::Rule,
    route::{Cors, Limits, Origins, Redirect, Respond, router::Settings as Paths},
    schema::{HttpRule, Template, Verb},
    surface::rest::Profile,
    transcode::{JsonInput, JsonStyle},
};

/// The address served when nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What the gateway runs on.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// Runtimes, each on a thread and a listener socket of its own.
    pub workers: usize,
    pub environment: Arc<str>,
    /// The instance's name among its replicas; one is made up where it is not given.
    pub instance: Option<Arc<str>>,
    pub drain: Drain,
    /// Read the config again when its file, or one it names, changes.
    pub watch_config: bool,
    pub connections: Connections,
    pub limits: Limits,
    /// The most bytes of one request's headers.
    pub header_bytes: u32,
    /// The longest a unary call may take.
    pub timeout: Duration,
    pub cors: Cors,
    pub callers: Callers,
    pub store: crate::store::Settings,
    pub accounts: Accounts,
    pub rest: Rest,
    pub built_ins: BuiltIns,
    pub upstreams: Vec<Upstream>,
    pub services: Vec<ServiceRoute>,
    pub paths: Vec<PathRoute>,
    pub http_rules: Vec<HttpRule>,
}

/// What happens on SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long calls are still taken after readiness has gone, so that balancers have seen it.
    pub delay: Duration,
    /// How long calls in flight may go on then; what is left is closed.
    pub timeout: Duration,
}

/// `[connections]`: what a client's connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Connections at once, over all workers.
    pub max: usize,
    /// Connections at once from one address (IPv6: from one /64).
    pub max_per_address: usize,
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
    /// What `GET /` answers as JSON, in place of the gateway's own words.
    pub index: Option<serde_json::Map<String, serde_json::Value>>,
    pub profile: Profile,
    /// The members of the health body; all of them without.
    pub health_fields: Option<Vec<String>>,
}

/// A gRPC upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub name: Arc<str>,
    pub address: Address,
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
    pub style: JsonStyle,
    /// The caller's credentials go on to it.
    pub forward_credentials: bool,
}

/// `http://HOST:PORT` or `https://HOST:PORT`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub tls: bool,
    pub host: String,
    pub port: u16,
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
    /// The upstream that answers; who serves it already where there is none.
    pub upstream: Option<Arc<str>>,
    pub rules: Rules,
}

/// `[[routes]]` with `path`: what is called by an HTTP path.
#[derive(Debug, Clone)]
pub struct PathRoute {
    /// Which of `[[routes]]` it is, counted from 0.
    pub entry: usize,
    pub name: Arc<str>,
    /// At least one; [`Verb::Any`] for all.
    pub verbs: Vec<Verb>,
    pub template: Template,
    pub action: Action,
    pub rules: Rules,
}

/// What a path's route does.
#[derive(Debug, Clone)]
pub enum Action {
    Respond(Arc<Respond>),
    Redirect(Arc<Redirect>),
}

/// Rules of a route, each in place of the general one.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub timeout: Option<Duration>,
    pub request_bytes: Option<usize>,
    pub response_bytes: Option<usize>,
    pub cors: Option<Arc<Cors>>,
    /// Who may call.
    pub access: Option<Arc<Rule>>,
}

/// What is wrong with a config; the message is for the one who wrote it.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            environment: "development".into(),
            instance: None,
            drain: Drain { delay: Duration::ZERO, timeout: Duration::from_secs(30) },
            watch_config: true,
            connections: Connections::default(),
            limits: Limits::default(),
            header_bytes: 64 << 10,
            timeout: Duration::from_secs(60),
            cors: Cors::default(),
            callers: Callers::default(),
            store: crate::store::Settings::default(),
            accounts: Accounts::default(),
            rest: Rest::default(),
            built_ins: BuiltIns::default(),
            upstreams: Vec::new(),
            services: Vec::new(),
            paths: Vec::new(),
            http_rules: Vec::new(),
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 20_000,
            max_per_address: 2_000,
            streams: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            max_age: None,
            max_age_grace: Duration::from_secs(30),
        }
    }
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            title: "Propylon".into(),
            description: "".into(),
            version: None,
            method_paths: false,
            paths: Paths::default(),
            ignore_unknown_parameters: false,
            input: JsonInput::default(),
            security_headers: true,
            index: None,
            profile: Profile::default(),
            health_fields: None,
        }
    }
}

impl Config {
    /// True where the answer to a page depends on its origin, on some route.
    #[must_use]
    pub fn answers_by_origin(&self) -> bool {
        let rules =
            self.services.iter().map(|route| &route.rules).chain(self.paths.iter().map(|route| &route.rules));
        let named = |cors: &Cors| !matches!(cors.origins, Origins::None | Origins::Any);
        rules.filter_map(|rules| rules.cors.as_deref()).chain([&self.cors]).any(named)
    }

    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| {
                format!("cannot read the config {}: {}", path.display(), unreadable(path, &error))
            })
            .map_err(ConfigError)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
            .map_err(|error| ConfigError(format!("{}: {error}", path.display())))
    }

    /// Checks a config's text; relative paths in it are taken from `folder`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let settings: settings::Settings =
            toml::from_str(text).map_err(|error| ConfigError(error.to_string().trim_end().to_owned()))?;
        check::check(settings, folder)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl Upstream {
    /// An upstream at an address, with everything else by default: its schema by reflection.
    #[must_use]
    pub fn at(name: &str, address: Address) -> Self {
        Self {
            name: name.into(),
            address,
            schema: SchemaSource::Reflection { interval: Duration::from_secs(30) },
            services: Vec::new(),
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(3),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            timeout: None,
            authority: None,
            ca: None,
            style: JsonStyle::default(),
            forward_credentials: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/propylon"))
    }

    #[test]
    fn nothing_written_is_the_default() {
        let config = parse("").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.upstreams.is_empty() && !config.rest.method_paths && config.cors == Cors::default());
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let config = parse(include_str!("../../config/propylon.example.toml")).unwrap();
        let [books] = config.upstreams.as_slice() else { panic!("one upstream") };
        let address = Address { tls: false, host: "127.0.0.1".into(), port: 9000 };
        assert_eq!(format!("{books:?}"), format!("{:?}", Upstream::at("books", address)));
        assert_eq!((config.services.len(), config.http_rules.len()), (1, 2));
        // What is left are the values that have a default.
        let rest = Config { upstreams: vec![], services: vec![], http_rules: vec![], ..config };
        assert_eq!(format!("{rest:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn everything_written_is_meant() {
        let config = parse(
            r#"
            [gateway]
            listen = "localhost:9000"
            workers = 3
            drain = "5s"
            [limits]
            request_bytes = 1000
            timeout = "1m 30s"
            [cors]
            origins = ["https://a.example", "http://b.example:3000"]
            [rest]
            trailing_slash = "ignore"
            [[upstreams]]
            name = "books"
            grpc = "https://books.internal"
            descriptors = "books.binpb"
            services = ["books.v1.Library"]
            timeout = "2s"
            json = { proto_names = true }
            [[upstreams]]
            name = "legacy"
            grpc = "http://[::1]:9001"
            reflection = false
            [[routes]]
            service = "legacy.*"
            upstream = "legacy"
            [[http_rules]]
            selector = "books.v1.Library.GetBook"
            get = "/v2/books/{id}"
            additional_bindings = [{ custom = { kind = "PROPFIND", path = "/dav/{id}" } }]
            "#,
        )
        .unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
        assert_eq!((config.workers, config.timeout), (3, Duration::from_secs(90)));
        let [books, legacy] = config.upstreams.as_slice() else { panic!("two upstreams") };
        assert_eq!(books.address, Address { tls: true, host: "books.internal".into(), port: 443 });
        assert_eq!(books.schema, SchemaSource::Descriptors("/etc/propylon/books.binpb".into()));
        assert!(books.style.proto_names);
        assert_eq!(legacy.address, Address { tls: false, host: "::1".into(), port: 9001 });
        assert_eq!(legacy.schema, SchemaSource::Unknown);
        assert_eq!(config.services.first().map(|route| route.pattern.as_str()), Some("legacy.*"));
        assert_eq!(config.http_rules.len(), 2);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, want: &str| {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}\n gave {error}\n not {want}");
        };
        let books = "[[upstreams]]\nname = \"books\"\ngrpc = \"http://h:1\"\n";
        check("[gateway]\nlisten = \"8080\"", "\"8080\" is not an address to listen on");
        check("[gatewey]", "unknown field `gatewey`, expected one of `gateway`");
        check("[gateway]\nlisten = 8080", "line 2, column 10");
        check("[limits]\ntimeout = \"soon\"", "limits.timeout: \"soon\" is not a time");
        check("[limits]\ntimeout = \"-3s\"", "limits.timeout: \"-3s\" is not a time");
        check("[cors]\norigins = [\"a.example/\"]", "\"a.example/\" is not an origin");
        check("[[upstreams]]\nname = \"a\"\ngrpc = \"ftp://h:1\"", "upstreams.a.grpc: \"ftp://h:1\"");
        check("[[upstreams]]\nname = \"a\"\ngrpc = \"http://h\"", "no port");
        check("[[upstreams]]\nname = \"a\"\ngrpc = \"http://h:1/x\"", "it has a path");
        check(&format!("{books}{books}"), "two upstreams are named \"books\"");
        check(
            &format!("{books}[[routes]]\nservice = \"x.*\"\nupstream = \"boks\""),
            "\"boks\", which is not among the upstreams (did you mean",
        );
        check(&format!("{books}services = [\"a b\"]"), "\"a b\" is not a service");
        check("[[http_rules]]\nget = \"/x\"", "has no selector");
        check("[[http_rules]]\nselector = \"a.B.C\"", "it has 0");
        check("[[http_rules]]\nselector = \"a.B.C\"\nget = \"/x\"\nput = \"/y\"", "it has 2");
    }
}
