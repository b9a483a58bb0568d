//! What a config comes to: defaults, files, precedence, secrets, and that nothing wrong is let through.

use std::{fs, time::Duration};

use serde_json::json;

use super::*;
use crate::config::{Address, LogFormat, LogLevel, SchemaSource, Upstream, json_schema};

fn load(text: &str, environment: &[(&str, &str)]) -> Loaded {
    let environment = environment.iter().copied().collect();
    Sources { environment, ..Sources::default() }.check(
        Some(Path::new("/etc/propylon/propylon.toml")),
        text,
        true,
    )
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    load(text, &[]).accept().map(|(config, _)| config)
}

const EXAMPLE: &str = include_str!("../../../config/propylon.example.toml");

/// The example with every setting that it only mentions.
fn whole_example() -> String {
    let setting = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if setting(rest) => rest,
        _ => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn nothing_written_is_the_default() {
    let config = parse("").unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn the_example_shows_the_defaults() {
    let config = parse(EXAMPLE).unwrap();
    let [books] = config.upstreams.as_slice() else { panic!("one upstream") };
    let address = Address { tls: false, host: "127.0.0.1".into(), port: 9000 };
    assert_eq!(format!("{books:?}"), format!("{:?}", Upstream::at("books", address)));
    assert_eq!((config.services.len(), config.paths.len(), config.http_rules.len()), (1, 0, 2));
    // What is left are the values that have a default.
    let rest = Config { upstreams: vec![], services: vec![], http_rules: vec![], ..config };
    assert_eq!(format!("{rest:?}"), format!("{:?}", Config::default()));
}

#[test]
fn what_the_example_only_mentions_is_right_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("propylon.toml");
    fs::write(&file, whole_example()).unwrap();
    fs::write(folder.path().join("books.key"), "5f2b8c1e9d").unwrap();
    fs::write(folder.path().join("legacy.key"), "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv").unwrap();
    fs::write(folder.path().join("tokens.key"), "Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scvq9Zr2").unwrap();
    fs::write(folder.path().join("operator.key"), "Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv").unwrap();
    fs::write(folder.path().join("admin.password"), "Xy4Tn6Yb1Kd3Mf5Hg7").unwrap();
    fs::write(folder.path().join("films.binpb"), crate::proto::FILE_DESCRIPTOR_SET).unwrap();
    let ca = rcgen::generate_simple_self_signed(["books.internal".to_owned()]).unwrap();
    fs::write(folder.path().join("books-ca.pem"), ca.cert.pem()).unwrap();
    let environment = [("BOOKS_AUTHORIZATION", "Bearer 5f2b8c1e9d")].into_iter().collect();
    let sources = Sources { file: Some(file), environment, ..Sources::default() };
    let (config, warnings) = sources.inspect().accept().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((config.paths.len(), config.http_rules.len(), config.upstreams.len()), (4, 7, 2));
    assert_eq!(warnings.count(), (0, 1), "{warnings}");
    let metadata: Vec<_> =
        config.upstreams[0].metadata.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let want =
        [("authorization", "Bearer 5f2b8c1e9d"), ("x-api-key", "5f2b8c1e9d"), ("x-client", "propylon")];
    assert_eq!(metadata, want);
    assert!(!format!("{config:?}").contains("5f2b8c1e9d"));
}

#[test]
fn the_example_fits_the_schema_and_has_every_key_of_it() {
    let schema = json_schema();
    let validator = jsonschema::draft202012::new(schema).unwrap();
    assert!(jsonschema::draft202012::meta::is_valid(schema));
    for text in [EXAMPLE.to_owned(), whole_example()] {
        let example = Language::Toml.read(&text).root.whole().unwrap().plain();
        let errors: Vec<_> = validator
            .iter_errors(&example)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    let wrong = serde_json::json!({ "gateway": { "listen": 8080 }, "upstreams": [{ "name": "books" }] });
    assert_eq!(validator.iter_errors(&wrong).count(), 2);
    let example = whole_example();
    let keys = |schema: &serde_json::Value| {
        let keys = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone());
        // It is no setting.
        keys.filter(|key| key != "$schema").collect::<Vec<_>>()
    };
    let all = schema["$defs"].as_object().unwrap().values().chain([schema]).flat_map(keys);
    for key in all {
        let there = [format!("\n{key} = "), format!(" {key} = "), format!("[{key}"), format!(".{key}]")];
        assert!(there.iter().any(|text| example.contains(text)), "the example does not have {key}");
    }
}

#[test]
fn everything_written_is_meant() {
    let text = r#"
        [gateway]
        listen = "localhost:9000"
        workers = 3
        drain = "5s"
        [log]
        level = "debug"
        [limits]
        request_bytes = 1000
        timeout = "1m 30s"
        [cors]
        origins = ["https://a.example", "http://b.example:3000"]
        [rest]
        trailing_slash = "ignore"
        [[upstreams]]
        name = "books"
        grpc = "https://books.internal"
        descriptors = "books.binpb"
        services = ["books.v1.Library"]
        timeout = "2s"
        json = { proto_names = true }
        [[upstreams]]
        name = "legacy"
        grpc = "http://[::1]:9001"
        reflection = false
        [[routes]]
        service = "legacy.*"
        upstream = "legacy"
        [[http_rules]]
        selector = "books.v1.Library.GetBook"
        get = "/v2/books/{id}"
        additional_bindings = [{ custom = { kind = "PROPFIND", path = "/dav/{id}" } }]
        "#;
    // With a look at the files: one is not there, and who has it is left out.
    let loaded = load(text, &[]);
    let [mistake] = loaded.mistakes.as_slice() else { panic!("{}", loaded.report()) };
    assert_eq!((mistake.path.as_str(), loaded.config.upstreams.len()), ("upstreams[0].descriptors", 1));
    let config = Config::parse(text, Path::new("/etc/propylon")).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
    assert_eq!((config.workers, config.timeout), (3, Duration::from_secs(90)));
    assert_eq!(config.log.level, LogLevel::Debug);
    let [books, legacy] = config.upstreams.as_slice() else { panic!("two upstreams") };
    assert_eq!(books.address, Address { tls: true, host: "books.internal".into(), port: 443 });
    assert_eq!(books.schema, SchemaSource::Descriptors("/etc/propylon/books.binpb".into()));
    assert!(books.style.proto_names);
    assert_eq!(legacy.address, Address { tls: false, host: "::1".into(), port: 9001 });
    assert_eq!(legacy.schema, SchemaSource::Unknown);
    assert_eq!(config.services.first().map(|route| route.pattern.as_str()), Some("legacy.*"));
    assert_eq!(config.http_rules.len(), 2);
}

#[test]
fn three_languages_say_the_same() {
    let toml = "[gateway]\nworkers = 2\n[[upstreams]]\nname = \"books\"\ngrpc = \"http://h:1\"\nservices = [\"a.*\"]\n";
    let yaml =
        "gateway: {workers: 2}\nupstreams:\n  - name: books\n    grpc: http://h:1\n    services: [a.*]\n";
    let json = r#"{"gateway": {"workers": 2}, "upstreams": [{"name": "books", "grpc": "http://h:1", "services": ["a.*"]}]}"#;
    let of = |name: &str, text: &str| {
        let loaded = Sources::default().check(Some(Path::new(name)), text, true);
        loaded.accept().map(|(config, _)| format!("{config:?}")).unwrap()
    };
    let want = of("c.toml", toml);
    assert!(want.contains("workers: 2") && want.contains("books"));
    assert_eq!(of("c.yaml", yaml), want);
    assert_eq!(of("c.yml", yaml), want);
    assert_eq!(of("c.json", json), want);
    assert_eq!(of("c.conf", toml), want);
}

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
    check(&[("USER_BOOKS_SERVICE_URL", "http://b:2")], &|c| c.upstreams[0].address.host == "b");
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
    assert_eq!(config.upstreams[0].address.host, "h");
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
    check("PROPYLON_UPSTREAMS__BOOKS__GRPC", "http://b:2", &|c| c.upstreams[0].address.port == 2);
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
fn a_place_is_found_by_its_path() {
    let text =
        "[gateway]\nlisten = \"127.0.0.1:1\"\n\n[[upstreams]]\nname = \"bücher\" # ü\ngrpc = \"h:1\"\n";
    let source = load(text, &[]).source;
    let check = |path: &str, want: Option<(usize, usize)>| {
        let span = source.locate(path);
        assert_eq!(span.as_ref().map(|span| (span.line, span.column)), want, "{path}");
        span.map(|span| text[span.bytes].to_owned())
    };
    assert_eq!(check("gateway.listen", Some((2, 10))).as_deref(), Some("\"127.0.0.1:1\""));
    assert_eq!(check("upstreams[0].grpc", Some((6, 8))).as_deref(), Some("\"h:1\""));
    assert_eq!(check("upstreams[0]", Some((4, 1))).as_deref(), Some("[[upstreams]]"));
    // What is not there is shown where it would be.
    check("upstreams[0].metadata.x", Some((4, 1)));
    check("gateway.drain", Some((1, 2)));
    check("limits.timeout", None);
    check("", None);
}

#[test]
fn sources_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("propylon.yaml");
    let sources = Sources { file: Some(file.clone()), ..Sources::default() };
    fs::write(&file, "gateway: {workers: 2}").unwrap();
    assert_eq!(sources.load().config.workers, 2);
    fs::write(&file, "gateway: {workers: 3}").unwrap();
    assert_eq!(sources.load().config.workers, 3);
    fs::write(&file, b"gateway: {workers: 3}\n\xff").unwrap();
    let said = sources.load().report().to_string();
    assert!(said.contains("propylon.yaml:2:1: the config is not UTF-8 text"), "{said}");
    fs::remove_file(&file).unwrap();
    assert!(sources.load().report().to_string().contains("cannot be read: No such file"));
    let folder = Sources { file: Some(folder.path().to_owned()), ..Sources::default() };
    assert!(folder.load().report().to_string().contains("it is a folder, not a file"));
}

