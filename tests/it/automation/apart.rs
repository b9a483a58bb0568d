//! `propylon automation`: the services as an upstream of their own, whom it takes calls of, and how it ends.

use std::{process::Command, time::Duration};

use http::Method;
use serde_json::json;

use super::{CREATE, GET, Home, LIST, PACKAGE, Place, Surface, call};
use crate::support::{
    client::{frames, grpc, request, rest},
    gateway::listening,
    process::Program,
};

const TOKEN: &str = "Yb1Kd3Mf5Hg7Jp0Scvq9Zr2Lx8Vw4Tn6";

/// Starts the services on a config; and the lines by which a gateway stands before them.
pub(super) fn start(kept: &str) -> (Program, String) {
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::write(folder.join("services.toml"), kept).unwrap();
    std::fs::write(folder.join("token"), format!("{TOKEN}\n")).unwrap();
    std::fs::write(folder.join("authorization"), format!("Bearer {TOKEN}")).unwrap();
    let mut command = command(&["--config", "services.toml", "--token-file", "token"]);
    command.current_dir(&folder);
    let mut program = Program::start("propylon automation", &mut command).unwrap();
    let address = listening(&mut program);
    let off = ["playbooks", "variable_types", "favorites", "galaxy"];
    let off: String = off.iter().map(|name| format!("[builtin.{name}]\nenabled = false\n")).collect();
    let secret = folder.join("authorization");
    let lines = format!(
        "{off}[[upstreams]]\nname = \"automation\"\ngrpc = \"http://{address}\"\njson = {{ proto_names = true, defaults = true }}\n\
         metadata = {{ authorization = {{ file = \"{}\" }} }}\n[access]\ndefault = \"authenticated\"\n",
        secret.display()
    );
    (program, lines)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.args(["automation", "--listen", "127.0.0.1:0"]).args(arguments).env_remove("PROPYLON_REQUIRE");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_taken_of_who_knows_the_token() {
    let (mut program, lines) = start("[store]\ndatabase = \"sqlite:apart.db\"\n");
    let (_, address) = lines.split_once("http://").unwrap();
    let at: std::net::SocketAddr = address.split('"').next().unwrap().parse().unwrap();
    let list = async |headers: &[(&str, &str)]| {
        let body = frames(&format!("{PACKAGE}.ListPlaybooksRequest"), &["{}"]);
        let path = format!("/{PACKAGE}.PlaybookService/ListPlaybooks");
        grpc(at, &path, headers, body, &format!("{PACKAGE}.ListPlaybooksResponse")).await.code
    };
    let token = format!("Bearer {TOKEN}");
    assert_eq!(list(&[("x-user-id", "ann")]).await, 16);
    assert_eq!(list(&[("x-user-id", "ann"), ("authorization", "Bearer other")]).await, 16);
    assert_eq!(list(&[("authorization", &token)]).await, 16, "nobody says who calls");
    assert_eq!(list(&[("x-user-id", "ann"), ("authorization", &token)]).await, 0);
    // Probes need none.
    let body = frames(
        "grpc.health.v1.HealthCheckRequest",
        &[r#"{"service": "propylon.automation.v1.PlaybookService"}"#],
    );
    let health =
        grpc(at, "/grpc.health.v1.Health/Check", &[], body, "grpc.health.v1.HealthCheckResponse").await;
    assert_eq!(health.messages[0]["status"], "SERVING", "{health:?}");
    let none = grpc(at, "/a.B/C", &[], bytes::Bytes::new(), "grpc.health.v1.HealthCheckResponse").await;
    assert_eq!(none.code, 12);
    program.signal("TERM");
    assert_eq!(program.exit_code(Duration::from_secs(10)).unwrap(), 0, "{}", program.output());
}

#[test]
fn who_could_say_to_be_anybody_is_not_listened_to() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("short"), "secret\n").unwrap();
    for (arguments, want) in [
        (&["--listen", "0.0.0.0:0"][..], "could say that it is anybody"),
        (&["--token-file", "short"][..], "at least 16 visible characters"),
        (&["--token-file", "nowhere"][..], "nowhere"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
        command.arg("automation").args(arguments).current_dir(folder.path()).env_remove("PROPYLON_REQUIRE");
        let mut program = Program::start("propylon automation", &mut command).unwrap();
        assert_eq!(program.exit_code(Duration::from_secs(60)).unwrap(), 78, "{arguments:?}");
        assert!(program.output().contains(want), "{arguments:?}: {}", program.output());
    }
}

/// What is 412 in one process is 412 across two.
#[tokio::test(flavor = "multi_thread")]
async fn versions_are_etags_from_an_upstream_too() {
    let place = Place::small(Home::Apart).await;
    let ann = place.user("ann").await;
    let at = place.address();
    let made = call(at, Surface::Rest, &CREATE, &json!({"name": "one", "content": {}}), &ann).await.good();
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/playbooks/{id}");
    let put = async |tag: &str| {
        let headers = [("authorization", &*ann), ("content-type", "application/json"), ("if-match", tag)];
        rest(at, request(&Method::PUT, &path, &headers, r#"{"name": "two"}"#)).await
    };
    let changed = put("\"1\"").await;
    assert_eq!((changed.http, &changed.headers["etag"]), (200, &"\"2\"".parse().unwrap()), "{changed:?}");
    assert_eq!(put("\"1\"").await.http, 412);
    // What a client says of who it is goes nowhere.
    let bob = place.user("bob").await;
    let spoofed = [("authorization", &*bob), ("x-user-id", made["user_id"].as_str().unwrap())];
    let none = rest(at, request(&Method::GET, &path, &spoofed, "")).await;
    assert_eq!(none.http, 404, "{none:?}");
    assert_eq!(call(at, Surface::Grpc, &LIST, &json!({}), &bob).await.good(), json!([]));
    assert_eq!(call(at, Surface::Grpc, &GET, &json!({"id": id}), &ann).await.good()["version"], 2);
}
