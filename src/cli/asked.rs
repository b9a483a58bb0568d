//! Whom a command asks: a gateway that runs, over gRPC; or one that is built here from a config, and listens nowhere.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{ArgGroup, Args};
use tokio::runtime::Builder;
use tonic::{Code, Status};

use super::{Failure, serve, trust::Trust, up};
use crate::{
    config::{Address, Config, SchemaSource, Source as Written, Sources, upstream_address},
    dispatch::{self, Roots, Settings, Tls, Upstream},
    gateway::Gateway,
    proto::gateway_v1::{ExplainRouteRequest, ExplainRouteResponse, ListRoutesRequest, ListRoutesResponse},
    services::routing,
};

/// How long a running gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which gateway a command asks. With nothing given it is one of embedded defaults.
#[derive(Debug, Args)]
#[command(group = over_tls())]
pub(super) struct Asked {
    /// Ask the gateway of this config file, built here; nothing listens
    #[arg(long, value_name = "FILE", conflicts_with_all = ["grpc", "server"])]
    config: Option<PathBuf>,
    /// Ask the gateway that `propylon up` would be before these upstreams; may be repeated
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "server")]
    grpc: Vec<String>,
    /// Ask a gateway that runs: HOST:PORT, http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    #[command(flatten)]
    trust: Trust,
}

/// Nobody is asked over TLS but a gateway that runs. (Where a conflict says that there can be none, none is required.)
fn over_tls() -> ArgGroup {
    let trust = ArgGroup::new("over TLS").args(["tls", "ca", "insecure"]).multiple(true);
    trust.requires("server").conflicts_with_all(["config", "grpc"])
}

impl Asked {
    /// Explains one request.
    pub(super) fn explain(&self, request: &ExplainRouteRequest) -> Result<ExplainRouteResponse, Failure> {
        const PATH: &str = "/propylon.gateway.v1.RoutingService/ExplainRoute";
        self.ask(
            async |server| dispatch::ask(server, PATH, request, PATIENCE).await,
            async |gateway| gateway.explain(request.clone()).await,
        )
    }

    /// Lists the routes.
    pub(super) fn routes(&self, request: &ListRoutesRequest) -> Result<ListRoutesResponse, Failure> {
        const PATH: &str = "/propylon.gateway.v1.RoutingService/ListRoutes";
        self.ask(
            async |server| dispatch::ask(server, PATH, request, PATIENCE).await,
            async |gateway| routing::list(&gateway.catalog(), request),
        )
    }

    /// Asks the running gateway, or the one that is built here.
    fn ask<A>(
        &self,
        running: impl AsyncFnOnce(&Arc<Upstream>) -> Result<A, Status>,
        built: impl AsyncFnOnce(&Arc<Gateway>) -> Result<A, Status>,
    ) -> Result<A, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::system)?;
        if let Some(server) = &self.server {
            let address = upstream_address(server).map_err(Failure::config)?;
            let (address, roots) = self.trust.apply(address, server)?;
            let client = client(&address, roots).map_err(Failure::config)?;
            let asking = async { running(&client).await };
            return runtime.block_on(asking).map_err(|status| Failure::system(said(&status, &address)));
        }
        let (config, written) = self.built_config()?;
        let answer = runtime.block_on(async {
            let gateway = Gateway::only_to_ask(config)
                .await
                .map_err(|error| serve::wrong(written.report(&error.mistakes())))?;
            let silent = away(&gateway);
            let answer = built(&gateway).await.map_err(|status| Failure::system(status.message()))?;
            for name in silent {
                super::warn(&format!(
                    "upstream {name} has not answered reflection: its methods are not known"
                ));
            }
            Ok(answer)
        });
        // Whoever still reads an upstream's reflection is not waited for.
        runtime.shutdown_background();
        answer
    }

    fn built_config(&self) -> Result<(Config, Written), Failure> {
        match &self.config {
            None if !self.grpc.is_empty() => up::config(&self.grpc, None),
            file => serve::load(&Sources::of_process(file.as_deref()).without_secrets()),
        }
    }
}

/// The config that `propylon serve` would run on.
pub(super) fn config(file: Option<&Path>) -> Result<Config, Failure> {
    serve::load(&Sources::of_process(file).without_secrets()).map(|(config, _)| config)
}

/// The upstreams whose schema should be known by now, and is not.
fn away(gateway: &Gateway) -> Vec<String> {
    let config = gateway.config();
    let reflecting = config.upstreams.iter();
    let reflecting = reflecting.filter(|upstream| matches!(upstream.schema, SchemaSource::Reflection { .. }));
    let catalog = gateway.catalog();
    let unknown = |name: &str| catalog.sources().iter().any(|s| s.name() == name && s.files.is_none());
    reflecting.map(|upstream| upstream.name.to_string()).filter(|name| unknown(name)).collect()
}

/// The gateway's own client of a gRPC server.
///
/// # Errors
/// The address cannot be one.
pub(super) fn client(address: &Address, roots: Roots) -> Result<Arc<Upstream>, String> {
    let tls = address.tls.then_some(Tls { roots, server_name: None, identity: None });
    let settings = Settings::new(&authority(address), &address.host, address.port);
    Upstream::new(Settings { tls, ..settings }, 0).map(Arc::new)
}

/// `HOST:PORT`
fn authority(address: &Address) -> String {
    let Address { host, port, .. } = address;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What a server's failure is to the one who asked, on one line.
pub(super) fn said(status: &Status, address: &Address) -> String {
    let message = status.message();
    match status.code() {
        Code::Unavailable => {
            // The relay speaks of upstreams.
            let label = format!("upstream {} ", authority(address));
            let why = message.strip_prefix(&label).unwrap_or(message);
            format!("cannot connect to {address}: {why}")
        }
        // What was asked is wrong, whoever was asked.
        Code::InvalidArgument | Code::NotFound => message.to_owned(),
        Code::DeadlineExceeded => format!("{address} did not answer in time"),
        code => format!("{address} answers {}: {message}", crate::status::name(code)),
    }
}
