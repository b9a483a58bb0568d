//! A snapshot in the making: the gateway's own services first, then the config's paths, then each upstream's services;
//! what comes later gives way to what is there, and who is to mend it is told.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Known, Mistake, OwnPage, SnapshotError,
    rules::ServiceRules,
    shadow::Shadows,
    terms::{nothing, rulebook},
};
use crate::{
    auth::{Rulebook, Terms, Used},
    config::{BuiltIn, BuiltIns, Config, Own, Page, Rules},
    federation::Server,
    route::{
        Conditions, Cors, Destination, Limits, Origins, RetryRules, Route, Routes, RpcTable,
        catalog::{Catalog, Described, Source, variants},
    },
    schema::{Binding, Files, Method, Template, Verb, bindings},
    surface::{
        mcp::{Shelf, Toolbox},
        rest::{Format, RestBuilder},
    },
    telemetry::Label,
    transcode::{JsonInput, JsonStyle},
};

/// The methods of which an operator may choose how REST shows them.
const HEALTH: [&str; 2] =
    ["propylon.gateway.v1.HealthService.Check", "propylon.gateway.v1.HealthService.CheckServices"];

/// What is made so far.
pub(super) struct Build<'a> {
    pub(super) config: &'a Config,
    pub(super) rules: ServiceRules<'a>,
    pub(super) shadows: Shadows,
    pub(super) mistakes: Vec<Mistake>,
    /// The `[[routes]]` that stand in the table by their pattern.
    pub(super) passing: HashSet<usize>,
    /// Who may call what, how often; and which of these rules are about anything.
    pub(super) book: Rulebook,
    pub(super) used: Used,
    /// Which of `mcp.expose` match a method.
    pub(super) exposing: HashSet<usize>,
    /// Where `http_rules` are written of which it has been told that they are wrong, or that others hide them.
    pub(super) hidden: HashSet<Arc<str>>,
    pub(super) built: Built,
}

/// What a snapshot is made of.
pub(super) struct Built {
    pub(super) table: RpcTable,
    pub(super) rest: RestBuilder,
    pub(super) catalog: Catalog,
    pub(super) pages: Vec<OwnPage>,
    /// The route of MCP's endpoint, where there is one.
    pub(super) mcp: Option<Arc<Route>>,
    /// That of the one for tokens that were made for it.
    pub(super) mcp_oauth: Option<Arc<Route>>,
    pub(super) toolbox: Toolbox,
    /// What federated MCP servers have beside tools.
    pub(super) shelf: Shelf,
    /// The route of gRPC requests that find nothing, and that of all others.
    pub(super) no_method: Arc<Route>,
    pub(super) no_path: Arc<Route>,
    /// What is wrong and was left out, as it concerns schemas that upstreams' reflection gave.
    pub(super) left_out: Vec<Mistake>,
}

/// How one source's bindings are made.
pub(super) struct Face<'a> {
    pub(super) known: &'a Known,
    pub(super) style: JsonStyle,
    pub(super) input: JsonInput,
    /// True where a mistake is the operator's own, false where it came from an upstream's reflection.
    pub(super) strict: bool,
    pub(super) method_paths: bool,
    /// What of the config it belongs to.
    pub(super) path: String,
    pub(super) own: Option<(Own, BuiltIn)>,
}

