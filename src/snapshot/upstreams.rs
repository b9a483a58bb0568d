//! The upstreams' part of a snapshot: which services are whose, and where `[[routes]]` send them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use prost_types::method_options::IdempotencyLevel;
use tracing::warn;

use super::{
    Known, Mistake,
    build::{Build, Face, key},
    http_rules::unmatched_selectors,
    rules::{covers, exactness},
};
use crate::{
    auth::{Place, Terms},
    config::{self, SchemaSource},
    route::{
        Destination, Route,
        catalog::{EVERY_SERVERS_OWN, Source},
    },
    schema::{Method, Schema, Template, Verb},
};

/// Whether it does no harm to call a method twice: it says so itself, a GET does what it does, or all of its verbs promise it
/// (RFC 9110, 9.2.2).
fn is_repeatable(method: &Method, paths: &[(Verb, Arc<Template>)]) -> bool {
    let is = |wanted: &[&str], verb: &Verb| wanted.contains(&verb.as_str());
    let mut verbs = paths.iter().map(|(verb, _)| verb);
    method.idempotency != IdempotencyLevel::IdempotencyUnknown
        || verbs.clone().any(|verb| is(&["GET", "HEAD"], verb))
        || (!paths.is_empty() && verbs.all(|verb| is(&["PUT", "DELETE", "OPTIONS"], verb)))
}

impl<'a> Build<'a> {
    pub(super) fn known(&mut self, upstream: &config::Upstream, known: &Known) {
        let destination = Destination::Upstream(Arc::clone(&upstream.name));
        let face = Face {
            known,
            style: upstream.style,
            input: self.config.rest.input,
            strict: matches!(upstream.schema, SchemaSource::Descriptors(_)),
            method_paths: self.config.rest.method_paths,
            path: format!("upstreams.{}", upstream.name),
            own: None,
        };
        let owned: Vec<_> = known
            .schema
            .services()
            .iter()
            .filter(|service| self.serves(upstream, &service.full_name))
            .map(|service| Arc::clone(&service.full_name))
            .collect();
        let mut ours = Vec::with_capacity(owned.len());
        for service in owned {
            let catalog = &self.built.catalog;
            let Some(owner) = catalog.owner(&service).and_then(|at| catalog.sources().get(at)) else {
                ours.push(service);
                continue;
            };
            let owner = match &owner.destination {
                Destination::Upstream(name) => format!("upstream {name:?}"),
                Destination::Local
                | Destination::Respond(_)
                | Destination::Redirect(_)
                | Destination::Proxy(_)
                | Destination::Page
                | Destination::Nothing => "the gateway itself".to_owned(),
            };
            let message = format!(
                "service {service} is served by {owner} and by upstream {:?}; a [[routes]] entry says which is meant",
                upstream.name,
            );
            self.mistake(&face, None, message);
        }
        let mut source =
            Source::of(destination.clone(), upstream.addresses.to_string(), &known.schema, |method| {
                if !ours.iter().any(|service| **service == *method.service_name()) {
                    return (Arc::default(), Vec::new());
                }
                let (destination, timeout) = self.of_method(key(method), upstream);
                let rules = self.rules.of(key(method));
                let paths = self.paths_of(&face, method);
                let terms = self.terms_of(&face, key(method), &paths, &destination);
                let route = self.route(method.path.as_str(), destination, Some(timeout), rules, terms);
                let repeatable = is_repeatable(method, &paths);
                let route = Arc::new(Route { repeatable, ..Arc::unwrap_or_clone(route) });
                (Arc::clone(&route.name), self.method(&face, method, &route))
            });
        source.services.retain(|service| ours.contains(&service.name));
        self.built.catalog.push(source);
        // Services that the config names and the schema does not have pass as they are.
        self.patterns(upstream, Some(&known.schema));
    }

    pub(super) fn unknown(&mut self, upstream: &config::Upstream) {
        let patterns = self.patterns(upstream, None);
        let destination = Destination::Upstream(Arc::clone(&upstream.name));
        self.built.catalog.push(Source::unknown(destination, upstream.addresses.to_string(), patterns));
    }

    /// Routes what the config names, for this upstream, and its schema, if there is one, does not have.
    fn patterns(
        &mut self,
        upstream: &config::Upstream,
        schema: Option<&Schema>,
    ) -> Vec<(Arc<str>, Arc<str>)> {
        let config = self.config;
        let listed = upstream.services.iter().map(|pattern| (pattern.as_str(), None));
        let routed = config.services.iter().map(|route| (route.pattern.as_str(), Some(route.entry)));
        let routed = routed.filter(|(pattern, _)| self.sent_to(pattern) == Some(&upstream.name));
        let patterns: Vec<_> = listed.chain(routed).collect();
        let (mut seen, mut named) = (HashSet::new(), Vec::new());
        let mut made: HashSet<String> = upstream.services.iter().cloned().collect();
        for (pattern, entry) in patterns {
            let service = pattern.split('/').next().unwrap_or(pattern);
            if schema.is_some_and(|schema| schema.service(service).is_some()) {
                continue;
            }
            self.passing.extend(entry);
            if !seen.insert(pattern) {
                continue;
            }
            let timeout = upstream.timeout.unwrap_or(self.config.timeout);
            let destination = Destination::Upstream(Arc::clone(&upstream.name));
            if pattern.contains('/') {
                let path = format!("/{pattern}");
                let terms = self.terms_of_services(pattern, &destination);
                let route = self.route(&path, destination, Some(timeout), self.rules.of(pattern), terms);
                self.built.table.insert_path(&path, route);
                continue;
            }
            let terms = self.terms_of_services(pattern, &destination);
            let route =
                self.route(pattern, destination.clone(), Some(timeout), self.rules.of(pattern), terms);
            named.push((pattern.into(), Arc::clone(&route.name)));
            self.built.table.insert_services(pattern, route);
            // Rules about some of these services, or one method, make routes of their own.
            for exact in self.book.within(pattern) {
                let name = exact.to_string();
                if config.services.iter().any(|route| route.pattern == name) || !made.insert(name.clone()) {
                    continue;
                }
                let terms = self.terms_of_services(&name, &destination);
                let rules = self.rules.of(&name);
                if name.contains('/') {
                    let path = format!("/{name}");
                    let route = self.route(&path, destination.clone(), Some(timeout), rules, terms);
                    self.built.table.insert_path(&path, route);
                } else {
                    let route = self.route(&name, destination.clone(), Some(timeout), rules, terms);
                    self.built.table.insert_services(&name, route);
                }
            }
        }
        named
    }

