//! What the sections about callers come to, and what is wrong with them.

use std::path::Path;

use super::{super::Config, *};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("secret", "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv\n");
    write("short", "q9Zr2Lx8Vw4Tn6Yb");
    write("tiny", "q9Zr2Lx8");
    write("placeholder", "change-me-please-change-me-please-x");
    folder
}

fn parse(text: &str, folder: &Path) -> Result<Callers, String> {
    Config::parse(text, folder).map(|config| config.callers).map_err(|error| error.to_string())
}

#[test]
fn everything_written_is_meant() {
    let folder = folder();
    let callers = parse(
        r#"
        [gateway]
        trusted_proxies = ["10.0.0.0/8", "nearest"]
        forwarded_header = "Forwarded"
        [[auth.issuers]]
        name = "accounts"
        issuer = "https://accounts.example"
        audience = ["shop"]
        jwks = "https://accounts.example/keys"
        leeway = "5s"
        claims = { roles = ["realm_access.roles", "groups"], tier = "plan" }
        [[auth.issuers]]
        name = "legacy"
        check_issuer = false
        check_audience = false
        secret = { file = "secret" }
        claims = { id = "user_id", roles = ["role"] }
        [[auth.tokens]]
        name = "operator"
        token = { file = "secret" }
        roles = ["admin"]
        [access]
        default = "public"
        [[access.rules]]
        match = ["shop.v1.*", "GET /v1/admin/**"]
        roles = ["admin"]
        allow = ["loopback"]
        deny = ["user:evil", "network:192.0.2.0/24"]
        [rate_limits]
        address = 10
        burst = 0
        tiers = { basic = 5, gold = 0 }
        default_tier = "basic"
        exempt = ["192.0.2.0/24"]
        reset = "delta"
        [[rate_limits.rules]]
        match = ["shop.v1.Shop/Get"]
        calls = 3
        window = "10s"
        by = "everyone"
        "#,
        folder.path(),
    )
    .unwrap();
    let [accounts, legacy] = callers.issuers.as_slice() else { panic!("two issuers") };
    assert_eq!(accounts.issuer.as_deref(), Some("https://accounts.example"));
    assert_eq!(
        (&accounts.audiences[..], accounts.leeway),
        (&["shop".to_owned()][..], Duration::from_secs(5))
    );
    assert_eq!(accounts.claims.roles, ["realm_access.roles", "groups"]);
    assert_eq!((legacy.issuer.as_ref(), legacy.audiences.len(), &*legacy.claims.id), (None, 0, "user_id"));
    assert!(matches!(&legacy.keys, Keys::Secret { algorithm, .. } if algorithm == "HS256"));
    let [operator] = callers.tokens.as_slice() else { panic!("one token") };
    assert_eq!((&*operator.user, operator.token.expose().len()), ("operator", 32));
    assert!(!format!("{callers:?}").contains("q9Zr2Lx8"), "secrets are not shown");
    assert!(callers.rules.default.public);
    assert_eq!(
        callers.rules.access[0].what.to_string(),
        "role admin, or this machine, but not user evil, network 192.0.2.0/24 (access.rules[0])"
    );
    assert_eq!(callers.limits.address.as_ref().map(|limit| limit.rate.most()), Some(10));
    assert_eq!(callers.limits.tiers["gold"], None);
    assert!(!callers.limits.exempt_loopback && callers.proxies.nearest_private && callers.proxies.forwarded);
}

