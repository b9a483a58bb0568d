//! `RoutingService`: what the gateway is and what it serves, from the catalogue of the snapshot the call began with.
//! `GET /gateway/info`, `GET /api/v1/routes` and `POST /api/v1/routes:explain` over REST.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use tonic::{Request, Response, Status};

use super::{About, Loaded};
use crate::{
    proto::gateway_v1::{
        ExplainRouteRequest, ExplainRouteResponse, GetInfoRequest, GetInfoResponse, ListRoutesRequest,
        ListRoutesResponse, PathInfo, RouteInfo, SchemaConflict, ServiceInfo,
        routing_service_server::RoutingService,
    },
    route::{
        Destination,
        catalog::{Catalog, ServiceEntry, Source, shares},
    },
    schema::did_you_mean,
    status::Fault,
};

/// Answers over one catalogue.
#[derive(Debug)]
pub struct Routing {
    about: Arc<About>,
    loaded: Loaded,
    catalog: Arc<Catalog>,
    explain: Arc<dyn Explain>,
}

/// Explains what a request would meet. The surfaces and the door decide that, which stand above the services: the gateway
/// ties them.
pub trait Explain: Send + Sync + fmt::Debug {
    /// What the request would meet.
    ///
    /// # Errors
    /// UNAVAILABLE while the gateway starts or stops.
    fn explain(&self, asked: ExplainRouteRequest)
    -> BoxFuture<'static, Result<ExplainRouteResponse, Status>>;
}

impl Routing {
    #[must_use]
    pub fn new(about: Arc<About>, loaded: Loaded, catalog: Arc<Catalog>, explain: Arc<dyn Explain>) -> Self {
        Self { about, loaded, catalog, explain }
    }
}

#[tonic::async_trait]
impl RoutingService for Routing {
    async fn get_info(&self, _: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let services = self.catalog.services().map(|(source, service)| {
            let methods = service.methods.as_ref();
            ServiceInfo {
                name: service.name.to_string(),
                source: source.name().to_owned(),
                address: source.address.to_string(),
                schema_known: methods.is_some(),
                methods: methods.map_or(0, |methods| i32::try_from(methods.len()).unwrap_or(i32::MAX)),
            }
        });
        let conflicts = self.catalog.conflicts().iter().map(|conflict| SchemaConflict {
            file: conflict.file.clone(),
            first: conflict.first.clone(),
            second: conflict.second.clone(),
        });
        Ok(Response::new(GetInfoResponse {
            name: "propylon".to_owned(),
            version: self.about.version.clone(),
            environment: self.about.environment.clone(),
            instance: self.about.instance.clone(),
            started_at: Some(self.about.started_at.into()),
            uptime: self.about.uptime(),
            protocols: self.about.protocols.clone(),
            services: services.collect(),
            schema_conflicts: conflicts.collect(),
            generation: self.loaded.generation,
            loaded_at: Some(self.loaded.at.into()),
        }))
    }

    async fn list_routes(
        &self,
        request: Request<ListRoutesRequest>,
    ) -> Result<Response<ListRoutesResponse>, Status> {
        list(&self.catalog, &request.into_inner()).map(Response::new)
    }

    async fn explain_route(
        &self,
        request: Request<ExplainRouteRequest>,
    ) -> Result<Response<ExplainRouteResponse>, Status> {
        self.explain.explain(request.into_inner()).await.map(Response::new)
    }
}

/// The routes of a catalogue, or of one of its services.
///
/// # Errors
/// NOT_FOUND for a service that it has not, naming the nearest.
pub fn list(catalog: &Catalog, asked: &ListRoutesRequest) -> Result<ListRoutesResponse, Status> {
    let wanted = &asked.service;
    if !wanted.is_empty() && catalog.owner(wanted).is_none() {
        let near = did_you_mean(wanted, catalog.services().map(|(_, service)| &*service.name));
        let status = Status::not_found(format!("no service \"{wanted}\" is served{near}"));
        return Err(Fault::client().on(status));
    }
    let services = catalog.services();
    let services = services.filter(|(_, service)| wanted.is_empty() || **wanted == *service.name);
    let routes = services.flat_map(|(source, service)| routes(source, service)).collect();
    let paths = if wanted.is_empty() { paths(catalog) } else { Vec::new() };
    Ok(ListRoutesResponse { routes, paths })
}

/// What the gateway answers by itself, sorted by path.
fn paths(catalog: &Catalog) -> Vec<PathInfo> {
    let configured = catalog.paths().iter().map(|entry| {
        let kind = match entry.destinations.first() {
            Some((_, Destination::Respond(_))) => "respond",
            Some((_, Destination::Redirect(_))) => "redirect",
            Some((_, Destination::Proxy(_))) => "proxy",
            Some((_, Destination::Upstream(_))) => "upstream",
            Some((_, Destination::McpServer(_))) => "mcp server",
            Some((_, Destination::Page | Destination::Nothing)) => "page",
            Some((_, Destination::Local)) | None => "built-in",
        };
        let target = shares(entry.destinations.iter().map(|(weight, to)| (u64::from(*weight), to)));
        PathInfo {
            verbs: entry.verbs.iter().map(ToString::to_string).collect(),
            path: entry.template.to_string(),
            kind: kind.to_owned(),
            target,
            route: entry.route.to_string(),
            conditions: entry.when.clone(),
        }
    });
    let pages = catalog.pages().iter().map(|path| PathInfo {
        verbs: vec!["GET".to_owned()],
        path: path.to_string(),
        kind: "page".to_owned(),
        ..PathInfo::default()
    });
    let mcp = catalog.mcps().map(|path| PathInfo {
        verbs: ["POST", "GET", "DELETE"].map(str::to_owned).into(),
        path: path.to_owned(),
        kind: "mcp".to_owned(),
        target: servers(catalog),
        ..PathInfo::default()
    });
    let mut paths: Vec<_> = configured.chain(pages).chain(mcp).collect();
    paths.sort_by(|a, b| a.path.cmp(&b.path));
    paths
}

