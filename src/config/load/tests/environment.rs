//! The environment over the file: every key's variable, the names of other systems, service links, and who goes first.

use super::*;

#[test]
fn flags_go_before_variables_before_names_before_the_file() {
    let file = "[gateway]\nlisten = \"127.0.0.1:1\"\n";
    let listen = |environment: &[(&str, &str)], flag: Option<&str>| {
        let environment = environment.iter().copied().collect();
        let sources = Sources { environment, ..Sources::default() };
        let loaded = sources.with_flag("--listen", "gateway.listen", flag).check(
            Some(Path::new("c.toml")),
            file,
            true,
        );
        let origin = loaded.source.origin("gateway.listen");
        let (config, _) = loaded.accept().unwrap_or_else(|error| panic!("{error}"));
        (config.listen.to_string(), origin)
    };
    let variable = |name: &str| Origin::Variable(name.into());
    assert_eq!(listen(&[], None), ("127.0.0.1:1".into(), Origin::File(19..32)));
    let names = [("GATEWAY_PORT", "2"), ("GATEWAY_HOST", "::")];
    assert_eq!(listen(&names, None), ("[::]:2".into(), variable("GATEWAY_PORT")));
    let ours = [("GATEWAY_PORT", "2"), ("PROPYLON_GATEWAY__LISTEN", "127.0.0.1:3")];
    assert_eq!(listen(&ours, None), ("127.0.0.1:3".into(), variable("PROPYLON_GATEWAY__LISTEN")));
    assert_eq!(listen(&ours, Some("127.0.0.1:4")), ("127.0.0.1:4".into(), Origin::Flag("--listen".into())));
    assert_eq!(load(file, &[]).source.origin("gateway.workers"), Origin::Default);
}

