//! The keys of an issuer elsewhere: its JWKS, found by its address or by OpenID Connect discovery, kept, and read again
//! when they are old or a token names a key that is not among them. Many tokens with unknown keys cause one reading, and
//! the next not before a while.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tracing::{info, warn};

use super::{Endpoint, Fetch, KeySet, jose::Token, json, keys::MOST_SET_BYTES};

/// The longest discovery document.
const MOST_DOCUMENT_BYTES: usize = 64 << 10;

/// An issuer's keys, elsewhere.
pub struct Remote {
    place: Place,
    fetch: Arc<dyn Fetch>,
    /// How old keys may grow before they are read again.
    fresh: Duration,
    /// The least time between two readings.
    pause: Duration,
    known: ArcSwapOption<Known>,
    /// Held by the one who reads: when the last reading began.
    reading: tokio::sync::Mutex<Option<Instant>>,
}

/// Where a JWKS is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    At(Endpoint),
    /// Said by `ISSUER/.well-known/openid-configuration`.
    Discovered {
        issuer: String,
        document: Endpoint,
    },
}

struct Known {
    keys: Arc<KeySet>,
    read: Instant,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Remote {
    /// Keys at a JWKS.
    #[must_use]
    pub fn at(jwks: Endpoint, fetch: Arc<dyn Fetch>) -> Self {
        Self::new(Place::At(jwks), fetch)
    }

    /// Keys of an issuer that has a discovery document.
    ///
    /// # Errors
    /// The issuer is not an address that can be asked.
    pub fn discovered(issuer: &str, fetch: Arc<dyn Fetch>) -> Result<Self, String> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = Endpoint::parse(&address)?;
        Ok(Self::new(Place::Discovered { issuer: issuer.to_owned(), document }, fetch))
    }

    fn new(place: Place, fetch: Arc<dyn Fetch>) -> Self {
        Self {
            place,
            fetch,
            fresh: Duration::from_secs(600),
            pause: Duration::from_secs(30),
            known: ArcSwapOption::empty(),
            reading: tokio::sync::Mutex::new(None),
        }
    }

    /// With other times: how old keys may grow, and the least time between two readings.
    #[must_use]
    pub fn with_times(self, fresh: Duration, pause: Duration) -> Self {
        Self { fresh, pause, ..self }
    }

    /// The keys to verify a token with, read again first where the token's is not among them.
    ///
    /// # Errors
    /// There are none yet, and they cannot be had now.
    pub async fn keys(&self, token: &Token<'_>) -> Result<Arc<KeySet>, String> {
        let good = |known: &Known| known.read.elapsed() < self.fresh && known.keys.knows(token);
        if let Some(known) = &*self.known.load()
            && good(known)
        {
            return Ok(Arc::clone(&known.keys));
        }
        let mut reading = self.reading.lock().await;
        // Whoever held the lock may have read what is wanted.
        let known = self.known.load_full();
        let may_read = reading.is_none_or(|last| last.elapsed() >= self.pause);
        if let Some(known) = known.as_ref().filter(|known| good(known) || !may_read) {
            return Ok(Arc::clone(&known.keys));
        }
        if !may_read {
            return Err("its keys could not be read a moment ago".to_owned());
        }
        *reading = Some(Instant::now());
        match self.read().await {
            Ok(keys) => {
                let keys = Arc::new(keys);
                info!(place = %self.place, "an issuer's keys were read");
                self.known.store(Some(Arc::new(Known { keys: Arc::clone(&keys), read: Instant::now() })));
                Ok(keys)
            }
            Err(why) => {
                warn!(place = %self.place, "an issuer's keys cannot be read: {why}");
                // Old keys are better than none: an issuer that is away does not lock its users out.
                known.map(|known| Arc::clone(&known.keys)).ok_or(why)
            }
        }
    }

