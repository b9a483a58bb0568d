//! What holds where nothing is written, what the example shows of it, and that everything written is meant.

use super::*;

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
    // The one folder that it names is somewhere else here.
    fs::write(&file, whole_example().replace("\"/srv/files\"\n", "\".\"\n")).unwrap();
    fs::write(folder.path().join("files-token"), "Tn6Yb1Kd3Mf5Hg7Jp0Scv").unwrap();
    fs::write(folder.path().join("books.key"), "5f2b8c1e9d").unwrap();
    fs::write(folder.path().join("legacy.key"), "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv").unwrap();
    fs::write(folder.path().join("tokens.key"), "Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scvq9Zr2").unwrap();
    fs::write(folder.path().join("operator.key"), "Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv").unwrap();
    fs::write(folder.path().join("admin.password"), "Xy4Tn6Yb1Kd3Mf5Hg7").unwrap();
    fs::write(folder.path().join("collector.headers"), "authorization=Basic%20Xy4Tn6Yb1Kd3Mf5Hg7").unwrap();
    fs::write(folder.path().join("films.binpb"), crate::proto::FILE_DESCRIPTOR_SET).unwrap();
    let ca = rcgen::generate_simple_self_signed(["books.internal".to_owned()]).unwrap();
    for name in ["books-ca.pem", "clients-ca.pem", "search-ca.pem", "tls.crt", "shop.crt", "gateway.crt"] {
        fs::write(folder.path().join(name), ca.cert.pem()).unwrap();
    }
    for name in ["tls.key", "shop.key", "gateway.key"] {
        fs::write(folder.path().join(name), ca.signing_key.serialize_pem()).unwrap();
    }
    let environment = [("BOOKS_AUTHORIZATION", "Bearer 5f2b8c1e9d"), ("SEARCH_TOKEN", "Bearer 1e9d5f2b8c")];
    let environment = environment.into_iter().collect();
    let sources = Sources { file: Some(file), environment, ..Sources::default() };
    let (config, warnings) = sources.inspect().accept().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((config.paths.len(), config.http_rules.len(), config.upstreams.len()), (4, 7, 2));
    // What is only mentioned does nothing as long as clients are not asked, and an upstream is in plain text.
    assert_eq!(warnings.count(), (0, 8), "{warnings}");
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
    let address = |tls, host: &str, port| Addresses(vec![Address { tls, host: host.into(), port }]);
    assert_eq!(books.addresses, address(true, "books.internal", 443));
    assert_eq!(books.schema, SchemaSource::Descriptors("/etc/propylon/books.binpb".into()));
    assert!(books.style.proto_names);
    assert_eq!(legacy.addresses, address(false, "::1", 9001));
    assert_eq!(legacy.schema, SchemaSource::Unknown);
    assert_eq!(config.services.first().map(|route| route.pattern.as_str()), Some("legacy.*"));
    assert_eq!(config.http_rules.len(), 2);
}
