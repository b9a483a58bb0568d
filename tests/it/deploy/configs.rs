//! The configs of the image, of `docker-compose.yml` and of the ConfigMap, as the gateway reads them: with the variables and
//! the secrets that they are run with, and with the secrets of the example, which are none.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use super::{compose, config_of_compose, config_of_the_cluster, manifest, names, text};
use crate::support::tools::{needs, package};

/// `propylon check` of a config in a folder, in an environment of its own: its exit code and its words.
fn check(folder: &Path, config: &str, environment: &[(String, String)]) -> (i32, String) {
    fs::write(folder.join("propylon.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command
        .current_dir(folder)
        .args(["check", "propylon.toml"])
        .env_clear()
        .envs(environment.iter().cloned());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// Nothing is wrong with it, and nothing strange.
fn accepted(folder: &Path, config: &str, environment: &[(String, String)]) {
    let (code, said) = check(folder, config, environment);
    assert_eq!((code, said.trim()), (0, "propylon.toml: nothing is wrong"), "{said}");
}

/// Secrets as `deploy/compose/make-secrets` makes them, in a folder.
fn make_secrets(folder: &Path) {
    let made = Command::new(package().join("deploy/compose/make-secrets")).arg(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The files of a folder with what they hold.
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_images_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    accepted(folder.path(), &text("deploy/propylon.toml"), &[]);
}

#[test]
fn that_of_compose_is_accepted_with_the_secrets_that_are_made() {
    let Some(compose) = compose() else { return };
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    make_secrets(&secrets);
    let gateway = &compose["services"]["gateway"];
    let environment: Vec<_> = names(&gateway["environment"])
        .into_iter()
        .map(|name| (name.to_owned(), gateway["environment"][name].as_str().unwrap().to_owned()))
        .collect();
    let config = config_of_compose().replace("/run/secrets", secrets.to_str().unwrap());
    accepted(folder.path(), &config, &environment);
}

#[test]
fn that_of_the_cluster_is_accepted_with_secrets_and_refused_with_those_of_the_example() {
    let (Some(config), Some(example), Some(deployment)) =
        (config_of_the_cluster(), manifest("secret.example"), manifest("deployment"))
    else {
        return;
    };
    let pod = &deployment["spec"]["template"]["spec"];
    let environment: Vec<_> = pod["containers"][0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| {
            let value = variable["value"].as_str().unwrap_or("propylon-7d4b9-x2x");
            (variable["name"].as_str().unwrap().to_owned(), value.to_owned())
        })
        .collect();
    // The volume as the kubelet makes it.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    let keys = &example["stringData"];
    let mut held = 0;
    let sources = pod["volumes"][0]["projected"]["sources"].as_array().unwrap();
    let items = sources.iter().find_map(|source| source["secret"]["items"].as_array()).unwrap();
    let write = |item: &Value, value: &str| {
        fs::write(folder.path().join(item["path"].as_str().unwrap()), value).unwrap();
    };
    let strong = |item: &Value| {
        keys[item["key"].as_str().unwrap()].as_str().unwrap().replace("change-me", "5f2b8c1e9d07a64e")
    };
    for item in items {
        write(item, &strong(item));
    }
    accepted(folder.path(), &config, &environment);
    // One at a time.
    for item in items {
        let key = item["key"].as_str().unwrap();
        write(item, keys[key].as_str().unwrap());
        let (code, said) = check(folder.path(), &config, &environment);
        assert!(code == 1 && said.contains("is a placeholder, not a secret"), "{key}: {said}");
        write(item, &strong(item));
        held += 1;
    }
    assert_eq!(held, names(keys).len());
}

#[test]
fn secrets_are_made_once_and_are_those_that_compose_names() {
    let Some(compose) = compose() else { return };
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    make_secrets(&secrets);
    let made = files(&secrets);
    let mut named = names(&compose["secrets"]);
    named.sort_unstable();
    assert_eq!(made.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), named);
    for name in named {
        let file = compose["secrets"][name]["file"].as_str().unwrap();
        assert_eq!(file, format!("deploy/compose/secrets/{name}"));
    }
    make_secrets(&secrets);
    assert_eq!(files(&secrets), made);
    // Nobody else may look into the folder, and git takes nothing of it.
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(text("deploy/compose/secrets/.gitignore").lines().any(|line| line == "*"));
    // Others than those of another machine.
    let other = folder.path().join("other");
    make_secrets(&other);
    for ((name, one), (_, another)) in made.iter().zip(files(&other)) {
        assert_ne!(*one, another, "{name}");
    }
}

#[test]
fn redis_knows_who_has_the_password_that_is_made() {
    let Some(redis) = needs("redis") else { return };
    let folder = tempfile::tempdir().unwrap();
    make_secrets(folder.path());
    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    let (users, url) = (read("redis_users"), read("redis_url"));
    let password = url.strip_prefix("redis://:").unwrap().split('@').next().unwrap();
    assert_eq!(password, read("redis_password"));
    // The digest by which Redis knows it, of whatever made it.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, password.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(users, format!("user default on #{digest} ~* &* +@all\n"));
    // A server takes the file.
    let mut command = Command::new(redis);
    let file = folder.path().join("redis_users");
    command
        .args(["--port", "0", "--unixsocket"])
        .arg(folder.path().join("socket"))
        .arg("--aclfile")
        .arg(file);
    let mut server = crate::support::process::Program::start("redis", &mut command).unwrap();
    server.wait_for("eady to accept connections", super::LIMIT).unwrap();
}
