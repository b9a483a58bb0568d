//! Where stores are, as operators and other systems write it: `DATABASE_URL`, `POSTGRES_URL` and `REDIS_URL`, with the
//! driver suffixes of SQLAlchemy (`sqlite+aiosqlite://`, `postgresql+asyncpg://`). Pure: nothing is opened here.

use std::{fmt, path::PathBuf, str::FromStr as _};

use ::redis::IntoConnectionInfo as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// A database.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file; its folder is made where it is missing.
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// A Redis or Valkey server.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) info: ::redis::ConnectionInfo,
    shown: String,
}

/// Whether a connection to a store is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Never,
    /// Where the server offers it.
    IfOffered,
    /// Always, with whoever answers.
    Unverified,
    /// Always, with a server whose certificate is good for its name.
    Verified,
}

/// Why a URL is none of a store; it never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError(String);

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UrlError {}

impl DatabaseUrl {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, `file:PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=…`.
    ///
    /// With a driver suffix, and wherever three slashes are followed by `./`, the path is read as SQLAlchemy reads it:
    /// three slashes before a relative path, four before an absolute one. Without, three are what they are in a URL: the
    /// path is absolute.
    ///
    /// # Errors
    /// What it is not, and what it could be.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let wrong =
            |why: &str| UrlError(format!("{why}; it is sqlite:PATH or postgres://USER@HOST:PORT/NAME"));
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(wrong("it has no scheme"));
        };
        let scheme = scheme.to_ascii_lowercase();
        let (kind, driver) =
            scheme.split_once('+').map_or((&*scheme, None), |(kind, driver)| (kind, Some(driver)));
        match kind {
            "sqlite" | "sqlite3" | "file" => sqlite(rest, driver.is_some()).map_err(|why| wrong(&why)),
            "postgres" | "postgresql" => postgres(rest).map_err(|why| wrong(&why)),
            "mysql" | "mariadb" | "mssql" | "sqlserver" | "oracle" | "mongodb" => {
                Err(wrong(&format!("{kind} is no database that the gateway knows")))
            }
            _ => Err(wrong(&format!("{scheme:?} is no scheme of a database"))),
        }
    }

    /// The host that it is on; `None` where it is a file, or behind a socket of this machine.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(options) => Some(options.get_host())
                .filter(|host| options.get_socket().is_none() && !host.starts_with('/')),
        }
    }

    /// The host and port that it is at; `None` where it is a file, or behind a socket of this machine.
    #[must_use]
    pub fn server(&self) -> Option<(String, u16)> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(options) => self.host().map(|host| (host.to_owned(), options.get_port())),
        }
    }

    #[must_use]
    pub fn tls(&self) -> Tls {
        match self {
            Self::Sqlite(_) => Tls::Never,
            Self::Postgres(options) => match options.get_ssl_mode() {
                PgSslMode::Disable => Tls::Never,
                PgSslMode::Allow | PgSslMode::Prefer => Tls::IfOffered,
                PgSslMode::Require | PgSslMode::VerifyCa => Tls::Unverified,
                PgSslMode::VerifyFull => Tls::Verified,
            },
        }
    }

    /// `sqlite` or `postgresql`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => one == other,
            // Its Debug has everything, the password included.
            (Self::Postgres(one), Self::Postgres(other)) => format!("{one:?}") == format!("{other:?}"),
            _ => false,
        }
    }
}

impl Eq for DatabaseUrl {}

impl fmt::Display for DatabaseUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(options) => {
                let name = options.get_database().unwrap_or_default();
                match options.get_socket() {
                    Some(socket) => write!(f, "postgres:{}/{name}", socket.display()),
                    None => write!(f, "postgres://{}:{}/{name}", options.get_host(), options.get_port()),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `rest` is what follows the first colon.
fn sqlite(rest: &str, sqlalchemy: bool) -> Result<DatabaseUrl, String> {
    let rest = rest.split_once('?').map_or(rest, |(path, _)| path);
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(path) if sqlalchemy || path.starts_with("/./") || path.starts_with("/../") => {
            path.strip_prefix('/').unwrap_or(path)
        }
        Some(path) => path,
    };
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| "its path is not UTF-8".to_owned())?;
    if path.contains('\0') {
        return Err("its path has a NUL".to_owned());
    }
    match &*path {
        "" | "/" => Err("it names no file".to_owned()),
        ":memory:" | "/:memory:" => {
            Err("a database in memory is gone with the process; name a file".to_owned())
        }
        path => Ok(DatabaseUrl::Sqlite(path.into())),
    }
}

