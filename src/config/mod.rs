//! The config as meant: every value checked here, once, so that what holds a [`Config`] holds a valid one.
//! `settings` has the config as written.

mod settings;

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;

use crate::{
    route::{
        Limits,
        router::{Settings as Paths, TrailingSlash},
    },
    schema::{HttpRule, Verb, did_you_mean},
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
    /// How long calls in flight may go on after SIGTERM.
    pub drain: Duration,
    pub limits: Limits,
    /// The most bytes of one request's headers.
    pub header_bytes: u32,
    /// The longest a unary call may take.
    pub timeout: Duration,
    pub cors: Cors,
    pub rest: Rest,
    pub upstreams: Vec<Upstream>,
    pub services: Vec<ServiceRoute>,
    pub http_rules: Vec<HttpRule>,
}

/// Which origins a browser may call from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    None,
    /// `*`: any origin, without credentials.
    Any,
    /// Pages served from this machine, on any port.
    Loopback,
    Origins(Vec<String>),
}

/// `[rest]`
#[derive(Debug, Clone)]
pub struct Rest {
    /// Serve methods without annotation at `POST /package.Service/Method`.
    pub unannotated: bool,
    pub paths: Paths,
    pub ignore_unknown_parameters: bool,
    pub input: JsonInput,
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
    /// Overrides the general limit for unary calls.
    pub timeout: Option<Duration>,
    /// `:authority` and TLS server name, where they differ from the address.
    pub authority: Option<String>,
    /// PEM file of the certificate authorities to trust, in place of the machine's own.
    pub ca: Option<PathBuf>,
    pub style: JsonStyle,
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

/// `[[routes]]`: services by name or prefix (`legacy.*`), and the upstream that answers them.
#[derive(Debug, Clone)]
pub struct ServiceRoute {
    pub pattern: String,
    pub upstream: Arc<str>,
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
            drain: Duration::from_secs(30),
            limits: Limits::default(),
            header_bytes: 64 << 10,
            timeout: Duration::from_secs(60),
            cors: Cors::None,
            rest: Rest {
                unannotated: false,
                paths: Paths::default(),
                ignore_unknown_parameters: false,
                input: JsonInput::default(),
            },
            upstreams: Vec::new(),
            services: Vec::new(),
            http_rules: Vec::new(),
        }
    }
}

impl Config {
    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("cannot read the config {}: {error}", path.display())))?;
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
        Self::check(settings, folder)
    }

    fn check(settings: settings::Settings, folder: &Path) -> Result<Self, ConfigError> {
        let default = Self::default();
        let settings::Settings { gateway, limits, cors, rest, upstreams, routes, http_rules } = settings;
        let listen = match gateway.listen {
            Some(text) => listen_address(&text)?,
            None => default.listen,
        };
        let upstreams = upstreams.into_iter().map(|u| upstream(u, folder)).collect::<Result<Vec<_>, _>>()?;
        let mut names = HashSet::new();
        for upstream in &upstreams {
            if !names.insert(&*upstream.name) {
                return Err(ConfigError(format!("upstreams: two upstreams are named {:?}", upstream.name)));
            }
        }
        let services = routes
            .into_iter()
            .map(|route| match upstreams.iter().find(|upstream| *upstream.name == *route.upstream) {
                Some(upstream) => Ok(ServiceRoute {
                    pattern: pattern(route.service)?,
                    upstream: Arc::clone(&upstream.name),
                }),
                None => Err(ConfigError(format!(
                    "routes: service {:?} goes to upstream {:?}, which is not among the upstreams{}",
                    route.service,
                    route.upstream,
                    did_you_mean(&route.upstream, names.iter().copied()),
                ))),
            })
            .collect::<Result<_, _>>()?;
        let http_rules = http_rules.into_iter().map(rules).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            listen,
            workers: match gateway.workers {
                None | Some(0) => default.workers,
                Some(workers) => workers.min(1024),
            },
            environment: gateway.environment.map_or(default.environment, Into::into),
            drain: duration("gateway.drain", gateway.drain, default.drain)?,
            limits: Limits {
                request_bytes: limits.request_bytes.unwrap_or(default.limits.request_bytes),
                response_bytes: limits.response_bytes.unwrap_or(default.limits.response_bytes),
            },
            header_bytes: limits.header_bytes.unwrap_or(default.header_bytes),
            timeout: duration("limits.timeout", limits.timeout, default.timeout)?,
            cors: origins(cors.origins)?,
            rest: Rest {
                unannotated: rest.unannotated.unwrap_or(default.rest.unannotated),
                paths: Paths {
                    trailing_slash: match rest.trailing_slash {
                        None | Some(settings::TrailingSlash::Strict) => TrailingSlash::Strict,
                        Some(settings::TrailingSlash::Ignore) => TrailingSlash::Ignore,
                        Some(settings::TrailingSlash::Redirect) => TrailingSlash::Redirect,
                    },
                    fully_decode_reserved_expansion: rest.fully_decode_reserved_expansion.unwrap_or_default(),
                },
                ignore_unknown_parameters: rest.ignore_unknown_parameters.unwrap_or_default(),
                input: JsonInput { ignore_unknown: rest.ignore_unknown_fields.unwrap_or_default() },
            },
            upstreams,
            services,
            http_rules: http_rules.concat(),
        })
    }
}

