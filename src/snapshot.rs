//! Everything derived from the config and the descriptors, in one immutable value: routes, bindings, tables, services.
//! A new one is built beside the old and swapped in whole; a call keeps the one it began with.

mod automation;
mod build;
mod calls;
mod federated;
mod http_rules;
mod mistake;
mod paths;
mod rules;
mod shadow;
mod terms;
mod tools;
mod upstreams;

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use http::{HeaderMap, Method, Uri};
use tonic::{Status, server::NamedService};
use tower::Service;
use tracing::warn;

use crate::{
    auth::Unmet,
    automation::Automation,
    call::{Body, Call, Observers, Reply, Road, trace::Part},
    config::{Config, Page},
    dispatch::{Dispatch, Figures, HttpUpstream, Local, Upstream},
    federation::Server,
    health::Monitor,
    openapi,
    otlp::Tracer,
    policy::Policies,
    route::{Asked, Destination, Limits, Route, catalog::Catalog},
    schema::{Schema, with_error_details},
    services::{self, About, Explain, HealthBoard, Loaded, accounts::Directory, admin::Reload, mcp::Agents},
    surface::{
        Protocol, Request, classify,
        grpc::Grpc,
        grpc_web::GrpcWeb,
        mcp::{Board, Mcp},
        rest::Rest,
    },
    telemetry::Telemetry,
    transcode::Tables,
};
use build::Build;
pub use mistake::{Mistake, SnapshotError};

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
    /// Explains requests by the gateway's door.
    pub explain: Arc<dyn Explain>,
    /// The MCP endpoint, for those within.
    pub agents: Arc<dyn Agents>,
    /// What loads the next one.
    pub reload: Arc<dyn Reload>,
    /// The accounts, which outlive every config.
    pub directory: Arc<Directory>,
    /// The automation services, which outlive every config too.
    pub automation: Arc<Automation>,
    /// The probes of this config.
    pub monitor: Arc<Monitor>,
    pub policies: Arc<Policies>,
    /// What MCP's sessions and listeners outlive a snapshot by.
    pub mcp: Arc<Board>,
    /// Who looks at what became of requests; nobody where it is `None`.
    pub observers: Option<Observers>,
    /// The instruments; `None` where no numbers are kept.
    pub telemetry: Option<Arc<Telemetry>>,
    /// Says which requests are traced; none is where it is `None`.
    pub tracer: Option<Arc<Tracer>>,
    /// The schema of the gateway's own services.
    pub built_in: Arc<Known>,
    pub upstreams: HashMap<Arc<str>, Arc<Upstream>>,
    /// Those that speak plain HTTP.
    pub proxied: HashMap<Arc<str>, Arc<HttpUpstream>>,
    /// Federated MCP servers.
    pub servers: HashMap<Arc<str>, Arc<Server>>,
}

/// A page of the gateway's own: where it is, and on what terms it is shown.
#[derive(Debug)]
pub struct OwnPage {
    pub path: String,
    pub page: Page,
    pub route: Arc<Route>,
}

/// One version of everything.
#[derive(Debug)]
pub struct Snapshot {
    pub config: Arc<Config>,
    /// Which config it is, counted from 1.
    pub generation: i32,
    /// Some answers differ by the page that asks: caches are told of it.
    pub by_origin: bool,
    pub grpc: Grpc,
    pub grpc_web: GrpcWeb,
    pub rest: Rest,
    pub mcp: Option<Mcp>,
    /// The same for tokens that were made for it.
    pub mcp_oauth: Option<Mcp>,
    pub catalog: Arc<Catalog>,
    /// The gateway's own pages.
    pub pages: Vec<OwnPage>,
    pub policies: Arc<Policies>,
    /// Who looks at what became of requests.
    pub observers: Option<Observers>,
    /// Says which requests are traced.
    pub tracer: Option<Arc<Tracer>>,
    dispatch: Dispatch,
    document: OnceLock<openapi::Document>,
    left_out: Vec<Mistake>,
}

