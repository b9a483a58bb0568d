//! The table of gRPC paths: which route a call of a method meets, by the method, its service, or a prefix of that; and where
//! several routes are for one of these, by the request's host and headers.

use std::{collections::HashMap, sync::Arc};

use super::{Asked, Conditions, Route, Weighted, by_host::ByHost};
use crate::{
    schema::{Method, did_you_mean},
    status::shown,
};

/// One gRPC method, or one service without a schema, and its route.
#[derive(Debug, Clone)]
pub struct Rpc {
    pub route: Arc<Route>,
    /// `None` where the service's schema is not known.
    pub method: Option<Arc<Method>>,
}

/// The routes of one method, service or prefix: those for some requests, and the one for all others.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    when: Vec<(Arc<Conditions>, Weighted<Route>)>,
    always: Option<Weighted<Route>>,
    /// Where those of a host are in `when`: there may be thousands.
    places: ByHost<Vec<usize>>,
}

impl From<Arc<Route>> for Routes {
    fn from(route: Arc<Route>) -> Self {
        Self::new(Vec::new(), Some(route.into()))
    }
}

impl Routes {
    /// `when`: each with what a request must be, the most exact host first; of those of one host the first that fits is
    /// taken. `always`: `None` where requests that fulfil none of these conditions lead nowhere.
    #[must_use]
    pub fn new(when: Vec<(Arc<Conditions>, Weighted<Route>)>, always: Option<Weighted<Route>>) -> Self {
        let mut places = ByHost::<Vec<usize>>::default();
        for (at, (conditions, _)) in when.iter().enumerate() {
            if conditions.hosts.is_empty() {
                places.any.push(at);
            }
            for host in &conditions.hosts {
                places.at(host, Vec::new).push(at);
            }
        }
        Self { when, always, places }
    }

    /// Those for some requests, each with what these must be.
    #[must_use]
    pub fn when(&self) -> &[(Arc<Conditions>, Weighted<Route>)] {
        &self.when
    }

    /// That of all others.
    #[must_use]
    pub fn always(&self) -> Option<&Weighted<Route>> {
        self.always.as_ref()
    }

    /// The route of a request; of one that leads to several upstreams, each by its weight.
    #[must_use]
    pub fn choose(&self, asked: &Asked<'_>) -> Option<&Weighted<Route>> {
        if self.when.is_empty() {
            return self.always.as_ref();
        }
        let mut places = self.places.of(asked).flatten().filter_map(|at| self.when.get(*at));
        let found = places.find(|(conditions, _)| conditions.headers.hold(asked));
        found.map(|(_, routes)| routes).or(self.always.as_ref())
    }

    /// Any of them: what is the same of all.
    #[must_use]
    pub fn first(&self) -> Option<&Arc<Route>> {
        self.always.as_ref().or_else(|| self.when.first().map(|(_, routes)| routes)).map(Weighted::first)
    }
}

/// Finds the route of a gRPC path: by method where the schema is known, else by service.
#[derive(Debug, Default)]
pub struct RpcTable {
    /// `/package.Service/Method`
    pub(super) methods: HashMap<Box<str>, (Routes, Option<Arc<Method>>)>,
    /// `package.Service`, of every known or configured service.
    pub(super) services: HashMap<Box<str>, Option<Routes>>,
    /// Prefixes of service names (`package.`), longest first, of services without a schema; the last may be empty.
    prefixes: Vec<(Box<str>, Routes)>,
}

/// Why there is no route for a gRPC path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpcMiss {
    /// The path is not `/service/method`.
    Malformed,
    /// `near` is the end of a sentence: the nearest known name, or nothing.
    UnknownService {
        service: String,
        near: String,
    },
    UnknownMethod {
        service: String,
        method: String,
        near: String,
    },
    /// It has routes, and none is for this host and these headers.
    Elsewhere {
        service: String,
    },
}

impl std::fmt::Display for RpcMiss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => f.write_str("a gRPC path is /package.Service/Method"),
            Self::UnknownService { service, near } => write!(f, "unknown service {}{near}", shown(service)),
            Self::UnknownMethod { service, method, near } => {
                write!(f, "unknown method {} for service {}{near}", shown(method), shown(service))
            }
            Self::Elsewhere { service } => {
                write!(f, "no route of service {} is for this host and these headers", shown(service))
            }
        }
    }
}