#[test]
fn mistakes_are_named() {
    let folder = folder();
    let check = |text: &str, want: &str| match parse(text, folder.path()) {
        Ok(_) => panic!("{text} is taken"),
        Err(error) => assert!(error.contains(want), "{text}\n gave {error}\n not {want}"),
    };
    let issuer = "[[auth.issuers]]\nname = \"a\"\nissuer = \"https://a.example\"\naudience = [\"x\"]\n";
    check("[auth]\nissuers = [{ name = \"a\" }]", "what iss must be");
    check("[[auth.issuers]]\nname = \"a\"\nissuer = \"https://a.example\"", "what aud must name");
    check(issuer, "one place has its keys");
    check(
        &format!("{issuer}jwks = \"http://a.example/keys\""),
        "\"http://a.example/keys\" is not an address to read keys from",
    );
    check(&format!("{issuer}jwks = \"https://a.example\"\nleeway = \"61s\""), "at most 60s");
    check(&format!("{issuer}secret = \"0123\""), "a credential is not written into the config");
    check(&format!("{issuer}secret = {{ file = \"short\" }}"), "the secret has 16 bytes; at least 32");
    check(&format!("{issuer}secret = {{ file = \"placeholder\" }}"), "a placeholder");
    check(&format!("{issuer}secret = {{ file = \"none\" }}"), "cannot be used");
    check(&format!("{issuer}secret = {{ env = \"PROPYLON_NO_SUCH\" }}"), "PROPYLON_NO_SUCH is not set");
    check(
        &format!("{issuer}secret = {{ file = \"secret\" }}\nalgorithm = \"RS256\""),
        "not an algorithm for a secret",
    );
    check(
        &format!("{issuer}jwks = \"https://a.example\"\n{issuer}jwks = \"https://a.example\""),
        "no name of its own",
    );
    check("[[auth.tokens]]\nname = \"t\"", "token");
    check("[[auth.tokens]]\nname = \"t\"\ntoken = { file = \"tiny\" }", "at least 16 characters");
    check("[access]\ndefault = \"publik\"", "publik");
    check("[[access.rules]]\nroles = [\"a\"]", "it is about nothing");
    check("[[access.rules]]\nmatch = [\"a b\"]", "\"a b\" is no pattern");
    check(
        "[[access.rules]]\nmatch = [\"a.*\"]\npublic = true\nroles = [\"x\"]",
        "a public rule asks for no roles",
    );
    check("[[access.rules]]\nmatch = [\"a.*\"]\nallow = [\"bob\"]", "\"bob\" names nobody");
    check(
        "[[access.rules]]\nmatch = [\"a.*\"]\n[[access.rules]]\nmatch = [\"a.*\"]",
        "a.* has a rule already, access.rules[0]",
    );
    // A rule that only denies stands beside one that says who may.
    let beside =
        "[[access.rules]]\nmatch = [\"a.*\"]\n[[access.rules]]\nmatch = [\"a.*\"]\ndeny = [\"role:x\"]";
    assert!(parse(beside, folder.path()).is_ok());
    let allow = |subject: &str| format!("[[access.rules]]\nmatch = [\"a.*\"]\nallow = [\"{subject}\"]\n");
    check(&allow("user:boss@a.example"), "\"boss@a.example\" admits nobody");
    check(
        &format!(
            "{}{}jwks = \"https://a.example\"",
            allow("user:acounts/7"),
            issuer.replace("\"a\"", "\"accounts\"")
        ),
        "\"acounts\" is none of auth.issuers; a user of the gateway's own is user:ID (did you mean \"user:accounts/7\"?)",
    );
    let user = "[[auth.tokens]]\nname = \"t\"\ntoken = { file = \"secret\" }\nuser = \"boss@a.example\"";
    assert!(parse(&format!("{}{user}", allow("user:boss@a.example")), folder.path()).is_ok());
    let limit = |name: &str| format!("[[rate_limits.rules]]\nmatch = [\"a.*\"]\ncalls = 1\n{name}\n");
    let named = |name: &str| limit(&format!("name = \"{name}\""));
    for own in ["address", "caller"] {
        check(&named(own), &format!("a limit of the gateway's own has the name {own:?} already"));
    }
    check(&named("tier-free"), "rate_limits.tiers.free has the name \"tier-free\" already");
    check(&named("tier-gold"), "\"tier-gold\" is a name of the tiers' limits");
    // As they are written in a header, and counted by.
    check(&(named("a b") + &named("a-b")), "rate_limits.rules[0] has the name \"a-b\" already");
    check(&(named("rule-1") + &limit("")), "rate_limits.rules[0] has the name \"rule-1\" already");
    assert!(parse(&(named("a") + &limit("") + &limit("")), folder.path()).is_ok());
    check("[rate_limits]\ndefault_tier = \"gold\"", "\"gold\" is not among the tiers (elite, free, premium)");
    check("[rate_limits]\nwindow = \"500ms\"", "the shortest window is 1s");
    check("[rate_limits]\nexempt = [\"here\"]", "\"here\" is not a network");
    check("[rate_limits]\nreset = \"never\"", "never");
    check("[[rate_limits.rules]]\nmatch = [\"a.*\"]", "calls");
    check("[[rate_limits.rules]]\nmatch = [\"a.*\"]\ncalls = 1\nby = \"day\"", "day");
    check("[gateway]\ntrusted_proxies = [\"all\"]", "\"all\" is not a network");
    check("[gateway]\nforwarded_header = \"x-real-ip\"", "it is \"x-forwarded-for\" or \"forwarded\"");
}