/// A config with one table of each kind, as little as is right in it.
fn least(definition: &str, key: &str) -> (serde_json::Value, &'static str) {
    let upstream = json!({ "name": "books", "grpc": "http://h:1" });
    let (issuer, with) = match key {
        "algorithm" => ("secret", json!({ "env": "SECRET" })),
        _ => ("jwks", json!("https://a.example/keys")),
    };
    let issuer = json!({ "name": "a", "issuer": "https://a.example", "audience": ["a"], issuer: with });
    let path = |what: &str, is: serde_json::Value| json!({ "routes": [{ "path": "/a", what: is }] });
    match definition {
        "Upstream" => (json!({ "upstreams": [upstream] }), "/upstreams/0"),
        "Json" => (json!({ "upstreams": [upstream] }), "/upstreams/0/json"),
        "Issuer" if key == "audience" || key == "check_audience" => {
            let audience = if key == "audience" { json!([]) } else { json!(["a"]) };
            let mut issuer = issuer;
            issuer["audience"] = audience;
            issuer["check_audience"] = (key != "audience").into();
            (json!({ "auth": { "issuers": [issuer] } }), "/auth/issuers/0")
        }
        "Issuer" => (json!({ "auth": { "issuers": [issuer] } }), "/auth/issuers/0"),
        "Claims" => (json!({ "auth": { "issuers": [issuer] } }), "/auth/issuers/0/claims"),
        "Token" => (
            json!({ "auth": { "tokens": [{ "name": "a", "token": { "env": "SECRET" } }] } }),
            "/auth/tokens/0",
        ),
        "AccessRule" => (json!({ "access": { "rules": [{ "match": ["*"] }] } }), "/access/rules/0"),
        "LimitRule" => {
            let rule = json!({ "match": ["*"], "calls": 1 });
            (json!({ "rate_limits": { "rules": [rule] } }), "/rate_limits/rules/0")
        }
        "Route" if ["strip_segments", "keep_host", "escaped_slashes"].contains(&key) => {
            let upstream = json!({ "name": "users", "http": "http://h:1" });
            let route = json!({ "path": "/a", "upstream": "users" });
            (json!({ "upstreams": [upstream], "routes": [route] }), "/routes/0")
        }
        "Share" => {
            let route = json!({ "service": "a.B", "upstreams": [{ "name": "books" }] });
            (json!({ "upstreams": [upstream], "routes": [route] }), "/routes/0/upstreams/0")
        }
        "Route" => (path("respond", json!({})), "/routes/0"),
        "Respond" => (path("respond", json!({})), "/routes/0/respond"),
        "Redirect" => (path("redirect", json!({ "to": "/b" })), "/routes/0/redirect"),
        "BuiltIn" => (json!({}), "/builtin/index"),
        "Errors" => (json!({}), "/rest/errors"),
        "HealthBody" => (json!({}), "/rest/health"),
        "RateLimits" => (json!({}), "/rate_limits"),
        section => (json!({}), Box::leak(format!("/{}", section.to_ascii_lowercase()).into_boxed_str())),
    }
}