impl RpcTable {
    /// Adds a method whose schema is known. Returns false if the path has a route already.
    pub fn insert_method(&mut self, method: Arc<Method>, routes: impl Into<Routes>) -> bool {
        let path: Box<str> = method.path.as_str().into();
        if let Some((service, _)) = split(&path) {
            self.services.entry(service.into()).or_default();
        }
        self.methods.insert(path, (routes.into(), Some(method))).is_none()
    }

    /// Adds services by pattern: a name, or a prefix that ends in `*`. Their schema need not be known.
    pub fn insert_services(&mut self, pattern: &str, routes: impl Into<Routes>) {
        let routes = routes.into();
        match pattern.strip_suffix('*') {
            Some(prefix) => {
                self.prefixes.push((prefix.into(), routes));
                self.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            }
            None => {
                self.services.insert(pattern.into(), Some(routes));
            }
        }
    }

    /// Adds one method of a service whose schema need not be known, unless it has a route already.
    pub fn insert_path(&mut self, path: &str, routes: impl Into<Routes>) {
        self.methods.entry(path.into()).or_insert_with(|| (routes.into(), None));
    }

    /// Finds the route of a request for `/package.Service/Method`.
    ///
    /// # Errors
    /// Names what is unknown, and the nearest known name.
    pub fn find(&self, path: &str, asked: &Asked<'_>) -> Result<Rpc, RpcMiss> {
        if let Some((routes, method)) = self.known(path) {
            let Some(chosen) = routes.choose(asked) else {
                let service = split(path).map_or(path, |(service, _)| service).to_owned();
                return Err(RpcMiss::Elsewhere { service });
            };
            return Ok(Rpc { route: Arc::clone(chosen.pick()), method: method.cloned() });
        }
        let (service, method) = split(path).ok_or(RpcMiss::Malformed)?;
        let known = || self.methods.keys().filter_map(|known| split(known));
        if known().any(|(known, _)| known == service) {
            let siblings = known().filter(|(known, _)| *known == service).map(|(_, method)| method);
            let near = did_you_mean(method, siblings);
            return Err(RpcMiss::UnknownMethod { service: service.into(), method: method.into(), near });
        }
        let near = did_you_mean(service, self.services.keys().map(|known| &**known));
        Err(RpcMiss::UnknownService { service: service.into(), near })
    }

    /// The routes of `/package.Service/Method`, and the method where its schema is known.
    #[must_use]
    pub fn known(&self, path: &str) -> Option<(&Routes, Option<&Arc<Method>>)> {
        if let Some((routes, method)) = self.methods.get(path) {
            return Some((routes, method.as_ref()));
        }
        let (service, _) = split(path)?;
        match self.services.get(service) {
            Some(routes) => routes.as_ref().map(|routes| (routes, None)),
            None => {
                let by_prefix = self.prefixes.iter().find(|(prefix, _)| service.starts_with(&**prefix));
                by_prefix.map(|(_, routes)| (routes, None))
            }
        }
    }
}

