//! The config's keys with their values as text: what a reload compares, and which of them only a restart changes.

mod mcp;
mod mcp_servers;
mod process;
mod upstreams;

use std::{collections::BTreeMap, fmt::Debug};

use crate::config::{Action, Config, Own, PathRoute, Rest, ServiceRoute};

/// What is fixed when the process starts: sockets, threads, and what their connections are made with. A change to one of
/// these is told, and the value that was there at the start stays.
pub(super) const NEED_RESTART: [&str; 34] = [
    "gateway.listen",
    "admin.listen",
    "gateway.workers",
    "log.format",
    "metrics",
    "otlp",
    "traces.queue",
    "traces.batch",
    "traces.delay",
    "limits.header_bytes",
    "limits.headers",
    "connections.max",
    "connections.max_per_address",
    "connections.flood_wait",
    "connections.streams",
    "connections.header_timeout",
    "connections.body_timeout",
    "connections.idle_timeout",
    "connections.write_timeout",
    "connections.keepalive_interval",
    "connections.keepalive_timeout",
    "connections.max_age",
    "connections.max_age_grace",
    "connections.proxy_protocol",
    "auth.secret",
    "store",
    "galaxy",
    "accounts.registration",
    "accounts.roles",
    "accounts.tier",
    "accounts.access_lifetime",
    "accounts.refresh_lifetime",
    "accounts.admin_email",
    "accounts.admin_password",
];

/// A longer value is not shown: that it changed is all that is said.
const MOST_SHOWN: usize = 80;

/// What a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Shown(String),
    /// Too much to be shown.
    Long(String),
    /// A thing of a list: it is there.
    Thing,
    /// The names of a list in their order.
    Order(Vec<String>),
}

/// Puts the values that only a restart changes back to those in force, and says which differed.
pub(super) fn hold(next: &mut Config, now: &Config) -> Vec<String> {
    let (wanted, held) = (keys(next), keys(now));
    next.listen = now.listen;
    next.admin = now.admin;
    next.proxy_protocol.clone_from(&now.proxy_protocol);
    next.workers = now.workers;
    next.log.format = now.log.format;
    process::hold_telemetry(next, now);
    next.header_bytes = now.header_bytes;
    next.headers = now.headers;
    next.connections = now.connections;
    next.callers.secret = now.callers.secret.clone();
    next.store = now.store.clone();
    next.galaxy = now.galaxy.clone();
    next.accounts = now.accounts.clone();
    let differ = NEED_RESTART.into_iter().filter(|key| wanted.get(*key) != held.get(*key));
    differ
        .map(|key| match held.get(key) {
            Some(Value::Shown(still)) => format!("{key} needs a restart; still {still}"),
            _ => format!("{key} needs a restart"),
        })
        .collect()
}

/// What differs between two configs, a sentence each.
pub(super) fn changes(before: &Config, after: &Config) -> Vec<String> {
    let (old, new) = (keys(before), keys(after));
    let mut said = Vec::new();
    for (key, value) in &new {
        match (old.get(key), value) {
            (Some(was), value) if was == value => {}
            (Some(Value::Shown(was)), Value::Shown(value)) if was.len().max(value.len()) <= MOST_SHOWN => {
                said.push(format!("{key}: {value}, was {was}"));
            }
            (Some(Value::Order(was)), Value::Order(value)) => {
                // What came or went is told by itself.
                let same = was.len() == value.len() && was.iter().all(|name| value.contains(name));
                said.extend(same.then(|| format!("{key} has changed")));
            }
            (Some(_), _) => said.push(format!("{key} has changed")),
            (None, Value::Thing) => said.push(format!("{key} is new")),
            // What belongs to a thing that is new as a whole.
            (None, _) => {}
        }
    }
    let gone = old.iter().filter(|(key, value)| **value == Value::Thing && !new.contains_key(*key));
    said.extend(gone.map(|(key, _)| format!("{key} is gone")));
    said
}

