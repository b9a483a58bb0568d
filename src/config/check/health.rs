//! `[health]` checked: whom the probes ask, and from where on the process's figures are bad.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderValue, uri::PathAndQuery};

use super::{Check, listen_address, upstream_address, values::has_credentials};
use crate::{
    config::{
        Secret,
        mistake::Mistake,
        settings::{self, ProbeKind as Kind, ProbesIn},
    },
    dispatch::Host,
    health::{Check as Figure, Get, Headers, Probe, Settings, Target, Thresholds},
    store::{DatabaseUrl, RedisUrl},
};

/// How long an answer may take where the config says nothing.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a probe is made of beside its target: the secrets, and the files that they were read from.
#[derive(Default)]
struct Kept {
    critical: bool,
    secrets: u64,
    files: Vec<PathBuf>,
}

impl Kept {
    fn add(&mut self, secret: &Secret) {
        self.secrets = self.secrets.rotate_left(7) ^ secret.fingerprint();
        self.files.extend(secret.file().map(Path::to_owned));
    }
}

/// What the probes may be about beside what they say themselves.
pub(super) struct Around<'a> {
    /// The upstreams' names as written; `None`: one is without, and may be any.
    pub(super) upstreams: Option<&'a [String]>,
    /// The stores' own settings.
    pub(super) store: &'a crate::store::Settings,
    /// Something is kept in the database.
    pub(super) keeps: bool,
}

