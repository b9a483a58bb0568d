//! `[[routes]]` with `service`: which of them are for a call, the most specific first. One method goes before its service,
//! a service before a prefix, a longer prefix before a shorter one; what one of them does not say, the next does.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use super::Mistake;
use crate::config::{Rules, ServiceRoute};

/// The routes in the order in which they are asked.
pub(super) struct ServiceRules<'a>(Vec<&'a ServiceRoute>);

impl<'a> ServiceRules<'a> {
    pub(super) fn new(routes: &'a [ServiceRoute]) -> Self {
        let mut routes: Vec<_> = routes.iter().collect();
        routes.sort_by_key(|route| Reverse(exactness(&route.pattern)));
        Self(routes)
    }

    /// The rules of a method (`package.Service/Method`), a service, or a prefix (`package.*`).
    pub(super) fn of(&self, name: &str) -> Rules {
        let mut all = Rules::default();
        for Rules { timeout, request_bytes, response_bytes, cors, access: _ } in
            self.covering(name).map(|r| &r.rules)
        {
            all.timeout = all.timeout.or(*timeout);
            all.request_bytes = all.request_bytes.or(*request_bytes);
            all.response_bytes = all.response_bytes.or(*response_bytes);
            all.cors = all.cors.or_else(|| cors.clone());
        }
        all
    }

    /// The upstream that a name is sent to, where a route says so.
    pub(super) fn upstream(&self, name: &str) -> Option<&'a Arc<str>> {
        self.covering(name).find_map(|route| route.upstream.as_ref())
    }

    /// The upstream that one method is sent to, where a route of that method alone says so.
    pub(super) fn of_method(&self, name: &str) -> Option<&'a Arc<str>> {
        self.covering(name)
            .filter(|route| route.pattern.contains('/'))
            .find_map(|route| route.upstream.as_ref())
    }

    /// Routes that match the same calls.
    pub(super) fn twins(&self) -> Vec<Mistake> {
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut mistakes = Vec::new();
        let mut routes = self.0.clone();
        routes.sort_by_key(|route| route.entry);
        for route in routes {
            let ServiceRoute { entry, pattern, .. } = route;
            if let Some(first) = first.get(pattern.as_str()) {
                let message =
                    format!("two routes match the same calls: {pattern:?} here and in routes[{first}]");
                mistakes.push(Mistake::new(format!("routes[{entry}].service"), message));
            } else {
                first.insert(pattern, *entry);
            }
        }
        mistakes
    }

    fn covering(&self, name: &str) -> impl Iterator<Item = &'a ServiceRoute> {
        self.0.iter().copied().filter(move |route| covers(&route.pattern, name))
    }
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

    use super::*;

    fn route(
        entry: usize,
        pattern: &str,
        upstream: Option<&str>,
        timeout: Option<u64>,
        bytes: Option<usize>,
    ) -> ServiceRoute {
        let rules =
            Rules { timeout: timeout.map(Duration::from_secs), request_bytes: bytes, ..Rules::default() };
        ServiceRoute { entry, pattern: pattern.into(), upstream: upstream.map(Into::into), rules }
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
}
