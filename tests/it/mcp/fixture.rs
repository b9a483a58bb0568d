//! The MCP server of others (`tests/mcp/server.rs`, rmcp) as a test has it before the gateway: over HTTP, to be killed and started
//! again, or as the gateway's own child.

use std::{net::SocketAddr, process::Command, time::Duration};

use serde_json::{Value, json};

use super::{Got, bare, rpc};
use crate::support::{gateway::TestGateway, process::Program, tools::example};

/// How long something may take to become true.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// The fixture over HTTP.
pub(super) struct Fixture {
    pub(super) program: Program,
    pub(super) address: SocketAddr,
    legacy: bool,
}

impl Fixture {
    pub(super) fn start(legacy: bool) -> Self {
        // Nobody else is given a port that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::at(free, legacy)
    }

    pub(super) fn at(address: SocketAddr, legacy: bool) -> Self {
        let mut command = Command::new(example("mcp-server").unwrap());
        command.args(["http", &address.port().to_string()]);
        if legacy {
            command.arg("legacy");
        }
        let program = Program::start("mcp-server", &mut command).unwrap();
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < SOON, "{}", program.output());
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { program, address, legacy }
    }

    /// Kills it and starts another in its place.
    pub(super) fn restart(self) -> Self {
        let Self { program, address, legacy } = self;
        drop(program);
        Self::at(address, legacy)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The lines of a config that federate it.
    pub(super) fn config(&self, name: &str, more: &str) -> String {
        format!("[[mcp.servers]]\nname = \"{name}\"\nurl = \"{}\"\n{more}\n", self.url())
    }
}

/// The lines of a config that federate one as a child process.
pub(super) fn child(name: &str, legacy: bool, more: &str) -> String {
    let program = example("mcp-server").unwrap();
    let last = if legacy { ", \"legacy\"" } else { "" };
    format!(
        "[[mcp.servers]]\nname = \"{name}\"\ncommand = [\"{}\", \"stdio\"{last}]\n{more}\n",
        program.display()
    )
}

/// Every tool that is listed.
pub(super) async fn tools(at: SocketAddr) -> Vec<String> {
    let list = bare(at, &rpc("tools/list", &json!({}))).await;
    super::names(list.result()).into_iter().map(str::to_owned).collect()
}

/// Waits until a tool is listed, or is not.
pub(super) async fn until_listed(gateway: &TestGateway, tool: &str, want: bool) {
    let begun = std::time::Instant::now();
    while tools(gateway.address).await.iter().any(|name| name == tool) != want {
        assert!(begun.elapsed() < SOON, "{tool} {want}: {}", gateway.program.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Opens a session whose client can do this, and answers its id.
pub(super) async fn session(at: SocketAddr, capabilities: &Value) -> String {
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": capabilities,
        "clientInfo": {"name": "test", "version": "1"},
    });
    let opened: Got = bare(at, &rpc("initialize", &params)).await;
    opened.header("mcp-session-id").to_owned()
}
