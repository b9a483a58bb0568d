//! What the config says of health: which services are probed and how, which figures of the process are looked at, and from
//! where on they are bad. Plain values.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, uri::PathAndQuery};

use crate::{
    dispatch::Host,
    store::{DatabaseUrl, RedisUrl},
};

/// `[health]`
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long what probes found is kept; zero: it is not.
    pub cache: Duration,
    /// Where in Redis it is kept.
    pub cache_key: Arc<str>,
    /// Probes stand among the checks of `Check`, in place of its services.
    pub as_checks: bool,
    pub probes: Vec<Probe>,
    /// The checks of the process, in their order.
    pub checks: Vec<Check>,
    /// Bytes of memory that the process may use, in place of its control group's or the machine's.
    pub memory_limit: Option<u64>,
    pub degraded: Thresholds,
    pub unhealthy: Thresholds,
}

/// `[[health.probes]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub name: Arc<str>,
    pub target: Target,
    /// How long the answer may take, the connection included.
    pub timeout: Duration,
    /// Down, it makes the whole unhealthy; another one degraded.
    pub critical: bool,
    /// Never seen, it is not deployed rather than down.
    pub may_be_absent: bool,
    /// The same within one process for the same secrets, where it has any; it does not tell them.
    pub secrets: u64,
    /// The files that these were read from.
    pub files: Vec<PathBuf>,
}

/// Whom a probe asks, and what.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// It answers a GET with 2xx.
    Http(Box<Get>),
    /// It accepts a connection.
    Tcp(Host),
    /// It says by `grpc.health.v1` that this service is SERVING; empty: the whole server.
    Grpc { tls: bool, host: Host, service: String },
    /// It answers a query.
    Postgres(DatabaseUrl),
    /// It answers PING.
    Redis(Box<RedisUrl>),
    /// The gateway's own database.
    OwnDatabase,
    /// The gateway's own Redis.
    OwnRedis,
    /// An upstream of the config: what dispatch knows of it, or whether it can be connected to.
    Upstream(Arc<str>),
}

/// A GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    pub tls: bool,
    pub host: Host,
    pub path: PathAndQuery,
    pub headers: Headers,
}

/// Headers of a GET; their values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Headers {
    /// Names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// From where on a figure is bad; `None`: it never is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Thresholds {
    /// Each of a hundred.
    pub memory: Option<f64>,
    pub cpu: Option<f64>,
    pub disk: Option<f64>,
    pub descriptors: Option<f64>,
    pub lag: Option<Duration>,
}

/// A check of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It takes calls.
    Server,
    Memory,
    Cpu,
    /// The disk that its data are on.
    Disk,
    /// Open files and sockets.
    Descriptors,
    /// How late its workers come to what is due.
    Lag,
}

impl Check {
    pub const ALL: [Self; 6] =
        [Self::Server, Self::Memory, Self::Cpu, Self::Disk, Self::Descriptors, Self::Lag];

    /// Its name in the config and in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Disk => "disk",
            Self::Descriptors => "descriptors",
            Self::Lag => "lag",
        }
    }

    /// The names of its figures.
    #[must_use]
    pub fn figures(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["uptime_seconds", "version", "platform", "arch"],
            Self::Memory => &["rss_bytes", "shared_bytes", "limit_bytes", "used_percent"],
            Self::Cpu => &["used_percent", "processors", "user_seconds", "system_seconds"],
            Self::Disk => &["free_bytes", "used_bytes", "total_bytes", "used_percent"],
            Self::Descriptors => &["open", "limit", "used_percent"],
            Self::Lag => &["lag_ms", "workers"],
        }
    }
}

impl Target {
    /// What it is, without a secret: the same on all replicas.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Http(get) => {
                format!("http {}{}{}", if get.tls { "s " } else { "" }, get.host, get.path)
            }
            Self::Tcp(host) => format!("tcp {host}"),
            Self::Grpc { tls, host, service } => {
                format!("grpc {}{host} {service}", if *tls { "s " } else { "" })
            }
            Self::Postgres(url) => format!("postgres {url}"),
            Self::Redis(url) => format!("redis {url}"),
            Self::OwnDatabase => "own database".to_owned(),
            Self::OwnRedis => "own redis".to_owned(),
            Self::Upstream(name) => format!("upstream {name}"),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let percent = |memory, cpu, disk, descriptors, lag| Thresholds {
            memory: Some(memory),
            cpu,
            disk: Some(disk),
            descriptors: Some(descriptors),
            lag: Some(lag),
        };
        Self {
            cache: Duration::from_secs(5),
            cache_key: "healthcheck:cache".into(),
            as_checks: false,
            probes: Vec::new(),
            checks: Check::ALL.to_vec(),
            memory_limit: None,
            degraded: percent(85.0, Some(90.0), 90.0, 80.0, Duration::from_millis(250)),
            // A gateway that is busy is no reason to send its calls elsewhere.
            unhealthy: percent(97.0, None, 98.0, 97.0, Duration::from_secs(5)),
        }
    }
}
