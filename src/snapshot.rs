//! Everything derived from the config and the descriptors, in one immutable value: routes, bindings, tables, services.
//! A new one is built beside the old and swapped in whole; a call keeps the one it began with.

mod terms;

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock},
};

use tonic::{Status, server::NamedService};
use tower::Service;
use tracing::warn;

use crate::{
    auth::{Pattern, Rulebook, Terms, Used},
    call::{Body, Call, Reply, Road},
    config::{self, Config, SchemaSource},
    dispatch::{Dispatch, Local, Upstream},
    openapi,
    policy::Policies,
    route::{
        Destination, Route, RpcTable,
        catalog::{Catalog, EVERY_SERVERS_OWN, Source},
    },
    schema::{Method, Schema, bindings, unmatched_selectors, with_error_details},
    services::{self, About, HealthBoard, Loaded, admin::Reload},
    surface::{
        grpc::Grpc,
        grpc_web::GrpcWeb,
        rest::{Rest, RestBuilder},
    },
    transcode::{JsonInput, JsonStyle, Tables},
};

/// A schema with its compiled tables.
#[derive(Debug)]
pub struct Known {
    pub schema: Schema,
    tables: Arc<Tables>,
}

impl Known {
    /// Compiles a schema's tables. `common` has the types of error details, for a schema that has not.
    #[must_use]
    pub fn new(schema: Schema, common: &Schema) -> Self {
        let tables = Tables::compile(&with_error_details(&schema, common));
        Self { schema, tables }
    }
}

/// What a snapshot is built from.
#[derive(Debug)]
pub struct Parts {
    pub config: Arc<Config>,
    pub about: Arc<About>,
    /// Which config this is.
    pub loaded: Loaded,
    pub board: Arc<HealthBoard>,
    /// What loads the next one.
    pub reload: Arc<dyn Reload>,
    pub policies: Arc<Policies>,
    /// The schema of the gateway's own services.
    pub built_in: Arc<Known>,
    pub upstreams: HashMap<Arc<str>, Arc<Upstream>>,
}

/// One version of everything.
#[derive(Debug)]
pub struct Snapshot {
    pub config: Arc<Config>,
    pub grpc: Grpc,
    pub grpc_web: GrpcWeb,
    pub rest: Rest,
    pub catalog: Arc<Catalog>,
    policies: Arc<Policies>,
    dispatch: Dispatch,
    document: OnceLock<openapi::Document>,
}

/// Why a snapshot could not be built: every mistake, a line each.
#[derive(Debug)]
pub struct SnapshotError(pub Vec<String>);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SnapshotError {}

impl Snapshot {
    /// Builds a snapshot of what is known now: `schemas` are those of the upstreams, by name.
    ///
    /// # Errors
    /// Every mistake of the config and of descriptor files. What is wrong with a schema that an upstream's reflection
    /// gave is logged, and only the binding concerned is left out: it is not the operator's to mend.
    pub fn build(parts: &Parts, schemas: &HashMap<Arc<str>, Arc<Known>>) -> Result<Self, SnapshotError> {
        let mut build = Build {
            config: &parts.config,
            table: RpcTable::default(),
            rest: RestBuilder::new(parts.config.rest.paths),
            catalog: Catalog::default(),
            mistakes: Vec::new(),
            rules: terms::rulebook(&parts.config, parts.policies.verifier.knows_anybody()),
            used: Used::default(),
        };
        build.built_in(&parts.built_in);
        for upstream in &parts.config.upstreams {
            match schemas.get(&upstream.name) {
                Some(known) => build.known(upstream, known),
                None => build.unknown(upstream),
            }
        }
        build.selectors(schemas, &parts.built_in);
        build.unused_rules(schemas);
        if !build.mistakes.is_empty() {
            return Err(SnapshotError(build.mistakes));
        }
        let catalog = Arc::new(build.catalog);
        for conflict in catalog.conflicts() {
            warn!(
                file = conflict.file,
                first = conflict.first,
                second = conflict.second,
                "two schemas have different files of one name; reflection by file name answers the first"
            );
        }
        let mut local = Servers(Local::default());
        services::local(&catalog, &parts.board, &parts.about, parts.loaded, &parts.reload, &mut local);
        let table = Arc::new(build.table);
        Ok(Self {
            config: Arc::clone(&parts.config),
            grpc: Grpc { table: Arc::clone(&table) },
            grpc_web: GrpcWeb { table: Arc::clone(&table) },
            rest: build.rest.build(table),
            catalog,
            policies: Arc::clone(&parts.policies),
            dispatch: Dispatch::new(local.0, parts.upstreams.clone()),
            document: OnceLock::new(),
        })
    }