/// The service and the method of a path. What another server could read as other names (an escape, a parameter behind `;`,
/// dots that lead elsewhere) is none.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let name = |name: &str| {
        !name.is_empty()
            && !matches!(name, "." | "..")
            && !name.bytes().any(|byte| matches!(byte, b'/' | b'%' | b';' | b'\\'))
    };
    (name(service) && name(method)).then_some((service, method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Destination, HeaderMatch, Headers, Host};

    fn route(name: &str) -> Arc<Route> {
        Arc::new(Route::of(name, Destination::Local))
    }

    #[test]
    fn a_path_is_its_methods_then_its_services_then_its_prefixs() {
        let mut table = RpcTable::default();
        for pattern in ["old.*", "old.v1.*", "old.v1.A"] {
            table.insert_services(pattern, route(pattern));
        }
        table.insert_path("/old.v1.A/Slow", route("slow"));
        table.insert_path("/old.v1.A/Slow", route("later"));
        table.insert_path("/alone.B/Get", route("alone"));
        let check = |path: &str, want: &str| {
            let found = table.find(path, &Asked::default());
            let found = found.map_or_else(|miss| miss.to_string(), |rpc| rpc.route.name.to_string());
            assert_eq!(found, want, "{path}");
            assert_eq!(table.known(path).is_some(), table.find(path, &Asked::default()).is_ok(), "{path}");
        };
        check("/old.v1.A/Slow", "slow");
        check("/old.v1.A/Other", "old.v1.A");
        check("/old.v1.B/Any", "old.v1.*");
        check("/old.C/Any", "old.*");
        check("/alone.B/Get", "alone");
        check("/alone.B/Gt", "unknown method Gt for service alone.B (did you mean \"Get\"?)");
        check("/new.D/Any", "unknown service new.D");
        check("/old.v1.A", "a gRPC path is /package.Service/Method");
        for path in
            ["/old.v1.A/Sl%6Fw", "/old.v1.A/Slow;x", "/old.v1.A/..", "/old.%76/Slow", "/old.v1.A\\x/Slow"]
        {
            check(path, "a gRPC path is /package.Service/Method");
        }
    }

    #[test]
    fn a_service_has_routes_by_host_and_headers() {
        let of = |hosts: &[&str], header: Option<(&'static str, &'static str)>| {
            let header = header.map(|(name, value)| HeaderMatch {
                name: http::HeaderName::from_static(name),
                value: Some(http::HeaderValue::from_static(value)),
            });
            let hosts = hosts.iter().map(|host| Host::parse(host).unwrap()).collect();
            Arc::new(Conditions { hosts, headers: Headers::new(header.into_iter().collect()) })
        };
        let mut table = RpcTable::default();
        let when = vec![
            (of(&["a.example"], Some(("x-canary", "1"))), route("canary").into()),
            (of(&["*.example"], None), route("wild").into()),
        ];
        table.insert_services("one.A", Routes::new(when.clone(), Some(route("always").into())));
        table.insert_services("two.*", Routes::new(when, None));
        let check = |path: &str, host: &'static str, canary: bool, want: &str| {
            let uri = http::Uri::from_static("/");
            let mut headers = http::HeaderMap::new();
            headers.insert("host", http::HeaderValue::from_static(host));
            if canary {
                headers.insert("x-canary", http::HeaderValue::from_static("1"));
            }
            let found = table.find(path, &Asked::of(&uri, &headers));
            let found = found.map_or_else(|miss| miss.to_string(), |rpc| rpc.route.name.to_string());
            assert_eq!(found, want, "{path} {host} {canary}");
        };
        check("/one.A/Get", "a.example:80", true, "canary");
        check("/one.A/Get", "a.example", false, "wild");
        check("/one.A/Get", "elsewhere", true, "always");
        check("/two.B/Get", "b.example", false, "wild");
        check(
            "/two.B/Get",
            "elsewhere",
            false,
            "no route of service two.B is for this host and these headers",
        );
    }
    #[test]
    fn as_many_hosts_as_there_are_cost_a_call_nothing() {
        let of = |count: usize| {
            let when = |number: usize| {
                let hosts = vec![Host::parse(&format!("t{number}.example")).unwrap()];
                let conditions = Arc::new(Conditions { hosts, headers: Headers::default() });
                (conditions, route(&format!("t{number}")).into())
            };
            let mut table = RpcTable::default();
            table.insert_services("a.B", Routes::new((0..count).map(when).collect(), None));
            table
        };
        let (few, many) = (of(10), of(10_000));
        let uri = http::Uri::from_static("/");
        let headers = |host: &'static str| {
            http::HeaderMap::from_iter([(http::header::HOST, http::HeaderValue::from_static(host))])
        };
        let (last, nowhere) = (headers("T9.example:80"), headers("x.example"));
        // The best of many rounds: others use the machine too.
        let cost = |table: &RpcTable| {
            let round = || {
                let begun = std::time::Instant::now();
                for _ in 0..200 {
                    let found = table.find("/a.B/Get", &Asked::of(&uri, &last)).unwrap();
                    assert_eq!(&*found.route.name, "t9");
                }
                begun.elapsed()
            };
            assert!(table.find("/a.B/Get", &Asked::of(&uri, &nowhere)).is_err());
            (0..50).map(|_| round()).min().unwrap()
        };
        let (small, large) = (cost(&few), cost(&many));
        assert!(large < small * 5, "{small:?} among ten, {large:?} among ten thousand");
    }
}
