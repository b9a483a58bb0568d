//! The terms of each route: which of the config's rules hold there.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tracing::warn;

use super::{
    Known, Mistake,
    build::{Build, Face, key},
    federated::in_rules,
};
use crate::{
    auth::{Access, Cover, Credentials, Entry, Pattern, Place, Rule, Rulebook, Terms, Used, Whose},
    config::{Config, Page, PathRoute, SchemaSource, ServiceRoute},
    route::{Destination, Route},
    schema::{Template, Verb, nearest},
    telemetry::Label,
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
        let probes = *destination == Destination::Local && name.starts_with(PROBES);
        let whose = if probes { Whose::Probe } else { whose(destination) };
        match self.terms(&Place { method: name, paths }, own, whose, destination) {
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
        match self.terms(place, own, whose(destination), destination) {
            Ok(terms) => terms,
            Err(why) => {
                self.mistakes.push(Mistake::new(path, why));
                nobody()
            }
        }
    }

    /// The terms of a page of the gateway's own, and of the files that it consists of.
    pub(super) fn terms_of_page(&mut self, path: &str, page: Page) -> Terms {
        let key = self.config.built_ins.key(page.own());
        let template = match Template::parse(path) {
            Ok(template) => Arc::new(template),
            Err(problem) => {
                self.mistakes.push(Mistake::new(key, format!("{path}: {problem}")));
                return nobody();
            }
        };
        let whose = match page {
            Page::Livez | Page::Readyz => Whose::Probe,
            Page::Metrics => Whose::Figures,
            Page::Index
            | Page::Openapi
            | Page::Docs
            | Page::Redoc
            | Page::Jwks
            | Page::ResourceMetadata
            | Page::ServerMetadata
            | Page::Authorize
            | Page::Token
            | Page::Register
            | Page::Revoke => Whose::Page,
        };
        let verbs = match page {
            Page::Authorize => &[Verb::Get, Verb::Post][..],
            Page::Token | Page::Register | Page::Revoke => &[Verb::Post],
            _ => &[Verb::Get],
        };
        let paths: Vec<_> = verbs.iter().map(|verb| (verb.clone(), Arc::clone(&template))).collect();
        self.terms_of_own(&key, &paths, whose)
    }

    /// The terms of paths that the gateway answers at its door; `key` is what says where they are.
    pub(super) fn terms_of_own(&mut self, key: &str, paths: &[(Verb, Arc<Template>)], whose: Whose) -> Terms {
        let place = Place { method: "", paths };
        self.terms(&place, None, whose, &Destination::Page).unwrap_or_else(|why| {
            self.mistakes.push(Mistake::new(key, why));
            nobody()
        })
    }

    fn terms(
        &mut self,
        place: &Place<'_>,
        own: Option<&Entry<Arc<Rule>>>,
        whose: Whose,
        destination: &Destination,
    ) -> Result<Terms, String> {
        let own = own.map_or(&[][..], std::slice::from_ref);
        let (access, limits) = self.book.terms_of(place, own, whose, &mut self.used)?;
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
            Destination::Local
            | Destination::Respond(_)
            | Destination::Redirect(_)
            | Destination::McpServer(_)
            | Destination::Page
            | Destination::Nothing => false,
        };
        let credentials = Arc::new(Credentials { forward, own: Vec::new() });
        Ok(Terms { access, limits, credentials, uncounted: whose == Whose::Probe, resource: None })
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
        let pages = self.built.pages.iter().map(|page| page.path.as_str()).chain(self.built.catalog.mcps());
        let paths: BTreeSet<&str> = self.built.rest.templates().chain(pages).collect();
        let servers = self.config.mcp.servers.iter().map(|server| in_rules(&server.name));
        let servers: Vec<String> = servers.collect();
        // A pattern is like those of its own kind.
        let near = |pattern: &str| -> Option<String> {
            let found = match pattern.split_once(' ') {
                Some((verb, path)) => {
                    return nearest(path, paths.iter().copied()).map(|near| format!("{verb} {near}"));
                }
                None if pattern.starts_with("mcp.") => {
                    let (server, thing) = pattern
                        .split_once('/')
                        .map_or((pattern, None), |(server, thing)| (server, Some(thing)));
                    let near = nearest(server, servers.iter().map(String::as_str))?;
                    return Some(thing.map_or_else(|| near.to_owned(), |thing| format!("{near}/{thing}")));
                }
                None if pattern.starts_with('/') => nearest(pattern, paths.iter().copied()),
                None if pattern.contains('/') => nearest(pattern, methods.iter().copied()),
                None if pattern.ends_with('*') => nearest(pattern, packages.iter().map(String::as_str)),
                None => nearest(pattern, services.iter().copied()),
            };
            found.map(str::to_owned)
        };
        for (rule, pattern) in self.book.unused(&self.used) {
            // What a federated server has is known once it has answered, and may be gone tomorrow.
            if self.is_about_a_server(&pattern.to_string()) {
                continue;
            }
            // No access rule about a probe is without effect: what is left over here is a limit.
            let (probes, pattern) = (self.names_a_probe(pattern), pattern.to_string());
            let list = if rule.starts_with("routes") { rule.to_string() } else { format!("{rule}.match") };
            let path = pattern.split_once(' ').map_or(&*pattern, |(_, path)| path);
            let whole = paths.iter().find(|template| is_part_of(path, template));
            let (message, near) = match whole {
                _ if probes => (format!("{pattern} is a probe, and no limit is about probes"), None),
                Some(whole) => {
                    let why = "a rule is about whole routes; give it one of its own";
                    (format!("{pattern} is no route but a part of {whole}: {why}"), None)
                }
                None => (format!("{pattern} is about nothing that is served"), near(&pattern)),
            };
            let mut mistake =
                Mistake::new(list, message).needing(&["upstreams", "builtin", "routes", "http_rules"]);
            mistake.told = mistake.told.meaning(near).within(pattern);
            if strict {
                self.mistakes.push(mistake);
            } else {
                warn!("{mistake}");
            }
        }
    }

    fn names_a_probe(&self, pattern: &Pattern) -> bool {
        let mut routes = self.built.pages.iter().filter(|page| page.route.terms.uncounted);
        routes.any(|page| {
            Template::parse(&page.path)
                .is_ok_and(|path| matches!(pattern.covers(&Verb::Get, &path), Cover::Whole(_)))
        }) || ["Check", "List", "Watch"].iter().any(|method| {
            let method = format!("{PROBES}{method}");
            self.built.table.known(&format!("/{method}")).is_some()
                && pattern.names(&Place { method: &method, paths: &[] }).is_some()
        })
    }
}