    /// The OpenAPI document of what is served over REST. Written when it is first asked for: most snapshots of a gateway
    /// with thousands of routes are never asked.
    pub fn openapi(&self) -> &openapi::Document {
        self.document.get_or_init(|| {
            let listed = self.rest.endpoints().map(|endpoint| {
                let (style, input) = endpoint.json_settings();
                let upstream = match &endpoint.route().destination {
                    Destination::Local => None,
                    Destination::Upstream(name) => Some(Arc::clone(name)),
                };
                openapi::Listed {
                    binding: endpoint.binding(),
                    style,
                    input,
                    upstream,
                    demands_credentials: !endpoint.route().terms.access.is_public(),
                }
            });
            openapi::Document::new(&self.config, listed)
        })
    }
}

/// Hands the services' servers to dispatch: neither knows the other.
struct Servers(Local);

impl services::Registry for Servers {
    fn add<S>(&mut self, server: S)
    where
        S: Service<http::Request<Body>, Response = http::Response<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.0 = std::mem::take(&mut self.0).with(server);
    }
}

impl Road for Snapshot {
    async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        self.policies.admit(call).await
    }

    async fn dispatch(&self, mut call: Call) -> Result<Reply, Status> {
        let told = self.policies.told(&mut call);
        told.with(self.dispatch.dispatch(call).await)
    }
}

/// A snapshot in the making.
struct Build<'a> {
    config: &'a Config,
    table: RpcTable,
    rest: RestBuilder,
    catalog: Catalog,
    mistakes: Vec<String>,
    rules: Rulebook,
    used: Used,
}

/// How one source's bindings are made.
struct Face<'a> {
    known: &'a Known,
    style: JsonStyle,
    input: JsonInput,
    /// True where a mistake is the operator's own, false where it came from an upstream's reflection.
    strict: bool,
    method_paths: bool,
}

