//! The keys that sign the gateway's tokens: the same for all replicas, kept in the database, exchanged after a while. A new
//! key is published before it signs, and the old one verifies until the last of its tokens has expired.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{sync::oneshot, time::sleep};
use tonic::Status;
use tracing::{error, info};

use crate::{
    auth::{self, Issuer, KeySet, KeySource, MOST_SKEW, Minter, Principal, claims::ClaimMap},
    services::accounts::{AccessToken, Tokens},
    store::{Micros, Private, SigningKey, StoreError, Stores},
};

/// What the gateway's tokens say of where they come from, and whom they are for.
const NAME: &str = "propylon";
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
    jwks: ArcSwap<serde_json::Value>,
}

impl Keyring {
    /// Without a key: it issues nothing until [`Keyring::keep`] has one.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            minter: ArcSwapOption::empty(),
            verifying: Arc::default(),
            jwks: ArcSwap::from_pointee(serde_json::json!({ "keys": [] })),
        }
    }

    /// The gateway as an issuer whose tokens its verifier takes.
    pub(super) fn issuer(&self) -> Issuer {
        Issuer {
            name: NAME.into(),
            issuer: Some(NAME.to_owned()),
            audiences: vec![NAME.to_owned()],
            keys: KeySource::Here(Arc::clone(&self.verifying)),
            claims: ClaimMap::own(),
            skew: MOST_SKEW,
        }
    }

    /// The public halves, as a JWKS.
    pub(super) fn jwks(&self) -> Arc<serde_json::Value> {
        self.jwks.load_full()
    }

    /// Reads the keys again and again, makes the first one, and exchanges one that is old. `signs` is told once there is one.
    pub(super) async fn keep(&self, stores: &Stores, signs: oneshot::Sender<()>) {
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
    fn show(&self, kept: &[SigningKey], now: Micros) -> Result<(), Failed> {
        let keys: Vec<_> =
            kept.iter().map(|key| auth::SigningKey::from_pkcs8(&key.private.0)).collect::<Result<_, _>>()?;
        let current = kept.iter().position(|key| key.signs_from <= now).or_else(|| kept.len().checked_sub(1));
        let current = current.and_then(|at| keys.get(at)).ok_or_else(|| "there is no key".to_owned())?;
        self.verifying.store(Arc::new(KeySet::new(keys.iter().map(auth::SigningKey::public).collect())));
        let jwks: Vec<_> = keys.iter().map(auth::SigningKey::jwk).collect();
        self.jwks.store(Arc::new(serde_json::json!({ "keys": jwks })));
        let minter = Minter::ed25519(NAME, NAME, self.lifetime, current.clone());
        self.minter.store(Some(Arc::new(minter)));
        Ok(())
    }
}

impl Tokens for Keyring {
    fn issue(&self, caller: &Principal, now: Micros) -> Result<AccessToken, Status> {
        match &*self.minter.load() {
            Some(minter) => minter.issue(caller, now),
            None => Err(Status::from(StoreError::Away {
                store: "database",
                retry_after: RETRY,
                why: "there is no signing key yet".into(),
            })),
        }
    }
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
