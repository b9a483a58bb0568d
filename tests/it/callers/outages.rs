//! Stores that replicas share: limits in Redis are exact together, and as chosen while it is away; and what goes on while
//! PostgreSQL is away.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    client::{request, rest},
    gateway::{TestGateway, World},
    library,
    servers::Server,
};

/// The longest that any call may take here: Redis' own timeout, and what a busy machine adds.
const LONGEST: Duration = Duration::from_secs(8);

async fn get(gateway: SocketAddr) -> u16 {
    rest(gateway, request(&Method::GET, "/v1/books:get", &[], "")).await.http
}

/// A gateway before the library, with one limit for all callers together.
fn replica(upstream: SocketAddr, redis: &Server, limit: &str) -> TestGateway {
    World::with_library(upstream)
        .with_config(&format!(
            "[store]\nredis = \"{}\"\nredis_timeout = \"300ms\"\n[[rate_limits.rules]]\nname = \"books\"\n\
             match = [\"library.v1.Library/GetBook\"]\nby = \"everyone\"\n{limit}",
            redis.url("0")
        ))
        .start()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_let_through_what_one_would() {
    let Some(redis) = Server::redis() else { return };
    let upstream = library::start().await;
    let limit = "calls = 400\nburst = 100\nwindow = \"1h\"";
    let replicas = [replica(upstream, &redis, limit), replica(upstream, &redis, limit)];
    let mut calls = JoinSet::new();
    for caller in 0..8 {
        let gateway = replicas[caller % 2].address;
        calls.spawn(async move {
            let mut allowed = 0;
            for _ in 0..100 {
                match get(gateway).await {
                    200 => allowed += 1,
                    429 => {}
                    other => panic!("{other}"),
                }
            }
            allowed
        });
    }
    let allowed: u32 = calls.join_all().await.into_iter().sum();
    assert_eq!(allowed, 500, "of 800 calls by two gateways");
}

/// How often each kind of call got each status.
type Counts = BTreeMap<(&'static str, u16), u32>;

/// What each kind of call may get.
type Statuses<'a> = [(&'static str, &'a [u16])];

/// True for a status that is among them.
fn is_of(statuses: &Statuses<'_>, kind: &str, status: u16) -> bool {
    statuses.iter().any(|(name, statuses)| *name == kind && statuses.contains(&status))
}

/// A kind of call: its name, its path, and the token that it brings.
type Kind = (&'static str, &'static str, String);

/// Calls without a pause, until they are told to end.
struct Load {
    counts: Arc<Mutex<Counts>>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    fn on(gateway: SocketAddr, kinds: &[Kind]) -> Self {
        let mut load = Self { counts: Arc::default(), over: Arc::default(), callers: JoinSet::new() };
        for (name, path, token) in kinds.iter().cycle().take(4.max(kinds.len())).cloned() {
            let (counts, over) = (Arc::clone(&load.counts), Arc::clone(&load.over));
            load.callers.spawn(async move {
                let bearer = format!("Bearer {token}");
                let headers = [("authorization", bearer.as_str())];
                let headers = if token.is_empty() { &headers[..0] } else { &headers[..] };
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let answer = rest(gateway, request(&Method::GET, path, headers, "")).await;
                    assert!(begun.elapsed() < LONGEST, "{name} was stuck for {:?}", begun.elapsed());
                    *counts.lock().unwrap().entry((name, answer.http)).or_default() += 1;
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        load
    }

    /// What comes from now on: waits until each kind of call gets the statuses that are its own now, and no other. On the way
    /// there, as at any time, none is any that may never be.
    async fn settles_on(&self, want: &Statuses<'_>, ever: &Statuses<'_>, when: &str) {
        let begun = Instant::now();
        let counted = || {
            let counts = std::mem::take(&mut *self.counts.lock().unwrap());
            let never: Vec<_> = counts.keys().filter(|(kind, status)| !is_of(ever, kind, *status)).collect();
            assert!(never.is_empty(), "{when}: {never:?} of {counts:?}");
            counts
        };
        counted();
        loop {
            sleep(Duration::from_millis(500)).await;
            let counts = counted();
            let enough = |kind: &str| {
                counts.iter().filter(|((name, _), _)| *name == kind).map(|(_, count)| count).sum::<u32>() >= 5
            };
            let settled = counts.keys().all(|(kind, status)| is_of(want, kind, *status));
            if settled && want.iter().all(|(kind, _)| enough(kind)) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{when}: {counts:?}");
        }
    }

    async fn end(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
    }
}

/// Killed, and hanging, under load: each limit does what it says, no call is stuck, and all is as before when Redis is back.
#[tokio::test(flavor = "multi_thread")]
async fn redis_goes_and_comes_under_load() {
    let Some(mut redis) = Server::redis() else { return };
    let upstream = library::start().await;
    // What it says while Redis is away; and all that is ever said: 200 is a call within the limit, or one that is not counted.
    for (away, meanwhile, ever) in
        [("open", 200, &[200, 429][..]), ("closed", 503, &[200, 429, 503]), ("local", 429, &[200, 429])]
    {
        let limit = format!("calls = 5\nwindow = \"1h\"\nredis_away = \"{away}\"");
        let gateway = replica(upstream, &redis, &limit);
        let load = Load::on(gateway.address, &[("book", "/v1/books:get", String::new())]);
        let gets = async |status: u16, when: &str| {
            load.settles_on(&[("book", &[status])], &[("book", ever)], &format!("{away}: {when}")).await;
        };
        gets(429, "the limit is used up").await;
        redis.freeze();
        gets(meanwhile, "Redis hangs").await;
        redis.thaw();
        gets(429, "Redis goes on").await;
        redis.kill();
        gets(meanwhile, "Redis is gone").await;
        redis.start();
        // It has forgotten what was counted: five more, and again nothing.
        gets(429, "Redis is back").await;
        load.end().await;
        let log = gateway.program.output();
        assert!(log.contains("the store is there") && log.contains("redis"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Killed, and hanging, under load: who is known stays known, what needs the database is refused at once, and all is as
/// before when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_and_comes_under_load() {
    let Some(mut postgres) = Server::postgres() else { return };
    let gateway = World::with_library(library::start().await)
        .with_file("password", b"Correct-Horse-7")
        .with_config(&format!(
            "[store]\ndatabase = \"{}\"\ntimeout = \"1s\"\nconnect_timeout = \"500ms\"\n\
             [accounts]\nadmin_email = \"ann@x.example\"\nadmin_password = {{ file = \"password\" }}\n\
             [access]\n[rate_limits]\nenabled = false\n",
            postgres.url("postgres")
        ))
        .start();
    let sent = r#"{"email": "ann@x.example", "password": "Correct-Horse-7"}"#;
    let sent = request(&Method::POST, "/api/v1/auth/login", &[("content-type", "application/json")], sent);
    let login = rest(gateway.address, sent).await;
    let token = login.messages[0]["access_token"].as_str().unwrap_or_else(|| panic!("{login:?}"));
    let load = Load::on(
        gateway.address,
        &[
            ("book", "/v1/books:get", token.to_owned()),
            ("me", "/api/v1/auth/me", token.to_owned()),
            ("users", "/admin/users", token.to_owned()),
            ("stranger", "/v1/books:get", String::new()),
        ],
    );
    let here: [(&str, &[u16]); 4] =
        [("book", &[200]), ("me", &[200]), ("users", &[200]), ("stranger", &[401])];
    // What is known of the caller is kept for a while.
    let away: [(&str, &[u16]); 4] =
        [("book", &[200]), ("me", &[200, 503]), ("users", &[503]), ("stranger", &[401])];
    let ever: [(&str, &[u16]); 4] =
        [("book", &[200]), ("me", &[200, 503]), ("users", &[200, 503]), ("stranger", &[401])];
    load.settles_on(&here, &here, "at first").await;
    postgres.freeze();
    load.settles_on(&away, &ever, "PostgreSQL hangs").await;
    postgres.thaw();
    load.settles_on(&here, &ever, "PostgreSQL goes on").await;
    postgres.kill();
    load.settles_on(&away, &ever, "PostgreSQL is gone").await;
    postgres.start();
    load.settles_on(&here, &ever, "PostgreSQL is back").await;
    load.end().await;
    let log = gateway.program.output();
    assert!(log.contains("the store cannot be reached") && log.contains("the store is back"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
