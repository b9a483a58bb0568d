//! Whether a server that is none of the gateway's own stores answers: asked once, over a connection of its own. What speaks
//! against it is said in words that follow its name, and tell no address, user or password.

use std::io;

use ::redis::{ErrorKind, RedisError, ServerErrorKind};
use sqlx::{ConnectOptions as _, Connection as _};

use super::{DatabaseUrl, RedisUrl};

/// Asks PostgreSQL for a row.
///
/// # Errors
/// Why it gives none.
pub async fn ask_postgres(url: &DatabaseUrl) -> Result<(), String> {
    let DatabaseUrl::Postgres(options) = url else { return Err("is no PostgreSQL".to_owned()) };
    let words = |error: sqlx::Error| match error {
        sqlx::Error::Io(error) => of_machine(&error),
        sqlx::Error::Database(error) => match error.code().as_deref() {
            // Class 28: invalid authorization; 3D: no such database.
            Some(code) if code.starts_with("28") => "refuses the login".to_owned(),
            Some(code) if code.starts_with("3D") => "has no such database".to_owned(),
            Some(code) => format!("answers with the error {code}"),
            None => "answers with an error".to_owned(),
        },
        sqlx::Error::Tls(_) => "failed its TLS handshake".to_owned(),
        _ => "does not answer as PostgreSQL does".to_owned(),
    };
    let mut connection = options.connect().await.map_err(words)?;
    sqlx::query("SELECT 1").execute(&mut connection).await.map_err(words)?;
    // It has answered, however the connection ends.
    let _ = connection.close().await;
    Ok(())
}

/// Sends PING to Redis.
///
/// # Errors
/// Why it does not answer it.
pub async fn ask_redis(url: &RedisUrl) -> Result<(), String> {
    let words = |error: RedisError| match error.kind() {
        _ if error.is_connection_refusal() => "refused the connection".to_owned(),
        ErrorKind::AuthenticationFailed => "refuses the login".to_owned(),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => "is loading its data".to_owned(),
        ErrorKind::Server(_) => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => "refuses the login".to_owned(),
            _ => "answers with an error".to_owned(),
        },
        ErrorKind::Io => "cannot be connected to".to_owned(),
        _ => "does not answer as Redis does".to_owned(),
    };
    let client = ::redis::Client::open(url.info.clone()).map_err(words)?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(words)?;
    ::redis::cmd("PING").query_async::<()>(&mut connection).await.map_err(words)
}

fn of_machine(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused the connection".to_owned(),
        _ => "cannot be connected to".to_owned(),
    }
}