impl Build<'_> {
    fn built_in(&mut self, known: &Known) {
        let style = JsonStyle { proto_names: true, defaults: true, ..JsonStyle::default() };
        let face = Face { known, style, input: JsonInput::default(), strict: true, method_paths: false };
        let source = Source::of(Destination::Local, "", &known.schema, |method| {
            let terms = self.terms_of(&face, method, None);
            let route = self.route(&method.path.as_str().into(), Destination::Local, None, terms);
            (Arc::clone(&route.name), self.method(&face, method, &route))
        });
        self.catalog.push(source);
    }

    fn known(&mut self, upstream: &config::Upstream, known: &Known) {
        let destination = Destination::Upstream(Arc::clone(&upstream.name));
        let face = Face {
            known,
            style: upstream.style,
            input: self.config.rest.input,
            strict: matches!(upstream.schema, SchemaSource::Descriptors(_)),
            method_paths: self.config.rest.method_paths,
        };
        let (config, owned) = (self.config, |service: &str| serves(self.config, upstream, service));
        let owned: Vec<_> =
            known.schema.services().iter().filter(|service| owned(&service.full_name)).collect();
        let mut taken = Vec::new();
        for service in &owned {
            if let Some(owner) =
                self.catalog.owner(&service.full_name).and_then(|at| self.catalog.sources().get(at))
            {
                let message = format!(
                    "service {} is served by {} and by upstream {:?}; a [[routes]] entry says which is meant",
                    service.full_name,
                    match &owner.destination {
                        Destination::Local => "the gateway itself".to_owned(),
                        Destination::Upstream(name) => format!("upstream {name:?}"),
                    },
                    upstream.name,
                );
                self.mistake(&face, message);
                taken.push(Arc::clone(&service.full_name));
            }
        }
        let ours: Vec<_> =
            owned.iter().filter(|s| !taken.contains(&s.full_name)).map(|s| &*s.full_name).collect();
        let timeout = upstream.timeout.unwrap_or(config.timeout);
        let mut source =
            Source::of(destination.clone(), upstream.address.to_string(), &known.schema, |method| {
                if !ours.contains(&method.service_name()) {
                    return (Arc::default(), Vec::new());
                }
                let terms = self.terms_of(&face, method, Some(upstream));
                let route =
                    self.route(&method.path.as_str().into(), destination.clone(), Some(timeout), terms);
                (Arc::clone(&route.name), self.method(&face, method, &route))
            });
        source.services.retain(|service| ours.contains(&&*service.name));
        self.catalog.push(source);
        // Services that the config names and the schema does not have pass as they are.
        self.patterns(upstream, Some(&known.schema));
    }

    fn unknown(&mut self, upstream: &config::Upstream) {
        let patterns = self.patterns(upstream, None);
        let destination = Destination::Upstream(Arc::clone(&upstream.name));
        self.catalog.push(Source::unknown(destination, upstream.address.to_string(), patterns));
    }

    /// Routes the services an upstream's config names and its schema, if there is one, does not have.
    fn patterns(
        &mut self,
        upstream: &config::Upstream,
        schema: Option<&Schema>,
    ) -> Vec<(Arc<str>, Arc<str>)> {
        let routed =
            self.config.services.iter().filter(|route| route.upstream.as_ref() == Some(&upstream.name));
        let patterns: Vec<&str> =
            upstream.services.iter().map(String::as_str).chain(routed.map(|route| &*route.pattern)).collect();
        let mut named = Vec::new();
        for pattern in patterns {
            if schema.is_some_and(|schema| schema.service(pattern).is_some()) {
                continue;
            }
            let timeout = upstream.timeout.unwrap_or(self.config.timeout);
            let destination = Destination::Upstream(Arc::clone(&upstream.name));
            let terms = self.terms_of_services(pattern, upstream);
            let route = self.route(&pattern.into(), destination.clone(), Some(timeout), terms);
            self.table.insert_services(pattern, Arc::clone(&route));
            // Rules about some of these services, or one method, make routes of their own.
            for exact in self.rules.within(pattern) {
                let name = exact.to_string();
                let terms = self.terms_of_services(&name, upstream);
                let route = self.route(&name.as_str().into(), destination.clone(), Some(timeout), terms);
                match exact {
                    Pattern::Method(name) => self.table.insert_path(&format!("/{name}"), route),
                    _ => self.table.insert_services(&name, route),
                }
            }
            named.push((pattern.into(), Arc::clone(&route.name)));
        }
        named
    }

    fn route(
        &self,
        name: &Arc<str>,
        destination: Destination,
        timeout: Option<std::time::Duration>,
        terms: Terms,
    ) -> Arc<Route> {
        Arc::new(Route { name: Arc::clone(name), destination, timeout, limits: self.config.limits, terms })
    }

    /// Enters a method into the tables, and says its REST bindings.
    fn method(&mut self, face: &Face<'_>, method: &Method, route: &Arc<Route>) -> Vec<String> {
        let Some(method) = face.known.schema.method(method.path.as_str()) else { return Vec::new() };
        self.table.insert_method(Arc::clone(method), Arc::clone(route));
        let (bindings, errors) = bindings(method, &self.config.http_rules, face.method_paths);
        for error in errors {
            self.mistake(face, error.to_string());
        }
        let mut shown = Vec::with_capacity(bindings.len());
        for binding in bindings {
            let text = format!("{} {}", binding.verb.as_str(), binding.template.as_str());
            let tables = Arc::clone(&face.known.tables);
            match self.rest.add(binding, Arc::clone(route), tables, face.style, face.input) {
                Ok(()) => shown.push(text),
                Err(error) => self.mistake(face, error),
            }
        }
        shown
    }

    fn mistake(&mut self, face: &Face<'_>, message: String) {
        if face.strict {
            self.mistakes.push(message);
        } else {
            warn!("{message}; it is left out");
        }
    }

    /// A rule that selects nothing is a mistake, once every schema is known.
    fn selectors(&mut self, schemas: &HashMap<Arc<str>, Arc<Known>>, built_in: &Known) {
        let all_known = self.config.upstreams.iter().all(|upstream| schemas.contains_key(&upstream.name));
        if !all_known {
            return;
        }
        let schemas = schemas.values().map(|known| &known.schema).chain([&built_in.schema]);
        let names: Vec<_> = schemas.flat_map(Schema::methods).map(|method| &*method.full_name).collect();
        for error in unmatched_selectors(&self.config.http_rules, &names) {
            self.mistakes.push(format!("http_rules: {error}"));
        }
    }
}

/// Whether calls of a service go to this upstream: `[[routes]]` decide first, then the upstream's own list.
fn serves(config: &Config, upstream: &config::Upstream, service: &str) -> bool {
    if EVERY_SERVERS_OWN.contains(&service) {
        return false;
    }
    let routed =
        config.services.iter().find(|route| route.upstream.is_some() && matches(&route.pattern, service));
    if let Some(route) = routed {
        return route.upstream.as_ref() == Some(&upstream.name);
    }
    upstream.services.is_empty() || upstream.services.iter().any(|pattern| matches(pattern, service))
}

fn matches(pattern: &str, service: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => service.starts_with(prefix),
        None => pattern == service,
    }
}
