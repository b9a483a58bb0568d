//! Tokens that must not be taken, each over every surface, and those that must; and requests with credentials that are no
//! credentials.

use serde_json::{Value, json};

use super::{OPERATOR, get, seen, start, told};
use crate::support::tokens::{KEYS, Keys, PUBLISHED, SECRET, Served, b64, claims, good, hs256, now, token};

const ED: &str = r#"{"alg":"EdDSA","kid":"ed"}"#;

fn plain() -> Vec<u8> {
    claims("u", &json!({})).to_string().into_bytes()
}

/// Signed well, under another header.
fn headed(header: &str) -> String {
    token(header, &plain(), |message| KEYS.eddsa(message))
}

/// Signed well, with other claims.
fn claiming(more: &Value) -> String {
    good("u", more)
}

/// Signed well, with claims that are text.
fn said(claims: &[u8]) -> String {
    token(ED, claims, |message| KEYS.eddsa(message))
}

/// HS256 with what is public.
fn confused(kid: &str, secret: &[u8]) -> String {
    token(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), &plain(), |message| hs256(secret, message))
}

fn attacks(evil: &Served) -> Vec<(&'static str, String)> {
    let other = Keys::generate();
    let at = format!("http://{}/keys", evil.address);
    let jwk = other.jwks()["keys"][2].clone();
    let by_other = |header: Value| token(&header.to_string(), &plain(), |message| other.eddsa(message));
    let valid = good("u", &json!({}));
    let (signed, signature) = valid.rsplit_once('.').unwrap();
    let with = |claim: &str, value: Value| claiming(&json!({ claim: value }));
    let without = |claim: &str| {
        let mut all = claims("u", &json!({}));
        all.as_object_mut().unwrap().remove(claim);
        said(all.to_string().as_bytes())
    };
    let raw = |text: &str| said(text.as_bytes());
    let soon = now() + 600;
    let base = format!(r#""iss":"https://issuer.example","aud":"library","exp":{soon}"#);
    let none = |alg: &str| token(&format!(r#"{{"alg":"{alg}"}}"#), &plain(), |_| Vec::new());
    let es256 = r#"{"alg":"ES256","kid":"ec"}"#;
    let last = signature.chars().last().unwrap();
    let non_canonical = {
        // The last character of 64 bytes carries four bits that must be zero.
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let next = digits.chars().nth(digits.find(last).unwrap() + 1).unwrap();
        format!("{signed}.{}{next}", &signature[..signature.len() - 1])
    };
    vec![
        ("none", none("none")),
        ("None", none("None")),
        ("nOnE", none("nOnE")),
        ("none with a signature", token(r#"{"alg":"none"}"#, &plain(), |message| KEYS.eddsa(message))),
        ("no algorithm", headed(r#"{"kid":"ed"}"#)),
        ("an unknown algorithm", headed(r#"{"alg":"EdDSA2","kid":"ed"}"#)),
        ("an algorithm in lower case", headed(r#"{"alg":"eddsa","kid":"ed"}"#)),
        ("an algorithm with a space", headed(r#"{"alg":"EdDSA ","kid":"ed"}"#)),
        ("an algorithm that is a list", headed(r#"{"alg":["EdDSA"],"kid":"ed"}"#)),
        ("HS256 by the public PEM", confused("rsa", KEYS.rsa_pem().as_bytes())),
        ("HS256 by the PEM without its end", confused("rsa", KEYS.rsa_pem().trim_end().as_bytes())),
        ("HS256 by the JWK's text", confused("rsa", KEYS.rsa_jwk().to_string().as_bytes())),
        ("HS256 by the modulus", confused("rsa", KEYS.rsa_jwk()["n"].as_str().unwrap().as_bytes())),
        ("HS256 by the Ed25519 key", {
            use aws_lc_rs::signature::KeyPair as _;
            confused("ed", KEYS.ed.public_key().as_ref())
        }),
        ("HS256 by a secret of the key set", confused("oct", PUBLISHED)),
        ("HS256 by nothing", confused("ed", b"")),
        ("an empty signature", format!("{signed}.")),
        ("a signature of another token", {
            let other = good("v", &json!({}));
            format!("{signed}.{}", other.rsplit_once('.').unwrap().1)
        }),
        ("another's key", by_other(json!({ "alg": "EdDSA", "kid": "ed" }))),
        ("r = s = 0", token(es256, &plain(), |_| vec![0; 64])),
        ("an ECDSA signature in DER", token(es256, &plain(), |_| vec![0x30, 6, 2, 1, 0, 2, 1, 0])),
        ("zeros for Ed25519", token(ED, &plain(), |_| vec![0; 64])),
        ("RS256 by the name of the EC key", {
            token(r#"{"alg":"RS256","kid":"ec"}"#, &plain(), |message| KEYS.rs256(message))
        }),
        ("EdDSA by the name of the RSA key", headed(r#"{"alg":"EdDSA","kid":"rsa"}"#)),
        ("a kid that walks", confused("../../../../dev/null", b"")),
        ("a kid that asks a database", confused("x' UNION SELECT 'k' -- ", b"k")),
        ("a kid that is a number", headed(r#"{"alg":"EdDSA","kid":7}"#)),
        ("a long kid", headed(&format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, "k".repeat(300)))),
        ("its own key", by_other(json!({ "alg": "EdDSA", "jwk": jwk }))),
        ("its own key set", by_other(json!({ "alg": "EdDSA", "kid": "ed", "jku": at }))),
        ("its own certificate", by_other(json!({ "alg": "EdDSA", "kid": "ed", "x5u": at }))),
        ("its own chain of certificates", by_other(json!({ "alg": "EdDSA", "kid": "ed", "x5c": ["MIIB"] }))),
        ("the name of the key twice", headed(r#"{"alg":"EdDSA","kid":"x","kid":"ed"}"#)),
        ("crit", headed(r#"{"alg":"EdDSA","kid":"ed","crit":["exp"]}"#)),
        ("an empty crit", headed(r#"{"alg":"EdDSA","kid":"ed","crit":[]}"#)),
        ("b64 = false", headed(r#"{"alg":"EdDSA","kid":"ed","b64":false,"crit":["b64"]}"#)),
        ("b64 = false, not critical", headed(r#"{"alg":"EdDSA","kid":"ed","b64":false}"#)),
        ("zip", headed(r#"{"alg":"EdDSA","kid":"ed","zip":"DEF"}"#)),
        ("a token in a token", headed(r#"{"alg":"EdDSA","kid":"ed","cty":"JWT"}"#)),
        ("another type of token", headed(r#"{"alg":"EdDSA","kid":"ed","typ":"dpop+jwt"}"#)),
        ("an encrypted token", format!("{}.a.b.c.d", b64(br#"{"alg":"dir","enc":"A256GCM"}"#))),
        ("algorithm twice", headed(r#"{"alg":"none","alg":"EdDSA","kid":"ed"}"#)),
        ("no exp", without("exp")),
        ("exp as text", with("exp", json!(soon.to_string()))),
        ("exp of null", with("exp", json!(null))),
        ("a huge exp", raw(r#"{"iss":"https://issuer.example","aud":"library","sub":"u","exp":1e400}"#)),
        ("a large exp", with("exp", json!(1e300))),
        (
            "an exp beyond 64 bits",
            raw(
                r#"{"iss":"https://issuer.example","aud":"library","sub":"u","exp":99999999999999999999999}"#,
            ),
        ),
        ("a negative exp", with("exp", json!(-1))),
        ("expired", with("exp", json!(now() - 61))),
        ("not yet", with("nbf", json!(now() + 120))),
        ("issued tomorrow", with("iat", json!(now() + 86400))),
        ("another audience", with("aud", json!("shop"))),
        ("no audience", without("aud")),
        ("an audience that is an object", with("aud", json!({ "library": true }))),
        ("another issuer", with("iss", json!("https://evil.example"))),
        ("an issuer that begins well", with("iss", json!("https://issuer.example.evil.example"))),
        ("no issuer", without("iss")),
        ("issuers", with("iss", json!(["https://issuer.example"]))),
        ("a claim twice", raw(&format!(r#"{{{base},"sub":"u","sub":"admin"}}"#))),
        ("a claim twice, escaped", raw(&format!(r#"{{{base},"sub":"u","\u0073ub":"admin"}}"#))),
        ("a claim twice, within", raw(&format!(r#"{{{base},"sub":"u","a":{{"b":1,"b":2}}}}"#))),
        ("bytes behind the claims", raw(&format!(r#"{{{base},"sub":"u"}}{{"sub":"admin"}}"#))),
        ("claims that are a list", raw("[]")),
        ("claims that are no UTF-8", said(b"{\"sub\":\"\xff\"}")),
        ("claims of a thousand depths", raw(&format!("{{\"a\":{}1{}}}", "[".repeat(1000), "]".repeat(1000)))),
        ("no subject", without("sub")),
        ("a subject that is an object", with("sub", json!({ "id": "u" }))),
        ("an empty subject", with("sub", json!(""))),
        ("roles that are an object", with("roles", json!({ "admin": true }))),
        ("a dot more", format!("{valid}.")),
        ("a part more", format!("{valid}.AAAA")),
        ("bytes behind the signature", format!("{valid}AAAA")),
        ("padding", format!("{valid}==")),
        (
            "a padded header",
            format!("{}=.{}", signed.split('.').next().unwrap(), &valid[signed.find('.').unwrap() + 1..]),
        ),
        ("a space within", format!("{signed} .{signature}")),
        ("a tab within", format!("{signed}.\t{signature}")),
        ("half a signature", format!("{signed}.{}", &signature[..signature.len() / 2])),
        ("a signature written otherwise", non_canonical),
        ("standard base64", format!("{signed}.+/{}", &signature[2..])),
        ("two parts", signed.to_owned()),
        ("dots", "..".to_owned()),
        ("too long", with("more", json!("x".repeat(8 << 10)))),
        ("a secret's issuer, by its claims", {
            token(r#"{"alg":"HS512"}"#, br#"{"user_id":"u","exp":99999999999}"#, |message| {
                hs256(SECRET.as_bytes(), message)
            })
        }),
        (
            "an API key that nobody made",
            "ppk_00000000_0000000000000000000000000000000000000000000000".to_owned(),
        ),
        ("nearly a token of the config", OPERATOR.replace("long", "lonG")),
        ("the beginning of a token of the config", OPERATOR[..20].to_owned()),
    ]
}

#[tokio::test]
async fn no_attack_is_taken() {
    let evil = Served::start(&Keys::generate().jwks()).await;
    let (gateway, issuer) = start("[access]").await;
    let attacks = attacks(&evil);
    assert!(attacks.len() >= 80, "{}", attacks.len());
    for (name, token) in attacks {
        let bearer = format!("Bearer {token}");
        for (surface, outcome) in get(gateway.address, &[("authorization", &bearer)]).await {
            let at = format!("{name} over {surface}: {outcome:?}");
            assert_eq!(outcome.code, 16, "{at}");
            assert_eq!(outcome.http, if surface == "REST" { 401 } else { 200 }, "{at}");
            assert!(told(&outcome, "www-authenticate").starts_with("Bearer error=\"invalid_token\""), "{at}");
            assert!(seen(&outcome).is_empty() && !outcome.message.is_empty(), "{at}");
            assert!(!outcome.message.contains(&token), "a credential is not repeated: {at}");
        }
    }
    assert_eq!(evil.asked(), 0, "no token says where its key is");
    assert!(issuer.asked() <= 2, "unknown keys cause no flood: {}", issuer.asked());
}

#[tokio::test]
async fn good_tokens_are_taken_and_told_upstream() {
    let (gateway, issuer) = start("[access]").await;
    let roles = json!({ "roles": ["teacher", "parent"], "permissions": ["read"] });
    let signed = |header: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        token(header, claims("u", &roles).to_string().as_bytes(), sign)
    };
    let legacy = json!({ "user_id": 7, "role": "student", "exp": now() + 60 }).to_string();
    let told_of_u =
        ["x-user-id=u", "x-user-email=u@a.example", "x-user-role=teacher,parent", "x-user-permissions=read"];
    let rows: Vec<(&str, String, &[&str])> = vec![
        ("EdDSA", signed(ED, &|message| KEYS.eddsa(message)), &told_of_u),
        ("ES256", signed(r#"{"alg":"ES256","kid":"ec"}"#, &|message| KEYS.es256(message)), &told_of_u),
        ("RS256", signed(r#"{"alg":"RS256","kid":"rsa"}"#, &|message| KEYS.rs256(message)), &told_of_u),
        ("no kid", signed(r#"{"alg":"EdDSA"}"#, &|message| KEYS.eddsa(message)), &told_of_u),
        (
            "at+jwt",
            signed(r#"{"alg":"EdDSA","kid":"ed","typ":"at+jwt"}"#, &|message| KEYS.eddsa(message)),
            &told_of_u,
        ),
        ("just expired", good("u", &json!({ "exp": now() - 30 })), &["x-user-id=u"]),
        (
            "a legacy service's",
            token(r#"{"alg":"HS256","typ":"JWT"}"#, legacy.as_bytes(), |message| {
                hs256(SECRET.as_bytes(), message)
            }),
            &["x-user-id=7", "x-user-role=student"],
        ),
        ("the config's", OPERATOR.to_owned(), &["x-user-id=operator", "x-user-role=admin"]),
    ];
    for (name, token, want) in rows {
        let bearer = format!("bearer {token}");
        // Twice: the second time it is remembered.
        for _ in 0..2 {
            for (surface, outcome) in get(gateway.address, &[("authorization", &bearer)]).await {
                let at = format!("{name} over {surface}: {outcome:?}");
                assert_eq!(outcome.code, 0, "{at}");
                let seen = seen(&outcome);
                assert!(want.iter().all(|line| seen.iter().any(|seen| seen == line)), "{at}");
                assert!(seen.iter().any(|line| line.starts_with("x-gateway-request-id=")), "{at}");
                assert!(!seen.iter().any(|line| line.starts_with("authorization")), "{at}");
                assert_ne!(told(&outcome, "x-ratelimit-limit").is_empty(), name != "the config's", "{at}");
            }
        }
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_in_words() {
    let (gateway, _issuer) = start("[access]").await;
    let (one, two) =
        (format!("Bearer {}", good("u", &json!({}))), format!("Bearer {}", good("v", &json!({}))));
    let check = async |headers: &[(&str, &str)], want: &str| {
        for (surface, outcome) in get(gateway.address, headers).await {
            let at = format!("{headers:?} over {surface}: {outcome:?}");
            assert_eq!(outcome.code, if want.is_empty() { 0 } else { 16 }, "{at}");
            assert!(outcome.message.contains(want), "{at}");
            assert_eq!(told(&outcome, "www-authenticate").starts_with("Bearer"), !want.is_empty(), "{at}");
        }
    };
    check(&[], "is for authenticated callers; the request has no credentials").await;
    check(&[("authorization", "Basic dTpw")], "Authorization has no bearer token").await;
    check(&[("authorization", "Bearer")], "has no token behind Bearer").await;
    check(&[("authorization", "Bearer a b")], "more than one token").await;
    check(&[("authorization", &one), ("authorization", &one)], "two Authorization headers").await;
    check(&[("authorization", &one), ("authorization", &two)], "two Authorization headers").await;
    check(&[("authorization", "Bearer x")], "the token is malformed").await;
    check(&[("x-api-key", "x")], "the credential is not known here").await;
    check(&[("x-api-key", "")], "the X-API-Key header is not a key").await;
    check(&[("x-api-key", OPERATOR)], "").await;
    // A token is no API key.
    check(&[("x-api-key", &good("u", &json!({})))], "the credential is not known here").await;
    check(&[("authorization", &one), ("x-api-key", OPERATOR)], "which name different callers").await;
    check(&[("authorization", &one), ("x-api-key", "x")], "the credential is not known here").await;
    let operator = format!("Bearer {OPERATOR}");
    check(&[("authorization", &operator), ("x-api-key", OPERATOR)], "").await;
}
