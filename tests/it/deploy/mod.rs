//! What the gateway is deployed by: the image, `docker-compose.yml`, the manifests of `deploy/kubernetes`. `schemas` holds
//! each file against the schema or the rules of its kind, `configs` the configs among them against the gateway itself,
//! `image` what the image is made of, and `facts` one file against another, and all against what is demanded of them.

mod configs;
mod facts;
mod image;
mod schemas;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    process::Program,
    tools::{needs, package},
};

/// A tool's time on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// The documents of YAML files of the project; `None` without Python.
fn documents(files: &[&str]) -> Option<Vec<Value>> {
    let mut command = Command::new(needs("python")?);
    command.arg(package().join("tests/clients/drivers/documents.py"));
    command.args(files.iter().map(|file| package().join(file)));
    let said = Program::start("documents.py", &mut command).unwrap().finish(LIMIT).unwrap();
    Some(serde_json::from_str(&said).unwrap())
}

/// The one document of a file.
fn document(file: &str) -> Option<Value> {
    Some(documents(&[file])?.remove(0))
}

fn compose() -> Option<Value> {
    document("docker-compose.yml")
}

fn manifest(name: &str) -> Option<Value> {
    document(&format!("deploy/kubernetes/{name}.yaml"))
}

/// The text of a file of the project.
fn text(file: &str) -> String {
    fs::read_to_string(package().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What a list of texts has, in its order.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The names of an object's members.
fn names(object: &Value) -> Vec<&str> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// `deploy/kubernetes`, but for the extension and what is not applied.
fn manifests() -> Vec<String> {
    let entries = fs::read_dir(package().join("deploy/kubernetes")).unwrap();
    let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let mut names: Vec<_> =
        files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.retain(|name| name != "kustomization" && !name.ends_with(".example"));
    names.sort();
    names
}

/// The config of the gateway in the ConfigMap.
fn config_of_the_cluster() -> Option<String> {
    Some(manifest("configmap")?["data"]["propylon.toml"].as_str().unwrap().to_owned())
}

/// The config of the gateways of docker-compose.yml.
fn config_of_compose() -> String {
    text("deploy/compose/propylon/propylon.toml")
}

/// Copies a folder and all below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
