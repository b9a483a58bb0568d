//! The image: built from all that the build needs and from nothing else, on one Debian, run by nobody in particular.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{compose, config_of_compose, document, manifest, names, text};
use crate::support::tools::package;

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<String> {
    let text = text("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What is behind an instruction's name, wherever it stands.
fn all(instructions: &[String], name: &str) -> Vec<String> {
    let named = instructions.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    named.map(str::to_owned).collect()
}

/// What comes from the project's folder.
fn copied(instructions: &[String]) -> Vec<String> {
    let copies = all(instructions, "COPY").into_iter().filter(|copy| !copy.starts_with("--from"));
    copies
        .flat_map(|copy| {
            let mut words: Vec<_> = copy.split(' ').map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect()
}

/// The files of the project that this very program was made of, as the compiler has listed them.
fn made_of() -> BTreeSet<PathBuf> {
    let folder = Path::new(env!("CARGO_BIN_EXE_propylon")).with_file_name("deps");
    let lists = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let list = name.starts_with("propylon-") && name.ends_with(".d");
        // Beside lists of the library there are those of its tests, and of the program, which is one file.
        let text = list.then(|| fs::read_to_string(entry.path()).unwrap())?;
        let (_, files) = text.lines().find_map(|line| line.split_once(".rlib: "))?;
        Some((entry.metadata().unwrap().modified().unwrap(), files.to_owned()))
    });
    let (_, files) = lists.max().unwrap();
    let mut made = BTreeSet::from(["build.rs", "src/main.rs", "proto"].map(PathBuf::from));
    for file in files.split_whitespace() {
        let file = package().join(file);
        let mut path = PathBuf::new();
        for part in file.components() {
            if part == Component::ParentDir {
                path.pop();
            } else {
                path.push(part);
            }
        }
        // What build.rs has made is no file of the project's.
        if let Ok(own) = path.strip_prefix(package())
            && !own.starts_with("target")
        {
            made.insert(own.to_owned());
        }
    }
    made
}

#[test]
fn it_is_built_from_all_that_the_program_is_made_of() {
    let copied = copied(&instructions());
    let made = made_of();
    assert!(made.len() > 200 && made.contains(Path::new("config/propylon.example.toml")), "{made:?}");
    for file in made {
        assert!(copied.iter().any(|source| file.starts_with(source)), "{} is not copied", file.display());
    }
    for file in ["Cargo.toml", "Cargo.lock", "benches"] {
        assert!(copied.iter().any(|source| source == file), "{file}");
    }
}

#[test]
fn nothing_else_is_seen_by_its_build() {
    let ignore = text(".dockerignore");
    let lines: Vec<_> = ignore.lines().filter(|line| !line.starts_with('#')).collect();
    // Everything, but for what is copied.
    assert_eq!(lines.first(), Some(&"*"));
    let mut seen: Vec<_> =
        lines.iter().skip(1).map(|line| line.strip_prefix('!').unwrap().to_owned()).collect();
    let mut copied = copied(&instructions());
    seen.sort();
    copied.sort();
    assert_eq!(seen, copied);
    for path in copied {
        assert!(package().join(&path).exists(), "{path}");
    }
}

#[test]
fn both_stages_are_one_debian_and_the_compiler_is_ours() {
    let instructions = instructions();
    let stages = ["rust:${RUST}-slim-${DEBIAN} AS build", "debian:${DEBIAN}-slim"];
    assert_eq!(all(&instructions, "FROM"), stages);
    let arguments = all(&instructions, "ARG");
    let rust = arguments.iter().find_map(|argument| argument.strip_prefix("RUST=")).unwrap();
    let wanted = text("Cargo.toml");
    let wanted = wanted.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(rust.starts_with(wanted.trim_matches('"')), "{rust} is not {wanted}");
    let build = all(&instructions, "RUN").into_iter().find(|run| run.contains("cargo build")).unwrap();
    assert!(build.contains("--locked --release"), "{build}");
}

#[test]
fn it_runs_as_nobody_and_says_how_it_is() {
    let instructions = instructions();
    let one = |name| {
        let found = all(&instructions, name);
        assert_eq!(found.len(), 1, "{name}");
        found[0].clone()
    };
    let user = one("USER");
    let (user, group) = user.split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0);
    let file = "/etc/propylon/propylon.toml";
    let program = "/usr/local/bin/propylon";
    assert_eq!(one("ENTRYPOINT"), format!("[\"{program}\"]"));
    assert_eq!(one("CMD"), format!("[\"serve\", \"--config\", \"{file}\"]"));
    let health = one("HEALTHCHECK");
    assert!(
        health.ends_with(&format!("CMD [\"{program}\", \"health\", \"--config\", \"{file}\"]")),
        "{health}"
    );
    assert_eq!(one("STOPSIGNAL"), "SIGTERM");
    // The volume is where SQLite goes, and its owner is who runs.
    let folder = all(&instructions, "WORKDIR").pop().unwrap();
    assert_eq!(one("VOLUME"), format!("[\"{folder}/data\"]"));
    let made = all(&instructions, "RUN").into_iter().find(|run| run.contains("install --directory")).unwrap();
    assert!(made.contains(&format!("--owner={user} --group={group}")), "{made}");
    assert!(made.ends_with(&format!("{folder} {folder}/data")), "{made}");
    assert!(all(&instructions, "ENV").is_empty());
}

#[test]
fn its_ports_are_those_of_the_configs() {
    let ports = all(&instructions(), "EXPOSE").remove(0);
    let config: toml::Table = config_of_compose().parse().unwrap();
    let port =
        |section: &str| config[section]["listen"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(ports, format!("{} {}", port("gateway"), port("admin")));
    let own: toml::Table = text("deploy/propylon.toml").parse().unwrap();
    assert!(own["gateway"]["listen"].as_str().unwrap().ends_with(&format!(":{}", port("gateway"))));
}

#[test]
fn every_image_has_a_version_and_the_gateways_is_this_one() {
    let ours = concat!("propylon:", env!("CARGO_PKG_VERSION"));
    let (Some(compose), Some(deployment), Some(kustomization)) =
        (compose(), manifest("deployment"), document("deploy/kubernetes/kustomization.yaml"))
    else {
        return;
    };
    for service in names(&compose["services"]) {
        let image = compose["services"][service]["image"].as_str().unwrap();
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
        // Three numbers, whatever follows.
        let version = tag.trim_start_matches('v').split('-').next().unwrap();
        let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
        // PostgreSQL's versions have two.
        let least = if image.starts_with("postgres:") { 2 } else { 3 };
        assert!(numbers.len() >= least && numbers.iter().all(Result::is_ok), "{image}");
    }
    assert_eq!(compose["services"]["gateway"]["image"], ours);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], ours);
    assert_eq!(kustomization["images"][0]["newTag"], env!("CARGO_PKG_VERSION"));
}
