//! The keys that sign the gateway's tokens: the same for all replicas, kept in the database, exchanged after a while. A new
//! key is published before it signs, and the old one verifies until the last of its tokens has expired. Or it is one secret
//! of the config's, which is neither kept nor published.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{sync::oneshot, time::sleep};
use tonic::Status;
use tracing::{error, info};

use crate::{
    auth::{self, Issuer, KeySet, MOST_SKEW, Minter, Principal},
    config::callers::OwnSecret,
    services::accounts::{AccessToken, Tokens},
    store::{Micros, Private, SigningKey, StoreError, Stores},
};

/// How often the keys are read: every replica knows a new one before it signs.
const READ: Duration = Duration::from_secs(30);
/// How soon, while there is none.
const RETRY: Duration = Duration::from_millis(200);
/// How long a key is published before it signs.
const AHEAD: Duration = Duration::from_secs(300);
/// How long a key signs.
const AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The keys of this moment.
pub(super) struct Keyring {
    /// How long a token is good for.
    lifetime: Duration,
    minter: ArcSwapOption<Minter>,
    verifying: Arc<ArcSwap<KeySet>>,
    /// `None`: not known yet.
    jwks: ArcSwapOption<serde_json::Value>,
    /// A secret signs; the database has nothing to say of it.
    secret: bool,
}

impl Keyring {
    /// With a secret it is ready. Without, it has no key, and issues nothing until [`Keyring::keep`] has one.
    ///
    /// # Errors
    /// The secret will not do.
    pub(super) fn new(lifetime: Duration, secret: Option<&OwnSecret>) -> Result<Self, String> {
        let keyring = Self {
            lifetime,
            minter: ArcSwapOption::empty(),
            verifying: Arc::default(),
            jwks: ArcSwapOption::empty(),
            secret: secret.is_some(),
        };
        if let Some(OwnSecret { secret, algorithm }) = secret {
            let minter = Minter::secret(lifetime, secret.expose().as_bytes(), algorithm)?;
            keyring.use_keys(minter, &[]);
        }
        Ok(keyring)
    }

    /// The gateway as an issuer whose tokens its verifier takes.
    pub(super) fn issuer(&self) -> Issuer {
        Issuer::own(Arc::clone(&self.verifying))
    }

    /// The public halves, as a JWKS.
    ///
    /// # Errors
    /// UNAVAILABLE while they are not known yet.
    pub(super) fn jwks(&self) -> Result<Arc<serde_json::Value>, Status> {
        self.jwks.load_full().ok_or_else(no_key)
    }

    /// Reads the keys again and again, makes the first one, and exchanges one that is old. `signs` is told once there is one.
    pub(super) async fn keep(&self, stores: &Stores, signs: oneshot::Sender<()>) {
        if self.secret {
            // Nobody may wait for it.
            let _ = signs.send(());
            return;
        }
        let mut signs = Some(signs);
        loop {
            match self.read(stores, Micros::now()).await {
                Ok(()) => {
                    // Nobody may wait any more.
                    let _ = signs.take().map(|signs| signs.send(()));
                }
                Err(Failed::Store(StoreError::Away { .. })) => {}
                Err(failed) => error!("the signing keys cannot be used: {failed}"),
            }
            sleep(if signs.is_some() { RETRY } else { READ }).await;
        }
    }

    async fn read(&self, stores: &Stores, now: Micros) -> Result<(), Failed> {
        let store = &*stores.signing_keys;
        let mut kept = store.all(now).await?;
        match kept.iter().find(|key| key.verifies_until.is_none()) {
            None => kept = store.first(&fresh(now)?, now).await?,
            Some(newest) if now.since(newest.signs_from) > AGE => {
                let next = SigningKey { signs_from: now.after(AHEAD), ..fresh(now)? };
                let until = next.signs_from.after(self.lifetime).after(Duration::from_secs(2 * MOST_SKEW));
                info!(old = newest.kid, new = next.kid, "the key that signs tokens is exchanged");
                kept = store.rotate(&newest.kid.clone(), &next, until, now).await?;
            }
            Some(_) => {}
        }
        self.show(&kept, now)
    }

    /// Signs with the newest key whose time has come, and verifies with all.
    ///
    /// # Errors
    /// There is none, or one that cannot be read.
    fn show(&self, kept: &[SigningKey], now: Micros) -> Result<(), Failed> {
        let keys: Vec<_> =
            kept.iter().map(|key| auth::SigningKey::from_pkcs8(&key.private.0)).collect::<Result<_, _>>()?;
        let current = kept.iter().position(|key| key.signs_from <= now).or_else(|| kept.len().checked_sub(1));
        let current = current.and_then(|at| keys.get(at)).ok_or_else(|| "there is no key".to_owned())?;
        self.use_keys(Minter::ed25519(self.lifetime, current.clone()), &keys);
        Ok(())
    }

    /// Signs with one; those to be published verify, or the one itself where it is a secret.
    fn use_keys(&self, minter: Minter, keys: &[auth::SigningKey]) {
        let verifying = match keys {
            [] => vec![minter.verifies()],
            keys => keys.iter().map(auth::SigningKey::public).collect(),
        };
        self.verifying.store(Arc::new(KeySet::new(verifying)));
        let jwks: Vec<_> = keys.iter().map(auth::SigningKey::jwk).collect();
        self.jwks.store(Some(Arc::new(serde_json::json!({ "keys": jwks }))));
        self.minter.store(Some(Arc::new(minter)));
    }
}

impl Tokens for Keyring {
    fn issue(&self, caller: &Principal, now: Micros) -> Result<AccessToken, Status> {
        match &*self.minter.load() {
            Some(minter) => minter.issue(caller, now),
            None => Err(no_key()),
        }
    }
}

fn no_key() -> Status {
    let why = "there is no signing key yet".into();
    Status::from(StoreError::Away { store: "database", retry_after: RETRY, why })
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// A new key that signs from now on.
fn fresh(now: Micros) -> Result<SigningKey, Failed> {
    let key = auth::SigningKey::generate()?;
    Ok(SigningKey {
        kid: key.kid().to_owned(),
        algorithm: "EdDSA".to_owned(),
        private: Private(key.pkcs8().to_vec()),
        created_at: now,
        signs_from: now,
        verifies_until: None,
    })
}

/// Why there are no keys.
#[derive(Debug)]
enum Failed {
    Store(StoreError),
    Key(String),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Key(why)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Key(why) => f.write_str(why),
        }
    }
}
