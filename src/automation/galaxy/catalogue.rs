//! What is known of Galaxy: in the cache for as long as it is new, in the database for as long as there is nothing newer, and
//! asked for once however many want it at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::{runtime::Handle, sync::Semaphore};
use tracing::{info, warn};

use super::{
    api,
    client::{Client, Failure},
};
use crate::store::{self, Cache, Micros};

/// How many are asked for at the same time by those who wait.
const FLIGHTS: usize = 16;
/// The most bytes of what is kept in the database.
const KEPT: usize = 4 << 20;
/// How long it is remembered that there is no such thing.
const MISSING: Duration = Duration::from_secs(60);
/// How long it is remembered that something was missing once.
const DOUBT: Duration = Duration::from_secs(24 * 60 * 60);

/// What can be known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::automation) enum Key {
    Namespace(String),
    Versions(String, String),
    /// The documentation of a version.
    Modules(String, String, String),
}

impl Key {
    /// What kind it is, and its name among those.
    fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Namespace(name) => (NAMESPACE, name.clone()),
            Self::Versions(namespace, name) => ("versions", format!("{namespace}.{name}")),
            Self::Modules(namespace, name, version) => ("modules", format!("{namespace}.{name}:{version}")),
        }
    }

    fn cached(&self) -> String {
        let (kind, name) = self.parts();
        format!("galaxy:{kind}:{name}")
    }

    /// It was missing once, of something that was there.
    fn doubt(&self) -> String {
        let (kind, name) = self.parts();
        format!("galaxy:doubt:{kind}:{name}")
    }

    fn missing(&self) -> String {
        let (kind, name) = self.parts();
        format!("galaxy:missing:{kind}:{name}")
    }

    fn namespace(&self) -> &str {
        match self {
            Self::Namespace(name) | Self::Versions(name, _) | Self::Modules(name, ..) => name,
        }
    }
}

/// The kind of namespaces in the database.
pub(super) const NAMESPACE: &str = "namespace";

/// Something that is known, as JSON.
#[derive(Debug, Clone)]
pub(in crate::automation) struct Found {
    pub(in crate::automation) data: Bytes,
    /// It is older than what is kept should be.
    pub(in crate::automation) stale: bool,
}

type Flight = Shared<BoxFuture<'static, Result<Bytes, Failure>>>;

/// What is known, and who is asked for what is not.
pub(in crate::automation) struct Catalogue {
    pub(super) client: Client,
    cache: Arc<dyn Cache>,
    pub(super) store: Arc<dyn store::Catalogue>,
    ttl: Duration,
    flights: Mutex<HashMap<Key, Flight>>,
    places: Semaphore,
    /// Where Galaxy is asked from: a caller who hangs up ends nothing that others wait for.
    pub(super) runtime: OnceLock<Handle>,
}

impl Catalogue {
    pub(super) fn new(
        client: Client,
        cache: Arc<dyn Cache>,
        store: Arc<dyn store::Catalogue>,
        ttl: Duration,
    ) -> Self {
        Self {
            client,
            cache,
            store,
            ttl,
            flights: Mutex::default(),
            places: Semaphore::new(FLIGHTS),
            runtime: OnceLock::new(),
        }
    }

    /// What is known; what is not is asked for, and waited for. What is old is given as it is, and asked for meanwhile.
    pub(in crate::automation) async fn get(self: &Arc<Self>, key: &Key) -> Result<Found, Failure> {
        let began = Instant::now();
        let found = self.find(key).await;
        let duration_ms = began.elapsed().as_secs_f64() * 1000.0;
        let (namespace, kind) = (key.namespace(), key.parts().0);
        match &found {
            Ok((_, true)) => {
                tracing::debug!(namespace, kind, duration_ms, cache_hit = true, "known of Galaxy")
            }
            Ok((_, false)) => info!(namespace, kind, duration_ms, cache_hit = false, "asked of Galaxy"),
            Err(Failure::Missing) => {
                info!(namespace, kind, duration_ms, cache_hit = false, "Galaxy has no such thing");
            }
            Err(failure) => {
                warn!(namespace, kind, duration_ms, cache_hit = false, "Galaxy was asked in vain: {failure}");
            }
        }
        found.map(|(found, _)| found)
    }

