//! What is looked for in a config, one check a line; each says nothing, or what is wrong and what to do.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use super::{
    Finding, Severity, accounts,
    callers::{issuers, limits, proxies, tokens},
    mcp, mcp_servers, tls,
};
use crate::{
    auth::{Access, Pattern, Place, Rule, Subject, Used, Whose},
    config::{Config, Own},
    route::Origins,
};

pub(super) type Found = Vec<Finding>;

/// Everything that is found.
pub(super) fn findings(config: &Config) -> Found {
    let checks: [fn(&Config) -> Found; 23] = [
        open_services,
        wide_rules,
        open_administration,
        nobody_known,
        plain_text,
        tls::port,
        tls::operators_listener,
        upstreams_in_plain_text,
        mcp_servers::plain_text,
        mcp_servers::programs,
        issuers,
        tokens,
        limits,
        proxies,
        origins,
        sizes,
        told_to_everyone,
        mcp::tools,
        mcp::oauth,
        |config| accounts::registration(config).into_iter().collect(),
        |config| accounts::lifetimes(config).into_iter().collect(),
        |config| accounts::database(config).into_iter().collect(),
        accounts::redis,
    ];
    checks.iter().flat_map(|check| check(config)).collect()
}

/// A file that others may write is a config that others write.
pub(super) fn of_file(file: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    (mode & 0o002 != 0).then(|| {
        finding(
            Severity::High,
            file.display().to_string(),
            "every user of the machine may write the config, and it is read again when it changes",
            "chmod o-w",
        )
    })
}

pub(super) fn finding(
    severity: Severity,
    key: impl Into<String>,
    reason: impl Into<String>,
    remedy: &str,
) -> Finding {
    Finding { severity, key: key.into(), reason: reason.into(), remedy: remedy.to_owned() }
}

/// True where others than this machine can connect.
pub(super) fn exposed(config: &Config) -> bool {
    !config.listen.ip().is_loopback()
}

/// True for a host that is this machine, whatever it resolves to.
pub(super) fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn open_services(config: &Config) -> Found {
    if !config.callers.rules.default.public || !config.has_upstreams() {
        return Vec::new();
    }
    let (severity, who) = if exposed(config) {
        (Severity::Critical, format!("whoever reaches {}", config.listen))
    } else {
        (Severity::Medium, "every program of this machine, and every page that its proxy serves".to_owned())
    };
    vec![finding(
        severity,
        "access.default",
        format!("every method of the upstreams that no rule names is open to {who}"),
        "take \"authenticated\", and name what is public in [[access.rules]]",
    )]
}

fn wide_rules(config: &Config) -> Found {
    let wide = |pattern: &&Pattern| match pattern {
        Pattern::Package(_) => true,
        Pattern::Under { prefix, .. } => prefix.segments().len() < 2,
        Pattern::Method(_) | Pattern::Service(_) | Pattern::Path { .. } => false,
    };
    let mut found = Vec::new();
    for entry in &config.callers.rules.access {
        if !opens(&entry.what) {
            continue;
        }
        for pattern in entry.patterns.iter().filter(wide) {
            found.push(finding(
                if exposed(config) { Severity::High } else { Severity::Low },
                format!("{}.match", entry.key),
                format!("{pattern} opens everything below it, and what is added there tomorrow"),
                "name the services, methods or paths that are meant",
            ));
        }
    }
    found
}

/// True where somebody whom nobody knows may pass from anywhere.
fn opens(rule: &Rule) -> bool {
    rule.public
        || rule
            .allow
            .iter()
            .any(|subject| matches!(subject, Subject::Network(network) if network.is_everything()))
}

