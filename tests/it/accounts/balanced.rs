//! Two replicas behind a balancer, which is a gateway too: what one has counted, begun or ended holds at the other, and when
//! one is killed only the calls are lost that it had.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::{LOGOUT, Place, ask, bearer, good, me, register, text, until};
use crate::support::{
    client::{request, rest},
    gateway::{TestGateway, World},
};

/// What each account may do on one path in a minute, whichever replica is asked.
const LIMIT: usize = 10;
/// Clients of each kind under load.
const CLIENTS: usize = 4;

/// All of a gateway's own, which the replicas have in its place.
const OWN: [&str; 13] = [
    "index",
    "probes",
    "openapi",
    "docs",
    "redoc",
    "jwks",
    "health",
    "routing",
    "auth",
    "users",
    "admin",
    "grpc_health",
    "reflection",
];

fn replica(place: &Place) -> TestGateway {
    let rules = format!(
        "[rate_limits]\naddress = 0\ntiers = {{ free = 0 }}\n[[rate_limits.rules]]\nmatch = [\"/api/v1/users/stats\"]\ncalls = {LIMIT}\n\
         [access]\ndefault = \"authenticated\"\n"
    );
    place.world(&rules).start()
}

fn balancer(replicas: &[TestGateway; 2]) -> TestGateway {
    let [one, other] = replicas.each_ref().map(|replica| replica.address);
    let off = OWN.map(|own| format!("[builtin.{own}]\nenabled = false\n")).concat();
    let config = format!(
        "[[upstreams]]\nname = \"fleet\"\nhttp = [\"http://{one}\", \"http://{other}\"]\nbalance = \"round_robin\"\n\
         forward_credentials = true\n[[routes]]\nprefix = \"/\"\nupstream = \"fleet\"\n[rate_limits]\nenabled = false\n{off}"
    );
    World::new().with_config(&config).start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_limits_sessions_and_revocations() {
    let Some(place) = Place::shared() else { return };
    let replicas = [replica(&place), replica(&place)];
    let front = balancer(&replicas);
    let token = bearer(text(&register(front.address, "ann@x.example").await, "access_token"));
    let caller = [("authorization", token.as_str())];
    let mut allowed = 0;
    for _ in 0..3 * LIMIT {
        let stats = request(&Method::GET, "/api/v1/users/stats", &caller, "");
        match rest(front.address, stats).await.http {
            200 => allowed += 1,
            429 => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(allowed, LIMIT, "whichever replica counted");
    for replica in &replicas {
        good(&me(replica.address, &caller).await);
    }
    good(&ask(front.address, &LOGOUT, json!({}), &caller).await);
    for replica in &replicas {
        until("the session has ended", async || me(replica.address, &caller).await.http == 401).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_takes_only_its_calls_with_it() {
    let Some(place) = Place::shared() else { return };
    let replicas = [replica(&place), replica(&place)];
    let front = balancer(&replicas);
    let [one, other] = replicas;
    let token = bearer(text(&register(front.address, "ann@x.example").await, "access_token"));
    let (done, calls, lost) =
        (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for number in 0..2 * CLIENTS {
        let (done, calls, lost) = (Arc::clone(&done), Arc::clone(&calls), Arc::clone(&lost));
        let (front, token) = (front.address, token.clone());
        clients.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                // A GET may be sent again; who reads this POST cannot know what a first one has done.
                let http = if number % 2 == 0 {
                    me(front, &[("authorization", &token)]).await.http
                } else {
                    let json = [("content-type", "application/json")];
                    let body = r#"{"refresh_token": "nonsense"}"#;
                    rest(front, request(&Method::POST, "/api/v1/auth/refresh", &json, body)).await.http
                };
                calls.fetch_add(1, Ordering::Relaxed);
                match (number % 2, http) {
                    (0, 200) | (1, 401 | 429) => {}
                    (1, 502..=504) => {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                    (_, other) => panic!("client {number}: {other}"),
                }
            }
        });
    }
    sleep(Duration::from_secs(1)).await;
    let before = calls.load(Ordering::Relaxed);
    drop(one);
    sleep(Duration::from_secs(2)).await;
    done.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let (calls, lost) = (calls.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
    assert!(calls > before + 2 * CLIENTS, "{before} calls before the kill, {calls} in all");
    // Each client has one call at a time, and may write another to a connection that is about to be seen to have died.
    assert!(lost <= 2 * CLIENTS, "{lost} of {calls} calls were lost");
    good(&me(other.address, &[("authorization", &token)]).await);
}
