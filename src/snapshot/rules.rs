//! `[[routes]]` with `service`: which of them are for a call, the most specific first. One method goes before its service,
//! a service before a prefix, a longer prefix before a shorter one; what one of them does not say, the next does. A route
//! for some hosts or headers goes before those for all calls, which say what it does not.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use super::Mistake;
use crate::{
    config::{Rules, ServiceRoute, Share},
    route::{Conditions, Headers, Host},
};

/// The routes in the order in which they are asked.
pub(super) struct ServiceRules<'a> {
    /// Those for all calls of what they name.
    always: Vec<&'a ServiceRoute>,
    /// Those for some of them, by the config's order.
    some: Vec<&'a ServiceRoute>,
}

/// A route for some calls, by one of its hosts.
#[derive(Debug, Clone)]
pub(super) struct SomeCalls<'a> {
    pub(super) route: &'a ServiceRoute,
    pub(super) when: Arc<Conditions>,
}

impl<'a> ServiceRules<'a> {
    pub(super) fn new(routes: &'a [ServiceRoute]) -> Self {
        let (mut always, some): (Vec<_>, Vec<_>) = routes.iter().partition(|route| route.when.is_empty());
        always.sort_by_key(|route| Reverse(exactness(&route.pattern)));
        Self { always, some }
    }

    /// The routes for some of the calls of a method, a service or a prefix, in the order in which they are asked: the most
    /// exact host first, then the most exact pattern, then the most headers.
    pub(super) fn some_of(&self, name: &str) -> Vec<SomeCalls<'a>> {
        let covering = self.some.iter().filter(|route| covers(&route.pattern, name));
        let mut found: Vec<SomeCalls<'a>> = covering.flat_map(|route| by_host(route)).collect();
        found.sort_by(|a, b| {
            let host = |some: &SomeCalls<'_>| some.when.hosts.first().map(Host::exactness);
            let weight = |some: &SomeCalls<'_>| (host(some), exactness(&some.route.pattern));
            weight(b).cmp(&weight(a)).then_with(|| a.when.headers.order(&b.when.headers))
        });
        found
    }

    /// The patterns of routes for some calls.
    pub(super) fn some(&self) -> impl Iterator<Item = &'a ServiceRoute> {
        self.some.iter().copied()
    }

    /// The rules of a method (`package.Service/Method`), a service, or a prefix (`package.*`).
    pub(super) fn of(&self, name: &str) -> Rules {
        let mut all = Rules::default();
        self.covering(name).for_each(|route| fill(&mut all, &route.rules));
        all
    }

    /// The rules of a name for some of its calls.
    pub(super) fn of_some(&self, some: &SomeCalls<'a>, name: &str) -> Rules {
        let mut all = Rules::default();
        fill(&mut all, &some.route.rules);
        fill(&mut all, &self.of(name));
        all
    }

    /// The upstreams that a name is sent to, where a route for all its calls says so.
    pub(super) fn shares(&self, name: &str) -> Option<&'a [Share]> {
        self.covering(name).map(|route| route.upstreams.as_slice()).find(|shares| !shares.is_empty())
    }

    /// The upstream that a name is sent to, where a route for all its calls says so: of several, the first.
    pub(super) fn upstream(&self, name: &str) -> Option<&'a Arc<str>> {
        self.shares(name)?.first().map(|share| &share.upstream)
    }

    /// Routes that match the same calls.
    pub(super) fn twins(&self) -> Vec<Mistake> {
        let mut first: HashMap<(&str, Option<Host>), Known> = HashMap::new();
        let mut mistakes = Vec::new();
        let mut routes: Vec<_> = self.always.iter().chain(&self.some).copied().collect();
        routes.sort_by_key(|route| route.entry);
        for route in routes {
            let ServiceRoute { entry, pattern, .. } = route;
            let same = by_host(route).find_map(|some| {
                let host = some.when.hosts.first().cloned();
                let known = first.entry((pattern.as_str(), host)).or_default();
                let same = known.iter().find(|(headers, _)| *headers == route.when.headers);
                let same = same.map(|(_, other)| *other);
                if same.is_none() {
                    known.push((route.when.headers.clone(), *entry));
                }
                same.filter(|other| other != entry)
            });
            if let Some(first) = same {
                let message =
                    format!("two routes match the same calls: {pattern:?} here and in routes[{first}]");
                mistakes.push(Mistake::new(format!("routes[{entry}].service"), message));
            }
        }
        mistakes
    }

    fn covering(&self, name: &str) -> impl Iterator<Item = &'a ServiceRoute> {
        self.always.iter().copied().filter(move |route| covers(&route.pattern, name))
    }
}

