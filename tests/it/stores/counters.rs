//! The cache and the counters: memory and Redis, with the same results.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use propylon::{
    auth::Rate,
    store::{Ask, Cache, Counters, MemoryCache, MemoryCounters},
};
use tokio::task::JoinSet;

use super::{bounded, open, sqlite, with_redis};
use crate::support::servers::Server;

fn limit(calls: u64, window: Duration, burst: u64) -> Rate {
    Rate::new(calls, window, burst).unwrap()
}

async fn values_are_kept_for_a_while(cache: &dyn Cache) {
    let value = Bytes::from_static(b"\0\xff value");
    assert_eq!(cache.get("key").await.unwrap(), None);
    cache.set("key", value.clone(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), Some(value.clone()));
    cache.set("key", Bytes::new(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), Some(Bytes::new()));
    cache.delete("key").await.unwrap();
    cache.delete("key").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), None);
    cache.set("short", value.clone(), Duration::from_millis(50)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(cache.get("short").await.unwrap(), None);
    // What is over at once is not kept, and what it replaces is gone.
    cache.set("key", value.clone(), Duration::MAX).await.unwrap();
    cache.set("key", value.clone(), Duration::ZERO).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), None);
    for key in ["*", "a b\r\nDEL x", "\"", "ä", "{x}y"] {
        cache.set(key, Bytes::copy_from_slice(key.as_bytes()), Duration::from_secs(60)).await.unwrap();
        assert_eq!(cache.get(key).await.unwrap().unwrap(), key.as_bytes());
    }
}

async fn many_at_once_get_what_there_is(counters: Arc<dyn Counters>) {
    let limit = limit(100, Duration::from_secs(3600), 20);
    let mut calls = JoinSet::new();
    for _ in 0..400 {
        let counters = Arc::clone(&counters);
        calls.spawn(async move { counters.take("many", &limit).await.unwrap() });
    }
    let taken = calls.join_all().await;
    assert_eq!(taken.iter().filter(|taken| taken.allowed).count(), 120);
    assert!(taken.iter().all(|taken| taken.allowed == taken.retry_after.is_zero()));
    for key in ["'); redis.call('FLUSHALL') --", "%s", "a b\r\n", "ä"] {
        assert!(counters.take(key, &limit).await.unwrap().allowed, "{key}");
    }
    assert!(!counters.take("many", &limit).await.unwrap().allowed);
}

/// A call that one of its counters refuses is counted by none.
async fn counted_by_all_or_by_none(counters: &dyn Counters) {
    let hour = Duration::from_secs(3600);
    let (wide, narrow) = (limit(10, hour, 0), limit(3, hour, 0));
    let both = [Ask { key: "wide", rate: &wide }, Ask { key: "narrow", rate: &narrow }];
    let left = async || {
        let taken = counters.take_all_at(&both, None).await.unwrap();
        taken.iter().map(|taken| (taken.allowed, taken.remaining)).collect::<Vec<_>>()
    };
    for (of_wide, of_narrow) in [(9, 2), (8, 1), (7, 0)] {
        assert_eq!(left().await, [(true, of_wide), (true, of_narrow)]);
    }
    for _ in 0..20 {
        assert_eq!(left().await, [(true, 7), (false, 0)], "nothing is taken of the wide one");
    }
    assert_eq!(counters.take("wide", &wide).await.unwrap().remaining, 6);
}

