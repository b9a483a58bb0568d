//! The composition root: the only module that knows them all. It holds the current snapshot, reads upstreams' schemas and
//! swaps in the next one.

mod door;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{task::JoinSet, time::timeout};
use tracing::{error, info, warn};

pub use door::{Door, door};

use crate::{
    config::{self, Config, SchemaSource},
    dispatch::{Upstream, grpc::Settings, reflection},
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
            let upstream = Upstream::new(&settings(written), config.workers)
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
            config,
            upstreams,
        };
        let snapshot = Snapshot::build(&parts, &schemas).map_err(|error| StartError(error.to_string()))?;
        parts.board.show(&snapshot.catalog);
        let gateway =
            Arc::new(Self { parts, schemas: Mutex::new(schemas), snapshot: ArcSwap::from_pointee(snapshot) });
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
            tokio::spawn(async move {
                let mut done = Some(done);
                let mut away = false;
                loop {
                    let known = gateway.read_schema(&name, &upstream, &mut away).await;
                    // The start may have given up waiting.
                    let _ = done.take().map(|done| done.send(()));
                    tokio::time::sleep(if known { interval } else { RETRY.min(interval) }).await;
                }
            });
            first.spawn(first_read);
        }
        if timeout(FIRST_CHANCE, async { while first.join_next().await.is_some() {} }).await.is_err() {
            warn!("some upstreams have not answered reflection yet; they come in when they do");
        }
    }

    /// Reads one upstream's reflection, and swaps in the next snapshot where it says something new.
    async fn read_schema(&self, name: &Arc<str>, upstream: &Upstream, away: &mut bool) -> bool {
        let read = match reflection::read(upstream).await {
            Ok(read) => read,
            Err(status) => {
                if !*away {
                    warn!(upstream = &**name, "its schema cannot be read: {}", status.message());
                }
                *away = true;
                return false;
            }
        };
        *away = false;
        let schema = match Schema::from_files(&read.files) {
            Ok(schema) => schema,
            Err(error) => {
                error!(upstream = &**name, "its reflection gives a broken schema: {error}");
                return true;
            }
        };
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if schemas.get(name).is_some_and(|known| known.schema.same_files(&schema)) {
            return true;
        }
        let mut next = schemas.clone();
        next.insert(Arc::clone(name), Arc::new(Known::new(schema, &self.parts.built_in.schema)));
        match Snapshot::build(&self.parts, &next) {
            Ok(snapshot) => {
                self.parts.board.show(&snapshot.catalog);
                self.snapshot.store(Arc::new(snapshot));
                *schemas = next;
                info!(upstream = &**name, "its schema is new");
            }
            Err(error) => error!(upstream = &**name, "its new schema is not used: {error}"),
        }
        true
    }
}

/// How dispatch reaches an upstream.
fn settings(written: &config::Upstream) -> Settings {
    Settings {
        name: Arc::clone(&written.name),
        host: written.address.host.clone(),
        port: written.address.port,
        tls: written.address.tls,
        authority: written.authority.clone(),
        ca: written.ca.clone(),
        connect_timeout: written.connect_timeout,
        handshake_timeout: written.handshake_timeout,
    }
}

/// Reads a file with an encoded `google.protobuf.FileDescriptorSet`.
fn descriptors(upstream: &str, file: &std::path::Path) -> Result<Schema, StartError> {
    let wrong = |why: &dyn fmt::Display| {
        StartError(format!("upstream {upstream:?}: cannot use the descriptors {}: {why}", file.display()))
    };
    let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
    Schema::decode(&bytes).map_err(|error| wrong(&error))
}
