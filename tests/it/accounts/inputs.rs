//! What nobody should send: credentials that are none or contradict each other, e-mail addresses and passwords at the edges,
//! texts that a database or a script would take for commands; over each surface, on both kinds of stores.

use std::time::Duration;

use propylon::store::{DatabaseUrl, Digest, Micros, NewFamily, Settings, Stores};
use serde_json::{Value, json};

use super::{
    LOGIN, ME, NEW_KEY, PASSWORD, PROFILE, Place, REFRESH, REGISTER, Surface, admin, ask, bearer, call, good,
    login, me, register, text,
};

/// What a request brings: its name, its headers, and what is said of them (nothing where they are good).
type Presented<'a> = (&'a str, Vec<(&'a str, String)>, &'a str);

/// The stores themselves, to put things there that take months to come about.
fn stores(place: &Place) -> Stores {
    let database = DatabaseUrl::parse(&place.database).unwrap();
    Stores::new(&Settings { database, ..Settings::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_every_kind_that_are_not_good() {
    for place in Place::both() {
        let (gateway, other) = (place.gateway(), Place::sqlite().gateway());
        let at = gateway.address;
        let (ann, bob) = (register(at, "ann@x.example").await, register(at, "bob@x.example").await);
        let by_admin = bearer(&admin(at).await);
        let asked = json!({ "name": "bob's", "user_id": bob["user"]["id"] });
        let key = good(&ask(at, &NEW_KEY, asked, &[("authorization", &by_admin)]).await);
        let key = text(&key, "key").to_owned();
        let (anns, bobs) = (text(&ann, "access_token"), text(&bob, "access_token"));
        let foreign = register(other.address, "ann@x.example").await;
        let expired = expired(&place, text(&ann["user"], "id")).await;
        let (signed, _) = anns.rsplit_once('.').unwrap();
        let (anns, bobs, refresh) = (bearer(anns), bearer(bobs), bearer(text(&ann, "refresh_token")));
        let rows: Vec<Presented<'_>> = vec![
            ("a token", vec![("authorization", anns.clone())], ""),
            ("a key", vec![("x-api-key", key.clone())], ""),
            ("both of one", vec![("authorization", bobs.clone()), ("x-api-key", key.clone())], ""),
            (
                "both of two",
                vec![("authorization", anns.clone()), ("x-api-key", key.clone())],
                "two credentials, which name different callers",
            ),
            (
                "a token and no key",
                vec![("authorization", anns.clone()), ("x-api-key", "x".to_owned())],
                "the credential is not known here",
            ),
            (
                "two tokens",
                vec![("authorization", anns.clone()), ("authorization", bobs.clone())],
                "two Authorization headers",
            ),
            (
                "one token twice",
                vec![("authorization", anns.clone()), ("authorization", anns.clone())],
                "two Authorization headers",
            ),
            (
                "two keys",
                vec![("x-api-key", key.clone()), ("x-api-key", key.clone())],
                "two X-API-Key headers",
            ),
            ("no signature", vec![("authorization", bearer(&format!("{signed}.")))], "it has no signature"),
            (
                "another scheme",
                vec![("authorization", "Basic YTpi".to_owned())],
                "Authorization has no bearer token",
            ),
            ("no token", vec![("authorization", "Bearer".to_owned())], "no token behind Bearer"),
            ("a refresh token", vec![("authorization", refresh)], "the token is malformed"),
            (
                "a token of another gateway",
                vec![("authorization", bearer(text(&foreign, "access_token")))],
                "the token's signature does not fit",
            ),
            ("a key that has expired", vec![("x-api-key", expired)], "the credential is not known here"),
            (
                "a key with another end",
                vec![("x-api-key", format!("{}x", &key[..key.len() - 1]))],
                "the credential is not known here",
            ),
            ("a key in the place of a token", vec![("authorization", bearer(&key))], ""),
            (
                "a token in the place of a key",
                vec![("x-api-key", anns.trim_start_matches("Bearer ").to_owned())],
                "the credential is not known here",
            ),
            (
                "an oversized token",
                vec![("authorization", bearer(&"a".repeat(9000)))],
                "the credential is 9000 bytes long; the most is 8192",
            ),
            (
                "an oversized key",
                vec![("x-api-key", "k".repeat(9000))],
                "the credential is 9000 bytes long; the most is 8192",
            ),
            (
                "a key for SQL",
                vec![("x-api-key", "' OR 1=1 --".to_owned())],
                "the credential is not known here",
            ),
            (
                "a key for Lua",
                vec![("x-api-key", "redis.call('FLUSHALL') KEYS[1]".to_owned())],
                "the credential is not known here",
            ),
        ];
        for (what, headers, want) in &rows {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            for surface in Surface::ALL {
                // A method that asks for a caller: what opens to everyone lets bad credentials through.
                let outcome = call(surface, at, &PROFILE, &json!({ "username": "x" }), &headers).await;
                let at = format!("{what} over {surface:?} on {}: {outcome:?}", place.name);
                let (code, http) = if want.is_empty() { (0, 200) } else { (16, 401) };
                assert_eq!(outcome.code, code, "{at}");
                assert_eq!(outcome.http, if surface == Surface::Rest { http } else { 200 }, "{at}");
                assert!(outcome.message.contains(want), "{at}");
                for (_, value) in &headers {
                    assert!(
                        !outcome.message.contains(value.trim_start_matches("Bearer ")) || value.len() < 8,
                        "{at}"
                    );
                }
            }
        }
        // More than headers may be at all.
        let long = bearer(&"a".repeat(70_000));
        let refused = me(at, &[("authorization", &long)]).await;
        assert_eq!(refused.http, 431, "{refused:?}");
    }
}

/// An API key of an account's whose time was over a moment ago.
async fn expired(place: &Place, owner: &str) -> String {
    let made = propylon::auth::ApiKey::generate().unwrap();
    let now = Micros::now();
    let key = propylon::store::ApiKey {
        id: uuid::Uuid::now_v7().to_string(),
        name: "old".into(),
        prefix: made.text[..12].into(),
        owner: Some(owner.into()),
        roles: vec![],
        permissions: vec![],
        scopes: vec![],
        tier: String::new(),
        created_at: now.before(Duration::from_secs(60)),
        expires_at: Some(now.before(Duration::from_secs(1))),
        revoked_at: None,
        last_used_at: None,
    };
    stores(place).api_keys.create(&key, &Digest(made.digest), None).await.unwrap();
    made.text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_tokens_that_are_not_good() {
    for place in Place::both() {
        let gateway = place.gateway();
        let at = gateway.address;
        let ann = register(at, "ann@x.example").await;
        let old = "ppr_of-a-family-whose-time-is-over";
        let now = Micros::now();
        let family = NewFamily {
            id: uuid::Uuid::now_v7().to_string(),
            account: text(&ann["user"], "id").to_owned(),
            digest: Digest::of(old.as_bytes()),
            expires_at: now.before(Duration::from_secs(1)),
            password: stores(&place).accounts.password(text(&ann["user"], "id")).await.unwrap().unwrap(),
            login: false,
        };
        let (stores, then) = (stores(&place), now.before(Duration::from_secs(60)));
        stores.refresh_tokens.begin(&family, then).await.unwrap().unwrap();
        let good_one = text(&ann, "refresh_token").to_owned();
        let mut bad: Vec<String> = vec![String::new(), "ppr_".to_owned(), old.to_owned(), "\0".to_owned()];
        bad.push(text(&ann, "access_token").to_owned());
        bad.push(good_one.to_uppercase());
        bad.push(format!("{good_one} "));
        bad.push(good_one[..good_one.len() - 1].to_owned());
        bad.push("ppr_' OR '1'='1".to_owned());
        bad.push(format!("ppr_{}", "a".repeat(1 << 20)));
        let want = "the refresh token is not good, or is good no longer; log in again";
        for token in &bad {
            for surface in Surface::ALL {
                let refused = call(surface, at, &REFRESH, &json!({ "refresh_token": token }), &[]).await;
                let shown: String = token.chars().take(40).collect();
                assert_eq!(
                    (refused.code, refused.message.as_str()),
                    (16, want),
                    "{shown:?} over {surface:?}: {refused:?}"
                );
            }
        }
        // None of these was held against the session.
        good(&ask(at, &REFRESH, json!({ "refresh_token": good_one }), &[]).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_an_account_is_said_field_by_field() {
    for place in Place::both() {
        let gateway = place.gateway();
        let at = gateway.address;
        let mib = "x".repeat(1 << 20);
        let rows: [(&str, Value, &str); 17] = [
            ("email", json!(""), "an e-mail address is needed"),
            ("email", json!("  "), "an e-mail address is needed"),
            ("email", json!("ann"), "an e-mail address has an @"),
            ("email", json!("ann@x.example\u{0}"), "no spaces and no invisible characters"),
            ("email", json!("a b@x.example"), "no spaces and no invisible characters"),
            ("email", json!("a\u{200b}b@x.example"), "no spaces and no invisible characters"),
            ("email", json!("ann@x.example'; DROP TABLE accounts; --"), "no spaces"),
            ("email", json!(format!("{mib}@x.example")), "at most 254 bytes"),
            ("password", json!(""), "at least 8 are needed"),
            ("password", json!("       "), "at least 8 are needed"),
            ("password", json!("e\u{301}e\u{301}e\u{301}abcd"), "it has 7 characters; at least 8"),
            ("password", json!(mib), "it has at most 128 characters"),
            ("password", json!("abc\u{0}defgh"), "it has no NUL"),
            ("password", json!("ANN@x.example"), "it is the e-mail address"),
            ("username", json!(" "), "it is needed"),
            ("username", json!("a\u{202e}b"), "none that turn text around"),
            ("username", json!("n".repeat(65)), "at most 64 characters"),
        ];
        for (field, value, want) in rows {
            let mut asked = json!({ "email": "ann@x.example", "username": "Ann", "password": PASSWORD });
            asked[field] = value;
            for surface in Surface::ALL {
                let refused = call(surface, at, &REGISTER, &asked, &[]).await;
                let shown: String = asked[field].to_string().chars().take(40).collect();
                let what = format!("{field} {shown} over {surface:?} on {}", place.name);
                assert_eq!(refused.code, 3, "{what}: {}", refused.message);
                assert!(refused.message.starts_with(&format!("{field}: ")), "{what}: {}", refused.message);
                assert!(
                    refused.message.contains(want) && refused.message.len() < 200,
                    "{what}: {}",
                    refused.message
                );
            }
        }
        // All at once.
        let refused = ask(at, &REGISTER, json!({}), &[]).await;
        assert!(
            ["email: ", "username: ", "password: "].iter().all(|field| refused.message.contains(field)),
            "{refused:?}"
        );
        // Who logs in with any of it is told nothing but that.
        for email in ["", "ann", "\u{0}", "a'--@x.example", &mib] {
            for password in [PASSWORD, &mib, "\u{0}"] {
                // By turns, so that the limit of an account is not met.
                let refused = ask(at, &LOGIN, json!({ "email": email, "password": password }), &[]).await;
                let shown: String = email.chars().take(20).collect();
                let busy = refused.http == 429;
                assert!(
                    busy || (refused.code, refused.message.as_str()) == (16, "Incorrect email or password"),
                    "{shown:?}: {refused:?}"
                );
                assert!(!busy || email != "a'--@x.example", "{shown:?}: {refused:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_however_it_is_written_and_texts_stay_texts() {
    for place in Place::both() {
        let gateway = place.gateway();
        let (at, name) = (gateway.address, place.name);
        let username = "R'); DROP TABLE accounts;--$1 redis.call('FLUSHALL') \u{1F980}";
        let password = "Jose\u{301}'; DROP TABLE accounts; --";
        let asked =
            json!({ "email": " O'Hara+\u{301}@X.example ", "username": username, "password": password });
        let refused = ask(at, &REGISTER, asked.clone(), &[]).await;
        assert!(matches!(refused.code, 0 | 3), "{name}: {refused:?}");
        let asked = json!({ "email": "O'Hara+José@X.example", "username": username, "password": password });
        let made = good(&ask(at, &REGISTER, asked, &[]).await);
        assert_eq!(text(&made["user"], "username"), username, "{name}");
        // Composed or not, in any case, in full width, with spaces around: one account.
        for spelling in [
            "o'hara+jose\u{301}@x.example",
            "O'HARA+JOSÉ@X.EXAMPLE",
            "ｏ'hara+josé@x.example",
            " o'hara+josé@x.example ",
        ] {
            let twin = json!({ "email": spelling, "username": "x", "password": PASSWORD });
            assert_eq!(ask(at, &REGISTER, twin, &[]).await.http, 409, "{name} {spelling}");
            assert_eq!(
                login(at, spelling, "José'; DROP TABLE accounts; --").await.http,
                200,
                "{name} {spelling}"
            );
        }
        assert_eq!(
            login(at, "o'hara+josé@x.example", "José'; drop TABLE accounts; --").await.http,
            401,
            "{name}"
        );
        let token = bearer(text(&made, "access_token"));
        let profile =
            json!({ "profile": { "a'); DELETE FROM accounts; --": "\"\\ ☃ \u{1F980} %_!", "b": "${jndi}" } });
        let changed = good(&ask(at, &PROFILE, profile.clone(), &[("authorization", &token)]).await);
        assert_eq!(changed["profile"], profile["profile"], "{name}");
        let found = good(&ask(at, &ME, json!({}), &[("authorization", &token)]).await);
        assert_eq!((&found["profile"], text(&found, "username")), (&profile["profile"], username), "{name}");
        // What a database cannot keep is refused, not cut.
        let nul = json!({ "profile": { "a": "b\u{0}c" } });
        assert_eq!(ask(at, &PROFILE, nul, &[("authorization", &token)]).await.http, 400, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_who_take_one_email_at_once_one_gets_it() {
    for place in Place::both() {
        let (one, other) = (place.gateway(), place.gateway());
        let mut tries = tokio::task::JoinSet::new();
        for number in 0..20 {
            let at = if number % 2 == 0 { one.address } else { other.address };
            let email = if number % 3 == 0 { "ANN@x.example" } else { "ann@X.example" };
            let asked = json!({ "email": email, "username": format!("n{number}"), "password": PASSWORD });
            let surface = Surface::ALL[number % 4];
            tries.spawn(async move { call(surface, at, &REGISTER, &asked, &[]).await });
        }
        let mut codes = [0; 3];
        for outcome in tries.join_all().await {
            match outcome.code {
                0 => codes[0] += 1,
                6 => codes[1] += 1,
                // Too many passwords are hashed just now.
                14 => codes[2] += 1,
                _ => panic!("{}: {outcome:?}", place.name),
            }
        }
        assert_eq!(codes[0], 1, "{}: {codes:?}", place.name);
        assert!(codes[1] >= 1, "{}: {codes:?}", place.name);
        assert_eq!(login(one.address, "ann@x.example", PASSWORD).await.http, 200);
    }
}