    fn terms_of_services(&mut self, pattern: &str, destination: &Destination) -> Terms {
        let path = match destination {
            Destination::Upstream(name) => format!("upstreams.{name}"),
            Destination::Local
            | Destination::Respond(_)
            | Destination::Redirect(_)
            | Destination::Proxy(_)
            | Destination::Page
            | Destination::Nothing => String::new(),
        };
        self.terms_at(&path, &Place { method: pattern, paths: &[] }, destination)
    }

    /// Where the calls of a method go that an upstream's schema has, and how long they may take.
    fn of_method(&self, key: &str, upstream: &config::Upstream) -> (Destination, Duration) {
        let named = self.rules.of_method(key);
        let other = named.and_then(|name| self.config.upstreams.iter().find(|other| other.name == *name));
        let upstream = other.unwrap_or(upstream);
        let timeout = upstream.timeout.unwrap_or(self.config.timeout);
        (Destination::Upstream(Arc::clone(&upstream.name)), timeout)
    }

    /// The upstream that what a pattern stands for is sent to: `[[routes]]` decide first, then the upstreams' own lists.
    fn sent_to(&self, pattern: &str) -> Option<&'a Arc<str>> {
        let lists = self.config.upstreams.iter();
        let listed =
            lists.flat_map(|upstream| upstream.services.iter().map(move |known| (known, &upstream.name)));
        let listed = listed.filter(|(known, _)| covers(known, pattern));
        let listed = || listed.max_by_key(|(known, _)| exactness(known)).map(|(_, name)| name);
        self.rules.upstream(pattern).or_else(listed)
    }

    /// Whether calls of a service go to this upstream.
    fn serves(&self, upstream: &config::Upstream, service: &str) -> bool {
        if EVERY_SERVERS_OWN.contains(&service) {
            return false;
        }
        match self.rules.upstream(service) {
            Some(name) => *name == upstream.name,
            None => {
                upstream.services.is_empty() || upstream.services.iter().any(|known| covers(known, service))
            }
        }
    }

    /// What selects or matches nothing is a mistake, once every schema is known; where some come by reflection, they may
    /// change any time, and it is only told.
    pub(super) fn unmatched(&mut self, schemas: &HashMap<Arc<str>, Arc<Known>>, built_in: &Schema) {
        let is_unknown = |upstream: &config::Upstream| upstream.schema == SchemaSource::Unknown;
        let upstreams = &self.config.upstreams;
        if !upstreams.iter().all(|upstream| schemas.contains_key(&upstream.name) || is_unknown(upstream)) {
            return;
        }
        let built_ins = &self.config.built_ins;
        let own = built_in.methods().filter(|method| built_ins.has_service(method.service_name()));
        let methods: Vec<_> =
            own.chain(schemas.values().flat_map(|known| known.schema.methods())).cloned().collect();
        let names: Vec<_> = methods.iter().map(|method| &*method.full_name).collect();
        let mut mistakes = unmatched_selectors(&self.config.http_rules, &names);
        let services = || self.built.catalog.services().map(|(_, service)| &*service.name);
        for route in &self.config.services {
            let matched = self.passing.contains(&route.entry)
                || services().any(|service| covers(&route.pattern, service))
                || methods.iter().any(|method| covers(&route.pattern, key(method)) && self.is_served(method));
            // A service that is sent somewhere passes by its name.
            if matched || (route.upstream.is_some() && !route.pattern.contains('/')) {
                continue;
            }
            let keys = methods.iter().map(|method| key(method)).filter(|_| route.pattern.contains('/'));
            let message = format!("no service or method that is served is {:?}", route.pattern);
            let mut mistake = Mistake::new(format!("routes[{}].service", route.entry), message).needing(&[
                "upstreams",
                "builtin",
                "routes",
            ]);
            mistake.told = mistake.told.near(&route.pattern, services().chain(keys));
            mistakes.push(mistake);
        }
        if upstreams.iter().any(|upstream| matches!(upstream.schema, SchemaSource::Reflection { .. })) {
            for mistake in mistakes {
                warn!("{mistake}; it is left out");
            }
        } else {
            self.mistakes.extend(mistakes);
        }
    }

    fn is_served(&self, method: &Method) -> bool {
        self.built.table.known(method.path.as_str()).is_some_and(|(_, method)| method.is_some())
    }
}
