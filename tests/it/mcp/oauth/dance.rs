//! The whole dance by clients that others have written: the SDKs of MCP's makers.

use std::{process::Command, time::Duration};

use super::{WHO, gateway};
use crate::support::{
    process::Program,
    tools::{directory, needs, package},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_does_it_all_by_itself() {
    let Some(python) = needs("python-for-mcp") else { return };
    let gateway = gateway("", "").await;
    let mut command = Command::new(&python);
    command.arg(package().join("tests/clients/mcp/client.py"));
    command.arg(format!("http://{}/mcp/oauth", gateway.address)).args(["oauth", WHO.0, WHO.1]);
    let program = Program::start("the Python SDK", &mut command).unwrap();
    let said = tokio::task::spawn_blocking(move || program.finish(DRIVE).unwrap()).await.unwrap();
    assert!(said.contains("all as it should be"), "{said}");
}

/// A client's time for all that it does; on a busy machine Node is slow to start.
const DRIVE: Duration = Duration::from_secs(200);

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_find_register_ask_and_come_back_for_more() {
    let Some(node) = needs("node-for-mcp") else { return };
    let gateway = gateway("", "").await;
    for sdk in ["v1", "v2"] {
        let mut command = Command::new(&node);
        command
            .arg(package().join("tests/clients/mcp/oauth.mjs"))
            .arg(directory().join("mcp").join("node_modules"));
        command.arg(format!("http://{}/mcp/oauth", gateway.address)).args([sdk, WHO.0, WHO.1]);
        let program = Program::start("an SDK", &mut command).unwrap();
        let said = tokio::task::spawn_blocking(move || program.finish(DRIVE).unwrap()).await.unwrap();
        assert!(said.contains("all as it should be"), "{sdk}: {said}");
    }
}
