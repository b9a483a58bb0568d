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
        "message": "there is no such key", "text": "envirnment", "suggestion": "environment",
        "severity": "error",
    });
    assert_eq!(said[1], want);
    let keys: Vec<_> = said.iter().map(|one| one["key"].as_str().unwrap()).collect();
    let want = ["gateway.listen", "gateway.envirnment", "upstreams[0].grpc", "upstreams[0].timeout"];
    assert_eq!(keys, want);
    let (code, said) = run(&mut propylon(folder.path(), &["check", "nothing_wrong.toml", "--json"], ""));
    assert_eq!((code, said.trim()), (0, "[]"));
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
