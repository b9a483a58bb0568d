//! Issuers whose keys are read over TLS, by a certificate authority of their own: rotation, names of keys that nobody knows,
//! and outages.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use propylon::auth::{
    Endpoint, Failed, Https, Issuer, KeySource, Presented, Refused, Remote, Verifier, claims::ClaimMap, now,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, crypto::aws_lc_rs, pki_types},
};

use super::{get, seen};
use crate::support::{
    gateway::World,
    library,
    tokens::{Keys, claims, token},
};

/// An issuer on a port of its own: its key set can be exchanged, and it can be away.
struct Tls {
    address: SocketAddr,
    ca: rcgen::Certificate,
    set: Arc<Mutex<Value>>,
    away: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Tls {
    async fn start(set: Value) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &rcgen::Issuer::new(params, ca_key)).unwrap();
        let key = pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served =
            Self { address, ca, set: Arc::new(Mutex::new(set)), away: Arc::default(), asked: Arc::default() };
        let (set, away, asked) =
            (Arc::clone(&served.set), Arc::clone(&served.away), Arc::clone(&served.asked));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                if away.load(Ordering::SeqCst) {
                    continue;
                }
                let (acceptor, set) = (acceptor.clone(), set.lock().unwrap().to_string());
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let mut head = [0; 4096];
                    let read = tls.read(&mut head).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..read]).into_owned();
                    let body = if head.starts_with("GET /.well-known/openid-configuration ") {
                        let host = format!("https://localhost:{}", address.port());
                        json!({ "issuer": host, "jwks_uri": format!("{host}/keys") }).to_string()
                    } else {
                        set
                    };
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    let _ = tls.write_all(answer.as_bytes()).await;
                    let _ = tls.shutdown().await;
                });
            }
        });
        served
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A token by a key that goes under this name.
fn by(keys: &Keys, kid: &str, iss: &str) -> String {
    let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#);
    let claims = claims("u", &json!({ "iss": iss }));
    token(&header, claims.to_string().as_bytes(), |message| keys.eddsa(message))
}

/// The public half under a name.
fn named(keys: &Keys, kid: &str) -> Value {
    let mut key = keys.jwks()["keys"][2].clone();
    key["kid"] = kid.into();
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_read_over_tls_by_the_configs_own_authority() {
    let keys = Keys::generate();
    let served = Tls::start(json!({ "keys": [named(&keys, "a")] })).await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let start = async |place: &str, ca: &str| {
        let issuer = served.url("");
        World::with_library(library::start().await)
            .with_file("ca.pem", ca.as_bytes())
            .with_config(&format!(
                "[[auth.issuers]]\nname = \"main\"\nissuer = \"{issuer}\"\naudience = [\"library\"]\n{place}\n\
                 ca = \"ca.pem\"\n[access]\n"
            ))
            .start()
    };
    let jwks = format!("jwks = \"{}\"", served.url("/keys"));
    for place in [jwks.as_str(), "discovery = true"] {
        let gateway = start(place, &served.ca.pem()).await;
        let good = format!("Bearer {}", by(&keys, "a", &served.url("")));
        for (surface, outcome) in get(gateway.address, &[("authorization", &good)]).await {
            assert_eq!(outcome.code, 0, "{place} over {surface}: {outcome:?}");
            assert!(seen(&outcome).contains(&"x-user-id=u".to_owned()), "{outcome:?}");
        }
        // Names of keys that nobody knows: those that come within a while cause no reading.
        let before = served.asked();
        for number in 0..20 {
            let unknown = format!("Bearer {}", by(&keys, &format!("x{number}"), &served.url("")));
            for (surface, outcome) in get(gateway.address, &[("authorization", &unknown)]).await {
                assert_eq!(
                    (outcome.code, outcome.message.as_str()),
                    (16, "the token's signature does not fit"),
                    "{surface}"
                );
            }
        }
        assert_eq!(served.asked(), before, "{place}");
    }
    // By another authority there are no keys: it cannot be told whether the token is good.
    let gateway = start(&jwks, &other.cert.pem()).await;
    let good = format!("Bearer {}", by(&keys, "a", &served.url("")));
    for (surface, outcome) in get(gateway.address, &[("authorization", &good)]).await {
        assert_eq!(outcome.code, 14, "{surface}: {outcome:?}");
        assert_eq!(outcome.message, "credentials cannot be verified now; try again soon", "{surface}");
    }
    let log = gateway.program.output();
    assert!(
        log.contains("an issuer's keys cannot be read: ") && log.contains("invalid peer certificate"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_over_tls_and_outlast_an_outage() {
    let (old, new) = (Keys::generate(), Keys::generate());
    let served = Tls::start(json!({ "keys": [named(&old, "old")] })).await;
    let (fresh, pause) = (Duration::from_secs(600), Duration::from_millis(400));
    let https = Arc::new(Https::new(&[served.ca.der().clone()]).unwrap());
    let remote = Remote::at(Endpoint::parse(&served.url("/keys")).unwrap(), https).with_times(fresh, pause);
    let remote = Arc::new(remote);
    let issuer = || Issuer {
        resources: Vec::new(),
        name: "main".into(),
        issuer: Some("https://issuer.example".to_owned()),
        audiences: vec!["library".to_owned()],
        keys: KeySource::Remote(Arc::clone(&remote)),
        claims: ClaimMap::default(),
        skew: 0,
        lifetime: None,
    };
    let verify = async |keys: &Keys, kid: &str| {
        let token = by(keys, kid, "https://issuer.example");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        // Each a verifier of its own: nothing is remembered but the keys.
        Verifier::new(vec![issuer()], Vec::new())
            .verify(&Presented::read(&headers).unwrap().unwrap(), now())
            .await
            .map(|caller| caller.id.to_string())
    };
    let refused = Err(Failed::Refused(Refused::Signature));
    // Many at once cause one reading.
    let all = futures_util::future::join_all((0..20).map(|_| verify(&old, "old"))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(served.asked(), 1);
    // A new key is known once its first token comes, and the pause is over; one reading for all.
    *served.set.lock().unwrap() = json!({ "keys": [named(&new, "new"), named(&old, "old")] });
    assert_eq!(verify(&new, "new").await, refused);
    assert_eq!(served.asked(), 1, "not before the pause is over");
    tokio::time::sleep(pause).await;
    let all = futures_util::future::join_all((0..20).map(|_| verify(&new, "new"))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(served.asked(), 2);
    assert!(verify(&old, "old").await.is_ok(), "the old one verifies as long as it is published");
    // While the issuer is away its keys are good; names that nobody knows ask once a pause, and are refused.
    served.away.store(true, Ordering::SeqCst);
    tokio::time::sleep(pause).await;
    for _ in 0..5 {
        assert_eq!(verify(&old, "nobody").await, refused);
        assert!(verify(&old, "old").await.is_ok() && verify(&new, "new").await.is_ok());
    }
    assert_eq!(served.asked(), 3);
    // Back again, and the old key is taken back.
    served.away.store(false, Ordering::SeqCst);
    *served.set.lock().unwrap() = json!({ "keys": [named(&new, "new")] });
    tokio::time::sleep(pause).await;
    assert_eq!(verify(&old, "nobody").await, refused);
    assert_eq!((verify(&old, "old").await, verify(&new, "new").await), (refused, Ok("u".to_owned())));
    assert_eq!(served.asked(), 4);
}
