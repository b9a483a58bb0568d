//! `propylon check`: the mistakes that people make, each a small file of `tests/config` with all that is said of it beside it.
//! `PROPYLON_REWRITE=1 cargo test --test it check::` writes what is said now over what was; read the difference.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::support::library::DESCRIPTORS;

/// A folder with the inputs, and the files that they name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(inputs()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("library.binpb", &DESCRIPTORS);
    write("broken.binpb", b"no descriptors");
    write("empty.pem", b"");
    write("nothing.key", "\u{feff}\n".as_bytes());
    write("binary.key", b"5f2b8c1e9d-not-base64");
    let ca = rcgen::generate_simple_self_signed(["books.internal".to_owned()]).unwrap();
    write("ca.pem", ca.cert.pem().as_bytes());
    folder
}

fn inputs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config"))
}

/// A command in the folder, with no environment but that of the input.
fn propylon(folder: &Path, arguments: &[&str], environment: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.current_dir(folder).args(arguments).env_clear();
    command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    command
}

fn run(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn every_mistake_is_told_as_it_was() {
    let folder = folder();
    let rewrite = std::env::var_os("PROPYLON_REWRITE").is_some();
    let mut names: Vec<String> = fs::read_dir(inputs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| [".toml", ".yaml", ".json"].iter().any(|end| name.ends_with(end)))
        .collect();
    names.sort();
    assert!(names.len() >= 40, "{} inputs", names.len());
    let mut differ = Vec::new();
    for name in &names {
        let environment =
            fs::read_to_string(inputs().join(Path::new(name).with_extension("env"))).unwrap_or_default();
        let (code, said) = run(&mut propylon(folder.path(), &["check", name], &environment));
        let said = format!("{said}exit {code}\n");
        let file = inputs().join(format!("{name}.txt"));
        if rewrite {
            fs::write(&file, &said).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != said {
            differ.push(format!("{name} says now\n{said}"));
        }
    }
    assert!(differ.is_empty(), "{} differ:\n\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn a_program_reads_the_same_as_json() {
    let folder = folder();
    let (code, said) = run(&mut propylon(folder.path(), &["check", "several_at_once.toml", "--json"], ""));
    assert_eq!(code, 1);
    let said: Vec<Value> = serde_json::from_str(&said).unwrap();
    let want = serde_json::json!({
        "file": "several_at_once.toml", "line": 4, "column": 1, "key": "gateway.envirnment",
        "path": ["gateway", "envirnment"],
        "message": "there is no such key", "text": "envirnment", "suggestion": "environment",
        "severity": "error",
    });
    assert_eq!(said[1], want);
    let keys: Vec<_> = said.iter().map(|one| one["key"].as_str().unwrap()).collect();
    let want = ["gateway.listen", "gateway.envirnment", "upstreams[0].grpc", "upstreams[0].timeout"];
    assert_eq!(keys, want);
    assert_eq!(said[2]["path"], serde_json::json!(["upstreams", 0, "grpc"]));
    let (code, said) = run(&mut propylon(folder.path(), &["check", "nothing_wrong.toml", "--json"], ""));
    assert_eq!((code, said.trim()), (0, "[]"));
}

#[test]
fn a_check_without_a_file_says_what_it_has_checked() {
    let folder = folder();
    let check = |environment: &str, code: i32, want: &str| {
        let said = run(&mut propylon(folder.path(), &["check"], environment));
        assert_eq!(said, (code, want.to_owned()), "{environment}");
    };
    check("", 0, "the defaults (no FILE is named, and no variable sets a key): nothing is wrong\n");
    check(
        "LOG_LEVEL=debug\nPROPYLON_REST__TRAILING_SLASH=ignore",
        0,
        "the defaults with LOG_LEVEL, PROPYLON_REST__TRAILING_SLASH (no FILE is named): nothing is wrong\n",
    );
    check(
        "PROPYLON_REST__TRAILING_SLASH=true",
        1,
        "PROPYLON_REST__TRAILING_SLASH: rest.trailing_slash: \"true\" is not one of strict, ignore, redirect\n\n\
         1 error, 0 warnings of the defaults with PROPYLON_REST__TRAILING_SLASH (no FILE is named)\n",
    );
    // What is no key of the config may be somebody else's.
    check(
        "PROPYLON_VERSION=1.2",
        0,
        "PROPYLON_VERSION: warning: the config has no such key; it is PROPYLON_SECTION__KEY (did you mean \"PROPYLON_REST__VERSION\"?)\n\n\
         0 errors, 1 warning of the defaults (no FILE is named, and no variable sets a key)\n",
    );
}

#[test]
fn serve_says_what_check_says_and_secrets_are_never_said() {
    let folder = folder();
    let (_, checked) = run(&mut propylon(folder.path(), &["check", "several_at_once.toml"], ""));
    let (code, served) =
        run(&mut propylon(folder.path(), &["serve", "--config", "several_at_once.toml"], ""));
    let first = checked.split("\n\n").next().unwrap();
    assert!(code == 78 && served.contains(first), "{served}\n does not have\n{first}");
    let flag = ["serve", "--config", "nothing_wrong.toml", "--listen", "8080"];
    let (code, served) = run(&mut propylon(folder.path(), &flag, "PROPYLON_GATEWAY__LISTEN=127.0.0.1:1"));
    assert!(code == 78 && served.contains("--listen: gateway.listen: \"8080\" is not"), "{served}");
    for (name, secret) in [("credential_in_the_file.toml", "5f2b8c1e9d"), ("weak_secrets.toml", "hunter2")] {
        for more in [&["check", name][..], &["check", name, "--json"]] {
            let (_, said) = run(&mut propylon(folder.path(), more, &format!("SHORT={secret}")));
            assert!(!said.contains(secret) && said.contains("metadata"), "{said}");
        }
    }
}

#[test]
fn the_schema_is_printed() {
    let folder = folder();
    let (code, said) = run(&mut propylon(folder.path(), &["config", "schema"], ""));
    let schema: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &schema["$schema"]), (0, &"https://json-schema.org/draft/2020-12/schema".into()));
    assert_eq!(schema["properties"]["gateway"]["$ref"], "#/$defs/Gateway");
}

#[test]
fn what_only_prints_needs_no_secret_and_opens_no_store() {
    let folder = folder();
    let text = "[[upstreams]]\nname = \"books\"\ngrpc = \"http://127.0.0.1:9\"\ndescriptors = \"library.binpb\"\n\
                metadata = { authorization = { env = \"MISSING\" } }\n\
                [[auth.tokens]]\nname = \"robot\"\ntoken = { file = \"missing.key\" }\n";
    fs::write(folder.path().join("secrets.toml"), text).unwrap();
    for (arguments, want) in [
        (&["routes", "--config", "secrets.toml"][..], "library.v1.Library"),
        (&["openapi", "--config", "secrets.toml"], "\"openapi\": \"3.1"),
        (&["explain", "GET", "/livez", "--config", "secrets.toml"], "200 OK"),
    ] {
        let (code, said) = run(&mut propylon(folder.path(), arguments, ""));
        assert!(code == 0 && said.contains(want), "{arguments:?} gave {code}: {said}");
    }
    assert!(!folder.path().join("data").exists(), "a store was opened");
    let (code, said) = run(&mut propylon(folder.path(), &["serve", "--config", "secrets.toml"], ""));
    assert!(code == 78 && said.contains("the environment variable MISSING is not set"), "{said}");
}

#[test]
fn serve_tells_what_it_would_refuse_beside_what_is_written_wrongly() {
    let folder = folder();
    for name in ["sections_of_every_kind.toml", "hidden_rules.toml", "secrets_of_callers.toml"] {
        let environment =
            fs::read_to_string(inputs().join(Path::new(name).with_extension("env"))).unwrap_or_default();
        let (_, checked) = run(&mut propylon(folder.path(), &["check", name], &environment));
        let (code, served) = run(&mut propylon(folder.path(), &["serve", "--config", name], &environment));
        let told = checked.rsplit_once("\n\n").unwrap().0;
        assert!(code == 78 && served.contains(told), "{served}\n does not have\n{told}");
    }
}

#[test]
fn a_page_is_near_and_a_long_path_is_not_repeated() {
    let folder = folder();
    for (path, want) in [
        ("/doc", "the nearest is GET /docs"),
        ("/heatlh", "the nearest is GET /health"),
        ("/livz", "the nearest is GET /livez"),
        ("/openapi.jsn", "the nearest is GET /openapi.json"),
    ] {
        let (_, said) = run(&mut propylon(folder.path(), &["explain", "GET", path], ""));
        let near = format!("near         {}", want.trim_start_matches("the nearest is "));
        assert!(said.contains(want) && said.contains(&near), "{path}: {said}");
    }
    let long = format!("/{}", "a".repeat(60_000));
    let (_, said) = run(&mut propylon(folder.path(), &["explain", "GET", &long, "--json"], ""));
    let said: Value = serde_json::from_str(&said).unwrap();
    let message = said["message"].as_str().unwrap();
    assert!(message.len() < 300 && message.contains("there is no GET /aaa"), "{message:.400}");
}

#[test]
fn a_file_with_no_end_is_refused_at_once() {
    let folder = folder();
    fs::File::create(folder.path().join("huge.key")).unwrap().set_len(1 << 30).unwrap();
    let began = std::time::Instant::now();
    for file in ["/dev/zero", "/dev/urandom", "huge.key"] {
        let text = format!(
            "[[upstreams]]\nname = \"a\"\ngrpc = \"https://h:1\"\ndescriptors = \"{file}\"\nca = \"{file}\"\n\
             metadata = {{ authorization = {{ file = \"{file}\" }} }}\n"
        );
        fs::write(folder.path().join("endless.toml"), text).unwrap();
        let (code, said) = run(&mut propylon(folder.path(), &["check", "endless.toml"], ""));
        assert!(code == 1 && said.contains("3 errors") && said.contains("endless.toml:6:30"), "{said}");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
}
