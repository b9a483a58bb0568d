//! Limits that replicas share in Redis: exact together, and as chosen while Redis is away.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
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

/// Calls without a pause, until it is told to end; how often each status came since the last look.
struct Load {
    counts: Arc<std::sync::Mutex<BTreeMap<u16, u32>>>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    fn on(gateway: SocketAddr) -> Self {
        let (counts, over, mut callers) = (Arc::default(), Arc::new(AtomicBool::new(false)), JoinSet::new());
        for _ in 0..4 {
            let (counts, over): (Arc<std::sync::Mutex<BTreeMap<u16, u32>>>, _) =
                (Arc::clone(&counts), Arc::clone(&over));
            callers.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let status = get(gateway).await;
                    assert!(begun.elapsed() < LONGEST, "a call was stuck for {:?}", begun.elapsed());
                    *counts.lock().unwrap().entry(status).or_default() += 1;
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        Self { counts, over, callers }
    }

    /// What comes from now on: waits until the status has come many times in a row, and no other.
    async fn settles_on(&self, status: u16, when: &str) {
        let begun = Instant::now();
        loop {
            self.counts.lock().unwrap().clear();
            sleep(Duration::from_millis(400)).await;
            let counts = self.counts.lock().unwrap().clone();
            if counts.len() == 1 && counts.get(&status).is_some_and(|count| *count > 10) {
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
    for (away, meanwhile) in [("open", 200), ("closed", 503), ("local", 429)] {
        let limit = format!("calls = 5\nwindow = \"1h\"\nredis_away = \"{away}\"");
        let gateway = replica(upstream, &redis, &limit);
        let load = Load::on(gateway.address);
        load.settles_on(429, "the limit is used up").await;
        redis.freeze();
        load.settles_on(meanwhile, &format!("{away}, Redis hangs")).await;
        redis.thaw();
        load.settles_on(429, &format!("{away}, Redis goes on")).await;
        redis.kill();
        load.settles_on(meanwhile, &format!("{away}, Redis is gone")).await;
        redis.start();
        // It has forgotten what was counted: five more, and again nothing.
        load.settles_on(429, &format!("{away}, Redis is back")).await;
        load.end().await;
        let log = gateway.program.output();
        assert!(log.contains("the store is there") && log.contains("redis"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}