#[test]
fn every_listed_name_does_what_it_says() {
    let check = |environment: &[(&str, &str)], want: &dyn Fn(&Config) -> bool| {
        let books = "[[upstreams]]\nname = \"user-books\"\ngrpc = \"http://h:1\"\n";
        let loaded = load(books, environment);
        assert!(loaded.mistakes.is_empty(), "{environment:?}: {}", loaded.report());
        assert!(want(&loaded.config), "{environment:?}: {:?}", loaded.config);
    };
    let origins = |config: &Config| format!("{:?}", config.cors.origins);
    check(&[("GATEWAY_HOST", "0.0.0.0")], &|c| c.listen.to_string() == "0.0.0.0:8080");
    check(&[("GATEWAY_PORT", "9")], &|c| c.listen.to_string() == "127.0.0.1:9");
    check(&[("NODE_ENV", "production")], &|c| &*c.environment == "production");
    check(&[("NODE_ENV", "a"), ("ENVIRONMENT", "b")], &|c| &*c.environment == "b");
    check(&[("DEBUG", "true")], &|c| c.log.level == LogLevel::Debug);
    check(&[("DEBUG", "1"), ("LOG_LEVEL", "Warning")], &|c| c.log.level == LogLevel::Warn);
    check(&[("LOG_LEVEL", "ERROR")], &|c| c.log.level == LogLevel::Error);
    check(&[("LOG_REQUESTS", "false")], &|c| !c.log.requests);
    check(&[("LOG_STRUCTURED", "true")], &|c| c.log.format == LogFormat::Json);
    check(&[("LOG_STRUCTURED", "False")], &|c| c.log.format == LogFormat::Text);
    let listed = "Listed([\"http://a.example\", \"http://b.example\"])";
    check(&[("CORS_ORIGINS", "http://a.example, http://b.example")], &|c| origins(c) == listed);
    check(&[("BACKEND_CORS_ORIGINS", r#"["http://a.example", "http://b.example"]"#)], &|c| {
        origins(c) == listed
    });
    check(&[("CORS_ORIGINS", "*"), ("CORS_ENABLED", "false")], &|c| origins(c) == "None");
    check(&[("CORS_ORIGINS", "http://a.example"), ("CORS_CREDENTIALS", "true")], &|c| c.cors.credentials);
    let database = |config: &Config| config.store.database.to_string();
    check(&[("DATABASE_URL", "sqlite+aiosqlite:///./a.db")], &|c| database(c) == "sqlite:./a.db");
    check(&[("DATABASE_URL", "postgresql+asyncpg://u:secret@h/a")], &|c| {
        database(c) == "postgres://h:5432/a"
    });
    check(&[("POSTGRES_URL", "postgres://u:secret@h:7/a")], &|c| database(c) == "postgres://h:7/a");
    check(&[("POSTGRES_URL", "postgres://h/a"), ("DATABASE_URL", "postgres://h/b")], &|c| {
        database(c).ends_with("/b")
    });
    check(&[("REDIS_URL", "redis://:secret@h:6379/2")], &|c| {
        c.store.redis.as_ref().is_some_and(|url| url.to_string() == "redis://h:6379/2")
    });
    const KEY: &str = "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv";
    let signs = |config: &Config, algorithm: &str| {
        let secret = config.callers.secret.as_ref();
        secret.is_some_and(|own| own.secret.expose() == KEY && own.algorithm == algorithm)
    };
    check(&[("SECRET_KEY", KEY)], &|c| signs(c, "HS256"));
    check(&[("SECRET_KEY", "another"), ("JWT_SECRET_KEY", KEY), ("ALGORITHM", "HS512")], &|c| {
        signs(c, "HS512")
    });
    check(&[("JWT_SECRET_KEY", KEY), ("ALGORITHM", "HS512"), ("JWT_ALGORITHM", "HS384")], &|c| {
        signs(c, "HS384")
    });
    check(&[("JWT_ALGORITHM", "EdDSA")], &|c| c.callers.secret.is_none());
    let lifetime = |config: &Config| config.accounts.rules.access_lifetime.as_secs();
    check(&[("ACCESS_TOKEN_EXPIRE_MINUTES", "1440")], &|c| lifetime(c) == 86400);
    check(&[("ACCESS_TOKEN_EXPIRE_MINUTES", "1"), ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "30")], &|c| {
        lifetime(c) == 1800
    });
    check(&[("ADMIN_EMAIL", "op@x.example"), ("ADMIN_PASSWORD", "Correct-Horse-7")], &|c| {
        c.accounts.admin_email == "op@x.example"
            && c.accounts.admin_password.as_ref().is_some_and(|word| word.expose() == "Correct-Horse-7")
    });
    check(&[("API_TOKEN", "Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv")], &|c| {
        let [token] = c.callers.tokens.as_slice() else { return false };
        (&*token.user, token.roles.len(), token.token.expose())
            == ("api-token", 0, "Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv")
    });
    let limit = |config: &Config| {
        let limits = &config.callers.limits;
        limits.address.as_ref().map(|limit| (limit.rate.calls(), limit.rate.burst(), limit.rate.window_ms()))
    };
    check(&[("RATE_LIMIT_ENABLED", "false")], &|c| !c.callers.limits.enabled);
    check(&[("RATE_LIMIT_GLOBAL", "5"), ("RATE_LIMIT_WINDOW", "2000")], &|c| limit(c) == Some((5, 0, 2000)));
    check(&[("RATE_LIMIT_GLOBAL", "5"), ("RATE_LIMIT_BURST", "3")], &|c| limit(c) == Some((5, 3, 60000)));
    check(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "7")], &|c| limit(c) == Some((7, 20, 60000)));
    check(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "0")], &|c| limit(c).is_none());
    let proxies =
        |config: &Config| (config.callers.proxies.nearest_private, config.callers.proxies.networks.len());
    check(&[("TRUST_PROXY", "true")], &|c| proxies(c) == (true, 0));
    check(&[("TRUST_PROXY", "false")], &|c| proxies(c) == (false, 0));
    check(&[("TRUST_PROXY", "loopback, 10.0.0.0/8")], &|c| proxies(c) == (false, 3));
    check(&[("USER_BOOKS_SERVICE_URL", "http://b:2")], &|c| {
        c.upstreams[0].addresses.to_string() == "http://b:2"
    });
    check(&[("USER_BOOKS_SERVICE_URL", "http://b:2,http://c:3")], &|c| {
        c.upstreams[0].addresses.to_string() == "http://b:2, http://c:3"
    });
    check(&[("GATEWAY_PORT", ""), ("OTHER_SERVICE_URL", "nonsense")], &|c| c.listen.port() == 8080);
}

