//! Who wants to hear that a resource has changed. The gateway itself subscribes with the server, once for all who do: what is told
//! is that something has changed, and who may read it is asked again when it is read.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{broadcast, watch};

use super::server::Server;

/// Tells of changes, under the URIs by which those who listen know them.
pub type Tell = broadcast::Sender<Arc<str>>;

/// Those who listen at one server.
pub(super) struct Updates {
    listeners: Mutex<HashMap<String, Vec<Listener>>>,
    ids: AtomicU64,
    /// Another number with each change of what is wanted.
    pub(super) wanted: watch::Sender<u64>,
}

struct Listener {
    id: u64,
    /// The URI that it knows.
    known: Arc<str>,
    tell: Tell,
}

/// Somebody listens; dropped, no more.
pub struct Subscription {
    server: Arc<Server>,
    uri: String,
    id: u64,
}

impl Default for Updates {
    fn default() -> Self {
        Self { listeners: Mutex::default(), ids: AtomicU64::new(0), wanted: watch::Sender::new(0) }
    }
}

impl Updates {
    /// The URIs that somebody wants to hear of.
    pub(super) fn uris(&self) -> BTreeSet<String> {
        self.lock().keys().cloned().collect()
    }

    /// A resource has changed.
    pub(super) fn updated(&self, uri: &str) {
        for listener in self.lock().get(uri).into_iter().flatten() {
            // It may have gone.
            drop(listener.tell.send(Arc::clone(&listener.known)));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Tells of changes of a resource, which is `known` under another URI.
    pub fn subscribe(self: &Arc<Self>, uri: &str, known: &str, tell: Tell) -> Subscription {
        let id = self.updates.ids.fetch_add(1, Ordering::Relaxed);
        let mut listeners = self.updates.lock();
        let all = listeners.entry(uri.to_owned()).or_default();
        let first = all.is_empty();
        all.push(Listener { id, known: known.into(), tell });
        drop(listeners);
        if first {
            self.updates.wanted.send_modify(|number| *number += 1);
        }
        Subscription { server: Arc::clone(self), uri: uri.to_owned(), id }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let updates = &self.server.updates;
        let mut listeners = updates.lock();
        let Some(all) = listeners.get_mut(&self.uri) else { return };
        all.retain(|listener| listener.id != self.id);
        if all.is_empty() {
            listeners.remove(&self.uri);
            drop(listeners);
            updates.wanted.send_modify(|number| *number += 1);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({} {})", self.server.name(), self.uri)
    }
}
