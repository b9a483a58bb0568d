//! From the config as written to the config as meant: each value checked, and every mistake collected. In the place of what
//! is wrong stands its default, so that the checks go on; who asked for the config is given it only if nothing was wrong.

mod access;
mod answers;
mod callers;
mod conditions;
mod files;
mod galaxy;
mod header_changes;
mod health;
mod health_body;
mod http_rules;
mod http_upstreams;
mod log;
mod mcp;
mod mcp_servers;
mod meant;
mod metrics;
mod otlp;
mod places;
mod proxy;
mod resilience;
mod rest;
mod routes;
mod store;
mod tls;
mod upstreams;
mod values;

use std::{path::Path, sync::Arc, time::Duration};

use self::health::Around;
pub(super) use self::values::has_credentials;
pub use self::values::{listen_address, time, upstream_address};
use super::{
    BuiltIn, Config, Connections, Drain, Own,
    environment::Environment,
    mistake::{Mistake, Mistakes},
    settings::{self, Settings, Time},
};
use crate::{
    auth::{CERTIFICATE, Network},
    route::{Cors, Host, Limits, Origins},
};

/// What the checks look at beside the settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looks<'a> {
    /// Relative paths are taken from it.
    pub(super) folder: &'a Path,
    pub(super) environment: &'a Environment,
    /// Whether descriptors and certificates are looked into.
    pub(super) files: bool,
    /// Whether a secret that is not there is a mistake.
    pub(super) secrets: bool,
}

/// The checks, and where they say what is wrong.
pub(super) struct Check<'a> {
    looks: Looks<'a>,
    pub(super) found: &'a mut Mistakes,
    users: Users,
}

/// Whose users a rule may name.
#[derive(Default)]
struct Users {
    issuers: Vec<String>,
    /// Those of the tokens in the config.
    written: Vec<String>,
}

impl<'a> Check<'a> {
    pub(super) fn new(looks: Looks<'a>, found: &'a mut Mistakes) -> Self {
        Self { looks, found, users: Users::default() }
    }

    pub(super) fn config(&mut self, settings: Settings) -> Config {
        let default = Config::default();
        let Settings {
            gateway,
            tls,
            admin,
            log,
            metrics,
            otlp,
            traces,
            connections,
            limits,
            mut auth,
            access,
            rate_limits,
            store,
            accounts,
            health,
            cors,
            rest,
            mcp,
            galaxy,
            builtin,
            upstreams,
            routes,
            http_rules,
        } = settings;
        let listen = gateway.listen.and_then(|text| self.found.take("gateway.listen", listen_address(&text)));
        let admin = self.admin(admin, listen.unwrap_or(default.listen));
        let proxies = self.proxies(&gateway.trusted_proxies, gateway.forwarded_header.as_deref());
        // An upstream that is wrong itself may be the one that is meant; one without a name may be any.
        let named: Option<Vec<String>> = upstreams
            .iter()
            .map(|upstream| Some(upstream.name.clone()).filter(|name| !name.is_empty()))
            .collect();
        let of_http = upstreams.iter().filter(|upstream| upstream.http.is_some());
        let of_http: Vec<String> = of_http.map(|upstream| upstream.name.clone()).collect();
        let (upstreams, http_upstreams) = self.upstreams(upstreams);
        let proxy_protocol = self.proxy_protocol(&connections.proxy_protocol);
        let connections = self.connections(connections);
        let user = |token: &settings::Token| token.user.clone().unwrap_or_else(|| token.name.clone());
        self.users = Users {
            issuers: auth.issuers.iter().map(|issuer| issuer.name.clone()).collect(),
            written: auth.tokens.iter().map(user).collect(),
        };
        let (services, paths) = self.routes(routes, named.as_deref(), &of_http);
        let asks = tls.client_certificates.is_some_and(|asked| asked != settings::ClientCertificates::None);
        let identity = tls.client_identity.clone();
        let certificates = (identity, std::mem::take(&mut auth.certificates), asks);
        if asks {
            self.users.issuers.push(CERTIFICATE.to_owned());
        }
        let callers = self.callers(auth, access, rate_limits, proxies, certificates);
        let otlp = self.otlp(otlp);
        let (metrics, push) = self.metrics(metrics, &otlp);
        let environment: Arc<str> = gateway.environment.map_or(default.environment, Into::into);
        let built_ins = self.built_ins(builtin);
        let store = self.store(store);
        let around = Around { upstreams: named.as_deref(), store: &store, keeps: built_ins.has_accounts() };
        let health = self.gateway_health(health, &around);
        let proto_names = built_ins.get(Own::Health).proto_names;
        let tiers: Vec<Arc<str>> = callers.limits.tiers.keys().cloned().collect();
        let mcp = self.mcp(mcp, &callers.issuers);
        let mut built_ins = built_ins;
        if !(mcp.enabled && mcp.oauth.enabled && mcp.oauth.issuer.is_none()) {
            // Nobody needs its tokens.
            built_ins.set(Own::Oauth, BuiltIn { enabled: false, ..built_ins.get(Own::Oauth) });
        }
        Config {
            listen: listen.unwrap_or(default.listen),
            admin,
            tls: self.tls(tls),
            proxy_protocol,
            workers: gateway.workers.filter(|workers| *workers > 0).unwrap_or(default.workers),
            environment: Arc::clone(&environment),
            instance: gateway.instance.map(Into::into),
            hosts: self.hosts(&gateway.hosts),
            drain: Drain {
                delay: self.delay("gateway.drain_delay", gateway.drain_delay, default.drain.delay),
                timeout: self.time("gateway.drain", gateway.drain, default.drain.timeout),
            },
            watch_config: gateway.watch_config.unwrap_or(default.watch_config),
            log: self.log(log),
            metrics,
            push,
            traces: self.traces(traces, &otlp),
            connections,
            limits: Limits {
                request_pause: connections.body_timeout,
                request_bytes: limits.request_bytes.unwrap_or(default.limits.request_bytes),
                response_bytes: limits.response_bytes.unwrap_or(default.limits.response_bytes),
            },
            header_bytes: limits.header_bytes.unwrap_or(default.header_bytes),
            headers: limits.headers.unwrap_or(default.headers),
            timeout: self.time("limits.timeout", limits.timeout, default.timeout),
            accounts: self.accounts(accounts, &tiers),
            callers,
            store,
            health,
            cors: self.cors("cors", cors),
            built_ins,
            rest: self.rest(rest, &environment, proto_names),
            mcp,
            galaxy: self.galaxy(galaxy),
            upstreams,
            http_upstreams,
            services,
            paths,
            http_rules: self.http_rules(http_rules),
        }
    }

