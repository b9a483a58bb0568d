//! What a gateway knows outlives it: users, keys, the key that signs, what was revoked; and nothing that it has acknowledged
//! is lost when it is killed.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};

use super::{
    LOGOUT, NEW_KEY, PASSWORD, Place, REGISTER, admin, ask, bearer, good, login, me, register, text,
};
use crate::support::{
    client::{request, rest},
    gateway::TestGateway,
    library::PATIENCE,
};

async fn jwks(gateway: &TestGateway) -> Value {
    rest(gateway.address, request(&Method::GET, "/.well-known/jwks.json", &[], "")).await.messages.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_all() {
    for place in Place::both() {
        let mut gateway = place.gateway();
        let at = gateway.address;
        let (ann, bob) = (register(at, "ann@x.example").await, register(at, "bob@x.example").await);
        let admin_token = bearer(&admin(at).await);
        let by_admin = [("authorization", admin_token.as_str())];
        let asked = json!({ "name": "ann's", "user_id": ann["user"]["id"] });
        let key = good(&ask(at, &NEW_KEY, asked.clone(), &by_admin).await);
        let gone = good(&ask(at, &NEW_KEY, asked, &by_admin).await);
        let path = format!("/admin/keys/{}", text(&gone, "id"));
        assert_eq!(rest(at, request(&Method::DELETE, &path, &by_admin, "")).await.http, 200);
        let (anns, bobs) = (bearer(text(&ann, "access_token")), bearer(text(&bob, "access_token")));
        assert_eq!(ask(at, &LOGOUT, json!({}), &[("authorization", &bobs)]).await.http, 200);
        let keys = jwks(&gateway).await;
        gateway.program.signal("TERM");
        assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);

        let gateway = place.gateway();
        let (at, name) = (gateway.address, place.name);
        assert_eq!(jwks(&gateway).await, keys, "{name}");
        assert_eq!(me(at, &[("authorization", &anns)]).await.http, 200, "{name}");
        assert_eq!(me(at, &[("x-api-key", text(&key, "key"))]).await.http, 200, "{name}");
        assert_eq!(me(at, &[("x-api-key", text(&gone, "key"))]).await.http, 401, "{name}");
        let refused = me(at, &[("authorization", &bobs)]).await;
        assert_eq!(
            (refused.http, refused.message.as_str()),
            (401, "the credential has been revoked"),
            "{name}"
        );
        for email in ["ann@x.example", "bob@x.example"] {
            assert_eq!(login(at, email, PASSWORD).await.http, 200, "{name}");
        }
        assert!(!gateway.program.output().contains("an admin was made"), "{name}");
    }
}

/// Registrations from four clients, until the gateway is killed among them: whom it has answered it knows after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_no_registration_that_was_answered() {
    for place in Place::both() {
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        for round in 0..2_u64 {
            let gateway = place.gateway();
            let at = gateway.address;
            let mut clients = tokio::task::JoinSet::new();
            for client in 0..4 {
                let acknowledged = Arc::clone(&acknowledged);
                clients.spawn(async move {
                    for number in 0.. {
                        let email = format!("u{round}-{client}-{number}@x.example");
                        let asked = json!({ "email": email, "username": "u", "password": PASSWORD });
                        let answer = ask(at, &REGISTER, asked, &[]).await;
                        // Past the limit of one address there is nothing more to do.
                        if answer.http != 200 {
                            std::future::pending::<()>().await;
                        }
                        acknowledged.lock().unwrap().insert(email);
                    }
                });
            }
            let before = acknowledged.lock().unwrap().len();
            super::until("some have registered", async || acknowledged.lock().unwrap().len() > before + 4)
                .await;
            tokio::time::sleep(Duration::from_millis(37 * (round + 1))).await;
            gateway.program.signal("KILL");
            // What was answered is counted before the clients are let go.
            tokio::time::sleep(Duration::from_millis(200)).await;
            clients.shutdown().await;
        }
        let gateway = place.gateway();
        let token = bearer(&admin(gateway.address).await);
        let listed = rest(
            gateway.address,
            request(&Method::GET, "/admin/users?page_size=1000", &[("authorization", &token)], ""),
        );
        let listed = good(&listed.await);
        let known: BTreeSet<_> =
            listed["users"].as_array().unwrap().iter().map(|user| text(user, "email").to_owned()).collect();
        let acknowledged = acknowledged.lock().unwrap();
        let lost: Vec<_> = acknowledged.difference(&known).collect();
        assert!(
            lost.is_empty(),
            "{} of {} are lost on {}: {lost:?}",
            lost.len(),
            acknowledged.len(),
            place.name
        );
        assert!(acknowledged.len() >= 10, "{acknowledged:?}");
    }
}