/// The headers of routes of one pattern and host, and which of `[[routes]]` each is.
type Known = Vec<(Headers, usize)>;

/// What rules do not say, others do.
fn fill(all: &mut Rules, next: &Rules) {
    let Rules { timeout, request_bytes, response_bytes, cors, headers, retry, access: _ } = next;
    all.timeout = all.timeout.or(*timeout);
    all.request_bytes = all.request_bytes.or(*request_bytes);
    all.response_bytes = all.response_bytes.or(*response_bytes);
    all.cors = all.cors.take().or_else(|| cors.clone());
    all.headers = all.headers.take().or_else(|| headers.clone());
    all.retry = match (all.retry.take(), retry) {
        (Some(mine), Some(others)) => Some(mine.or(others)),
        (mine, others) => mine.or_else(|| others.clone()),
    };
}

/// A route once for each of its hosts.
fn by_host(route: &ServiceRoute) -> impl Iterator<Item = SomeCalls<'_>> {
    let hosts = route.when.hosts.iter().map(|host| vec![host.clone()]);
    let none = route.when.hosts.is_empty().then(Vec::new);
    none.into_iter().chain(hosts).map(move |hosts| SomeCalls {
        route,
        when: Arc::new(Conditions { hosts, headers: route.when.headers.clone() }),
    })
}

/// How exactly a pattern says what it is for; the greater goes first.
pub(super) fn exactness(pattern: &str) -> (u8, usize) {
    match pattern.strip_suffix('*') {
        Some(prefix) => (0, prefix.len()),
        None if pattern.contains('/') => (2, 0),
        None => (1, 0),
    }
}