fn with(mut config: serde_json::Value, at: &str, key: &str, value: &serde_json::Value) -> serde_json::Value {
    let mut node = &mut config;
    for step in at.split('/').skip(1) {
        node = match step.parse::<usize>() {
            Ok(index) => &mut node[index],
            Err(_) => &mut node[step],
        };
    }
    node[key] = value.clone();
    config
}

#[test]
fn the_defaults_of_the_schema_are_those_that_hold() {
    let environment: Environment = [("SECRET", "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv")].into_iter().collect();
    let sources = Sources { environment, ..Sources::default() };
    let meant = |config: &serde_json::Value| {
        let loaded = sources.check(Some(Path::new("c.json")), &config.to_string(), false);
        loaded.accept().map(|(config, _)| format!("{config:?}"))
    };
    let mut tried = 0;
    for (definition, schema) in json_schema()["$defs"].as_object().unwrap() {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let default = &property["default"];
            if default.is_null() {
                continue;
            }
            let (config, at) = least(definition, key);
            let written = meant(&with(config.clone(), at, key, default));
            let written = written.unwrap_or_else(|error| panic!("{definition}.{key} = {default}: {error}"));
            let left_out = meant(&config).unwrap_or_else(|error| panic!("{definition}: {error}"));
            assert_eq!(written, left_out, "{definition}.{key} is not {default} by default");
            tried += 1;
        }
    }
    assert!(tried > 90, "{tried} defaults");
}

