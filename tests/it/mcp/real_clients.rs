//! The clients that others have written, against the gateway's binary: MCP's conformance suite over both eras, its
//! inspector, and the SDKs of its makers.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use super::{fixture::Fixture, upstream};
use crate::support::{
    gateway::World,
    process::Program,
    tools::{directory, needs, package},
};

/// A client's time for all that it does; on a busy machine Node is slow to start.
const DRIVE: Duration = Duration::from_secs(400);

/// Scenarios about what no gRPC method is: prompts, resources, and tools that ask their client for something or speak to its
/// log. By what their names begin with; extensions are among them.
const OF_OTHER_SERVERS: [&str; 13] = [
    "completion-complete",
    "elicitation-",
    "http-custom-header-server-validation",
    "input-required-result-",
    "json-schema-2020-12",
    "logging-set-level",
    "prompts-",
    "resources-",
    "tasks-",
    "tools-call-elicitation",
    "tools-call-mixed-content",
    "tools-call-sampling",
    "tools-call-with-logging",
];

/// Single checks of the same kind, in scenarios that are about more.
const CHECKS_OF_OTHER_SERVERS: [&str; 7] = [
    "sep-2575-server-rejects-undeclared-capability",
    "sep-2575-missing-capability-http-400",
    "sep-2575-http-server-no-independent-requests-on-stream",
    "sep-2575-server-no-log-without-loglevel",
    "sep-2549-prompts-list-caching-hints",
    "sep-2549-resources-list-caching-hints",
    "sep-2549-resources-templates-list-caching-hints",
];

