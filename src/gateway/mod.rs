//! The composition root: the only module that knows them all. It holds the current snapshot, and swaps in the next one
//! when an upstream's schema (`schemas`) or the config (`reload`, asked for by `files` too) says something new.

mod accounts;
mod agents;
mod callers;
mod certificates;
mod changes;
mod cors;
mod door;
mod explain;
mod federated;
mod figures;
mod files;
mod framing;
mod head_fault;
mod headers;
mod health;
mod keyring;
mod keys;
pub mod log;
mod observers;
mod operator;
mod pages;
mod pushed;
mod rebinding;
mod rehearsal;
mod reload;
mod request_id;
mod schemas;
mod source;
mod start;
mod traces;
mod upstreams;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use tonic::Status;

pub use self::{
    accounts::directory,
    certificates::PortTls,
    door::{Door, door, operator_door},
    head_fault::HeadFault,
    source::Source,
    start::{StartError, rehearse},
};
use self::{
    files::Sight,
    schemas::Watch,
    upstreams::{ByName, Reached},
};
use crate::{
    config::Config,
    health::{Figures, Lag},
    route::catalog::Catalog,
    services::{
        HealthBoard, NotServing,
        accounts::FirstAdmin,
        admin::{Outcome, Reload as _},
    },
    snapshot::{Known, Parts, Snapshot},
    store::StoreHealth,
    surface::mcp::Board,
    telemetry::{CacheUse, Telemetry},
};

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    /// Where the config comes from.
    source: Source,
    board: Arc<HealthBoard>,
    /// Those who listen for changes of the tools.
    mcp: Arc<Board>,
    accounts: accounts::Accounts,
    /// The stores are in use: not so for who only asks what would be served.
    opened: bool,
    /// What the process costs.
    figures: Arc<Figures>,
    /// The admin that the start made, until it is told.
    first_admin: Mutex<Option<FirstAdmin>>,
    /// Held while a snapshot is built and swapped in, so that two cannot race.
    current: Mutex<Current>,
    snapshot: ArcSwap<Snapshot>,
    /// What the port's handshakes are made with; `None`: it speaks plain text.
    tls: ArcSwapOption<PortTls>,
    /// Says to read every upstream's reflection now; the number only makes each asking another.
    read_now: watch::Sender<u64>,
    /// Takes what is asked, one after the other.
    reloads: Arc<reload::Queue>,
    /// Who sends the traces of calls, if anybody does.
    traces: Option<traces::Traces>,
    /// Who sends its numbers, if anybody does.
    pushed: Option<pushed::Pushed>,
    /// The files that the config comes from and names, with what they held when it was read last.
    files: watch::Sender<Sight>,
    /// How often what probes had found was enough.
    health_used: Arc<CacheUse>,
    /// The instruments; `None` where nobody wants numbers.
    telemetry: Option<Arc<Telemetry>>,
}

/// What the snapshot was built from.
#[derive(Debug)]
struct Current {
    parts: Parts,
    reached: ByName<Reached>,
    /// The upstreams' schemas as known now.
    schemas: ByName<Arc<Known>>,
    /// One for each upstream whose schema comes by reflection.
    watches: ByName<Watch>,
    /// One for each federated MCP server.
    server_watches: ByName<crate::federation::Watch>,
}

impl Gateway {
    /// What is served now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshot.load().catalog)
    }

    /// The OpenAPI document of what is served now, for people to read; of a gateway at these addresses, where any are given.
    #[must_use]
    pub fn openapi(&self, servers: &[String]) -> String {
        self.snapshot.load().openapi().pretty(servers)
    }

    /// The config in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.snapshot.load().config)
    }

    /// The admin that the start has made, if it has made one; told once.
    #[must_use]
    pub fn first_admin(&self) -> Option<FirstAdmin> {
        self.first_admin.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How the stores that accounts and keys are kept in are doing; none where nothing is kept.
    #[must_use]
    pub fn stores(&self) -> Vec<StoreHealth> {
        if self.accounts.in_use { self.accounts.stores.health() } else { Vec::new() }
    }

    /// Where workers note how late they come to what is due: each watches its own runtime.
    #[must_use]
    pub fn lag(&self) -> Arc<Lag> {
        Arc::clone(&self.figures.lag)
    }

    /// The public halves of the keys that sign the gateway's tokens, as a JWKS; a secret is not among them.
    ///
    /// # Errors
    /// UNAVAILABLE while they are not known yet: the database is away.
    pub fn jwks(&self) -> Result<Arc<serde_json::Value>, Status> {
        self.accounts.keyring.jwks()
    }

    /// Writes down what stores are told now and then, for the end of the process.
    pub async fn close_stores(&self) {
        self.accounts.stores.note_uses().await;
    }

    /// Why it takes no calls now; `None` while it does.
    #[must_use]
    pub fn why_not_ready(&self) -> Option<NotServing> {
        self.board.why_not()
    }

    /// Says that no new calls should come; those in flight go on.
    pub fn drain(&self) {
        self.board.drain();
        self.mcp.drain();
    }

    /// Loads the config again, for `who` asks, and takes over what has changed: whole, or not at all. The upstreams'
    /// reflection is read again too, in the background. It is asked for at once, whether the answer is waited for or not;
    /// the log has it too.
    ///
    /// # Errors
    /// Every mistake of the config, of a file that it names, and of what would be served.
    pub fn reload(&self, who: &str) -> impl Future<Output = Outcome> + Send + use<> {
        self.reloads.reload(who.to_owned())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Sends what is left to tell: the traces of calls that have ended, and the last numbers. It may take this long.
    pub async fn finish_telemetry(&self, limit: Duration) {
        let traces = async {
            if let Some(traces) = &self.traces {
                traces.finish(limit).await;
            }
        };
        let numbers = async {
            if let Some(pushed) = &self.pushed {
                pushed.finish(limit).await;
            }
        };
        tokio::join!(traces, numbers);
    }

    /// Swaps in a snapshot; whoever calls it holds `current`.
    fn show(&self, snapshot: Snapshot) {
        self.board.show(&snapshot.catalog);
        if let Some(mcp) = &snapshot.mcp {
            self.mcp.show(mcp.toolbox(), mcp.shelf());
        }
        if let Some(telemetry) = &self.telemetry {
            telemetry.calls.keep(&snapshot.catalog.route_names());
        }
        self.snapshot.store(Arc::new(snapshot));
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
