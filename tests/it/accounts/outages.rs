//! Stores that go and come back: readiness follows them where the config says so, and what is reported of them is true.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};

use super::{
    ADMIN, ADMIN_PASSWORD, LOGOUT, PASSWORD, Place, ask, bearer, good, login, me, register, text, until,
};
use crate::support::{
    client::{Outcome, frames, grpc, request, rest},
    gateway::TestGateway,
    library::PATIENCE,
};

async fn get(at: SocketAddr, path: &str) -> Outcome {
    rest(at, request(&Method::GET, path, &[], "")).await
}

/// HTTP status and text of the probe, and what grpc.health.v1 says of the whole.
async fn ready(at: SocketAddr) -> (u16, String, bool) {
    let response = crate::support::client::http1(at, request(&Method::GET, "/readyz", &[], "")).await;
    let status = response.status().as_u16();
    let text = String::from_utf8_lossy(&response.into_body().0).into_owned();
    let body = frames("grpc.health.v1.HealthCheckRequest", &["{}"]);
    let path = "/grpc.health.v1.Health/Check";
    let serving = grpc(at, path, &[], body, "grpc.health.v1.HealthCheckResponse").await;
    (status, text, serving.messages[0]["status"] == "SERVING")
}

async fn health(at: SocketAddr) -> (u16, Value) {
    let answer = crate::support::client::http1(at, request(&Method::GET, "/health", &[], "")).await;
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.into_body().0).unwrap())
}

fn lines(gateway: &TestGateway, words: &str) -> usize {
    gateway.program.output().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_decide_readiness_only_where_the_config_says_so() {
    for required in [true, false] {
        let Some(mut place) = Place::shared() else { return };
        let quick = "timeout = \"1s\"\nconnect_timeout = \"500ms\"\n";
        let more = format!("ready = {required}\n{quick}[health]\nchecks = [\"server\"]\n");
        let gateway = place.world(&more).start();
        let at = gateway.address;
        let up = async || ready(at).await == (200, "ready\n".to_owned(), true);
        until("it is ready", up).await;
        let (status, body) = health(at).await;
        assert_eq!((status, &body["status"]), (200, &"healthy".into()), "{body}");
        for store in ["database", "redis"] {
            let found = &body["services"][store];
            assert_eq!(found["status"], "up", "{body}");
            assert!(found["latency_ms"].as_f64().is_some_and(|time| time > 0.0 && time < 10_000.0), "{body}");
        }
        for (number, store) in ["database", "redis"].into_iter().enumerate() {
            place.servers[number].kill();
            let down = async || health(at).await.1["services"][store]["status"] == "down";
            until("it is known to be down", down).await;
            if required {
                let away = (503, "a store cannot be reached\n".to_owned(), false);
                until("it is not ready", async || ready(at).await == away).await;
            } else {
                assert!(up().await, "{store} is away, and it does not matter");
            }
            let (status, body) = health(at).await;
            let want = if required { (503, "unhealthy") } else { (200, "degraded") };
            assert_eq!((status, body["status"].as_str().unwrap()), want, "{body}");
            assert!(body["services"][store]["latency_ms"].is_null(), "{body}");
            let refused = login(at, ADMIN, ADMIN_PASSWORD).await;
            // Without Redis each counts its own.
            assert_eq!(refused.http, if store == "database" { 503 } else { 200 }, "{refused:?}");
            assert_eq!(refused.headers.contains_key("retry-after"), store == "database", "{refused:?}");
            assert_eq!(get(at, "/ping").await.http, 200, "what needs no store is answered");
            place.servers[number].start();
            until("it is ready again", async || up().await && health(at).await.1["status"] == "healthy")
                .await;
            assert_eq!(login(at, ADMIN, ADMIN_PASSWORD).await.http, 200);
        }
        // Each change is told once.
        assert_eq!(lines(&gateway, "the store cannot be reached"), 2, "{}", gateway.program.output());
        assert_eq!(lines(&gateway, "the store is back"), 2, "{}", gateway.program.output());
        let times = if required { 2 } else { 0 };
        assert_eq!(lines(&gateway, "no calls are taken until"), times, "{}", gateway.program.output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_its_store_starts_and_is_not_ready() {
    let Some(mut place) = Place::shared() else { return };
    place.servers[0].kill();
    let gateway = place.world("ready = true\n").start();
    assert_eq!(ready(gateway.address).await, (503, "a store cannot be reached\n".to_owned(), false));
    place.servers[0].start();
    until("it is ready", async || ready(gateway.address).await.0 == 200).await;
    // The admin that it could not make at the start is there.
    until("the admin is made", async || login(gateway.address, ADMIN, ADMIN_PASSWORD).await.http == 200)
        .await;
}

/// Quick to notice that the database is away; `secret`: its tokens are signed by a secret of the config's.
fn start(place: &Place, secret: bool) -> TestGateway {
    let world = place.world("timeout = \"1s\"\nconnect_timeout = \"500ms\"\n");
    if !secret {
        return world.start();
    }
    world.with_variable("JWT_SECRET_KEY", "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv").start()
}

/// A gateway that starts while its database is away neither takes what was revoked before, nor calls a good token bad.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_the_database_forgets_no_revocation() {
    for secret in [true, false] {
        let Some(mut place) = Place::shared() else { return };
        let mut gateway = start(&place, secret);
        let made = register(gateway.address, "ann@x.example").await;
        let other = good(&login(gateway.address, "ann@x.example", PASSWORD).await);
        let (fine, gone) = (bearer(text(&made, "access_token")), bearer(text(&other, "access_token")));
        let (fine, gone) = ([("authorization", fine.as_str())], [("authorization", gone.as_str())]);
        assert_eq!(ask(gateway.address, &LOGOUT, json!({}), &gone).await.http, 200);
        gateway.program.signal("TERM");
        assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
        place.servers[0].kill();
        let gateway = start(&place, secret);
        let at = gateway.address;
        for token in [&fine, &gone] {
            let refused = me(at, token).await;
            assert_eq!(refused.http, 503, "{secret}: {refused:?}");
            assert!(refused.headers.contains_key("retry-after"), "{secret}: {refused:?}");
        }
        place.servers[0].start();
        until("a good token is taken again", async || me(at, &fine).await.http == 200).await;
        assert_eq!(me(at, &gone).await.http, 401, "{secret}");
        place.servers[0].kill();
        let words = "what other gateways revoke is not heard of";
        until("it is told that nothing is heard", async || lines(&gateway, words) == 1).await;
        assert_eq!((me(at, &fine).await.http, me(at, &gone).await.http), (200, 401), "{secret}");
    }
}