#[tokio::test]
async fn over_memory() {
    values_are_kept_for_a_while(&MemoryCache::default()).await;
    many_at_once_get_what_there_is(Arc::new(MemoryCounters::default())).await;
    counted_by_all_or_by_none(&MemoryCounters::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_redis() {
    let Some(server) = Server::redis() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = with_redis(sqlite(folder.path()), &server.url("0"));
    let stores = open(&settings);
    bounded("the cache", values_are_kept_for_a_while(&*stores.cache)).await;
    bounded("many", many_at_once_get_what_there_is(stores.counting.shared.clone().unwrap())).await;
    bounded("several", counted_by_all_or_by_none(&*stores.counting.shared.clone().unwrap())).await;
    // A counter that somebody broke is a new one.
    let counters = stores.counting.shared.clone().unwrap();
    stores
        .cache
        .set("propylon:limit:broken", Bytes::from_static(b"\xc1 nonsense"), Duration::from_secs(60))
        .await
        .unwrap();
    assert!(counters.take("broken", &limit(1, Duration::from_secs(60), 0)).await.unwrap().allowed);
}

/// The same calls at the same times, in both: every answer is the same.
#[tokio::test(flavor = "multi_thread")]
async fn memory_and_redis_count_the_same() {
    let Some(server) = Server::redis() else { return };
    let folder = tempfile::tempdir().unwrap();
    let stores = open(&with_redis(sqlite(folder.path()), &server.url("0")));
    let (redis, memory) = (stores.counting.shared.clone().unwrap(), MemoryCounters::default());
    let limits = [
        limit(60, Duration::from_secs(60), 0),
        limit(100, Duration::from_secs(60), 20),
        limit(3, Duration::from_secs(3600), 1000),
        limit(7, Duration::from_millis(90_001), 3),
        limit(Rate::MOST_CALLS - 7, Rate::LONGEST_WINDOW, 7),
        limit(1, Rate::LONGEST_WINDOW, Rate::MOST_CALLS - 1),
    ];
    let (mut seed, mut refused) = (42_u64, 0);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for (number, limit) in limits.iter().enumerate() {
        let key = number.to_string();
        let mut now = 1_700_000_000_000;
        for step in 0..1500 {
            // Bursts, a steady flow, pauses, and a clock that goes back now and then.
            now = match random(20) {
                0 => now + limit.window_ms() / 4 + random(limit.window_ms()),
                1 => now - random(1000),
                2..=8 => now,
                _ => now + random(limit.window_ms() / (limit.calls().min(200)) + 2),
            };
            let want = memory.take_at(&key, limit, Some(now)).await.unwrap();
            let got = redis.take_at(&key, limit, Some(now)).await.unwrap();
            assert_eq!(got, want, "{limit:?}, step {step}, at {now}");
            refused += u32::from(!want.allowed);
        }
    }
    assert!(refused > 500, "only {refused} were refused");
    // Several counters of one call.
    let (mut now, mut none) = (1_700_000_000_000, 0);
    let pairs: Vec<[(String, Rate); 2]> = limits
        .windows(2)
        .enumerate()
        .map(|(number, pair)| [0, 1].map(|at| (format!("{number}/{at}"), pair[at])))
        .collect();
    for step in 0..3000 {
        now += random(2000);
        let [one, other] = &pairs[step % pairs.len()];
        let asks = [one, other].map(|(key, rate)| Ask { key, rate });
        let want = memory.take_all_at(&asks, Some(now)).await.unwrap();
        let got = redis.take_all_at(&asks, Some(now)).await.unwrap();
        assert_eq!(got, want, "{asks:?}, step {step}, at {now}");
        none += u32::from(want.iter().any(|taken| !taken.allowed));
    }
    assert!(none > 500, "only {none} were refused");
}

/// Two replicas on one Redis, each asked as fast as it goes: together they let the limit through, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_one_limit() {
    let Some(server) = Server::redis() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = with_redis(sqlite(folder.path()), &server.url("0"));
    let replicas = [open(&settings), open(&settings)].map(|stores| stores.counting.shared.unwrap());
    let limit = limit(200, Duration::from_secs(1), 0);
    let (begun, whole) = (tokio::time::Instant::now(), Duration::from_secs(5));
    let mut callers = JoinSet::new();
    for at in 0..8 {
        let counters = std::sync::Arc::clone(&replicas[at % 2]);
        callers.spawn(async move {
            let mut allowed = Vec::new();
            while begun.elapsed() < whole {
                if counters.take("shared", &limit).await.unwrap().allowed {
                    allowed.push(begun.elapsed());
                }
            }
            allowed
        });
    }
    let mut allowed = callers.join_all().await.concat();
    allowed.sort();
    // By the server's clock no second has more; what is seen here comes a little later, and on a busy machine later still.
    let (count, exact) = (allowed.len(), 5 * 200);
    assert!(count.abs_diff(exact) * 100 <= exact * 2 + 20_000, "{count} in {whole:?}");
    assert!(count <= exact + 200, "{count}: never more than the windows that were begun");
    assert!(count * 100 >= exact * 98, "{count}: nothing that was there went to waste");
}