#[test]
fn the_schema_has_each_default_that_a_comment_names() {
    // What has no value of its own to be written.
    const WORDS: [&str; 20] = [
        "none",
        "nobody",
        "no ",
        "nothing",
        "the ",
        "its ",
        "who ",
        "what ",
        "all ",
        "any ",
        "of any",
        "one ",
        "those ",
        "limits.",
        "rate_limits.",
        "as the ",
        "[cors]",
        "text/plain; charset=utf-8 for",
        "admin@",
        "true, unless",
    ];
    let mut differ = Vec::new();
    for (definition, schema) in json_schema()["$defs"].as_object().unwrap() {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let comment = property["description"].as_str().unwrap_or_default();
            let Some((_, said)) =
                comment.rsplit_once("Default: ").filter(|(_, said)| !said.contains("without a secret"))
            else {
                continue;
            };
            if WORDS.iter().any(|word| said.starts_with(word)) {
                continue;
            }
            let first = said.split([',', ' ']).next().unwrap_or_default().trim_end_matches('.');
            let same = match &property["default"] {
                serde_json::Value::String(text) => {
                    text == first
                        || matches!((super::super::time(text), super::super::time(first)), (Ok(a), Ok(b)) if a == b)
                        || said.trim_end_matches('.') == text
                }
                serde_json::Value::Array(values) => values.first().is_none_or(|value| value == first),
                serde_json::Value::Object(members) => members.contains_key(first),
                serde_json::Value::Null => false,
                value => format!("{value}") == first,
            };
            if !same {
                differ.push(format!(
                    "{definition}.{key}: the comment says {first}, the schema {}",
                    property["default"]
                ));
            }
        }
    }
    assert_eq!(differ, Vec::<String>::new());
}

