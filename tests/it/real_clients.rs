//! The clients that people use, against the gateway's binary before an upstream of published services: grpcio,
//! grpcurl, buf, connect-web in Chromium, plain HTTP and WebSocket. Each driver in `tests/clients/drivers` calls
//! every method of one table (`cases.py`) and checks the one outcome written there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::gateway::listening;
use crate::support::process::{Failure, Program};
use crate::support::tools::{self, needs};

/// A server's time to listen. Debug builds on a busy machine are slow to start.
const START: Duration = Duration::from_secs(60);
/// A driver's time for the whole table; the drivers end themselves before.
const DRIVE: Duration = Duration::from_secs(300);

#[test]
fn grpcio() -> Result<(), Failure> {
    drive("grpcio_client.py", &[], &[])
}

#[test]
fn grpcurl() -> Result<(), Failure> {
    let Some(path) = needs("grpcurl") else { return Ok(()) };
    drive("command_line.py", &["grpcurl".into(), path], &[])
}

#[test]
fn buf_curl_over_grpc_with_reflection_v1() -> Result<(), Failure> {
    let Some(path) = needs("buf") else { return Ok(()) };
    drive("command_line.py", &["buf".into(), path], &["grpc", "grpc-v1"])
}

#[test]
fn buf_curl_over_grpc_with_reflection_v1alpha() -> Result<(), Failure> {
    let Some(path) = needs("buf") else { return Ok(()) };
    drive("command_line.py", &["buf".into(), path], &["grpc", "grpc-v1alpha"])
}

#[test]
fn buf_curl_over_grpc_web() -> Result<(), Failure> {
    let Some(path) = needs("buf") else { return Ok(()) };
    drive("command_line.py", &["buf".into(), path], &["grpcweb", "grpc-v1"])
}

#[test]
fn grpc_web_in_binary_and_text() -> Result<(), Failure> {
    drive("grpc_web.py", &[proto_root()], &[])
}

#[test]
fn rest_and_websocket() -> Result<(), Failure> {
    drive("rest.py", &[], &[])
}

#[test]
fn connect_web_in_chromium() -> Result<(), Failure> {
    let (Some(node), Some(chromium)) = (needs("node"), needs("chromium")) else { return Ok(()) };
    drive("browser.py", &[node, tools::node_modules(), chromium, proto_root()], &[])
}

/// What `propylon up` prints names every method, and the REST address of each that the published files annotate.
#[test]
fn up_prints_a_table_of_every_method() -> Result<(), Failure> {
    let Some(python) = needs("python") else { return Ok(()) };
    let world = World::start(&python)?;
    let rows = Program::start("cases.py", Command::new(&python).arg(clients().join("drivers/cases.py")))?
        .finish(START)?;
    let cases: serde_json::Value = serde_json::from_str(&rows).expect("the table of cases");
    let printed = world.gateway.output();
    for case in cases.as_array().expect("a list") {
        let name = case["method"].as_str().expect("a method's name");
        let method = name.rsplit('/').next().unwrap_or(name);
        assert!(printed.contains(method), "{name} is missing from:\n{printed}");
    }
    for address in [
        "/v1/{name=projects/*/databases/*/documents/*/**}",
        "/v1/{database=projects/*/databases/*}/documents:write",
        "/v2/{parent=projects/*}/draft:write",
        "/v2:encryptSecret",
        "/v1/{parent=projects/*/databases/*/documents/**}/{collection_id}",
    ] {
        assert!(printed.contains(address), "{address} is missing from:\n{printed}");
    }
    Ok(())
}

/// Runs a driver against a world of its own: its arguments are `before`, the gateway's address, `after`.
fn drive(driver: &str, before: &[PathBuf], after: &[&str]) -> Result<(), Failure> {
    let Some(python) = needs("python") else { return Ok(()) };
    let world = World::start(&python)?;
    let mut command = Command::new(&python);
    command.arg(clients().join("drivers").join(driver)).args(before).arg(&world.address).args(after);
    let output = Program::start(driver, &mut command)?.finish(DRIVE).map_err(|Failure(why)| {
        Failure(format!("{why}\nthe gateway printed:\n{}", world.gateway.output()))
    })?;
    let last = output.lines().find(|line| line.starts_with("checked ")).unwrap_or_default();
    match last.split(' ').collect::<Vec<_>>()[..] {
        ["checked", called, "of", all, "methods,", ..] if called == all && called != "0" => Ok(()),
        _ => Err(Failure(format!("{driver} did not call every method:\n{output}"))),
    }
}

/// An upstream and a gateway before it, both on ports of their own. Dropped, both are killed.
struct World {
    gateway: Program,
    /// The gateway's `HOST:PORT`.
    address: String,
    _upstream: Program,
}

impl World {
    fn start(python: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(python);
        let mut upstream = Program::start(
            "the upstream",
            command.arg(clients().join("upstream/server.py")).arg(proto_root()),
        )?;
        let target = upstream.wait_for("upstream on ", START)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
        command.args(["up", "--grpc", &target, "--listen", "127.0.0.1:0"]);
        // Its table is for people.
        let mut gateway = Program::start_on_terminal("propylon up", command.env("NO_COLOR", "1"))?;
        let address = listening(&mut gateway).to_string();
        Ok(Self { gateway, address, _upstream: upstream })
    }
}

/// The root of the published .proto files.
fn proto_root() -> PathBuf {
    tools::node_modules().join("google-proto-files")
}

fn clients() -> PathBuf {
    tools::package().join("tests/clients")
}
