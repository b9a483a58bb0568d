//! What `propylon explain` says of requests to the presets: who answers them, by which rule, and why one is refused.

use std::process::Command;

use super::world::{SECRET, made_up};
use crate::support::tools::package;

/// A request, whose it is, and what is said of it.
type Row = (&'static str, &'static str, Option<&'static str>, &'static [&'static str]);

const DREAM: &[Row] = &[
    ("GET", "/api/v1/chat/rooms", None, &["✗ 401", "for authenticated callers"]),
    ("GET", "/api/v1/chat/42/messages", Some("user"), &["upstream chat at http://localhost:8002, by HTTP"]),
    ("DELETE", "/api/v1/matches/42", Some("user"), &["upstream auth at http://localhost:8001, by HTTP"]),
    ("GET", "/api/v1/payment/plans", None, &["upstream payment", "everyone"]),
    ("POST", "/api/v1/media/generate-video", Some("user"), &["? goes to", "tier premium or elite"]),
    ("GET", "/api/v1/nope", Some("user"), &["✗ 404", "near"]),
    ("GET", "/ping", None, &["the gateway's own service"]),
];

const PRESENCEPRO: &[Row] = &[
    ("POST", "/api/v1/auth/login", None, &["upstream auth at http://localhost:8001, by HTTP"]),
    ("GET", "/api/v1/users/5", Some("admin"), &["upstream user", "role admin"]),
    ("GET", "/api/v1/users/5", Some("student"), &["? goes to", "role admin"]),
    ("GET", "/api/v1/stats/global", Some("teacher"), &["role admin (routes["]),
    ("GET", "/api/v1/stats/globalize", Some("student"), &["upstream statistics"]),
    ("GET", "/api/v1/courses/../users/5", Some("student"), &["✗ 400"]),
    ("PATCH", "/api/v1/justifications/3", Some("teacher"), &["upstream justification"]),
];

const FRIDAY: &[Row] = &[
    ("GET", "/api/v1/health", None, &["the gateway's own service", "everyone"]),
    ("GET", "/api/v1/protected", None, &["✗ 401", "for authenticated callers"]),
];

const TWINMCP: &[Row] = &[
    ("GET", "/health", None, &["the gateway's own service", "everyone"]),
    ("POST", "/admin/keys", None, &["✗ 401", "CreateApiKey is for authenticated callers"]),
    ("GET", "/nope", None, &["✗ 404"]),
];

#[test]
fn a_dozen_requests_of_the_presets_are_explained() {
    let presets = [("dream", DREAM), ("presencepro", PRESENCEPRO), ("friday", FRIDAY), ("twinmcp", TWINMCP)];
    for (preset, rows) in presets {
        for (method, path, caller, wants) in rows {
            let folder = tempfile::tempdir().unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
            command.args(["explain", method, path, "--config"]);
            command.arg(package().join(format!("config/presets/{preset}.toml")));
            if let Some(caller) = caller {
                command.args(["-H", &format!("authorization: Bearer {}", made_up(caller))]);
            }
            command.env("JWT_SECRET_KEY", SECRET).env("API_TOKEN", SECRET);
            command.env_remove("PROPYLON_REQUIRE").current_dir(folder.path());
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            for want in *wants {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(said.contains(want), "{preset}: {method} {path}: no {want:?} in\n{said}{errors}");
            }
        }
    }
}
