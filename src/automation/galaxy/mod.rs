//! The catalogue of Ansible Galaxy, read over its v3 API on three levels: what is popular at the start, all else in the
//! background, and on demand what is asked for before it is known.

mod api;
mod base;
mod catalogue;
mod client;
mod connect;
mod levels;
mod model;
mod progress;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle, time::timeout};
use tracing::warn;

pub use self::{
    base::Base,
    progress::{Phase, Progress},
};
use self::{catalogue::Catalogue, client::Client, progress::Board};
pub(super) use self::{
    catalogue::{Found, Key},
    client::Failure,
    model::{Collection, Module, ModuleOption, Namespace, Version},
};
use crate::store::{Micros, StoreError, Stores};

/// How long the start waits for the popular namespaces; what is slower comes in when it is there.
const FIRST_CHANCE: Duration = Duration::from_secs(5);

/// Where Galaxy is, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub base: Base,
    /// How long what was read is new.
    pub ttl: Duration,
    /// The longest that one of its answers may take.
    pub timeout: Duration,
    /// The namespaces that are read at the start.
    pub popular: Vec<String>,
    /// All others are read in the background.
    pub background: bool,
    /// How many of them a second.
    pub rate: u32,
}

impl Settings {
    /// As it is when nothing is said: nobody is asked before a caller asks.
    #[must_use]
    pub fn at(base: Base) -> Self {
        Self {
            base,
            ttl: Duration::from_secs(30 * 60),
            timeout: Duration::from_secs(10),
            popular: Vec::new(),
            background: false,
            rate: 10,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::at(Base::default())
    }
}

/// The catalogue of a process.
pub struct Galaxy {
    settings: Settings,
    pub(super) catalogue: Arc<Catalogue>,
    board: Arc<Board>,
    /// It ends with the catalogue.
    reading: Mutex<Option<JoinHandle<()>>>,
}

impl Galaxy {
    /// Opens nothing yet.
    pub(super) fn new(stores: &Stores, settings: Settings) -> Self {
        let client = Client::new(settings.base.clone(), settings.timeout);
        let (cache, store) = (Arc::clone(&stores.cache), Arc::clone(&stores.catalogue));
        let catalogue = Arc::new(Catalogue::new(client, cache, store, settings.ttl));
        Self { settings, catalogue, board: Arc::default(), reading: Mutex::default() }
    }

    /// Begins to read, in the current runtime; waits a little for the popular namespaces.
    pub async fn begin(&self) {
        // Whoever begins twice goes on in the first runtime.
        let _ = self.catalogue.runtime.set(Handle::current());
        let Settings { popular, background, rate, base, .. } = &self.settings;
        if popular.is_empty() && !background {
            return;
        }
        self.board.change(|progress| {
            progress.phase = Phase::Popular;
            progress.started_at = Some(Micros::now());
        });
        let (catalogue, board) = (Arc::clone(&self.catalogue), Arc::clone(&self.board));
        let (popular, background, rate) = (popular.clone(), *background, *rate);
        let (known, knows) = tokio::sync::oneshot::channel();
        let reading = tokio::spawn(async move {
            let left = levels::popular(&catalogue, popular).await;
            // Nobody may wait any more.
            let _ = known.send(());
            let others = async {
                match background {
                    true => levels::all(&catalogue, rate, &board).await,
                    false => board.phase(Phase::Off),
                }
            };
            tokio::join!(levels::popular_again(&catalogue, left), others);
        });
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        if timeout(FIRST_CHANCE, knows).await.is_err() {
            warn!(galaxy = %base, "the popular namespaces are not all known yet; they come in when Galaxy answers");
        }
    }

    /// How far the reading in the background is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.board.now()
    }

    /// The namespaces that are known, by name, and whether what is known of each is old.
    pub(super) async fn namespaces(
        &self,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<(Namespace, bool)>, StoreError> {
        let known = self.catalogue.store.list(catalogue::NAMESPACE, skip, limit).await?;
        let now = Micros::now();
        let read = known.into_iter().map(|known| {
            let broken = |why: String| StoreError::Broken(format!("namespace {}: {why}", known.name));
            let data = STANDARD.decode(&known.data).map_err(|error| broken(error.to_string()))?;
            let namespace = serde_json::from_slice(&data).map_err(|error| broken(error.to_string()))?;
            Ok((namespace, now.since(known.read_at) > self.settings.ttl))
        });
        read.collect()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.board.watch()
    }
}

impl Drop for Galaxy {
    fn drop(&mut self) {
        let reading = self.reading.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        reading.inspect(JoinHandle::abort);
    }
}

impl fmt::Debug for Galaxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Galaxy").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A name of Galaxy's: of namespaces, collections and modules. None can be part of another path than its own.
pub(super) fn is_name(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(letters)
}

/// A version of a collection (semver.org's letters).
pub(super) fn is_version(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    !text.is_empty() && text.len() <= 100 && text.chars().all(letters) && !text.contains("..")
}
