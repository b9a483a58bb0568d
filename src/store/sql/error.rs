//! What the databases' errors mean: away, or broken. Conflicts are not found out by errors, but by what statements return.

use sqlx::error::{DatabaseError, Error};

use crate::store::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let why = match error {
            Error::PoolTimedOut => "no connection could be had in time".to_owned(),
            Error::Io(error) => error.to_string(),
            Error::Tls(error) => format!("TLS: {error}"),
            Error::PoolClosed | Error::WorkerCrashed | Error::Protocol(_) | Error::BeginFailed => {
                error.to_string()
            }
            Error::Database(error) if away(&*error) => error.message().to_owned(),
            other => return Self::Broken(other.to_string()),
        };
        Self::Away { store: "database", retry_after: std::time::Duration::from_millis(100), why: why.into() }
    }
}

/// True where SQLite's file is another's just now, which did not wait for its turn to end.
pub(super) fn is_busy(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    let code = error.try_downcast_ref::<sqlx::sqlite::SqliteError>().and_then(|error| error.code());
    // BUSY and LOCKED, with whatever extended code.
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// True where the database says that it cannot answer just now, or not this client; the statement is not at fault.
fn away(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // Extended result codes keep the primary one in their lowest byte: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN,
        // NOTADB.
        return code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14 | 26));
    }
    // Connection exceptions, invalid authorization, no such database, transaction rollback (deadlock), insufficient
    // resources, operator intervention, system errors, read-only transaction (a standby).
    ["08", "28", "3D", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) || code == "25006"
}