impl Snapshot {
    /// Builds a snapshot of what is known now: `schemas` are those of the upstreams, by name.
    ///
    /// # Errors
    /// Every mistake of the config and of descriptor files. What is wrong with a schema that an upstream's reflection
    /// gave is none: only the binding concerned is left out ([`Self::left_out`]), as it is not the operator's to mend.
    pub fn build(parts: &Parts, schemas: &HashMap<Arc<str>, Arc<Known>>) -> Result<Self, SnapshotError> {
        let built = Build::new(&parts.config, parts.policies.verifier.knows_anybody()).run(
            &parts.built_in,
            schemas,
            &parts.servers,
        )?;
        let catalog = Arc::new(built.catalog);
        for conflict in catalog.conflicts() {
            warn!(
                file = conflict.file,
                first = conflict.first,
                second = conflict.second,
                "two schemas have different files of one name; reflection by file name answers the first"
            );
        }
        let mut local = Servers { local: Local::default(), config: &parts.config };
        let (reload, explain) = (&parts.reload, &parts.explain);
        // It answers no call: the services are made before what sends calls to them.
        let asked = Dispatch::new(Local::default(), parts.upstreams.clone(), parts.proxied.clone());
        let numbers = services::Numbers {
            telemetry: parts.telemetry.clone(),
            upstreams: Some(Arc::new(move || asked.figures())),
            galaxy: automation::reading(parts),
        };
        let outliving = services::Outliving {
            board: &parts.board,
            about: &parts.about,
            reload,
            explain,
            directory: &parts.directory,
            numbers: &numbers,
            monitor: &parts.monitor,
            agents: &parts.agents,
        };
        services::local(&catalog, parts.loaded, outliving, &mut local);
        automation::serve(&parts.automation, &mut local);
        let (table, tools) = (Arc::new(built.table), (Arc::new(built.toolbox), Arc::new(built.shelf)));
        Ok(Self {
            config: Arc::clone(&parts.config),
            generation: parts.loaded.generation,
            by_origin: parts.config.answers_by_origin(),
            pages: built.pages,
            grpc: Grpc { table: Arc::clone(&table), nothing: Arc::clone(&built.no_method) },
            grpc_web: GrpcWeb { table: Arc::clone(&table), nothing: built.no_method },
            rest: built.rest.build(table, built.no_path),
            mcp: built.mcp.map(|route| tools::surface(parts, route, &tools, &parts.config.mcp.path)),
            mcp_oauth: built.mcp_oauth.and_then(|route| tools::protected(parts, route, &tools)),
            catalog,
            policies: Arc::clone(&parts.policies),
            observers: parts.observers.clone(),
            tracer: parts.tracer.clone(),
            dispatch: Dispatch::new(local.local, parts.upstreams.clone(), parts.proxied.clone()),
            document: OnceLock::new(),
            left_out: built.left_out,
        })
    }

    /// What the config says of upstreams' reflected schemas, or these of themselves, that is wrong: it is not in the snapshot.
    pub fn left_out(&self) -> &[Mistake] {
        &self.left_out
    }

    /// Logs that.
    pub fn tell_left_out(&self) {
        for mistake in &self.left_out {
            warn!("{mistake}; it is left out");
        }
    }

    /// The OpenAPI document of what is served over REST. Written when it is first asked for: most snapshots of a gateway
    /// with thousands of routes are never asked.
    pub fn openapi(&self) -> &openapi::Document {
        self.document.get_or_init(|| {
            let listed = self.rest.endpoints().map(|endpoint| {
                let (style, input) = endpoint.json_settings();
                let upstream = match &endpoint.route().destination {
                    Destination::Upstream(name) => Some(Arc::clone(name)),
                    Destination::Local
                    | Destination::Respond(_)
                    | Destination::Redirect(_)
                    | Destination::Proxy(_)
                    | Destination::McpServer(_)
                    | Destination::Page
                    | Destination::Nothing => None,
                };
                openapi::Listed {
                    binding: endpoint.binding(),
                    style,
                    input,
                    upstream,
                    body: endpoint.body().cloned(),
                    access: &endpoint.route().terms.access,
                    reached: self.rest.reaches(endpoint),
                }
            });
            let routes = self.rest.answers().chain(self.pages.iter().map(|page| &page.route));
            let answers = routes.map(|route| (&*route.name, &route.terms)).collect();
            openapi::Document::new(&self.config, listed, &answers)
        })
    }

