//! What ends with a change, a deletion or an old token is revoked in the same step: where it cannot be, nothing has happened.

use std::future::Future;

use propylon::store::{
    Account, AccountChange, Ending, NewAccount, Page, PasswordHash, Revoked, Rotation, Settings, StoreError,
    Stores,
};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use super::{
    Pair, accounts::line, bounded, callers, digest, new_account, new_family, open, postgres, second, sqlite,
};
use crate::support::servers::Server;

/// The counter that revocations are numbered by is gone: none can be written.
const BREAK: &str = "DELETE FROM locks WHERE name = 'revocations'";
const MEND: &str = "INSERT INTO locks (name, value) VALUES ('revocations', 1000)";

/// Everything of one account that a call may see.
async fn seen(stores: &Stores, id: &str) -> String {
    let page = Page { after: String::new(), limit: 100 };
    let account = stores.accounts.get(id).await.unwrap();
    let hash = stores.accounts.password(id).await.unwrap().map(|hash| hash.0);
    let keys = stores.api_keys.list(Some(id), &page).await.unwrap();
    let sessions = stores.refresh_tokens.count_live(second(2)).await.unwrap();
    let revoked = stores.revocations.since(0, second(2)).await.unwrap().0;
    let lines = stores.audit.list(None, &page).await.unwrap();
    format!("{account:#?}\n{hash:?}\n{keys:#?}\n{sessions}\n{revoked:#?}\n{lines:#?}")
}

async fn all_or_nothing<F: Future<Output = ()>>(settings: Settings, run: impl Fn(&'static str) -> F) {
    let pair = Pair { one: open(&settings), other: open(&settings) };
    let stores = &pair.one;
    let id = stores.accounts.create(&new_account("a@b.example"), second(1)).await.unwrap().id;
    stores.api_keys.create(&callers::new_key("k1", Some(&id)), &digest("k1"), None).await.unwrap();
    for family in ["f1", "f2"] {
        stores.refresh_tokens.begin(&new_family(family, &id, second(100)), second(1)).await.unwrap();
    }
    // The token that f2 began with is used up.
    let rotate = async || {
        let (old, new) = (digest("f2"), digest("new"));
        stores.refresh_tokens.rotate(&old, &new, second(100), second(60), second(2)).await
    };
    assert!(matches!(rotate().await.unwrap(), Rotation::Rotated(..)));
    let said = line("account.update", &id);
    // Each line has an id of its own.
    let note = |account: &Account| line("account.update", &account.id);
    let ending = Ending { but: "f1", until: second(60) };
    let change = AccountChange {
        roles: Some(vec!["editor".into()]),
        password: Some(PasswordHash("$argon2id$2".into())),
        ..AccountChange::default()
    };
    let admin = NewAccount { roles: vec!["admin".into()], ..new_account("A@b.example") };
    let before = seen(&pair.other, &id).await;
    run(BREAK).await;
    let done: [Result<(), StoreError>; 7] = [
        stores.accounts.update(&id, &change, Some(ending), Some(&note), second(2)).await.map(drop),
        stores.accounts.delete(&id, second(60), Some(&note), second(2)).await.map(drop),
        stores.accounts.create_first_admin(&admin, ending, &note, second(2)).await.map(drop),
        stores.api_keys.revoke("k1", second(60), Some(&said), second(2)).await.map(drop),
        stores.refresh_tokens.end("f1", second(60), second(2)).await.map(drop),
        stores.refresh_tokens.end_all(&id, ending, second(2)).await.map(drop),
        rotate().await.map(drop),
    ];
    for (act, done) in done.into_iter().enumerate() {
        assert!(matches!(done, Err(StoreError::Broken(_))), "act {act}: {done:?}");
    }
    assert_eq!(seen(&pair.other, &id).await, before);
    run(MEND).await;
    let changed = stores.accounts.update(&id, &change, Some(ending), Some(&note), second(2)).await;
    let changed = changed.unwrap().unwrap();
    assert_eq!(changed.account.roles, ["editor"]);
    let ids: Vec<_> = changed.revoked.iter().map(|one| (one.kind, one.id.as_str())).collect();
    assert_eq!(ids, [(Revoked::Keys, &*id), (Revoked::Session, "f2")]);
    assert_eq!(pair.other.revocations.since(0, second(2)).await.unwrap().0, changed.revoked);
    assert_eq!(pair.other.refresh_tokens.count_live(second(2)).await.unwrap(), 1);
    // What asks for no end has none.
    let renamed = AccountChange { username: Some("b".into()), ..AccountChange::default() };
    let changed = stores.accounts.update(&id, &renamed, None, None, second(2)).await.unwrap().unwrap();
    assert!(changed.revoked.is_empty());
    let made = stores.accounts.create_first_admin(&admin, ending, &note, second(2)).await.unwrap().unwrap();
    assert!(made.account.is_admin() && made.account.id == id);
    assert_eq!(made.revoked.iter().map(|one| one.kind).collect::<Vec<_>>(), [Revoked::Keys]);
}

#[tokio::test]
async fn all_or_nothing_over_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("data/propylon.db").display());
    let run = async |sql: &'static str| {
        let mut connection = SqliteConnection::connect(&file).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    };
    bounded("all or nothing", all_or_nothing(sqlite(folder.path()), run)).await;
}

#[tokio::test]
async fn all_or_nothing_over_postgres() {
    let Some(server) = Server::postgres() else { return };
    let settings = postgres(&server, "together").await;
    let run = async |sql: &'static str| {
        let mut connection = PgConnection::connect(&server.url("together")).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    };
    bounded("all or nothing", all_or_nothing(settings, run)).await;
}
