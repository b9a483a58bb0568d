//! Keys, each with the algorithms that belong to its type and no others: a public key never verifies an HMAC, and a
//! secret never a signature (RFC 8725, 3.1). Key sets are read from JWKS (RFC 7517), and ours is written as one.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};

use super::{digest, jose, jose::Token, json as strict};

/// The shortest secret that is taken for HMAC.
pub const LEAST_SECRET: usize = 32;
/// The longest key set that is read, and the most keys of it.
pub(super) const MOST_SET_BYTES: usize = 256 << 10;
const MOST_KEYS: usize = 64;

/// A key that verifies.
#[derive(Clone)]
pub struct Key {
    kid: Option<Box<str>>,
    key: DecodingKey,
    algorithms: Box<[Algorithm]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key itself: it may be a secret.
        f.debug_struct("Key").field("kid", &self.kid).field("algorithms", &self.algorithms).finish()
    }
}

impl Key {
    /// A secret for HMAC by one algorithm.
    ///
    /// # Errors
    /// It is shorter than [`LEAST_SECRET`], or the algorithm is not one of HMAC's.
    pub fn secret(secret: &[u8], algorithm: &str) -> Result<Self, String> {
        if secret.len() < LEAST_SECRET {
            return Err(format!("the secret has {} bytes; at least {LEAST_SECRET} are needed", secret.len()));
        }
        match jose::algorithm(algorithm) {
            Some(algorithm @ (Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)) => {
                Ok(Self { kid: None, key: DecodingKey::from_secret(secret), algorithms: [algorithm].into() })
            }
            _ => Err(format!("{algorithm:?} is not an algorithm for a secret; HS256, HS384 and HS512 are")),
        }
    }

    /// A public key of a JWKS; `None` for one that is not for verifying signatures, or of a kind that is not taken here.
    fn of_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") || jwk.get("d").is_some() {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops") {
            operations.as_array()?.iter().find(|operation| operation.as_str() == Some("verify"))?;
        }
        let (mut algorithms, key) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let modulus = text("n")?;
                // 2048 bits, the least that is not broken.
                if URL_SAFE_NO_PAD.decode(modulus).ok()?.len() < 256 {
                    return None;
                }
                use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
                let key = DecodingKey::from_rsa_components(modulus, text("e")?).ok()?;
                (vec![RS256, RS384, RS512, PS256, PS384, PS512], key)
            }
            ("EC", Some("P-256")) => {
                (vec![Algorithm::ES256], DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?)
            }
            ("EC", Some("P-384")) => {
                (vec![Algorithm::ES384], DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?)
            }
            ("OKP", Some("Ed25519")) => {
                (vec![Algorithm::EdDSA], DecodingKey::from_ed_components(text("x")?).ok()?)
            }
            // "oct" among them: a secret is not published.
            _ => return None,
        };
        if let Some(named) = jwk.get("alg") {
            let named = jose::algorithm(named.as_str()?)?;
            algorithms.retain(|algorithm| *algorithm == named);
        }
        let algorithms: Box<[Algorithm]> = algorithms.into();
        (!algorithms.is_empty()).then(|| Self { kid: text("kid").map(Into::into), key, algorithms })
    }

    /// True where this key has signed the token, by an algorithm of its own.
    fn signed(&self, token: &Token<'_>) -> bool {
        self.algorithms.contains(&token.algorithm)
            && jsonwebtoken::crypto::verify(
                token.signature,
                token.signed.as_bytes(),
                &self.key,
                token.algorithm,
            )
            .unwrap_or(false)
    }
}

/// The keys of one issuer.
#[derive(Debug, Clone, Default)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// True where there is none: nothing can be said of any token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a JWKS. Keys that are not for verifying, or of unknown kinds, are passed over, as RFC 7517 wants.
    ///
    /// # Errors
    /// It is no key set, or has no key that can be used.
    pub fn of_jwks(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST_SET_BYTES {
            return Err(format!("the key set has {} bytes; the most is {MOST_SET_BYTES}", bytes.len()));
        }
        let set = strict::object(bytes).ok_or("it is not a JSON object of distinct members")?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("it has no list of keys")?;
        let keys: Vec<Key> = keys.iter().take(MOST_KEYS).filter_map(Key::of_jwk).collect();
        if keys.is_empty() {
            Err("it has no key that verifies signatures".to_owned())
        } else {
            Ok(Self(keys))
        }
    }

    /// True where a key has the token's `kid`, or the token has none.
    #[must_use]
    pub fn knows(&self, token: &Token<'_>) -> bool {
        token.kid.is_none() || self.fitting(token).next().is_some()
    }

    /// True where one of the keys has signed the token. A `kid` chooses among the keys; it is only ever compared.
    #[must_use]
    pub fn signed(&self, token: &Token<'_>) -> bool {
        self.fitting(token).any(|key| key.signed(token))
    }

    fn fitting<'a>(&'a self, token: &'a Token<'_>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(|key| match (&token.kid, &key.kid) {
            (Some(wanted), Some(kid)) => **kid == **wanted,
            _ => true,
        })
    }
}

/// An Ed25519 key of ours: it signs, and verifies what it has signed.
#[derive(Clone)]
pub struct SigningKey {
    kid: Box<str>,
    public: Vec<u8>,
    pkcs8: Vec<u8>,
    sign: EncodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub fn generate() -> Result<Self, String> {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
            .map_err(|_| "the machine gives no randomness for a key")?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Reads a key that was kept ([`SigningKey::pkcs8`]).
    ///
    /// # Errors
    /// It is not an Ed25519 key in PKCS #8.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, String> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
            .map_err(|_| "the signing key is not an Ed25519 key in PKCS #8")?;
        let public = pair.public_key().as_ref().to_vec();
        // RFC 7638: the thumbprint of a key's required members, in their order.
        let canonical =
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(&public));
        let kid = URL_SAFE_NO_PAD.encode(digest(canonical.as_bytes()));
        Ok(Self { kid: kid.into(), public, pkcs8: bytes.to_vec(), sign: EncodingKey::from_ed_der(bytes) })
    }

    /// The key to keep, which is a secret.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Its name in tokens and in the key set: its thumbprint (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.sign
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> Key {
        Key {
            kid: Some(self.kid.clone()),
            key: DecodingKey::from_ed_der(&self.public),
            algorithms: [Algorithm::EdDSA].into(),
        }
    }

    /// Its public half as a member of a JWKS.
    #[must_use]
    pub fn jwk(&self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
            "kid": &*self.kid, "x": URL_SAFE_NO_PAD.encode(&self.public),
        })
    }
}