    /// How the upstreams are doing now, by their names.
    #[must_use]
    pub fn upstreams(&self) -> Vec<(Arc<str>, Figures)> {
        self.dispatch.figures()
    }

    /// The endpoint of MCP's at a path.
    #[must_use]
    pub fn mcp_at(&self, path: &str) -> Option<&Mcp> {
        self.mcp.iter().chain(&self.mcp_oauth).find(|mcp| mcp.has(path))
    }

    /// The protocol that a request speaks here.
    #[must_use]
    pub fn protocol_of(&self, request: &Request) -> Protocol {
        match classify(request) {
            Protocol::Rest if self.mcp_at(request.uri().path()).is_some() => Protocol::Mcp,
            protocol => protocol,
        }
    }

    /// The route that a request will meet, by its head alone. Where it is not known how it will be called (a preflight does
    /// not say), a gRPC method that is known goes first, as it would come by gRPC-Web.
    #[must_use]
    pub fn route_of(
        &self,
        method: &Method,
        uri: &Uri,
        asked: &Asked<'_>,
        protocol: Option<Protocol>,
    ) -> Option<&Arc<Route>> {
        let mcp = self.mcp_at(uri.path()).map(Mcp::route);
        let page = || self.pages.iter().find(|page| page.path == uri.path()).map(|page| &page.route);
        let rest = || page().or_else(|| self.rest.route_of(method, uri, asked));
        let rpc = self.grpc.table.known(uri.path());
        let rpc = rpc.and_then(|(routes, method)| Some((routes.choose(asked)?.first(), method)));
        match protocol {
            Some(Protocol::Grpc | Protocol::GrpcWeb { .. }) => rpc.map(|(route, _)| route),
            Some(Protocol::Mcp) => mcp,
            Some(Protocol::Rest) => rest(),
            None if mcp.is_some() => mcp,
            None => match rpc.filter(|_| *method == Method::POST) {
                Some((route, Some(_))) => Some(route),
                unknown => rest().or(unknown.map(|(route, _)| route)),
            },
        }
    }

    /// The route of the method that a WebSocket at this path talks to.
    #[must_use]
    pub fn socket_route_of(&self, uri: &Uri, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        self.rest.socket_route_of(uri, asked)
    }
}

/// Hands the servers of the services that are switched on to dispatch: neither knows the other.
struct Servers<'a> {
    local: Local,
    config: &'a Config,
}

impl services::Registry for Servers<'_> {
    fn limits(&self) -> Limits {
        let rules = self.config.services.iter().map(|route| &route.rules);
        rules.fold(self.config.limits, |most, rules| Limits {
            request_bytes: most.request_bytes.max(rules.request_bytes.unwrap_or(0)),
            response_bytes: most.response_bytes.max(rules.response_bytes.unwrap_or(0)),
            ..most
        })
    }

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
        if self.config.built_ins.has_service(S::NAME) {
            self.local = std::mem::take(&mut self.local).with(server);
        }
    }
}

impl Road for Snapshot {
    async fn identify(&self, call: &mut Call) -> Result<(), Status> {
        let identified = self.policies.identify(call).await;
        // Of one that is refused here nobody finds out more.
        if let (Err(_), Some(record)) = (&identified, &call.record) {
            record.admitted(call);
        }
        identified
    }

    fn permits(&self, call: &Call, route: &Route) -> Result<(), Unmet> {
        self.policies.permits(call, route)
    }

    async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        let policing = Part::begin(call.record.as_ref(), "policies");
        let admitted = self.policies.admit(call).await;
        drop(policing);
        if let Some(record) = &call.record {
            record.admitted(call);
        }
        admitted
    }

    fn ahead(&self, call: &Call) -> HeaderMap {
        self.policies.told(call).ahead()
    }

    fn dispatch(&self, mut call: Call) -> impl Future<Output = Result<Reply, Status>> + Send {
        let told = self.policies.told(&call);
        let headers = call.route.headers.clone();
        if let Some(headers) = &headers {
            headers.request.apply(&mut call.metadata);
        }
        let reply = self.dispatch.dispatch(call);
        async move {
            let mut reply = reply.await;
            if let (Some(headers), Ok(reply)) = (headers, &mut reply) {
                headers.response.apply(&mut reply.metadata);
            }
            told.with(reply)
        }
    }
}
