//! Federated MCP servers: what they have is listed and called as the gateway's own, in every era; and what goes wrong with one of
//! them is nobody else's trouble.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use super::{
    MODERN, bare, call,
    fixture::{Fixture, SOON, child, session, tools, until_listed},
    listening::{Listening, listen},
    modern, rpc, send,
};
use crate::support::{gateway::World, library};

const JSON: (&str, &str) = ("content-type", "application/json");
const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");

/// Calls a tool in a session.
async fn in_session(at: SocketAddr, session: &str, tool: &str, arguments: &Value) -> super::Got {
    let headers = [JSON, BOTH, ("mcp-session-id", session)];
    let message = rpc("tools/call", &json!({"name": tool, "arguments": arguments}));
    send(at, &Method::POST, &headers, message.to_string()).await
}

fn alive(process: &str) -> bool {
    std::path::Path::new("/proc").join(process).join("stat").exists()
        && !std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default().contains(") Z ")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_servers_have_stands_beside_the_gateways_own_tools() {
    let (new, old) = (Fixture::start(false), Fixture::start(true));
    let gateway = World::with_library(library::start().await)
        .with_config("[mcp]\nexpose = [\"library.v1.*\"]\nnames = \"method\"\n")
        .with_config(&new.config("new", ""))
        .with_config(&old.config("old", "expose = [\"test_*\"]\nhide = [\"*_content\"]\nprompts = false"))
        .with_config(&child("kid", true, "resources = false"))
        .start();
    let at = gateway.address;
    let listed = tools(at).await;
    for there in ["GetBook", "new__who", "new__test_simple_text", "old__test_simple_text", "kid__who"] {
        assert!(listed.iter().any(|name| name == there), "{there}: {listed:?}");
    }
    for hidden in ["old__who", "old__test_image_content", "who"] {
        assert!(!listed.iter().any(|name| name == hidden), "{hidden}: {listed:?}");
    }
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(listed, sorted);
    for server in ["new", "old", "kid"] {
        let tool = format!("{server}__test_simple_text");
        assert_eq!(call(at, &tool, &json!({})).await.text(), "This is a simple text response for testing.");
        let got = modern(at, "tools/call", &json!({"name": tool}), &[]).await;
        assert_eq!(got.result()["resultType"], "complete", "{tool}");
        let failing = call(at, &format!("{server}__test_error_handling"), &json!({})).await;
        assert_eq!(failing.result()["isError"], true, "{server}");
        let told =
            json!({"name": format!("{server}__test_tool_with_progress"), "_meta": {"progressToken": "mine"}});
        let told = modern(at, "tools/call", &told, &[]).await;
        let progress: Vec<_> =
            told.events.iter().filter(|event| event["params"]["progressToken"] == "mine").collect();
        assert_eq!(progress.len(), 3, "{server}: {told:?}");
    }
    assert_eq!(call(at, "old__who", &json!({})).await.code(), -32602);

    let names = async |method: &str, member: &str, key: &str| {
        let list = modern(at, method, &json!({}), &[]).await;
        let listed = list.result()[member].as_array().unwrap().clone();
        listed.iter().map(|one| one[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let prompts = names("prompts/list", "prompts", "name").await;
    assert!(prompts.contains(&"kid__test_simple_prompt".to_owned()), "{prompts:?}");
    assert!(!prompts.iter().any(|name| name.starts_with("old__")), "{prompts:?}");
    let resources = names("resources/list", "resources", "uri").await;
    assert!(resources.contains(&"old+test://static-text".to_owned()), "{resources:?}");
    assert!(!resources.iter().any(|uri| uri.starts_with("kid+")), "{resources:?}");
    let templates = names("resources/templates/list", "resourceTemplates", "uriTemplate").await;
    assert!(templates.contains(&"new+test://template/{id}/data".to_owned()), "{templates:?}");

    let read = bare(at, &rpc("resources/read", &json!({"uri": "old+test://template/7/data"}))).await;
    assert_eq!(read.result()["contents"][0]["uri"], "old+test://template/7/data");
    assert!(read.result()["contents"][0]["text"].as_str().unwrap().contains("Data for ID: 7"));
    let missing = bare(at, &rpc("resources/read", &json!({"uri": "none+test://static-text"}))).await;
    assert_eq!(missing.code(), -32602);
    let prompt = json!({"name": "new__test_prompt_with_arguments", "arguments": {"arg1": "a", "arg2": "b"}});
    let prompt = bare(at, &rpc("prompts/get", &prompt)).await;
    assert!(prompt.result()["messages"][0]["content"]["text"].as_str().unwrap().contains("arg1='a'"));
    let about = json!({"type": "ref/prompt", "name": "kid__test_prompt_with_arguments"});
    let completed = json!({"ref": about, "argument": {"name": "arg1", "value": "par"}});
    let completed = bare(at, &rpc("completion/complete", &completed)).await;
    assert_eq!(completed.result()["completion"]["values"], json!(["paris", "park", "party"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_takes_its_own_tools_away_and_brings_them_back() {
    let (one, other) = (Fixture::start(false), Fixture::start(false));
    let gateway =
        World::new().with_config(&one.config("one", "")).with_config(&other.config("other", "")).start();
    let at = gateway.address;
    let (headers, body) = listen(&json!({"toolsListChanged": true, "promptsListChanged": true}));
    let mut changes = Listening::start(at, &Method::POST, &headers, body).await;
    assert_eq!(
        changes.next().await.unwrap()["params"]["notifications"],
        json!({"toolsListChanged": true, "promptsListChanged": true})
    );
    let (url, address) = (one.url(), one.address);
    drop(one);
    until_listed(&gateway, "one__who", false).await;
    assert_eq!(changes.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(changes.next().await.unwrap()["method"], "notifications/prompts/list_changed");
    assert_eq!(call(at, "one__who", &json!({})).await.code(), -32602, "{url}");
    assert!(call(at, "other__who", &json!({})).await.text().parse::<u32>().is_ok());
    let _again = Fixture::at(address, false);
    until_listed(&gateway, "one__who", true).await;
    assert!(call(at, "one__who", &json!({})).await.text().parse::<u32>().is_ok());
    assert_eq!(changes.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_listed_without_a_server_that_must_be_there() {
    let one = Fixture::start(false);
    let gateway = World::new().with_config(&one.config("one", "failure = \"closed\"")).start();
    let at = gateway.address;
    assert!(!tools(at).await.is_empty());
    drop(one);
    let begun = Instant::now();
    loop {
        let got = bare(at, &rpc("tools/list", &json!({}))).await;
        if got.http == 503 {
            assert!(got.json["error"]["data"].as_str().unwrap().contains("\"one\" is away"), "{got:?}");
            break;
        }
        assert!(begun.elapsed() < SOON, "{got:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_nobody_up() {
    let (one, other) = (Fixture::start(false), Fixture::start(true));
    let gateway = World::new()
        .with_config(&one.config("one", "timeout = \"2s\""))
        .with_config(&other.config("other", ""))
        .start();
    let at = gateway.address;
    one.program.signal("STOP");
    let begun = Instant::now();
    let none = json!({});
    let (hung, others) =
        tokio::join!(call(at, "one__who", &none), call(at, "other__test_simple_text", &none));
    assert_eq!(others.text(), "This is a simple text response for testing.");
    assert_eq!(hung.result()["isError"], true, "{hung:?}");
    assert!(hung.text().starts_with("DEADLINE_EXCEEDED: "), "{hung:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    until_listed(&gateway, "one__who", false).await;
    one.program.signal("CONT");
    until_listed(&gateway, "one__who", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_its_server_has_forgotten_is_opened_again() {
    let old = Fixture::start(true);
    // Its lists are not read again meanwhile.
    let gateway = World::new().with_config(&old.config("old", "refresh = \"10m\"")).start();
    let at = gateway.address;
    let mine = session(at, &json!({})).await;
    let first = in_session(at, &mine, "old__who", &json!({})).await.text().to_owned();
    let old = old.restart();
    let second = in_session(at, &mine, "old__who", &json!({})).await.text().to_owned();
    assert!(first != second && second == old.program.id().to_string(), "{first} {second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_has_a_process_of_its_own_and_none_is_left_behind() {
    let mut gateway = World::new().with_config(&child("kid", true, "timeout = \"3s\"")).start();
    let at = gateway.address;
    let (a, b) = (session(at, &json!({})).await, session(at, &json!({})).await);
    let who = async |session: &str| in_session(at, session, "kid__who", &json!({})).await.text().to_owned();
    let (first, other) = (who(&a).await, who(&b).await);
    assert_ne!(first, other);
    assert_eq!(who(&a).await, first);
    let leaked = in_session(at, &a, "kid__leak", &json!({})).await.text().to_owned();
    assert!(alive(&leaked));

    // Killed from outside: what it has started goes with it, and the next call has another.
    assert!(std::process::Command::new("kill").args(["-KILL", &first]).status().unwrap().success());
    until("its child is killed", || !alive(&leaked)).await;
    let next = who(&a).await;
    assert!(next != first && next != other);
    assert_eq!(who(&b).await, other);

    // One that hangs is ended, and the next call has another.
    assert!(std::process::Command::new("kill").args(["-STOP", &other]).status().unwrap().success());
    let hung = in_session(at, &b, "kid__who", &json!({})).await;
    assert!(hung.text().starts_with("DEADLINE_EXCEEDED: "), "{hung:?}");
    until("it is ended", || !alive(&other)).await;
    assert_ne!(who(&b).await, other);

    // What they say on their standard error is in the log.
    gateway.program.wait_for("MCP server \\\"kid\\\" says: the fixture begins", SOON).unwrap();
    let last = [who(&a).await, who(&b).await];
    let leaked = in_session(at, &b, "kid__leak", &json!({})).await.text().to_owned();
    gateway.program.signal("TERM");
    assert_eq!(gateway.program.exit_code(SOON).unwrap(), 0);
    until("none is left", || last.iter().chain([&leaked]).all(|process| !alive(process))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_run_is_nobody_elses_trouble() {
    let mut gateway = World::new()
        .with_config("[[mcp.servers]]\nname = \"none\"\ncommand = [\"no-such-program-at-all\"]\n")
        .with_config("[[mcp.servers]]\nname = \"short\"\ncommand = [\"true\"]\n")
        .with_config(
            "[[mcp.servers]]\nname = \"loud\"\ncommand = [\"sh\", \"-c\", \"yes\"]\ntimeout = \"1s\"\n",
        )
        .with_config(&child("kid", false, ""))
        .start();
    until_listed(&gateway, "kid__who", true).await;
    assert!(call(gateway.address, "kid__who", &json!({})).await.text().parse::<u32>().is_ok());
    gateway.program.wait_for("MCP server \\\"none\\\" is away", SOON).unwrap();
    gateway.program.wait_for("MCP server \\\"short\\\" is away", SOON).unwrap();
    gateway.program.wait_for("MCP server \\\"loud\\\" is away", SOON).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_about_a_servers_tools_as_about_methods() {
    let one = Fixture::start(false);
    let token = "5b1c7e09d2f84a36";
    let config = "[[auth.tokens]]\nname = \"writer\"\ntoken = { env = \"WRITER\" }\nroles = [\"writer\"]\n\
         [access]\ndefault = \"public\"\n[[access.rules]]\nmatch = [\"mcp.one/who\"]\nroles = [\"writer\"]\n\
         [rate_limits]\naddress = 0\n[[rate_limits.rules]]\nname = \"few\"\nmatch = [\"mcp.one/test_simple_text\"]\n\
         calls = 2\nby = \"everyone\"\n";
    let gateway = World::new()
        .with_variable("WRITER", token)
        .with_config(config)
        .with_config(&one.config("one", ""))
        .start();
    let at = gateway.address;
    assert!(!tools(at).await.contains(&"one__who".to_owned()));
    assert_eq!(call(at, "one__who", &json!({})).await.http, 401);
    let bearer = format!("Bearer {token}");
    let message = rpc("tools/call", &json!({"name": "one__who"})).to_string();
    let got = send(at, &Method::POST, &[JSON, ("authorization", &bearer)], message).await;
    assert!(got.text().parse::<u32>().is_ok(), "{got:?}");
    for want in [200, 200, 429] {
        assert_eq!(call(at, "one__test_simple_text", &json!({})).await.http, want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_server_asks_reaches_a_client_of_the_newest_version() {
    let old = Fixture::start(true);
    let gateway = World::new().with_config(&old.config("old", "")).start();
    let at = gateway.address;
    let ask = async |params: Value, can: Value| {
        let mut params = params;
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = can;
        let headers = [
            JSON,
            BOTH,
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "tools/call"),
            ("mcp-name", "old__test_elicitation"),
        ];
        send(at, &Method::POST, &headers, rpc("tools/call", &params).to_string()).await
    };
    let question = json!({"name": "old__test_elicitation", "arguments": {"message": "Who?"}});
    let asked = ask(question.clone(), json!({"elicitation": {}})).await;
    assert_eq!(asked.result()["resultType"], "input_required", "{asked:?}");
    assert_eq!(asked.result()["inputRequests"]["1"]["method"], "elicitation/create");
    assert_eq!(asked.result()["inputRequests"]["1"]["params"]["message"], "Who?");
    let mut again = question.clone();
    again["requestState"] = asked.result()["requestState"].clone();
    again["inputResponses"] =
        json!({"1": {"action": "accept", "content": {"username": "ann", "email": "ann@example.com"}}});
    let done = ask(again.clone(), json!({"elicitation": {}})).await;
    assert!(done.text().contains("ann@example.com"), "{done:?}");
    // Once is all that it waits for.
    assert_eq!(ask(again, json!({"elicitation": {}})).await.code(), -32602);
    // A client that cannot be asked is not: the server is told so.
    let refused = ask(question, json!({})).await;
    assert!(refused.json["error"].is_object() || refused.result()["isError"] == true, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_of_a_resource_is_told_to_who_has_subscribed() {
    let (new, old) = (Fixture::start(false), Fixture::start(true));
    let gateway =
        World::new().with_config(&new.config("new", "")).with_config(&old.config("old", "")).start();
    let at = gateway.address;
    let uris = ["new+test://watched-resource", "old+test://watched-resource"];
    let (headers, body) = listen(&json!({"resourceSubscriptions": [uris[0], uris[1], "none+test://x"]}));
    let mut hears = Listening::start(at, &Method::POST, &headers, body).await;
    let promised = hears.next().await.unwrap();
    assert_eq!(promised["params"]["notifications"], json!({"resourceSubscriptions": uris}));
    let mine = session(at, &json!({})).await;
    let stream = [("mcp-session-id", mine.as_str()), ("accept", "text/event-stream")];
    let mut older = Listening::start(at, &Method::GET, &stream, String::new()).await;
    for uri in uris {
        let message = rpc("resources/subscribe", &json!({"uri": uri})).to_string();
        let got = send(at, &Method::POST, &[JSON, ("mcp-session-id", &mine)], message).await;
        assert_eq!(got.result(), &json!({}), "{uri}");
    }
    for (server, uri) in [("new", uris[0]), ("old", uris[1])] {
        let touch = format!("{server}__touch");
        // The server hears of the subscription a little later.
        let touching = async {
            loop {
                call(at, &touch, &json!({})).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        let heard = async {
            for stream in [&mut hears, &mut older] {
                loop {
                    let told = stream.next().await.unwrap();
                    if told["method"] == "notifications/resources/updated" && told["params"]["uri"] == uri {
                        break;
                    }
                }
            }
        };
        tokio::select! {
            () = touching => {}
            () = heard => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_its_client_gives_up_is_taken_back() {
    let mut gateway = World::new().with_config(&child("kid", true, "")).start();
    let at = gateway.address;
    let slow = tokio::spawn(async move { call(at, "kid__slow", &json!({})).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    slow.abort();
    gateway.program.wait_for("says: slow was taken back", SOON).unwrap();
    // And a session's client says so.
    let mine = session(at, &json!({})).await;
    let none = json!({});
    let goes_on = in_session(at, &mine, "kid__slow", &none);
    let takes_back = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let message =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        let headers = [JSON, ("mcp-session-id", mine.as_str())];
        send(at, &Method::POST, &headers, message.to_string()).await
    };
    let (ended, taken) = tokio::join!(goes_on, takes_back);
    assert_eq!((ended.code(), taken.http), (-32000, 202), "{ended:?}");
}

/// What a server has seen of each request: its authorization, and its body.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A server of an older version that only writes down.
async fn recorder() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, kept) = (listener.local_addr().unwrap(), Arc::clone(&seen));
    let answer = move |headers: http::HeaderMap, body: String| {
        let kept = Arc::clone(&kept);
        async move {
            let said: Value = serde_json::from_str(&body).unwrap();
            let authorization = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
            assert!(headers.get("x-api-key").is_none() && headers.get("cookie").is_none(), "{headers:?}");
            kept.lock().unwrap().push((authorization.to_owned(), body));
            let result = match said["method"].as_str().unwrap() {
                "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "r", "version": "1"}}),
                "tools/list" => {
                    json!({"tools": [{"name": "odd.name/of a tool", "inputSchema": {"type": "object"}}]})
                }
                "tools/call" => {
                    json!({"content": [], "structuredContent": {"n": 1.50, "big": 12345678901234567890_u64},
                    "x-unknown": {"kept": true}})
                }
                _ => return (http::StatusCode::ACCEPTED, [("content-type", "text/plain")], String::new()),
            };
            let message = json!({"jsonrpc": "2.0", "id": said["id"], "result": result});
            (http::StatusCode::OK, [("content-type", "application/json")], message.to_string())
        }
    };
    let app = axum::Router::new().fallback(axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (at, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_credentials_go_to_no_server_and_unknown_members_go_through() {
    let (at, seen) = recorder().await;
    let config = format!(
        "[[mcp.servers]]\nname = \"r\"\nurl = \"http://{at}/any/path?x=1\"\nprotocol = \"legacy\"\n\
         headers = {{ authorization = {{ env = \"UPSTREAM\" }} }}\n"
    );
    let gateway = World::new().with_variable("UPSTREAM", "Bearer 9d41f6c20b7e").with_config(&config).start();
    let listed = tools(gateway.address).await;
    let [tool] = &listed[..] else { panic!("{listed:?}") };
    assert!(tool.starts_with("r__odd_name_of_a_tool_") && tool.len() <= 64, "{tool}");
    let arguments = "{\"z\":1.0e2,\"a\":[1,2]}";
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{arguments}}}}}"
    );
    let headers = [JSON, ("authorization", "Bearer of-the-caller"), ("x-api-key", "k"), ("cookie", "c=1")];
    let got = send(gateway.address, &Method::POST, &headers, body).await;
    assert_eq!(got.result()["x-unknown"]["kept"], true);
    assert_eq!(got.result()["structuredContent"]["big"], 12_345_678_901_234_567_890_u64);
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|(authorization, _)| authorization == "Bearer 9d41f6c20b7e"), "{seen:?}");
    let (_, called) = seen.last().unwrap();
    assert!(called.contains(&format!("\"arguments\":{arguments}")), "{called}");
    assert!(called.contains("\"name\":\"odd.name/of a tool\""), "{called}");
}
