//! The upstreams' schemas by their own reflection: a first chance at the start and for whom a reload brings, then again
//! and again in the background, a task for each upstream.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tonic::Status;
use tracing::{debug, error, info, warn};

use super::{Gateway, upstreams::ByName};
use crate::{
    config::{Config, SchemaSource},
    dispatch::{Upstream, reflection},
    schema::Schema,
    snapshot::{Known, Snapshot},
};

/// How long the start, or a reload, waits for upstreams' reflection; what is slower comes in when it appears.
const FIRST_CHANCE: Duration = Duration::from_secs(3);
/// How soon an upstream that is away is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Of more methods than this that came or went, the log says only how many.
const MOST_NAMES: usize = 8;

/// Why there is no schema.
#[derive(Debug)]
pub(super) enum Unread {
    /// The upstream cannot be asked, or does not answer.
    Away(Status),
    /// What it says is no schema.
    Broken(String),
}

/// What reading a schema gave.
pub(super) type Reading = Result<Schema, Unread>;

/// What came of a reading.
pub(super) enum Taken {
    Same,
    /// What changed, for the log.
    New(String),
    Refused(String),
    Away(Status),
    /// A reload has put another upstream in its place: nobody wants to know.
    Outdated,
}

/// A task that reads one upstream's schema again and again; dropped, it ends.
#[derive(Debug)]
pub(super) struct Watch {
    upstream: Arc<Upstream>,
    interval: Duration,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads several upstreams' schemas at once. Who has not answered within the first chance is not in the answer.
pub(super) async fn first_chance(asked: &ByName<Arc<Upstream>>) -> ByName<Reading> {
    let until = Instant::now() + FIRST_CHANCE;
    let mut readings = JoinSet::new();
    for (name, upstream) in asked {
        let (name, upstream) = (Arc::clone(name), Arc::clone(upstream));
        readings.spawn(async move {
            let reading = read(&name, &upstream).await;
            (name, reading)
        });
    }
    let mut come = HashMap::new();
    while let Ok(Some(one)) = timeout_at(until, readings.join_next()).await {
        come.extend(one.ok());
    }
    come
}

/// Reads one upstream's schema.
async fn read(name: &str, upstream: &Arc<Upstream>) -> Reading {
    let read = reflection::read(upstream, reflection::Limits::default()).await.map_err(Unread::Away)?;
    for problem in &read.problems {
        debug!(upstream = name, "its reflection lacks something: {problem}");
    }
    Schema::from_files(&read.files)
        .map_err(|error| Unread::Broken(format!("its reflection gives a broken schema: {error}")))
}

/// The upstreams of a config whose schema comes by reflection.
pub(super) fn reflecting(config: &Config) -> impl Iterator<Item = (&Arc<str>, Duration)> {
    config.upstreams.iter().filter_map(|upstream| match upstream.schema {
        SchemaSource::Reflection { interval } => Some((&upstream.name, interval)),
        _ => None,
    })
}

impl Watch {
    /// True where it watches just this, just so.
    pub(super) fn watches(&self, upstream: &Arc<Upstream>, interval: Duration) -> bool {
        Arc::ptr_eq(&self.upstream, upstream) && self.interval == interval
    }