/// Parses a listen address: `HOST:PORT` with an IP address, or `localhost:PORT`.
///
/// # Errors
/// The text is not such an address.
pub fn listen_address(text: &str) -> Result<SocketAddr, ConfigError> {
    text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| {
        ConfigError(format!(
            "listen: {text:?} is not an address to listen on; it is IP:PORT, such as 127.0.0.1:8080"
        ))
    })
}

/// Parses an upstream's address: `HOST:PORT`, `http://HOST:PORT` (plain HTTP/2) or `https://HOST:PORT`.
///
/// # Errors
/// The text is not such an address.
pub fn upstream_address(text: &str) -> Result<Address, ConfigError> {
    let wrong = |why: &str| {
        ConfigError(format!(
            "{text:?} is not a gRPC upstream's address ({why}); it is http://HOST:PORT or https://HOST:PORT"
        ))
    };
    let uri: http::Uri = match text.contains("://") {
        true => text.parse(),
        false => format!("http://{text}").parse(),
    }
    .map_err(|error| wrong(&format!("{error}")))?;
    let tls = match uri.scheme_str() {
        Some("http" | "grpc" | "h2c") => false,
        Some("https" | "grpcs") => true,
        other => return Err(wrong(&format!("scheme {}", other.unwrap_or("missing")))),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path"));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
    let port = uri.port_u16().or(tls.then_some(443)).ok_or_else(|| wrong("no port"))?;
    Ok(Address { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
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
            timeout: None,
            authority: None,
            ca: None,
            style: JsonStyle::default(),
        }
    }
}

fn upstream(written: settings::Upstream, folder: &Path) -> Result<Upstream, ConfigError> {
    let key = |name: &str| format!("upstreams.{}.{name}", written.name);
    if written.name.is_empty() || written.name == "built-in" || written.name.contains(char::is_whitespace) {
        return Err(ConfigError(format!("upstreams: {:?} is no name for an upstream", written.name)));
    }
    let address =
        upstream_address(&written.grpc).map_err(|error| ConfigError(format!("{}: {error}", key("grpc"))))?;
    let default = Upstream::at(&written.name, address);
    let interval =
        duration(&key("reflection_interval"), written.reflection_interval, Duration::from_secs(30))?;
    let schema = match (written.descriptors, written.reflection) {
        (Some(_), Some(true)) => {
            return Err(ConfigError(format!(
                "{}: the schema comes from descriptors or from reflection, not from both",
                key("reflection")
            )));
        }
        (Some(file), _) => SchemaSource::Descriptors(folder.join(file)),
        (None, Some(false)) => SchemaSource::Unknown,
        (None, _) => SchemaSource::Reflection { interval },
    };
    Ok(Upstream {
        schema,
        services: written.services.unwrap_or_default().into_iter().map(pattern).collect::<Result<_, _>>()?,
        connect_timeout: duration(&key("connect_timeout"), written.connect_timeout, default.connect_timeout)?,
        handshake_timeout: duration(
            &key("handshake_timeout"),
            written.handshake_timeout,
            default.handshake_timeout,
        )?,
        timeout: written
            .timeout
            .map(|text| duration(&key("timeout"), Some(text), Duration::ZERO))
            .transpose()?,
        authority: written.authority,
        ca: written.ca.map(|file| folder.join(file)),
        style: JsonStyle {
            proto_names: written.json.proto_names,
            defaults: written.json.defaults,
            enum_numbers: written.json.enum_numbers,
            pretty: written.json.pretty,
        },
        ..default
    })
}

/// A service's full name, or a prefix that ends in `*`.
fn pattern(text: String) -> Result<String, ConfigError> {
    let name = text.strip_suffix(".*").or_else(|| text.strip_suffix('*')).unwrap_or(&text);
    let fits = name.split('.').all(|part| {
        part.chars()
            .enumerate()
            .all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()))
    });
    if fits && !text.is_empty() {
        return Ok(text);
    }
    Err(ConfigError(format!(
        "{text:?} is not a service: it is package.Service, or a prefix such as package.*"
    )))
}