impl<'a> Build<'a> {
    /// `knows_anybody`: there are callers whom the gateway can know.
    pub(super) fn new(config: &'a Config, knows_anybody: bool) -> Self {
        let rules = ServiceRules::new(&config.services);
        let rest = config.http_rules.iter().filter(|rule| Template::parse(&rule.template).is_err());
        let unreadable = rest.filter_map(|rule| rule.entry.clone()).collect();
        let book = rulebook(config, knows_anybody);
        let (no_method, no_path) = (nothing(config, "*", &book), nothing(config, "/**", &book));
        Self {
            config,
            mistakes: rules.twins(),
            rules,
            shadows: Shadows::new(&config.built_ins, config.mcp.enabled.then_some(&*config.mcp.path)),
            passing: HashSet::new(),
            book,
            used: Used::default(),
            exposing: HashSet::new(),
            hidden: unreadable,
            built: Built {
                table: RpcTable::default(),
                rest: RestBuilder::new(config.rest.paths, Arc::new(config.rest.profile.clone())),
                catalog: Catalog::default(),
                pages: Vec::new(),
                mcp: None,
                mcp_oauth: None,
                toolbox: Toolbox::default(),
                shelf: Shelf::default(),
                no_method,
                no_path,
                left_out: Vec::new(),
            },
        }
    }

