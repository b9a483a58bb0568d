//! Loading the config again while the gateway runs: read, checked and built beside what is served, then swapped in whole
//! or not at all. One reload at a time; who asks while one runs is answered by the next, all together.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};
use tracing::{error, info};

use super::{
    Gateway, PortTls, callers, certificates, changes, federated, health, keys, log, observers,
    schemas::{self, Reading, Unread, Watch},
    start::{self, built, dialled, look_after, version},
    upstreams::{self, ByName, Prepared},
};
use crate::{
    config::Config,
    dispatch::Upstream,
    services::{
        About,
        admin::{Mistake, Outcome, Refused, Reload, Reloaded},
    },
    snapshot::{Known, Parts, Snapshot},
};

/// Somebody who asks for a reload.
#[derive(Debug)]
pub(super) struct Ask {
    who: String,
    /// Read the upstreams' reflection again too.
    schemas: bool,
    answer: oneshot::Sender<Outcome>,
}

/// Where reloads are asked for. It holds nothing of the gateway, so that the gateway's own services may hold it.
#[derive(Debug)]
pub(super) struct Queue(mpsc::UnboundedSender<Ask>);

impl Queue {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Asks at once; the answer need not be waited for.
    pub(super) fn ask(&self, who: String, schemas: bool) -> BoxFuture<'static, Outcome> {
        let (answer, answered) = oneshot::channel();
        // Where nobody takes it, the answer's end is dropped with it.
        let _ = self.0.send(Ask { who, schemas, answer });
        Box::pin(async { answered.await.unwrap_or_else(|_| Err(broken("the gateway is stopping"))) })
    }
}

impl Reload for Queue {
    fn reload(&self, who: String) -> BoxFuture<'static, Outcome> {
        self.ask(who, true)
    }
}

/// Answers those who ask, until the gateway is gone.
pub(super) async fn run(gateway: Weak<Gateway>, mut asked: mpsc::UnboundedReceiver<Ask>) {
    while let Some(first) = asked.recv().await {
        let mut asks = vec![first];
        while let Ok(another) = asked.try_recv() {
            asks.push(another);
        }
        let Some(gateway) = gateway.upgrade() else { return };
        let outcome = AssertUnwindSafe(gateway.load()).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(broken("the reload failed by a bug; the log has it")));
        log(&asks, &outcome);
        if let Some(telemetry) = &gateway.telemetry {
            telemetry.own.reloaded(outcome.is_ok());
        }
        if asks.iter().any(|ask| ask.schemas) {
            gateway.read_schemas_now();
        }
        for ask in asks {
            // Who asked may have gone.
            let _ = ask.answer.send(outcome.clone());
        }
    }
}

fn broken(message: &str) -> Refused {
    let mistake = Mistake { subject: String::new(), message: message.to_owned() };
    Refused { mistakes: vec![mistake], file: None }
}

/// Logs what came of a reload.
fn log(asks: &[Ask], outcome: &Outcome) {
    let who = match asks {
        [first, others @ ..] if !others.is_empty() => format!("{} and {} more", first.who, others.len()),
        _ => asks.first().map(|ask| ask.who.clone()).unwrap_or_default(),
    };
    match outcome {
        Ok(Reloaded { loaded, changes, needs_restart, .. }) => {
            let what = match (changes.is_empty(), needs_restart.is_empty()) {
                (true, true) => "nothing has changed".to_owned(),
                (true, false) => "what has changed needs a restart".to_owned(),
                (false, _) => told(changes),
            };
            info!(generation = loaded.generation, "reloaded ({who}): {what}");
            for key in needs_restart {
                tracing::warn!("{key}");
            }
        }
        Err(refused) => error!("not reloaded ({who}): {refused}"),
    }
}

/// What has changed, in a line that can be read: of thousands of routes the first few, and how many more.
fn told(changes: &[String]) -> String {
    const MOST: usize = 20;
    let mut told = changes.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join("; ");
    if let Some(more) = changes.len().checked_sub(MOST).filter(|more| *more > 0) {
        told.push_str(&format!("; and {more} more"));
    }
    told
}

/// A config that could be read, with what only a restart changes held back.
struct Read {
    config: Config,
    needs_restart: Vec<String>,
    prepared: Prepared,
    tls: Option<Arc<PortTls>>,
}

