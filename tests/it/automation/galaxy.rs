//! The catalogue before a stand-in for Galaxy: ready at the start, complete after a while, and of use while Galaxy is slow, fails,
//! wants to be left alone or answers garbage.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, ADMIN_PASSWORD, token};
use crate::support::{
    client::{Outcome, request, rest},
    galaxy::{self, Mode, StandIn},
    gateway::{TestGateway, World},
};

/// A gateway before a stand-in, on SQLite; `more` are lines of `[galaxy]`.
fn world(galaxy: &StandIn, more: &str) -> World {
    World::new()
        .with_config("[store]\ndatabase = \"sqlite:galaxy.db\"\n[rate_limits]\nenabled = false\n")
        .with_config(&format!("[galaxy]\nurl = \"{}\"\n{more}\n", galaxy.url()))
        .with_variable("ADMIN_EMAIL", ADMIN)
        .with_variable("ADMIN_PASSWORD", ADMIN_PASSWORD)
}

async fn admin(gateway: &TestGateway) -> String {
    token(gateway.address, "/api/v1/auth/login", &json!({"email": ADMIN, "password": ADMIN_PASSWORD})).await
}

async fn get(gateway: &TestGateway, path: &str, token: &str) -> Outcome {
    let headers = [("authorization", token)];
    rest(gateway.address, request(&Method::GET, path, &headers, "")).await
}

