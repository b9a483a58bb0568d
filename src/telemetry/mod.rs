//! The numbers that the gateway tells of itself: instruments, in one registry, and the writers of what they show. Nothing here
//! knows what a call or a config is; who does holds handles of these.

mod cache_use;
mod calls;
mod exposition;
mod family;
mod gateway;
mod label;
mod process;
mod room;
mod tools;
mod traffic;
mod upstreams;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

pub use prometheus::proto::MetricFamily as Metrics;
use prometheus::{Gauge, Opts, Registry, proto::MetricFamily};

pub use self::{
    cache_use::{CacheFigures, CacheUse},
    calls::{Calls, Kind, Seen},
    exposition::{OPEN_METRICS, TEXT, open_metrics, text, wants_open_metrics},
    family::{Figure, counter, gauge},
    gateway::{Credentials, Open, Own},
    label::Label,
    tools::Tools,
    traffic::{RouteTraffic, Traffic},
    upstreams::{Sent, Upstream, Upstreams},
};

/// How calls are told of: three spellings of the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// OpenTelemetry's semantic conventions, in Prometheus' spelling: `http_server_request_duration_seconds`,
    /// `rpc_server_call_duration_seconds`.
    #[default]
    Semantic,
    /// `gateway_http_requests_total`, `gateway_http_request_duration_seconds`
    GatewayHttp,
    /// `gateway_requests_total`, `gateway_request_duration_seconds`, `gateway_active_connections`
    Gateway,
}

/// What is told, and how. A config without them has no numbers kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub names: Names,
    /// Upper bounds of the buckets of durations, in seconds, ascending.
    pub buckets: Vec<f64>,
    /// Routes that are told of by their names; what is called beyond those is "other".
    pub max_routes: usize,
    /// The most series that calls make; what there is no room for is told of as "other".
    pub max_series: usize,
    /// A gauge that is always 1: its name and labels.
    pub info: Option<(String, Vec<(String, String)>)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            names: Names::default(),
            // Those that OpenTelemetry's conventions advise for durations of calls.
            buckets: vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
            max_routes: 100,
            // A hundred histograms with these buckets, and what is other.
            max_series: 1900,
            info: None,
        }
    }
}

/// All instruments of one gateway.
pub struct Telemetry {
    registry: Registry,
    pub calls: Arc<Calls>,
    pub upstreams: Arc<Upstreams>,
    pub own: Arc<Own>,
    /// When it began.
    pub began: SystemTime,
    figures: OnceLock<Kept>,
}

/// Figures that others keep.
struct Kept {
    families: Box<dyn Fn() -> Vec<MetricFamily> + Send + Sync>,
    caches: Box<dyn Fn() -> Vec<CacheFigures> + Send + Sync>,
}

impl Telemetry {
    /// The instruments for these settings; `version` is the gateway's own.
    ///
    /// # Errors
    /// A name or a label of the settings is none in Prometheus, or one that is taken.
    pub fn new(settings: &Settings, version: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = Opts::new("propylon_build_info", "The gateway's own version.");
        constant(&registry, build.const_label("version", version))?;
        if let Some((name, labels)) = &settings.info {
            let labels = labels.iter().cloned().collect();
            constant(&registry, Opts::new(name, "What this deployment is.").const_labels(labels))?;
        }
        Ok(Self {
            calls: Arc::new(Calls::new(&registry, settings)?),
            upstreams: Arc::new(Upstreams::new(&registry, settings)?),
            own: Arc::new(Own::new(&registry, settings.names)?),
            registry,
            began: SystemTime::now(),
            figures: OnceLock::new(),
        })
    }

    /// Whom to ask for figures that somebody keeps anyway, each time that all is gathered; who comes second is not asked.
    pub fn ask(
        &self,
        families: impl Fn() -> Vec<MetricFamily> + Send + Sync + 'static,
        caches: impl Fn() -> Vec<CacheFigures> + Send + Sync + 'static,
    ) {
        let _ = self.figures.set(Kept { families: Box::new(families), caches: Box::new(caches) });
    }

    /// How the caches are doing.
    #[must_use]
    pub fn caches(&self) -> Vec<CacheFigures> {
        self.figures.get().map(|kept| (kept.caches)()).unwrap_or_default()
    }

    /// Everything that the instruments show now, the figures that others keep, and what the system says of the process: the one
    /// list for all who write it.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        let mut all = self.registry.gather();
        all.extend(self.figures.get().map(|kept| (kept.families)()).unwrap_or_default());
        all.extend(process::families(self.began));
        all
    }
}

/// A gauge that is always 1.
fn constant(registry: &Registry, opts: Opts) -> Result<(), prometheus::Error> {
    let gauge = Gauge::with_opts(opts)?;
    gauge.set(1.0);
    registry.register(Box::new(gauge))
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry")
    }
}
