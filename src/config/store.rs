//! `[accounts]` as meant. `[store]` is what the stores take.

use super::callers::Private;
use crate::services::accounts::Rules;

/// `[accounts]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    pub rules: Rules,
    /// The admin that is made where there is none. Without a password one is made up and shown once.
    pub admin_email: String,
    pub admin_password: Option<Private>,
}

/// Whose account the first admin is when nobody says.
pub(super) const ADMIN_EMAIL: &str = "admin@localhost";

impl Default for Accounts {
    fn default() -> Self {
        Self { rules: Rules::default(), admin_email: ADMIN_EMAIL.to_owned(), admin_password: None }
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
        check("[store]\ndatabase = \"mysql://h/a\"", "mysql is no database");
        check(
            "[store]\ndatabase = \"postgres://u:hunter2@h/a\"",
            "a password is not written into the config",
        );
        check("[store]\nredis = \"redis://:hunter2@h\"", "a password is not written into the config");
        check("[store]\nredis = \"tcp://h\"", "\"tcp\" is no scheme of Redis");
        check("[store]\ndatabase = { file = \"nowhere\" }", "the secret's file /etc/propylon/nowhere");
        check("[store]\nconnections = 0", "store.connections");
        check("[store]\ntimeout = \"soon\"", "\"soon\" is not a time");
        check("[accounts]\naccess_lifetime = \"200h\"", "it is longer than a week");
        check("[accounts]\nadmin_password = \"hunter2\"", "a credential is not written into the config");
        check("[accounts]\nadmin_email = \"root\"", "accounts.admin_email");
        check("[accounts]\nadmin_email = \"root\"", "an e-mail address has an @");
    }
}