/// Whether a pattern is for all that a name stands for: a method (`package.Service/Method`), a service, or a prefix.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    if pattern.contains('/') {
        return pattern == name;
    }
    let service = name.split('/').next().unwrap_or(name);
    match pattern.strip_suffix('*') {
        Some(prefix) => service.starts_with(prefix),
        None => pattern == service,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;

    use super::*;
    use crate::route::HeaderMatch;

    fn route(
        entry: usize,
        pattern: &str,
        upstream: Option<&str>,
        timeout: Option<u64>,
        bytes: Option<usize>,
    ) -> ServiceRoute {
        let rules =
            Rules { timeout: timeout.map(Duration::from_secs), request_bytes: bytes, ..Rules::default() };
        let upstreams = upstream.map(|upstream| Share { upstream: upstream.into(), weight: 1 });
        ServiceRoute {
            entry,
            pattern: pattern.into(),
            upstreams: upstreams.into_iter().collect(),
            when: Conditions::default(),
            rules,
        }
    }

    #[test]
    fn a_pattern_covers() {
        let check = |pattern: &str, name: &str, want: bool| {
            assert_eq!(covers(pattern, name), want, "{pattern} {name}");
        };
        check("a.B", "a.B", true);
        check("a.B", "a.B/C", true);
        check("a.B", "a.Bc/C", false);
        check("a.B", "a.*", false);
        check("a.*", "a.B/C", true);
        check("a.*", "a.b.*", true);
        check("a.*", "a.*", true);
        check("a.b.*", "a.*", false);
        check("a.*", "ab.C", false);
        check("*", "a.B/C", true);
        check("*", "*", true);
        check("a.B/C", "a.B/C", true);
        check("a.B/C", "a.B", false);
        check("a.B/C", "a.B/D", false);
    }

    #[test]
    fn the_most_specific_speaks_first_and_leaves_the_rest_to_the_next() {
        let routes = [
            route(0, "*", None, Some(9), Some(90)),
            route(1, "a.*", Some("one"), Some(5), None),
            route(2, "a.B", None, None, Some(20)),
            route(3, "a.B/C", Some("two"), Some(1), None),
            route(4, "a.b.*", None, Some(3), None),
        ];
        let rules = ServiceRules::new(&routes);
        let check = |name: &str, upstream: Option<&str>, timeout: u64, bytes: usize| {
            let found = rules.of(name);
            let seconds = found.timeout.unwrap().as_secs();
            assert_eq!((seconds, found.request_bytes), (timeout, Some(bytes)), "{name}");
            assert_eq!(rules.upstream(name).map(|name| &**name), upstream, "{name}");
        };
        check("a.B/C", Some("two"), 1, 20);
        check("a.B/D", Some("one"), 5, 20);
        check("a.B", Some("one"), 5, 20);
        check("a.b.X/Y", Some("one"), 3, 90);
        check("a.Z/Y", Some("one"), 5, 90);
        check("z.Z/Y", None, 9, 90);
        assert!(ServiceRules::new(&[]).of("a.B/C").timeout.is_none());
    }

    #[test]
    fn twins_are_named() {
        let routes = [route(0, "a.*", None, None, None), route(4, "a.*", None, None, None)];
        let mistakes = ServiceRules::new(&routes).twins();
        let [Mistake { told, .. }] = mistakes.as_slice() else { panic!("{mistakes:?}") };
        assert_eq!(told.path, "routes[4].service");
        assert_eq!(told.message, "two routes match the same calls: \"a.*\" here and in routes[0]");
        assert_eq!(ServiceRules::new(&routes[..1]).twins(), []);
    }

    #[test]
    fn routes_for_some_calls_are_asked_by_host_then_pattern_then_headers() {
        let of = |entry: usize, pattern: &str, hosts: &[&str], headers: &[&'static str]| {
            let header =
                |name: &&'static str| HeaderMatch { name: HeaderName::from_static(name), value: None };
            ServiceRoute {
                when: Conditions {
                    hosts: hosts.iter().map(|host| Host::parse(host).unwrap()).collect(),
                    headers: Headers::new(headers.iter().map(header).collect()),
                },
                ..route(entry, pattern, None, Some(entry as u64 + 1), None)
            }
        };
        let routes = [
            of(0, "a.*", &[], &["x"]),
            of(1, "a.B", &[], &["x"]),
            of(2, "a.B", &[], &["x", "y"]),
            of(3, "a.*", &["*.example", "one.example"], &[]),
            of(4, "a.B/C", &["*.shop.example"], &[]),
            route(5, "a.B", None, None, Some(7)),
        ];
        let rules = ServiceRules::new(&routes);
        let some = rules.some_of("a.B/C");
        let order: Vec<_> = some
            .iter()
            .map(|some| (some.route.entry, some.when.hosts.first().map(Host::to_string).unwrap_or_default()))
            .collect();
        let want = [(3, "one.example"), (4, "*.shop.example"), (3, "*.example"), (2, ""), (1, ""), (0, "")];
        assert_eq!(order, want.map(|(entry, host)| (entry, host.to_owned())));
        let first = rules.of_some(&some[0], "a.B/C");
        assert_eq!((first.timeout.unwrap().as_secs(), first.request_bytes), (4, Some(7)));
        assert_eq!(rules.some_of("b.C").len(), 0);
        assert_eq!(rules.twins(), []);
        let twins = [of(0, "a.*", &["one.example", "*.x"], &["x"]), of(1, "a.*", &["*.x"], &["x"])];
        assert_eq!(ServiceRules::new(&twins).twins().len(), 1);
    }
}