impl Check<'_> {
    pub(super) fn gateway_health(
        &mut self,
        written: settings::GatewayHealth,
        around: &Around<'_>,
    ) -> Settings {
        let default = Settings::default();
        let cache = self.delay("health.cache", written.cache, default.cache);
        let settings::Degraded { memory, cpu, disk, descriptors, lag } = written.degraded;
        let lag = self.some_time("health.degraded.lag", lag);
        let degraded = or(Thresholds { memory, cpu, disk, descriptors, lag }, default.degraded);
        let settings::Unhealthy { memory, cpu, disk, descriptors, lag } = written.unhealthy;
        let lag = self.some_time("health.unhealthy.lag", lag);
        let unhealthy = or(Thresholds { memory, cpu, disk, descriptors, lag }, default.unhealthy);
        self.ordered(degraded, unhealthy);
        let checks = written.checks.map_or(default.checks, |names| self.figures(&names));
        let mut probes = Vec::with_capacity(written.probes.len());
        let mut names = HashSet::new();
        for (index, probe) in written.probes.into_iter().enumerate() {
            let path = format!("health.probes[{index}]");
            if !probe.name.is_empty() && !names.insert(probe.name.clone()) {
                let message = format!("a probe {:?} is there already", probe.name);
                self.found.add(format!("{path}.name"), message);
            }
            probes.extend(self.probe(&path, probe, around));
        }
        if written.upstreams == Some(true) {
            let named = around.upstreams.unwrap_or_default().iter().filter(|name| !name.is_empty());
            for name in named {
                let target = Target::Upstream(name.as_str().into());
                if probes.iter().all(|probe| probe.target != target) && names.insert(name.clone()) {
                    let name = name.as_str().into();
                    probes.push(Probe {
                        name,
                        target,
                        timeout: TIMEOUT,
                        critical: false,
                        may_be_absent: false,
                        secrets: 0,
                        files: Vec::new(),
                    });
                }
            }
        }
        Settings {
            cache,
            cache_key: written.cache_key.map_or(default.cache_key, Into::into),
            as_checks: written.probes_in == Some(ProbesIn::Checks),
            probes,
            checks,
            memory_limit: written.memory_limit,
            degraded,
            unhealthy,
        }
    }

    /// What is unhealthy is degraded too.
    fn ordered(&mut self, degraded: Thresholds, unhealthy: Thresholds) {
        let of =
            |one: Option<f64>, other: Option<f64>| one.zip(other).is_some_and(|(one, other)| one > other);
        let pairs = [
            ("memory", of(degraded.memory, unhealthy.memory)),
            ("cpu", of(degraded.cpu, unhealthy.cpu)),
            ("disk", of(degraded.disk, unhealthy.disk)),
            ("descriptors", of(degraded.descriptors, unhealthy.descriptors)),
            ("lag", degraded.lag.zip(unhealthy.lag).is_some_and(|(one, other)| one > other)),
        ];
        for (name, _) in pairs.into_iter().filter(|(_, wrong)| *wrong) {
            let message = "it is more than what is unhealthy (health.unhealthy): it would never be said";
            self.found.add(format!("health.degraded.{name}"), message);
        }
    }

    fn figures(&mut self, names: &[String]) -> Vec<Figure> {
        let mut checks = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let path = format!("health.checks[{index}]");
            match Figure::ALL.into_iter().find(|check| check.name() == name) {
                Some(check) if checks.contains(&check) => {
                    self.found.add(path, format!("{name:?} is there already"));
                }
                Some(check) => checks.push(check),
                None => {
                    let known = Figure::ALL.map(Figure::name);
                    let message = format!("{name:?} is no check; there are {}", known.join(", "));
                    self.found.push(Mistake::new(path, message).near(name, known));
                }
            }
        }
        checks
    }

    fn probe(&mut self, path: &str, written: settings::Probe, around: &Around<'_>) -> Option<Probe> {
        let key = |name: &str| format!("{path}.{name}");
        let settings::Probe { name, kind, url, upstream, service, headers, timeout, critical, may_be_absent } =
            written;
        let idle = [
            ("service", service.is_some() && kind != Some(Kind::Grpc), "grpc"),
            ("headers", !headers.is_empty() && kind != Some(Kind::Http), "http"),
        ];
        for (name, _, of) in idle.into_iter().filter(|(_, idle, _)| *idle) {
            let message = format!("it does nothing: it is for the kind {of}");
            self.found.push(Mistake::new(key(name), message).of_key().warning());
        }
        let (critical, may_be_absent) = (critical.unwrap_or_default(), may_be_absent.unwrap_or_default());
        if critical && may_be_absent {
            let message = "what is critical may not be absent: it is one of the two";
            self.found.add(key("may_be_absent"), message);
        }
        let timeout = self.time(&key("timeout"), timeout, TIMEOUT);
        let mut kept = Kept { critical, ..Kept::default() };
        let target = match (upstream, kind) {
            (Some(upstream), None) => {
                if url.is_some() {
                    let message = "it does nothing: where the upstream is, [[upstreams]] says";
                    self.found.push(Mistake::new(key("url"), message).of_key());
                }
                self.upstream_of_probe(&key("upstream"), &upstream, around)
            }
            (Some(_), Some(_)) => {
                let message =
                    "it is about an upstream, which says itself how it is asked; leave out one of the two";
                self.found.push(Mistake::new(key("kind"), message).of_key());
                None
            }
            (None, None) => {
                // One that is wrong itself is told of already.
                if !self.found.below(&key("kind")) && !self.found.below(&key("upstream")) {
                    let message =
                        "it has neither a kind (http, tcp, grpc, postgres or redis) nor an upstream";
                    self.found.add(path, message);
                }
                None
            }
            (None, Some(kind)) => {
                let headers = if kind == Kind::Http { headers } else { BTreeMap::new() };
                let headers = self.probe_headers(&key("headers"), headers, &mut kept);
                let service = service.unwrap_or_default();
                self.target(path, kind, url, (service, headers), around, &mut kept)
            }
        };
        let Kept { critical, secrets, files } = kept;
        Some(Probe { name: name.into(), target: target?, timeout, critical, may_be_absent, secrets, files })
    }

    fn upstream_of_probe(&mut self, path: &str, name: &str, around: &Around<'_>) -> Option<Target> {
        if let Some(known) = around.upstreams
            && !known.iter().any(|known| known == name)
        {
            let mistake = Mistake::new(path, format!("there is no upstream {name:?}"));
            self.found.push(mistake.near(name, known.iter().map(String::as_str)));
            return None;
        }
        Some(Target::Upstream(name.into()))
    }

    fn probe_headers(
        &mut self,
        path: &str,
        written: BTreeMap<String, settings::Text>,
        kept: &mut Kept,
    ) -> Headers {
        let headers = self.metadata(path, written).into_iter().filter_map(|(name, secret)| {
            kept.add(&secret);
            let mut value = HeaderValue::try_from(secret.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        Headers(headers.collect())
    }

    fn target(
        &mut self,
        path: &str,
        kind: Kind,
        url: Option<settings::Text>,
        (service, headers): (String, Headers),
        around: &Around<'_>,
        kept: &mut Kept,
    ) -> Option<Target> {
        let at = format!("{path}.url");
        let Some(url) = url else {
            return match kind {
                Kind::Postgres => self.own_database(path, around, kept.critical),
                Kind::Redis if around.store.redis.is_some() => Some(Target::OwnRedis),
                Kind::Redis => self.none_of_its_own(path, "Redis", "store.redis, REDIS_URL", kept.critical),
                Kind::Http | Kind::Tcp | Kind::Grpc => {
                    self.found.add(path, "it has no url: where the service is");
                    None
                }
            };
        };
        match kind {
            Kind::Postgres => {
                let parse = |text: &str| match DatabaseUrl::parse(text) {
                    Ok(DatabaseUrl::Sqlite(_)) => {
                        Err("it is a file of SQLite: nobody can be asked".to_owned())
                    }
                    other => other.map_err(|error| error.to_string()),
                };
                let (url, secret) = self.url(&at, url, &["postgres"], parse)?;
                kept.add(&secret);
                Some(Target::Postgres(url))
            }
            Kind::Redis => {
                let (url, secret) = self.url(&at, url, &["redis", "rediss", "unix"], RedisUrl::parse)?;
                kept.add(&secret);
                Some(Target::Redis(Box::new(url)))
            }
            Kind::Http | Kind::Tcp | Kind::Grpc => {
                let literal = matches!(url, settings::Text::Literal(_));
                let text = match self.text("url", url) {
                    Err(_) if !self.looks.secrets && !literal => return None,
                    read => self.found.take(&*at, read)?,
                };
                kept.add(&text);
                let read = match kind {
                    Kind::Http => get(text.expose(), headers).map(|get| Target::Http(Box::new(get))),
                    Kind::Tcp => tcp(text.expose()).map(Target::Tcp),
                    _ => upstream_address(text.expose()).map(|address| Target::Grpc {
                        tls: address.tls,
                        host: Host { host: address.host, port: address.port },
                        service,
                    }),
                };
                self.found.take(at, read)
            }
        }
    }

    fn own_database(&mut self, path: &str, around: &Around<'_>, critical: bool) -> Option<Target> {
        if around.keeps || matches!(around.store.database, DatabaseUrl::Postgres(_)) {
            return Some(Target::OwnDatabase);
        }
        self.none_of_its_own(path, "database", "store.database, DATABASE_URL", critical)
    }

    /// There is nothing to ask: what is critical is missing then, and else is left out. Who serves nobody needs neither.
    fn none_of_its_own(&mut self, path: &str, what: &str, keys: &str, critical: bool) -> Option<Target> {
        // One that is written wrongly is told of already.
        if self.found.below(keys.split(',').next().unwrap_or_default()) {
            return None;
        }
        let message = format!("the gateway has no {what} of its own ({keys})");
        if critical && self.looks.secrets {
            self.found.add(path, format!("{message}, and this probe is critical"));
        } else {
            self.found.push(Mistake::new(path, format!("{message}: it is not asked")).warning());
        }
        None
    }
}

/// What is written, else what holds without.
fn or(written: Thresholds, default: Thresholds) -> Thresholds {
    Thresholds {
        memory: written.memory.or(default.memory),
        cpu: written.cpu.or(default.cpu),
        disk: written.disk.or(default.disk),
        descriptors: written.descriptors.or(default.descriptors),
        lag: written.lag.or(default.lag),
    }
}

/// `http://HOST[:PORT][/PATH]`
fn get(text: &str, headers: Headers) -> Result<Get, String> {
    let wrong = |why: &str| {
        let shown = if has_credentials(text) { "it" } else { text };
        format!("{shown} is no URL to GET ({why}), such as http://shop:8080/health")
    };
    if has_credentials(text) {
        return Err("the URL has a user or a password; credentials go into the probe's headers".to_owned());
    }
    let uri: http::Uri = text.parse().map_err(|_| wrong("it is none at all"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) => return Err(wrong("its scheme is neither http nor https")),
        None => return Err(wrong("it has no scheme")),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"))?;
    let port = match uri.port() {
        None => {
            if tls {
                443
            } else {
                80
            }
        }
        Some(port) => Some(port.as_u16()).filter(|port| *port != 0).ok_or_else(|| wrong("port 0"))?,
    };
    let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let host = Host { host: host.trim_matches(['[', ']']).to_owned(), port };
    Ok(Get { tls, host, path, headers })
}

/// `HOST:PORT`, with tcp:// before it or not.
fn tcp(text: &str) -> Result<Host, String> {
    let bare = text.strip_prefix("tcp://").unwrap_or(text);
    let wrong = || format!("{text:?} is no HOST:PORT to connect to");
    if let Ok(address) = listen_address(bare) {
        return Some(address.port())
            .filter(|port| *port != 0)
            .map(|port| Host { host: address.ip().to_string(), port })
            .ok_or_else(wrong);
    }
    let (host, port) = bare.rsplit_once(':').ok_or_else(wrong)?;
    let fits =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let port = port.parse::<u16>().ok().filter(|port| *port != 0 && fits);
    port.map(|port| Host { host: host.to_owned(), port }).ok_or_else(wrong)
}
