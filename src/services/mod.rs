//! The gateway's own gRPC services, one file each: health, routing, auth, user, admin, MCP, `grpc.health.v1` and server
//! reflection. They answer from the catalogue of one snapshot, and from what outlives every snapshot: the health board, and
//! the directory of accounts.

pub mod accounts;
pub mod admin;
mod admin_accounts;
pub mod auth;
pub mod grpc_health;
pub mod health;
pub mod mcp;
mod numbers;
pub mod oauth;
pub mod reflection;
pub mod routing;
pub mod user;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tonic::{codec::CompressionEncoding, server::NamedService};
use tower::Service;

use self::{
    accounts::Directory,
    admin::{Admin, Reload},
    auth::Auth,
    grpc_health::GrpcHealth,
    health::Health,
    reflection::{Reflection, ReflectionAlpha},
    routing::Routing,
    user::Users,
};
pub use self::{
    grpc_health::{HealthBoard, NotServing},
    numbers::{Numbers, Reading, Upstreams},
    routing::Explain,
};
use crate::{
    call::Body,
    health::Monitor,
    proto::{
        gateway_v1::{
            admin_service_server::AdminServiceServer, auth_service_server::AuthServiceServer,
            health_service_server::HealthServiceServer, mcp_service_server::McpServiceServer,
            routing_service_server::RoutingServiceServer, user_service_server::UserServiceServer,
        },
        grpc_health_v1::health_server::HealthServer,
        grpc_reflection_v1::server_reflection_server::ServerReflectionServer,
        grpc_reflection_v1alpha::server_reflection_server::ServerReflectionServer as AlphaServer,
    },
    route::{Limits, catalog::Catalog},
};

/// Takes over the servers of the local services, each under its service's name.
pub trait Registry {
    /// The longest messages that a service may be sent and may send; a route may have its calls shorter.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn add<S>(&mut self, server: S)
    where
        S: Service<http::Request<Body>, Response = http::Response<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static;
}

/// A generated server that reads and writes compressed messages, and knows the limits of one.
macro_rules! server {
    ($server:expr, $limits:expr) => {
        $server
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size($limits.request_bytes)
            .max_encoding_message_size($limits.response_bytes)
    };
}

/// What the services answer from that outlives a snapshot.
#[derive(Clone, Copy)]
pub struct Outliving<'a> {
    pub board: &'a Arc<HealthBoard>,
    pub about: &'a Arc<About>,
    pub reload: &'a Arc<dyn Reload>,
    pub explain: &'a Arc<dyn Explain>,
    pub directory: &'a Arc<Directory>,
    pub numbers: &'a Numbers,
    pub monitor: &'a Arc<Monitor>,
    pub agents: &'a Arc<dyn mcp::Agents>,
}

/// Makes every local service's server for one snapshot, and hands it to `registry`.
pub fn local(catalog: &Arc<Catalog>, loaded: Loaded, outliving: Outliving<'_>, registry: &mut impl Registry) {
    let Outliving { board, about, reload, explain, directory, numbers, monitor, agents } = outliving;
    let most = registry.limits();
    let health =
        Health::new(Arc::clone(about), Arc::clone(board), Arc::clone(directory), Arc::clone(monitor));
    registry.add(server!(HealthServiceServer::new(health), most));
    let routing = Routing::new(Arc::clone(about), loaded, Arc::clone(catalog), Arc::clone(explain));
    registry.add(server!(RoutingServiceServer::new(routing), most));
    let admin = Admin::new(Arc::clone(reload), Arc::clone(directory), numbers.clone());
    registry.add(server!(AdminServiceServer::new(admin), most));
    registry.add(server!(AuthServiceServer::new(Auth(Arc::clone(directory))), most));
    registry.add(server!(UserServiceServer::new(Users(Arc::clone(directory))), most));
    registry.add(server!(McpServiceServer::new(mcp::Mcp(Arc::clone(agents))), most));
    registry.add(server!(HealthServer::new(GrpcHealth::new(Arc::clone(board))), most));
    registry.add(server!(ServerReflectionServer::new(Reflection::new(Arc::clone(catalog))), most));
    registry.add(server!(AlphaServer::new(ReflectionAlpha::new(Arc::clone(catalog))), most));
}

/// What this process says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// Such as `0.1.0`.
    pub version: String,
    /// Such as `production`.
    pub environment: String,
    /// The instance's name among its replicas: one from the config, or one made up at the start.
    pub instance: String,
    /// The protocols that calls can come by, such as `grpc`.
    pub protocols: Vec<String>,
    /// When the process started, by the clock that never goes back.
    pub started: Instant,
    /// The same by the wall clock.
    pub started_at: SystemTime,
}

impl About {
    /// A process that starts now, under an instance's name made up for it.
    #[must_use]
    pub fn new(version: impl Into<String>, environment: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            environment: environment.into(),
            instance: uuid::Uuid::now_v7().to_string(),
            protocols: ["grpc", "grpc-web", "rest", "mcp"].map(str::to_owned).into(),
            started: Instant::now(),
            started_at: SystemTime::now(),
        }
    }

    /// Seconds since the process started, to the millisecond.
    #[must_use]
    pub fn uptime(&self) -> f64 {
        seconds(self.started.elapsed())
    }
}

/// A time in seconds, to the millisecond: the number that is nearest, which is printed with no more digits.
fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// Which config a snapshot was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// 1 from the start, one more with each reload that changed something.
    pub generation: i32,
    pub at: SystemTime,
}

impl Loaded {
    /// The start's, loaded now.
    #[must_use]
    pub fn first() -> Self {
        Self { generation: 1, at: SystemTime::now() }
    }

