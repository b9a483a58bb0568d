//! The upstreams' part of a snapshot: which services are whose, and where `[[routes]]` send them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Known, Mistake,
    build::{Build, Face, key},
    http_rules::unmatched_selectors,
    rules::{covers, exactness},
};
use crate::{
    config::{self, SERVICES, SchemaSource},
    route::{
        Destination,
        catalog::{Described, EVERY_SERVERS_OWN, Source, variants},
    },
    schema::{Method, Schema},
};

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
                | Destination::McpServer(_)
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
                    return Described::default();
                }
                let paths = self.paths_of(&face, method);
                let routes = self.routes_of_method(&face, method, &paths, Some(upstream));
                Described {
                    route: method.path.as_str().into(),
                    rest: self.method(&face, method, &routes),
                    variants: variants(&routes),
                    tool: self.tool(&face, method, &routes, &paths),
                }
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
    ) -> Vec<(Arc<str>, Arc<str>, Vec<String>)> {
        let config = self.config;
        self.listed_twice(upstream);
        let listed = upstream.services.iter().map(|pattern| (pattern.as_str(), None));
        // A route that sends it elsewhere goes before the list.
        let listed = listed
            .filter(|(pattern, _)| self.rules.upstream(pattern).is_none_or(|name| *name == upstream.name));
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
            let always = self.always_sent_to(pattern).is_some();
            let routes = self.routes_of_pattern(pattern, upstream, always);
            let Some(name) = routes.first().map(|route| Arc::clone(&route.name)) else { continue };
            if pattern.contains('/') {
                self.built.table.insert_path(&format!("/{pattern}"), routes);
                continue;
            }
            named.push((pattern.into(), name, variants(&routes)));
            self.built.table.insert_services(pattern, routes);
            // Rules about some of these services, or one method, make routes of their own.
            for exact in self.book.within(pattern) {
                let name = exact.to_string();
                if config.services.iter().any(|route| route.pattern == name) || !made.insert(name.clone()) {
                    continue;
                }
                let routes = self.routes_of_pattern(&name, upstream, always);
                if name.contains('/') {
                    self.built.table.insert_path(&format!("/{name}"), routes);
                } else {
                    self.built.table.insert_services(&name, routes);
                }
            }
        }
        named
    }

    /// Two upstreams list the same services, and no route says which is meant.
    fn listed_twice(&mut self, upstream: &config::Upstream) {
        let earlier = self.config.upstreams.iter().take_while(|other| other.name != upstream.name);
        let mut twice = Vec::new();
        for pattern in upstream.services.iter().filter(|pattern| self.rules.upstream(pattern).is_none()) {
            let same = earlier.clone().find(|other| other.services.contains(pattern));
            twice.extend(same.map(|other| {
                let message = format!(
                    "{pattern} is listed by upstream {:?} and by upstream {:?}; a [[routes]] entry says which is meant",
                    other.name, upstream.name
                );
                Mistake::new(format!("upstreams.{}", upstream.name), message)
            }));
        }
        self.mistakes.extend(twice);
    }

    /// The upstream whose part of the table a pattern is in: of one that is sent somewhere for some of its calls alone, the
    /// first of these.
    fn sent_to(&self, pattern: &str) -> Option<&'a Arc<str>> {
        let some = || {
            let mut routes = self.rules.some().filter(|route| covers(&route.pattern, pattern));
            routes.find_map(|route| route.upstreams.first()).map(|share| &share.upstream)
        };
        self.always_sent_to(pattern).or_else(some)
    }

    /// The upstream that all calls of a pattern are sent to: `[[routes]]` decide first, then the upstreams' own lists.
    fn always_sent_to(&self, pattern: &str) -> Option<&'a Arc<str>> {
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
            if matched || (!route.upstreams.is_empty() && !route.pattern.contains('/')) {
                continue;
            }
            let keys = methods.iter().map(|method| key(method)).filter(|_| route.pattern.contains('/'));
            let message = format!("no service or method that is served is {:?}", route.pattern);
            let mut mistake = Mistake::new(format!("routes[{}].service", route.entry), message).needing(&[
                "upstreams",
                "builtin",
                SERVICES,
            ]);
            mistake.told = mistake.told.near(&route.pattern, services().chain(keys));
            mistakes.push(mistake);
        }
        if upstreams.iter().any(|upstream| matches!(upstream.schema, SchemaSource::Reflection { .. })) {
            self.built.left_out.extend(mistakes);
        } else {
            self.mistakes.extend(mistakes);
        }
    }

    fn is_served(&self, method: &Method) -> bool {
        self.built.table.known(method.path.as_str()).is_some_and(|(_, method)| method.is_some())
    }
}
