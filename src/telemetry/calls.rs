//! The instruments of calls. A call finds its own by its route and a short list there: no label is looked up on the way.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::{
    Label, Names, Settings, Tools,
    room::{Family, Room, Set, Share},
    traffic::{Durations, RouteTraffic, Seconds, Traffic},
};

/// The route of what is called beyond those that have labels of their own.
const OTHER: &str = "other";
/// The method of what has no room for its own.
const OTHER_METHOD: &str = "OTHER";
/// Kinds of calls that a route tells apart; what comes then it tells of by less.
const MOST_KINDS: usize = 64;
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
    /// Series of a histogram with its labels.
    buckets: usize,
    room: Arc<Room>,
    /// Calls of tools.
    pub tools: Tools,
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
    /// The route is no longer there, and its place may be another's.
    gone: AtomicBool,
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
        let took = "From a request's head to the last byte of its response, or to its beginning where it is a stream, in seconds.";
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
        // Besides those of the config there is the last one, the sum and the count.
        let (room, buckets) = (Arc::new(Room::new(settings.max_series)), settings.buckets.len() + 3);
        Ok(Self {
            buckets,
            tools: Tools::new(registry, settings, &room)?,
            room,
            names: settings.names,
            max_routes: settings.max_routes,
            durations,
            rpc,
            total,
            active,
            routes: Mutex::default(),
            unmatched: Series::of(UNMATCHED.into()),
            other: Series::of(OTHER.into()),
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
        match route {
            Some((name, label)) => label.with(|| self.named(name), |series| self.count(series, seen, took)),
            None => self.count(&self.unmatched, seen, took),
        }
    }

    fn count(&self, series: &Series, mut seen: Seen, took: Duration) {
        let known = series.known.load();
        if let Some((_, cell)) = known.iter().find(|(known, _)| *known == seen) {
            cell.count(took);
            return;
        }
        if known.len() >= MOST_KINDS {
            seen = seen.roughly();
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

    /// Forgets all routes but these: others may have their places.
    pub fn keep(&self, routes: &HashSet<Arc<str>>) {
        let mut named = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        named.retain(|name, series| {
            let stays = routes.contains(name);
            if !stays {
                series.gone.store(true, Relaxed);
                for (family, labels) in self.room.give_back(name) {
                    self.forget(family, &labels);
                }
            }
            stays
        });
    }

    fn forget(&self, family: Family, labels: &[String]) {
        // What is not there any more need not be removed.
        let _ = match (family, &self.rpc, &self.total) {
            (Family::Durations, ..) => self.durations.remove_label_values(labels),
            (Family::Rpc, Some(rpc), _) => rpc.remove_label_values(labels),
            (Family::Total, _, Some(total)) => total.remove_label_values(labels),
            _ => Ok(()),
        };
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
        let series = Series::of(Arc::clone(name));
        routes.insert(Arc::clone(name), Arc::clone(&series));
        series
    }

    /// What these calls of a route are counted by: series of its own while there is room, else those of all others.
    fn cell(&self, route: &str, seen: Seen) -> Cell {
        let last = (OTHER, seen.not_at_all());
        let ways = [(route, seen, Share::Own), (OTHER, seen, Share::All), (last.0, last.1, Share::Last)];
        let has_room = ways.into_iter().find(|(name, seen, share)| {
            let (duration, total) = self.sets(name, *seen);
            let sets: Vec<_> =
                [(duration, self.buckets)].into_iter().chain(total.map(|set| (set, 1))).collect();
            self.room.take(name, &sets, *share)
        });
        let (name, seen) = has_room.map_or(last, |(name, seen, _)| (name, seen));
        let ((family, labels), total) = self.sets(name, seen);
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let durations = self.rpc.as_ref().filter(|_| family == Family::Rpc).unwrap_or(&self.durations);
        let total = self.total.as_ref().zip(total).map(|(all, (_, labels))| {
            all.with_label_values(&labels.iter().map(String::as_str).collect::<Vec<_>>())
        });
        Cell { duration: durations.with_label_values(&labels), total, durations: Arc::default() }
    }

    /// The labels of these calls: in the histogram, and in the counter if there is one.
    fn sets(&self, route: &str, seen: Seen) -> (Set, Option<Set>) {
        let status = if seen.status == 0 { String::new() } else { seen.status.to_string() };
        let error = match seen {
            Seen { cancelled: true, .. } => "cancelled",
            Seen { failed: true, code: Some(code), .. } => code,
            Seen { failed: true, .. } => &status,
            _ => "",
        };
        let Seen { method, surface, scheme, .. } = seen;
        let set =
            |family, labels: &[&str]| (family, labels.iter().map(|label| (*label).to_owned()).collect());
        match self.names {
            Names::Semantic if seen.kind == Kind::Rpc => {
                let method = route.strip_prefix('/').unwrap_or(route);
                let code = seen.code.unwrap_or("UNKNOWN");
                (set(Family::Rpc, &["grpc", method, code, error, surface]), None)
            }
            Names::Semantic => {
                (set(Family::Durations, &[method, route, &status, scheme, error, surface]), None)
            }
            Names::GatewayHttp => (
                set(Family::Durations, &[method, route]),
                Some(set(Family::Total, &[method, route, &status])),
            ),
            Names::Gateway => (
                set(Family::Durations, &[method, route, surface]),
                Some(set(Family::Total, &[method, route, &status, surface])),
            ),
        }
    }
}

impl Seen {
    /// The same of whatever method, and by the class of its status.
    fn roughly(self) -> Self {
        let code = self.code.map(|code| if code == "OK" { "OK" } else { "OTHER" });
        Self { method: OTHER_METHOD, status: self.status / 100 * 100, code, ..self }
    }

    /// Nothing that would tell one from another.
    fn not_at_all(self) -> Self {
        Self {
            kind: self.kind,
            surface: "",
            method: OTHER_METHOD,
            scheme: "",
            status: 0,
            code: Some(""),
            failed: false,
            cancelled: false,
        }
    }
}

impl Series {
    fn of(route: Arc<str>) -> Arc<Self> {
        Arc::new(Self { route, known: ArcSwap::default(), gone: AtomicBool::new(false) })
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
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