    async fn read(&self) -> Result<KeySet, String> {
        let jwks = match &self.place {
            Place::At(jwks) => jwks.clone(),
            Place::Discovered { issuer, document } => {
                let text = self.fetch.get(document, MOST_DOCUMENT_BYTES).await?;
                let document = json::object(&text).ok_or("its discovery document is not a JSON object")?;
                let said = |name: &str| document.get(name).and_then(Value::as_str);
                if said("issuer") != Some(issuer) {
                    return Err("its discovery document is of another issuer".to_owned());
                }
                Endpoint::parse(said("jwks_uri").ok_or("its discovery document has no jwks_uri")?)?
            }
        };
        KeySet::of_jwks(&self.fetch.get(&jwks, MOST_SET_BYTES).await?)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(endpoint) | Self::Discovered { document: endpoint, .. } => endpoint.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::BoxFuture;
    use serde_json::json;

    use super::*;
    use crate::auth::{SigningKey, jose};

    /// Serves what it is told to, and counts.
    #[derive(Default)]
    struct Served {
        keys: std::sync::Mutex<Vec<SigningKey>>,
        away: std::sync::atomic::AtomicBool,
        asked: AtomicUsize,
    }

    impl Fetch for Served {
        fn get<'a>(&'a self, at: &'a Endpoint, _: usize) -> BoxFuture<'a, Result<Vec<u8>, String>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                if self.away.load(Ordering::SeqCst) {
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    return Err("away".to_owned());
                }
                if at.to_string().ends_with("openid-configuration") {
                    let said = json!({ "issuer": "https://a.example", "jwks_uri": "https://a.example/keys" });
                    return Ok(said.to_string().into_bytes());
                }
                self.asked.fetch_add(1, Ordering::SeqCst);
                let keys: Vec<Value> = self.keys.lock().unwrap().iter().map(SigningKey::jwk).collect();
                Ok(json!({ "keys": keys }).to_string().into_bytes())
            })
        }
    }

    fn token_of(key: &SigningKey) -> String {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.kid = Some(key.kid().to_owned());
        jsonwebtoken::encode(&header, &json!({ "sub": "u" }), key.encoding()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_is_asked_for_once_by_all() {
        let (first, second) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let served = Arc::new(Served::default());
        served.keys.lock().unwrap().push(first.clone());
        let pause = Duration::from_millis(60);
        let remote = Remote::discovered("https://a.example", Arc::clone(&served) as Arc<dyn Fetch>)
            .unwrap()
            .with_times(Duration::from_secs(600), pause);
        let signed = async |key: &SigningKey| {
            let text = token_of(key);
            let token = jose::parse(&text).unwrap();
            remote.keys(&token).await.unwrap().signed(&token)
        };
        let all = futures_util::future::join_all((0..20).map(|_| signed(&first))).await;
        assert!(all.into_iter().all(|signed| signed));
        assert_eq!(served.asked.load(Ordering::SeqCst), 1, "one reading for all");

        // A key that is not there yet: nothing is asked again within the pause, and once after it.
        served.keys.lock().unwrap().push(second.clone());
        assert!(!signed(&second).await && !signed(&second).await);
        assert_eq!(served.asked.load(Ordering::SeqCst), 1);
        std::thread::sleep(pause);
        assert!(
            futures_util::future::join_all((0..20).map(|_| signed(&second))).await.into_iter().all(|s| s)
        );
        assert_eq!(served.asked.load(Ordering::SeqCst), 2);

        // A key taken back, once the keys are read again; an issuer that is away costs nobody its old keys.
        std::thread::sleep(pause);
        served.away.store(true, Ordering::SeqCst);
        let unknown = SigningKey::generate().unwrap();
        assert!(!signed(&unknown).await && signed(&first).await);
        assert_eq!(served.asked.load(Ordering::SeqCst), 3);
        served.away.store(false, Ordering::SeqCst);
        served.keys.lock().unwrap().remove(0);
        std::thread::sleep(pause);
        assert!(!signed(&unknown).await && !signed(&first).await && signed(&second).await);
    }
}
