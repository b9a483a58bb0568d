//! Tokens of the gateway's own: short access tokens, signed by an Ed25519 key that can be exchanged while tokens of the last
//! one are still about, or by a secret. (A refresh token is no token of this kind: it is opaque, and the store's.)

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{
    Issuer, Key, KeySet, KeySource, Principal, SigningKey, claims::ClaimMap, issuer::MOST_SKEW, jose,
};

/// What signs.
enum Signing {
    Ed25519(Box<SigningKey>),
    Secret { sign: EncodingKey, verify: Box<Key>, algorithm: Algorithm },
}

/// Issues access tokens, and says by which keys they are verified.
pub struct Minter {
    issuer: String,
    audience: String,
    lifetime: Duration,
    ring: ArcSwap<Ring>,
    /// What the verifier reads.
    verifying: Arc<ArcSwap<KeySet>>,
}

struct Ring {
    current: Arc<Signing>,
    /// Keys whose tokens are still about, and when the last of them has expired.
    former: Vec<(Arc<Signing>, u64)>,
}

/// An access token that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    pub text: String,
    /// Its `jti`.
    pub id: String,
    /// In seconds since 1970.
    pub expires: u64,
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Signing {
    fn verifies(&self) -> Key {
        match self {
            Self::Ed25519(key) => key.public(),
            Self::Secret { verify, .. } => (**verify).clone(),
        }
    }
}

impl Minter {
    /// Signs by an Ed25519 key. `issuer` and `audience` are what its tokens say, and must say.
    #[must_use]
    pub fn ed25519(issuer: &str, audience: &str, lifetime: Duration, key: SigningKey) -> Self {
        Self::new(issuer, audience, lifetime, Signing::Ed25519(Box::new(key)))
    }

    /// Signs by a secret, which whoever verifies the tokens must know too.
    ///
    /// # Errors
    /// The secret is too short, or the algorithm is not one for secrets.
    pub fn secret(
        issuer: &str,
        audience: &str,
        lifetime: Duration,
        secret: &[u8],
        algorithm: &str,
    ) -> Result<Self, String> {
        let verify = Box::new(Key::secret(secret, algorithm)?);
        let algorithm = jose::algorithm(algorithm).ok_or("the algorithm is not known")?;
        let signing = Signing::Secret { sign: EncodingKey::from_secret(secret), verify, algorithm };
        Ok(Self::new(issuer, audience, lifetime, signing))
    }

    fn new(issuer: &str, audience: &str, lifetime: Duration, signing: Signing) -> Self {
        let verifying = KeySet::new(vec![signing.verifies()]);
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            lifetime,
            ring: ArcSwap::from_pointee(Ring { current: Arc::new(signing), former: Vec::new() }),
            verifying: Arc::new(ArcSwap::from_pointee(verifying)),
        }
    }

    /// The gateway as an issuer whose tokens its verifier takes.
    #[must_use]
    pub fn as_issuer(&self) -> Issuer {
        Issuer {
            name: "propylon".into(),
            issuer: Some(self.issuer.clone()),
            audiences: vec![self.audience.clone()],
            keys: KeySource::Here(Arc::clone(&self.verifying)),
            claims: ClaimMap::own(),
            skew: MOST_SKEW,
        }
    }

    /// An access token for a caller, from `now` (seconds since 1970) on.
    ///
    /// # Errors
    /// It could not be signed.
    pub fn access_token(&self, caller: &Principal, now: u64) -> Result<NewToken, String> {
        let ring = self.ring.load();
        let (mut header, sign) = match &*ring.current {
            Signing::Ed25519(key) => {
                let mut header = Header::new(Algorithm::EdDSA);
                header.kid = Some(key.kid().to_owned());
                (header, key.encoding())
            }
            Signing::Secret { sign, algorithm, .. } => (Header::new(*algorithm), sign),
        };
        header.typ = Some("at+jwt".to_owned());
        let id = uuid::Uuid::now_v7().to_string();
        let expires = now.saturating_add(self.lifetime.as_secs());
        let claims = json!({
            "iss": self.issuer, "aud": self.audience, "sub": &*caller.id, "email": caller.email.as_deref(),
            "roles": texts(&caller.roles), "permissions": texts(&caller.permissions),
            "scope": texts(&caller.scopes).join(" "), "tier": caller.tier.as_deref(),
            "jti": id, "sid": caller.session.as_deref(), "iat": now, "nbf": now, "exp": expires,
        });
        let text = jsonwebtoken::encode(&header, &claims, sign).map_err(|error| error.to_string())?;
        Ok(NewToken { text, id, expires })
    }

    /// From now on signs by another key. The last one verifies until its tokens have expired.
    pub fn rotate(&self, next: SigningKey, now: u64) {
        let ring = self.ring.load_full();
        let gone = now.saturating_add(self.lifetime.as_secs()).saturating_add(MOST_SKEW);
        let mut former: Vec<_> = ring
            .former
            .iter()
            .filter(|(_, gone)| *gone > now)
            .map(|(key, gone)| (Arc::clone(key), *gone))
            .collect();
        former.push((Arc::clone(&ring.current), gone));
        let current = Arc::new(Signing::Ed25519(Box::new(next)));
        let keys =
            std::iter::once(&current).chain(former.iter().map(|(key, _)| key)).map(|key| key.verifies());
        self.verifying.store(Arc::new(KeySet::new(keys.collect())));
        self.ring.store(Arc::new(Ring { current, former }));
    }

    /// The keys by which others verify these tokens, as a JWKS; a secret is not among them.
    #[must_use]
    pub fn jwks(&self, now: u64) -> Value {
        let ring = self.ring.load();
        let former = ring.former.iter().filter(|(_, gone)| *gone > now).map(|(key, _)| key);
        let keys = std::iter::once(&ring.current).chain(former).filter_map(|key| match &**key {
            Signing::Ed25519(key) => Some(key.jwk()),
            Signing::Secret { .. } => None,
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

fn texts(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|text| &**text).collect()
}