fn postgres(rest: &str) -> Result<DatabaseUrl, String> {
    if !rest.starts_with("//") {
        return Err("two slashes follow its scheme".to_owned());
    }
    let (base, query) = rest.split_once('?').map_or((rest, ""), |(base, query)| (base, query));
    // asyncpg's `ssl` is libpq's `sslmode`.
    let mut ssl = None;
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(|pair| match pair.split_once('=') {
            Some(("ssl", value)) => {
                ssl = Some(value.to_ascii_lowercase());
                false
            }
            _ => true,
        })
        .collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    // What the driver says of a URL may quote it, and with it the password.
    let options = PgConnectOptions::from_str(&format!("postgres:{base}{mark}{}", kept.join("&")))
        .map_err(|_| "it is not a URL of PostgreSQL (special characters are written %XX)".to_owned())?;
    let options = match ssl.as_deref() {
        None => options,
        Some("true" | "1") => options.ssl_mode(PgSslMode::Require),
        Some("false" | "0") => options.ssl_mode(PgSslMode::Disable),
        Some(mode) => {
            options.ssl_mode(PgSslMode::from_str(mode).map_err(|_| format!("ssl={mode} is no mode of TLS"))?)
        }
    };
    Ok(DatabaseUrl::Postgres(Box::new(options.application_name("propylon"))))
}

impl RedisUrl {
    /// Reads `redis://USER:PASSWORD@HOST:PORT/NUMBER`, `rediss://` (TLS), `valkey://`, `valkeys://` or `unix:PATH`.
    ///
    /// # Errors
    /// What it is not, and what it could be.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let wrong =
            |why: &str| UrlError(format!("{why}; it is redis://HOST:PORT, rediss://HOST:PORT or unix:PATH"));
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(wrong("it has no scheme"));
        };
        let scheme = match &*scheme.to_ascii_lowercase() {
            "redis" | "valkey" => "redis",
            "rediss" | "valkeys" => "rediss",
            "unix" | "redis+unix" | "valkey+unix" => "redis+unix",
            other => return Err(wrong(&format!("{other:?} is no scheme of Redis"))),
        };
        // `unix:/path` and `unix:///path` are one.
        let rest = match scheme {
            "redis+unix" => format!("///{}", rest.trim_start_matches('/')),
            _ => rest.to_owned(),
        };
        // What the driver says of a URL may quote it, and with it the password.
        let info = format!("{scheme}:{rest}")
            .into_connection_info()
            .map_err(|_| wrong("it is not a URL of Redis (special characters are written %XX)"))?;
        let shown = match info.addr() {
            ::redis::ConnectionAddr::Tcp(host, port) => {
                format!("redis://{host}:{port}/{}", info.redis_settings().db())
            }
            ::redis::ConnectionAddr::TcpTls { host, port, .. } => {
                format!("rediss://{host}:{port}/{}", info.redis_settings().db())
            }
            ::redis::ConnectionAddr::Unix(path) => format!("unix:{}", path.display()),
            _ => return Err(wrong("it is a kind of address that the gateway does not know")),
        };
        Ok(Self { info, shown })
    }

    /// The host that it is on; `None` behind a socket of this machine.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self.info.addr() {
            ::redis::ConnectionAddr::Tcp(host, _) | ::redis::ConnectionAddr::TcpTls { host, .. } => {
                Some(host)
            }
            _ => None,
        }
    }

    /// The host and port that it is at; `None` behind a socket of this machine.
    #[must_use]
    pub fn server(&self) -> Option<(String, u16)> {
        match self.info.addr() {
            ::redis::ConnectionAddr::Tcp(host, port) | ::redis::ConnectionAddr::TcpTls { host, port, .. } => {
                Some((host.clone(), *port))
            }
            _ => None,
        }
    }

    #[must_use]
    pub fn tls(&self) -> Tls {
        match self.info.addr() {
            ::redis::ConnectionAddr::TcpTls { insecure: true, .. } => Tls::Unverified,
            ::redis::ConnectionAddr::TcpTls { .. } => Tls::Verified,
            _ => Tls::Never,
        }
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        let secrets = |url: &Self| {
            let settings = url.info.redis_settings();
            (settings.username().map(str::to_owned), settings.password().map(str::to_owned))
        };
        self.shown == other.shown && secrets(self) == secrets(other)
    }
}

impl Eq for RedisUrl {}

