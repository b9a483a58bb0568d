//! What is looked for in what a config says of accounts, and of the stores that they are in.

use std::time::Duration;

use super::{
    Finding, Severity,
    findings::{Found, exposed, finding, is_local},
};
use crate::{
    auth::{Away, Subject},
    config::Config,
    store::{ADMIN, Tls},
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// True where anybody may make an account.
fn anybody_registers(config: &Config) -> bool {
    config.built_ins.has_accounts() && config.accounts.rules.registration
}

pub(super) fn registration(config: &Config) -> Found {
    if !anybody_registers(config) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if config.accounts.rules.roles.iter().any(|role| role == ADMIN) {
        found.push(finding(
            Severity::Critical,
            "accounts.roles",
            "whoever registers is an administrator, and everybody may register",
            "a role that may do less, or registration = false",
        ));
    }
    for entry in &config.callers.rules.access {
        let by_email = |subject: &&Subject| matches!(subject, Subject::User { id, .. } if id.contains('@'));
        found.extend(entry.what.allow.iter().find(by_email).map(|_| {
            finding(
                Severity::High,
                format!("{}.allow", entry.key),
                "somebody is let in by an e-mail address, and everybody may register with any that is free: nobody \
                 verifies whose it is",
                "name the account by its id, a role, or registration = false",
            )
        }));
    }
    found
}

pub(super) fn lifetimes(config: &Config) -> Option<Finding> {
    let lifetime = config.accounts.rules.access_lifetime;
    if !config.built_ins.has_accounts() || lifetime <= HOUR {
        return None;
    }
    Some(finding(
        if lifetime >= 24 * HOUR { Severity::Medium } else { Severity::Low },
        "accounts.access_lifetime",
        format!("an access token is good for {lifetime:?}, elsewhere also when it has been revoked here"),
        "a quarter of an hour: clients refresh",
    ))
}

pub(super) fn database(config: &Config) -> Option<Finding> {
    let database = &config.store.database;
    if !config.built_ins.has_accounts() || !far(database.host()) {
        return None;
    }
    let (severity, why) = match database.tls() {
        Tls::Never => (Severity::High, "accounts and their password hashes cross the network in plain text"),
        Tls::IfOffered => (
            Severity::Medium,
            "accounts and their password hashes cross the network in plain text where the server, or who passes for it, \
             offers no TLS",
        ),
        Tls::Unverified => (
            Severity::Low,
            "the server's certificate is not held against its name: who is on the way may pass for it",
        ),
        Tls::Verified => return None,
    };
    Some(finding(severity, "store.database", why, "sslmode=verify-full"))
}

pub(super) fn redis(config: &Config) -> Found {
    let Some(url) = &config.store.redis else { return Vec::new() };
    let mut found = Vec::new();
    if far(url.host()) && url.tls() == Tls::Never {
        found.push(finding(
            Severity::Medium,
            "store.redis",
            "limits, what is known of accounts, and the password cross the network in plain text",
            "rediss://",
        ));
    }
    let severity = if exposed(config) { Severity::Medium } else { Severity::Low };
    let away = |key: String| {
        let why = "who makes Redis slow or unreachable has no limit any more, on logins neither";
        finding(severity, key, why, "\"local\": each replica counts its own")
    };
    if config.callers.limits.away == Away::Open {
        found.push(away("rate_limits.redis_away".to_owned()));
    } else {
        let limits = config.callers.rules.limits.iter().filter(|entry| entry.what.0.away == Away::Open);
        found.extend(limits.map(|entry| away(format!("{}.redis_away", entry.key))));
    }
    found
}

fn far(host: Option<&str>) -> bool {
    host.is_some_and(|host| !is_local(host))
}

#[cfg(test)]
mod tests {
    use super::super::findings::tests::audit;
    use super::*;

    #[test]
    fn each_weakness_of_accounts_is_found_with_its_key() {
        use Severity::{Critical, High, Low, Medium};
        let found = |config: &str, key: &str| -> Vec<Severity> {
            audit(config)
                .into_iter()
                .filter(|(_, found)| found == key)
                .map(|(severity, _)| severity)
                .collect()
        };
        let check = |config: &str, key: &str, want: &[Severity]| {
            assert_eq!(found(config, key), want, "{config}");
        };
        let closed = "registration = false\n";
        let admins = "[accounts]\nroles = [\"user\", \"admin\"]\n";
        check(admins, "accounts.roles", &[Critical]);
        check(&format!("{admins}{closed}"), "accounts.roles", &[]);
        check("[accounts]\nroles = [\"administrator\"]", "accounts.roles", &[]);
        let rule = "[[access.rules]]\nmatch = [\"propylon.gateway.v1.AdminService\"]\n";
        let email = format!("{rule}allow = [\"role:x\", \"user:boss@x.example\"]\n");
        check(&email, "access.rules[0].allow", &[High]);
        check(&format!("{email}[accounts]\n{closed}"), "access.rules[0].allow", &[]);
        check(&format!("{rule}allow = [\"user:7\"]"), "access.rules[0].allow", &[]);
        let lifetime = |text: &str| format!("[accounts]\naccess_lifetime = \"{text}\"");
        check(&lifetime("1h"), "accounts.access_lifetime", &[]);
        check(&lifetime("2h"), "accounts.access_lifetime", &[Low]);
        check(&lifetime("24h"), "accounts.access_lifetime", &[Medium]);
        let database = |url: &str| format!("[store]\ndatabase = \"postgres://u@{url}\"");
        check(&database("db.example/app?sslmode=disable"), "store.database", &[High]);
        check(&database("db.example/app"), "store.database", &[Medium]);
        check(&database("db.example/app?sslmode=require"), "store.database", &[Low]);
        check(&database("db.example/app?sslmode=verify-full"), "store.database", &[]);
        check(&database("127.0.0.1/app?sslmode=disable"), "store.database", &[]);
        check(&database("localhost/app?host=/run/postgresql"), "store.database", &[]);
        let redis = |url: &str| format!("[store]\nredis = \"{url}\"\n");
        check(&redis("redis://cache.example"), "store.redis", &[Medium]);
        check(&redis("rediss://cache.example"), "store.redis", &[]);
        check(&redis("redis://localhost"), "store.redis", &[]);
        check(&redis("unix:/run/redis.sock"), "store.redis", &[]);
        let open = format!("{}[rate_limits]\nredis_away = \"open\"\n", redis("redis://localhost"));
        check(&open, "rate_limits.redis_away", &[Low]);
        check(&format!("{open}[gateway]\nlisten = \"0.0.0.0:80\""), "rate_limits.redis_away", &[Medium]);
        // Without Redis nothing is away.
        check("[rate_limits]\nredis_away = \"open\"", "rate_limits.redis_away", &[]);
        let rule = "[[rate_limits.rules]]\nmatch = [\"propylon.gateway.v1.AuthService\"]\ncalls = 5\n";
        let rule = format!("{}{rule}redis_away = \"open\"", redis("redis://localhost"));
        check(&rule, "rate_limits.rules[0].redis_away", &[Low]);
    }
}
