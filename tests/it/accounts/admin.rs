//! What an admin does to others, before one gateway and beside another that is told: who is demoted, switched off or deleted
//! may no longer, by token or by key; and each act leaves one audit line, with what was there before.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use super::{
    ADMIN, LOGIN, ME, NEW_KEY, PASSWORD, Place, REFRESH, REGISTER, Rpc, Surface, USERS, admin, ask, bearer,
    call, good, login, me, register, text, until,
};
use crate::support::{
    client::{Outcome, request, rest},
    gateway::TestGateway,
};

const AUDIT: Rpc = ("AdminService", "ListAuditLines", Method::GET, "/admin/audit");
const UNLIMITED: &str = "[rate_limits]\nenabled = false\n";

/// Two gateways on the same stores, and the admin's token.
async fn pair(place: &Place) -> (TestGateway, TestGateway, String) {
    let (one, other) = (place.world(UNLIMITED).start(), place.world(UNLIMITED).start());
    let admin = bearer(&admin(one.address).await);
    (one, other, admin)
}

async fn by(at: SocketAddr, admin: &str, verb: Method, path: &str, body: &str) -> Outcome {
    let headers = [("authorization", admin), ("content-type", "application/json")];
    rest(at, request(&verb, path, &headers, body.to_owned())).await
}

/// An account with an access token, a refresh token and an API key.
struct Somebody {
    id: String,
    access: String,
    refresh: String,
    key: String,
}

async fn somebody(at: SocketAddr, admin: &str, email: &str) -> Somebody {
    let made = register(at, email).await;
    let id = text(&made["user"], "id").to_owned();
    let key =
        good(&ask(at, &NEW_KEY, json!({ "name": "k", "user_id": id }), &[("authorization", admin)]).await);
    let key = text(&key, "key").to_owned();
    let access = bearer(text(&made, "access_token"));
    Somebody { id, access, refresh: text(&made, "refresh_token").to_owned(), key }
}

