//! The names that the systems before this one read from the environment, in one table. A name stands here once its key
//! does something; of two names for one key the later row wins.

use std::net::IpAddr;

use serde_json::Value as Json;

use super::{
    Environment, boolean,
    callers::{
        api_token, calls, default_tier, milliseconds, minutes, no_burst, per_minute, proxies, seconds,
        service_link, shown_docs,
    },
    list, opentelemetry, shout,
};
use crate::config::{
    DEFAULT_LISTEN,
    document::{Node, Origin, Value},
    mistake::{Mistake, Mistakes, Part},
};

const SERVICE_LINK: &str = "this is the address of a service link";

/// A variable, the key it sets, and how.
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) read: fn(&str, &Node) -> Read,
}

/// What a variable's text says.
pub(super) enum Read {
    Value(Json),
    /// The variable is where the secret is.
    Here,
    /// It leaves the key as it is.
    Nothing,
    /// It was clearly written for another program.
    NotOurs(&'static str),
    Wrong(String),
}

const NAMES: [Name; 33] = [
    Name { name: "GATEWAY_HOST", key: "gateway.listen", read: host },
    Name { name: "GATEWAY_PORT", key: "gateway.listen", read: port },
    Name { name: "NODE_ENV", key: "gateway.environment", read: text },
    Name { name: "ENVIRONMENT", key: "gateway.environment", read: text },
    Name { name: "ALLOWED_HOSTS", key: "gateway.hosts", read: origins },
    Name { name: "DEBUG", key: "log.level", read: debug },
    Name { name: "LOG_LEVEL", key: "log.level", read: level },
    Name { name: "LOG_STRUCTURED", key: "log.format", read: structured },
    Name { name: "LOG_REQUESTS", key: "log.requests", read: yes_or_no },
    Name { name: "BACKEND_CORS_ORIGINS", key: "cors.origins", read: origins },
    Name { name: "CORS_ORIGINS", key: "cors.origins", read: origins },
    Name { name: "CORS_ENABLED", key: "cors.origins", read: cors_enabled },
    Name { name: "CORS_CREDENTIALS", key: "cors.credentials", read: yes_or_no },
    Name { name: "TRUST_PROXY", key: "gateway.trusted_proxies", read: proxies },
    Name { name: "POSTGRES_URL", key: "store.database", read: here },
    Name { name: "DATABASE_URL", key: "store.database", read: here },
    Name { name: "REDIS_URL", key: "store.redis", read: here },
    Name { name: "SECRET_KEY", key: "auth.secret", read: here },
    Name { name: "JWT_SECRET_KEY", key: "auth.secret", read: here },
    Name { name: "ALGORITHM", key: "auth.algorithm", read: text },
    Name { name: "JWT_ALGORITHM", key: "auth.algorithm", read: text },
    Name { name: "ACCESS_TOKEN_EXPIRE_MINUTES", key: "accounts.access_lifetime", read: minutes },
    Name { name: "JWT_ACCESS_TOKEN_EXPIRE_MINUTES", key: "accounts.access_lifetime", read: minutes },
    Name { name: "ADMIN_EMAIL", key: "accounts.admin_email", read: text },
    Name { name: "ADMIN_PASSWORD", key: "accounts.admin_password", read: here },
    Name { name: "RATE_LIMIT_ENABLED", key: "rate_limits.enabled", read: yes_or_no },
    Name { name: "RATE_LIMIT_WINDOW", key: "rate_limits.window", read: milliseconds },
    Name { name: "GALAXY_BASE_URL", key: "galaxy.url", read: text },
    Name { name: "GALAXY_CACHE_TTL", key: "galaxy.cache_ttl", read: seconds },
    // What these systems counted had no more at once, unless the next but one says so.
    Name { name: "RATE_LIMIT_GLOBAL", key: "rate_limits.burst", read: no_burst },
    Name { name: "RATE_LIMIT_GLOBAL", key: "rate_limits.address", read: calls },
    Name { name: "RATE_LIMIT_REQUESTS_PER_MINUTE", key: "rate_limits.address", read: per_minute },
    Name { name: "RATE_LIMIT_BURST", key: "rate_limits.burst", read: calls },
];

/// Puts what these variables say over what the file says. An empty one says nothing.
pub(super) fn apply(environment: &Environment, root: &mut Node, found: &mut Mistakes) {
    for Name { name, key, read } in NAMES.into_iter().chain(opentelemetry::NAMES) {
        let Some(written) = environment.get(name).map(str::trim).filter(|text| !text.is_empty()) else {
            continue;
        };
        let part = || Part::Variable(name.into());
        let read = if service_link(written) { Read::NotOurs(SERVICE_LINK) } else { read(written, root) };
        match read {
            Read::Here => {
                let value = serde_json::json!({ "env": name });
                root.set(key, Node::of(&value, &Origin::Variable(name.into())));
            }
            Read::Value(value) => root.set(key, Node::of(&value, &Origin::Variable(name.into()))),
            Read::Nothing => {}
            Read::NotOurs(why) => {
                found.push(Mistake::new(key, format!("{why}; it is ignored")).warning().at(part()));
            }
            Read::Wrong(why) => found.push(Mistake::new(key, why).at(part())),
        }
    }
    api_token(environment, root);
    default_tier(environment, root);
    shown_docs(environment, root);
    opentelemetry::apply(environment, root, found);
    service_urls(environment, root, found);
}

/// `<NAME>_SERVICE_URL`: the address, or the addresses, of the upstream of that name.
fn service_urls(environment: &Environment, root: &mut Node, found: &mut Mistakes) {
    let names: Vec<Option<String>> = match root.get("upstreams").map(|node| &node.value) {
        Some(Value::List(upstreams)) => {
            upstreams.iter().map(|upstream| upstream.text("name").map(str::to_owned)).collect()
        }
        _ => return,
    };
    for (index, name) in names.iter().enumerate().filter_map(|(index, name)| Some((index, name.as_ref()?))) {
        let variable = format!("{}_SERVICE_URL", shout(name));
        let Some(written) = environment.get(&variable) else { continue };
        let addresses: Vec<String> = serde_json::from_str(written).unwrap_or_else(|_| {
            let parts = written.split([',', ' ']).map(str::trim);
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        });
        let Some(first) = addresses.first() else { continue };
        let speaks = root.get(&format!("upstreams[{index}].http")).map_or("grpc", |_| "http");
        let key = format!("upstreams[{index}].{speaks}");
        if service_link(first) {
            let part = Part::Variable(variable.as_str().into());
            found.push(Mistake::new(key, format!("{SERVICE_LINK}; it is ignored")).warning().at(part));
            continue;
        }
        let value = match addresses.as_slice() {
            [one] => one.as_str().into(),
            several => several.into(),
        };
        root.set(&key, Node::of(&value, &Origin::Variable(variable.into())));
    }
}

/// The address to listen on as it is now, in its two parts.
fn listen(root: &Node) -> (String, String) {
    let now = root.get("gateway.listen").and_then(|node| match &node.value {
        Value::Text(text) => text.rsplit_once(':'),
        _ => None,
    });
    let or_default = (DEFAULT_LISTEN.ip().to_string(), DEFAULT_LISTEN.port().to_string());
    now.map_or(or_default, |(host, port)| (host.to_owned(), port.to_owned()))
}

fn host(written: &str, root: &Node) -> Read {
    let (_, port) = listen(root);
    let bare = written.trim_start_matches('[').trim_end_matches(']');
    match bare.parse() {
        _ if bare == "localhost" => Read::Value(format!("localhost:{port}").into()),
        Ok(IpAddr::V6(address)) => Read::Value(format!("[{address}]:{port}").into()),
        Ok(IpAddr::V4(address)) => Read::Value(format!("{address}:{port}").into()),
        Err(_) => Read::Wrong(format!("{written:?} is not an IP address to listen on, such as 0.0.0.0")),
    }
}

fn port(written: &str, root: &Node) -> Read {
    let (host, _) = listen(root);
    match written.parse::<u16>() {
        Ok(port) => Read::Value(format!("{host}:{port}").into()),
        Err(_) => Read::Wrong(format!("{written:?} is not a port (0 to 65535)")),
    }
}

pub(super) fn here(_: &str, _: &Node) -> Read {
    Read::Here
}

pub(super) fn text(written: &str, _: &Node) -> Read {
    Read::Value(written.into())
}

fn debug(written: &str, _: &Node) -> Read {
    match boolean(written) {
        Some(true) => Read::Value("debug".into()),
        Some(false) => Read::Nothing,
        None => Read::NotOurs("this is neither true nor false, so it is another program's"),
    }
}

/// Python's, Node's and our own names of levels, in any case.
fn level(written: &str, _: &Node) -> Read {
    let lower = written.to_ascii_lowercase();
    let level = match lower.as_str() {
        "warning" => "warn",
        "critical" | "fatal" => "error",
        "http" => "info",
        "verbose" => "debug",
        "silly" | "notset" => "trace",
        known @ ("error" | "warn" | "info" | "debug" | "trace") => known,
        // It is quoted as it was written.
        _ => written,
    };
    Read::Value(level.into())
}

fn structured(written: &str, _: &Node) -> Read {
    match boolean(written) {
        Some(true) => Read::Value("json".into()),
        Some(false) => Read::Value("text".into()),
        None => neither(written),
    }
}

fn origins(written: &str, _: &Node) -> Read {
    if !written.starts_with('[') {
        return Read::Value(list(written));
    }
    serde_json::from_str(written).map_or_else(
        |error| Read::Wrong(format!("this is neither JSON nor a list with commas: {error}")),
        Read::Value,
    )
}

fn cors_enabled(written: &str, _: &Node) -> Read {
    match boolean(written) {
        Some(true) => Read::Nothing,
        Some(false) => Read::Value(Json::Array(Vec::new())),
        None => neither(written),
    }
}

fn yes_or_no(written: &str, _: &Node) -> Read {
    boolean(written).map_or_else(|| neither(written), |value| Read::Value(value.into()))
}

fn neither(written: &str) -> Read {
    Read::Wrong(format!("{written:?} is neither true nor false"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{NAMES, opentelemetry};

    const EXAMPLE: &str = include_str!("../../../config/propylon.example.toml");

    #[test]
    fn the_example_lists_every_name() {
        let list = EXAMPLE.split_once("Read too, below").unwrap().1.split_once("<NAME>").unwrap().0;
        let words = list.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
        let listed: BTreeSet<&str> =
            words.filter(|word| word.len() > 2 && *word == word.to_ascii_uppercase()).collect();
        let rows = NAMES.iter().chain(&opentelemetry::NAMES).map(|row| row.name);
        let read: BTreeSet<&str> = rows.chain(opentelemetry::OTHERS).chain(["API_TOKEN"]).collect();
        assert_eq!(listed, read);
    }
}
