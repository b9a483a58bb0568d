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
        Issuer::own(Arc::clone(&self.verifying), self.lifetime)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{Means, Presented, Verifier},
        store::{DatabaseUrl, Settings},
    };

    const LIFETIME: Duration = Duration::from_secs(900);

    /// A replica's keyring over the database of a folder.
    struct Replica {
        keyring: Keyring,
        stores: Stores,
    }

    fn replica(folder: &std::path::Path) -> Replica {
        let database = DatabaseUrl::parse(&format!("sqlite:{}", folder.join("p.db").display())).unwrap();
        let stores = Stores::new(&Settings { database, ..Settings::default() }).unwrap();
        Replica { keyring: Keyring::new(LIFETIME, None).unwrap(), stores }
    }

    impl Replica {
        /// The names of the keys that are published at a time.
        async fn at(&self, now: Micros) -> Vec<String> {
            self.keyring.read(&self.stores, now).await.unwrap();
            let set = self.keyring.jwks().unwrap();
            set["keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| key["kid"].as_str().unwrap().to_owned())
                .collect()
        }

        fn token(&self, now: Micros) -> String {
            let caller = Principal::new("u", Means::Own);
            self.keyring.issue(&caller, now).unwrap().text
        }

        async fn takes(&self, token: &str, now: Micros) -> bool {
            let verifier = Verifier::new(vec![self.keyring.issuer()], Vec::new());
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            let presented = Presented::read(&headers).unwrap().unwrap();
            verifier.verify(&presented, u64::try_from(now.seconds()).unwrap()).await.is_ok()
        }
    }

    #[tokio::test]
    async fn keys_are_exchanged_with_an_overlap_and_by_one_replica() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (replica(folder.path()), replica(folder.path()));
        assert_eq!(one.keyring.jwks().unwrap_err().code(), tonic::Code::Unavailable);
        let begun = Micros::now();
        let first = one.at(begun).await;
        assert_eq!((first.len(), other.at(begun).await), (1, first.clone()));
        // It is old: the next is published, and does not sign yet.
        let old = begun.after(AGE).after(Duration::from_secs(1));
        let both = one.at(old).await;
        assert_eq!((both.len(), &both[1], other.at(old).await), (2, &first[0], both.clone()));
        let by_first = one.token(old);
        assert!(other.takes(&by_first, old).await);
        // A replica that has not read since takes what the next one signs only once it has: that is what AHEAD is for.
        let next = old.after(AHEAD);
        assert_eq!(one.at(next).await, both);
        let by_second = one.token(next);
        assert!(other.takes(&by_second, next).await && one.takes(&by_first, next).await);
        // The last token of the first key has expired: it is gone.
        let last = next.after(LIFETIME).after(Duration::from_secs(2 * MOST_SKEW + 1));
        assert_eq!(one.at(last).await, [both[0].clone()]);
        assert!(!one.takes(&by_first, next).await, "whatever it says of its time");
    }

    /// What is revoked is remembered for the lifetime of today.
    #[tokio::test]
    async fn a_token_of_a_longer_lifetime_ends_with_the_shorter_one() {
        let folder = tempfile::tempdir().unwrap();
        let (before, mut after) = (replica(folder.path()), replica(folder.path()));
        after.keyring = Keyring::new(Duration::from_secs(60), None).unwrap();
        let begun = Micros::now();
        assert_eq!(before.at(begun).await, after.at(begun).await);
        let token = before.token(begun);
        let at = |seconds: u64| begun.after(Duration::from_secs(seconds));
        assert!(before.takes(&token, at(60 + MOST_SKEW)).await);
        assert!(after.takes(&token, at(60 + MOST_SKEW - 2)).await, "as much is forgiven as ever");
        assert!(!after.takes(&token, at(60 + MOST_SKEW)).await);
    }

    #[tokio::test]
    async fn a_secret_is_neither_kept_nor_published() {
        let folder = tempfile::tempdir().unwrap();
        let mut replica = replica(folder.path());
        std::fs::write(folder.path().join("key"), "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv").unwrap();
        let config =
            crate::config::Config::parse("[auth]\nsecret = { file = \"key\" }", folder.path()).unwrap();
        replica.keyring = Keyring::new(LIFETIME, config.callers.secret.as_ref()).unwrap();
        let (signs, signing) = oneshot::channel();
        replica.keyring.keep(&replica.stores, signs).await;
        signing.await.unwrap();
        assert_eq!(*replica.keyring.jwks().unwrap(), serde_json::json!({ "keys": [] }));
        let now = Micros::now();
        let token = replica.token(now);
        assert!(replica.takes(&token, now).await);
        assert!(replica.stores.signing_keys.all(now).await.unwrap().is_empty());
    }
}
