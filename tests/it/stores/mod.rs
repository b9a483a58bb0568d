//! The stores: one suite over SQLite and PostgreSQL, one over memory and Redis, with the same results; then servers that
//! are killed, that hang and that come back, and a writer that is killed in the middle.

mod accounts;
mod callers;
mod counters;
mod durability;
mod oauth;
mod outages;
mod together;

use std::{future::Future, path::Path, time::Duration};

use propylon::{
    auth::email_key,
    store::{DatabaseUrl, Digest, Micros, NewAccount, NewFamily, PasswordHash, RedisUrl, Settings, Stores},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::servers::Server;

/// Two replicas on one database that nobody used before.
struct Pair {
    one: Stores,
    other: Stores,
}

fn settings(database: &str) -> Settings {
    Settings { database: DatabaseUrl::parse(database).unwrap(), ..Settings::default() }
}

fn with_redis(settings: Settings, url: &str) -> Settings {
    Settings { redis: Some(RedisUrl::parse(url).unwrap()), ..settings }
}

fn open(settings: &Settings) -> Stores {
    Stores::new(settings).unwrap()
}

fn sqlite(folder: &Path) -> Settings {
    settings(&format!("sqlite:{}", folder.join("data/propylon.db").display()))
}

/// A database of its own on a server.
async fn postgres(server: &Server, name: &str) -> Settings {
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    settings(&server.url(name))
}

/// Runs each case over both databases, each time over a new one.
macro_rules! over_both_databases {
    ($($module:ident::$case:ident),* $(,)?) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn over_sqlite() {
            $({
                let folder = tempfile::tempdir().unwrap();
                let settings = sqlite(folder.path());
                let pair = Pair { one: open(&settings), other: open(&settings) };
                bounded(stringify!($case), $module::$case(&pair)).await;
            })*
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn over_postgres() {
            let Some(server) = Server::postgres() else { return };
            $({
                let settings = postgres(&server, stringify!($case)).await;
                let pair = Pair { one: open(&settings), other: open(&settings) };
                bounded(stringify!($case), $module::$case(&pair)).await;
            })*
        }
    };
}

over_both_databases! {
    accounts::are_kept,
    accounts::change,
    accounts::go_with_what_they_own,
    accounts::one_email_is_one_account_however_many_try,
    accounts::there_is_one_first_admin_however_many_try,
    accounts::the_last_admin_stays,
    accounts::are_listed_and_counted,
    accounts::may_be_called_anything,
    callers::api_keys_are_kept,
    callers::refresh_tokens_rotate,
    callers::a_family_begins_with_the_account_as_it_is,
    callers::a_refresh_token_is_used_once_however_many_try,
    callers::families_end,
    callers::there_is_one_signing_key_however_many_start,
    callers::signing_keys_rotate_once,
    callers::revocations_are_seen_in_order,
    callers::a_revocation_is_seen_by_the_other_replica_within_seconds,
    callers::audit_lines_stay,
    callers::who_starts_at_once_finds_one_schema,
    oauth::a_client_is_known_everywhere,
    oauth::a_ticket_is_answered_once_in_its_browser_and_in_time,
    oauth::a_code_gives_tokens_once_and_ends_them_when_it_comes_again,
    oauth::a_code_is_used_once_however_many_try,
}

async fn bounded<T>(what: &str, case: impl Future<Output = T>) -> T {
    // A machine under load is slow; nothing takes minutes.
    tokio::time::timeout(Duration::from_secs(120), case).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

fn new_account(email: &str) -> NewAccount {
    NewAccount {
        id: uuid::Uuid::now_v7().to_string(),
        email: email.to_owned(),
        email_key: email_key(email),
        username: "somebody".to_owned(),
        password: PasswordHash("$argon2id$1".to_owned()),
        roles: vec!["user".to_owned()],
        permissions: vec![],
        tier: "free".to_owned(),
    }
}

/// A family of an account that [`new_account`] describes.
fn new_family(id: &str, account: &str, expires_at: Micros) -> NewFamily {
    NewFamily {
        id: id.to_owned(),
        account: account.to_owned(),
        digest: digest(id),
        expires_at,
        password: PasswordHash("$argon2id$1".to_owned()),
        login: false,
    }
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn second(number: i64) -> Micros {
    Micros::from_seconds(1_700_000_000 + number)
}
