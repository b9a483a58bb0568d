//! The rules of `[[upstreams]]` one by one: what each says, before instances of which little is needed to see it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use tokio::time::sleep;

use super::{
    Fleet, addresses,
    instance::{Instance, Mode, Speaks},
    some,
};
use crate::support::{
    client::{Outcome, frames, grpc, grpc_web, http1, request, rest},
    gateway::{TestGateway, World},
    library::PATIENCE,
};

const GET: &str = "/library.v1.Library/GetBook";
const CREATE: &str = "/library.v1.Library/CreateBook";

impl Fleet {
    async fn get(&self, path: &str) -> Outcome {
        rest(self.gateway.address, request(&Method::GET, path, &[], "")).await
    }

    async fn call(&self, path: &str) -> Outcome {
        let message = if path == GET { "library.v1.GetBookRequest" } else { "library.v1.CreateBookRequest" };
        grpc(self.gateway.address, path, &[], frames(message, &["{}"]), "library.v1.Book").await
    }
}

/// A gateway before instances that speak HTTP, at `/plain`.
fn before(instances: &[Instance], lines: &str) -> TestGateway {
    let config = format!(
        r#"
        [[upstreams]]
        name = "plain"
        http = [{}]
        {lines}
        [[routes]]
        path = "/plain/{{rest=**}}"
        upstream = "plain"
        "#,
        addresses(instances)
    );
    World::new().with_config(&config).start()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_upstream_that_asks_for_time_gets_it() {
    let mut fleet =
        Fleet::start(1, "retry = { attempts = 2, max_backoff = \"1500ms\" }\nbreaker = { enabled = false }")
            .await;
    let after = |header, value| Mode::Unavailable(vec![(header, value)]);
    let rows = [
        // The second time comes when it was asked for, or never: then the answer goes back as it is.
        (after("retry-after", "1"), after("grpc-retry-pushback-ms", "1000"), 2, 1000),
        (after("retry-after", "30"), after("grpc-retry-pushback-ms", "30000"), 1, 0),
        (after("retry-after", "30"), after("grpc-retry-pushback-ms", "-1"), 1, 0),
        (Mode::Unavailable(vec![]), Mode::Unavailable(vec![]), 2, 0),
    ];
    for (http, grpc, calls, least) in rows {
        let [of_grpc, of_http] = fleet.first();
        of_grpc.becomes(grpc.clone());
        of_http.becomes(http.clone());
        let before = (of_grpc.calls(), of_http.calls());
        let begun = Instant::now();
        let plain = fleet.get("/plain/a").await;
        let took = begun.elapsed();
        assert_eq!(
            (plain.http, &plain.headers["content-length"]),
            (503, &"7".parse().unwrap()),
            "{http:?}: {plain:?}"
        );
        let begun = Instant::now();
        let called = fleet.call(GET).await;
        let both = took.min(begun.elapsed());
        assert_eq!((called.code, called.message.as_str()), (14, "not now"), "{grpc:?}");
        assert!(both >= Duration::from_millis(least), "{http:?} {grpc:?}: {both:?}");
        let [of_grpc, of_http] = fleet.first();
        assert_eq!(
            (of_grpc.calls() - before.0, of_http.calls() - before.1),
            (calls, calls),
            "{http:?} {grpc:?}"
        );
        if let Mode::Unavailable(headers) = &http
            && let [(name, value)] = headers.as_slice()
        {
            assert_eq!(plain.headers[*name], *value);
        }
    }
    // What may not be repeated is sent once.
    let before = fleet.grpc[0].calls();
    assert_eq!(fleet.call(CREATE).await.code, 14);
    assert_eq!(fleet.grpc[0].calls() - before, 1);
}

#[tokio::test]
async fn the_breaker_opens_and_closes_over_every_surface() {
    let mut fleet = Fleet::start(1, "breaker = { open = \"1s\" }").await;
    assert_eq!((fleet.get("/plain/a").await.http, fleet.call(GET).await.code), (200, 0));
    for instance in fleet.first() {
        instance.kill().await;
    }
    for _ in 0..5 {
        let (plain, called) = (fleet.get("/plain/a").await, fleet.call(CREATE).await);
        assert_eq!((plain.http, called.code), (503, 14), "{plain:?} {called:?}");
    }
    let address = fleet.gateway.address;
    let body = || frames("library.v1.GetBookRequest", &["{}"]);
    let refused = [
        fleet.get("/plain/a").await,
        fleet.get("/v1/shelves/1/books/2").await,
        fleet.call(GET).await,
        grpc_web(address, false, GET, &[], body(), "library.v1.Book").await,
    ];
    for outcome in refused {
        assert_eq!(outcome.code, 14, "{outcome:?}");
        let words = [
            "upstream \"",
            "is not called now",
            "5 calls failed one after the other",
            "refused the connection",
        ];
        for words in words {
            assert!(outcome.message.contains(words), "{words}: {outcome:?}");
        }
        if outcome.http == 503 {
            assert_eq!(outcome.headers["retry-after"], "1", "{outcome:?}");
        }
    }
    for instance in fleet.first() {
        instance.revive().await;
    }
    sleep(Duration::from_millis(1_000)).await;
    for _ in 0..10 {
        let (plain, called) = (fleet.get("/plain/a").await, fleet.call(CREATE).await);
        assert_eq!((plain.http, called.code), (200, 0), "{plain:?} {called:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_fails_every_call_is_not_asked_three_times_for_each() {
    let fleet = Fleet::start(3, "breaker = { enabled = false }").await;
    for instance in fleet.grpc.iter().chain(&fleet.http) {
        instance.becomes(Mode::Unavailable(vec![]));
    }
    for _ in 0..40 {
        let calls = (0..10).map(async |_| (fleet.get("/plain/a").await.http, fleet.call(GET).await.code));
        assert!(join_all(calls).await.iter().all(|outcome| *outcome == (503, 14)));
    }
    // A fifth of 400, of each upstream; a few more if it takes long.
    for instances in [&fleet.grpc, &fleet.http] {
        let calls: usize = instances.iter().map(Instance::calls).sum();
        assert!((430..=510).contains(&calls), "{calls}");
    }
}

#[tokio::test]
async fn a_route_has_rules_of_its_own_about_what_is_sent_again() {
    let (library, http) = (some(1, Speaks::Grpc).await, some(1, Speaks::Http).await);
    let config = format!(
        r#"
        [[upstreams]]
        name = "library"
        grpc = [{}]
        descriptors = "library.binpb"
        breaker = {{ enabled = false }}
        [[upstreams]]
        name = "plain"
        http = [{}]
        breaker = {{ enabled = false }}
        [[routes]]
        path = "/plain/{{rest=**}}"
        upstream = "plain"
        [[routes]]
        prefix = "/once"
        upstream = "plain"
        retry = {{ attempts = 1 }}
        [[routes]]
        prefix = "/any"
        upstream = "plain"
        retry = {{ repeatable = true, attempts = 2 }}
        [[routes]]
        prefix = "/other"
        upstream = "plain"
        retry = {{ statuses = [500] }}
        [[routes]]
        service = "library.v1.*"
        retry = {{ attempts = 2, codes = ["ABORTED"] }}
        [[routes]]
        service = "library.v1.Library"
        retry = {{ codes = ["UNAVAILABLE"] }}
        [[routes]]
        service = "library.v1.Library/CreateBook"
        retry = {{ repeatable = true, attempts = 4, backoff = "1ms" }}
        [[routes]]
        service = "library.v1.Library/GetBook"
        headers = {{ x-once = "*" }}
        retry = {{ repeatable = false }}
        "#,
        addresses(&library),
        addresses(&http),
    );
    let world = World::new().with_file("library.binpb", &crate::support::library::DESCRIPTORS);
    let gateway = world.with_config(&config).start();
    library[0].becomes(Mode::Unavailable(vec![]));
    http[0].becomes(Mode::Unavailable(vec![]));
    for (method, path, times) in [
        (Method::GET, "/plain/a", 3),
        (Method::POST, "/plain/a", 1),
        (Method::GET, "/once/a", 1),
        (Method::GET, "/any/a", 2),
        (Method::POST, "/any/a", 2),
        (Method::GET, "/other/a", 1),
    ] {
        let before = http[0].calls();
        let answer = rest(gateway.address, request(&method, path, &[], "")).await;
        assert_eq!((answer.http, http[0].calls() - before), (503, times), "{method} {path}: {answer:?}");
        // Three a second always may be sent again, and few more of so few calls.
        sleep(Duration::from_millis(1100)).await;
    }
    for (path, headers, times) in [(GET, &[][..], 2), (GET, &[("x-once", "1")][..], 1), (CREATE, &[][..], 4)]
    {
        let (before, message) = (
            library[0].calls(),
            if path == GET { "library.v1.GetBookRequest" } else { "library.v1.CreateBookRequest" },
        );
        let called = grpc(gateway.address, path, headers, frames(message, &["{}"]), "library.v1.Book").await;
        assert_eq!((called.code, library[0].calls() - before), (14, times), "{path} {headers:?}: {called:?}");
        sleep(Duration::from_millis(1100)).await;
    }
}

#[tokio::test]
async fn what_was_never_sent_goes_elsewhere_whatever_it_is() {
    let mut fleet = Fleet::start(3, "retry = { attempts = 1 }").await;
    for instance in fleet.first() {
        instance.kill().await;
    }
    for _ in 0..30 {
        let post = request(&Method::POST, "/plain/a", &[], "{}");
        let posted = rest(fleet.gateway.address, post).await;
        assert_eq!((posted.http, fleet.call(CREATE).await.code), (200, 0), "{posted:?}");
    }
    // Where nobody is, it is said whom was tried.
    for instance in fleet.grpc.iter_mut().chain(&mut fleet.http) {
        instance.kill().await;
    }
    let nobody = fleet.get("/plain/b").await;
    assert_eq!(nobody.http, 503);
    assert!(nobody.message.starts_with("3 attempts: upstream \"plain\" ("), "{nobody:?}");
    for instance in &fleet.http {
        assert!(
            nobody.message.contains(&format!("({}) refused the connection", instance.name())),
            "{nobody:?}"
        );
    }
}

#[tokio::test]
async fn too_many_calls_wait_for_a_while_and_are_turned_away() {
    let fleet = Fleet::start(1, "limits = { requests = 2, waiting = 1, wait = \"10s\" }").await;
    for instance in fleet.grpc.iter().chain(&fleet.http) {
        instance.becomes(Mode::Slow(Duration::from_millis(500)));
    }
    let plain = join_all((0..6).map(|_| fleet.get("/plain/a"))).await;
    let called = join_all((0..6).map(|_| fleet.call(CREATE))).await;
    for (outcomes, fine) in [(&plain, 200), (&called, 200)] {
        let (went, turned): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|outcome| outcome.code == 0 && outcome.http == fine);
        assert_eq!((went.len(), turned.len()), (3, 3), "{outcomes:?}");
        for outcome in turned {
            assert_eq!(outcome.code, 14, "{outcome:?}");
            assert!(outcome.message.contains("is busy: it has 2 calls"), "{outcome:?}");
            assert!(outcome.http != 503 || outcome.headers.contains_key("retry-after"), "{outcome:?}");
        }
    }
    // Their places are free again.
    assert_eq!((fleet.get("/plain/a").await.http, fleet.call(GET).await.code), (200, 0));
}

#[tokio::test]
async fn the_same_key_goes_to_the_same_endpoint() {
    let mut instances = some(3, Speaks::Http).await;
    let gateway = before(&instances, "balance = \"hash\"\nhash_by = \"header:x-tenant\"");
    let who = async |key: &str| {
        let answer = rest(gateway.address, request(&Method::GET, "/plain/a", &[("x-tenant", key)], "")).await;
        answer.messages[0]["name"].as_str().unwrap().to_owned()
    };
    let mut homes = Vec::new();
    for key in 0..20 {
        let home = who(&key.to_string()).await;
        assert_eq!(who(&key.to_string()).await, home);
        homes.push(home);
    }
    assert_eq!(homes.iter().collect::<BTreeSet<_>>().len(), 3, "{homes:?}");
    let gone = instances[0].name().to_owned();
    instances[0].kill().await;
    for (key, home) in homes.iter().enumerate() {
        let now = who(&key.to_string()).await;
        assert!(now != gone && (now == *home || *home == gone), "{key}: {home}, then {now}");
    }
}

#[tokio::test]
async fn endpoints_that_say_they_are_not_well_are_left_alone() {
    for (speaks, lines) in [
        (
            Speaks::Http,
            "health = { path = \"/health\", interval = \"50ms\", healthy_after = 1, unhealthy_after = 1 }",
        ),
        (
            Speaks::Http2,
            "http2 = true\nhealth = { path = \"/health\", interval = \"50ms\", unhealthy_after = 1 }",
        ),
        (
            Speaks::Http,
            "health = { kind = \"tcp\", interval = \"50ms\", healthy_after = 1, unhealthy_after = 1 }",
        ),
    ] {
        let mut instances = some(2, speaks).await;
        let gateway = before(&instances, lines);
        let name = instances[0].name().to_owned();
        let asked = async || {
            let answers = join_all((0..20).map(async |_| {
                let answer = rest(gateway.address, request(&Method::GET, "/plain/a", &[], "")).await;
                answer.messages[0]["name"].as_str().map(str::to_owned)
            }));
            answers.await.into_iter().filter(|answer| answer.as_deref() == Some(&name)).count()
        };
        assert!(asked().await > 0);
        if lines.contains("tcp") {
            instances[0].kill().await;
        } else {
            // It would answer calls, late; but it says that it is not well.
            instances[0].becomes(Mode::Slow(Duration::ZERO));
        }
        until("left alone", async || asked().await == 0).await;
        instances[0].revive().await;
        until("called again", async || asked().await > 0).await;
    }
}

#[tokio::test]
async fn endpoints_are_asked_by_grpc_health_and_listened_to() {
    let health = "health = { interval = \"1h\", timeout = \"5s\" }";
    let fleet = Fleet::start_grpc(2, health).await;
    until("asked and watched", async || fleet.grpc.iter().all(|instance| instance.checks() == 2)).await;
    let asked = async || {
        let before = fleet.grpc[0].calls();
        for _ in 0..10 {
            assert_eq!(fleet.call(GET).await.code, 0);
        }
        fleet.grpc[0].calls() - before
    };
    until("called", async || asked().await > 0).await;
    // The next asking would be in an hour: what it says by itself counts.
    fleet.grpc[0].becomes(Mode::Slow(Duration::ZERO));
    until("left alone", async || asked().await == 0).await;
    fleet.grpc[0].becomes(Mode::Fine);
    until("called again", async || asked().await > 0).await;
}

#[tokio::test]
async fn an_upstream_may_speak_http2() {
    let mut instances = some(2, Speaks::Http2).await;
    let gateway = before(&instances, "http2 = true");
    let long = Bytes::from(vec![b'x'; 300_000]);
    for (method, body) in [(Method::GET, Bytes::new()), (Method::POST, long), (Method::PUT, "{}".into())] {
        let length = body.len();
        let headers = [("x-a", "1"), ("connection", "x-hop"), ("x-hop", "1"), ("te", "trailers")];
        let answers =
            (0..10).map(|_| http1(gateway.address, request(&method, "/plain/a?b=c", &headers, body.clone())));
        for answer in join_all(answers).await {
            let json: serde_json::Value = serde_json::from_slice(&answer.body().0).unwrap();
            assert_eq!((answer.status().as_u16(), &json["length"]), (200, &length.into()), "{json}");
        }
    }
    for instance in &instances {
        for (uri, headers) in instance.take_seen() {
            assert_eq!(uri, format!("http://{}/plain/a?b=c", instance.address));
            assert_eq!((headers["x-a"].to_str().unwrap(), headers.get("x-hop")), ("1", None));
            assert_eq!((headers.get("host"), headers.get("connection")), (None, None));
        }
        // Streams share connections: one for each of the workers is enough.
        assert!((1..=4).contains(&instance.connections()), "{}", instance.connections());
    }
    instances[0].kill().await;
    for _ in 0..10 {
        let answer = rest(gateway.address, request(&Method::POST, "/plain/a", &[], "{}")).await;
        assert_eq!(answer.http, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn each_wait_has_its_limit_and_its_name() {
    let lines = "first_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nretry = { attempts = 1 }";
    let fleet = Fleet::start(1, lines).await;
    for instance in fleet.grpc.iter().chain(&fleet.http) {
        instance.becomes(Mode::Slow(Duration::from_secs(60)));
    }
    let begun = Instant::now();
    for (outcome, http) in [(fleet.get("/plain/a").await, 504), (fleet.call(CREATE).await, 200)] {
        assert_eq!((outcome.http, outcome.code), (http, 4), "{outcome:?}");
        let words = "did not begin to answer within 300ms (first_byte_timeout)";
        assert!(outcome.message.contains(words), "{outcome:?}");
    }
    for instance in fleet.grpc.iter().chain(&fleet.http) {
        instance.becomes(Mode::Stalls);
    }
    let rest = fleet.get("/v1/shelves/1/books/2").await;
    let outcomes = [(fleet.get("/plain/a").await, 504), (rest, 504), (fleet.call(CREATE).await, 200)];
    for (outcome, http) in outcomes {
        assert_eq!((outcome.http, outcome.code), (http, 4), "{outcome:?}");
        assert!(outcome.message.contains("paused in its answer for 300ms (idle_timeout)"), "{outcome:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Of several tries each is told.
    let tries = Fleet::start(2, "retry = { per_try_timeout = \"200ms\" }").await;
    for instance in tries.grpc.iter().chain(&tries.http) {
        instance.becomes(Mode::BlackHole);
    }
    for (outcome, http) in [(tries.get("/plain/a").await, 504), (tries.call(GET).await, 200)] {
        assert_eq!((outcome.http, outcome.code), (http, 4), "{outcome:?}");
        // Over HTTP/2 it is the connection that is waited for; each endpoint's once.
        let attempts = if http == 504 { "3 attempts: upstream \"" } else { "2 attempts: upstream \"" };
        assert!(outcome.message.starts_with(attempts), "{outcome:?}");
        assert!(outcome.message.contains("within 200ms (retry.per_try_timeout)"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_retry_is_told_what_is_left_of_the_time() {
    let mut fleet = Fleet::start(1, "retry = { attempts = 2 }").await;
    fleet.first()[0].becomes(Mode::Unavailable(vec![("grpc-retry-pushback-ms", "700")]));
    let headers = [("grpc-timeout", "3000m")];
    let body = frames("library.v1.GetBookRequest", &["{}"]);
    let outcome = grpc(fleet.gateway.address, GET, &headers, body, "library.v1.Book").await;
    assert_eq!(outcome.code, 14, "{outcome:?}");
    let told: Vec<u64> = fleet.grpc[0]
        .take_seen()
        .iter()
        .map(|(_, headers)| headers["grpc-timeout"].to_str().unwrap().trim_end_matches('m').parse().unwrap())
        .collect();
    let [first, second] = told.as_slice() else { panic!("{told:?}") };
    assert!(*first <= 3000 && *second <= first - 700 && *second > 1000, "{told:?}");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_an_upstream() {
    let fleet = Fleet::start(2, "breaker = { open = \"1h\" }").await;
    assert_eq!(fleet.call(GET).await.code, 0);
    for instance in &fleet.grpc {
        instance.becomes(Mode::Unavailable(vec![]));
    }
    until("open", async || fleet.call(CREATE).await.message.contains("is not called now")).await;
    let text = std::fs::read_to_string(fleet.gateway.config()).unwrap();
    let connections: usize = fleet.grpc.iter().map(Instance::connections).sum();
    fleet.gateway.rewrite(&format!("{text}\n[rest]\ntitle = \"Other\"\n"));
    let title = async || {
        let answer = http1(fleet.gateway.address, request(&Method::GET, "/openapi.json", &[], "")).await;
        String::from_utf8_lossy(&answer.body().0).contains("Other")
    };
    until("reloaded", title).await;
    assert!(fleet.call(CREATE).await.message.contains("is not called now"));
    assert_eq!(fleet.grpc.iter().map(Instance::connections).sum::<usize>(), connections);
    // With other rules it begins anew.
    fleet.gateway.rewrite(&text.replace("1h", "2h"));
    until("anew", async || fleet.call(CREATE).await.message == "not now").await;
}

#[tokio::test]
async fn a_name_is_as_many_endpoints_as_it_has_addresses() {
    let instance = Instance::start(Speaks::Grpc).await;
    let port = instance.address.port();
    let config = "[[upstreams]]\nname = \"library\"\ngrpc = \"http://nowhere.invalid:1\"\ndescriptors = \"library.binpb\"\n";
    let world = World::new()
        .with_file("library.binpb", &crate::support::library::DESCRIPTORS)
        .with_variable("LIBRARY_SERVICE_URL", &format!("http://localhost:{port},http://127.0.0.1:{port}"))
        .with_config(config);
    let gateway = world.start();
    for _ in 0..10 {
        // Its IPv6 address, where there is one, refuses; the other does not.
        let body = frames("library.v1.CreateBookRequest", &["{}"]);
        let outcome = grpc(gateway.address, CREATE, &[], body, "library.v1.Book").await;
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
    // A name that nobody knows is said to be one.
    let gateway = World::new()
        .with_file("library.binpb", &crate::support::library::DESCRIPTORS)
        .with_config(config)
        .start();
    let body = frames("library.v1.CreateBookRequest", &["{}"]);
    let outcome = grpc(gateway.address, CREATE, &[], body, "library.v1.Book").await;
    assert_eq!(outcome.code, 14, "{outcome:?}");
    let words = "upstream \"library\" (nowhere.invalid:1) could not be looked up";
    assert!(outcome.message.contains(words), "{outcome:?}");
}
