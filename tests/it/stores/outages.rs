//! Servers that are not there at the start, are killed, hang, and come back: operations fail within their time, say so, and
//! work again.

use std::time::{Duration, Instant};

use propylon::{
    auth::{Away, Rate},
    store::{Ask, Settings, State, StoreError, Stores},
};

use super::{bounded, new_account, open, postgres, second, sqlite, with_redis};
use crate::support::servers::Server;

/// Short times, so that the test is.
fn hasty(settings: Settings) -> Settings {
    Settings {
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        redis_timeout: Duration::from_millis(500),
        ..settings
    }
}

/// Asks until it works again.
async fn back<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    bounded(what, async {
        loop {
            match ask().await {
                Ok(value) => return value,
                Err(StoreError::Away { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(other) => panic!("{what}: {other:?}"),
            }
        }
    })
    .await
}

/// Asks many times while a store is away: each answer comes in time, and says that it is away.
async fn away<T: std::fmt::Debug>(limit: Duration, mut ask: impl AsyncFnMut() -> Result<T, StoreError>) {
    for _ in 0..20 {
        let begun = Instant::now();
        let error = ask().await.unwrap_err();
        let StoreError::Away { retry_after, .. } = &error else { panic!("{error:?}") };
        assert!(*retry_after <= Duration::from_secs(6), "{retry_after:?}");
        assert!(begun.elapsed() < limit + Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

fn state(stores: &Stores, store: &str) -> State {
    stores.health().into_iter().find(|health| health.store == store).unwrap().state
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_comes_and_goes() {
    let Some(mut server) = Server::postgres() else { return };
    let settings = hasty(postgres(&server, "outage").await);
    server.kill();
    // Not there at the start.
    let stores = open(&settings);
    assert_eq!(state(&stores, "database"), State::Unknown);
    away(settings.timeout, async || stores.ping().await).await;
    let State::Down { error, .. } = state(&stores, "database") else { panic!() };
    assert!(error.contains("refused"), "{error}");
    server.start();
    back("the start", async || stores.ping().await).await;
    assert!(matches!(state(&stores, "database"), State::Up { .. }));
    let made = stores.accounts.create(&new_account("a@x.example"), second(1)).await.unwrap();
    let old = new_account("").password;
    // Killed with connections open.
    server.kill();
    away(settings.timeout, async || stores.accounts.get(&made.id).await).await;
    server.start();
    let found = back("after a kill", async || stores.accounts.get(&made.id).await).await;
    assert_eq!(found, Some(made.clone()), "what was acknowledged is there");
    // It hangs: nothing is closed, and nothing answers.
    server.freeze();
    away(settings.timeout, async || stores.accounts.rehash(&made.id, &old, &old).await).await;
    server.thaw();
    back("after a hang", async || stores.accounts.rehash(&made.id, &old, &old).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_and_goes() {
    let Some(mut server) = Server::redis() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = hasty(with_redis(sqlite(folder.path()), &server.url("0")));
    let stores = open(&settings);
    let rate = Rate::new(5, Duration::from_secs(3600), 0).unwrap();
    let ask = async |away| {
        let ask = Ask { key: "caller", rate: &rate };
        Ok(stores.counting.take(&[(ask, away)]).await?.pop().unwrap())
    };
    assert_eq!(ask(Away::Closed).await.unwrap().unwrap().remaining, 4);
    for freeze in [false, true] {
        if freeze {
            server.freeze()
        } else {
            server.kill()
        }
        let begun = Instant::now();
        away(settings.redis_timeout, async || ask(Away::Closed).await).await;
        assert_eq!(ask(Away::Open).await.unwrap(), None);
        assert!(ask(Away::Local).await.unwrap().is_some());
        away(settings.redis_timeout, async || stores.cache.get("x").await).await;
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        let State::Down { error, .. } = state(&stores, "redis") else { panic!() };
        assert!(!error.is_empty());
        if freeze {
            server.thaw()
        } else {
            server.start()
        }
        back("redis", async || ask(Away::Closed).await).await;
        assert!(matches!(state(&stores, "redis"), State::Up { .. }));
    }
    // Each replica counted its own while it was away: the limit held there too.
    let local = stores.counting.local.take_now("caller", &rate, None);
    assert!(local.allowed && local.remaining == 2, "{local:?}");
    // The database was there all the time.
    stores.accounts.counts().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_made_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    let stores = open(&hasty(sqlite(folder.path())));
    let StoreError::Away { why, .. } = stores.ping().await.unwrap_err() else { panic!() };
    assert!(why.starts_with("cannot make the folder ") && why.contains("/data: "), "{why}");
    // And it works once it can.
    std::fs::remove_file(folder.path().join("data")).unwrap();
    back("the folder", async || stores.ping().await).await;
    use std::os::unix::fs::PermissionsExt as _;
    for (path, mode) in [("data", 0o700), ("data/propylon.db", 0o600), ("data/propylon.db-wal", 0o600)] {
        let found = std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}: {found:o}");
    }
}
