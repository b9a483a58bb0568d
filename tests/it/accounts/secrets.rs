//! What signs the tokens that are issued here: a key that is made, kept and published, or a secret that is neither.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, ADMIN_PASSWORD, Place, bearer, call, good, login, me, register, text};
use crate::support::{
    client::{Outcome, request, rest},
    gateway::World,
    servers::Server,
    tokens::{b64, hs256, now, token},
};

const SECRET: &str = "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv";

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn get(at: std::net::SocketAddr, path: &str, headers: &[(&str, &str)]) -> Outcome {
    rest(at, request(&Method::GET, path, headers, "")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anybody_verifies_by_the_key_set() {
    let gateway = Place::sqlite().gateway();
    let made = register(gateway.address, "ann@x.example").await;
    let access = text(&made, "access_token");
    let header = part(access, 0);
    assert_eq!((text(&header, "alg"), text(&header, "typ")), ("EdDSA", "at+jwt"));
    let set = get(gateway.address, "/.well-known/jwks.json", &[]).await;
    let told = |name: &str| set.headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!((set.http, told("content-type")), (200, "application/jwk-set+json"));
    assert_eq!(told("cache-control"), "public, max-age=60");
    let [key] = set.messages[0]["keys"].as_array().unwrap().as_slice() else { panic!("{set:?}") };
    assert_eq!((key["kid"].as_str(), key["kty"].as_str()), (header["kid"].as_str(), Some("OKP")));
    assert!(key.get("d").is_none() && key.get("k").is_none(), "{key}");
    let public = UnparsedPublicKey::new(&ED25519, URL_SAFE_NO_PAD.decode(text(key, "x")).unwrap());
    let (signed, signature) = access.rsplit_once('.').unwrap();
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    // Who has it asks whether it is the same.
    let etag = told("etag").to_owned();
    let same = get(gateway.address, "/.well-known/jwks.json", &[("if-none-match", &etag)]).await;
    assert_eq!((same.http, same.messages.len()), (304, 0));
    let post = rest(gateway.address, request(&Method::POST, "/.well-known/jwks.json", &[], "")).await;
    assert_eq!(post.http, 405);
    let index = get(gateway.address, "/", &[]).await;
    assert_eq!(index.messages[0]["endpoints"]["jwks"], "/.well-known/jwks.json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_set_is_switched_off_and_moved_like_any_page() {
    let check = async |config: &str, path: &str, want: u16| {
        let place = Place::sqlite();
        let gateway = place.world(config).start();
        assert_eq!(get(gateway.address, path, &[]).await.http, want, "{config}");
        let document = get(gateway.address, "/openapi.json", &[]).await;
        assert_eq!(document.messages[0]["paths"][path].is_object(), want == 200, "{config}");
    };
    check("", "/.well-known/jwks.json", 200).await;
    check("[builtin.jwks]\nenabled = false\n", "/.well-known/jwks.json", 404).await;
    check("[builtin.jwks]\nprefix = \"/keys\"\n", "/keys", 200).await;
    check("[builtin.jwks]\nprefix = \"/keys\"\n", "/.well-known/jwks.json", 404).await;
    // Where no token is issued there is no key.
    let off = "[builtin.auth]\nenabled = false\n[builtin.users]\nenabled = false\n";
    check(off, "/.well-known/jwks.json", 404).await;
}

/// A verifier that keeps an empty set would refuse every token: better none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_empty_key_set_while_the_database_is_away() {
    let Some(mut server) = Server::postgres() else { return };
    server.kill();
    let config = format!("[store]\ndatabase = \"{}\"\n", server.url("postgres"));
    let gateway = World::new().with_config(&config).start();
    let away = get(gateway.address, "/.well-known/jwks.json", &[]).await;
    assert_eq!((away.http, away.code), (503, 14), "{away:?}");
    assert!(away.headers.contains_key("retry-after"), "{away:?}");
    server.start();
    super::until("the keys are there", async || {
        get(gateway.address, "/.well-known/jwks.json", &[]).await.http == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_signs_and_verifies_and_is_not_published() {
    for place in Place::both() {
        let name = place.name;
        let gateway = place
            .world("")
            .with_variable("JWT_SECRET_KEY", SECRET)
            .with_variable("JWT_ALGORITHM", "HS256")
            .with_variable("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "30")
            .start();
        let at = gateway.address;
        let made = register(at, "ann@x.example").await;
        let access = text(&made, "access_token");
        assert_eq!(
            (part(access, 0)["alg"].as_str(), made["expires_in"].as_i64()),
            (Some("HS256"), Some(1800)),
            "{name}"
        );
        let (signed, signature) = access.rsplit_once('.').unwrap();
        assert_eq!(signature, b64(&hs256(SECRET.as_bytes(), signed.as_bytes())), "{name}");
        assert_eq!(me(at, &[("authorization", &bearer(access))]).await.http, 200, "{name}");
        let set = get(at, "/.well-known/jwks.json", &[]).await;
        assert_eq!((set.http, &set.messages[0]), (200, &json!({ "keys": [] })), "{name}");
        // What else a secret could have signed.
        let user = part(access, 1)["sub"].clone();
        let claims = |more: Value| {
            let mut claims =
                json!({ "iss": "propylon", "aud": "propylon", "sub": user, "iat": now(), "exp": now() + 60 });
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            claims.to_string().into_bytes()
        };
        let by = |alg: &str, secret: &str, more: Value| {
            let header = format!(r#"{{"alg":"{alg}","typ":"at+jwt"}}"#);
            token(&header, &claims(more), |message| hs256(secret.as_bytes(), message))
        };
        let rows = [
            (by("HS256", SECRET, json!({})), "", "its own words"),
            (by("HS256", SECRET, json!({ "exp": now() - 61 })), "the token has expired", "expired"),
            (by("HS256", SECRET, json!({ "exp": now() + 60, "nbf": now() + 120 })), "not valid yet", "early"),
            // What is revoked is remembered for the lifetime of a token, whoever made it.
            (by("HS256", SECRET, json!({ "iat": null })), "iat is not a time", "no iat"),
            (
                by("HS256", SECRET, json!({ "iat": now() - 1861, "exp": now() + 60 })),
                "has expired",
                "long-lived",
            ),
            (by("HS256", SECRET, json!({ "aud": "other" })), "for another audience", "another audience"),
            (by("HS256", SECRET, json!({ "iss": "other" })), "issuer is not trusted", "another issuer"),
            (
                by("HS256", "another secret of at least 32 bytes", json!({})),
                "signature does not fit",
                "another secret",
            ),
            (by("HS512", SECRET, json!({})), "signature does not fit", "another algorithm"),
            (by("none", SECRET, json!({})), "algorithm is not taken", "none"),
            (by("EdDSA", SECRET, json!({})), "signature does not fit", "EdDSA"),
        ];
        for (token, want, what) in rows {
            for surface in super::Surface::ALL {
                let header = bearer(&token);
                let outcome = call(surface, at, &super::ME, &json!({}), &[("authorization", &header)]).await;
                assert_eq!(
                    outcome.code,
                    if want.is_empty() { 0 } else { 16 },
                    "{what} over {surface:?}: {outcome:?}"
                );
                assert!(outcome.message.contains(want), "{what}: {outcome:?}");
            }
        }
        // A gateway that makes a key of its own in the same place takes none of them.
        drop(gateway);
        let gateway = place.gateway();
        let refused = me(gateway.address, &[("authorization", &bearer(access))]).await;
        assert_eq!(
            (refused.http, refused.message.as_str()),
            (401, "the token's signature does not fit"),
            "{name}"
        );
        assert_eq!(good(&login(gateway.address, ADMIN, ADMIN_PASSWORD).await)["user"]["is_admin"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_secret_is_refused_at_the_start() {
    let check = |name: &str, value: &str, want: &str| {
        let (code, said) = World::new().with_variable(name, value).fails();
        assert_eq!(code, 78, "{said}");
        assert!(
            said.contains(name) && said.contains(want) && !said.contains(value),
            "{name}={value}: {said}"
        );
    };
    check("JWT_SECRET_KEY", "your-super-secret-jwt-key", "it is a placeholder, not a secret");
    check("SECRET_KEY", "your-secret-key-here", "it is a placeholder, not a secret");
    check("SECRET_KEY", "changeme", "it is a placeholder, not a secret");
    check("SECRET_KEY", "secretsecretsecretsecretsecretsecret", "it is a placeholder, not a secret");
    check("JWT_SECRET_KEY", "short", "auth.secret: the secret has 5 bytes; at least 32 are needed");
    check("API_TOKEN", "brief", "a token has at least 16 characters");
    check("JWT_SECRET_KEY", "5f2b8c1e9d-of-16", "the secret has 16 bytes; at least 32 are needed");
    check("JWT_SECRET_KEY", &SECRET[1..], "the secret has 31 bytes; at least 32 are needed");
    check("ADMIN_PASSWORD", "Change-Me-Please", "it is a placeholder, not a secret");
    check("ADMIN_PASSWORD", "qwertyuiop", "it is one of the most common ones");
    check("API_TOKEN", "changeme", "it is a placeholder, not a secret");
}