/// The federated MCP servers in words.
fn servers(catalog: &Catalog) -> String {
    let words = catalog.mcp_servers().iter().map(|server| match server.tools {
        Some(1) => format!("{} (1 tool)", server.name),
        Some(tools) => format!("{} ({tools} tools)", server.name),
        None => format!("{} (not known yet, or away)", server.name),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn routes(source: &Source, service: &ServiceEntry) -> Vec<RouteInfo> {
    let common = RouteInfo {
        service: service.name.to_string(),
        source: source.name().to_owned(),
        address: source.address.to_string(),
        ..RouteInfo::default()
    };
    let Some(methods) = &service.methods else {
        // All methods of a service, or all services of a pattern that ends in `*` itself.
        let path = match service.name.strip_suffix('*') {
            Some(prefix) => format!("/{prefix}*"),
            None => format!("/{}/*", service.name),
        };
        // What a call streams is not known here: it is relayed as if it streamed both ways.
        let (route, variants) = (service.route.to_string(), service.variants.clone());
        let streams = RouteInfo { client_streaming: true, server_streaming: true, ..common };
        return vec![RouteInfo { path, route, variants, ..streams }];
    };
    let routes = methods.iter().map(|method| RouteInfo {
        path: method.path.to_string(),
        client_streaming: method.client_streaming,
        server_streaming: method.server_streaming,
        rest: method.rest.clone(),
        route: method.route.to_string(),
        variants: method.variants.clone(),
        tool: method.tool.as_deref().unwrap_or_default().to_owned(),
        ..common.clone()
    });
    routes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proto::gateway_v1::{
            routing_service_client::RoutingServiceClient, routing_service_server::RoutingServiceServer,
        },
        route::Destination,
        services::tests::{about, built_in, explain, upstream},
    };

    fn client() -> RoutingServiceClient<RoutingServiceServer<Routing>> {
        let mut catalog = built_in();
        let shop = r#"syntax = "proto3"; package shop; import "google/api/annotations.proto";
            message Item { string id = 1; }
            service Shop {
              rpc Get(Item) returns (Item) { option (google.api.http) = { get: "/v1/items/{id}" }; }
              rpc Watch(Item) returns (stream Item);
            }"#;
        catalog.push(upstream("shop", &[("shop.proto", shop)]));
        let patterns = [("old.Service", "old"), ("legacy.*", "legacy")];
        catalog.push(Source::unknown(
            Destination::Upstream("old".into()),
            "http://old:1",
            patterns.map(|(name, route)| (name.into(), route.into(), Vec::new())),
        ));
        RoutingServiceClient::new(RoutingServiceServer::new(Routing::new(
            about(),
            Loaded::first(),
            Arc::new(catalog),
            explain(),
        )))
    }

    #[tokio::test]
    async fn routes_are_listed_with_their_bindings_and_destinations() {
        let all = client().list_routes(ListRoutesRequest::default()).await.unwrap().into_inner().routes;
        let find = |path: &str| all.iter().find(|route| route.path == path).unwrap();
        let check = find("/propylon.gateway.v1.HealthService/Check");
        assert_eq!(check.rest, ["GET /health", "GET /api/v1/health"]);
        assert_eq!((check.source.as_str(), check.address.as_str()), ("built-in", ""));
        let get = find("/shop.Shop/Get");
        assert_eq!((get.source.as_str(), get.address.as_str()), ("shop", "http://shop:50051"));
        assert_eq!(get.rest, ["GET /v1/items/{id}"]);
        assert!(find("/shop.Shop/Watch").server_streaming && !find("/shop.Shop/Watch").client_streaming);
        assert_eq!(find("/old.Service/*").route, "old");
        assert_eq!(find("/legacy.*").service, "legacy.*");
    }

    #[tokio::test]
    async fn routes_of_one_service_or_the_nearest_name() {
        let list = async |service: &str| {
            let request = ListRoutesRequest { service: service.into() };
            client().list_routes(request).await.map(Response::into_inner)
        };
        assert_eq!(list("shop.Shop").await.unwrap().routes.len(), 2);
        let status = list("shop.Shpo").await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert_eq!(status.message(), "no service \"shop.Shpo\" is served (did you mean \"shop.Shop\"?)");
    }

    #[tokio::test]
    async fn an_explanation_is_whoever_decides_s() {
        let asked =
            ExplainRouteRequest { method: "GET".into(), path: "/x".into(), ..ExplainRouteRequest::default() };
        let explained = client().explain_route(asked).await.unwrap().into_inner();
        assert_eq!(explained.message, "GET /x");
    }

    #[tokio::test]
    async fn info_counts_what_is_known() {
        let info = client().get_info(GetInfoRequest {}).await.unwrap().into_inner();
        assert_eq!((info.name.as_str(), info.version.as_str()), ("propylon", "1.2.3"));
        assert_eq!((info.environment.as_str(), info.instance.len()), ("test", 36));
        assert_eq!((info.generation, info.loaded_at.is_some()), (1, true));
        let find = |name: &str| info.services.iter().find(|service| service.name == name).unwrap();
        assert_eq!((find("shop.Shop").methods, find("shop.Shop").schema_known), (2, true));
        assert_eq!((find("old.Service").methods, find("old.Service").schema_known), (0, false));
        assert_eq!(find("grpc.health.v1.Health").methods, 3);
        assert_eq!(info.schema_conflicts, []);
    }
}
