//! `[store]` and `[accounts]` checked, with where their secrets are.

use std::{fmt::Display, sync::Arc, time::Duration};

use percent_encoding::percent_decode_str;

use super::Check;
use crate::{
    config::{Accounts, Secret, callers::Private, mistake::Mistake, settings, store::ADMIN_EMAIL},
    services::accounts::{Rules, check_admin},
    store::{DatabaseUrl, RedisUrl, Settings},
};

/// What a token says of an account is looked up again only when it ends.
const LONGEST_ACCESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Tokens count in seconds, and clocks differ.
const SHORTEST_ACCESS: Duration = Duration::from_secs(10);

impl Check<'_> {
    pub(super) fn store(&mut self, written: settings::Store) -> Settings {
        let default = Settings::default();
        let database = written
            .database
            .and_then(|url| self.url("store.database", url, &["sqlite", "postgres"], DatabaseUrl::parse));
        let redis = written
            .redis
            .and_then(|url| self.url("store.redis", url, &["redis", "rediss", "unix"], RedisUrl::parse));
        Settings {
            database: database.map_or(default.database, |(url, _)| url),
            redis: redis.map(|(url, _)| url),
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

    pub(super) fn accounts(&mut self, written: settings::Accounts, tiers: &[Arc<str>]) -> Accounts {
        let default = Rules::default();
        let access = self.time("accounts.access_lifetime", written.access_lifetime, default.access_lifetime);
        if access < SHORTEST_ACCESS {
            let why = "it is shorter than 10s: a token would be over before it is used";
            self.found.add("accounts.access_lifetime", why);
        }
        if access > LONGEST_ACCESS {
            let why = "it is longer than a week; what a token says is looked up again only when it ends";
            self.found.add("accounts.access_lifetime", why);
        }
        let password = written.admin_password.and_then(|text| {
            let read = self.text_or_stand_in("admin_password", text);
            self.found.take("accounts.admin_password", read)
        });
        let refresh =
            self.time("accounts.refresh_lifetime", written.refresh_lifetime, default.refresh_lifetime);
        if refresh < access && !self.found.below("accounts") {
            let why = "it is shorter than access_lifetime: an access token would outlive what renews it";
            self.found.add("accounts.refresh_lifetime", why);
        }
        if let Some(tier) = &written.tier {
            self.known_tier("accounts.tier".to_owned(), tier, tiers);
        }
        let email = written.admin_email.as_deref().unwrap_or(ADMIN_EMAIL);
        let (of_email, of_password) =
            check_admin(email, password.as_ref().filter(|_| self.looks.secrets).map(Secret::expose));
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
                refresh_lifetime: refresh,
                ..Rules::default()
            },
            admin_email: written.admin_email.unwrap_or_else(|| ADMIN_EMAIL.to_owned()),
            admin_password: password.map(Private::new),
        }
    }

    /// Where a store is, and the secret that says so. One with a password stands elsewhere.
    pub(super) fn url<T, E: Display>(
        &mut self,
        path: &str,
        written: settings::Text,
        known: &[&str],
        parse: fn(&str) -> Result<T, E>,
    ) -> Option<(T, Secret)> {
        let literal = matches!(written, settings::Text::Literal(_));
        // What a reference leads to is not told, not even its beginning.
        let scheme = match &written {
            settings::Text::Literal(url) => url.split_once(':').map_or("", |(scheme, _)| scheme).to_owned(),
            settings::Text::Reference { .. } => String::new(),
        };
        let scheme = if known.contains(&scheme.as_str()) { String::new() } else { scheme };
        let read = match self.text("url", written) {
            Err(_) if !self.looks.secrets && !literal => return None,
            read => read,
        };
        let looks = self.looks.secrets;
        let url = read.and_then(|url| {
            let password = password(url.expose());
            if literal && password.is_some() {
                let why = "a password is not written into the config; say where the URL is: { env = \"NAME\" } or { file = \"PATH\" }";
                return Err(why.to_owned());
            }
            // How long it is, is between the server and its operator; an example's is nobody's.
            if looks && password.is_some_and(|password| Secret::new(&password).placeholder().is_some()) {
                return Err("the value is refused: its password is a placeholder, not a secret".to_owned());
            }
            let read = parse(url.expose()).map_err(|error| error.to_string())?;
            Ok((read, url))
        });
        let why = match url {
            Ok(url) => return Some(url),
            Err(why) => why,
        };
        let mistake = Mistake::new(path, why);
        self.found.push(mistake.near(&scheme, known.iter().copied()));
        None
    }
}

/// That of `scheme://user:password@…`, or the one among the parameters; `None` where there is none, or an empty one.
fn password(url: &str) -> Option<String> {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let before = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
    let found = before.filter(|password| !password.is_empty()).or_else(|| {
        let (_, query) = url.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix("password="))
    })?;
    Some(percent_decode_str(found).decode_utf8_lossy().into_owned())
}