impl Gateway {
    /// One reload, from reading the config to the swap.
    async fn load(self: &Arc<Self>) -> Outcome {
        let refused = |mistakes| Refused { mistakes, file: self.source.file.clone() };
        let gateway = Arc::clone(self);
        // Files may be slow, and certificates and tables take their time: signals are answered meanwhile.
        let read = spawn_blocking(move || gateway.read()).await;
        let read = read.map_err(|_| broken("the config could not be read, by a bug; the log has it"))?;
        let read = read.map_err(refused)?;
        let fresh = self.fresh(&read);
        let come = schemas::first_chance(&fresh).await;
        self.swap(read, &fresh, come).map_err(refused)
    }

    /// Reads the config and the files that it names.
    fn read(&self) -> Result<Read, Vec<Mistake>> {
        let now = self.config();
        let read = self.source.read_again();
        // Before they are read. A config that is refused for a file that is not there yet is tried again when it comes.
        self.files.send_replace(match &read {
            Ok(config) => self.source.sight(&[&now, config]),
            Err(_) => self.source.sight(&[&now]),
        });
        let mut config = read?;
        let needs_restart = keys::hold(&mut config, &now);
        let (reached, proxied, servers, known, built_in) = {
            let current = self.current();
            (
                current.reached.clone(),
                current.parts.proxied.clone(),
                current.parts.servers.clone(),
                current.schemas.clone(),
                Arc::clone(&current.parts.built_in),
            )
        };
        let mut prepared = upstreams::prepare(&config, &reached, &proxied, &known, &built_in);
        federated::prepare(&config, &servers, &mut prepared);
        let tls = certificates::prepare(&config, self.tls.load().as_ref()).unwrap_or_else(|mistakes| {
            prepared.mistakes.extend(mistakes);
            None
        });
        Ok(Read { config, needs_restart, prepared, tls })
    }

    /// The upstreams whose reflection nobody watches yet.
    fn fresh(&self, read: &Read) -> ByName<Arc<Upstream>> {
        let current = self.current();
        let fresh = schemas::reflecting(&read.config).filter_map(|(name, _)| {
            let upstream = &read.prepared.reached.get(name)?.upstream;
            let now = current.parts.upstreams.get(name);
            let watched =
                current.watches.contains_key(name) && now.is_some_and(|now| Arc::ptr_eq(now, upstream));
            (!watched).then(|| (Arc::clone(name), Arc::clone(upstream)))
        });
        fresh.collect()
    }