/// What the federated server has not: tasks, and tools whose arguments are in headers too. Neither is scored.
const NOT_FEDERATED: [&str; 2] = ["http-custom-header-server-validation", "tasks-"];

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_of_the_newest_version() {
    conformance("2026-07-28", 13, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_of_the_version_before() {
    conformance("2025-11-25", 13, 26).await;
}

/// A gateway of gRPC methods; at least so many scenarios and checks are about a server of this kind.
async fn conformance(revision: &str, scenarios: usize, checks: usize) {
    let Some(suite) = needs("mcp-conformance") else { return };
    let gateway = upstream::world("").await.start();
    let left_out = (&OF_OTHER_SERVERS[..], &CHECKS_OF_OTHER_SERVERS[..]);
    suite_of(&suite, gateway.address, revision, left_out, (scenarios, checks)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_of_the_newest_version_by_way_of_a_federated_server() {
    federated_conformance("2026-07-28", 36, 130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_of_the_version_before_by_way_of_a_federated_server() {
    federated_conformance("2025-11-25", 30, 78).await;
}

/// A gateway before a server of others', with nothing before its names: nothing that is scored is left out. The server speaks
/// the newest version, whatever its clients do.
async fn federated_conformance(revision: &str, scenarios: usize, checks: usize) {
    let Some(suite) = needs("mcp-conformance") else { return };
    let server = Fixture::start(false);
    let gateway = World::new().with_config(&server.config("fixture", "prefix = \"\"")).start();
    suite_of(&suite, gateway.address, revision, (&NOT_FEDERATED, &[]), (scenarios, checks)).await;
}

/// Runs all that a revision requires, but for scenarios and checks that are left out; at least so many are not.
async fn suite_of(
    suite: &Path,
    at: SocketAddr,
    revision: &str,
    (scenarios_left_out, checks_left_out): (&[&str], &[&str]),
    (scenarios, checks): (usize, usize),
) {
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(suite);
    command.args(["server", "--url", &endpoint(at), "--requirements", revision]);
    command.arg("-o").arg(out.path()).current_dir(out.path());
    let mut program = Program::start("mcp-conformance", &mut command).unwrap();
    // What is about other servers fails, and with it the run.
    let _ = tokio::task::spawn_blocking(move || program.exit_code(DRIVE).unwrap()).await.unwrap();
    let results = results(out.path());
    let (mut ran, mut passed, mut failed) = (0, 0, Vec::new());
    for (scenario, checks) in &results {
        if scenarios_left_out.iter().any(|prefix| scenario.starts_with(prefix)) {
            // Of those what goes over the wire is looked at all the same.
            let wire = checks.iter().filter(|(id, _)| id == "wire-schema-valid");
            failed.extend(
                wire.filter(|(_, status)| status == "FAILURE").map(|(id, _)| format!("{scenario}: {id}")),
            );
            continue;
        }
        ran += 1;
        for (id, status) in checks {
            match status.as_str() {
                "SUCCESS" => passed += 1,
                "FAILURE" if !checks_left_out.contains(&id.as_str()) => {
                    failed.push(format!("{scenario}: {id}"));
                }
                _ => {}
            }
        }
    }
    // Around libtest's capture, for `scripts/test` to show.
    let _ = writeln!(
        std::io::stderr(),
        "MCP conformance {revision}: {ran} of {} scenarios are about a server of this kind, {passed} checks passed, {} failed",
        results.len(),
        failed.len()
    );
    assert_eq!(failed, Vec::<String>::new());
    assert!(ran >= scenarios && passed >= checks, "{ran} scenarios, {passed} checks: {results:?}");
}

/// The checks of each scenario with what came of them, as the suite wrote them down.
fn results(out: &Path) -> BTreeMap<String, Vec<(String, String)>> {
    let mut all = BTreeMap::new();
    for folder in std::fs::read_dir(out).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        // server-SCENARIO-2026-01-31T12-00-00-000Z
        let Some(name) = name.strip_prefix("server-") else { continue };
        let scenario = &name[..name.len() - "-2026-01-31T12-00-00-000Z".len()];
        let text = std::fs::read_to_string(folder.path().join("checks.json")).unwrap();
        let checks: Vec<Value> = serde_json::from_str(&text).unwrap();
        let said = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let checks = checks.iter().map(|check| (said(check, "id"), said(check, "status"))).collect();
        all.insert(scenario.to_owned(), checks);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_finds_nothing_wrong_in_any_era() {
    let Some(inspector) = needs("mcp-inspector") else { return };
    let gateway = upstream::world("").await.start();
    let home = tempfile::tempdir().unwrap();
    for era in ["modern", "legacy", "auto"] {
        let ask = async |arguments: &[&str]| {
            let mut command = Command::new(&inspector);
            command.args(["--cli", &endpoint(gateway.address), "--transport", "http", "--protocol-era", era]);
            command.args(arguments).env("HOME", home.path()).current_dir(home.path());
            let program = Program::start("mcp-inspector", &mut command).unwrap();
            tokio::task::spawn_blocking(move || program.finish(DRIVE).unwrap()).await.unwrap()
        };
        // Strict: a schema that some model's API would refuse ends it with another code.
        let listed = ask(&["--method", "tools/list", "--strict"]).await;
        assert!(listed.contains("\"test_simple_text\""), "{era}: {listed}");
        let called =
            ask(&["--method", "tools/call", "--tool-name", "echo", "--tool-arg", "text=hello"]).await;
        assert!(called.contains("\"structuredContent\"") && called.contains("hello"), "{era}: {called}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_connect_list_call_stream_and_give_up() {
    let Some(node) = needs("node-for-mcp") else { return };
    let gateway = upstream::world("").await.start();
    let (before, _) = upstream::calls();
    let clients = [("v1", "legacy"), ("v2", "legacy"), ("v2", "modern"), ("v2", "auto")];
    for (sdk, era) in clients {
        let mut command = Command::new(&node);
        command.arg(package().join("tests/clients/mcp/client.mjs")).arg(modules());
        command.args([&endpoint(gateway.address), sdk, era]);
        let program = Program::start("an SDK", &mut command).unwrap();
        let said = tokio::task::spawn_blocking(move || program.finish(DRIVE).unwrap()).await.unwrap();
        assert!(said.contains("all as they should be"), "{sdk} {era}: {said}");
    }
    assert!(upstream::calls().0 >= before + clients.len());
    super::tools::no_call_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_lists_calls_streams_and_gives_up() {
    let Some(python) = needs("python-for-mcp") else { return };
    let gateway = upstream::world("").await.start();
    for mode in ["legacy", "auto", "2026-07-28"] {
        let mut command = Command::new(&python);
        command.arg(package().join("tests/clients/mcp/client.py")).args([&endpoint(gateway.address), mode]);
        let program = Program::start("the Python SDK", &mut command).unwrap();
        let said = tokio::task::spawn_blocking(move || program.finish(DRIVE).unwrap()).await.unwrap();
        assert!(said.contains("all as they should be"), "{mode}: {said}");
    }
    super::tools::no_call_goes_on().await;
}

fn endpoint(address: SocketAddr) -> String {
    format!("http://{address}/mcp")
}

/// Where npm's packages for MCP are.
fn modules() -> PathBuf {
    directory().join("mcp").join("node_modules")
}
