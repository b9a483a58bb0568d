//! The composition root: the only module that knows them all. It holds the current snapshot, reads upstreams' schemas and
//! swaps in the next one.

mod cors;
mod door;
mod headers;
mod request_id;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tonic::Status;
use tracing::{debug, error, info, warn};

pub use door::{Door, door};

use crate::{
    config::{self, Config, SchemaSource},
    dispatch::{
        Upstream,
        grpc::{Roots, Settings, Tls},
        reflection,
    },
    proto,
    route::catalog::Catalog,
    schema::Schema,
    services::{About, HealthBoard},
    snapshot::{Known, Parts, Snapshot},
};

/// How long the start waits for upstreams' reflection; what is slower comes in when it appears.
const FIRST_CHANCE: Duration = Duration::from_secs(3);
/// How soon an upstream that is away is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    parts: Parts,
    /// The upstreams' schemas as known now. Held while a snapshot is built, so that two cannot race.
    schemas: Mutex<HashMap<Arc<str>, Arc<Known>>>,
    snapshot: ArcSwap<Snapshot>,
    /// Says to read every upstream's reflection now; the number only makes each asking another.
    read_now: watch::Sender<u64>,
}

/// Why a gateway could not start.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl Gateway {
    /// Starts a gateway: reads descriptor files, gives upstreams' reflection a first chance, and keeps asking in the
    /// background of the current runtime.
    ///
    /// # Errors
    /// What is wrong with the config or with a descriptor file.
    pub async fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let built_in = Schema::decode(proto::FILE_DESCRIPTOR_SET)
            .map_err(|error| StartError(format!("the gateway's own schema: {error}")))?;
        let built_in = Arc::new(Known::new(built_in.clone(), &built_in));
        let mut upstreams = HashMap::new();
        let mut schemas = HashMap::new();
        for written in &config.upstreams {
            let upstream = settings(written)
                .and_then(|settings| Upstream::new(settings, config.workers))
                .map_err(|error| StartError(format!("upstream {:?}: {error}", written.name)))?;
            upstreams.insert(Arc::clone(&written.name), Arc::new(upstream));
            if let SchemaSource::Descriptors(file) = &written.schema {
                schemas.insert(
                    Arc::clone(&written.name),
                    Arc::new(Known::new(descriptors(&written.name, file)?, &built_in.schema)),
                );
            }
        }
        let parts = Parts {
            about: Arc::new(About::new(env!("CARGO_PKG_VERSION"), &*config.environment)),
            board: Arc::new(HealthBoard::default()),
            built_in,
            config: Arc::new(config),
            upstreams,
        };
        let snapshot = Snapshot::build(&parts, &schemas).map_err(|error| StartError(error.to_string()))?;
        parts.board.show(&snapshot.catalog);
        let gateway = Arc::new(Self {
            parts,
            schemas: Mutex::new(schemas),
            snapshot: ArcSwap::from_pointee(snapshot),
            read_now: watch::Sender::new(0),
        });
        gateway.watch_schemas().await;
        gateway.parts.board.set_serving(true);
        Ok(gateway)
    }

    /// What is served now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshot.load().catalog)
    }

    /// True until the gateway drains: its config is loaded, and it may be sent calls.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.parts.board.serving()
    }

    /// Says that no new calls should come; those in flight go on.
    pub fn drain(&self) {
        self.parts.board.drain();
    }

    /// Reads every upstream's reflection again, now rather than at its interval; the log says what became of each.
    pub fn read_schemas_now(&self) {
        self.read_now.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Reads every upstream's reflection once, within the first chance, and again and again in the background.
    async fn watch_schemas(self: &Arc<Self>) {
        let mut first = JoinSet::new();
        for written in &self.parts.config.upstreams {
            let SchemaSource::Reflection { interval } = written.schema else { continue };
            let Some(upstream) = self.parts.upstreams.get(&written.name) else { continue };
            let (gateway, name, upstream) =
                (Arc::clone(self), Arc::clone(&written.name), Arc::clone(upstream));
            let (done, first_read) = tokio::sync::oneshot::channel();
            let mut read_now = self.read_now.subscribe();
            tokio::spawn(async move {
                let mut done = Some(done);
                let (mut away, mut asked) = (false, false);
                loop {
                    let read = gateway.read_schema(&name, &upstream).await;
                    let pause = if read.is_ok() { interval } else { RETRY.min(interval) };
                    report(&name, read, asked, &mut away);
                    // The start may have given up waiting.
                    let _ = done.take().map(|done| done.send(()));
                    // The gateway holds the sender, and this task the gateway: it is never gone.
                    asked = matches!(timeout(pause, read_now.changed()).await, Ok(Ok(())));
                }
            });
            first.spawn(first_read);
        }
        if timeout(FIRST_CHANCE, async { while first.join_next().await.is_some() {} }).await.is_err() {
            warn!("some upstreams have not answered reflection yet; they come in when they do");
        }
    }

    /// Reads one upstream's reflection, and swaps in the next snapshot where it says something new.
    ///
    /// # Errors
    /// The upstream cannot be asked, or does not answer.
    async fn read_schema(&self, name: &Arc<str>, upstream: &Arc<Upstream>) -> Result<Read, Status> {
        let read = reflection::read(upstream, reflection::Limits::default()).await?;
        for problem in &read.problems {
            debug!(upstream = &**name, "its reflection lacks something: {problem}");
        }
        let schema = match Schema::from_files(&read.files) {
            Ok(schema) => schema,
            Err(error) => return Ok(Read::Refused(format!("its reflection gives a broken schema: {error}"))),
        };
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let before = schemas.get(name);
        if before.is_some_and(|known| known.schema.same_files(&schema)) {
            return Ok(Read::Same);
        }
        let changes = changes(before.map(|known| &known.schema), &schema);
        let mut next = schemas.clone();
        next.insert(Arc::clone(name), Arc::new(Known::new(schema, &self.parts.built_in.schema)));
        Ok(match Snapshot::build(&self.parts, &next) {
            Ok(snapshot) => {
                self.parts.board.show(&snapshot.catalog);
                self.snapshot.store(Arc::new(snapshot));
                *schemas = next;
                Read::New(changes)
            }
            Err(error) => Read::Refused(format!("its new schema is not used: {error}")),
        })
    }
}

