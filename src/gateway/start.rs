//! The start: from a config to a gateway that serves it, with the tasks that keep it up to date.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tracing::warn;

use super::{
    Current, Gateway, Source,
    accounts::Accounts,
    agents::Endpoint,
    callers, certificates,
    explain::Explainer,
    federated, files, health, observers,
    pushed::Pushed,
    reload::{self, Queue},
    schemas::{self, Watch},
    traces::Traces,
    upstreams::{self, ByName},
};
use crate::{
    automation::Automation,
    config::{self, Callers, Config, Own},
    dispatch::Upstream,
    proto,
    schema::Schema,
    services::{
        About, Explain, HealthBoard, Loaded,
        admin::{Mistake, Reload},
        mcp::Agents,
    },
    snapshot::{self, Known, Parts, Snapshot, SnapshotError},
    surface::mcp::Board,
};

/// Why a gateway could not start.
#[derive(Debug)]
pub enum StartError {
    /// Every mistake of its config, a line each.
    Config(Vec<Mistake>),
    /// What the machine does not allow.
    Machine(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mistakes = match self {
            Self::Config(mistakes) => mistakes,
            Self::Machine(why) => return f.write_str(why),
        };
        for (at, mistake) in mistakes.iter().enumerate() {
            let between = if at == 0 { "" } else { "\n" };
            write!(f, "{between}{}", mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {}

impl StartError {
    /// The config's mistakes by the paths of their keys, for what knows where these were written.
    #[must_use]
    pub fn mistakes(&self) -> Vec<config::Mistake> {
        let Self::Config(mistakes) = self else { return Vec::new() };
        let mistakes = mistakes.iter().map(|Mistake { subject, message }| {
            // The subject is said by who shows them.
            let alone = message.strip_prefix(subject.as_str()).and_then(|rest| rest.strip_prefix(": "));
            config::Mistake::new(subject, alone.unwrap_or(message))
        });
        mistakes.collect()
    }
}

/// Builds a snapshot of a config and its descriptor files, and throws it away: nothing is asked of any upstream, and what
/// an upstream's reflection would say is not known. `sure`: whether a section is as its author meant it; what another
/// mistake there may have caused is not told.
///
/// # Errors
/// What a gateway would refuse to start with.
pub fn rehearse(config: &Config, sure: impl Fn(&str) -> bool) -> Result<(), Vec<config::Mistake>> {
    let built_in = built_in().map_err(|error| error.mistakes())?;
    let mut prepared =
        upstreams::prepare(config, &HashMap::new(), &HashMap::new(), &HashMap::new(), &built_in);
    federated::prepare(config, &HashMap::new(), &mut prepared);
    let accounts = accounts(config).map_err(|error| error.mistakes())?;
    let mut mistakes = prepared.mistakes;
    let policies = match callers::policies(config, &accounts, None) {
        Ok(policies) => policies,
        Err(more) => {
            mistakes.extend(more);
            // What is wrong with who is known leaves what is served as it is.
            let nobody = Config { callers: Callers::default(), ..config.clone() };
            let policies = callers::policies(&nobody, &accounts, None);
            policies.map_err(|mistakes| StartError::Config(mistakes).mistakes())?
        }
    };
    let upstreams = dialled(&prepared.reached);
    let reached = (&upstreams, &prepared.proxied);
    let monitor = health::monitor(config, &accounts.stores, reached, &health::figures(config), None);
    let parts = Parts {
        policies,
        monitor,
        about: Arc::new(About::new(version(config), &*config.environment)),
        loaded: Loaded::first(),
        board: Arc::new(HealthBoard::default()),
        reload: Arc::new(Queue::new().0),
        explain: Arc::new(Explainer::default()),
        agents: Arc::new(Endpoint::default()),
        directory: Arc::clone(&accounts.directory),
        automation: Arc::new(automation(config, &accounts)),
        mcp: Arc::new(Board::new(Arc::clone(&accounts.stores.cache))),
        built_in,
        config: Arc::new(config.clone()),
        upstreams,
        proxied: prepared.proxied.clone(),
        servers: prepared.servers.clone(),
        observers: None,
        telemetry: None,
        tracer: None,
    };
    let mut told = StartError::Config(mistakes).mistakes();
    if let Err(error) = Snapshot::build(&parts, &prepared.described) {
        let certain = error.mistakes().iter().filter(|mistake| mistake.needs.iter().all(|name| sure(name)));
        told.extend(certain.map(|mistake| mistake.told.clone()));
    }
    if told.is_empty() { Ok(()) } else { Err(told) }
}

/// The accounts of a config; nothing is opened yet.
fn accounts(config: &Config) -> Result<Accounts, StartError> {
    Accounts::new(config)
        .map_err(|message| StartError::Config(vec![Mistake { subject: "store".to_owned(), message }]))
}

/// The automation services over the stores that accounts are in; nothing is opened yet.
fn automation(config: &Config, accounts: &Accounts) -> Automation {
    Automation::new(Arc::clone(&accounts.stores), config.galaxy.clone())
}

/// The schema of the gateway's own services.
fn built_in() -> Result<Arc<Known>, StartError> {
    let built_in = Schema::decode(proto::FILE_DESCRIPTOR_SET).map_err(|error| {
        let message = format!("the gateway's own schema: {error}");
        StartError::Config(vec![Mistake { subject: String::new(), message }])
    })?;
    Ok(Arc::new(Known::new(built_in.clone(), &built_in)))
}

impl Gateway {
    /// Starts a gateway on a config that came from `source`: reads descriptor files, gives upstreams' reflection a first
    /// chance, and keeps asking in the background of the current runtime, where reloads happen too.
    ///
    /// # Errors
    /// What is wrong with the config or with a descriptor file; or SQLite's file cannot be had.
    pub async fn start(config: Config, source: Source) -> Result<Arc<Self>, StartError> {
        Self::begin(config, source, true).await
    }

    /// The same for who only asks what would be served: no store is opened, no file made, no admin made.
    ///
    /// # Errors
    /// What is wrong with the config or with a descriptor file.
    pub async fn only_to_ask(config: Config) -> Result<Arc<Self>, StartError> {
        Self::begin(config.clone(), Source::fixed(config), false).await
    }

    async fn begin(config: Config, source: Source, opens: bool) -> Result<Arc<Self>, StartError> {
        let built_in = built_in()?;
        let files = watch::Sender::new(source.sight(&[&config]));
        let mut prepared =
            upstreams::prepare(&config, &HashMap::new(), &HashMap::new(), &HashMap::new(), &built_in);
        federated::prepare(&config, &HashMap::new(), &mut prepared);
        let (reloads, asked) = Queue::new();
        let reloads = Arc::new(reloads);
        let explainer = Arc::new(Explainer::default());
        let endpoint = Arc::new(Endpoint::default());
        let mut accounts = accounts(&config)?;
        callers::warn_of_open_services(&config);
        let policies = callers::policies(&config, &accounts, None).map_err(StartError::Config)?;
        // Who only asks opens no port.
        let tls =
            if opens { certificates::prepare(&config, None).map_err(StartError::Config)? } else { None };
        let about = About::new(version(&config), &*config.environment);
        // Who only asks sends nothing.
        let outages = Arc::default();
        let traces = match opens {
            true => Traces::begin(&config, &about, &outages).map_err(StartError::Config)?,
            false => None,
        };
        let tracer = traces.as_ref().map(|traces| traces.tracer(&config));
        let telemetry = observers::telemetry(&config).map_err(StartError::Config)?;
        let pushed = match &telemetry {
            Some(telemetry) if opens => {
                Pushed::begin(&config, &about, telemetry, &outages).map_err(StartError::Config)?
            }
            _ => None,
        };
        let observers = observers::of(&config, telemetry.as_ref(), tracer.as_ref());
        let (upstreams, figures) = (dialled(&prepared.reached), health::figures(&config));
        let reached = (&upstreams, &prepared.proxied);
        let monitor = health::monitor(&config, &accounts.stores, reached, &figures, None);
        let parts = Parts {
            policies,
            monitor,
            about: Arc::new(about),
            loaded: Loaded::first(),
            board: Arc::new(HealthBoard::default()),
            reload: Arc::clone(&reloads) as Arc<dyn Reload>,
            explain: Arc::clone(&explainer) as Arc<dyn Explain>,
            agents: Arc::clone(&endpoint) as Arc<dyn Agents>,
            directory: Arc::clone(&accounts.directory),
            automation: Arc::new(automation(&config, &accounts)),
            mcp: Arc::new(Board::new(Arc::clone(&accounts.stores.cache))),
            built_in,
            config: Arc::new(config),
            upstreams,
            proxied: prepared.proxied.clone(),
            servers: prepared.servers.clone(),
            observers,
            telemetry: telemetry.clone(),
            tracer,
        };
        let snapshot = built(Snapshot::build(&parts, &prepared.described), prepared.mistakes)
            .map_err(StartError::Config)?;
        snapshot.tell_left_out();
        // Nothing is opened, and no file made, for a config that is not taken.
        if opens
            && accounts.in_use
            && let Some(why) = accounts.stores.refused().await
        {
            return Err(StartError::Machine(format!(
                "{why}; store.database (DATABASE_URL) says where accounts and keys are kept, and without [builtin.auth] and [builtin.users] nothing is"
            )));
        }
        let first_admin =
            if opens { accounts.start(&parts.config.accounts, &parts.board).await } else { None };
        parts.board.show(&snapshot.catalog);
        if let Some(mcp) = &snapshot.mcp {
            parts.mcp.show(mcp.toolbox(), mcp.shelf());
        }
        if opens {
            look_after(&parts);
            if parts.config.built_ins.get(Own::Galaxy).enabled {
                parts.automation.galaxy().begin().await;
            }
        }
        let gateway = Arc::new(Self {
            source,
            accounts,
            opened: opens,
            figures,
            first_admin: Mutex::new(first_admin),
            board: Arc::clone(&parts.board),
            mcp: Arc::clone(&parts.mcp),
            health_used: Arc::clone(parts.monitor.used()),
            current: Mutex::new(Current {
                parts,
                reached: prepared.reached,
                schemas: prepared.described,
                watches: HashMap::new(),
                server_watches: HashMap::new(),
            }),
            snapshot: ArcSwap::from_pointee(snapshot),
            tls: tls.into(),
            read_now: watch::Sender::new(0),
            reloads,
            traces,
            pushed,
            files,
            telemetry,
        });
        if let Some(telemetry) = &gateway.telemetry {
            let (families, caches) = (Arc::downgrade(&gateway), Arc::downgrade(&gateway));
            telemetry.ask(
                move || families.upgrade().map(|gateway| gateway.figures_now()).unwrap_or_default(),
                move || caches.upgrade().map(|gateway| gateway.caches()).unwrap_or_default(),
            );
        }
        explainer.tie(&gateway);
        endpoint.tie(&gateway);
        tokio::spawn(reload::run(Arc::downgrade(&gateway), asked));
        if opens {
            tokio::spawn(health::tell(Arc::downgrade(&gateway)));
            let figures = Arc::clone(&gateway.figures);
            tokio::spawn(async move { figures.watch().await });
        }
        tokio::spawn(files::watch(Arc::downgrade(&gateway), gateway.files.subscribe()));
        gateway.first_schemas().await;
        if opens {
            gateway.federate(federated::FIRST_CHANCE).await;
        }
        gateway.board.set_serving(true);
        Ok(gateway)
    }

    /// Gives every upstream's reflection its first chance, and begins to watch it.
    async fn first_schemas(self: &Arc<Self>) {
        let config = self.config();
        let upstreams = self.current().parts.upstreams.clone();
        let asked: ByName<_> = schemas::reflecting(&config)
            .filter_map(|(name, _)| Some((Arc::clone(name), Arc::clone(upstreams.get(name)?))))
            .collect();
        let mut come = schemas::first_chance(&asked).await;
        if come.len() < asked.len() {
            warn!("some upstreams have not answered reflection yet; they come in when they do");
        }
        let mut watches = HashMap::new();
        // In the order of the config: of two that have one service, the first serves it.
        for (name, interval) in schemas::reflecting(&config) {
            let Some(upstream) = asked.get(name) else { continue };
            let reading = come.remove(name);
            let here = reading.as_ref().map(|reading| !matches!(reading, Err(schemas::Unread::Away(_))));
            if let Some(reading) = reading {
                schemas::report(name, self.take(name, upstream, reading), false, &mut false);
            }
            watches.insert(Arc::clone(name), Watch::begin(self, name, upstream, interval, here));
        }
        self.current().watches = watches;
    }
}

/// The version that a deployment shows.
pub(super) fn version(config: &Config) -> &str {
    config.rest.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// Begins what is done for upstreams in the background, for those for whom it has not begun.
pub(super) fn look_after(parts: &Parts) {
    parts.upstreams.values().for_each(|upstream| upstream.look_after());
    parts.proxied.values().for_each(|upstream| upstream.look_after());
}

/// The upstreams alone.
pub(super) fn dialled(reached: &ByName<upstreams::Reached>) -> ByName<Arc<Upstream>> {
    reached.iter().map(|(name, reached)| (Arc::clone(name), Arc::clone(&reached.upstream))).collect()
}

/// As it is told to whoever asked for a reload.
pub(super) fn mistake(one: &snapshot::Mistake) -> Mistake {
    Mistake { subject: one.told.path.clone(), message: one.to_string() }
}

/// A snapshot without a mistake, or every mistake there is.
pub(super) fn built(
    built: Result<Snapshot, SnapshotError>,
    mut mistakes: Vec<Mistake>,
) -> Result<Snapshot, Vec<Mistake>> {
    match built {
        Ok(snapshot) if mistakes.is_empty() => Ok(snapshot),
        Ok(_) => Err(mistakes),
        Err(error) => {
            mistakes.extend(error.mistakes().iter().map(mistake));
            Err(mistakes)
        }
    }
}
