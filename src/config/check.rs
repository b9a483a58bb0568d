//! From the config as written to the config as meant: each value checked, with an error that says where and why.

use std::{collections::HashSet, net::SocketAddr, path::Path, time::Duration};

use jiff::SignedDuration;

use super::{
    Address, Config, ConfigError, Connections, Drain, SchemaSource, Upstream, callers, rest, routes,
    settings::{self, Settings},
    store,
};
use crate::{
    route::{Cors, Limits, Origins},
    schema::{HttpRule, Verb},
    transcode::JsonStyle,
};

pub(super) fn check(settings: Settings, folder: &Path) -> Result<Config, ConfigError> {
    let default = Config::default();
    let Settings {
        gateway,
        connections,
        limits,
        auth,
        access,
        rate_limits,
        store,
        accounts,
        cors,
        rest,
        builtin,
        upstreams,
        routes,
        http_rules,
    } = settings;
    let proxies = callers::proxies(&gateway.trusted_proxies, gateway.forwarded_header.as_deref())?;
    let listen = match gateway.listen {
        Some(text) => listen_address(&text)?,
        None => default.listen,
    };
    let upstreams = upstreams.into_iter().map(|u| upstream(u, folder)).collect::<Result<Vec<_>, _>>()?;
    let mut names = HashSet::new();
    for upstream in &upstreams {
        if !names.insert(&*upstream.name) {
            return Err(ConfigError(format!("upstreams: two upstreams are named {:?}", upstream.name)));
        }
    }
    let (mut services, mut paths) = (Vec::new(), Vec::new());
    for (number, route) in routes.into_iter().enumerate() {
        match routes::check(number, route, &names)? {
            routes::Checked::Service(service) => services.push(service),
            routes::Checked::Path(path) => paths.push(path),
        }
    }
    let connections = self::connections(connections)?;
    let http_rules = http_rules
        .into_iter()
        .enumerate()
        .map(|(entry, rule)| rules(entry, rule))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Config {
        listen,
        workers: match gateway.workers {
            None | Some(0) => default.workers,
            Some(workers) => workers.min(1024),
        },
        environment: gateway.environment.map_or(default.environment, Into::into),
        instance: gateway.instance.map(Into::into),
        drain: Drain {
            delay: delay("gateway.drain_delay", gateway.drain_delay, default.drain.delay)?,
            timeout: duration("gateway.drain", gateway.drain, default.drain.timeout)?,
        },
        watch_config: gateway.watch_config.unwrap_or(default.watch_config),
        connections,
        limits: Limits {
            request_pause: connections.body_timeout,
            request_bytes: limits.request_bytes.unwrap_or(default.limits.request_bytes),
            response_bytes: limits.response_bytes.unwrap_or(default.limits.response_bytes),
        },
        header_bytes: limits.header_bytes.unwrap_or(default.header_bytes),
        timeout: duration("limits.timeout", limits.timeout, default.timeout)?,
        store: store::store(store, folder)?,
        accounts: store::accounts(accounts, folder)?,
        callers: callers::check(auth, access, rate_limits, proxies, folder)?,
        cors: self::cors("cors", cors)?,
        built_ins: rest::built_ins(builtin)?,
        rest: rest::check(rest)?,
        upstreams,
        services,
        paths,
        http_rules: http_rules.concat(),
    })
}

/// Parses a listen address: `HOST:PORT` with an IP address, or `localhost:PORT`.
///
/// # Errors
/// The text is not such an address.
pub fn listen_address(text: &str) -> Result<SocketAddr, ConfigError> {
    text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| {
        ConfigError(format!(
            "listen: {text:?} is not an address to listen on; it is IP:PORT, such as 127.0.0.1:8080"
        ))
    })
}

