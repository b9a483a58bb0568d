//! The schema's versions, compiled in: what is missing is applied, in one transaction and by one replica, before the first
//! operation.

use std::time::Duration;

use sqlx::{Postgres, Sqlite};
use tokio::time::{Instant, sleep};

use super::{Database, Pools, Work, args, error::is_busy, file};
use crate::store::{AT_START, Digest, Micros, StoreError};

/// One step of the schema, in both dialects.
struct Migration {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migrations {
    ($($version:literal $file:literal),* $(,)?) => { &[$(Migration {
        version: $version,
        sqlite: include_str!(concat!("migrations/sqlite/", $file)),
        postgres: include_str!(concat!("migrations/postgres/", $file)),
    }),*] };
}

/// In order; a step that was released is never changed.
const MIGRATIONS: &[Migration] = migrations![1 "0001_callers.sql", 2 "0002_oauth.sql"];

/// How soon a file that is another's just now is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// The number of PostgreSQL's advisory lock: "propylon" in ASCII.
const LOCK: i64 = 0x7072_6f70_796c_6f6e;

/// Brings the schema up to date. A database that knows versions beyond this binary's is used as it is: a newer replica
/// has been there, and steps only ever add.
///
/// # Errors
/// The database is away, or was made by other steps than these.
pub(super) async fn migrate(database: &Database) -> Result<(), StoreError> {
    let mut work = begin(database).await?;
    if let Work::Postgres(_) = &work {
        // SQLite's BEGIN IMMEDIATE is such a lock.
        work.rows("SELECT pg_advisory_xact_lock($1)", args![LOCK]).await?;
    }
    work.rows(
        "CREATE TABLE IF NOT EXISTS schema_versions
         (version BIGINT PRIMARY KEY, digest TEXT NOT NULL, applied_at BIGINT NOT NULL)",
        args![],
    )
    .await?;
    let mut applied = Vec::new();
    for row in work.rows("SELECT version, digest FROM schema_versions ORDER BY version", args![]).await? {
        applied.push((row.int("version")?, row.text("digest")?));
    }
    for migration in MIGRATIONS {
        let version = migration.version;
        let sql = match &work {
            Work::Sqlite(_) => migration.sqlite,
            Work::Postgres(_) => migration.postgres,
        };
        let digest = Digest::of(sql.as_bytes()).hex();
        match applied.iter().find(|(known, _)| *known == version) {
            Some((_, known)) if *known == digest => continue,
            Some(_) => {
                let why = format!("the database's schema has another version {version} than this gateway");
                return Err(StoreError::Broken(why));
            }
            None => {}
        }
        match &mut work {
            Work::Sqlite(work) => sqlx::raw_sql(sql).execute::<_, Sqlite>(&mut **work).await.map(drop)?,
            Work::Postgres(work) => sqlx::raw_sql(sql).execute::<_, Postgres>(&mut **work).await.map(drop)?,
        }
        let sql = "INSERT INTO schema_versions (version, digest, applied_at) VALUES ($1, $2, $3)";
        work.rows(sql, args![version, digest, Micros::now()]).await?;
        tracing::info!(target: AT_START, store = "database", version, "the schema has a new version");
    }
    work.commit().await?;
    if let Some((newest, _)) = applied.last()
        && MIGRATIONS.last().is_some_and(|last| last.version < *newest)
    {
        tracing::warn!(
            store = "database",
            version = newest,
            "the schema is of a newer gateway than this one"
        );
    }
    Ok(())
}

/// Begins the transaction. Of several that open one new file of SQLite's at once, all but one are told that it is locked
/// when they turn to its journal of writes (WAL), and without the wait that SQLite has for its other locks: they try again.
async fn begin(database: &Database) -> Result<Work, StoreError> {
    let Pools::Sqlite { writer, file, patience, .. } = &database.pools else { return database.begin().await };
    file::make(file).await?;
    let until = Instant::now() + *patience;
    loop {
        match writer.begin_with("BEGIN IMMEDIATE").await {
            Ok(work) => return Ok(Work::Sqlite(work)),
            Err(error) if is_busy(&error) && Instant::now() < until => sleep(AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
}
