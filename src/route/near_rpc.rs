//! The gRPC methods nearest to a path that none has, ranked, with why it is not them. For whoever asks why: every
//! method is compared.

use std::collections::HashMap;

use super::rpc_table::{RpcTable, split};
use crate::schema::likeness;

/// A method near to a gRPC path.
#[derive(Debug, Clone, PartialEq)]
pub struct NearRpc {
    /// `/package.Service/Method`, or `/package.Service/*` where only the service is known.
    pub path: String,
    /// Why it is not what was asked for, in words.
    pub why: String,
    /// How far it is: 0 for the very path.
    cost: f64,
}

/// Names longer than this many bytes are not compared: the cost grows with the product of both lengths.
const MAX_LENGTH: usize = 128;
/// What is further is not near.
const FURTHEST: f64 = 0.7;

impl RpcTable {
    /// At most `most` methods near to a path, the nearest first.
    #[must_use]
    pub fn near(&self, path: &str, most: usize) -> Vec<NearRpc> {
        let bare = path.trim_matches('/');
        let whole = self.services.contains_key(bare).then_some((bare, "", None));
        let Some((service, method, form)) = whole.or_else(|| read(path)) else { return Vec::new() };
        let mut services: HashMap<&str, (f64, String)> = HashMap::new();
        let mut near: Vec<NearRpc> = self
            .methods
            .keys()
            .filter_map(|known| {
                let (other, name) = split(known)?;
                let of_service = services.entry(other).or_insert_with(|| compare_services(service, other));
                let of_method = compare(method, name);
                let cost = of_service.0 + of_method;
                let mut why = form.map(str::to_owned).into_iter().collect::<Vec<_>>();
                why.extend((of_service.0 > 0.0).then(|| of_service.1.clone()));
                if method.is_empty() {
                    why.push(format!("the path has no method; the service has {name}"));
                } else if of_method > 0.0 {
                    why.push(format!("the method is {name}, not {method}"));
                }
                let found = NearRpc { path: known.to_string(), why: why.join("; "), cost };
                (cost <= FURTHEST && !found.why.is_empty()).then_some(found)
            })
            .collect();
        // Services without a schema, by their names alone.
        near.extend(self.services.iter().filter(|(_, route)| route.is_some()).filter_map(|(name, _)| {
            let (cost, why) = compare_services(service, name);
            (cost > 0.0 && cost <= FURTHEST).then(|| NearRpc { path: format!("/{name}/*"), why, cost })
        }));
        near.sort_by(|a, b| a.cost.total_cmp(&b.cost).then_with(|| a.path.cmp(&b.path)));
        let furthest = near.first().map_or(0.0, |nearest| nearest.cost + 0.1);
        near.retain(|near| near.cost <= furthest);
        near.truncate(most);
        near
    }
}

/// The service and the method that a path was meant to name, and what is wrong with its form.
fn read(path: &str) -> Option<(&str, &str, Option<&'static str>)> {
    let form = "a gRPC path is /package.Service/Method";
    let bare = path.strip_prefix('/').unwrap_or(path);
    if let Some((service, method)) = split(path) {
        return Some((service, method, None));
    }
    match bare.trim_end_matches('/').split_once('/') {
        Some((service, method)) if !service.is_empty() => Some((service, method, Some(form))),
        // `package.Service.Method`, as many tools write it; or a service alone.
        _ => match bare.trim_end_matches('/').rsplit_once('.') {
            Some((service, method)) if service.contains('.') => Some((service, method, Some(form))),
            _ if !bare.is_empty() => Some((bare, "", Some(form))),
            _ => None,
        },
    }
}

/// How far a service's name is from another, and how they differ.
fn compare_services(asked: &str, known: &str) -> (f64, String) {
    if asked == known {
        return (0.0, String::new());
    }
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let package = |name: &str| name.rsplit_once('.').map_or(String::new(), |(package, _)| package.to_owned());
    if last(asked) == last(known) {
        let why = match package(asked).as_str() {
            "" => format!("its package is missing: {known}"),
            package_asked => format!("the package is {}, not {package_asked}", package(known)),
        };
        return (0.3 * (1.0 - closeness(&package(asked), &package(known))).max(0.2), why);
    }
    (compare(asked, known), format!("the service is {known}, not {asked}"))
}

fn compare(asked: &str, known: &str) -> f64 {
    if asked == known { 0.0 } else { (1.0 - closeness(asked, known)).max(0.05) }
}

fn closeness(a: &str, b: &str) -> f64 {
    if a.is_empty() && !b.is_empty() {
        return 0.5;
    }
    if a.len() > MAX_LENGTH || b.len() > MAX_LENGTH { 0.0 } else { likeness(a, b) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        proto::FILE_DESCRIPTOR_SET,
        route::{Destination, Route},
        schema::Schema,
    };

    fn table() -> RpcTable {
        let schema = Schema::decode(FILE_DESCRIPTOR_SET).unwrap();
        let route = |name: &str| Arc::new(Route::of(name, Destination::Local));
        let mut table = RpcTable::default();
        for method in schema.methods() {
            table.insert_method(Arc::clone(method), route("built-in"));
        }
        table.insert_services("shop.v1.Shop", route("shop"));
        table
    }

    #[test]
    fn the_nearest_and_why() {
        let table = table();
        let check = |path: &str, want: &str, why: &str| {
            let near = table.near(path, 3);
            let got = near.first().map(|near| (near.path.clone(), near.why.clone())).unwrap_or_default();
            assert_eq!(got, (want.to_owned(), why.to_owned()), "{path}: {near:#?}");
        };
        let ping = "/propylon.gateway.v1.HealthService/Ping";
        check("/propylon.gateway.v1.HealthService/Pimg", ping, "the method is Ping, not Pimg");
        check(
            "/propylon.gateway.v1.HealthServise/Ping",
            ping,
            "the service is propylon.gateway.v1.HealthService, not propylon.gateway.v1.HealthServise",
        );
        check("/HealthService/Ping", ping, "its package is missing: propylon.gateway.v1.HealthService");
        check(
            "/propylon.gateway.v2.HealthService/Ping",
            ping,
            "the package is propylon.gateway.v1, not propylon.gateway.v2",
        );
        check("/propylon.gateway.v1.HealthService.Ping", ping, "a gRPC path is /package.Service/Method");
        check("/shop.v1.Shpo/Get", "/shop.v1.Shop/*", "the service is shop.v1.Shop, not shop.v1.Shpo");
        check("/zzz/Get", "", "");
        check("/", "", "");
        check("", "", "");
        check(&format!("/{}/Get", "a".repeat(10_000)), "", "");
    }

    #[test]
    fn a_service_alone_has_its_methods_near() {
        let near = table().near("/propylon.gateway.v1.RoutingService", 5);
        let all = near.iter().all(|near| near.path.starts_with("/propylon.gateway.v1.RoutingService/"));
        assert!(all && near.len() == 3, "{near:#?}");
    }
}
