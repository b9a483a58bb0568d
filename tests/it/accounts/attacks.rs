//! Tokens that look like the gateway's own: signed by its very key, which nobody has, and by all that others have. None is
//! taken but the one that is as it issues them.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use propylon::store::{DatabaseUrl, Micros, Settings, Stores};
use serde_json::{Value, json};

use super::{ME, Place, Surface, bearer, call, me, register, text};
use crate::support::tokens::{KEYS, Served, b64, good as foreign, hs256, now, token};

/// The gateway's key, as only its database has it, and its name.
async fn key(place: &Place) -> (Ed25519KeyPair, String) {
    let database = DatabaseUrl::parse(&place.database).unwrap();
    let stores = Stores::new(&Settings { database, ..Settings::default() }).unwrap();
    let key = stores.signing_keys.all(Micros::now()).await.unwrap().remove(0);
    (Ed25519KeyPair::from_pkcs8_maybe_unchecked(&key.private.0).unwrap(), key.kid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_taken_but_as_it_is_issued() {
    for place in Place::both() {
        // Somebody else is trusted too, and must not speak for the gateway.
        let issuer = Served::start(&KEYS.jwks()).await;
        let external = format!(
            "[[auth.issuers]]\nname = \"main\"\nissuer = \"https://issuer.example\"\naudience = [\"library\"]\n\
             jwks = \"http://{}/keys\"\n",
            issuer.address
        );
        let gateway = place.world(&external).start();
        let at = gateway.address;
        let ann = register(at, "ann@x.example").await;
        let valid = text(&ann, "access_token");
        let (own, kid) = key(&place).await;
        let user = text(&ann["user"], "id");
        let base = json!({
            "iss": "propylon", "aud": "propylon", "sub": user, "roles": ["admin"], "iat": now(), "exp": now() + 60
        });
        let with = |more: Value| {
            let mut claims = base.clone();
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            claims.to_string().into_bytes()
        };
        let without = |name: &str| {
            let mut claims = base.clone();
            claims.as_object_mut().unwrap().remove(name);
            claims.to_string().into_bytes()
        };
        let header = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#);
        let sign = |message: &[u8]| own.sign(message).as_ref().to_vec();
        let ours = |claims: &[u8]| token(&header, claims, sign);
        let headed = |header: &str| token(header, &with(json!({})), sign);
        let hs = |secret: &[u8]| {
            let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
            token(&header, &with(json!({})), |message| hs256(secret, message))
        };
        let raw = own.public_key().as_ref();
        let der: PublicKeyX509Der<'_> = own.public_key().as_der().unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": b64(raw) });
        let (signed, signature) = valid.rsplit_once('.').unwrap();
        let theirs = |header: &str| token(header, &with(json!({})), |message| KEYS.eddsa(message));
        let rows: Vec<(&str, String)> = vec![
            ("none", token(r#"{"alg":"none"}"#, &with(json!({})), |_| vec![])),
            ("None, with a signature", headed(&format!(r#"{{"alg":"None","kid":"{kid}"}}"#))),
            ("eddsa", headed(&format!(r#"{{"alg":"eddsa","kid":"{kid}"}}"#))),
            ("no algorithm", headed(&format!(r#"{{"kid":"{kid}"}}"#))),
            ("ES256 for an Ed25519 key", headed(&format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#))),
            ("HS256 by the key's bytes", hs(raw)),
            ("HS256 by its DER", hs(der.as_ref())),
            ("HS256 by its PEM", hs(pem.as_bytes())),
            ("HS256 by its JWK", hs(jwk.to_string().as_bytes())),
            ("HS256 by the key set", hs(json!({ "keys": [jwk] }).to_string().as_bytes())),
            ("HS256 by nothing", hs(b"")),
            ("no signature", format!("{signed}.")),
            ("zeros", format!("{signed}.{}", b64(&[0; 64]))),
            ("half a signature", format!("{signed}.{}", &signature[..signature.len() / 2])),
            ("bytes behind it", format!("{valid}AA")),
            ("padding", format!("{valid}==")),
            ("the trusted issuer's key by our name", theirs(&header)),
            ("the trusted issuer's key by its name", theirs(r#"{"alg":"EdDSA","kid":"ed"}"#)),
            ("our key in the trusted issuer's name", {
                let claims = with(json!({ "iss": "https://issuer.example", "aud": "library" }));
                token(r#"{"alg":"EdDSA","kid":"ed"}"#, &claims, sign)
            }),
            ("crit", headed(&format!(r#"{{"alg":"EdDSA","kid":"{kid}","crit":["exp"]}}"#))),
            ("zip", headed(&format!(r#"{{"alg":"EdDSA","kid":"{kid}","zip":"DEF"}}"#))),
            ("nested", headed(&format!(r#"{{"alg":"EdDSA","kid":"{kid}","cty":"JWT"}}"#))),
            ("another type", headed(&format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"refresh+jwt"}}"#))),
            ("a kid that walks", headed(r#"{"alg":"EdDSA","kid":"../../signing_keys"}"#)),
            ("a kid for SQL", headed(r#"{"alg":"EdDSA","kid":"' OR '1'='1"}"#)),
            (
                "a claim twice",
                ours(
                    format!(
                        r#"{{"iss":"propylon","aud":"propylon","sub":"x","sub":"{user}","iat":{},"exp":{}}}"#,
                        now(),
                        now() + 60
                    )
                    .as_bytes(),
                ),
            ),
            ("expired", ours(&with(json!({ "exp": now() - 61 })))),
            ("no exp", ours(&without("exp"))),
            ("no iat", ours(&without("iat"))),
            ("good for a day", ours(&with(json!({ "iat": now() - 961, "exp": now() + 86400 })))),
            ("exp as text", ours(&with(json!({ "exp": "99999999999" })))),
            ("a negative exp", ours(&with(json!({ "exp": -1 })))),
            ("a huge exp", ours(&with(json!({ "exp": 1e300 })))),
            ("not yet", ours(&with(json!({ "nbf": now() + 120 })))),
            ("issued tomorrow", ours(&with(json!({ "iat": now() + 86400 })))),
            ("another audience", ours(&with(json!({ "aud": "library" })))),
            ("no audience", ours(&without("aud"))),
            ("another issuer", ours(&with(json!({ "iss": "propylon " })))),
            ("no issuer", ours(&without("iss"))),
            ("no subject", ours(&without("sub"))),
            ("roles that are a number", ours(&with(json!({ "roles": 7 })))),
            ("a refresh token", text(&ann, "refresh_token").to_owned()),
            ("oversized", ours(&with(json!({ "more": "x".repeat(8 << 10) })))),
        ];
        for (what, attack) in rows {
            let attack = bearer(&attack);
            for surface in Surface::ALL {
                let refused = call(surface, at, &ME, &json!({}), &[("authorization", &attack)]).await;
                assert_eq!(refused.code, 16, "{what} over {surface:?} on {}: {refused:?}", place.name);
                assert!(refused.messages.is_empty() && !refused.message.is_empty(), "{what}: {refused:?}");
            }
        }
        // And these are good: as issued, and signed well by who may.
        assert_eq!(me(at, &[("authorization", &bearer(valid))]).await.http, 200, "{}", place.name);
        let own_words = bearer(&ours(&with(json!({ "exp": now() as f64 + 60.5 }))));
        assert_eq!(me(at, &[("authorization", &own_words)]).await.http, 200, "{}", place.name);
        let by_issuer = bearer(&foreign("u", &json!({})));
        let found = me(at, &[("authorization", &by_issuer)]).await;
        assert_eq!((found.http, &found.messages[0]["id"]), (200, &json!("u")), "{found:?}");
        assert_eq!(found.messages[0]["is_admin"], false, "{found:?}");
    }
}
