//! The instruments of calls. A call finds its own by its route and a short list there: no label is looked up on the way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::{
    Label, Names, Settings,
    traffic::{Durations, RouteTraffic, Seconds, Traffic},
};

/// The route of what is called beyond those that have labels of their own.
const OTHER: &str = "other";
/// The route of what finds none.
const UNMATCHED: &str = "unmatched";

/// What kind of call it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An HTTP request that is none of gRPC's protocols.
    Http,
    /// A call of gRPC or gRPC-Web.
    Rpc,
}

/// What is told of a call that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub kind: Kind,
    /// The way it came: `grpc`, `grpc_web`, `rest`, `http`.
    pub surface: &'static str,
    /// An HTTP method that everybody knows, or `OTHER`.
    pub method: &'static str,
    /// `http` or `https`
    pub scheme: &'static str,
    /// The HTTP status; 499 where the client went away before there was one.
    pub status: u16,
    /// The name of its gRPC status, of calls over gRPC's protocols and of tools.
    pub code: Option<&'static str>,
    /// It failed here or behind, and not by its client's fault.
    pub failed: bool,
    pub cancelled: bool,
}

/// The instruments.
pub struct Calls {
    names: Names,
    max_routes: usize,
    /// Of all that `rpc` is not about.
    durations: HistogramVec,
    rpc: Option<HistogramVec>,
    total: Option<IntCounterVec>,
    active: IntGaugeVec,
    routes: Mutex<HashMap<Arc<str>, Arc<Series>>>,
    unmatched: Arc<Series>,
    other: Arc<Series>,
    lately: Seconds,
}

/// The series of one route, found by what else is told of a call.
pub(super) struct Series {
    route: Arc<str>,
    /// Few: what most calls of a route have in common.
    known: ArcSwap<Vec<(Seen, Cell)>>,
}

#[derive(Clone)]
struct Cell {
    duration: Histogram,
    total: Option<IntCounter>,
    durations: Arc<Durations>,
}