#[test]
fn what_a_listed_name_cannot_mean_is_told_under_its_name() {
    let check = |environment: &[(&str, &str)], want: &[&str]| {
        let report = load("[rate_limits]\nwindow = \"10s\"", environment).report().to_string();
        for want in want {
            assert!(report.contains(want), "{environment:?}: {report}");
        }
        assert!(!report.contains("hunter2"), "{report}");
    };
    check(
        &[("JWT_SECRET_KEY", "your-super-secret-jwt-key")],
        &["JWT_SECRET_KEY", "auth.secret", "placeholder"],
    );
    check(&[("SECRET_KEY", "hunter2")], &["SECRET_KEY", "has 7 bytes; at least 32 are needed"]);
    check(&[("SECRET_KEY", "hunter2-and-more")], &["SECRET_KEY", "at least 32 are needed"]);
    check(
        &[("SECRET_KEY", "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv"), ("ALGORITHM", "RS256")],
        &["ALGORITHM", "\"RS256\" is not an algorithm for a secret"],
    );
    check(&[("JWT_ALGORITHM", "HS256")], &["JWT_ALGORITHM", "\"HS256\" needs a secret"]);
    check(&[("JWT_ALGORITHM", "RS256")], &["JWT_ALGORITHM", "\"RS256\" is not among HS256, HS384 and HS512"]);
    check(&[("API_TOKEN", "short-hunter2")], &["API_TOKEN", "at least 16 characters"]);
    check(&[("API_TOKEN", "changeme-changeme-changeme")], &["API_TOKEN", "placeholder"]);
    check(&[("DATABASE_URL", "mysql://u:hunter2@h/a")], &["DATABASE_URL", "mysql is no database"]);
    check(&[("ADMIN_EMAIL", "root")], &["ADMIN_EMAIL", "has an @"]);
    check(&[("ADMIN_PASSWORD", "password123")], &["ADMIN_PASSWORD", "one of the most common"]);
    check(&[("ADMIN_EMAIL", "op@x.example"), ("ADMIN_PASSWORD", "op@x.example")], &["it is the e-mail"]);
    check(&[("TRUST_PROXY", "2")], &["TRUST_PROXY", "2 hops cannot be told"]);
    check(&[("TRUST_PROXY", "proxy.example")], &["TRUST_PROXY", "\"proxy.example\""]);
    check(&[("RATE_LIMIT_WINDOW", "1m")], &["RATE_LIMIT_WINDOW", "not a number of milliseconds"]);
    check(&[("RATE_LIMIT_WINDOW", "1")], &["RATE_LIMIT_WINDOW", "the shortest window is 1s"]);
    check(&[("RATE_LIMIT_GLOBAL", "-1")], &["RATE_LIMIT_GLOBAL", "not a number of calls"]);
    check(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "5")], &["this is a number for a minute"]);
    check(&[("ACCESS_TOKEN_EXPIRE_MINUTES", "soon")], &["not a number of minutes"]);
}

#[test]
fn service_links_are_ignored_with_a_warning() {
    let names =
        ["REDIS_URL", "DATABASE_URL", "GATEWAY_PORT", "SECRET_KEY", "RATE_LIMIT_WINDOW", "TRUST_PROXY"];
    for name in names {
        let loaded = load("", &[(name, "tcp://10.0.0.1:6379"), ("REDIS_PORT", "tcp://10.0.0.1:6379")]);
        let report = loaded.report().to_string();
        let (config, warnings) = loaded.accept().unwrap_or_else(|error| panic!("{error}"));
        assert!(!warnings.is_empty() && report.contains("service link; it is ignored"), "{name}: {report}");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()), "{name}");
    }
}

#[test]
fn an_upstreams_address_is_no_service_link() {
    let books = "[[upstreams]]\nname = \"books\"\ngrpc = \"http://h:1\"\n";
    let loaded = load(books, &[("BOOKS_SERVICE_URL", "tcp://10.0.0.1:80")]);
    let (config, warnings) = loaded.accept().unwrap_or_else(|error| panic!("{error}"));
    assert!(warnings.to_string().contains("BOOKS_SERVICE_URL"), "{warnings}");
    assert_eq!(config.upstreams[0].addresses.to_string(), "http://h:1");
}

#[test]
fn the_one_token_is_that_of_the_configs_own_entry() {
    let text = "[[auth.tokens]]\nname = \"owner\"\ntoken = { env = \"API_TOKEN\" }\nroles = [\"admin\"]";
    let (config, _) = load(text, &[("API_TOKEN", "Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv")]).accept().unwrap();
    assert_eq!(config.callers.tokens.iter().map(|token| &*token.name).collect::<Vec<_>>(), ["owner"]);
    // Without it the config says that it is missing.
    let report = load(text, &[]).report().to_string();
    assert!(report.contains("API_TOKEN is not set"), "{report}");
    let networks = "[gateway]\ntrusted_proxies = [\"192.0.2.0/24\"]";
    let (config, _) = load(networks, &[("TRUST_PROXY", "true")]).accept().unwrap();
    assert!(!config.callers.proxies.nearest_private && config.callers.proxies.networks.len() == 1);
}