async fn until_complete(gateway: &TestGateway, token: &str) -> Value {
    let began = Instant::now();
    loop {
        let stats = get(gateway, "/admin/stats", token).await.messages[0]["galaxy"].clone();
        if stats["phase"] == "complete" {
            return stats;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{stats}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn popular() -> String {
    format!("popular = {}", json!(galaxy::POPULAR))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_popular_is_ready_all_else_comes_and_a_restart_goes_on() {
    let galaxy = StandIn::start().await;
    let world = world(&galaxy, &format!("{}\nbackground = true\nrate = 10", popular()));
    let command = world.command();
    let gateway = world.start();
    let token = admin(&gateway).await;
    // Level one: nobody is asked any more.
    for name in galaxy::POPULAR {
        let before = galaxy.asked(&format!("={name}"));
        let known = get(&gateway, &format!("/api/galaxy/namespaces/{name}"), &token).await;
        assert_eq!((known.http, &known.messages[0]["collection_count"]), (200, &json!(12)), "{name}");
        assert_eq!((before, galaxy.asked(&format!("={name}"))), (2, 2), "{name}");
    }
    galaxy.forget();
    // Level two: told step by step, while calls are served.
    let lines = [("authorization", &*token), ("accept", "application/x-ndjson")];
    let watching =
        tokio::spawn(rest(gateway.address, request(&Method::GET, "/api/galaxy/progress", &lines, "")));
    let one = get(&gateway, "/api/galaxy/namespaces/rare_ns", &token).await;
    assert_eq!(one.http, 200, "{one:?}");
    let stats = until_complete(&gateway, &token).await;
    assert_eq!((&stats["total"], &stats["done"], &stats["failed"]), (&json!(50), &json!(50), &json!(0)));
    let steps = watching.await.unwrap().messages;
    let done: Vec<i64> = steps.iter().map(|step| step["done"].as_i64().unwrap()).collect();
    assert!(steps.len() > 3 && done.is_sorted(), "{done:?}");
    assert_eq!(steps.last().unwrap()["phase"], "complete");
    let all = get(&gateway, "/api/galaxy/namespaces", &token).await.messages[0].clone();
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, galaxy::names());
    let some = get(&gateway, "/api/galaxy/namespaces?skip=48&limit=5", &token).await;
    assert_eq!(some.messages[0].as_array().unwrap().len(), 2);
    let rate = galaxy.most_in_a_second();
    assert!(rate <= 30, "{rate}: two of each, beside the list and what was asked for");
    // A process that begins goes on where this one was.
    galaxy.forget();
    let mut again = command;
    again.current_dir(gateway.folder());
    let folder = gateway.folder().to_owned();
    let again = gateway.again(again);
    let stats = until_complete(&again, &admin(&again).await).await;
    assert_eq!((&stats["total"], &stats["done"]), (&json!(50), &json!(50)), "{}", folder.display());
    assert_eq!(galaxy.asked("?name="), 0, "only the list is read again: {:?}", galaxy.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_ask_once() {
    let galaxy = StandIn::start().await;
    galaxy.become_(Mode::Slow(Duration::from_millis(300)));
    let gateway = world(&galaxy, "").start();
    let token = admin(&gateway).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let headers = [("authorization", &*token)];
        asking.spawn(rest(
            gateway.address,
            request(&Method::GET, "/api/galaxy/namespaces/rare_ns", &headers, ""),
        ));
    }
    while let Some(known) = asking.join_next().await {
        assert_eq!(known.unwrap().messages[0]["name"], "rare_ns");
    }
    assert_eq!(galaxy.seen().len(), 2, "{:?}", galaxy.seen());
    // What there is not is asked for once a minute.
    for _ in 0..3 {
        let none = get(&gateway, "/api/galaxy/namespaces/does_not_exist", &token).await;
        assert_eq!((none.http, none.code), (404, 5), "{none:?}");
    }
    assert_eq!(galaxy.seen().len(), 4, "{:?}", galaxy.seen());
    // What can be no name is asked for never.
    for bad in ["..%2Fadmin", "a.b", "x%3Fy"] {
        let none = get(&gateway, &format!("/api/galaxy/namespaces/{bad}"), &token).await;
        assert!(matches!(none.http, 400 | 404), "{bad}: {none:?}");
    }
    assert_eq!(galaxy.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_versions_modules_and_their_docs() {
    let galaxy = StandIn::start().await;
    let gateway = world(&galaxy, "").start();
    let token = admin(&gateway).await;
    let json = async |path: &str| {
        let came = get(&gateway, &format!("/api/galaxy/{path}"), &token).await;
        assert_eq!(came.http, 200, "{path}: {came:?}");
        came.messages[0].clone()
    };
    let collections = json("namespaces/community/collections").await;
    assert_eq!((collections.as_array().unwrap().len(), &collections[2]["is_deprecated"]), (12, &json!(true)));
    assert_eq!(collections[11]["latest_version"], "1.24.0");
    let versions = json("collections/community/general/versions").await;
    assert_eq!((versions.as_array().unwrap().len(), &versions[0]["version"]), (25, &json!("1.24.0")));
    assert_eq!(versions[0]["requires_ansible"], ">=2.15.0");
    let modules = json("collections/community/general/modules").await;
    let names: Vec<&str> =
        modules.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alternatives", "bare", "ufw"]);
    let ufw = json("collections/community/general/modules/ufw?version=1.24.0").await;
    assert_eq!(ufw["full_name"], "community.general.ufw");
    assert_eq!(ufw["options"][0]["choices"], json!(["enabled", "disabled"]));
    assert_eq!(
        (&ufw["options"][1]["default_value"], &ufw["return_values"][0]["name"]),
        (&json!(3), &json!("msg"))
    );
    assert!(ufw["examples"].as_str().unwrap().contains("state: enabled"));
    for (path, http) in [
        ("collections/community/general/modules/nope", 404),
        ("collections/community/nope/modules", 404),
        ("collections/community/general/modules?version=..%2F..", 400),
    ] {
        assert_eq!(get(&gateway, &format!("/api/galaxy/{path}"), &token).await.http, http, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_stays_known_whatever_galaxy_does() {
    let galaxy = StandIn::start().await;
    let gateway = world(&galaxy, "cache_ttl = \"1s\"\ntimeout = \"500ms\"").start();
    let token = admin(&gateway).await;
    let known = get(&gateway, "/api/galaxy/namespaces/community", &token).await;
    assert_eq!((known.http, &known.messages[0]["is_stale"]), (200, &json!(false)));
    tokio::time::sleep(Duration::from_millis(1300)).await;
    for mode in [
        Mode::Slow(Duration::from_secs(5)),
        Mode::Status(500),
        Mode::Garbage,
        Mode::Html,
        Mode::Close,
        Mode::Loop,
    ] {
        galaxy.become_(mode.clone());
        let began = Instant::now();
        let old = get(&gateway, "/api/galaxy/namespaces/community", &token).await;
        assert_eq!((old.http, &old.messages[0]["is_stale"]), (200, &json!(true)), "{mode:?}: {old:?}");
        // Nobody waits for what is asked meanwhile.
        assert!(began.elapsed() < Duration::from_millis(450), "{mode:?}: {:?}", began.elapsed());
        let new = get(&gateway, "/api/galaxy/namespaces/rare_ns", &token).await;
        assert_eq!((new.http, new.code), (503, 14), "{mode:?}: {new:?}");
        assert!(new.headers.contains_key("retry-after"), "{mode:?}: {new:?}");
        // Whoever calls is told nothing of where Galaxy is.
        assert!(!new.message.contains("127.0.0.1"), "{mode:?}: {new:?}");
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    galaxy.become_(Mode::Good);
    let new = get(&gateway, "/api/galaxy/namespaces/rare_ns", &token).await;
    assert_eq!(new.http, 200, "{new:?}");
    let began = Instant::now();
    while get(&gateway, "/api/galaxy/namespaces/community", &token).await.messages[0]["is_stale"] == true {
        assert!(began.elapsed() < Duration::from_secs(10), "it is never new again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_is_gone_when_galaxy_has_said_so_twice() {
    let galaxy = StandIn::start().await;
    let gateway = world(&galaxy, "cache_ttl = \"1s\"").start();
    let token = admin(&gateway).await;
    let look = async || get(&gateway, "/api/galaxy/namespaces/community", &token).await.http;
    // What is old is asked for by who looks, and what comes of it is seen by who looks again.
    let twice = async || {
        tokio::time::sleep(Duration::from_millis(1300)).await;
        let first = look().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        [first, look().await]
    };
    assert_eq!(look().await, 200);
    for (mode, want) in [
        (Mode::Status(404), [200, 200]),
        // It was a mistake of somebody on the way, and is forgotten.
        (Mode::Good, [200, 200]),
        (Mode::Status(404), [200, 200]),
        (Mode::Status(404), [200, 404]),
    ] {
        galaxy.become_(mode.clone());
        assert_eq!(twice().await, want, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_popular_comes_in_when_galaxy_answers() {
    let galaxy = StandIn::start().await;
    galaxy.become_(Mode::Status(500));
    let gateway = world(&galaxy, &popular()).start();
    let token = admin(&gateway).await;
    let listed = async || get(&gateway, "/api/galaxy/namespaces?limit=100", &token).await.messages[0].clone();
    let count = |listed: &Value| listed.as_array().map_or(0, Vec::len);
    assert_eq!(count(&listed().await), 0);
    galaxy.become_(Mode::Good);
    let began = Instant::now();
    while count(&listed().await) < galaxy::POPULAR.len() {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", listed().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn galaxy_is_left_alone_for_as_long_as_it_says() {
    let galaxy = StandIn::start().await;
    galaxy.become_(Mode::Limited { answers: 1, seconds: 2 });
    let gateway = world(&galaxy, "background = true\nrate = 50").start();
    let token = admin(&gateway).await;
    let early = get(&gateway, "/api/galaxy/namespaces/rare_ns", &token).await;
    assert_eq!((early.http, early.code), (503, 14), "{early:?}");
    let after: u64 = early.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&after), "{after}");
    let stats = until_complete(&gateway, &token).await;
    assert_eq!((&stats["done"], &stats["failed"]), (&json!(50), &json!(0)));
    let seen = galaxy.seen();
    let gap = seen[1].0.duration_since(seen[0].0);
    assert!(gap >= Duration::from_millis(1900), "asked again after {gap:?}");
}

/// A few that cannot be read do not keep the others from being read.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_and_passed_over() {
    let galaxy = StandIn::start().await;
    galaxy.become_(Mode::GarbageOf("other_07"));
    let gateway = world(&galaxy, "background = true\nrate = 100").start();
    let stats = until_complete(&gateway, &admin(&gateway).await).await;
    assert_eq!((&stats["total"], &stats["done"], &stats["failed"]), (&json!(50), &json!(49), &json!(1)));
}