    /// Builds the next snapshot and swaps it in, if anything differs.
    fn swap(
        self: &Arc<Self>,
        read: Read,
        fresh: &ByName<Arc<Upstream>>,
        mut come: ByName<Reading>,
    ) -> Result<Reloaded, Vec<Mistake>> {
        let Read { config, needs_restart, prepared, tls } = read;
        let Prepared { reached, described, proxied, servers, mistakes } = prepared;
        let mut current = self.current();
        let mut schemas = described;
        let mut here = ByName::new();
        let mut said = keys::changes(&current.parts.config, &config);
        for (name, _) in schemas::reflecting(&config) {
            let known = current.schemas.get(name);
            let mut schema = known.cloned();
            match come.remove(name) {
                Some(Ok(new)) if known.is_none_or(|known| !known.schema.same_files(&new)) => {
                    schema = Some(Arc::new(Known::new(new, &current.parts.built_in.schema)));
                }
                // An upstream that is somewhere else now keeps its schema until it answers there.
                Some(Err(Unread::Away(status))) => {
                    here.insert(Arc::clone(name), false);
                    said.push(format!("upstream {name} does not answer yet: {}", status.message()));
                }
                Some(Err(Unread::Broken(why))) => said.push(format!("upstream {name}: {why}")),
                None if fresh.contains_key(name) => {
                    here.insert(Arc::clone(name), false);
                    said.push(format!("upstream {name} has not answered reflection yet"));
                }
                Some(Ok(_)) | None => {}
            }
            schemas.extend(schema.map(|schema| (Arc::clone(name), schema)));
        }
        let upstreams = dialled(&reached);
        let loaded = current.parts.loaded;
        let file = self.source.file.clone();
        let proxied_before = &current.parts.proxied;
        for (name, upstream) in &proxied {
            let told = said.iter().any(|said| said.starts_with(&format!("upstreams.{name}.")));
            if proxied_before.get(name).is_some_and(|was| !Arc::ptr_eq(was, upstream)) && !told {
                said.push(format!("upstream {name}: {OTHER_CERTIFICATES}"));
            }
        }
        said.extend(files_changed(&current.parts.upstreams, &upstreams, &current.schemas, &schemas, &said));
        said.extend(certificates::changed(self.tls.load().as_ref(), tls.as_ref()));
        if said.is_empty() && mistakes.is_empty() {
            return Ok(Reloaded { loaded, changes: said, needs_restart, file });
        }
        let before = (&*current.parts.policies, &*current.parts.config);
        let policies = callers::policies(&config, &self.accounts, Some(before))?;
        let tracer = self.traces.as_ref().map(|traces| traces.tracer(&config));
        let observers = observers::of(&config, self.telemetry.as_ref(), tracer.as_ref());
        let before = Some(&*current.parts.monitor);
        let of = (&upstreams, &proxied);
        let monitor = health::monitor(&config, &self.accounts.stores, of, &self.figures, before);
        let parts = Parts {
            policies,
            monitor,
            about: Arc::new(About {
                version: version(&config).to_owned(),
                environment: config.environment.to_string(),
                ..(*current.parts.about).clone()
            }),
            loaded: loaded.next(),
            board: Arc::clone(&self.board),
            explain: Arc::clone(&current.parts.explain),
            agents: Arc::clone(&current.parts.agents),
            directory: Arc::clone(&current.parts.directory),
            automation: Arc::clone(&current.parts.automation),
            mcp: Arc::clone(&current.parts.mcp),
            reload: Arc::clone(&current.parts.reload),
            built_in: Arc::clone(&current.parts.built_in),
            config: Arc::new(config),
            upstreams,
            proxied,
            servers,
            observers,
            telemetry: self.telemetry.clone(),
            tracer,
        };
        let snapshot = built(Snapshot::build(&parts, &schemas), mistakes)?;
        if same_schemas(&parts.config, &current.schemas, &schemas) {
            // What fits them no more is the config's own doing: it would take away what is served.
            let before = self.snapshot();
            let news = snapshot.left_out().iter().filter(|one| !before.left_out().contains(one));
            let news: Vec<_> = news.map(start::mistake).collect();
            if !news.is_empty() {
                return Err(news);
            }
        }
        snapshot.tell_left_out();
        let before = self.catalog();
        said.extend(changes::changes(&before, &snapshot.catalog));
        let loaded = parts.loaded;
        let named = self.source.files(&parts.config);
        self.files.send_modify(|sight| sight.retain(|file, _| named.contains(file)));
        look_after(&parts);
        self.show(snapshot);
        log::set_level(parts.config.log.level);
        self.tls.store(tls);
        let mut watches = ByName::new();
        for (name, interval) in schemas::reflecting(&parts.config) {
            let Some(upstream) = parts.upstreams.get(name) else { continue };
            let watch = match current.watches.remove(name) {
                Some(watch) if watch.watches(upstream, interval) => watch,
                _ => {
                    let come = here.get(name).copied().unwrap_or(true);
                    Watch::begin(self, name, upstream, interval, Some(come))
                }
            };
            watches.insert(Arc::clone(name), watch);
        }
        // Those of upstreams that are gone end here, and the upstreams with the last call that holds them.
        current.watches = watches;
        self.watch_servers(&parts, &mut current.server_watches);
        current.parts = parts;
        current.reached = reached;
        current.schemas = schemas;
        Ok(Reloaded { loaded, changes: said, needs_restart, file })
    }
}

/// True where every upstream's reflected schema is what it was.
fn same_schemas(config: &Config, before: &ByName<Arc<Known>>, after: &ByName<Arc<Known>>) -> bool {
    schemas::reflecting(config).all(|(name, _)| match (before.get(name), after.get(name)) {
        (Some(was), Some(is)) => Arc::ptr_eq(was, is),
        (None, None) => true,
        _ => false,
    })
}

const OTHER_CERTIFICATES: &str = "the certificates that it is known by, or shown, have changed";

/// What differs although the config says the same: the contents of files that it names.
fn files_changed(
    before: &ByName<Arc<Upstream>>,
    after: &ByName<Arc<Upstream>>,
    known: &ByName<Arc<Known>>,
    schemas: &ByName<Arc<Known>>,
    said: &[String],
) -> Vec<String> {
    let mut changed = Vec::new();
    for (name, upstream) in after {
        let Some(was) = before.get(name) else { continue };
        let told = said.iter().any(|said| said.starts_with(&format!("upstreams.{name}.")));
        let same_schema = match (known.get(name), schemas.get(name)) {
            (Some(was), Some(now)) => Arc::ptr_eq(was, now),
            (None, None) => true,
            _ => false,
        };
        if !Arc::ptr_eq(was, upstream) && !told {
            changed.push(format!("upstream {name}: {OTHER_CERTIFICATES}"));
        }
        if !same_schema {
            changed.push(format!("upstream {name}: its schema has changed"));
        }
    }
    changed.sort();
    changed
}