fn open_administration(config: &Config) -> Found {
    if !config.built_ins.get(Own::Admin).enabled {
        return Vec::new();
    }
    let place = Place { method: "propylon.gateway.v1.AdminService/Reload", paths: &[] };
    let Ok((access, _)) = config.callers.rules.terms(&place, Whose::Own, &mut Used::default()) else {
        return Vec::new();
    };
    let key = || access.rules().first().map_or_else(String::new, |rule| rule.name.to_string());
    let asks_for_a_role =
        |rule: &Rule| !rule.roles.is_empty() || !rule.permissions.is_empty() || !rule.scopes.is_empty();
    if access.rules().iter().all(|rule| opens(rule)) {
        return vec![finding(
            Severity::Critical,
            key(),
            "AdminService is open to everyone: who calls it changes what is served, and who may call",
            "ask for the role admin",
        )];
    }
    if !access.rules().iter().any(|rule| asks_for_a_role(rule)) {
        return vec![finding(
            Severity::High,
            key(),
            "AdminService is open to every caller that is known, whatever it is known for",
            "ask for the role admin",
        )];
    }
    Vec::new()
}

fn nobody_known(config: &Config) -> Found {
    let callers = &config.callers;
    let closed = !callers.rules.default.public && config.has_upstreams();
    if !closed || takes_secrets(config) || callers.certificates.is_some() {
        return Vec::new();
    }
    vec![finding(
        Severity::Low,
        "auth",
        "the upstreams are for authenticated callers, and there is no way to know any: nobody can call them",
        "switch on [builtin.auth], name an issuer in [[auth.issuers]] or a token in [[auth.tokens]], or open what is public in [[access.rules]]",
    )]
}

/// True where callers send what is good in anybody's hands: tokens, API keys, and the passwords of the gateway's own accounts.
fn takes_secrets(config: &Config) -> bool {
    let callers = &config.callers;
    config.built_ins.has_accounts() || !callers.issuers.is_empty() || !callers.tokens.is_empty()
}

fn plain_text(config: &Config) -> Found {
    if !exposed(config) || config.tls.is_some() {
        return Vec::new();
    }
    let (severity, what) = if takes_secrets(config) {
        (Severity::High, "calls and their credentials")
    } else {
        (Severity::Medium, "calls")
    };
    vec![finding(
        severity,
        "gateway.listen",
        format!("{} speaks plain text: who is on the way reads and changes {what}", config.listen),
        "[tls] with a certificate and its key; or end TLS before it, on the same machine, and listen on 127.0.0.1",
    )]
}

fn upstreams_in_plain_text(config: &Config) -> Found {
    let grpc = config.upstreams.iter().map(|it| ("grpc", &it.name, &it.addresses, it.forward_credentials));
    let http =
        config.http_upstreams.iter().map(|it| ("http", &it.name, &it.addresses, it.forward_credentials));
    let every = grpc.chain(http).flat_map(|(speaks, name, addresses, forwards)| {
        addresses.0.iter().map(move |address| (speaks, name, address, forwards))
    });
    let far = every.filter(|(_, _, address, _)| !address.tls && !is_local(&address.host));
    far.map(|(speaks, name, address, forward_credentials)| {
        let (severity, what) = match forward_credentials {
            true => (Severity::High, "calls, and the callers' credentials that go on with them"),
            false => (Severity::Medium, "calls, and who is said to make them"),
        };
        finding(
            severity,
            format!("upstreams.{name}.{speaks}"),
            format!("{address} is in plain text: who is on the way reads and changes {what}"),
            "https://, with `ca` where its certificate is your own",
        )
    })
    .collect()
}

fn origins(config: &Config) -> Found {
    let mut found = Vec::new();
    if config.cors.origins == Origins::Any {
        found.push(finding(
            if exposed(config) { Severity::Low } else { Severity::Medium },
            "cors.origins",
            "a page of anywhere may call through its reader's browser, from where its reader is",
            "name the origins that are yours",
        ));
    }
    if config.cors.origins == Origins::Loopback && exposed(config) {
        found.push(finding(
            Severity::Low,
            "cors.origins",
            "pages served from a reader's own machine may call",
            "name the origins that are yours",
        ));
    }
    if !config.rest.security_headers {
        found.push(finding(
            Severity::Low,
            "rest.security_headers",
            "browsers are not told to keep to the types that are sent, nor to stay out of frames",
            "leave them on, unless something before the gateway sets them",
        ));
    }
    found
}

