//! `[store]` and `[accounts]`: where what outlives the gateway is kept, and the rules for accounts.

use std::{path::Path, time::Duration};

use serde::Deserialize;

use super::{
    ConfigError,
    callers::{Private, secret, settings::Text},
    check::duration,
};
use crate::{
    services::accounts::Rules,
    store::{DatabaseUrl, RedisUrl, Settings, UrlError},
};

/// `[accounts]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    pub rules: Rules,
    /// The admin that is made where there is none. `None`: `admin@localhost`, with a password that is made up and shown
    /// once.
    pub admin_email: Option<String>,
    pub admin_password: Option<Private>,
}

/// `[store]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenStore {
    database: Option<Place>,
    redis: Option<Place>,
    timeout: Option<String>,
    connect_timeout: Option<String>,
    connections: Option<u32>,
    redis_timeout: Option<String>,
    redis_prefix: Option<String>,
}

/// `[accounts]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenAccounts {
    registration: Option<bool>,
    roles: Option<Vec<String>>,
    tier: Option<String>,
    access_lifetime: Option<String>,
    refresh_lifetime: Option<String>,
    admin_email: Option<String>,
    admin_password: Option<Text>,
}

/// A URL, or where it is: one with a password is a secret.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Place {
    Written(String),
    Elsewhere(Text),
}

/// # Errors
/// A URL or a time is none.
pub(super) fn store(written: WrittenStore, folder: &Path) -> Result<Settings, ConfigError> {
    let default = Settings::default();
    Ok(Settings {
        database: match written.database {
            Some(place) => url("store.database", place, folder, DatabaseUrl::parse)?,
            None => default.database,
        },
        redis: match written.redis {
            Some(place) => Some(url("store.redis", place, folder, RedisUrl::parse)?),
            None => None,
        },
        timeout: duration("store.timeout", written.timeout, default.timeout)?,
        connect_timeout: duration("store.connect_timeout", written.connect_timeout, default.connect_timeout)?,
        connections: match written.connections {
            Some(number @ 1..=1000) => number,
            Some(number) => return Err(ConfigError(format!("store.connections: {number} is not 1 to 1000"))),
            None => default.connections,
        },
        redis_timeout: duration("store.redis_timeout", written.redis_timeout, default.redis_timeout)?,
        redis_prefix: written.redis_prefix.unwrap_or(default.redis_prefix),
    })
}

/// # Errors
/// A time is none, or a secret cannot be read.
pub(super) fn accounts(written: WrittenAccounts, folder: &Path) -> Result<Accounts, ConfigError> {
    const LONGEST_ACCESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    let default = Rules::default();
    let access = duration("accounts.access_lifetime", written.access_lifetime, default.access_lifetime)?;
    if access > LONGEST_ACCESS {
        let why = "it is longer than a week; what a token says is looked up again only when it ends";
        return Err(ConfigError(format!("accounts.access_lifetime: {why}")));
    }
    let refresh = duration("accounts.refresh_lifetime", written.refresh_lifetime, default.refresh_lifetime)?;
    let password = written.admin_password;
    Ok(Accounts {
        rules: Rules {
            registration: written.registration.unwrap_or(default.registration),
            roles: written.roles.unwrap_or(default.roles),
            tier: written.tier.unwrap_or(default.tier),
            access_lifetime: access,
            refresh_lifetime: refresh,
            ..Rules::default()
        },
        admin_email: written.admin_email,
        admin_password: password.map(|text| secret("accounts.admin_password", text, folder)).transpose()?,
    })
}

fn url<T>(
    key: &str,
    place: Place,
    folder: &Path,
    parse: fn(&str) -> Result<T, UrlError>,
) -> Result<T, ConfigError> {
    let wrong = |error: UrlError| ConfigError(format!("{key}: {error}"));
    match place {
        Place::Written(text) => parse(&text).map_err(wrong),
        Place::Elsewhere(text) => parse(secret(key, text, folder)?.expose()).map_err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use std::path::Path;

    #[test]
    fn stores_are_written_in_words_or_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("url"), "postgres://u:hunter2@db.example/app\n").unwrap();
        let text = r#"
            [store]
            database = { file = "url" }
            redis = "redis://cache.example/2"
            redis_timeout = "50ms"
            [accounts]
            registration = false
            access_lifetime = "1h"
        "#;
        let config = Config::parse(text, folder.path()).unwrap();
        assert_eq!(config.store.database.to_string(), "postgres://db.example:5432/app");
        assert_eq!(config.store.redis.as_ref().unwrap().to_string(), "redis://cache.example:6379/2");
        assert_eq!(config.store.redis_timeout.as_millis(), 50);
        assert!(
            !config.accounts.rules.registration && config.accounts.rules.access_lifetime.as_secs() == 3600
        );
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, want: &str| {
            let error = Config::parse(text, Path::new("/etc/propylon")).unwrap_err().to_string();
            assert!(error.contains(want), "{text}\n gave {error}");
            assert!(!error.contains("hunter2"), "{error}");
        };
        check("[store]\ndatabase = \"mysql://u:hunter2@h/a\"", "store.database: mysql is no database");
        check("[store]\nredis = \"tcp://h\"", "store.redis: \"tcp\" is no scheme of Redis");
        check("[store]\ndatabase = { file = \"nowhere\" }", "store.database: the file /etc/propylon/nowhere");
        check("[store]\nconnections = 0", "store.connections: 0 is not 1 to 1000");
        check("[store]\ntimeout = \"soon\"", "store.timeout: \"soon\" is not a time");
        check("[accounts]\naccess_lifetime = \"200h\"", "accounts.access_lifetime: it is longer than a week");
        check("[accounts]\nadmin_password = \"hunter2\"", "accounts.admin_password: a secret is not written");
    }
}