    /// The one after this, loaded now.
    #[must_use]
    pub fn next(self) -> Self {
        Self { generation: self.generation.saturating_add(1), at: SystemTime::now() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use futures_util::future::BoxFuture;
    use tonic::Status;

    use super::*;
    use crate::{
        proto::{
            FILE_DESCRIPTOR_SET,
            gateway_v1::{ExplainRouteRequest, ExplainRouteResponse},
        },
        route::{
            Destination,
            catalog::{Described, Source},
        },
        schema::{Method, Schema},
    };

    fn describe(method: &Method) -> Described {
        let rest = method.rules.iter().map(ToString::to_string).collect();
        Described { route: method.path.as_str().into(), rest, ..Described::default() }
    }

    /// The catalogue of the built-in services alone.
    pub(crate) fn built_in() -> Catalog {
        let mut catalog = Catalog::default();
        let schema = Schema::decode(FILE_DESCRIPTOR_SET).unwrap();
        catalog.push(Source::of(Destination::Local, "", &schema, describe));
        catalog
    }

    /// A source whose files are compiled from (name, source); what they import of google/ and grpc/ is in `proto/`.
    pub(crate) fn upstream(name: &str, sources: &[(&str, &str)]) -> Source {
        let folder = tempfile::tempdir().unwrap();
        for (name, source) in sources {
            std::fs::write(folder.path().join(name), source).unwrap();
        }
        let mut compiler = protox::Compiler::new([folder.path(), std::path::Path::new("proto")]).unwrap();
        compiler.include_imports(true);
        for (name, _) in sources {
            compiler.open_file(name).unwrap();
        }
        let schema = Schema::decode(&compiler.encode_file_descriptor_set()).unwrap();
        let address = format!("http://{name}:50051");
        Source::of(Destination::Upstream(name.into()), address, &schema, describe)
    }

    /// Says of every request what it was asked.
    pub(crate) fn explain() -> Arc<dyn Explain> {
        #[derive(Debug)]
        struct Echo;
        impl Explain for Echo {
            fn explain(
                &self,
                asked: ExplainRouteRequest,
            ) -> BoxFuture<'static, Result<ExplainRouteResponse, Status>> {
                let message = format!("{} {}", asked.method, asked.path);
                Box::pin(async { Ok(ExplainRouteResponse { message, ..ExplainRouteResponse::default() }) })
            }
        }
        Arc::new(Echo)
    }

    pub(crate) fn about() -> Arc<About> {
        Arc::new(About::new("1.2.3", "test"))
    }

    /// Without a probe.
    pub(crate) fn monitor(directory: &Directory) -> Arc<Monitor> {
        use crate::health::{Figures, Reaches, Settings, Thresholds};
        let reaches = Reaches { stores: Arc::clone(&directory.stores), upstreams: Default::default() };
        let figures = Arc::new(Figures::new("".into()));
        // How full the machine is that tests run on is no matter.
        let none = Thresholds::default();
        let settings = Settings { degraded: none, unhealthy: none, ..Settings::default() };
        Arc::new(Monitor::new(&settings, reaches, figures, None))
    }

    #[tokio::test]
    async fn every_service_of_the_contract_is_registered() {
        #[derive(Default)]
        struct Names(Vec<&'static str>);
        impl Registry for Names {
            fn add<S: NamedService>(&mut self, _: S) {
                self.0.push(S::NAME);
            }
        }
        let mut names = Names::default();
        let catalog = Arc::new(built_in());
        let reload: Arc<dyn Reload> = Arc::new(admin::tests::Nothing);
        let agents: Arc<dyn mcp::Agents> = Arc::new(mcp::tests::Nobody);
        let folder = tempfile::tempdir().unwrap();
        let directory = accounts::tests::directory(folder.path());
        let outliving = Outliving {
            board: &Arc::default(),
            about: &about(),
            reload: &reload,
            explain: &explain(),
            numbers: &Numbers::default(),
            monitor: &monitor(&directory),
            directory: &directory,
            agents: &agents,
        };
        local(&catalog, Loaded::first(), outliving, &mut names);
        let known = catalog.services().map(|(_, service)| service.name.to_string());
        // Those that know nothing of the gateway stand beside these.
        let mut known: Vec<_> = known.filter(|name| !name.starts_with("propylon.automation.")).collect();
        known.sort();
        names.0.sort_unstable();
        assert_eq!(names.0, known);
    }

    #[tokio::test]
    async fn messages_may_be_compressed_both_ways() {
        use crate::proto::gateway_v1::{ListRoutesRequest, routing_service_client::RoutingServiceClient};
        let catalog = Arc::new(built_in());
        for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
            let routing = Routing::new(about(), Loaded::first(), Arc::clone(&catalog), explain());
            let server = server!(RoutingServiceServer::new(routing), Limits::default());
            let mut client =
                RoutingServiceClient::new(server).send_compressed(encoding).accept_compressed(encoding);
            let request = ListRoutesRequest { service: "grpc.health.v1.Health".into() };
            let answer = client.list_routes(request).await.unwrap();
            let name = answer.metadata().get("grpc-encoding").unwrap().to_str().unwrap().to_owned();
            assert_eq!((name.as_str(), answer.into_inner().routes.len()), (encoding.to_string().as_str(), 3));
        }
    }

    #[test]
    fn a_time_is_printed_to_the_millisecond() {
        for (millis, want) in [(3889, "3.889"), (0, "0.0"), (1, "0.001"), (86_400_007, "86400.007")] {
            let seconds = seconds(Duration::from_millis(millis));
            assert_eq!(serde_json::json!(seconds).to_string(), want);
        }
    }
}
