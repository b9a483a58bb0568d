//! Tokens of the gateway's own: short access tokens, signed by an Ed25519 key or by a secret. Which key signs, and which
//! verify, the gateway's keyring says. (A refresh token is no token of this kind: it is opaque, and the store's.)

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::{Audience, Key, Principal, SigningKey, issuer::OWN, jose};

/// What signs.
enum Signing {
    Ed25519(Box<SigningKey>),
    Secret { sign: EncodingKey, verify: Box<Key>, algorithm: Algorithm },
}

/// Issues access tokens.
pub struct Minter {
    lifetime: Duration,
    signing: Signing,
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
        f.debug_struct("Minter").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Minter {
    /// Signs by an Ed25519 key.
    #[must_use]
    pub fn ed25519(lifetime: Duration, key: SigningKey) -> Self {
        Self { lifetime, signing: Signing::Ed25519(Box::new(key)) }
    }

    /// Signs by a secret, which whoever verifies the tokens must know too.
    ///
    /// # Errors
    /// The secret is too short, or the algorithm is not one for secrets.
    pub fn secret(lifetime: Duration, secret: &[u8], algorithm: &str) -> Result<Self, String> {
        let verify = Box::new(Key::secret(secret, algorithm)?);
        let algorithm = jose::algorithm(algorithm).ok_or("the algorithm is not known")?;
        let sign = EncodingKey::from_secret(secret);
        Ok(Self { lifetime, signing: Signing::Secret { sign, verify, algorithm } })
    }

    /// What verifies its tokens.
    #[must_use]
    pub fn verifies(&self) -> Key {
        match &self.signing {
            Signing::Ed25519(key) => key.public(),
            Signing::Secret { verify, .. } => (**verify).clone(),
        }
    }

    /// An access token for a caller, from `now` (seconds since 1970) on.
    ///
    /// # Errors
    /// It could not be signed.
    pub fn access_token(&self, caller: &Principal, now: u64) -> Result<NewToken, String> {
        let (mut header, sign) = match &self.signing {
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
        let audience = match &caller.audience {
            Audience { general: true, .. } => json!(OWN),
            Audience { resources, .. } => json!(texts(resources)),
        };
        let claims = json!({
            "iss": OWN, "aud": audience, "client_id": caller.client.as_deref(), "sub": &*caller.id, "email": caller.email.as_deref(),
            "roles": texts(&caller.roles), "permissions": texts(&caller.permissions),
            "scope": texts(&caller.scopes).join(" "), "tier": caller.tier.as_deref(),
            "jti": id, "sid": caller.session.as_deref(), "iat": now, "nbf": now, "exp": expires,
        });
        let text = jsonwebtoken::encode(&header, &claims, sign).map_err(|error| error.to_string())?;
        Ok(NewToken { text, id, expires })
    }
}

fn texts(list: &[std::sync::Arc<str>]) -> Vec<&str> {
    list.iter().map(|text| &**text).collect()
}
