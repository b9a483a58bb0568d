//! What a config comes to: files in three languages, read again, looked at, and many mistakes at once.

mod environment;
mod example;
mod schema;

use std::{fs, time::Duration};

use serde_json::json;

use super::*;
use crate::config::{Address, Addresses, LogFormat, LogLevel, SchemaSource, Upstream, json_schema};

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

const EXAMPLE: &str = include_str!("../../../../config/propylon.example.toml");

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
