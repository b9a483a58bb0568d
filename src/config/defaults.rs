//! What holds where nothing is written. `config/propylon.example.toml` shows the same, and a test holds it to that.

use std::time::Duration;

use super::{
    Accounts, Addresses, BuiltIns, Callers, Config, Connections, DEFAULT_LISTEN, Drain, Log, LogFormat,
    LogLevel, Mcp, Push, Rest, SchemaSource, Traces, Upstream,
};
use crate::{
    dispatch::Resilience,
    route::{Cors, Limits, router::Settings as Paths},
    surface::rest::Profile,
    transcode::{JsonInput, JsonStyle},
};

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            admin: None,
            tls: None,
            proxy_protocol: Vec::new(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            environment: "development".into(),
            instance: None,
            hosts: Vec::new(),
            drain: Drain { delay: Duration::ZERO, timeout: Duration::from_secs(30) },
            watch_config: true,
            log: Log::default(),
            metrics: Some(crate::telemetry::Settings::default()),
            push: Push::default(),
            traces: Traces::default(),
            connections: Connections::default(),
            limits: Limits::default(),
            header_bytes: 64 << 10,
            headers: 100,
            timeout: Duration::from_secs(60),
            callers: Callers::default(),
            store: crate::store::Settings::default(),
            accounts: Accounts::default(),
            health: crate::health::Settings::default(),
            cors: Cors::default(),
            rest: Rest::default(),
            mcp: Mcp::default(),
            built_ins: BuiltIns::default(),
            upstreams: Vec::new(),
            services: Vec::new(),
            paths: Vec::new(),
            http_upstreams: Vec::new(),
            http_rules: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            format: LogFormat::default(),
            requests: true,
            slow: Duration::from_secs(1),
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 20_000,
            max_per_address: 2_000,
            flood_wait: Duration::from_secs(1),
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
            headers: Vec::new(),
            index: None,
            profile: Profile::default(),
            health: None,
        }
    }
}

impl Upstream {
    /// An upstream at an address, with everything else by default: its schema by reflection.
    #[must_use]
    pub fn at(name: &str, addresses: impl Into<Addresses>) -> Self {
        Self {
            name: name.into(),
            addresses: addresses.into(),
            schema: SchemaSource::Reflection { interval: Duration::from_secs(30) },
            services: Vec::new(),
            connect_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(3),
            keepalive_interval: Duration::from_secs(300),
            keepalive_timeout: Duration::from_secs(20),
            timeout: None,
            authority: None,
            ca: None,
            server_name: None,
            client: None,
            metadata: Vec::new(),
            style: JsonStyle::default(),
            forward_credentials: false,
            resilience: Resilience::default(),
        }
    }
}