    /// With whether nobody had to be asked.
    async fn find(self: &Arc<Self>, key: &Key) -> Result<(Found, bool), Failure> {
        // A cache or a database that is away is one that has nothing.
        if let Ok(Some(data)) = self.cache.get(&key.cached()).await {
            return Ok((Found { data, stale: false }, true));
        }
        if let Ok(Some(_)) = self.cache.get(&key.missing()).await {
            return Err(Failure::Missing);
        }
        let (kind, name) = key.parts();
        if let Ok(Some((text, at))) = self.store.get(kind, &name).await
            && let Ok(data) = STANDARD.decode(text)
        {
            let data = Bytes::from(data);
            let age = Micros::now().since(at);
            let left = self.ttl.saturating_sub(age);
            if left.is_zero() {
                // Whoever comes next may find what it brings.
                drop(self.flight(key));
            } else {
                let _ = self.cache.set(&key.cached(), data.clone(), left).await;
            }
            return Ok((Found { data, stale: left.is_zero() }, true));
        }
        let data = self.flight(key).await?;
        Ok((Found { data, stale: false }, false))
    }

    /// Asks Galaxy, whatever is known.
    pub(super) fn flight(self: &Arc<Self>, key: &Key) -> Flight {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key) {
            return flight.clone();
        }
        let (catalogue, of) = (Arc::clone(self), key.clone());
        let asking = async move {
            let asked = catalogue.ask(&of).await;
            catalogue.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&of);
            asked
        };
        let runtime = self.runtime.get().cloned().unwrap_or_else(Handle::current);
        let asking = runtime.spawn(asking);
        let flight: Flight = async move {
            asking.await.unwrap_or_else(|_| Err(Failure::Away("the asking was broken off".to_owned())))
        }
        .boxed()
        .shared();
        flights.insert(key.clone(), flight.clone());
        flight
    }

    async fn ask(&self, key: &Key) -> Result<Bytes, Failure> {
        // It is never closed.
        let _place = self.places.acquire().await;
        let client = &self.client;
        let asked = match key {
            Key::Namespace(name) => api::namespace(client, name).await.map(|read| json(&read)),
            Key::Versions(namespace, name) => {
                api::versions(client, namespace, name).await.map(|read| json(&read))
            }
            Key::Modules(namespace, name, version) => {
                api::modules(client, namespace, name, version).await.map(|read| json(&read))
            }
        };
        let (kind, name) = key.parts();
        match &asked {
            Ok(data) => {
                let _ = self.cache.set(&key.cached(), data.clone(), self.ttl).await;
                let _ = self.cache.delete(&key.doubt()).await;
                if data.len() <= KEPT {
                    let _ = self.store.put(kind, &name, &STANDARD.encode(data), Micros::now()).await;
                }
            }
            Err(Failure::Missing) => return self.missing(key).await,
            Err(_) => {}
        }
        asked
    }

    /// Galaxy says that it has no such thing. Of what it had, it says so twice, a while apart, before it is believed: an answer may
    /// be empty because something on the way is broken.
    async fn missing(&self, key: &Key) -> Result<Bytes, Failure> {
        let (kind, name) = key.parts();
        let had = match self.store.get(kind, &name).await {
            Ok(Some((text, _))) => STANDARD.decode(text).ok().map(Bytes::from),
            _ => None,
        };
        let doubted = matches!(self.cache.get(&key.doubt()).await, Ok(Some(_)));
        if let Some(data) = had.filter(|_| !doubted) {
            let _ = self.cache.set(&key.doubt(), Bytes::from_static(b"1"), DOUBT).await;
            let _ = self.cache.set(&key.cached(), data.clone(), MISSING.min(self.ttl)).await;
            return Ok(data);
        }
        let _ = self.cache.set(&key.missing(), Bytes::from_static(b"1"), MISSING).await;
        for gone in [key.cached(), key.doubt()] {
            let _ = self.cache.delete(&gone).await;
        }
        let _ = self.store.delete(kind, &name).await;
        Err(Failure::Missing)
    }
}

fn json(value: &impl serde::Serialize) -> Bytes {
    // Structs of texts and lists always have a JSON form.
    serde_json::to_vec(value).unwrap_or_default().into()
}