/// Nothing of somebody's is taken: here at once (but for a key, which is looked up again soon), there soon.
async fn nothing_is_taken(what: &str, pair: [&TestGateway; 2], who: &Somebody) {
    let [one, other] = pair.map(|gateway| gateway.address);
    assert_eq!(
        me(one, &[("authorization", &who.access)]).await.http,
        401,
        "{what}: its token, where it was done"
    );
    let refresh = ask(one, &REFRESH, json!({ "refresh_token": who.refresh }), &[]).await;
    assert_eq!(refresh.http, 401, "{what}: its refresh token: {refresh:?}");
    for (at, where_) in [(one, "here"), (other, "there")] {
        for header in [("authorization", &*who.access), ("x-api-key", &*who.key)] {
            let gone = async || me(at, &[header]).await.http == 401;
            until(&format!("{what}: {} is refused {where_}", header.0), gone).await;
            for surface in Surface::ALL {
                let refused = call(surface, at, &ME, &json!({}), &[header]).await;
                assert_eq!(refused.code, 16, "{what}: {} {where_} over {surface:?}: {refused:?}", header.0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_no_longer_may_nowhere() {
    for place in Place::both() {
        let (one, other, admin) = pair(&place).await;
        let (at, name) = (one.address, place.name);
        // Demoted: the token ends, and the key may what its owner may.
        let mut ann = somebody(at, &admin, "ann@x.example").await;
        let path = format!("/admin/users/{}?update_mask=roles", ann.id);
        assert_eq!(by(at, &admin, Method::PATCH, &path, r#"{"roles": ["user", "admin"]}"#).await.http, 200);
        let again = good(&login(at, "ann@x.example", PASSWORD).await);
        ann.access = bearer(text(&again, "access_token"));
        let users = async |at, header| call(Surface::Rest, at, &USERS, &json!({}), &[header]).await.http;
        let (token, key) = (("authorization", &*ann.access), ("x-api-key", &*ann.key));
        for at in [one.address, other.address] {
            assert_eq!(users(at, token).await, 200, "{name}: an admin's token");
            until("an admin's key may", async || users(at, key).await == 200).await;
        }
        assert_eq!(by(at, &admin, Method::PATCH, &path, r#"{"roles": ["user"]}"#).await.http, 200, "{name}");
        assert_eq!(users(at, token).await, 401, "{name}: the token of who was an admin");
        for at in [one.address, other.address] {
            until("the token is refused", async || users(at, token).await == 401).await;
            until("the key may no longer", async || users(at, key).await == 403).await;
            assert_eq!(me(at, &[key]).await.http, 200, "{name}: a key of a user's still");
        }
        // Switched off, and on again: what was open before stays closed.
        let bob = somebody(at, &admin, "bob@x.example").await;
        let path = format!("/admin/users/{}?update_mask=is_active", bob.id);
        assert_eq!(by(at, &admin, Method::PATCH, &path, r#"{"is_active": false}"#).await.http, 200);
        nothing_is_taken(&format!("{name}: switched off"), [&one, &other], &bob).await;
        assert_eq!(login(other.address, "bob@x.example", PASSWORD).await.http, 401, "{name}");
        assert_eq!(by(at, &admin, Method::PATCH, &path, r#"{"is_active": true}"#).await.http, 200);
        assert_eq!(me(at, &[("authorization", &bob.access)]).await.http, 401, "{name}");
        assert_eq!(login(at, "bob@x.example", PASSWORD).await.http, 200, "{name}");
        // Deleted: the e-mail address is anybody's.
        let cat = somebody(at, &admin, "cat@x.example").await;
        let path = format!("/admin/users/{}", cat.id);
        assert_eq!(by(at, &admin, Method::DELETE, &path, "").await.http, 200, "{name}");
        nothing_is_taken(&format!("{name}: deleted"), [&one, &other], &cat).await;
        assert_eq!(login(other.address, "cat@x.example", PASSWORD).await.http, 401, "{name}");
        assert_ne!(text(&register(other.address, "cat@x.example").await["user"], "id"), cat.id, "{name}");
    }
}

/// What an admin changes, another gateway shows at once, give or take a moment, whatever it has shown before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_shows_everywhere_soon() {
    for place in Place::both() {
        let (one, other, admin) = pair(&place).await;
        let ann = somebody(one.address, &admin, "ann@x.example").await;
        let shown = async || {
            let user = good(&me(other.address, &[("authorization", &ann.access)]).await);
            text(&user, "username").to_owned()
        };
        assert_eq!(shown().await, "somebody");
        let path = format!("/admin/users/{}?update_mask=username", ann.id);
        assert_eq!(by(one.address, &admin, Method::PATCH, &path, r#"{"username": "Anna"}"#).await.http, 200);
        let changed = Instant::now();
        until("the new name is shown", async || shown().await == "Anna").await;
        assert!(changed.elapsed() < Duration::from_secs(10), "{}: {:?}", place.name, changed.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_leaves_a_line_and_what_was_refused_none() {
    for place in Place::both() {
        let (one, _other, admin) = pair(&place).await;
        let (at, name) = (one.address, place.name);
        let own = text(&good(&me(at, &[("authorization", &admin)]).await), "id").to_owned();
        let ann = somebody(at, &admin, "ann@x.example").await;
        // Refused: the last admin stays, and nothing has these ids.
        let refused = [
            (Method::DELETE, format!("/admin/users/{own}"), 409),
            (Method::DELETE, "/api/v1/users/account".to_owned(), 409),
            (Method::PATCH, format!("/admin/users/{own}?update_mask=is_active"), 409),
            (Method::DELETE, "/admin/users/nobody".to_owned(), 404),
            (Method::DELETE, "/admin/keys/nothing".to_owned(), 404),
        ];
        for (verb, path, want) in refused {
            let body = if verb == Method::PATCH { r#"{"is_active": false}"# } else { "" };
            let outcome = by(at, &admin, verb.clone(), &path, body).await;
            assert_eq!(outcome.http, want, "{name}: {verb} {path}: {outcome:?}");
        }
        let path = format!("/admin/users/{}?update_mask=roles,tier", ann.id);
        let change = r#"{"roles": ["editor"], "tier": "premium"}"#;
        assert_eq!(by(at, &admin, Method::PATCH, &path, change).await.http, 200, "{name}");
        assert_eq!(by(at, &admin, Method::POST, "/admin/reload", "{}").await.http, 200, "{name}");
        // Nobody in particular, on the gateway's own machine.
        let reload = request(&Method::POST, "/admin/reload", &[("content-type", "application/json")], "{}");
        assert_eq!(rest(at, reload).await.http, 200, "{name}");
        assert_eq!(by(at, &admin, Method::DELETE, &format!("/admin/users/{}", ann.id), "").await.http, 200);

        let headers = [("authorization", admin.as_str())];
        let said = |line: &Value| {
            format!("{} by {}: {}", text(line, "action"), text(line, "actor"), text(line, "details"))
        };
        let want = [
            format!("user.delete by {own}: ann@x.example"),
            "gateway.reload by operator: nothing has changed".to_owned(),
            format!("gateway.reload by {own}: nothing has changed"),
            format!("user.update by {own}: ann@x.example; roles: user → editor; tier: free → premium"),
            format!("key.create by {own}: name \"k\", roles \"\", for {}", ann.id),
            format!("user.first_admin by gateway: {ADMIN}"),
        ];
        let mut over = Vec::new();
        for surface in Surface::ALL {
            let lines = good(&call(surface, at, &AUDIT, &json!({}), &headers).await);
            let lines = lines["lines"].as_array().cloned().unwrap_or_default();
            assert_eq!(lines.iter().map(said).collect::<Vec<_>>(), want, "{name} over {surface:?}");
            over.push(lines);
        }
        over.dedup();
        assert_eq!(over.len(), 1, "{name}: every surface says the same: {over:?}");
        let update = &over[0][3];
        assert_eq!((text(update, "target"), text(update, "address")), (&*ann.id, "127.0.0.1"), "{name}");
        assert!(!text(update, "request_id").is_empty(), "{name}: {update}");
        // The log says the same, once each, and nothing of what was refused.
        let logged: Vec<Value> = one
            .program
            .output()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["target"] == "audit")
            .collect();
        let log = |line: &Value| {
            format!("{} by {}: {}", text(line, "action"), text(line, "actor"), text(line, "message"))
        };
        let mut logged: Vec<_> = logged.iter().map(log).collect();
        logged.reverse();
        // The first admin is one gateway's of the two.
        let acts = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| !line.starts_with("user.first_admin")).cloned().collect()
        };
        assert_eq!(acts(&logged), acts(&want), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_with_tokens_and_keys_are_kept_by_nobody() {
    let place = Place::sqlite();
    let gateway = place.world(UNLIMITED).start();
    let at = gateway.address;
    let admin = bearer(&admin(at).await);
    let admins = [("authorization", admin.as_str())];
    for surface in Surface::ALL {
        let email = format!("{surface:?}@x.example");
        let asked = json!({ "email": email, "username": "Ann", "password": PASSWORD });
        let made = call(surface, at, &REGISTER, &asked, &[]).await;
        let refresh = json!({ "refresh_token": good(&made)["refresh_token"] });
        let answers = [
            made,
            call(surface, at, &LOGIN, &json!({ "email": email, "password": PASSWORD }), &[]).await,
            call(surface, at, &REFRESH, &refresh, &[]).await,
            call(surface, at, &NEW_KEY, &json!({ "name": "k" }), &admins).await,
            call(surface, at, &ME, &json!({}), &admins).await,
            call(surface, at, &USERS, &json!({}), &admins).await,
        ];
        for (number, answer) in answers.iter().enumerate() {
            good(answer);
            let told = answer.headers.get("cache-control").map(|value| value.to_str().unwrap());
            assert_eq!(told, Some("no-store"), "answer {number} over {surface:?}: {answer:?}");
        }
    }
}