/// Every key with its value.
fn keys(config: &Config) -> BTreeMap<String, Value> {
    // Taken apart by name, so that a field that is added is not forgotten here.
    let Config {
        listen,
        admin,
        tls,
        proxy_protocol,
        workers,
        environment,
        instance,
        hosts,
        drain,
        watch_config,
        log,
        metrics,
        push,
        traces,
        connections,
        limits,
        header_bytes,
        headers,
        timeout,
        callers,
        store,
        accounts,
        health,
        cors,
        rest,
        mcp,
        galaxy,
        built_ins,
        upstreams,
        http_upstreams,
        services,
        paths,
        http_rules,
    } = config;
    let mut keys = Keys::default();
    keys.add("gateway.listen", listen);
    keys.text("admin.listen", &admin.map_or("none".to_owned(), |address| address.to_string()));
    keys.tls(tls.as_ref());
    let networks: Vec<String> = proxy_protocol.iter().map(ToString::to_string).collect();
    keys.add("connections.proxy_protocol", &networks);
    keys.add("gateway.workers", workers);
    keys.text("gateway.environment", environment);
    keys.text("gateway.instance", instance.as_deref().unwrap_or("none"));
    keys.long("gateway.hosts", hosts);
    keys.add("gateway.drain_delay", &drain.delay);
    keys.add("gateway.drain", &drain.timeout);
    keys.add("gateway.watch_config", watch_config);
    keys.add("log.level", &log.level);
    keys.add("log.format", &log.format);
    keys.add("log.requests", &log.requests);
    keys.add("log.slow", &log.slow);
    keys.metrics(metrics.as_ref(), push);
    keys.traces(traces, push);
    keys.connections(connections);
    keys.add("limits.request_bytes", &limits.request_bytes);
    keys.add("limits.response_bytes", &limits.response_bytes);
    keys.add("limits.header_bytes", header_bytes);
    keys.add("limits.headers", headers);
    keys.add("limits.timeout", timeout);
    keys.callers(callers);
    keys.long("store", store);
    keys.long("galaxy", galaxy);
    keys.accounts(accounts);
    keys.health(health);
    keys.add("cors.origins", &cors.origins);
    keys.add("cors.credentials", &cors.credentials);
    keys.add("cors.max_age", &cors.max_age);
    keys.add("cors.expose", &cors.expose);
    keys.rest(rest);
    keys.mcp(mcp);
    for own in Own::ALL {
        let (built_in, name) = (built_ins.get(own), own.name());
        keys.add(&format!("builtin.{name}.enabled"), &built_in.enabled);
        keys.add(&format!("builtin.{name}.prefix"), &built_in.prefix);
        keys.add(&format!("builtin.{name}.proto_names"), &built_in.proto_names);
    }
    for upstream in upstreams {
        keys.upstream(upstream);
    }
    for upstream in http_upstreams {
        keys.http_upstream(upstream);
    }
    for route in services {
        keys.service(route);
    }
    for route in paths {
        keys.path(route);
    }
    keys.long("http_rules", http_rules);
    // Their order decides too: of two patterns that fit, the first holds.
    keys.order("the order of upstreams", upstreams.iter().map(|upstream| upstream.name.to_string()));
    keys.order("the order of routes", services.iter().map(|route| route.pattern.clone()));
    keys.0
}

#[derive(Default)]
struct Keys(BTreeMap<String, Value>);

