//! Every check that schemathesis has, over what the OpenAPI document says: of the gateway's own services, as callers meet them
//! who are nobody, an operator, and somebody with an account; of an upstream with something of everything; and, by its examples,
//! of 27 methods that somebody else has published. The same requests each time.
//!
//! `TEST_SEEDS=1,2,3 TEST_EXAMPLES=50` tries others, and more.

use std::{net::SocketAddr, process::Command, time::Duration};

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{http1, request},
    gallery,
    gateway::{TestGateway, World},
    process::{Failure, Program},
    tools::{self, needs},
};

/// The time for one run on a busy machine.
const DRIVE: Duration = Duration::from_secs(400);
const OPERATOR: &str = "an-operator's-token--which-is-long";

/// What a run is told. A wait is not left to chance: `X-Request-Timeout: 0` is rightly a 504, and to schemathesis each 504 is
/// a server's fault.
const SETTINGS: &str = "[auth]\nauto-signup = false\n[parameters]\n\"header.X-Request-Timeout\" = \"30s\"\n";

/// A gateway whose operator has a token.
fn world() -> World {
    World::new().with_file("operator", OPERATOR.as_bytes()).with_config(
        "[[auth.tokens]]\nname = \"operator\"\ntoken = { file = \"operator\" }\nuser = \"operator\"\nroles = [\"admin\"]\n\
         tier = \"elite\"\n\
         # Their own tests are in `automation`, before a stand-in for Galaxy, and in `mcp::service`, before servers of MCP.\n\
         [builtin.mcp]\nenabled = false\n\
         [builtin.playbooks]\nenabled = false\n[builtin.variable_types]\nenabled = false\n\
         [builtin.favorites]\nenabled = false\n[builtin.galaxy]\nenabled = false\n",
    )
}

/// Lets schemathesis try a gateway; `examples` of each operation.
async fn finds_nothing(gateway: &TestGateway, examples: u32, arguments: &[&str]) -> Result<(), Failure> {
    let Some(python) = needs("python") else { return Ok(()) };
    let seeds = tools::setting("TEST_SEEDS").unwrap_or_else(|| "7".to_owned());
    let examples = tools::setting("TEST_EXAMPLES").unwrap_or_else(|| examples.to_string());
    for seed in seeds.split(',') {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("settings.toml"), SETTINGS).unwrap();
        let mut command = Command::new(&python);
        command
            .current_dir(folder.path())
            .args(["-m", "schemathesis.cli", "--config-file", "settings.toml"])
            .args(["run", &format!("http://{}/openapi.json", gateway.address)])
            .args(["--checks", "all", "--max-examples", &examples, "--seed", seed, "--workers", "1"])
            .args(["--continue-on-failure", "--suppress-health-check", "all", "--no-color"])
            .args(arguments);
        let run =
            tokio::task::spawn_blocking(move || Program::start("schemathesis", &mut command)?.finish(DRIVE));
        let said = run.await.unwrap()?;
        // It says "No issues found" or, with hints about data that it lacks, how many passed.
        let failed = said.lines().any(|line| line.contains("failures") || line.contains("errors in"));
        assert!(!failed && said.contains("Tested:"), "{said}");
    }
    Ok(())
}

async fn post(address: SocketAddr, path: &str, body: &Value) -> Value {
    let bearer = format!("Bearer {OPERATOR}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let (head, (answer, _)) =
        http1(address, request(&Method::POST, path, &headers, body.to_string())).await.into_parts();
    assert_eq!(head.status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_nobody() -> Result<(), Failure> {
    finds_nothing(&world().start(), 2, &["--phases", "examples,fuzzing"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_an_operator() -> Result<(), Failure> {
    let bearer = format!("Authorization: Bearer {OPERATOR}");
    finds_nothing(&world().start(), 4, &["-H", &bearer]).await
}

/// With an API key, because what a login gives would end with the first logout. Only the key is sent: beside a good one
/// another scheme's `Authorization` is not the gateway's to judge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_somebody_with_an_account() -> Result<(), Failure> {
    let gateway = world().start();
    let new = json!({"email": "eve@x.example", "username": "Eve", "password": "a long pass phrase"});
    let made = post(gateway.address, "/api/v1/auth/register", &new).await;
    let wanted = json!({"name": "tests", "user_id": made["user"]["id"], "tier": "elite"});
    let key = post(gateway.address, "/admin/keys", &wanted).await;
    let key = format!("X-API-Key: {}", key["key"].as_str().unwrap());
    let own = ["-H", &key, "--generation-with-security-parameters", "false"];
    let about = ["--include-path-regex", "^/api/v1/(auth|users)"];
    finds_nothing(&gateway, 4, &[&own[..], &about[..]].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_upstream_with_something_of_everything() -> Result<(), Failure> {
    let upstream = gallery::start().await;
    let gateway = World::new()
        .with_file("gallery.binpb", &gallery::DESCRIPTORS)
        .with_config(&format!(
            "[[upstreams]]\nname = \"gallery\"\ngrpc = \"http://{upstream}\"\ndescriptors = \"gallery.binpb\"\n"
        ))
        .start();
    finds_nothing(&gateway, 4, &["--include-tag", "gallery.v1.Gallery"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_published_services() -> Result<(), Failure> {
    let Some(python) = needs("python") else { return Ok(()) };
    let mut command = Command::new(python);
    command
        .arg(tools::package().join("tests/clients/upstream/server.py"))
        .arg(tools::node_modules().join("google-proto-files"));
    let mut upstream = Program::start("the upstream", &mut command)?;
    let address = upstream.wait_for("upstream on ", Duration::from_secs(60))?;
    let gateway = World::new()
        .with_config(&format!("[[upstreams]]\nname = \"published\"\ngrpc = \"http://{address}\"\n"))
        .start();
    // Its messages hold themselves in many ways: what schemathesis makes up of those takes it many minutes.
    finds_nothing(&gateway, 1, &["--include-tag-regex", "^google", "--phases", "examples"]).await
}