    /// Makes everything.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn run(
        mut self,
        built_in: &Known,
        schemas: &HashMap<Arc<str>, Arc<Known>>,
        servers: &HashMap<Arc<str>, Arc<Server>>,
    ) -> Result<Built, SnapshotError> {
        self.pages();
        self.routes_of_own_services();
        self.built_in(built_in);
        for path in &self.config.paths {
            self.path(path);
        }
        self.configured_rules(&built_in.schema);
        for upstream in &self.config.upstreams {
            match schemas.get(&upstream.name) {
                Some(known) => self.known(upstream, known),
                None => self.unknown(upstream),
            }
        }
        for (path, page) in self.config.built_ins.pages() {
            self.page(path, page);
        }
        self.mcp();
        self.federated(servers);
        self.mcp_oauth();
        self.unmatched(schemas, &built_in.schema);
        self.unused_tools(schemas);
        self.unused_rules(schemas);
        if self.mistakes.is_empty() { Ok(self.built) } else { Err(SnapshotError(self.mistakes)) }
    }

    /// A page of the gateway's own.
    pub(super) fn page(&mut self, path: String, page: Page) {
        // What programs are led to by other programs is none to look at.
        if page.own() != Own::Oauth {
            self.built.catalog.push_page(&path);
        }
        self.built.rest.add_page(&path);
        let (terms, timeout) = (self.terms_of_page(&path, page), None);
        let rules = Rules { cors: page.for_every_page().then(every_page), ..Rules::default() };
        let route = self.route(&path, Destination::Page, timeout, rules, terms, None);
        self.built.pages.push(OwnPage { path, page, route });
    }

    /// Two pages in one place.
    fn pages(&mut self) {
        for (key, message) in self.shadows.among_pages(&self.config.built_ins) {
            self.mistakes.push(Mistake::new(key, message));
        }
    }

    /// Calls of the gateway's own services never go to an upstream.
    fn routes_of_own_services(&mut self) {
        for route in self.config.services.iter().filter(|route| !route.upstreams.is_empty()) {
            let service = route.pattern.split('/').next().unwrap_or_default();
            if let Some(own) =
                BuiltIns::of_service(service).filter(|own| self.config.built_ins.get(*own).enabled)
            {
                let message = format!(
                    "{} would never be reached: the gateway answers {service} itself (builtin.{})",
                    route.pattern,
                    own.name()
                );
                self.mistakes.push(Mistake::new(format!("routes[{}].service", route.entry), message));
            }
        }
    }

    fn built_in(&mut self, known: &Known) {
        let built_ins = &self.config.built_ins;
        let mut source = Source::of(Destination::Local, "", &known.schema, |method| {
            let service = method.service_name();
            if !built_ins.has_service(service) {
                return Described::default();
            }
            let own = BuiltIns::of_service(service).map(|own| (own, built_ins.get(own)));
            let proto_names = own.as_ref().is_none_or(|(_, built_in)| built_in.proto_names);
            let face = Face {
                known,
                style: JsonStyle { proto_names, defaults: true, ..JsonStyle::default() },
                input: self.config.rest.input,
                strict: true,
                method_paths: false,
                path: own.as_ref().map_or("builtin".to_owned(), |(own, _)| built_ins.key(*own)),
                own,
            };
            let paths = self.paths_of(&face, method);
            let routes = self.routes_of_method(&face, method, &paths, None);
            Described {
                route: method.path.as_str().into(),
                rest: self.method(&face, method, &routes),
                variants: variants(&routes),
                tool: self.tool(&face, method, &routes, &paths),
            }
        });
        let known_services = source.services.len();
        source.services.retain(|service| built_ins.has_service(&service.name));
        if source.services.len() < known_services {
            source.files = Some(Files::with(&known.schema, |service| built_ins.has_service(service)));
        }
        self.built.catalog.push(source);
    }

    pub(super) fn route(
        &self,
        name: &str,
        destination: Destination,
        timeout: Option<Duration>,
        rules: Rules,
        terms: Terms,
        when: Option<Arc<Conditions>>,
    ) -> Arc<Route> {
        let limits = Limits {
            request_bytes: rules.request_bytes.unwrap_or(self.config.limits.request_bytes),
            response_bytes: rules.response_bytes.unwrap_or(self.config.limits.response_bytes),
            ..self.config.limits
        };
        let timeout = rules.timeout.or(timeout);
        let Rules { cors, headers, retry, .. } = rules;
        let retry = retry.zip(self.retry_of(&destination)).map(|(retry, rules)| Arc::new(retry.over(rules)));
        let (name, repeatable) = (name.into(), false);
        let label = Label::default();
        Arc::new(Route {
            name,
            destination,
            timeout,
            repeatable,
            retry,
            limits,
            terms,
            cors,
            when,
            headers,
            label,
        })
    }

    /// The rules about calls that are sent again, of the upstream that answers.
    fn retry_of(&self, destination: &Destination) -> Option<&RetryRules> {
        let Config { upstreams, http_upstreams, .. } = self.config;
        let resilience = match destination {
            Destination::Upstream(name) => {
                &upstreams.iter().find(|upstream| upstream.name == *name)?.resilience
            }
            Destination::Proxy(proxy) => {
                &http_upstreams.iter().find(|upstream| upstream.name == proxy.upstream)?.resilience
            }
            Destination::Local
            | Destination::Respond(_)
            | Destination::Redirect(_)
            | Destination::McpServer(_)
            | Destination::Page
            | Destination::Nothing => return None,
        };
        Some(&resilience.retry)
    }

    /// Enters a method into the tables, and says its REST bindings.
    pub(super) fn method(&mut self, face: &Face<'_>, method: &Method, routes: &Routes) -> Vec<String> {
        let Some(method) = face.known.schema.method(method.path.as_str()) else { return Vec::new() };
        self.built.table.insert_method(Arc::clone(method), routes.clone());
        let (mut bindings, errors) = bindings(method, &self.config.http_rules, face.method_paths);
        for error in errors {
            if error.entry.as_ref().is_some_and(|entry| self.hidden.contains(entry)) {
                continue;
            }
            let message = error.to_string();
            self.mistake(face, error.entry.as_deref(), message);
        }
        if let Some((own, built_in)) = &face.own {
            for binding in bindings.iter_mut().filter(|binding| binding.entry.is_none()) {
                match moved(&binding.template, own.prefix(), &built_in.prefix) {
                    Ok(template) => binding.template = template,
                    Err(message) => self.mistake(face, None, message),
                }
            }
        }
        let body = self.config.rest.health.as_ref().filter(|_| HEALTH.contains(&&*method.full_name));
        let format = Format {
            tables: Arc::clone(&face.known.tables),
            style: face.style,
            input: face.input,
            body: body.cloned(),
        };
        let mut shown = Vec::with_capacity(bindings.len());
        for binding in bindings {
            let text = format!("{} {}", binding.verb.as_str(), binding.template.as_str());
            let entry = binding.entry.clone();
            if entry.as_ref().is_some_and(|entry| self.hidden.contains(entry)) {
                continue;
            }
            let (built_ins, shadow) = (&self.config.built_ins, self.shadow(face, &binding));
            if let Some(what) = &shadow
                && let Some((own, _)) = &face.own
                && !built_ins.is_moved(*own)
                && let Some(hider) =
                    self.shadows.hider(&binding.template).filter(|own| built_ins.is_moved(*own))
            {
                let why = format!("{text} of {} would never be reached: there is {what}", method.full_name);
                self.mistakes.push(Mistake::new(built_ins.key(hider), why));
                continue;
            }
            let added = match shadow {
                Some(what) => {
                    Err(format!("{text} of {} would never be reached: there is {what}", method.full_name))
                }
                None => self.built.rest.add(&binding, routes, &format),
            };
            match added {
                Ok(()) => shown.push(text),
                Err(error) => self.mistake(face, entry.as_deref(), error),
            }
        }
        shown
    }

    /// The paths of a method by its rules, where they are served.
    pub(super) fn paths_of(&self, face: &Face<'_>, method: &Method) -> Vec<(Verb, Arc<Template>)> {
        let Some(method) = face.known.schema.method(method.path.as_str()) else { return Vec::new() };
        let (bindings, _) = bindings(method, &self.config.http_rules, false);
        let served = |binding: Binding| {
            let template = match &face.own {
                // What cannot be moved is told where it is entered.
                Some((own, built_in)) if binding.entry.is_none() => {
                    moved(&binding.template, own.prefix(), &built_in.prefix).ok()?
                }
                _ => binding.template,
            };
            Some((binding.verb, template))
        };
        bindings.into_iter().filter_map(served).collect()
    }

    fn shadow(&self, face: &Face<'_>, binding: &Binding) -> Option<String> {
        match face.own {
            Some(_) => self.shadows.page(&binding.template),
            None => self.shadows.of(&self.built.rest, &binding.verb, &binding.template),
        }
    }

    /// A mistake in what a source's schema or, where there is an `entry`, the config's `http_rules` say of it.
    pub(super) fn mistake(&mut self, face: &Face<'_>, entry: Option<&str>, message: String) {
        let mistake = Mistake::new(entry.unwrap_or(&face.path), message);
        if face.strict {
            self.mistakes.push(mistake);
        } else {
            self.built.left_out.push(mistake);
        }
    }
}

