//! What this replica has done, for `AdminService.GetAdminStats`.

use std::{fmt, sync::Arc};

use crate::{
    dispatch::{BreakerState, Figures},
    proto::gateway_v1::{CacheUse, Requests, RouteRequests, Traffic, UpstreamStatus},
    telemetry::{self, Telemetry},
};

/// Routes that are told of.
const MOST_ROUTES: usize = 100;

/// How the upstreams are doing now, by name.
pub type Upstreams = Arc<dyn Fn() -> Vec<(Arc<str>, Figures)> + Send + Sync>;

/// Where the numbers are; by default nowhere.
#[derive(Clone, Default)]
pub struct Numbers {
    pub telemetry: Option<Arc<Telemetry>>,
    pub upstreams: Option<Upstreams>,
}

impl Numbers {
    /// What was done since the start; `None` where no numbers are kept.
    pub(super) fn traffic(&self) -> Option<Traffic> {
        let telemetry = self.telemetry.as_ref()?;
        let (all, routes) = telemetry.calls.traffic();
        let upstreams = self.upstreams.iter().flat_map(|upstreams| upstreams());
        let routes = routes.into_iter().take(MOST_ROUTES).map(|one| RouteRequests {
            route: one.route.to_string(),
            surface: one.surface.to_owned(),
            requests: Some(requests(&one.traffic)),
        });
        let credentials = telemetry.own.credentials();
        let caches = telemetry.caches().into_iter().map(|cache| {
            let [hits, misses, errors] = cache.counts.map(|(_, count)| count as f64);
            let entries = cache.entries.unwrap_or_default() as f64;
            (cache.cache.to_owned(), CacheUse { hits, misses, errors, entries })
        });
        Some(Traffic {
            since: Some(telemetry.began.into()),
            requests: Some(requests(&all)),
            requests_per_second: rounded(telemetry.calls.per_second()),
            in_flight: few(telemetry.calls.in_flight()),
            connections: few(telemetry.own.connections()),
            routes: routes.collect(),
            upstreams: upstreams.map(upstream).collect(),
            credentials: credentials.map(|(word, count)| (word.to_owned(), count as f64)).into(),
            caches: caches.collect(),
        })
    }
}

fn requests(traffic: &telemetry::Traffic) -> Requests {
    Requests {
        total: traffic.requests as f64,
        errors: traffic.errors as f64,
        client_errors: traffic.client_errors as f64,
        p50_ms: rounded(traffic.quantile_ms(0.5)),
        p95_ms: rounded(traffic.quantile_ms(0.95)),
        p99_ms: rounded(traffic.quantile_ms(0.99)),
    }
}

fn upstream((name, figures): (Arc<str>, Figures)) -> UpstreamStatus {
    let breaker = match figures.breaker {
        None => "",
        Some(BreakerState::Closed) => "closed",
        Some(BreakerState::Open) => "open",
        Some(BreakerState::HalfOpen) => "half_open",
    };
    let few = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    UpstreamStatus {
        name: name.to_string(),
        breaker: breaker.to_owned(),
        in_flight: few(figures.in_flight),
        healthy_endpoints: few(figures.healthy),
        unhealthy_endpoints: few(figures.unhealthy),
        ejected_endpoints: few(figures.ejected),
    }
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn few(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}
