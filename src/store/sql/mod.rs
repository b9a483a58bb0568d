//! The SQL side: SQLite and PostgreSQL behind one [`Database`], asked with one SQL text for both (`$1`, ids as TEXT, times
//! as BIGINT). The concerns are a file each; none of them knows which database it talks to.
//!
//! SQLite has one writer, which begins with BEGIN IMMEDIATE, and many readers, in WAL; it syncs at each commit, so that
//! what was acknowledged survives a power loss and not only a crash.

mod accounts;
mod api_keys;
mod audit;
mod error;
mod file;
mod oauth;
mod refresh_tokens;
mod revocations;
mod row;
mod schema;
mod signing_keys;

use std::{future::Future, path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, Postgres, Sqlite, Transaction,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::OnceCell;

use self::row::{Row, Value, args, bind};
use super::{DatabaseUrl, State, StoreError, StoreHealth, gate::Gate};

/// How the database is reached.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) url: DatabaseUrl,
    /// The longest an operation may take.
    pub(super) timeout: Duration,
    /// The longest the wait for a connection may take.
    pub(super) connect_timeout: Duration,
    /// The most connections: PostgreSQL's, or SQLite's readers.
    pub(super) connections: u32,
}

/// A database. Every operation goes through [`Database::run`].
#[derive(Debug)]
pub(super) struct Database {
    pools: Pools,
    gate: Gate,
    /// Set once the schema is up to date.
    migrated: OnceCell<()>,
}

#[derive(Debug)]
enum Pools {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        file: Box<Path>,
        /// How long a new file is waited for that another is just making.
        patience: Duration,
    },
    Postgres {
        pool: PgPool,
        options: Box<PgConnectOptions>,
    },
}

impl Database {
    /// Opens nothing yet: the first operation does. Must be called in a runtime.
    pub(super) fn new(settings: &Settings) -> Self {
        let gate = Gate::new("database", settings.url.to_string(), settings.timeout);
        let pools = match &settings.url {
            DatabaseUrl::Sqlite(file) => {
                // Which journal it has is written in the file: readers need not say it, and never wait for it.
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(settings.timeout);
                let pool = || {
                    SqlitePoolOptions::new()
                        .acquire_timeout(settings.timeout)
                        .idle_timeout(None)
                        .max_lifetime(None)
                };
                Pools::Sqlite {
                    writer: pool()
                        .max_connections(1)
                        .connect_lazy_with(options.clone().journal_mode(SqliteJournalMode::Wal)),
                    readers: pool()
                        .max_connections(settings.connections.max(1))
                        .connect_lazy_with(options.pragma("query_only", "ON")),
                    file: file.as_path().into(),
                    patience: settings.connect_timeout,
                }
            }
            DatabaseUrl::Postgres(options) => Pools::Postgres {
                pool: PgPoolOptions::new()
                    .max_connections(settings.connections.max(1))
                    .acquire_timeout(settings.connect_timeout)
                    .connect_lazy_with((**options).clone()),
                options: options.clone(),
            },
        };
        Self { pools, gate, migrated: OnceCell::new() }
    }

    pub(super) fn health(&self) -> StoreHealth {
        self.gate.health()
    }

    /// Runs one operation: bounded in time, on an up-to-date schema, refused at once while the database is away.
    async fn run<T>(&self, operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let doubtful = !matches!(self.gate.state(), State::Up { .. });
        self.gate
            .run(async {
                if doubtful {
                    self.knock().await?;
                }
                self.migrated.get_or_try_init(|| schema::migrate(self)).await?;
                operation.await
            })
            .await
            .inspect_err(|error| {
                if let StoreError::Broken(why) = error {
                    tracing::error!(store = "database", address = self.gate.address(), "{why}");
                }
            })
    }

    /// Why nothing can be kept in SQLite's file, where waiting does not help; a server comes back.
    pub(super) async fn refused(&self) -> Option<String> {
        match &self.pools {
            Pools::Sqlite { file, .. } => file::refused(file).await,
            Pools::Postgres { .. } => None,
        }
    }

    /// Asks for a connection past the pool, which would try again and again, and keep to itself why it failed.
    async fn knock(&self) -> Result<(), StoreError> {
        if let Pools::Postgres { options, .. } = &self.pools {
            options.connect().await?.close().await?;
        }
        Ok(())
    }

    /// Asks whether the database is there.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.run(self.rows("SELECT name FROM locks WHERE name = $1", args!["admins"])).await.map(drop)
    }

    /// Asks whether the database answers, and makes nothing in it.
    ///
    /// # Errors
    /// It does not.
    pub(super) async fn answers(&self) -> Result<(), StoreError> {
        let doubtful = !matches!(self.gate.state(), State::Up { .. });
        let asking = async {
            if doubtful {
                self.knock().await?;
            }
            self.rows("SELECT 1", Vec::new()).await.map(drop)
        };
        self.gate.run(asking).await
    }

    /// Runs one statement that reads.
    async fn rows(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { readers, .. } => {
                let rows = bind::<Sqlite>(sql, args).fetch_all(readers).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Pools::Postgres { pool, .. } => {
                let rows = bind::<Postgres>(sql, args).fetch_all(pool).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row of [`Database::rows`].
    async fn row(&self, sql: &'static str, args: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Runs one statement that writes, in a transaction of its own; the rows it returns.
    async fn write(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let mut work = self.begin().await?;
        let rows = work.rows(sql, args).await?;
        work.commit().await?;
        Ok(rows)
    }

    /// Begins a transaction that writes. Dropped, it is rolled back.
    async fn begin(&self) -> Result<Work, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { writer, .. } => Work::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Pools::Postgres { pool, .. } => Work::Postgres(pool.begin().await?),
        })
    }
}

/// What of a database's file will be in the way, as far as is seen without opening it.
pub(super) fn unlikely(url: &DatabaseUrl) -> Option<String> {
    match url {
        DatabaseUrl::Sqlite(file) => file::unlikely(file),
        DatabaseUrl::Postgres(_) => None,
    }
}

/// A transaction.
enum Work {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Work {
    /// Runs one statement; the rows it returns.
    async fn rows(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(work) => {
                let rows = bind::<Sqlite>(sql, args).fetch_all(&mut **work).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(work) => {
                let rows = bind::<Postgres>(sql, args).fetch_all(&mut **work).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row of [`Work::rows`].
    async fn row(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Takes one of the schema's locks until the transaction ends, and counts how often it was taken.
    async fn lock(&mut self, name: &str) -> Result<i64, StoreError> {
        let sql = "UPDATE locks SET value = value + 1 WHERE name = $1 RETURNING value";
        match self.row(sql, args![name]).await? {
            Some(row) => row.int("value"),
            None => Err(StoreError::Broken(format!("the table of locks has no {name}"))),
        }
    }

    async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(work) => work.commit().await?,
            Self::Postgres(work) => work.commit().await?,
        }
        Ok(())
    }
}