fn sizes(config: &Config) -> Found {
    let mut found = Vec::new();
    let mut low =
        |key: &str, reason: String, remedy: &str| found.push(finding(Severity::Low, key, reason, remedy));
    if config.limits.request_bytes > 64 << 20 {
        let reason = format!("one message may take {} MiB of memory", config.limits.request_bytes >> 20);
        low("limits.request_bytes", reason, "a smaller limit, and a larger one for the routes that need it");
    }
    if config.header_bytes > 256 << 10 {
        let reason = format!("the headers of one request may take {} KiB", config.header_bytes >> 10);
        low("limits.header_bytes", reason, "64 KiB are more than most requests have");
    }
    if config.timeout > Duration::from_secs(600) {
        low(
            "limits.timeout",
            format!("one call may hold on for {:?}", config.timeout),
            "a minute, and more where it is needed",
        );
    }
    if config.connections.max_per_address >= config.connections.max {
        let reason = "one address may take every connection there is".to_owned();
        low("connections.max_per_address", reason, "a tenth of `max`");
    }
    found
}

fn told_to_everyone(config: &Config) -> Found {
    if !exposed(config) {
        return Vec::new();
    }
    let is_public = |method: &str| {
        let place = Place { method, paths: &[] };
        let terms = config.callers.rules.terms(&place, Whose::Own, &mut Used::default());
        terms.is_ok_and(|(access, _): (Access, _)| access.is_public())
    };
    let mut found = Vec::new();
    let reflection = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    if config.built_ins.get(Own::Reflection).enabled && is_public(reflection) {
        found.push(finding(
            Severity::Low,
            "builtin.reflection",
            "everyone may read the whole contract, of methods that are not for everyone too",
            "a rule for grpc.reflection.* in [[access.rules]], or enabled = false",
        ));
    }
    if config.built_ins.get(Own::Routing).enabled
        && is_public("propylon.gateway.v1.RoutingService/ListRoutes")
    {
        found.push(finding(
            Severity::Medium,
            "access.rules",
            "everyone may read the routing table, with the addresses of the upstreams",
            "leave RoutingService to administrators",
        ));
    }
    if &*config.environment == "development" {
        found.push(finding(
            Severity::Low,
            "gateway.environment",
            "it calls itself a development, and listens to others than this machine",
            "say which environment it is",
        ));
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::audit) fn audit(config: &str) -> Vec<(Severity, String)> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("good"), "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv").unwrap();
        std::fs::write(folder.path().join("weak"), "abcdefabcfedabcdfeabcdefbadcfeabcdef").unwrap();
        std::fs::write(folder.path().join("short"), "q9Zr2Lx8Vw4Tn6Yb").unwrap();
        let config = Config::parse(config, folder.path()).unwrap();
        findings(&config)
            .into_iter()
            .map(|found| {
                assert!(!found.reason.is_empty() && !found.remedy.is_empty());
                (found.severity, found.key)
            })
            .collect()
    }

    #[test]
    fn the_defaults_have_nothing_to_find() {
        assert_eq!(audit(""), []);
    }

    #[test]
    fn each_weakness_is_found_with_its_key() {
        use Severity::{Critical, High, Low, Medium};
        let check = |config: &str, severity: Severity, key: &str| {
            let found = audit(config);
            assert!(found.contains(&(severity, key.to_owned())), "{config}\n{found:?}");
        };
        let open = "[gateway]\nlisten = \"0.0.0.0:80\"\n";
        let books = "[[upstreams]]\nname = \"books\"\ngrpc = \"http://127.0.0.1:9000\"\n";
        let far = "[[upstreams]]\nname = \"far\"\ngrpc = \"http://far.example:9000\"\n";
        let issuer = "[[auth.issuers]]\nname = \"a\"\n";
        check(&format!("{open}{books}[access]\ndefault = \"public\""), Critical, "access.default");
        check(&format!("{books}[access]\ndefault = \"public\""), Medium, "access.default");
        check(
            &format!("{open}[[access.rules]]\nmatch = [\"shop.*\"]\npublic = true"),
            High,
            "access.rules[0].match",
        );
        check(
            &format!("{open}[[access.rules]]\nmatch = [\"/**\"]\nallow = [\"network:0.0.0.0/0\"]"),
            High,
            "access.rules[0].match",
        );
        let admin = "[[access.rules]]\nmatch = [\"propylon.gateway.v1.AdminService\"]\n";
        check(&format!("{admin}public = true"), Critical, "access.rules[0]");
        check(&format!("{admin}tiers = [\"elite\"]"), High, "access.rules[0]");
        // Passwords of the gateway's own accounts, unless it has none.
        let no_accounts = "[builtin.auth]\nenabled = false\n[builtin.users]\nenabled = false\n";
        check(open, High, "gateway.listen");
        check(&format!("{open}{no_accounts}"), Medium, "gateway.listen");
        check(
            &format!("{open}{no_accounts}[[auth.tokens]]\nname = \"t\"\ntoken = {{ file = \"good\" }}"),
            High,
            "gateway.listen",
        );
        check(&format!("{books}{no_accounts}"), Low, "auth");
        check(far, Medium, "upstreams.far.grpc");
        check(&format!("{far}forward_credentials = true"), High, "upstreams.far.grpc");
        let unchecked = "check_audience = false\ncheck_issuer = false\n";
        check(
            &format!("{issuer}{unchecked}jwks = \"https://a.example\"\nclaims = {{ roles = [\"roles\"] }}"),
            High,
            "auth.issuers.a.check_audience",
        );
        check(
            &format!("{issuer}{unchecked}jwks = \"https://a.example\""),
            Medium,
            "auth.issuers.a.check_issuer",
        );
        check(&format!("{issuer}{unchecked}secret = {{ file = \"weak\" }}"), High, "auth.issuers.a.secret");
        check(&format!("{issuer}{unchecked}jwks = \"http://127.0.0.1:1\""), Low, "auth.issuers.a.jwks");
        let token = "[[auth.tokens]]\nname = \"t\"\ntoken = { file = \"short\" }\n";
        check(token, Medium, "auth.tokens.t");
        check(&format!("{token}roles = [\"admin\"]"), Low, "auth.tokens.t");
        check(&format!("{open}[rate_limits]\nenabled = false"), High, "rate_limits.enabled");
        check(&format!("{open}[rate_limits]\naddress = 0"), High, "rate_limits.address");
        check(&format!("{open}[rate_limits]\nexempt = [\"0.0.0.0/0\"]"), High, "rate_limits.exempt");
        check(&format!("{open}[rate_limits]\ndefault_tier = \"elite\""), Medium, "rate_limits.default_tier");
        check("[gateway]\ntrusted_proxies = [\"::/0\"]", Critical, "gateway.trusted_proxies");
        check(&format!("{open}trusted_proxies = [\"nearest\"]"), Medium, "gateway.trusted_proxies");
        check("[cors]\norigins = [\"*\"]", Medium, "cors.origins");
        check(&format!("{open}[cors]\norigins = [\"loopback\"]"), Low, "cors.origins");
        check("[rest]\nsecurity_headers = false", Low, "rest.security_headers");
        check("[limits]\nrequest_bytes = 1000000000", Low, "limits.request_bytes");
        check("[limits]\nheader_bytes = 1000000", Low, "limits.header_bytes");
        check("[limits]\ntimeout = \"1h\"", Low, "limits.timeout");
        check("[connections]\nmax = 10\nmax_per_address = 10", Low, "connections.max_per_address");
        check(open, Low, "builtin.reflection");
        check(open, Low, "gateway.environment");
        let routing = "[[access.rules]]\nmatch = [\"propylon.gateway.v1.RoutingService\"]\npublic = true";
        check(&format!("{open}{routing}"), Medium, "access.rules");
    }

    #[test]
    fn who_registers_is_a_caller_that_is_known() {
        let books = "[[upstreams]]\nname = \"books\"\ngrpc = \"http://127.0.0.1:9000\"\n";
        let about = |config: &str| audit(config).into_iter().any(|(_, key)| key == "auth");
        assert!(!about(books));
        // Who has an account already, of a gateway whose AuthService is off, is known by its API keys.
        assert!(!about(&format!("{books}[builtin.auth]\nenabled = false\n")));
        assert!(about(&format!(
            "{books}[builtin.auth]\nenabled = false\n[builtin.users]\nenabled = false\n"
        )));
    }

    #[test]
    fn a_file_that_everyone_writes_is_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(of_file(file.path()), None);
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(of_file(file.path()).unwrap().severity, Severity::High);
    }
}
