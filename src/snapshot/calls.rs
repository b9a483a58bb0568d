//! The routes of gRPC methods and services: for all calls, and for those of some hosts or headers, each to one upstream or to
//! several by weight.

use std::{sync::Arc, time::Duration};

use prost_types::method_options::IdempotencyLevel;

use super::{
    build::{Build, Face, key},
    rules::SomeCalls,
    terms::of_service,
};
use crate::{
    auth::Place,
    config::{self, Share},
    route::{Destination, Route, Routes, Weighted},
    schema::{Method, Template, Verb},
};

/// Where a share of the calls goes, and how long they may take there.
type To = (u32, Destination, Option<Duration>);

/// Whether it does no harm to call a method twice: it says so itself, a GET does what it does, or all of its verbs promise it
/// (RFC 9110, 9.2.2).
fn is_repeatable(method: &Method, paths: &[(Verb, Arc<Template>)]) -> bool {
    let is = |wanted: &[&str], verb: &Verb| wanted.contains(&verb.as_str());
    let mut verbs = paths.iter().map(|(verb, _)| verb);
    method.idempotency != IdempotencyLevel::IdempotencyUnknown
        || verbs.clone().any(|verb| is(&["GET", "HEAD"], verb))
        || (!paths.is_empty() && verbs.all(|verb| is(&["PUT", "DELETE", "OPTIONS"], verb)))
}

impl Build<'_> {
    /// The routes of a method whose schema is known; `owner`: the upstream that serves it, none for the gateway's own.
    pub(super) fn routes_of_method(
        &mut self,
        face: &Face<'_>,
        method: &Method,
        paths: &[(Verb, Arc<Template>)],
        owner: Option<&config::Upstream>,
    ) -> Routes {
        let name = key(method);
        let own = || match owner {
            None => vec![(1, Destination::Local, None)],
            Some(upstream) => vec![self.to(1, upstream)],
        };
        let shares = self.rules.shares(name).filter(|_| owner.is_some());
        let always = shares.map(|shares| self.shares(shares)).filter(|to| !to.is_empty()).unwrap_or_else(own);
        let repeatable = owner.is_some() && is_repeatable(method, paths);
        let marked = |route: Arc<Route>| match repeatable {
            true => Arc::new(Route { repeatable, ..Arc::unwrap_or_clone(route) }),
            false => route,
        };
        let mut when = Vec::new();
        for some in self.rules.some_of(name) {
            let to = self.shares(&some.route.upstreams);
            let to = if to.is_empty() || owner.is_none() { always.clone() } else { to };
            let made = to.into_iter().map(|(weight, destination, timeout)| {
                let terms = self.terms_of(face, name, paths, of_service(some.route).as_ref(), &destination);
                let route = self.for_some(method.path.as_str(), name, &some, destination, timeout, terms);
                (weight, marked(route))
            });
            let made = Weighted::new(made.collect());
            when.extend(made.map(|made| (Arc::clone(&some.when), made)));
        }
        let made = always.into_iter().map(|(weight, destination, timeout)| {
            let terms = self.terms_of(face, name, paths, None, &destination);
            let rules = self.rules.of(name);
            (weight, marked(self.route(method.path.as_str(), destination, timeout, rules, terms, None)))
        });
        let always = Weighted::new(made.collect());
        Routes::new(when, always)
    }

    /// The routes of a service, a prefix or one method whose schema is not known, and the path of the first. `upstream`
    /// answers where no route says who; `always`: there is such an upstream for all calls.
    pub(super) fn routes_of_pattern(
        &mut self,
        pattern: &str,
        upstream: &config::Upstream,
        always: bool,
    ) -> Routes {
        let path = if pattern.contains('/') { format!("/{pattern}") } else { pattern.to_owned() };
        let place = Place { method: pattern, paths: &[] };
        let at = |destination: &Destination| match destination {
            Destination::Upstream(name) => format!("upstreams.{name}"),
            Destination::Local
            | Destination::Respond(_)
            | Destination::Redirect(_)
            | Destination::Proxy(_)
            | Destination::McpServer(_)
            | Destination::Page
            | Destination::Nothing => String::new(),
        };
        let shares = self.rules.shares(pattern).map(|shares| self.shares(shares));
        let base = shares.filter(|to| !to.is_empty()).unwrap_or_else(|| vec![self.to(1, upstream)]);
        let mut when = Vec::new();
        for some in self.rules.some_of(pattern) {
            let to = self.shares(&some.route.upstreams);
            let to = if to.is_empty() { base.clone() } else { to };
            let made = to.into_iter().map(|(weight, destination, timeout)| {
                let terms =
                    self.terms_at(&at(&destination), &place, of_service(some.route).as_ref(), &destination);
                (weight, self.for_some(&path, pattern, &some, destination, timeout, terms))
            });
            let made = Weighted::new(made.collect());
            when.extend(made.map(|made| (Arc::clone(&some.when), made)));
        }
        let always = always.then(|| {
            let made = base.into_iter().map(|(weight, destination, timeout)| {
                let terms = self.terms_at(&at(&destination), &place, None, &destination);
                (weight, self.route(&path, destination, timeout, self.rules.of(pattern), terms, None))
            });
            Weighted::new(made.collect())
        });
        Routes::new(when, always.flatten())
    }

    /// A route for some calls of a name; `path` is its name in lists, with what the calls are.
    fn for_some(
        &self,
        path: &str,
        name: &str,
        some: &SomeCalls<'_>,
        destination: Destination,
        timeout: Option<Duration>,
        terms: crate::auth::Terms,
    ) -> Arc<Route> {
        let called = format!("{path} ({})", some.when.words().join(", "));
        let rules = self.rules.of_some(some, name);
        self.route(&called, destination, timeout, rules, terms, Some(Arc::clone(&some.when)))
    }

    fn shares(&self, shares: &[Share]) -> Vec<To> {
        let of = |share: &Share| {
            let upstream = self.config.upstreams.iter().find(|upstream| upstream.name == share.upstream)?;
            Some(self.to(share.weight, upstream))
        };
        shares.iter().filter_map(of).collect()
    }

    fn to(&self, weight: u32, upstream: &config::Upstream) -> To {
        let timeout = upstream.timeout.unwrap_or(self.config.timeout);
        (weight, Destination::Upstream(Arc::clone(&upstream.name)), Some(timeout))
    }
}
