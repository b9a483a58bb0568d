//! Tokens as issuers, and attackers, make them: down to each byte; and an issuer's JWKS on a port of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// The keys of the tests' issuer.
pub(crate) struct Keys {
    pub(crate) rsa: RsaKeyPair,
    pub(crate) ec: EcdsaKeyPair,
    pub(crate) ed: Ed25519KeyPair,
}

pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(Keys::generate);
/// A secret that a legacy service signs with.
pub(crate) const SECRET: &str = "a legacy secret of forty-two characters...";
/// A secret that the issuer's key set publishes, as none should.
pub(crate) const PUBLISHED: &[u8] = b"a symmetric key in a public key set, alas";

impl Keys {
    pub(crate) fn generate() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The key set: `rsa`, `ec`, `ed`, and what is to be passed over.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [
            self.rsa_jwk(),
            {
                "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256",
                "x": b64(&self.ec.public_key().as_ref()[1..33]), "y": b64(&self.ec.public_key().as_ref()[33..]),
            },
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(self.ed.public_key().as_ref()) },
            { "kty": "oct", "kid": "oct", "k": b64(PUBLISHED) },
            { "kty": "future", "kid": "future" },
        ]})
    }

    pub(crate) fn rsa_jwk(&self) -> Value {
        let key = self.rsa.public_key();
        json!({
            "kty": "RSA", "kid": "rsa", "use": "sig",
            "n": b64(key.modulus().big_endian_without_leading_zero()),
            "e": b64(key.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The RSA key as the PEM file that everybody has.
    pub(crate) fn rsa_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    pub(crate) fn rs256(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }

    pub(crate) fn es256(&self, message: &[u8]) -> Vec<u8> {
        self.ec.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    pub(crate) fn eddsa(&self, message: &[u8]) -> Vec<u8> {
        self.ed.sign(message).as_ref().to_vec()
    }
}

pub(crate) fn hs256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of these bytes.
pub(crate) fn token(header: &str, claims: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", b64(&signature))
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the issuer says of somebody; `more` are further claims, or others in the place of these.
pub(crate) fn claims(user: &str, more: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example", "aud": ["library", "other"], "sub": user, "iat": now(), "exp": now() + 600,
        "email": format!("{user}@a.example"),
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// A good token of the issuer's.
pub(crate) fn good(user: &str, more: &Value) -> String {
    token(r#"{"alg":"EdDSA","kid":"ed","typ":"JWT"}"#, claims(user, more).to_string().as_bytes(), |message| {
        KEYS.eddsa(message)
    })
}

/// An HTTP server that answers every request with one JSON, and counts them.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Served {
    pub(crate) async fn start(body: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, body) = (Arc::clone(&asked), body.to_string());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, asked }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
