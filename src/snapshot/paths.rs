//! The paths of the config's own routes, entered where requests find them.

use std::sync::Arc;

use super::{Mistake, build::Build, terms::of_path};
use crate::{
    auth::{Place, Terms},
    config::{Action, PathRoute},
    route::{Conditions, Destination, Proxy, Route, Weighted, catalog::PathEntry},
};

impl Build<'_> {
    /// A path that is answered by what the config says.
    pub(super) fn path(&mut self, path: &PathRoute) {
        let key = format!("routes[{}]", path.entry);
        let shares = match &path.action {
            Action::Respond(respond) => vec![(1, Destination::Respond(Arc::clone(respond)))],
            Action::Redirect(redirect) => vec![(1, Destination::Redirect(Arc::clone(redirect)))],
            Action::Proxy(proxies) => {
                let to =
                    |(weight, proxy): &(u32, Arc<Proxy>)| (*weight, Destination::Proxy(Arc::clone(proxy)));
                proxies.iter().map(to).collect()
            }
        };
        let template = Arc::new(path.template.clone());
        let paths: Vec<_> = path.verbs.iter().map(|verb| (verb.clone(), Arc::clone(&template))).collect();
        let place = Place { method: "", paths: &paths };
        let when = (!path.when.is_empty()).then(|| Arc::new(path.when.clone()));
        let routes = shares.iter().map(|(weight, destination)| {
            let terms = self.terms_at(&key, &place, of_path(path).as_ref(), destination);
            (*weight, self.route_of_path(path, destination.clone(), terms, when.clone()))
        });
        let Some(routes) = Weighted::new(routes.collect()) else { return };
        let mut verbs = path.verbs.clone();
        verbs.sort();
        verbs.dedup();
        for verb in &verbs {
            let template = &path.template;
            // What is for some hosts or headers goes before the gateway's own methods, and takes nothing else from them.
            let shadow = match path.when.is_empty() {
                true => self.shadows.of(&self.built.rest, verb, template),
                false => self.shadows.page(template),
            };
            let (rest, some) = (&self.built.rest, !path.when.is_empty());
            let of_prefix = |prefix| Some((prefix, self.shadows.of_prefix(rest, verb, prefix, some)?));
            let added = match (shadow, path.prefix.as_ref().and_then(of_prefix)) {
                (Some(what), _) => Err(format!("{verb} {template} would never be reached: there is {what}")),
                (None, Some((prefix, what))) => {
                    Err(format!("{verb} {prefix} itself would never be reached: there is {what}"))
                }
                _ if verb.as_str() == "CONNECT" => {
                    Err("CONNECT asks for a tunnel to a host; no path answers it".to_owned())
                }
                _ if http::Method::from_bytes(verb.as_str().as_bytes()).is_err() => {
                    Err(format!("{:?} is not an HTTP method", verb.as_str()))
                }
                _ => self
                    .built
                    .rest
                    .add_http(&path.when, verb, template, &key, &routes)
                    .map_err(|conflict| conflict.to_string()),
            };
            if let Err(message) = added {
                self.mistakes.push(Mistake::new(format!("{key}.{}", path.written), message));
            }
        }
        self.built.catalog.push_path(PathEntry {
            verbs: verbs.iter().map(|verb| verb.as_str().into()).collect(),
            template: path.template.as_str().into(),
            when: path.when.words(),
            destinations: shares,
            route: Arc::clone(&routes.first().name),
        });
    }

    fn route_of_path(
        &self,
        path: &PathRoute,
        destination: Destination,
        terms: Terms,
        when: Option<Arc<Conditions>>,
    ) -> Arc<Route> {
        let mut rules = path.rules.clone();
        let mut timeout = Some(self.config.timeout);
        if let Destination::Proxy(proxy) = &destination {
            let upstream = self.config.http_upstreams.iter().find(|upstream| upstream.name == proxy.upstream);
            timeout = upstream.and_then(|upstream| upstream.timeout).or(timeout);
            // A body goes on as it comes, and fills no memory.
            rules.request_bytes = rules.request_bytes.or(Some(usize::MAX));
        }
        self.route(&path.name, destination, timeout, rules, terms, when)
    }
}
