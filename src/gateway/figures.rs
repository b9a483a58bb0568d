//! Figures that somebody keeps anyway, for who gathers numbers: how upstreams, stores and caches are doing now, and which
//! config is in force.

use std::sync::Arc;

use super::Gateway;
use crate::{
    dispatch::{BreakerState, Figures},
    store::{State, StoreHealth},
    telemetry::{CacheFigures, Figure, Metrics, counter, gauge},
};

impl Gateway {
    /// As they are now.
    pub(super) fn figures_now(&self) -> Vec<Metrics> {
        let snapshot = self.snapshot.load();
        let mut all = upstreams(&snapshot.upstreams());
        all.extend(stores(&self.stores()));
        all.extend(caches(&self.caches()));
        all.push(gauge(
            "propylon_config_generation",
            "Which config is in force, counted from 1.",
            vec![Figure::alone(f64::from(snapshot.generation))],
        ));
        all
    }
}

impl Gateway {
    /// How its caches are doing.
    pub(super) fn caches(&self) -> Vec<CacheFigures> {
        let of = |cache, counts| CacheFigures { cache, counts, entries: None, bytes: None };
        let mut all = vec![
            self.accounts.stores.cache.figures(),
            of("health", self.health_used.counts()),
            of("mcp_sessions", self.mcp.sessions_used()),
        ];
        if let Some(telemetry) = &self.telemetry {
            let [(_, hits), (_, verified), (_, refused), (_, ignored)] = telemetry.own.credentials();
            let counts = [("hit", hits), ("miss", verified + refused + ignored), ("error", 0)];
            let entries = Some(self.snapshot.load().policies.verifier.known_callers());
            all.push(CacheFigures { entries, ..of("credentials", counts) });
        }
        all
    }
}

fn caches(all: &[CacheFigures]) -> Vec<Metrics> {
    let of = |cache: &CacheFigures| vec![("cache", cache.cache.to_owned())];
    let requests = all.iter().flat_map(|cache| {
        cache.counts.map(|(result, count)| {
            let mut labels = of(cache);
            labels.push(("result", result.to_owned()));
            Figure { labels, value: count as f64 }
        })
    });
    let sizes = |size: fn(&CacheFigures) -> Option<usize>| {
        let known =
            all.iter().filter_map(|cache| Some(Figure { labels: of(cache), value: size(cache)? as f64 }));
        known.collect()
    };
    vec![
        counter("propylon_cache_requests_total", "What caches were asked for.", requests.collect()),
        gauge("propylon_cache_entries", "What is in a cache.", sizes(|cache| cache.entries)),
        gauge("propylon_cache_bytes", "How long that is.", sizes(|cache| cache.bytes)),
    ]
}

fn upstreams(all: &[(Arc<str>, Figures)]) -> Vec<Metrics> {
    if all.is_empty() {
        return Vec::new();
    }
    let each = |value: &dyn Fn(&Figures) -> Option<f64>| {
        let figures = all.iter().filter_map(|(name, figures)| {
            Some(Figure { labels: vec![("upstream", name.to_string())], value: value(figures)? })
        });
        figures.collect::<Vec<_>>()
    };
    let endpoints = all.iter().flat_map(|(name, figures)| {
        let states =
            [("healthy", figures.healthy), ("unhealthy", figures.unhealthy), ("ejected", figures.ejected)];
        states.map(|(state, count)| {
            let labels = vec![("upstream", name.to_string()), ("state", state.to_owned())];
            Figure { labels, value: count as f64 }
        })
    });
    let breaker = each(&|figures| {
        figures.breaker.map(|state| match state {
            BreakerState::Closed => 0.0,
            BreakerState::Open => 1.0,
            BreakerState::HalfOpen => 2.0,
        })
    });
    vec![
        gauge(
            "propylon_upstream_in_flight",
            "Calls that are on their way to an upstream.",
            each(&|figures| Some(figures.in_flight as f64)),
        ),
        gauge(
            "propylon_upstream_breaker_state",
            "The circuit breaker of an upstream: 0 closed, 1 open, 2 half open.",
            breaker,
        ),
        counter(
            "propylon_upstream_ejections_total",
            "Times that an endpoint was left out for its failures.",
            each(&|figures| Some(figures.ejections as f64)),
        ),
        gauge(
            "propylon_upstream_endpoints",
            "Endpoints of an upstream, by how they are.",
            endpoints.collect(),
        ),
    ]
}

fn stores(all: &[StoreHealth]) -> Vec<Metrics> {
    if all.is_empty() {
        return Vec::new();
    }
    let of = |store: &StoreHealth| vec![("store", store.store.to_owned())];
    let up = all.iter().map(|store| {
        let up = matches!(store.state, State::Up { .. });
        Figure { labels: of(store), value: f64::from(u8::from(up)) }
    });
    let latency = all
        .iter()
        .filter_map(|store| Some(Figure { labels: of(store), value: store.latency?.as_secs_f64() }));
    let outages = all.iter().map(|store| Figure { labels: of(store), value: store.outages as f64 });
    let operations = all.iter().flat_map(|store| {
        [("answered", store.answered), ("failed", store.failed)].map(|(result, count)| {
            let mut labels = of(store);
            labels.push(("result", result.to_owned()));
            Figure { labels, value: count as f64 }
        })
    });
    vec![
        gauge("propylon_store_up", "1 where a store can be reached, as far as is known.", up.collect()),
        gauge(
            "propylon_store_latency_seconds",
            "How long the last answer of a store took, where it can be reached.",
            latency.collect(),
        ),
        counter(
            "propylon_store_outages_total",
            "Times that a store was found to be away.",
            outages.collect(),
        ),
        counter("propylon_store_operations_total", "What stores were asked to do.", operations.collect()),
    ]
}
