//! Each file against the schema, or the rules, of its kind: manifests by `kustomize` and `kubernetes-validate` (strictly, for
//! the oldest Kubernetes that they are for and for the newest), `docker-compose.yml` by the Compose specification's schema,
//! the Dockerfile by `hadolint`, Prometheus' config by `promtool`. A copy with a mistake is refused by each of them, or the
//! check would be none.

use std::{fs, path::Path, process::Command};

use super::{LIMIT, copy};
use crate::support::{
    process::{Failure, Program},
    tools::{needs, package},
};

/// The Kubernetes that the manifests are for.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// A check of the project's files in a folder: what is said of them, or what is wrong; `None` without its tool.
type Check = fn(&Path) -> Option<Result<String, Failure>>;

fn run(tool: &str, folder: &Path, arguments: &[&str]) -> Option<Result<String, Failure>> {
    let mut command = Command::new(needs(tool)?);
    command.current_dir(folder).args(arguments);
    Some(Program::start(tool, &mut command).and_then(|program| program.finish(LIMIT)))
}

/// What is applied, with all that kustomize does to it, and the Secret that is not.
fn kubernetes(folder: &Path) -> Option<Result<String, Failure>> {
    let built = run("kustomize", folder, &["build", "deploy/kubernetes", "--output", "built.yaml"])?;
    let mut said = match built {
        Ok(said) => said,
        failed @ Err(_) => return Some(failed),
    };
    for version in VERSIONS {
        let files = ["built.yaml", "deploy/kubernetes/secret.example.yaml"];
        let arguments = ["--strict", "--kubernetes-version", version, files[0], files[1]];
        match run("kubernetes-validate", folder, &arguments)? {
            Ok(more) => said += &more,
            failed @ Err(_) => return Some(failed),
        }
    }
    Some(Ok(said))
}

fn compose(folder: &Path) -> Option<Result<String, Failure>> {
    run("check-jsonschema", folder, &["--builtin-schema", "vendor.compose-spec", "docker-compose.yml"])
}

fn dockerfile(folder: &Path) -> Option<Result<String, Failure>> {
    run("hadolint", folder, &["--failure-threshold", "style", "--no-color", "Dockerfile"])
}

fn prometheus(folder: &Path) -> Option<Result<String, Failure>> {
    run("promtool", folder, &["check", "config", "deploy/compose/prometheus.yml"])
}

/// Copies what is deployed.
fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["Dockerfile", "docker-compose.yml"] {
        fs::copy(package().join(file), folder.path().join(file)).unwrap();
    }
    for part in ["kubernetes", "compose"] {
        copy(&package().join("deploy").join(part), &folder.path().join("deploy").join(part));
    }
    folder
}

/// The project's files are good; with each of these texts in the place of another, in a file, they are not: with these words.
fn check(check: Check, mistakes: &[(&str, &str, &str, &str)]) {
    let folder = copied();
    let Some(said) = check(folder.path()) else { return };
    said.unwrap();
    for (file, from, to, want) in mistakes {
        let path = folder.path().join(file);
        let good = fs::read_to_string(&path).unwrap();
        assert!(good.contains(from), "{file} has no {from:?}");
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let said = check(folder.path()).unwrap();
        let Err(Failure(said)) = said else { panic!("{file} with {to:?} is taken: {said:?}") };
        assert!(said.contains(want), "{file} with {to:?}: {said}");
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn manifests_are_what_kubernetes_takes() {
    check(
        kubernetes,
        &[
            ("deploy/kubernetes/hpa.yaml", "minReplicas", "minReplica", "'minReplica' was unexpected"),
            (
                "deploy/kubernetes/deployment.yaml",
                "containerPort: 8080",
                "containerPort: http",
                "is not of type",
            ),
            (
                "deploy/kubernetes/deployment.yaml",
                "enableServiceLinks",
                "enableServiceLink",
                "was unexpected",
            ),
            ("deploy/kubernetes/secret.example.yaml", "stringData", "strings", "'strings' was unexpected"),
            ("deploy/kubernetes/kustomization.yaml", "pdb.yaml", "pbd.yaml", "pbd.yaml"),
            ("deploy/kubernetes/kustomization.yaml", "resources:", "resource:", "unknown field"),
        ],
    );
}

#[test]
fn docker_compose_yml_is_what_compose_takes() {
    check(
        compose,
        &[
            ("docker-compose.yml", "cap_drop", "cap_dropped", "cap_dropped"),
            ("docker-compose.yml", "condition: service_healthy", "condition: healthy", "healthy"),
            ("docker-compose.yml", "    healthcheck:", "    health_check:", "health_check"),
        ],
    );
}

#[test]
fn the_dockerfile_breaks_no_rule() {
    check(
        dockerfile,
        &[
            ("Dockerfile", "--no-install-recommends ", "", "DL3015"),
            ("Dockerfile", "FROM debian:${DEBIAN}-slim", "FROM debian", "DL3006"),
            ("Dockerfile", "[\"/usr/local/bin/propylon\"]", "/usr/local/bin/propylon", "DL3025"),
            ("Dockerfile", "WORKDIR /src", "WORKDIR src", "DL3000"),
        ],
    );
}

#[test]
fn prometheus_reads_its_config() {
    check(
        prometheus,
        &[
            ("deploy/compose/prometheus.yml", "dns_sd_configs", "dns_configs", "not found in type"),
            ("deploy/compose/prometheus.yml", "interval: 15s", "interval: 15", "duration"),
        ],
    );
}