impl Calls {
    pub(super) fn new(registry: &Registry, settings: &Settings) -> Result<Self, prometheus::Error> {
        let durations = |name: &str, help: &str, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(settings.buckets.clone());
            let all = HistogramVec::new(opts, labels)?;
            registry.register(Box::new(all.clone()))?;
            Ok::<_, prometheus::Error>(all)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let all = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(all.clone()))?;
            Ok::<_, prometheus::Error>(Some(all))
        };
        let took = "From a request's head to the last byte of its response, in seconds.";
        let (durations, rpc, total) = match settings.names {
            Names::Semantic => {
                let http = durations(
                    "http_server_request_duration_seconds",
                    took,
                    &[
                        "http_request_method",
                        "http_route",
                        "http_response_status_code",
                        "url_scheme",
                        "error_type",
                        "propylon_surface",
                    ],
                )?;
                let rpc = durations(
                    "rpc_server_call_duration_seconds",
                    "From a call's head to its status, in seconds.",
                    &[
                        "rpc_system_name",
                        "rpc_method",
                        "rpc_response_status_code",
                        "error_type",
                        "propylon_surface",
                    ],
                )?;
                (http, Some(rpc), None)
            }
            Names::GatewayHttp => {
                let http = durations("gateway_http_request_duration_seconds", took, &["method", "route"])?;
                let labels = ["method", "route", "status"];
                (http, None, counter("gateway_http_requests_total", "Requests that have ended.", &labels)?)
            }
            Names::Gateway => {
                let labels = ["method", "route", "surface"];
                let http = durations("gateway_request_duration_seconds", took, &labels)?;
                let labels = ["method", "route", "status", "surface"];
                (http, None, counter("gateway_requests_total", "Requests that have ended.", &labels)?)
            }
        };
        let opts = match settings.names {
            Names::Semantic => {
                Opts::new("http_server_active_requests", "Requests without the end of their response.")
            }
            Names::GatewayHttp => {
                Opts::new("gateway_http_active_requests", "Requests without the end of their response.")
            }
            Names::Gateway => {
                Opts::new("gateway_active_requests", "Requests without the end of their response.")
            }
        };
        let active = IntGaugeVec::new(
            opts,
            &[if settings.names == Names::Semantic { "url_scheme" } else { "scheme" }],
        )?;
        registry.register(Box::new(active.clone()))?;
        let series = |route: &str| Arc::new(Series { route: route.into(), known: ArcSwap::default() });
        Ok(Self {
            names: settings.names,
            max_routes: settings.max_routes,
            durations,
            rpc,
            total,
            active,
            routes: Mutex::default(),
            unmatched: series(UNMATCHED),
            other: series(OTHER),
            lately: Seconds::new(Instant::now()),
        })
    }

    /// Requests that are on their way by `http` or `https`.
    #[must_use]
    pub fn active(&self, scheme: &'static str) -> IntGauge {
        self.active.with_label_values(&[scheme])
    }

    /// A call has ended that found this route, by its name and the place for its label; `None`: it found none.
    pub fn ended(&self, route: Option<(&Arc<str>, &Label)>, seen: Seen, took: Duration, now: Instant) {
        self.lately.count(now);
        let series = match route {
            Some((name, label)) => label.series(|| self.named(name)),
            None => &self.unmatched,
        };
        let known = series.known.load();
        if let Some((_, cell)) = known.iter().find(|(known, _)| *known == seen) {
            cell.count(took);
            return;
        }
        drop(known);
        let cell = self.cell(&series.route, seen);
        series.known.rcu(|known| {
            let mut more = Vec::clone(known);
            if !more.iter().any(|(known, _)| *known == seen) {
                more.push((seen, cell.clone()));
            }
            more
        });
        // By the one that is kept: who comes at the same time may have been first.
        if let Some((_, cell)) = series.known.load().iter().find(|(known, _)| *known == seen) {
            cell.count(took);
        }
    }

    /// Calls a second, over the last minute.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.lately.rate(Instant::now())
    }

    /// Requests that are on their way.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        ["http", "https"].map(|scheme| self.active(scheme).get()).iter().sum()
    }

    /// What all calls were like, and those of each route by each surface, the busiest first.
    #[must_use]
    pub fn traffic(&self) -> (Traffic, Vec<RouteTraffic>) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let named: Vec<_> = routes.values().cloned().collect();
        drop(routes);
        let (mut all, mut each) = (Traffic::default(), Vec::<RouteTraffic>::new());
        for series in named.iter().chain([&self.unmatched, &self.other]) {
            let first = each.len();
            for (seen, cell) in series.known.load().iter() {
                let refused =
                    !seen.failed && (seen.status >= 400 || seen.code.is_some_and(|code| code != "OK"));
                all.add(&cell.durations, seen.failed, refused);
                let own = each.get_mut(first..).unwrap_or_default();
                let own = match own.iter_mut().position(|own| own.surface == seen.surface) {
                    Some(at) => own.get_mut(at),
                    None => {
                        let (route, surface) = (Arc::clone(&series.route), seen.surface);
                        each.push(RouteTraffic { route, surface, traffic: Traffic::default() });
                        each.last_mut()
                    }
                };
                if let Some(own) = own {
                    own.traffic.add(&cell.durations, seen.failed, refused);
                }
            }
        }
        each.sort_by(|one, other| {
            other.traffic.requests.cmp(&one.traffic.requests).then_with(|| one.route.cmp(&other.route))
        });
        (all, each)
    }

    /// The series of a route by its name, which are those of all others once there are too many.
    fn named(&self, name: &Arc<str>) -> Arc<Series> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = routes.get(name) {
            return Arc::clone(series);
        }
        if routes.len() >= self.max_routes {
            return Arc::clone(&self.other);
        }
        let series = Arc::new(Series { route: Arc::clone(name), known: ArcSwap::default() });
        routes.insert(Arc::clone(name), Arc::clone(&series));
        series
    }

    fn cell(&self, route: &str, seen: Seen) -> Cell {
        let mut digits = itoa::Buffer::new();
        let status = digits.format(seen.status);
        let error = match seen {
            Seen { cancelled: true, .. } => "cancelled",
            Seen { failed: true, code: Some(code), .. } => code,
            Seen { failed: true, .. } => status,
            _ => "",
        };
        let Seen { method, surface, scheme, .. } = seen;
        let duration = match (self.names, &self.rpc) {
            (_, Some(rpc)) if seen.kind == Kind::Rpc => {
                let method = route.strip_prefix('/').unwrap_or(route);
                let code = seen.code.unwrap_or("UNKNOWN");
                rpc.with_label_values(&["grpc", method, code, error, surface])
            }
            (Names::Semantic, _) => {
                self.durations.with_label_values(&[method, route, status, scheme, error, surface])
            }
            (Names::GatewayHttp, _) => self.durations.with_label_values(&[method, route]),
            (Names::Gateway, _) => self.durations.with_label_values(&[method, route, surface]),
        };
        let total = self.total.as_ref().map(|total| match self.names {
            Names::Gateway => total.with_label_values(&[method, route, status, surface]),
            Names::Semantic | Names::GatewayHttp => total.with_label_values(&[method, route, status]),
        });
        Cell { duration, total, durations: Arc::default() }
    }
}

impl Cell {
    fn count(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        self.durations.count(took);
        if let Some(total) = &self.total {
            total.inc();
        }
    }
}