/// What the methods of the service begin with that orchestrators ask by gRPC, as they ask `/readyz` by HTTP.
const PROBES: &str = "grpc.health.v1.Health/";

fn whose(destination: &Destination) -> Whose {
    match destination {
        Destination::Local => Whose::Own,
        Destination::Respond(_) | Destination::Redirect(_) => Whose::Written,
        Destination::Upstream(_) | Destination::Proxy(_) | Destination::McpServer(_) => Whose::Upstream,
        Destination::Page => Whose::Page,
        Destination::Nothing => Whose::Nobody,
    }
}

/// The route of what finds nothing, on the terms of the rules about everything: of gRPC's names (`*`), or of paths (`/**`).
pub(super) fn nothing(config: &Config, everything: &str, book: &Rulebook) -> Arc<Route> {
    let any = Template::parse("/{path=**}").map(|any| (Verb::Any, Arc::new(any)));
    let paths: Vec<_> = any.into_iter().filter(|_| everything.starts_with('/')).collect();
    let place = Place { method: if paths.is_empty() { everything } else { "" }, paths: &paths };
    let terms = match book.terms(&place, Whose::Nobody, &mut Used::default()) {
        Ok((access, limits)) => Terms { access, limits, ..Terms::default() },
        Err(_) => nobody(),
    };
    Arc::new(Route {
        name: everything.into(),
        destination: Destination::Nothing,
        timeout: None,
        repeatable: false,
        retry: None,
        limits: config.limits,
        cors: None,
        terms,
        when: None,
        headers: None,
        label: Label::default(),
    })
}

/// Whether all requests for a path are some of those that a template matches.
fn is_part_of(path: &str, template: &str) -> bool {
    let mut wanted = path.split('/');
    for segment in template.split('/') {
        let of_several = segment == "**" || (segment.starts_with('{') && segment.ends_with("=**}"));
        match (of_several, wanted.next()) {
            (true, _) => return path.starts_with('/'),
            (false, Some(want)) if want == segment || (segment.starts_with('{') && !want.contains('*')) => {}
            (false, _) => return false,
        }
    }
    wanted.next().is_none()
}

/// Terms on which nobody may call: what is not understood is not opened.
fn nobody() -> Terms {
    Terms { access: Access::all(Vec::new()), ..Terms::default() }
}
