//! The terms of each route: which of the config's rules hold there.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tracing::warn;

use super::{
    Known, Mistake,
    build::{Build, Face, key},
};
use crate::{
    auth::{Access, Credentials, Entry, Pattern, Place, Rule, Rulebook, Terms, Whose},
    config::{Config, PathRoute, SchemaSource, ServiceRoute},
    route::Destination,
    schema::{Template, Verb, nearest},
};

/// The rules of a config, those of its routes among them.
pub(super) fn rulebook(config: &Config, knows_anybody: bool) -> Rulebook {
    let mut book = config.callers.rules.clone();
    if !knows_anybody {
        // Nobody could ever be an administrator: then `AdminService` itself decides, by where a call comes from.
        let name = "this machine alone, as AdminService sees to: nobody can be known here";
        book.own.push(Entry {
            key: "default".into(),
            patterns: vec![Pattern::Service("propylon.gateway.v1.AdminService".to_owned())],
            what: Arc::new(Rule::public(name)),
        });
    }
    book.access.extend(config.services.iter().filter(|route| route.when.is_empty()).filter_map(of_service));
    book
}

/// The rule of a route with a service: of one for all its calls, it is for each method that it names.
pub(super) fn of_service(route: &ServiceRoute) -> Option<Entry<Arc<Rule>>> {
    let rule = route.rules.access.as_ref()?;
    let pattern = match (route.pattern.split_once('/'), route.pattern.strip_suffix('*')) {
        (Some(_), _) => Pattern::Method(route.pattern.clone()),
        (None, Some(prefix)) => Pattern::Package(prefix.to_owned()),
        (None, None) => Pattern::Service(route.pattern.clone()),
    };
    Some(entry(route.entry, vec![pattern], rule))
}

/// The rule of a route with a path: it is for that route alone, whatever other hosts or headers lead to the same path.
pub(super) fn of_path(route: &PathRoute) -> Option<Entry<Arc<Rule>>> {
    let about = |verb: &Verb| Pattern::Path {
        verb: (*verb != Verb::Any).then(|| verb.clone()),
        template: route.template.clone(),
    };
    let rule = route.rules.access.as_ref()?;
    Some(entry(route.entry, route.verbs.iter().map(about).collect(), rule))
}

fn entry(route: usize, patterns: Vec<Pattern>, rule: &Arc<Rule>) -> Entry<Arc<Rule>> {
    Entry { key: format!("routes[{route}].access").into(), patterns, what: Arc::clone(rule) }
}

impl Build<'_> {
    /// The terms of a method whose schema is known. `own` is what its route says for some of its calls; `paths` are those of its rules: the path that every method may have is
    /// its name over again, and is under the rules of its name.
    pub(super) fn terms_of(
        &mut self,
        face: &Face<'_>,
        name: &str,
        paths: &[(Verb, Arc<Template>)],
        own: Option<&Entry<Arc<Rule>>>,
        destination: &Destination,
    ) -> Terms {
        match self.terms(&Place { method: name, paths }, own, destination) {
            Ok(terms) => terms,
            Err(why) => {
                self.mistake(face, None, why);
                nobody()
            }
        }
    }

    /// The terms of services whose schema is not known, of one method of theirs, or of a path.
    pub(super) fn terms_at(
        &mut self,
        path: &str,
        place: &Place<'_>,
        own: Option<&Entry<Arc<Rule>>>,
        destination: &Destination,
    ) -> Terms {
        match self.terms(place, own, destination) {
            Ok(terms) => terms,
            Err(why) => {
                self.mistakes.push(Mistake::new(path, why));
                nobody()
            }
        }
    }

    fn terms(
        &mut self,
        place: &Place<'_>,
        own_rule: Option<&Entry<Arc<Rule>>>,
        destination: &Destination,
    ) -> Result<Terms, String> {
        let own = match destination {
            Destination::Local => Whose::Own,
            Destination::Respond(_) | Destination::Redirect(_) => Whose::Written,
            Destination::Upstream(_) | Destination::Proxy(_) => Whose::Upstream,
        };
        let own_rule = own_rule.map_or(&[][..], std::slice::from_ref);
        let (access, limits) = self.book.terms_of(place, own_rule, own, &mut self.used)?;
        let forward = match destination {
            Destination::Upstream(name) => self
                .config
                .upstreams
                .iter()
                .any(|upstream| upstream.name == *name && upstream.forward_credentials),
            Destination::Proxy(proxy) => self
                .config
                .http_upstreams
                .iter()
                .any(|upstream| upstream.name == proxy.upstream && upstream.forward_credentials),
            Destination::Local | Destination::Respond(_) | Destination::Redirect(_) => false,
        };
        Ok(Terms { access, limits, credentials: Arc::new(Credentials { forward, own: Vec::new() }) })
    }

    /// A rule that is about nothing is a mistake, once every schema is known. Where a schema comes by reflection, what it
    /// has today may be gone tomorrow: there it is only told.
    pub(super) fn unused_rules(&mut self, schemas: &HashMap<Arc<str>, Arc<Known>>) {
        let upstreams = &self.config.upstreams;
        let known = |name: &Arc<str>, schema: &SchemaSource| {
            schemas.contains_key(name) || *schema == SchemaSource::Unknown
        };
        if !upstreams.iter().all(|upstream| known(&upstream.name, &upstream.schema)) {
            return;
        }
        let strict = !upstreams.iter().any(|up| matches!(up.schema, SchemaSource::Reflection { .. }));
        let methods = schemas.values().flat_map(|known| known.schema.methods());
        let methods: Vec<&str> = methods.map(|method| key(method)).collect();
        let services: BTreeSet<&str> =
            self.built.catalog.services().map(|(_, service)| &*service.name).collect();
        let of_service = |name: &&str| name.rsplit_once('.').map(|(package, _)| format!("{package}.*"));
        let packages: BTreeSet<String> = services.iter().filter_map(of_service).collect();
        let paths: BTreeSet<&str> = self.built.rest.templates().collect();
        // A pattern is like those of its own kind.
        let near = |pattern: &str| -> Option<String> {
            let found = match pattern.split_once(' ') {
                Some((verb, path)) => {
                    return nearest(path, paths.iter().copied()).map(|near| format!("{verb} {near}"));
                }
                None if pattern.starts_with('/') => nearest(pattern, paths.iter().copied()),
                None if pattern.contains('/') => nearest(pattern, methods.iter().copied()),
                None if pattern.ends_with('*') => nearest(pattern, packages.iter().map(String::as_str)),
                None => nearest(pattern, services.iter().copied()),
            };
            found.map(str::to_owned)
        };
        for (rule, pattern) in self.book.unused(&self.used) {
            let pattern = pattern.to_string();
            let list = if rule.starts_with("routes") { rule.to_string() } else { format!("{rule}.match") };
            let mut mistake = Mistake::new(list, format!("{pattern} is about nothing that is served"))
                .needing(&["upstreams", "builtin", "routes", "http_rules"]);
            mistake.told = mistake.told.meaning(near(&pattern)).within(pattern);
            if strict {
                self.mistakes.push(mistake);
            } else {
                warn!("{mistake}");
            }
        }
    }
}

/// Terms on which nobody may call: what is not understood is not opened.
fn nobody() -> Terms {
    Terms { access: Access::all(Vec::new()), ..Terms::default() }
}