    /// Begins to watch, on the current runtime. `come` is whether the first chance brought a schema; `None`: it has not
    /// answered yet.
    pub(super) fn begin(
        gateway: &Arc<Gateway>,
        name: &Arc<str>,
        upstream: &Arc<Upstream>,
        interval: Duration,
        come: Option<bool>,
    ) -> Self {
        let mut pause = match come {
            None => Duration::ZERO,
            Some(false) => RETRY.min(interval),
            Some(true) => interval,
        };
        let mut away = come == Some(false);
        let mut read_now = gateway.read_now.subscribe();
        let gateway = Arc::downgrade(gateway);
        let (name, watched) = (Arc::clone(name), Arc::clone(upstream));
        let task = tokio::spawn(async move {
            loop {
                let asked = matches!(timeout(pause, read_now.changed()).await, Ok(Ok(())));
                let reading = read(&name, &watched).await;
                let Some(gateway) = gateway.upgrade() else { return };
                pause = if matches!(reading, Err(Unread::Away(_))) { RETRY.min(interval) } else { interval };
                report(&name, gateway.take(&name, &watched, reading), asked, &mut away);
            }
        });
        Self { upstream: Arc::clone(upstream), interval, task: task.abort_handle() }
    }
}

impl Gateway {
    /// Reads every upstream's reflection again, now rather than at its interval; the log says what became of each.
    pub fn read_schemas_now(&self) {
        self.read_now.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    /// Swaps in the next snapshot where a reading says something new.
    pub(super) fn take(&self, name: &Arc<str>, upstream: &Arc<Upstream>, reading: Reading) -> Taken {
        let schema = match reading {
            Ok(schema) => schema,
            Err(Unread::Away(status)) => return Taken::Away(status),
            Err(Unread::Broken(why)) => return Taken::Refused(why),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.parts.upstreams.get(name).is_some_and(|now| Arc::ptr_eq(now, upstream)) {
            return Taken::Outdated;
        }
        let before = current.schemas.get(name);
        if before.is_some_and(|known| known.schema.same_files(&schema)) {
            return Taken::Same;
        }
        let changes = changes(before.map(|known| &known.schema), &schema);
        let mut next = current.schemas.clone();
        next.insert(Arc::clone(name), Arc::new(Known::new(schema, &current.parts.built_in.schema)));
        match Snapshot::build(&current.parts, &next) {
            Ok(snapshot) => {
                snapshot.tell_left_out();
                self.show(snapshot);
                current.schemas = next;
                Taken::New(changes)
            }
            Err(error) => Taken::Refused(format!("its new schema is not used: {error}")),
        }
    }
}

/// Logs what came of a reading: what is new always, what is not only if somebody `asked`, an upstream that is away once.
pub(super) fn report(name: &str, taken: Taken, asked: bool, away: &mut bool) {
    let was_away = std::mem::replace(away, matches!(taken, Taken::Away(_)));
    match taken {
        Taken::New(changes) => info!(upstream = name, "its schema is new: {changes}"),
        Taken::Refused(why) => error!(upstream = name, "{why}"),
        Taken::Same if asked => info!(upstream = name, "its schema has not changed"),
        Taken::Away(status) if asked || !was_away => {
            warn!(upstream = name, "its schema cannot be read: {}", status.message());
        }
        Taken::Same | Taken::Away(_) | Taken::Outdated => {}
    }
}

/// The names of methods; of many only how many there are of each service.
fn listed(methods: &[&str]) -> String {
    if methods.len() <= MOST_NAMES {
        return methods.join(", ");
    }
    let mut services = BTreeMap::<&str, usize>::new();
    for method in methods {
        *services.entry(method.rsplit_once('.').map_or(*method, |(service, _)| service)).or_default() += 1;
    }
    let services = services.iter().map(|(service, count)| format!("{service} ({count} methods)"));
    services.collect::<Vec<_>>().join(", ")
}

/// The methods that came and went, in words; there may be none where only messages or comments changed.
fn changes(before: Option<&Schema>, now: &Schema) -> String {
    let names = |schema: &Schema| schema.methods().map(|m| m.full_name.to_string()).collect::<BTreeSet<_>>();
    let (before, now) = (before.map(names).unwrap_or_default(), names(now));
    let mut said = Vec::new();
    for (what, names) in [("added", now.difference(&before)), ("removed", before.difference(&now))] {
        let names: Vec<&str> = names.map(String::as_str).collect();
        if !names.is_empty() {
            said.push(format!("{what} {}", listed(&names)));
        }
    }
    if said.is_empty() { "the same methods, with other contents".to_owned() } else { said.join("; ") }
}
