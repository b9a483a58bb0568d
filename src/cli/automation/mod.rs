//! `propylon automation`: the automation services as an upstream of their own. Who stands before them says who calls; so they
//! are reached from this machine alone, unless callers show a token that only gateways know.

mod server;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::Args;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tracing::info;

use self::server::Server;
use super::{Failure, ending, say, serve::load};
use crate::{
    automation::Automation as Services,
    config::{Config, Own, Sources},
    gateway::log,
    proto::{
        FILE_DESCRIPTOR_SET, grpc_health_v1::health_server::HealthServer,
        grpc_reflection_v1::server_reflection_server::ServerReflectionServer,
        grpc_reflection_v1alpha::server_reflection_server::ServerReflectionServer as AlphaServer,
    },
    route::{
        Destination,
        catalog::{Catalog, Described, Source},
    },
    schema::{Files, Schema},
    services::{
        HealthBoard,
        grpc_health::GrpcHealth,
        reflection::{Reflection, ReflectionAlpha},
    },
    store::Stores,
};

/// The shortest token.
const SHORTEST: usize = 16;

#[derive(Debug, Args)]
pub(super) struct Automation {
    /// The config file; of it [log], [limits], [store], [galaxy] and which services are switched off count here
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// A file with a token that callers must show as `authorization: Bearer …`; needed where others reach the address
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Automation) -> Result<(), Failure> {
    let token = arguments.token_file.as_deref().map(token).transpose()?;
    if token.is_none() && !arguments.listen.ip().is_loopback() {
        return Err(Failure::config(format!(
            "whoever reaches {} could say that it is anybody: --token-file has a token that callers must show, or \
             --listen is an address of this machine alone",
            arguments.listen
        )));
    }
    let (config, _) = load(&Sources::of_process(arguments.config.as_deref()))?;
    log::start(config.log);
    Builder::new_multi_thread().enable_all().build().map_err(Failure::system)?.block_on(async {
        let listener = tokio::net::TcpListener::bind(arguments.listen).await;
        let listener =
            listener.map_err(|error| ending::cannot_listen("--listen", arguments.listen, &error))?;
        let address = listener.local_addr().map_err(Failure::system)?;
        let stores = Arc::new(Stores::new(&config.store).map_err(Failure::config)?);
        if let Some(why) = stores.refused().await {
            return Err(Failure::system(format!(
                "{why}; store.database (DATABASE_URL) says where playbooks are kept"
            )));
        }
        let services = Services::new(Arc::clone(&stores), config.galaxy.clone());
        let board = Arc::new(HealthBoard::default());
        let server = serving(&config, &services, &board, token)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::system)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::system)?;
        let back = Arc::clone(&stores);
        let watching = tokio::spawn(async move { back.watch_redis().await });
        if config.built_ins.get(Own::Galaxy).enabled {
            services.galaxy().begin().await;
        }
        board.set_serving(true);
        say(&format!("listening on http://{address}"));
        info!(event = "automation_started", "the automation services listen on {address}");
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            board.drain();
            info!(event = "automation_stopping", "asked to stop; calls in flight are finished");
        };
        server.serve(listener, stop, config.drain.timeout).await;
        watching.abort();
        Ok(())
    })
}

/// The token of a file: its first line.
fn token(file: &std::path::Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::config(format!("--token-file {}: {error}", file.display())))?;
    let token = text.lines().next().unwrap_or_default().trim().to_owned();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::config(format!(
            "--token-file {}: its first line is a token of at least {SHORTEST} visible characters",
            file.display()
        )));
    }
    Ok(token)
}

/// The services that are switched on, with health and reflection.
fn serving(
    config: &Config,
    services: &Services,
    board: &Arc<HealthBoard>,
    token: Option<String>,
) -> Result<Server, Failure> {
    let on = |own: Own| config.built_ins.get(own).enabled;
    let mine = |service: &str| {
        let automation = service.starts_with("propylon.automation.");
        (automation || service.starts_with("grpc.")) && config.built_ins.has_service(service)
    };
    let schema = Schema::decode(FILE_DESCRIPTOR_SET).map_err(Failure::bug)?;
    let mut source = Source::of(Destination::Local, "", &schema, |_| Described::default());
    source.services.retain(|service| mine(&service.name));
    source.files = Some(Files::with(&schema, mine));
    let mut catalog = Catalog::default();
    catalog.push(source);
    let catalog = Arc::new(catalog);
    board.show(&catalog);
    let mut server = Server::new(token);
    let limits = config.limits;
    for own in
        [Own::Playbooks, Own::VariableTypes, Own::Favorites, Own::Galaxy].into_iter().filter(|own| on(*own))
    {
        match own {
            Own::Playbooks => server.add(services.playbooks(limits)),
            Own::VariableTypes => server.add(services.variable_types(limits)),
            Own::Favorites => server.add(services.favorites(limits)),
            _ => server.add(services.catalogue(limits)),
        }
    }
    server.add(HealthServer::new(GrpcHealth::new(Arc::clone(board))));
    if on(Own::Reflection) {
        server.add(ServerReflectionServer::new(Reflection::new(Arc::clone(&catalog))));
        server.add(AlphaServer::new(ReflectionAlpha::new(catalog)));
    }
    Ok(server)
}