#[test]
fn every_key_has_a_variable() {
    let check = |name: &str, value: &str, want: &dyn Fn(&Config) -> bool| {
        let books = "[[upstreams]]\nname = \"books\"\ngrpc = \"http://h:1\"\n";
        let loaded = load(books, &[(name, value)]);
        assert!(loaded.mistakes.is_empty(), "{name}: {}", loaded.report());
        assert!(want(&loaded.config), "{name}: {:?}", loaded.config);
    };
    check("PROPYLON_GATEWAY__WORKERS", "3", &|c| c.workers == 3);
    check("PROPYLON_REST__METHOD_PATHS", "yes", &|c| c.rest.method_paths);
    check("PROPYLON_REST__TRAILING_SLASH", "redirect", &|c| {
        format!("{:?}", c.rest.paths).contains("Redirect")
    });
    check("PROPYLON_REST__ERRORS__FIELDS", "code,message", &|c| c.rest.profile.error_fields.len() == 2);
    check("PROPYLON_REST__ERRORS__REASONS__404", "gone", &|c| c.rest.profile.reasons.contains_key(&404));
    check("PROPYLON_REST__ERRORS__STATUSES__ABORTED", "412", &|c| !c.rest.profile.statuses.is_empty());
    check("PROPYLON_REST__INDEX", r#"{"a": 1}"#, &|c| c.rest.index.is_some());
    check("PROPYLON_BUILTIN__GRPC_HEALTH__ENABLED", "false", &|c| {
        !c.built_ins.get(crate::config::Own::GrpcHealth).enabled
    });
    check("PROPYLON_UPSTREAMS__BOOKS__GRPC", "http://b:2", &|c| {
        c.upstreams[0].addresses.to_string() == "http://b:2"
    });
    check("PROPYLON_UPSTREAMS__0__SERVICES", "a.*, b.*", &|c| c.upstreams[0].services.len() == 2);
    check("PROPYLON_UPSTREAMS", r#"[{"name": "a", "grpc": "h:3"}]"#, &|c| &*c.upstreams[0].name == "a");
    check("PROPYLON_UPSTREAMS__BOOKS__METADATA__x-api-key", "5f2b8c1e9d", &|c| {
        c.upstreams[0].metadata[0].1.expose() == "5f2b8c1e9d"
    });
    // What Kubernetes says of a service named propylon.
    check("PROPYLON_PORT_8080_TCP", "tcp://10.0.0.1:8080", &|_| true);
    check("PROPYLON_SERVICE_HOST", "10.0.0.1", &|_| true);
}

#[test]
fn a_variable_of_a_section_changes_only_what_it_names() {
    let text = "[gateway]\nlisten = \"127.0.0.1:1\"\nworkers = 2\n[rest.errors.statuses]\nABORTED = 412\n\
                [[upstreams]]\nname = \"books\"\ngrpc = \"http://h:1\"\n\
                metadata = { x-client = \"a\", X-Api-Key = { env = \"OLD\" } }\n";
    let environment = [
        ("OLD", "0f2b8c1e9d"),
        ("NEW", "5f2b8c1e9d"),
        ("PROPYLON_GATEWAY", r#"{"workers": 3, "environment": "test"}"#),
        ("PROPYLON_GATEWAY__ENVIRONMENT", "staging"),
        ("PROPYLON_REST", r#"{"errors": {"statuses": {"NOT_FOUND": 410}}, "title": "T"}"#),
        ("PROPYLON_UPSTREAMS__BOOKS__METADATA", r#"{"X-Api-Key": {"env": "NEW"}}"#),
        ("PROPYLON_UPSTREAMS__BOOKS__METADATA__X_CLIENT", "b"),
        ("PROPYLON_UPSTREAMS__BOOKS__METADATA__X_TENANT", "c"),
        ("PROPYLON_REST__ERRORS__STATUSES__DATA_LOSS", "599"),
        ("PROPYLON_RATE_LIMITS__TIERS__FREE", "7"),
    ];
    let (config, _) = load(text, &environment).accept().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((config.listen.to_string().as_str(), config.workers), ("127.0.0.1:1", 3));
    assert_eq!(&*config.environment, "staging");
    assert_eq!((config.rest.profile.statuses.len(), &*config.rest.title), (3, "T"));
    let metadata: Vec<_> =
        config.upstreams[0].metadata.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(metadata, [("x-api-key", "5f2b8c1e9d"), ("x-client", "b"), ("x-tenant", "c")]);
    assert!(config.callers.limits.tiers.keys().all(|tier| &**tier == "free"));
}
