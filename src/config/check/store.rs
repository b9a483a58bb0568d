//! `[store]` and `[accounts]` checked, with where their secrets are.

use std::{fmt::Display, time::Duration};

use super::Check;
use crate::{
    config::{Accounts, Secret, callers::Private, settings, store::ADMIN_EMAIL},
    services::accounts::{Rules, check_admin},
    store::{DatabaseUrl, RedisUrl, Settings},
};

/// What a token says of an account is looked up again only when it ends.
const LONGEST_ACCESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Check<'_> {
    pub(super) fn store(&mut self, written: settings::Store) -> Settings {
        let default = Settings::default();
        let database = written.database.and_then(|url| self.url("store.database", url, DatabaseUrl::parse));
        Settings {
            database: database.unwrap_or(default.database),
            redis: written.redis.and_then(|url| self.url("store.redis", url, RedisUrl::parse)),
            timeout: self.time("store.timeout", written.timeout, default.timeout),
            connect_timeout: self.time(
                "store.connect_timeout",
                written.connect_timeout,
                default.connect_timeout,
            ),
            connections: written.connections.unwrap_or(default.connections),
            redis_timeout: self.time("store.redis_timeout", written.redis_timeout, default.redis_timeout),
            redis_prefix: written.redis_prefix.unwrap_or(default.redis_prefix),
            ready: written.ready.unwrap_or(default.ready),
        }
    }

    pub(super) fn accounts(&mut self, written: settings::Accounts) -> Accounts {
        let default = Rules::default();
        let access = self.time("accounts.access_lifetime", written.access_lifetime, default.access_lifetime);
        if access > LONGEST_ACCESS {
            let why = "it is longer than a week; what a token says is looked up again only when it ends";
            self.found.add("accounts.access_lifetime", why);
        }
        let password = written.admin_password.and_then(|text| {
            let read = self.text("admin_password", text);
            self.found.take("accounts.admin_password", read)
        });
        let email = written.admin_email.as_deref().unwrap_or(ADMIN_EMAIL);
        let (of_email, of_password) = check_admin(email, password.as_ref().map(Secret::expose));
        for (key, why) in [("admin_email", of_email), ("admin_password", of_password)] {
            if let Some(why) = why {
                self.found.add(format!("accounts.{key}"), why);
            }
        }
        Accounts {
            rules: Rules {
                registration: written.registration.unwrap_or(default.registration),
                roles: written.roles.unwrap_or(default.roles),
                tier: written.tier.unwrap_or(default.tier),
                access_lifetime: access,
                refresh_lifetime: self.time(
                    "accounts.refresh_lifetime",
                    written.refresh_lifetime,
                    default.refresh_lifetime,
                ),
                ..Rules::default()
            },
            admin_email: written.admin_email.unwrap_or_else(|| ADMIN_EMAIL.to_owned()),
            admin_password: password.map(Private::new),
        }
    }

    /// Where a store is. One with a password is a secret, and stands elsewhere.
    fn url<T, E: Display>(
        &mut self,
        path: &str,
        written: settings::Text,
        parse: fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let literal = matches!(written, settings::Text::Literal(_));
        let url = self.text("url", written).and_then(|url| {
            if literal && has_password(url.expose()) {
                let why = "a password is not written into the config; say where the URL is: { env = \"NAME\" } or { file = \"PATH\" }";
                return Err(why.to_owned());
            }
            parse(url.expose()).map_err(|error| error.to_string())
        });
        self.found.take(path, url)
    }
}

/// `scheme://user:password@…`, or a password among the parameters.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.split_once(':').is_some_and(|(_, password)| !password.is_empty()))
        || url
            .split_once('?')
            .is_some_and(|(_, query)| query.split('&').any(|pair| pair.starts_with("password=")))
}
