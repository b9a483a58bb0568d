//! The sessions of the older versions: agreed upon, kept for one caller, ended; and none where none was asked for.

use http::Method;
use serde_json::{Value, json};

use super::{Got, rpc, send, start};
use crate::support::{gateway::World, library, servers::Server};

const JSON: (&str, &str) = ("content-type", "application/json");
const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");
const ALICE: &str = "alice-s-token-which-is-long-enough";
const BOB: &str = "bob-s-token-which-is-long-enough-too";

async fn initialize(at: std::net::SocketAddr, version: &str, headers: &[(&str, &str)]) -> Got {
    let params =
        json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let all = [&[JSON, BOTH], headers].concat();
    send(at, &Method::POST, &all, rpc("initialize", &params).to_string()).await
}

async fn ask(at: std::net::SocketAddr, session: &str, method: &str, headers: &[(&str, &str)]) -> Got {
    let all = [&[JSON, BOTH, ("mcp-session-id", session)], headers].concat();
    send(at, &Method::POST, &all, rpc(method, &json!({})).to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_from_its_agreement_to_its_end() {
    let gateway = start("instructions = \"Hello.\"").await;
    let at = gateway.address;
    for version in ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] {
        let got = initialize(at, version, &[]).await;
        let result = got.result();
        assert_eq!(
            (&result["protocolVersion"], &result["instructions"]),
            (&json!(version), &json!("Hello."))
        );
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}));
        assert_eq!(result["serverInfo"]["name"], "Propylon");
        assert!(result.get("resultType").is_none(), "{result}");
        let session = got.header("mcp-session-id").to_owned();
        assert!(session.len() >= 32 && session.bytes().all(|byte| byte.is_ascii_graphic()), "{session}");
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        let headers = [JSON, ("mcp-session-id", session.as_str()), ("mcp-protocol-version", version)];
        assert_eq!(send(at, &Method::POST, &headers, note).await.http, 202);
        let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {}}).to_string();
        assert_eq!(send(at, &Method::POST, &headers, answer).await.http, 202);
        assert_eq!(ask(at, &session, "ping", &[]).await.result(), &json!({}));
        assert_eq!(super::names(ask(at, &session, "tools/list", &[]).await.result()).len(), 8);
        // An older client is told by the code alone.
        let got = ask(at, &session, "no/such", &[]).await;
        assert_eq!((got.http, got.code()), (200, -32601));
        let ended = send(at, &Method::DELETE, &[("mcp-session-id", session.as_str())], "").await;
        assert_eq!(ended.http, 204);
        for got in [
            ask(at, &session, "ping", &[]).await,
            send(at, &Method::GET, &[("mcp-session-id", session.as_str()), BOTH], "").await,
            send(at, &Method::DELETE, &[("mcp-session-id", session.as_str())], "").await,
        ] {
            assert_eq!((got.http, got.code()), (404, -32001), "{got:?}");
        }
    }
    // What is not spoken is answered with the newest that has sessions.
    for version in ["2026-07-28", "1999-01-01"] {
        assert_eq!(initialize(at, version, &[]).await.result()["protocolVersion"], "2025-11-25");
    }
    let none = send(at, &Method::POST, &[JSON], rpc("initialize", &json!({})).to_string()).await;
    assert_eq!(none.code(), -32602);
}

fn of_two(upstream: std::net::SocketAddr) -> World {
    World::with_library(upstream)
        .with_file("alice", ALICE.as_bytes())
        .with_file("bob", BOB.as_bytes())
        .with_config(
            "[mcp]\nexpose = [\"*\"]\nnames = \"method\"\n[access]\ndefault = \"public\"\n\
             [[auth.tokens]]\nname = \"alice\"\ntoken = { file = \"alice\" }\n\
             [[auth.tokens]]\nname = \"bob\"\ntoken = { file = \"bob\" }\n",
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_one_caller_is_nobody_else_s() {
    let gateway = of_two(library::start().await).start();
    let at = gateway.address;
    let (alice, bob) = (format!("Bearer {ALICE}"), format!("Bearer {BOB}"));
    let (alice, bob) = (("authorization", alice.as_str()), ("authorization", bob.as_str()));
    let session = initialize(at, "2025-06-18", &[alice]).await.header("mcp-session-id").to_owned();
    assert_eq!(ask(at, &session, "ping", &[alice]).await.http, 200);
    for headers in [&[bob][..], &[]] {
        assert_eq!(ask(at, &session, "ping", headers).await.http, 404, "{headers:?}");
        let all = [&[("mcp-session-id", session.as_str()), BOTH], headers].concat();
        assert_eq!(send(at, &Method::GET, &all, "").await.http, 404, "{headers:?}");
        assert_eq!(send(at, &Method::DELETE, &all, "").await.http, 404, "{headers:?}");
    }
    // Nobody has ended it.
    assert_eq!(ask(at, &session, "ping", &[alice]).await.http, 200);
    let anonymous = initialize(at, "2025-06-18", &[]).await.header("mcp-session-id").to_owned();
    assert_eq!(ask(at, &anonymous, "ping", &[bob]).await.http, 404);
    for made_up in ["", "0", "../../x", &"a".repeat(48)] {
        assert_eq!(ask(at, made_up, "ping", &[alice]).await.http, 404, "{made_up}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_every_replica_s() {
    let Some(redis) = Server::redis() else { return };
    let upstream = library::start().await;
    let replica = || {
        World::with_library(upstream)
            .with_config(&format!("[mcp]\nexpose = [\"*\"]\n[store]\nredis = \"{}\"\n", redis.url("")))
            .start()
    };
    let (one, other) = (replica(), replica());
    let session = initialize(one.address, "2025-06-18", &[]).await.header("mcp-session-id").to_owned();
    assert_eq!(ask(other.address, &session, "ping", &[]).await.result(), &json!({}));
    let ended = send(other.address, &Method::DELETE, &[("mcp-session-id", session.as_str())], "").await;
    assert_eq!(ended.http, 204);
    assert_eq!(ask(one.address, &session, "ping", &[]).await.http, 404);
    // Where sessions cannot be kept, clients do without.
    drop(redis);
    let got = initialize(one.address, "2025-06-18", &[]).await;
    assert_eq!((got.http, got.header("mcp-session-id")), (200, ""));
    assert_ne!(got.json, Value::Null);
    assert_eq!(ask(one.address, &session, "ping", &[]).await.http, 503);
}
