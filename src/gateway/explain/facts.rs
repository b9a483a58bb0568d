//! What is known of a call's parts, as an explanation says it.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, Uri, header};

use crate::{
    config::Config,
    policy::Described,
    proto::gateway_v1::{ExplainedDestination, ExplainedMethod, ExplainedPolicy, ExplainedRoute},
    route::{
        Cors, Destination, Origins, Route,
        catalog::{self, PathEntry},
    },
    schema::Method,
    snapshot::Snapshot,
};

pub(super) fn method(path: &str, known: Option<&Method>) -> ExplainedMethod {
    let message = |name: &str| name.to_owned();
    ExplainedMethod {
        path: path.to_owned(),
        schema_known: known.is_some(),
        client_streaming: known.is_some_and(|method| method.client_streaming),
        server_streaming: known.is_some_and(|method| method.server_streaming),
        request: known.map(|method| message(method.descriptor.input().full_name())).unwrap_or_default(),
        response: known.map(|method| message(method.descriptor.output().full_name())).unwrap_or_default(),
    }
}

pub(super) fn policy(described: &Described) -> ExplainedPolicy {
    let (effect, refuses) = match &described.effect {
        Ok(effect) => (effect.clone(), false),
        Err(status) => (format!("refuses: {}", status.message()), true),
    };
    ExplainedPolicy { name: described.name.to_owned(), effect, refuses }
}

pub(super) fn rules(route: &Route, config: &Config) -> ExplainedRoute {
    ExplainedRoute {
        name: route.name.to_string(),
        timeout: route.timeout.map_or(0.0, |timeout| timeout.as_secs_f64()),
        request_bytes: length(route.limits.request_bytes),
        // What an HTTP upstream answers passes as it is.
        response_bytes: match route.destination {
            Destination::Proxy(_) => 0.0,
            _ => length(route.limits.response_bytes),
        },
        cors_origins: origins(route.cors.as_deref().unwrap_or(&config.cors)),
        conditions: route.when.as_ref().map(|when| when.words()).unwrap_or_default(),
    }
}

/// A limit, or 0 where there is none.
fn length(most: usize) -> f64 {
    if most == usize::MAX { 0.0 } else { most as f64 }
}

fn origins(cors: &Cors) -> String {
    match &cors.origins {
        Origins::None => "none".to_owned(),
        Origins::Any => "*".to_owned(),
        Origins::Loopback => "loopback".to_owned(),
        Origins::Listed(origins) => origins.join(", "),
    }
}

/// `sent`: what is asked for, of a request that is sent on as HTTP.
pub(super) fn destination(route: &Route, snapshot: &Snapshot, sent: Option<&Uri>) -> ExplainedDestination {
    let leads = |entry: &&PathEntry| entry.destinations.iter().any(|(_, to)| *to == route.destination);
    let entries = snapshot.catalog.paths().iter().filter(|entry| entry.route == route.name);
    let several = entries.clone().filter(leads).find(|entry| entry.destinations.len() > 1);
    let shares = several
        .map(|entry| catalog::shares(entry.destinations.iter().map(|(weight, to)| (u64::from(*weight), to))));
    ExplainedDestination { shares: shares.unwrap_or_default(), ..one(route, snapshot, sent) }
}

fn one(route: &Route, snapshot: &Snapshot, sent: Option<&Uri>) -> ExplainedDestination {
    match &route.destination {
        Destination::Local => {
            ExplainedDestination { kind: "built-in".to_owned(), schema_known: true, ..Default::default() }
        }
        Destination::Upstream(name) => {
            let source = snapshot.catalog.sources().iter().find(|s| s.destination == route.destination);
            ExplainedDestination {
                kind: "upstream".to_owned(),
                name: name.to_string(),
                address: source.map(|source| source.address.to_string()).unwrap_or_default(),
                schema_known: source.is_some_and(|source| source.files.is_some()),
                ..Default::default()
            }
        }
        Destination::Proxy(proxy) => {
            let upstreams = &snapshot.config.http_upstreams;
            let upstream = upstreams.iter().find(|upstream| upstream.name == proxy.upstream);
            let other = |uri: &Uri| {
                let path = proxy.path_of(uri).ok().filter(|path| Some(path) != uri.path_and_query());
                path.map(|path| path.to_string())
            };
            ExplainedDestination {
                kind: "http".to_owned(),
                name: proxy.upstream.to_string(),
                address: upstream.map(|upstream| upstream.addresses.to_string()).unwrap_or_default(),
                sent_path: sent.and_then(other).unwrap_or_default(),
                ..Default::default()
            }
        }
        Destination::Respond(respond) => ExplainedDestination {
            kind: "respond".to_owned(),
            name: respond.status.as_u16().to_string(),
            ..Default::default()
        },
        Destination::McpServer(name) => {
            let servers = &snapshot.config.mcp.servers;
            let server = servers.iter().find(|server| server.name == *name);
            ExplainedDestination {
                kind: "mcp server".to_owned(),
                name: name.to_string(),
                address: server.map(|server| server.reached.to_string()).unwrap_or_default(),
                ..Default::default()
            }
        }
        Destination::Page | Destination::Nothing => ExplainedDestination {
            kind: "page".to_owned(),
            name: route.name.to_string(),
            ..Default::default()
        },
        Destination::Redirect(redirect) => ExplainedDestination {
            kind: "redirect".to_owned(),
            name: redirect.to.to_string(),
            ..Default::default()
        },
    }
}

/// What an answer says beside its status.
pub(super) fn told(headers: &HeaderMap) -> BTreeMap<String, String> {
    let tells = |name: &HeaderName| {
        [header::ALLOW, header::LOCATION, header::RETRY_AFTER, header::WWW_AUTHENTICATE].contains(name)
            || name.as_str().starts_with("access-control-")
    };
    let told = headers.iter().filter(|(name, _)| tells(name));
    told.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