fn rules(written: settings::HttpRule) -> Result<Vec<HttpRule>, ConfigError> {
    let selector = written.selector.clone();
    if selector.is_empty() {
        return Err(ConfigError("http_rules: a rule has no selector (package.Service.Method)".into()));
    }
    let mut rules = Vec::with_capacity(1 + written.additional_bindings.len());
    let mut queue = vec![written];
    while let Some(rule) = queue.pop() {
        if !rules.is_empty() && !(rule.selector.is_empty() && rule.additional_bindings.is_empty()) {
            return Err(ConfigError(format!(
                "http_rules: an additional binding of {selector:?} has a selector or bindings of its own"
            )));
        }
        let verbs = [
            (Verb::Get, rule.get),
            (Verb::Put, rule.put),
            (Verb::Post, rule.post),
            (Verb::Delete, rule.delete),
            (Verb::Patch, rule.patch),
        ];
        let mut verbs: Vec<_> = verbs.into_iter().filter_map(|(verb, path)| Some((verb, path?))).collect();
        verbs.extend(rule.custom.map(|custom| (Verb::parse(&custom.kind), custom.path)));
        let [(verb, template)] = verbs.as_slice() else {
            return Err(ConfigError(format!(
                "http_rules: {selector:?} wants exactly one of get, put, post, delete, patch, custom; it has {}",
                verbs.len()
            )));
        };
        rules.push(
            HttpRule::new(&selector, verb.clone(), template)
                .with_body(rule.body)
                .with_response_body(rule.response_body),
        );
        queue.extend(rule.additional_bindings.into_iter().rev());
    }
    Ok(rules)
}

fn origins(written: Vec<String>) -> Result<Cors, ConfigError> {
    match written.as_slice() {
        [] => return Ok(Cors::None),
        [one] if one == "*" => return Ok(Cors::Any),
        [one] if one == "loopback" => return Ok(Cors::Loopback),
        _ => {}
    }
    for origin in &written {
        let fits = origin.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme().is_some() && uri.host().is_some() && !origin.ends_with('/') && uri.query().is_none()
        });
        if !fits {
            return Err(ConfigError(format!(
                "cors.origins: {origin:?} is not an origin; it is scheme://host[:port] without a path, or \"*\" alone"
            )));
        }
    }
    Ok(Cors::Origins(written))
}

fn duration(key: &str, written: Option<String>, default: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = written else { return Ok(default) };
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| {
            ConfigError(format!(
                "{key}: {text:?} is not a time; it is a number with a unit, such as 500ms, 3s, 2m"
            ))
        })
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
        assert!(config.upstreams.is_empty() && !config.rest.unannotated && config.cors == Cors::None);
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
