//! A route: what was decided about a group of calls when the config was loaded. Plain data, and the tables that find it.

pub mod catalog;
mod cors;
pub mod host;
mod near_rpc;
mod proxy;
mod respond;
pub mod router;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub use self::{
    cors::{Cors, Origins},
    host::HostPattern,
    near_rpc::NearRpc,
    proxy::Proxy,
    respond::{Piece, Place, Redirect, Respond, Text, Values, header},
};
use crate::{
    auth::Terms,
    schema::{Method, did_you_mean},
    status::shown,
};

/// Where calls go and under which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The route's name in logs and lists: an RPC's `/package.Service/Method`, or a service's pattern.
    pub name: Arc<str>,
    pub destination: Destination,
    /// The longest a unary call may take; a client's own timeout is cut to it. Streams are exempt.
    pub timeout: Option<Duration>,
    /// It does no harm to call twice: so the method says, or its HTTP rules do.
    pub repeatable: bool,
    pub limits: Limits,
    /// Who may call, how often, and what becomes of credentials.
    pub terms: Terms,
    /// Which pages of other origins may call, where it is not the general rule.
    pub cors: Option<Arc<Cors>>,
}

/// What answers a route's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A service of the gateway itself.
    Local,
    /// An upstream, by its name in the config.
    Upstream(Arc<str>),
    /// A response that is written in the config.
    Respond(Arc<Respond>),
    Redirect(Arc<Redirect>),
    /// An HTTP upstream, and as what requests go there.
    Proxy(Arc<Proxy>),
    /// A page of the gateway's own, which its door shows.
    Page,
    /// Nothing: what finds nothing to answer it is a call too, and is counted as one.
    Nothing,
}

impl Destination {
    /// False for what the gateway answers at its door, a page or a refusal.
    #[must_use]
    pub fn is_behind_the_door(&self) -> bool {
        match self {
            Self::Local | Self::Upstream(_) | Self::Respond(_) | Self::Redirect(_) | Self::Proxy(_) => true,
            Self::Page | Self::Nothing => false,
        }
    }
}

/// Limits of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request message, decompressed.
    pub request_bytes: usize,
    /// The longest response message that is transcoded, decompressed.
    pub response_bytes: usize,
    /// How long a request's body may pause, where it is one message.
    pub request_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_bytes: 4 << 20, response_bytes: 64 << 20, request_pause: Duration::from_secs(30) }
    }
}

/// One gRPC method, or one service without a schema, and its route.
#[derive(Debug, Clone)]
pub struct Rpc {
    pub route: Arc<Route>,
    /// `None` where the service's schema is not known.
    pub method: Option<Arc<Method>>,
}

/// Finds the route of a gRPC path: by method where the schema is known, else by service.
#[derive(Debug, Default)]
pub struct RpcTable {
    /// `/package.Service/Method`
    methods: HashMap<Box<str>, Rpc>,
    /// `package.Service`, of every known or configured service.
    services: HashMap<Box<str>, Option<Arc<Route>>>,
    /// Prefixes of service names (`package.`), longest first, of services without a schema; the last may be empty.
    prefixes: Vec<(Box<str>, Arc<Route>)>,
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
}

impl std::fmt::Display for RpcMiss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => f.write_str("a gRPC path is /package.Service/Method"),
            Self::UnknownService { service, near } => write!(f, "unknown service {}{near}", shown(service)),
            Self::UnknownMethod { service, method, near } => {
                write!(f, "unknown method {} for service {}{near}", shown(method), shown(service))
            }
        }
    }
}

impl RpcTable {
    /// Adds a method whose schema is known. Returns false if the path has a route already.
    pub fn insert_method(&mut self, method: Arc<Method>, route: Arc<Route>) -> bool {
        let path: Box<str> = method.path.as_str().into();
        if let Some((service, _)) = split(&path) {
            self.services.entry(service.into()).or_default();
        }
        let rpc = Rpc { route, method: Some(method) };
        self.methods.insert(path, rpc).is_none()
    }

    /// Adds services by pattern: a name, or a prefix that ends in `*`. Their schema need not be known.
    pub fn insert_services(&mut self, pattern: &str, route: Arc<Route>) {
        match pattern.strip_suffix('*') {
            Some(prefix) => {
                self.prefixes.push((prefix.into(), route));
                self.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            }
            None => {
                self.services.insert(pattern.into(), Some(route));
            }
        }
    }

    /// Adds one method of a service whose schema need not be known, unless it has a route already.
    pub fn insert_path(&mut self, path: &str, route: Arc<Route>) {
        self.methods.entry(path.into()).or_insert(Rpc { route, method: None });
    }

    /// Finds the route of `/package.Service/Method`.
    ///
    /// # Errors
    /// Names what is unknown, and the nearest known name.
    pub fn find(&self, path: &str) -> Result<Rpc, RpcMiss> {
        if let Some((route, method)) = self.known(path) {
            return Ok(Rpc { route: Arc::clone(route), method: method.cloned() });
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

    /// The route of `/package.Service/Method`, and the method where its schema is known.
    #[must_use]
    pub fn known(&self, path: &str) -> Option<(&Arc<Route>, Option<&Arc<Method>>)> {
        if let Some(rpc) = self.methods.get(path) {
            return Some((&rpc.route, rpc.method.as_ref()));
        }
        let (service, _) = split(path)?;
        match self.services.get(service) {
            Some(route) => route.as_ref().map(|route| (route, None)),
            None => {
                let by_prefix = self.prefixes.iter().find(|(prefix, _)| service.starts_with(&**prefix));
                by_prefix.map(|(_, route)| (route, None))
            }
        }
    }
}

fn split(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some((service, method))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str) -> Arc<Route> {
        let (destination, limits) = (Destination::Local, Limits::default());
        Arc::new(Route {
            name: name.into(),
            destination,
            timeout: None,
            repeatable: false,
            limits,
            cors: None,
            terms: Terms::default(),
        })
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
            let found =
                table.find(path).map_or_else(|miss| miss.to_string(), |rpc| rpc.route.name.to_string());
            assert_eq!(found, want, "{path}");
            assert_eq!(table.known(path).is_some(), table.find(path).is_ok(), "{path}");
        };
        check("/old.v1.A/Slow", "slow");
        check("/old.v1.A/Other", "old.v1.A");
        check("/old.v1.B/Any", "old.v1.*");
        check("/old.C/Any", "old.*");
        check("/alone.B/Get", "alone");
        check("/alone.B/Gt", "unknown method Gt for service alone.B (did you mean \"Get\"?)");
        check("/new.D/Any", "unknown service new.D");
        check("/old.v1.A", "a gRPC path is /package.Service/Method");
    }
}