/// What came of reading an upstream's reflection.
enum Read {
    Same,
    /// What changed, for the log.
    New(String),
    Refused(String),
}

/// Logs what came of a reading: what is new always, what is not only if somebody `asked`, an upstream that is away once.
fn report(name: &str, read: Result<Read, Status>, asked: bool, away: &mut bool) {
    let was_away = std::mem::replace(away, read.is_err());
    match read {
        Ok(Read::New(changes)) => info!(upstream = name, "its schema is new: {changes}"),
        Ok(Read::Refused(why)) => error!(upstream = name, "{why}"),
        Ok(Read::Same) if asked => info!(upstream = name, "its schema has not changed"),
        Err(status) if asked || !was_away => {
            warn!(upstream = name, "its schema cannot be read: {}", status.message());
        }
        Ok(Read::Same) | Err(_) => {}
    }
}

/// The methods that came and went, in words; there may be none where only messages or comments changed.
fn changes(before: Option<&Schema>, now: &Schema) -> String {
    let names = |schema: &Schema| schema.methods().map(|m| m.full_name.to_string()).collect::<BTreeSet<_>>();
    let (before, now) = (before.map(names).unwrap_or_default(), names(now));
    let mut said = Vec::new();
    for (what, names) in [("added", now.difference(&before)), ("removed", before.difference(&now))] {
        let names: Vec<&str> = names.map(String::as_str).collect();
        if !names.is_empty() {
            said.push(format!("{what} {}", names.join(", ")));
        }
    }
    if said.is_empty() { "the same methods, with other contents".to_owned() } else { said.join("; ") }
}

/// How dispatch reaches an upstream.
fn settings(written: &config::Upstream) -> Result<Settings, String> {
    let config::Address { tls, host, port } = &written.address;
    let roots = match &written.ca {
        None => Roots::Native,
        Some(file) => {
            Roots::Pem(std::fs::read(file).map_err(|error| format!("ca {}: {error}", file.display()))?)
        }
    };
    let authority = match &written.authority {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| format!("authority {text:?}: {error}"))?),
    };
    Ok(Settings {
        tls: tls.then_some(Tls { roots, server_name: None }),
        authority,
        connect_timeout: written.connect_timeout,
        handshake_timeout: written.handshake_timeout,
        keep_alive_interval: Some(written.keepalive_interval),
        keep_alive_timeout: written.keepalive_timeout,
        ..Settings::new(&written.name, host, *port)
    })
}

/// Reads a file with an encoded `google.protobuf.FileDescriptorSet`.
fn descriptors(upstream: &str, file: &std::path::Path) -> Result<Schema, StartError> {
    let wrong = |why: &dyn fmt::Display| {
        StartError(format!("upstream {upstream:?}: cannot use the descriptors {}: {why}", file.display()))
    };
    let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
    Schema::decode(&bytes).map_err(|error| wrong(&error))
}