/// Parses an upstream's address: `HOST:PORT`, `http://HOST:PORT` (plain HTTP/2) or `https://HOST:PORT`.
///
/// # Errors
/// The text is not such an address.
pub fn upstream_address(text: &str) -> Result<Address, ConfigError> {
    let wrong = |why: &str| {
        ConfigError(format!(
            "{text:?} is not a gRPC upstream's address ({why}); it is http://HOST:PORT or https://HOST:PORT"
        ))
    };
    let uri: http::Uri = match text.contains("://") {
        true => text.parse(),
        false => format!("http://{text}").parse(),
    }
    .map_err(|error| wrong(&format!("{error}")))?;
    let tls = match uri.scheme_str() {
        Some("http" | "grpc" | "h2c") => false,
        Some("https" | "grpcs") => true,
        other => return Err(wrong(&format!("scheme {}", other.unwrap_or("missing")))),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path"));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
    let port = uri.port_u16().or(tls.then_some(443)).ok_or_else(|| wrong("no port"))?;
    Ok(Address { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
}

fn upstream(written: settings::Upstream, folder: &Path) -> Result<Upstream, ConfigError> {
    let key = |name: &str| format!("upstreams.{}.{name}", written.name);
    if written.name.is_empty() || written.name == "built-in" || written.name.contains(char::is_whitespace) {
        return Err(ConfigError(format!("upstreams: {:?} is no name for an upstream", written.name)));
    }
    let address =
        upstream_address(&written.grpc).map_err(|error| ConfigError(format!("{}: {error}", key("grpc"))))?;
    let default = Upstream::at(&written.name, address);
    let interval =
        duration(&key("reflection_interval"), written.reflection_interval, Duration::from_secs(30))?;
    let schema = match (written.descriptors, written.reflection) {
        (Some(_), Some(true)) => {
            return Err(ConfigError(format!(
                "{}: the schema comes from descriptors or from reflection, not from both",
                key("reflection")
            )));
        }
        (Some(file), _) => SchemaSource::Descriptors(folder.join(file)),
        (None, Some(false)) => SchemaSource::Unknown,
        (None, _) => SchemaSource::Reflection { interval },
    };
    Ok(Upstream {
        schema,
        services: written.services.unwrap_or_default().into_iter().map(pattern).collect::<Result<_, _>>()?,
        connect_timeout: duration(&key("connect_timeout"), written.connect_timeout, default.connect_timeout)?,
        handshake_timeout: duration(
            &key("handshake_timeout"),
            written.handshake_timeout,
            default.handshake_timeout,
        )?,
        keepalive_interval: duration(
            &key("keepalive_interval"),
            written.keepalive_interval,
            default.keepalive_interval,
        )?,
        keepalive_timeout: duration(
            &key("keepalive_timeout"),
            written.keepalive_timeout,
            default.keepalive_timeout,
        )?,
        timeout: written
            .timeout
            .map(|text| duration(&key("timeout"), Some(text), Duration::ZERO))
            .transpose()?,
        authority: written.authority,
        ca: written.ca.map(|file| folder.join(file)),
        forward_credentials: written.forward_credentials.unwrap_or(false),
        style: JsonStyle {
            proto_names: written.json.proto_names,
            defaults: written.json.defaults,
            enum_numbers: written.json.enum_numbers,
            pretty: written.json.pretty,
        },
        ..default
    })
}

/// A service's full name, or a prefix that ends in `*`.
pub(super) fn pattern(text: String) -> Result<String, ConfigError> {
    let name = text.strip_suffix(".*").or_else(|| text.strip_suffix('*')).unwrap_or(&text);
    let fits = name.split('.').all(|part| {
        part.chars()
            .enumerate()
            .all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()))
    });
    if fits && !text.is_empty() {
        return Ok(text);
    }
    Err(ConfigError(format!(
        "{text:?} is not a service: it is package.Service, or a prefix such as package.*"
    )))
}

fn rules(entry: usize, written: settings::HttpRule) -> Result<Vec<HttpRule>, ConfigError> {
    let selector = written.selector.clone();
    if selector.is_empty() {
        return Err(ConfigError("http_rules: a rule has no selector (package.Service.Method)".into()));
    }
    let mut rules = Vec::with_capacity(1 + written.additional_bindings.len());
    let mut queue = vec![written];
    while let Some(rule) = queue.pop() {
        let nested = !rule.selector.is_empty() || !rule.additional_bindings.is_empty();
        if nested && !rules.is_empty() {
            return Err(ConfigError(format!(
                "http_rules: an additional binding of {selector:?} has a selector or bindings of its own"
            )));
        }
        let verbs = [
            (Verb::Get, rule.get),
            (Verb::Put, rule.put),
            (Verb::Post, rule.post),
            (Verb::Delete, rule.delete),
            (Verb::Patch, rule.patch),
        ];
        let mut verbs: Vec<_> = verbs.into_iter().filter_map(|(verb, path)| Some((verb, path?))).collect();
        verbs.extend(rule.custom.map(|custom| (Verb::parse(&custom.kind), custom.path)));
        let [(verb, template)] = verbs.as_slice() else {
            return Err(ConfigError(format!(
                "http_rules: {selector:?} wants exactly one of get, put, post, delete, patch, custom; it has {}",
                verbs.len()
            )));
        };
        rules.push(
            HttpRule::new(&selector, verb.clone(), template)
                .with_body(rule.body)
                .with_response_body(rule.response_body)
                .of_entry(entry),
        );
        queue.extend(rule.additional_bindings.into_iter().rev());
    }
    Ok(rules)
}

fn connections(written: settings::Connections) -> Result<Connections, ConfigError> {
    let default = Connections::default();
    let time = |key: &str, text, default| duration(&format!("connections.{key}"), text, default);
    Ok(Connections {
        max: written.max.unwrap_or(default.max),
        max_per_address: written.max_per_address.unwrap_or(default.max_per_address),
        streams: written.streams.unwrap_or(default.streams),
        header_timeout: time("header_timeout", written.header_timeout, default.header_timeout)?,
        body_timeout: time("body_timeout", written.body_timeout, default.body_timeout)?,
        idle_timeout: time("idle_timeout", written.idle_timeout, default.idle_timeout)?,
        write_timeout: time("write_timeout", written.write_timeout, default.write_timeout)?,
        keepalive_interval: time(
            "keepalive_interval",
            written.keepalive_interval,
            default.keepalive_interval,
        )?,
        keepalive_timeout: time("keepalive_timeout", written.keepalive_timeout, default.keepalive_timeout)?,
        max_age: match written.max_age {
            None => default.max_age,
            Some(text) => Some(time("max_age", Some(text), Duration::ZERO)?),
        },
        max_age_grace: time("max_age_grace", written.max_age_grace, default.max_age_grace)?,
    })
}

pub(super) fn cors(key: &str, written: settings::Cors) -> Result<Cors, ConfigError> {
    let default = Cors::default();
    let origins = match written.origins.as_slice() {
        [] => Origins::None,
        [one] if one == "*" => Origins::Any,
        [one] if one == "loopback" => Origins::Loopback,
        _ => Origins::Listed(written.origins.iter().map(|text| origin(key, text)).collect::<Result<_, _>>()?),
    };
    let credentials = written.credentials.unwrap_or(default.credentials);
    if credentials && origins == Origins::Any {
        return Err(ConfigError(format!(
            "{key}.credentials: pages of any origin may not send credentials; name the origins in place of \"*\""
        )));
    }
    Ok(Cors {
        origins,
        credentials,
        max_age: delay(&format!("{key}.max_age"), written.max_age, default.max_age)?,
        expose: written.expose.iter().map(|name| name.to_ascii_lowercase()).collect(),
    })
}

fn origin(key: &str, text: &str) -> Result<String, ConfigError> {
    let fits = text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme().is_some() && uri.host().is_some() && !text.ends_with('/') && uri.query().is_none()
    });
    if fits {
        return Ok(text.to_owned());
    }
    Err(ConfigError(format!(
        "{key}.origins: {text:?} is not an origin; it is scheme://host[:port] without a path, or \"*\" alone"
    )))
}

/// A time that may be none at all.
fn delay(key: &str, written: Option<String>, default: Duration) -> Result<Duration, ConfigError> {
    match written.as_deref() {
        Some("0" | "0s" | "0ms") => Ok(Duration::ZERO),
        _ => duration(key, written, default),
    }
}

/// Parses a time, such as `3s`; the default where none is written.
///
/// # Errors
/// The text is not a time, or is none at all; `key` names where it stands.
pub fn duration(key: &str, written: Option<String>, default: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = written else { return Ok(default) };
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| {
            ConfigError(format!(
                "{key}: {text:?} is not a time; it is a number with a unit, such as 500ms, 3s, 2m"
            ))
        })
}
