//! How the names that concern callers are read: proxies, lifetimes, limits, and the one token of a single user.

use serde_json::json;

use super::{Environment, boolean, names::Read};
use crate::config::document::{Node, Origin, Value, path::child};

/// The variable of the one token, and the name of the entry that it becomes.
const API_TOKEN: &str = "API_TOKEN";
const API_TOKEN_NAME: &str = "api-token";
/// The networks that Express has names for.
const NETWORKS: [(&str, &[&str]); 3] = [
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    ("linklocal", &["169.254.0.0/16", "fe80::/10"]),
    ("uniquelocal", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]),
];

/// What Kubernetes and Docker put into a container's environment of a service that has this name: no value of ours.
pub(super) fn service_link(written: &str) -> bool {
    ["tcp://", "udp://"].iter().any(|scheme| written.starts_with(scheme))
}

/// Whether proxies are believed: true is the nearest private hop, unless the config names networks; or a list of networks.
pub(super) fn proxies(written: &str, root: &Node) -> Read {
    let named = matches!(
        root.get("gateway.trusted_proxies").map(|node| &node.value),
        Some(Value::List(networks)) if !networks.is_empty()
    );
    match (boolean(written), written.parse::<u32>()) {
        (Some(false), _) => Read::Value(json!([])),
        (Some(true), _) if named => Read::Nothing,
        (Some(true), _) => Read::Value(json!(["nearest"])),
        (None, Ok(hops)) => Read::Wrong(format!(
            "{hops} hops cannot be told from what a client wrote itself; name the proxies' networks, with commas, or say true"
        )),
        (None, Err(_)) => {
            let parts = written.split(',').map(str::trim).filter(|part| !part.is_empty());
            let networks = parts.flat_map(|part| {
                let known = NETWORKS.iter().find(|(name, _)| *name == part);
                known.map_or_else(|| vec![part], |(_, networks)| networks.to_vec())
            });
            Read::Value(networks.collect())
        }
    }
}

/// A number of minutes.
pub(super) fn minutes(written: &str, _: &Node) -> Read {
    match written.parse::<u32>() {
        Ok(minutes @ 1..) => Read::Value(format!("{minutes}m").into()),
        _ => Read::Wrong(format!("{written:?} is not a number of minutes")),
    }
}

/// A number of seconds.
pub(super) fn seconds(written: &str, _: &Node) -> Read {
    match written.parse::<u32>() {
        Ok(seconds @ 1..) => Read::Value(format!("{seconds}s").into()),
        _ => Read::Wrong(format!("{written:?} is not a number of seconds")),
    }
}

/// A number of milliseconds.
pub(super) fn milliseconds(written: &str, _: &Node) -> Read {
    match written.parse::<u32>() {
        Ok(milliseconds @ 1..) => Read::Value(format!("{milliseconds}ms").into()),
        _ => Read::Wrong(format!("{written:?} is not a number of milliseconds")),
    }
}

/// A number of calls.
pub(super) fn calls(written: &str, _: &Node) -> Read {
    match written.parse::<u32>() {
        Ok(calls) => Read::Value(calls.into()),
        Err(_) => Read::Wrong(format!("{written:?} is not a number of calls")),
    }
}

pub(super) fn no_burst(_: &str, _: &Node) -> Read {
    Read::Value(0.into())
}

/// A number of calls in a minute, which must be the window.
pub(super) fn per_minute(written: &str, root: &Node) -> Read {
    let window = root.get("rate_limits.window").map(|node| &node.value);
    let a_minute = match window {
        Some(Value::Text(window)) => crate::config::time(window).is_ok_and(|window| window.as_secs() == 60),
        // It is one by default. What is no text is told of elsewhere.
        None | Some(_) => true,
    };
    if a_minute {
        return calls(written, root);
    }
    Read::Wrong(
        "this is a number for a minute, and the window is another one (rate_limits.window)".to_owned(),
    )
}

/// What limits each client of the systems before this one, limits each caller of the default tier as well, where the config
/// gives that tier a number.
pub(super) fn default_tier(environment: &Environment, root: &mut Node) {
    let tier = match root.get("rate_limits.default_tier").map(|node| &node.value) {
        Some(Value::Text(tier)) => tier.clone(),
        _ => "free".to_owned(),
    };
    for (names, key) in [
        (&["RATE_LIMIT_GLOBAL", "RATE_LIMIT_REQUESTS_PER_MINUTE"][..], child("rate_limits.tiers", &tier)),
        (&["RATE_LIMIT_BURST"], "rate_limits.tier_burst".to_owned()),
    ] {
        for name in names {
            let number = environment.get(name).and_then(|written| written.trim().parse::<u32>().ok());
            if let Some(number) = number.filter(|_| root.get(&key).is_some()) {
                root.set(&key, Node::of(&number.into(), &Origin::Variable((*name).into())));
            }
        }
    }
}

/// Development shows the documentation that the config hides.
pub(super) fn shown_docs(environment: &Environment, root: &mut Node) {
    if environment.get("DEBUG").and_then(boolean) != Some(true) {
        return;
    }
    for key in ["builtin.docs.enabled", "builtin.redoc.enabled"] {
        if matches!(root.get(key).map(|node| &node.value), Some(Value::Bool(false))) {
            root.set(key, Node::of(&true.into(), &Origin::Variable("DEBUG".into())));
        }
    }
}

/// The one token of a single user: an entry of `auth.tokens`, unless one takes it from there already. Its user has no role,
/// which an entry of the config may give.
pub(super) fn api_token(environment: &Environment, root: &mut Node) {
    let there = environment.get(API_TOKEN).map(str::trim);
    if there.is_none_or(|token| token.is_empty() || service_link(token)) {
        return;
    }
    let mut tokens = match root.get("auth.tokens").cloned() {
        Some(Node { value: Value::List(tokens), .. }) => tokens,
        None => Vec::new(),
        // Its shape is told of elsewhere.
        Some(_) => return,
    };
    let reads_it =
        |token: &Node| token.entry("token").is_some_and(|token| token.node.text("env") == Some(API_TOKEN));
    if tokens.iter().any(reads_it) {
        return;
    }
    let origin = Origin::Variable(API_TOKEN.into());
    let token = json!({ "name": API_TOKEN_NAME, "token": { "env": API_TOKEN }, "tier": "elite" });
    tokens.push(Node::of(&token, &origin));
    root.set("auth.tokens", Node { value: Value::List(tokens), origin });
}
