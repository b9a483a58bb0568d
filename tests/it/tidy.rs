//! Rules about the source, held as tests: every file says what it is for, none grows past its room, and a module uses
//! only what stands above it (`ARCHITECTURE.md`, "Module order").

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The most lines of a file before its tests.
const MOST_LINES: usize = 400;

/// A module uses only what stands on a line above its own.
const ORDER: &[&[&str]] = &[
    &["proto", "status", "telemetry"],
    &["schema"],
    &["auth"],
    &["route"],
    &["call"],
    &["observe"],
    &["transcode"],
    &["store"],
    &["policy", "dispatch"],
    &["federation", "health", "otlp"],
    &["services", "automation"],
    &["surface"],
    &["config"],
    &["openapi"],
    &["snapshot"],
    &["gateway"],
    &["server"],
    &["cli"],
    &["main"],
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The part of a file before its tests.
fn body(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).flat_map(|line| [line, "\n"]).collect()
}

/// `src/surface/rest/mod.rs` is of the module `surface`, `src/status.rs` of `status`.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn line(module: &str) -> usize {
    ORDER.iter().position(|line| line.contains(&module)).unwrap_or_else(|| {
        panic!("module {module} has no place in the order; give it one here and in ARCHITECTURE.md")
    })
}

/// The modules of this crate that a file names: `crate::name`, and those in `use crate::{…}`.
fn used(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]).collect();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if c.is_whitespace() => {}
                _ if start => {
                    names.push(word(&list[i..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets", "build.rs"] {
        let path = root().join(folder);
        let files = if path.is_dir() { rust_files(&path) } else { vec![path] };
        for file in files.iter().filter(|file| file.exists()) {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.starts_with("//! "), "{} does not open with //!", file.display());
        }
    }
}

#[test]
fn no_file_outgrows_its_room() {
    let tests = |file: &PathBuf| file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
    for file in rust_files(&root().join("src")).into_iter().filter(|file| !tests(file)) {
        let lines = body(&file).lines().count();
        assert!(
            lines <= MOST_LINES,
            "{}: {lines} lines before its tests; the most is {MOST_LINES}",
            file.display()
        );
    }
}

#[test]
fn modules_use_only_what_stands_above_them() {
    for file in rust_files(&root().join("src")) {
        let module = module(&file);
        if module == "lib" {
            continue;
        }
        for used in used(&body(&file)) {
            let fine = used == module || line(&used) < line(&module);
            assert!(fine, "{}: {module} uses {used}, which does not stand above it", file.display());
        }
    }
}

#[test]
fn only_transcode_and_surface_speak_json() {
    for file in rust_files(&root().join("src")) {
        let module = module(&file);
        if ["transcode", "surface"].contains(&module.as_str()) {
            continue;
        }
        assert!(
            !body(&file).contains("to_json("),
            "{}: JSON is made by transcode and surface alone",
            file.display()
        );
    }
}

#[test]
fn the_environment_is_read_in_config_alone() {
    for file in rust_files(&root().join("src")) {
        if module(&file) != "config" {
            assert!(!body(&file).contains("env::var"), "{} reads the environment", file.display());
        }
    }
}

#[test]
fn the_order_of_modules_is_the_documented_one() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let written: Vec<Vec<&str>> = text
        .split("<!-- module order -->")
        .nth(1)
        .expect("ARCHITECTURE.md has its module order between two marks")
        .lines()
        .filter(|line| !line.starts_with("```") && !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(written, ORDER);
}