#[test]
fn what_the_schema_demands_is_demanded() {
    let environment: Environment = [("SECRET", "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv")].into_iter().collect();
    let sources = Sources { environment, ..Sources::default() };
    let validator = jsonschema::draft202012::new(json_schema()).unwrap();
    let upstream = json!({ "name": "books", "grpc": "http://h:1" });
    let issuer = json!({ "name": "a", "issuer": "i", "audience": ["a"], "jwks": "https://a.example/keys" });
    let rule = json!({ "selector": "a.B.C", "get": "/a" });
    let entries = [
        ("/upstreams", upstream),
        ("/auth/issuers", issuer),
        ("/auth/tokens", json!({ "name": "a", "token": { "env": "SECRET" } })),
        ("/access/rules", json!({ "match": ["*"] })),
        ("/rate_limits/rules", json!({ "match": ["*"], "calls": 1 })),
        ("/routes", json!({ "path": "/a", "respond": {} })),
        ("/routes", json!({ "path": "/a", "redirect": { "to": "/b" } })),
        ("/routes", json!({ "service": "a.B" })),
        ("/http_rules", rule),
        ("/http_rules", json!({ "selector": "a.B.C", "custom": { "kind": "HEAD", "path": "/a" } })),
    ];
    for (list, entry) in entries {
        let (at, list) = list.rsplit_once('/').unwrap();
        let whole = |entry: &serde_json::Value| match at {
            "" => json!({ list: [entry] }),
            at => json!({ at.trim_start_matches('/'): { list: [entry] } }),
        };
        let check = |entry: &serde_json::Value, more: &str| {
            let config = whole(entry);
            let loaded = sources.check(Some(Path::new("c.json")), &config.to_string(), false);
            // Two keys that no schema demands: which of them are, depends on others.
            let (ours, theirs) = (!loaded.is_wrong(), validator.is_valid(&config));
            assert_eq!(ours, theirs, "{config} {more}: {}", loaded.report());
            ours
        };
        assert!(check(&entry, ""), "{entry}");
        for key in
            entry.as_object().unwrap().keys().filter(|key| !matches!(key.as_str(), "issuer" | "audience"))
        {
            let mut without = entry.clone();
            without.as_object_mut().unwrap().remove(key);
            assert!(!check(&without, key), "{without}");
        }
    }
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

#[test]
fn what_only_looks_at_a_config_misses_no_secret() {
    let text = "[store]\ndatabase = { env = \"DB\" }\n[accounts]\nadmin_password = { env = \"PW\" }\n\
                [[upstreams]]\nname = \"a\"\ngrpc = \"http://h:1\"\nmetadata = { x-key = { file = \"none\" } }\n\
                [[auth.issuers]]\nname = \"i\"\ncheck_issuer = false\ncheck_audience = false\nsecret = { env = \"S\" }\n\
                [[auth.tokens]]\nname = \"t\"\ntoken = { env = \"T\" }\n";
    let check = |sources: Sources, want: usize| {
        let loaded = sources.check(Some(Path::new("c.toml")), text, true);
        assert_eq!(loaded.report().count().0, want, "{}", loaded.report());
        loaded.config
    };
    check(Sources::default(), 5);
    let config = check(Sources::default().without_secrets(), 0);
    assert_eq!((config.callers.issuers.len(), config.callers.tokens.len()), (1, 1));
    assert!(config.upstreams[0].metadata.is_empty());
    // What is written wrongly is wrong for everybody.
    let literal = "[[auth.tokens]]\nname = \"t\"\ntoken = \"changeme\"\n";
    let loaded = Sources::default().without_secrets().check(Some(Path::new("c.toml")), literal, true);
    assert!(loaded.is_wrong());
}

#[test]
fn many_mistakes_cost_no_more_than_each() {
    // On many lines, in one line, and in the names of a map.
    let lines = |many: usize| {
        let keys = (0..many).map(|n| format!("unknown_{n} = {n}\n"));
        load(&format!("[gateway]\n{}", keys.collect::<String>()), &[])
    };
    let line = |many: usize| {
        let keys: Vec<String> = (0..many).map(|n| format!("\"unknown_{n}\": {n}")).collect();
        let text = format!("{{ \"gateway\": {{ {} }} }}", keys.join(", "));
        Sources::default().check(Some(Path::new("c.json")), &text, true)
    };
    let map = |many: usize| {
        let keys = (0..many).map(|n| format!("other_{n} = {{}}\n"));
        load(&format!("[builtin]\n{}", keys.collect::<String>()), &[])
    };
    let ways: [&dyn Fn(usize) -> Loaded; 3] = [&lines, &line, &map];
    for (way, of) in ways.iter().enumerate() {
        let cost = |many: usize| {
            let began = std::time::Instant::now();
            let report = of(many).report();
            let said = report.to_string();
            assert_eq!((report.count().0, said.matches("there is no such key").count() % many), (many, 0));
            assert!(said.len() < many * 1_000, "{} bytes", said.len());
            began.elapsed()
        };
        // Four times as many cost four times as much; what is quadratic costs sixteen times.
        let (few, many) = (cost(5_000), cost(20_000));
        assert!(many < few * 10 + Duration::from_secs(1), "{way}: {few:?} and {many:?}");
    }
}
