//! gRPC methods as tools: what is told of them, what their arguments may be, what comes of them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Got, bare, call, modern, rpc, start, upstream};
use crate::support::gateway::World;

async fn tool(at: std::net::SocketAddr, name: &str) -> Value {
    let list = bare(at, &rpc("tools/list", &json!({}))).await;
    let tools = list.result()["tools"].as_array().unwrap().clone();
    tools.into_iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_described_by_its_method() {
    let more = "[[mcp.tools]]\nmethod = \"library.v1.Library/PutBook\"\nname = \"put\"\ntitle = \"Put it back\"\n\
                description = \"Puts a book back.\"\ndestructive = false\n";
    let gateway = start(more).await;
    let at = gateway.address;
    let get = tool(at, "GetBook").await;
    assert_eq!(get["description"], "Answers the book it was asked for.");
    assert_eq!(get["title"], "Get book");
    let hints = json!({"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true});
    assert_eq!(get["annotations"], hints);
    let input = &get["inputSchema"];
    assert_eq!((&input["type"], &input["additionalProperties"]), (&json!("object"), &json!(false)));
    assert_eq!(input["properties"]["name"], json!({"type": "string"}));
    assert_eq!(input["properties"]["edition"]["type"], "integer");
    for keyword in ["anyOf", "oneOf", "allOf"] {
        assert!(input.get(keyword).is_none() && get["outputSchema"].get(keyword).is_none(), "{keyword}");
    }
    let output = &get["outputSchema"];
    assert_eq!(output["type"], "object");
    // A book holds a book.
    assert!(output["$defs"]["library.v1.Book"].is_object(), "{output}");
    let put = tool(at, "put").await;
    assert_eq!((&put["title"], &put["description"]), (&json!("Put it back"), &json!("Puts a book back.")));
    let hints = json!({"readOnlyHint": false, "destructiveHint": false, "idempotentHint": true});
    assert_eq!(put["annotations"], hints);
    let pages = tool(at, "ListPages").await;
    assert_eq!(pages["outputSchema"]["properties"]["messages"]["type"], "array");
    assert!(tool(at, "Upload").await.get("outputSchema").is_none());
    // What takes a stream of requests is no tool.
    let list = bare(at, &rpc("tools/list", &json!({}))).await;
    assert!(!super::names(list.result()).iter().any(|name| ["Collect", "Chat"].contains(name)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_schema_is_one_and_every_result_fits_its_own() {
    let gateway = World::with_library(crate::support::library::start().await)
        .with_file("gallery.binpb", crate::support::gallery::DESCRIPTORS.as_slice())
        .with_config(&format!(
            "[[upstreams]]\nname = \"gallery\"\ngrpc = \"http://{}\"\ndescriptors = \"gallery.binpb\"\n\
             [mcp]\nexpose = [\"*\", \"propylon.*\", \"grpc.health.v1.Health/Check\"]\n",
            crate::support::gallery::start().await
        ))
        .start();
    let at = gateway.address;
    let list = bare(at, &rpc("tools/list", &json!({}))).await;
    let tools = list.result()["tools"].as_array().unwrap();
    assert!(tools.len() > 30, "{}", tools.len());
    let mut called = 0;
    for tool in tools {
        let name = tool["name"].as_str().unwrap();
        assert!(!tool["description"].as_str().unwrap().is_empty(), "{name}");
        for key in ["inputSchema", "outputSchema"] {
            let Some(schema) = tool.get(key) else { continue };
            assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}: {schema}");
            assert_eq!(schema["type"], "object", "{name}");
            for keyword in ["anyOf", "oneOf", "allOf"] {
                assert!(schema.get(keyword).is_none(), "{name}.{key}: {keyword}");
            }
        }
        if !name.starts_with("gallery_v1_Gallery_") {
            continue;
        }
        let got = call(at, name, &json!({})).await;
        let result = got.result();
        if result["isError"] == false && tool.get("outputSchema").is_some() {
            let structured = &result["structuredContent"];
            let validator = jsonschema::draft202012::new(&tool["outputSchema"]).unwrap();
            let errors: Vec<_> = validator.iter_errors(structured).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{name}: {structured}");
            let text: Value = serde_json::from_str(got.text()).unwrap();
            assert_eq!(text, *structured, "{name}");
            called += 1;
        }
    }
    assert!(called > 10, "{called}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_structured_and_as_text() {
    let gateway = start("").await;
    let at = gateway.address;
    let got = call(at, "GetBook", &json!({"name": "shelves/1/books/2", "edition": 3})).await;
    let result = got.result();
    assert_eq!(result["isError"], false);
    assert_eq!(result["structuredContent"]["name"], "shelves/1/books/2");
    assert_eq!(serde_json::from_str::<Value>(got.text()).unwrap(), result["structuredContent"]);
    // Absent arguments are none.
    for params in [json!({"name": "GetBook"}), json!({"name": "GetBook", "arguments": null})] {
        assert_eq!(bare(at, &rpc("tools/call", &params)).await.result()["isError"], false, "{params}");
    }
    let got = modern(at, "tools/call", &json!({"name": "GetBook", "arguments": {"name": "a"}}), &[]).await;
    assert_eq!((&got.result()["resultType"], &got.result()["isError"]), (&json!("complete"), &json!(false)));
    let unknown = call(at, "GetBok", &json!({})).await;
    assert_eq!((unknown.http, unknown.code()), (200, -32602));
    assert_eq!(unknown.json["error"]["message"], "Unknown tool: GetBok");
    assert_eq!(bare(at, &rpc("tools/call", &json!({}))).await.code(), -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_so_that_an_agent_can_act_on_it() {
    let gateway = start("").await;
    let at = gateway.address;
    let check = async |tool: &str, arguments: Value, words: &[&str]| {
        let got = call(at, tool, &arguments).await;
        assert_eq!(got.result()["isError"], true, "{tool} {arguments}");
        for word in words {
            assert!(got.text().contains(word), "{tool} {arguments}: {}", got.text());
        }
    };
    let no_fit = "INVALID_ARGUMENT: the arguments do not fit: ";
    check("GetBook", json!({"edition": "two"}), &[no_fit, "edition"]).await;
    check("GetBook", json!({"nmae": "x"}), &[no_fit, "nmae", "`name`"]).await;
    check("PutBook", json!({"author": {"givenName": 7}}), &[no_fit, "author.given_name"]).await;
    check("GetBook", json!([1]), &[no_fit]).await;
    check("GetBook", json!("x"), &[no_fit]).await;
    check("Fail", json!({"code": 5, "message": "no such shelf"}), &["NOT_FOUND: no such shelf"]).await;
    let got = call(at, "Fail", &json!({"code": 9, "message": "not now", "reason": "CLOSED"})).await;
    let details: Value = serde_json::from_str(got.result()["content"][1]["text"].as_str().unwrap()).unwrap();
    assert_eq!(details["error"]["details"][0]["reason"], "CLOSED");
    assert!(got.result().get("structuredContent").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_collected_and_told_as_it_comes_to_who_asks() {
    let gateway = start("stream_messages = 3").await;
    let at = gateway.address;
    let got = call(at, "ListPages", &json!({"pages": 2})).await;
    let structured = &got.result()["structuredContent"];
    assert_eq!(
        (structured["messages"].as_array().unwrap().len(), &structured["complete"]),
        (2, &json!(true))
    );
    assert_eq!(got.header("content-type"), "application/json");
    let ask = |pages: i32, code: i32| json!({"name": "ListPages", "arguments": {"pages": pages, "code": code}, "_meta": {"progressToken": "t"}});
    let got: Got = modern(at, "tools/call", &ask(2, 0), &[]).await;
    assert_eq!(got.header("content-type"), "text/event-stream");
    let [first, second, last] = got.events.as_slice() else { panic!("{got:?}") };
    for (event, number) in [(first, 1), (second, 2)] {
        assert_eq!(event["method"], "notifications/progress");
        assert_eq!(
            (&event["params"]["progressToken"], &event["params"]["progress"]),
            (&json!("t"), &json!(number))
        );
        let message: Value = serde_json::from_str(event["params"]["message"].as_str().unwrap()).unwrap();
        assert_eq!(message, last["result"]["structuredContent"]["messages"][number - 1]);
    }
    assert_eq!((&last["id"], &last["result"]["isError"]), (&json!(1), &json!(false)));
    // One that fails half-way has not lost what came before.
    let got = modern(at, "tools/call", &ask(2, 14), &[]).await;
    assert_eq!((got.events.len(), &got.json["result"]["isError"]), (3, &json!(true)));
    let text = got.json["result"]["content"].to_string();
    assert!(text.contains("UNAVAILABLE") && text.contains("messages"), "{text}");
    // One that is too long is cut off.
    let got = call(at, "ListPages", &json!({"pages": 9})).await;
    let structured = &got.result()["structuredContent"];
    assert_eq!(
        (structured["messages"].as_array().unwrap().len(), &structured["complete"]),
        (3, &json!(false))
    );
    assert!(got.result()["content"][1]["text"].as_str().unwrap().contains("more than 3 messages"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_what_their_type_says() {
    let gateway = start("").await;
    let upload = async |kind: &str| {
        let got = call(gateway.address, "Upload", &json!({"contentType": kind, "data": "aGVsbG8="})).await;
        assert_eq!(got.result()["isError"], false, "{got:?}");
        got.result()["content"][0].clone()
    };
    assert_eq!(upload("text/plain; charset=utf-8").await, json!({"type": "text", "text": "hello"}));
    let image = json!({"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"});
    assert_eq!(upload("image/png").await, image);
    assert_eq!(upload("audio/wav").await["type"], "audio");
    let other = upload("application/zip").await;
    assert_eq!((&other["type"], &other["resource"]["blob"]), (&json!("resource"), &json!("aGVsbG8=")));
}

/// Waits until no call of the tests' own upstream goes on.
pub(super) async fn no_call_goes_on() {
    for _ in 0..500 {
        if upstream::calls().1 == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("calls go on: {:?}", upstream::calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_the_call() {
    let gateway = upstream::world("").await.start();
    for (tool, accept) in [
        ("slow", "application/json"),
        ("endless", "application/json"),
        ("endless", "application/json, text/event-stream"),
    ] {
        let (before, _) = upstream::calls();
        let params = json!({"name": tool, "_meta": {"progressToken": 7}});
        let body = rpc("tools/call", &params).to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\naccept: {accept}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        while upstream::calls().0 == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if accept.contains("event-stream") {
            // It is told as it comes, long before its end.
            let mut seen = String::new();
            while seen.matches("notifications/progress").count() < 3 {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).await.unwrap();
                assert!(read > 0, "{seen}");
                seen.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
            }
        }
        drop(stream);
        no_call_goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_s_client_takes_a_call_back_by_another_request() {
    let gateway = upstream::world("").await.start();
    let at = gateway.address;
    let json_type = ("content-type", "application/json");
    let initialize = rpc("initialize", &json!({"protocolVersion": "2025-06-18", "capabilities": {}}));
    let opened = bare(at, &initialize).await;
    let session = opened.header("mcp-session-id").to_owned();
    for (tool, accept) in [
        ("slow", "application/json"),
        ("endless", "application/json"),
        ("endless", "application/json, text/event-stream"),
    ] {
        let (before, _) = upstream::calls();
        let params = json!({"name": tool, "_meta": {"progressToken": 7}});
        let message = json!({"jsonrpc": "2.0", "id": "call-1", "method": "tools/call", "params": params});
        let held = session.clone();
        let called = tokio::spawn(async move {
            let headers = [json_type, ("accept", accept), ("mcp-session-id", held.as_str())];
            super::send(at, &http::Method::POST, &headers, message.to_string()).await
        });
        while upstream::calls().0 == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let cancel = async |session: &str, id: Value| {
            let note =
                json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
            let headers = [json_type, ("mcp-session-id", session)];
            super::send(at, &http::Method::POST, &headers, note.to_string()).await.http
        };
        // Neither another's, nor another call.
        let other = bare(at, &initialize).await.header("mcp-session-id").to_owned();
        assert_eq!(cancel(&other, json!("call-1")).await, 202);
        assert_eq!(cancel(&session, json!("call-2")).await, 202);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!called.is_finished(), "{tool} {accept}");
        assert_eq!(cancel(&session, json!("call-1")).await, 202);
        let got = called.await.unwrap();
        if accept.contains("event-stream") {
            assert!(got.events.iter().all(|event| event["method"] == "notifications/progress"), "{got:?}");
        } else {
            assert_eq!((got.http, got.code()), (200, -32000), "{got:?}");
        }
        no_call_goes_on().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_an_end_is_cut_off_in_time() {
    let gateway = upstream::world("stream_timeout = \"300ms\"").await.start();
    let got = call(gateway.address, "endless", &json!({})).await;
    let structured = &got.result()["structuredContent"];
    assert_eq!(structured["complete"], false);
    assert!(!structured["messages"].as_array().unwrap().is_empty());
    assert!(got.result()["content"][1]["text"].as_str().unwrap().contains("300ms"), "{got:?}");
    no_call_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_exposed_is_a_tool() {
    let world = |mcp: &str, upstream| World::with_library(upstream).with_config(mcp);
    let upstream = crate::support::library::start().await;
    let listed = async |mcp: &str| {
        let gateway = world(mcp, upstream).start();
        let list = bare(gateway.address, &rpc("tools/list", &json!({}))).await;
        super::names(list.result()).join(" ")
    };
    assert_eq!(listed("").await, "");
    let all = listed("[mcp]\nexpose = [\"*\"]\nhide = [\"*/U*\"]").await;
    assert_eq!(
        all,
        "library_v1_Library_CreateBook library_v1_Library_Fail library_v1_Library_GetBook \
         library_v1_Library_ListPages library_v1_Library_Plain library_v1_Library_PutBook"
    );
    let own =
        listed("[mcp]\nexpose = [\"propylon.gateway.v1.HealthService/Ping\"]\nnames = \"service\"").await;
    assert_eq!(own, "HealthService_Ping");
    let off = world("[mcp]\nenabled = false", upstream).start();
    assert_eq!(bare(off.address, &rpc("ping", &json!({}))).await.http, 404);
}