impl fmt::Display for RedisUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_urls_are_read_as_they_are_written_elsewhere() {
        let check = |text: &str, want: &str| {
            let got = DatabaseUrl::parse(text).map_or_else(|error| error.to_string(), |url| url.to_string());
            assert!(
                got == want || (want.ends_with('…') && got.starts_with(want.trim_end_matches('…'))),
                "{text}: {got}"
            );
            assert!(!got.contains("secret"), "{got}");
        };
        check("sqlite:data/propylon.db", "sqlite:data/propylon.db");
        check("sqlite:/var/lib/p.db", "sqlite:/var/lib/p.db");
        check("sqlite://data/propylon.db", "sqlite:data/propylon.db");
        check("sqlite:///var/lib/p.db", "sqlite:/var/lib/p.db");
        check("sqlite:///./p.db", "sqlite:./p.db");
        check("sqlite:////var/lib/p.db", "sqlite://var/lib/p.db");
        check("sqlite+aiosqlite:///./automation_factory.db", "sqlite:./automation_factory.db");
        check("sqlite+aiosqlite:///p.db", "sqlite:p.db");
        check("sqlite+pysqlite:////var/lib/p.db", "sqlite:/var/lib/p.db");
        check("file:./dev.db", "sqlite:./dev.db");
        check("SQLite:a%20b.db?mode=rwc", "sqlite:a b.db");
        check("sqlite:///:memory:", "a database in memory…");
        check("sqlite://", "it names no file…");
        check("sqlite:a%00b", "its path has a NUL…");
        check("sqlite:a%ffb", "its path is not UTF-8…");
        check("postgres://u:secret@db.example:6543/app", "postgres://db.example:6543/app");
        check("postgresql://u:secret@db.example/app", "postgres://db.example:5432/app");
        check("postgresql+asyncpg://u:secret@db.example/app?ssl=require", "postgres://db.example:5432/app");
        check("postgresql+psycopg2://u:secret@[::1]:5433/app?sslmode=disable", "postgres://[::1]:5433/app");
        check("postgres://u@localhost/app?host=/run/postgresql", "postgres:/run/postgresql/app");
        check("postgres://u:secret@h/app?ssl=maybe", "ssl=maybe is no mode of TLS…");
        check("postgres://u:secret@h:port/app", "it is not a URL of PostgreSQL…");
        check("postgres:u:secret", "two slashes follow its scheme…");
        check("mysql+pymysql://u:secret@h/app", "mysql is no database that the gateway knows…");
        check("data/propylon.db", "it has no scheme…");
        check("http://h", "\"http\" is no scheme of a database…");
        check("", "it has no scheme…");
    }

    #[test]
    fn ssl_is_what_asyncpg_calls_sslmode() {
        let mode = |query: &str| match DatabaseUrl::parse(&format!("postgresql+asyncpg://u@h/app?{query}"))
            .unwrap()
        {
            DatabaseUrl::Postgres(options) => format!("{:?}", options.get_ssl_mode()),
            DatabaseUrl::Sqlite(_) => panic!(),
        };
        assert_eq!(mode("ssl=require"), "Require");
        assert_eq!(mode("ssl=verify-full&application_name=x"), "VerifyFull");
        assert_eq!(mode("ssl=false"), "Disable");
        assert_eq!(mode("sslmode=verify-ca"), "VerifyCa");
    }

    #[test]
    fn redis_urls_too() {
        let check = |text: &str, want: &str| {
            let got = RedisUrl::parse(text).map_or_else(|error| error.to_string(), |url| format!("{url:?}"));
            assert!(
                got == want || (want.ends_with('…') && got.starts_with(want.trim_end_matches('…'))),
                "{text}: {got}"
            );
            assert!(!got.contains("secret"), "{got}");
        };
        check("redis://localhost:6379/0", "redis://localhost:6379/0");
        check("redis://:secret@cache.example/3", "redis://cache.example:6379/3");
        check("rediss://u:secret@cache.example:6380", "rediss://cache.example:6380/0");
        check("valkey://cache.example", "redis://cache.example:6379/0");
        check("unix:/run/redis.sock", "unix:/run/redis.sock");
        check("unix:///run/redis.sock", "unix:/run/redis.sock");
        check("redis+unix:///run/redis.sock", "unix:/run/redis.sock");
        check("redis://u:secret@h:port", "it is not a URL of Redis…");
        check("redis://u:secret@h/x", "it is not a URL of Redis…");
        check("tcp://10.0.0.1:6379", "\"tcp\" is no scheme of Redis…");
        check("localhost", "it has no scheme…");
    }
}