impl Keys {
    fn add(&mut self, key: &str, value: &impl Debug) {
        self.0.insert(key.to_owned(), Value::Shown(format!("{value:?}")));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_owned(), Value::Shown(value.to_owned()));
    }

    fn long(&mut self, key: &str, value: &impl Debug) {
        self.0.insert(key.to_owned(), Value::Long(format!("{value:?}")));
    }

    fn thing(&mut self, name: &str) {
        self.0.insert(name.to_owned(), Value::Thing);
    }

    fn order(&mut self, key: &str, names: impl Iterator<Item = String>) {
        self.0.insert(key.to_owned(), Value::Order(names.collect()));
    }

    fn rest(&mut self, rest: &Rest) {
        let Rest {
            title,
            description,
            version,
            method_paths,
            paths,
            ignore_unknown_parameters,
            input,
            security_headers,
            headers,
            index,
            profile,
            health,
        } = rest;
        self.add("rest.title", title);
        self.add("rest.description", description);
        self.text("rest.version", version.as_deref().unwrap_or("none"));
        self.add("rest.method_paths", method_paths);
        let trailing_slash = format!("{:?}", paths.trailing_slash).to_lowercase();
        self.text("rest.trailing_slash", &trailing_slash);
        self.add("rest.fully_decode_reserved_expansion", &paths.fully_decode_reserved_expansion);
        self.add("rest.ignore_unknown_parameters", ignore_unknown_parameters);
        self.add("rest.ignore_unknown_fields", &input.ignore_unknown);
        self.add("rest.security_headers", security_headers);
        self.long("rest.headers", headers);
        self.long("rest.index", index);
        self.long("rest.errors", profile);
        self.long("rest.health", health);
    }

    fn service(&mut self, route: &ServiceRoute) {
        let ServiceRoute { pattern, upstreams, when, rules, entry: _ } = route;
        let name = match when.words() {
            words if words.is_empty() => format!("route {pattern}"),
            words => format!("route {pattern} ({})", words.join(", ")),
        };
        self.thing(&name);
        let upstreams = match upstreams.as_slice() {
            [] => "none".to_owned(),
            [one] => one.upstream.to_string(),
            several => {
                let shares = several.iter().map(|share| format!("{} ({})", share.upstream, share.weight));
                shares.collect::<Vec<_>>().join(", ")
            }
        };
        self.text(&format!("{name}: upstream"), &upstreams);
        self.long(&format!("{name}: rules"), rules);
    }

    fn path(&mut self, route: &PathRoute) {
        let PathRoute { name, verbs, template, when, action, rules, entry: _, written: _, prefix: _ } = route;
        let verbs: Vec<&str> = verbs.iter().map(|verb| verb.as_str()).collect();
        let name = format!("route {name} ({} {})", verbs.join(", "), template.as_str());
        self.thing(&name);
        self.long(&format!("{name}: conditions"), when);
        match action {
            Action::Respond(respond) => self.long(&format!("{name}: respond"), respond),
            Action::Redirect(redirect) => self.long(&format!("{name}: redirect"), redirect),
            Action::Proxy(proxies) => self.long(&format!("{name}: upstream"), proxies),
        }
        self.long(&format!("{name}: rules"), rules);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("")).unwrap()
    }

    #[test]
    fn every_key_that_needs_a_restart_is_a_key() {
        let keys = keys(&Config::default());
        for key in NEED_RESTART {
            assert!(keys.contains_key(key), "{key}");
        }
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_told() {
        let now = config("");
        let mut next = config(
            "[gateway]\nlisten = \"0.0.0.0:80\"\nenvironment = \"production\"\n[connections]\nmax = 5\nmax_age = \"1h\"",
        );
        let told = hold(&mut next, &now);
        let want = [
            "gateway.listen needs a restart; still 127.0.0.1:8080",
            "connections.max needs a restart; still 20000",
            "connections.max_age needs a restart; still none",
        ];
        assert_eq!(told, want);
        assert_eq!(changes(&now, &next), ["gateway.environment: production, was development"]);
        assert!(NEED_RESTART.iter().all(|key| keys(&now).get(*key) == keys(&next).get(*key)));
    }

    #[test]
    fn which_traces_there_are_may_change_and_where_they_go_may_not() {
        let now = config("[otlp]\nendpoint = \"http://c:4317\"\n[traces]\nqueue = 1000");
        let mut next = config("[otlp]\nendpoint = \"http://d:4317\"\n[traces]\nqueue = 2000\nsample = 0.5");
        let told = hold(&mut next, &now);
        assert_eq!(told, ["otlp needs a restart", "traces.queue needs a restart; still 1000"]);
        assert_eq!(changes(&now, &next), ["traces.sample: 0.5, was 0.1"]);
        let same = |config: &Config| {
            config.traces.collector.as_ref().map(|collector| collector.address.host.clone())
        };
        assert_eq!(same(&next), same(&now));
    }

    #[test]
    fn changes_are_told_by_key() {
        let check = |before: &str, after: &str, want: &[&str]| {
            assert_eq!(changes(&config(before), &config(after)), want, "{before:?} {after:?}");
        };
        check("", "", &[]);
        check("", "# a comment", &[]);
        check("", "[limits]\ntimeout = \"30s\"", &["limits.timeout: 30s, was 60s"]);
        check("[rest]\ntrailing_slash = \"ignore\"", "", &["rest.trailing_slash: strict, was ignore"]);
        let books = "[[upstreams]]\nname = \"books\"\ngrpc = \"http://h:1\"\n";
        check("", books, &["upstream books is new"]);
        check(books, "", &["upstream books is gone"]);
        let shop = books.replace("books", "shop");
        check(&format!("{books}{shop}"), &format!("{shop}{books}"), &["the order of upstreams has changed"]);
        check(books, &books.replace("h:1", "h:2"), &["upstreams.books.grpc: http://h:2, was http://h:1"]);
        let page = "[[routes]]\npath = \"/hello\"\nrespond = { body = \"hi\" }";
        check("", page, &["route /hello (GET /hello) is new"]);
        check(page, &page.replace("hi", "ho"), &["route /hello (GET /hello): respond has changed"]);
    }
}