    fn connections(&mut self, written: settings::Connections) -> Connections {
        let default = Connections::default();
        let flood_wait = self.delay("connections.flood_wait", written.flood_wait, default.flood_wait);
        let mut time = |key: &str, text, default| self.time(&format!("connections.{key}"), text, default);
        let connections = Connections {
            max: written.max.unwrap_or(default.max),
            max_per_address: written.max_per_address.unwrap_or(default.max_per_address),
            flood_wait,
            streams: written.streams.unwrap_or(default.streams),
            header_timeout: time("header_timeout", written.header_timeout, default.header_timeout),
            body_timeout: time("body_timeout", written.body_timeout, default.body_timeout),
            idle_timeout: time("idle_timeout", written.idle_timeout, default.idle_timeout),
            write_timeout: time("write_timeout", written.write_timeout, default.write_timeout),
            keepalive_interval: time(
                "keepalive_interval",
                written.keepalive_interval,
                default.keepalive_interval,
            ),
            keepalive_timeout: time(
                "keepalive_timeout",
                written.keepalive_timeout,
                default.keepalive_timeout,
            ),
            max_age: written
                .max_age
                .map(|text| time("max_age", Some(text), default.idle_timeout))
                .or(default.max_age),
            max_age_grace: time("max_age_grace", written.max_age_grace, default.max_age_grace),
        };
        if connections.max_per_address > connections.max && written.max_per_address.is_some() {
            let message = format!(
                "{} from one address is more than the {} there may be at all (connections.max)",
                connections.max_per_address, connections.max
            );
            self.found.push(Mistake::new("connections.max_per_address", message).warning());
        }
        connections
    }

    /// The networks that begin connections with a PROXY header.
    fn proxy_protocol(&mut self, written: &[String]) -> Vec<Network> {
        let mut networks = Vec::with_capacity(written.len());
        for (index, text) in written.iter().enumerate() {
            let network = Network::parse(text);
            networks.extend(self.found.take(format!("connections.proxy_protocol[{index}]"), network));
        }
        networks
    }

    pub(super) fn cors(&mut self, path: &str, written: settings::Cors) -> Cors {
        let default = Cors::default();
        let credentials = written.credentials.unwrap_or(default.credentials);
        let origins = match written.origins.as_slice() {
            [] => Origins::None,
            [one] if one == "*" => Origins::Any,
            [one] if one == "loopback" => Origins::Loopback,
            several => Origins::Listed(self.origins(&format!("{path}.origins"), several)),
        };
        if credentials && origins == Origins::Any {
            let message = "pages of any origin may not send credentials; name the origins in place of \"*\"";
            self.found.add(format!("{path}.credentials"), message);
        }
        let names = written.expose.iter().enumerate().filter_map(|(index, name)| {
            match http::HeaderName::try_from(name) {
                Ok(name) => Some(name.as_str().to_owned()),
                Err(_) => {
                    self.found
                        .add(format!("{path}.expose[{index}]"), format!("{name:?} is no header's name"));
                    None
                }
            }
        });
        let expose = names.collect();
        Cors {
            origins,
            credentials,
            max_age: self.delay(&format!("{path}.max_age"), written.max_age, default.max_age),
            expose,
        }
    }

    fn origins(&mut self, path: &str, written: &[String]) -> Vec<String> {
        let mut origins = Vec::with_capacity(written.len());
        for (index, text) in written.iter().enumerate() {
            match values::origin(text) {
                Ok(origin) => origins.push(origin),
                Err(mistake) => self.found.push(Mistake { path: format!("{path}[{index}]"), ..mistake }),
            }
        }
        origins
    }

    /// The hosts that requests may ask for; "*" alone is any.
    fn hosts(&mut self, written: &[String]) -> Vec<Host> {
        if matches!(written, [one] if one == "*") {
            return Vec::new();
        }
        let patterns = written.iter().enumerate().filter_map(|(index, text)| {
            self.found.take(format!("gateway.hosts[{index}]"), Host::parse(text))
        });
        patterns.collect()
    }

    /// A time that is not zero.
    pub(super) fn time(&mut self, path: &str, written: Option<Time>, default: Duration) -> Duration {
        written.and_then(|Time(text)| self.found.take(path, values::time(&text))).unwrap_or(default)
    }

    /// A time, where there is one.
    pub(super) fn some_time(&mut self, path: &str, written: Option<Time>) -> Option<Duration> {
        written.and_then(|Time(text)| self.found.take(path, values::time(&text)))
    }

    /// A time that may be none at all.
    pub(super) fn delay(&mut self, path: &str, written: Option<Time>, default: Duration) -> Duration {
        match written {
            Some(Time(text)) if matches!(text.as_str(), "0" | "0s" | "0ms") => Duration::ZERO,
            written => self.time(path, written, default),
        }
    }
}
