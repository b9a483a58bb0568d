//! The page of the gateway's numbers: what its instruments show, and how its upstreams and stores are doing now.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tonic::Status;

use super::response as page;
use crate::{
    dispatch::{BreakerState, Figures},
    gateway::Gateway,
    snapshot::Snapshot,
    store::{State, StoreHealth},
    surface::{Response, rest},
    telemetry::{
        Figure, Metrics, OPEN_METRICS, TEXT, counter, gauge, open_metrics, text, wants_open_metrics,
    },
};

/// In the format that who asks would rather have.
///
/// # Errors
/// NOT_FOUND where there are no numbers; INTERNAL: they cannot be compressed.
pub(super) fn response(
    gateway: &Gateway,
    snapshot: &Snapshot,
    request: &HeaderMap,
) -> Result<Response, Status> {
    let Some(telemetry) = &gateway.telemetry else {
        return Err(Status::not_found("no numbers are kept here: [metrics] enabled"));
    };
    let mut all = telemetry.gather();
    all.extend(upstreams(&snapshot.upstreams()));
    all.extend(stores(&gateway.stores()));
    all.push(gauge(
        "propylon_config_generation",
        "Which config is in force, counted from 1.",
        vec![Figure::alone(f64::from(snapshot.generation))],
    ));
    let (kind, body) = if wants_open_metrics(request.get_all(header::ACCEPT)) {
        (OPEN_METRICS, open_metrics(&all))
    } else {
        (TEXT, text(&all))
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    let body = rest::encode(body.into(), request.get(header::ACCEPT_ENCODING), &mut headers)?;
    Ok(page(StatusCode::OK, headers, body))
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
        counter(
            "propylon_store_outages_total",
            "Times that a store was found to be away.",
            outages.collect(),
        ),
        counter("propylon_store_operations_total", "What stores were asked to do.", operations.collect()),
    ]
}