/// Any page may read it, without what its reader's browser knows of the gateway.
fn every_page() -> Arc<Cors> {
    Arc::new(Cors { origins: Origins::Any, ..Cors::default() })
}

/// `package.Service/Method`
pub(super) fn key(method: &Method) -> &str {
    method.path.as_str().trim_start_matches('/')
}

/// A template with another prefix; one that does not begin with the old one stays where it is.
fn moved(template: &Arc<Template>, from: &str, to: &str) -> Result<Arc<Template>, String> {
    let rest =
        template.as_str().strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with(['/', ':']));
    let Some(rest) = rest.filter(|_| from != to) else { return Ok(Arc::clone(template)) };
    let path = if rest == "/" && !to.is_empty() { to.to_owned() } else { format!("{to}{rest}") };
    Template::parse(&path).map(Arc::new).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_moved() {
        let check = |template: &str, from: &str, to: &str, want: &str| {
            let template = Arc::new(Template::parse(template).unwrap());
            let moved = moved(&template, from, to).unwrap();
            assert_eq!(moved.as_str(), want);
            assert_eq!(moved.variables().len(), template.variables().len());
        };
        check("/health", "", "", "/health");
        check("/health", "", "/internal", "/internal/health");
        check("/admin/users/{id}", "/admin", "/ops/a", "/ops/a/users/{id}");
        check("/admin/users/{id=*/x}:lock", "/admin", "", "/users/{id=*/x}:lock");
        check("/admin:reload", "/admin", "/ops", "/ops:reload");
        check("/administrators", "/admin", "/ops", "/administrators");
        check("/", "", "/gw", "/gw");
    }
}
