//! What nobody may do by way of tools: arguments made to be read in two ways, or to be more than can be read; pages of
//! elsewhere; names that lead here and are not ours.

use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{bare, call, rpc, send, start};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread")]
async fn arguments_stay_values_whatever_is_in_them() {
    let gateway = start("").await;
    for name in [
        "shelves/1/books/../../../admin",
        "shelves/1/books/2?edition=9",
        "shelves%2f1%2Fbooks%2f2",
        "a\r\nx-user-id: root\r\n\r\n",
        "\u{0}\u{7f}\u{2028}",
        "$(id); ' OR 1=1 --",
        "</script>",
    ] {
        let got = call(gateway.address, "GetBook", &json!({"name": name})).await;
        assert_eq!(got.result()["structuredContent"]["name"], name, "{got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_read_in_two_ways_is_refused() {
    let gateway = start("").await;
    let at = gateway.address;
    let raw = async |arguments: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"GetBook","arguments":{arguments}}}}}"#
        );
        send(at, &Method::POST, &[JSON], body).await
    };
    for arguments in [
        r#"{"name":"a","name":"b"}"#,
        r#"{"name":"a","n\u0061me":"b"}"#,
        r#"{"name":"a","Name":"b"}"#,
        r#"{"NAME":"a"}"#,
        r#"{"name":"a","extra":1}"#,
        r#"{"name":"a","edition":1e400}"#,
        r#"{"name":"\ud800"}"#,
    ] {
        let got = raw(arguments).await;
        assert_eq!((got.http, &got.json["result"]["isError"]), (200, &json!(true)), "{arguments}: {got:?}");
    }
    let refused = async |body: &str, code: i64| {
        let got = send(at, &Method::POST, &[JSON], body.to_owned()).await;
        assert_eq!(got.code(), code, "{body}");
    };
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"GetBook","name":"Fail"}}"#;
    refused(twice, -32602).await;
    let cased = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"GetBook","Name":"Fail"}}"#;
    refused(cased, -32602).await;
    refused(r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#, -32600).await;
    refused(r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/list"}"#, -32600).await;
    refused(r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {"jsonrpc":"2.0"}"#, -32700).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_deep_or_too_long_is_refused_and_costs_nothing() {
    let gateway = start("").await;
    let at = gateway.address;
    let deep = |levels: usize| format!("{}{{}}{}", r#"{"sequel":"#.repeat(levels), "}".repeat(levels));
    let put = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"PutBook","arguments":{arguments}}}}}"#
        )
    };
    let got = send(at, &Method::POST, &[JSON], put(&deep(90))).await;
    assert_eq!(got.result()["isError"], false);
    for levels in [101, 5_000, 100_000] {
        let got = send(at, &Method::POST, &[JSON], put(&deep(levels))).await;
        assert_eq!(got.result()["isError"], true, "{levels}");
        assert!(got.text().contains("deep"), "{levels}: {}", got.text());
    }
    // 10 MiB are announced, and answered before they are sent.
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let head = "POST /mcp HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 10485760\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains("-32600") {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "{answer}");
        answer.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let coded = zstd::encode_all(vec![b' '; 64 << 20].as_slice(), 1).unwrap();
    let got = send(at, &Method::POST, &[JSON, ("content-encoding", "zstd")], coded).await;
    assert_eq!((got.http, got.code()), (413, -32600));
    assert_eq!(bare(at, &rpc("ping", &json!({}))).await.http, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_elsewhere_use_no_tools() {
    let check = async |config: &str, headers: &[(&str, &str)], want: u16| {
        let gateway = start(config).await;
        let all = [&[JSON], headers].concat();
        let got = send(gateway.address, &Method::POST, &all, rpc("tools/list", &json!({})).to_string()).await;
        assert_eq!(got.http, want, "{config} {headers:?}: {got:?}");
        if want == 403 {
            assert_eq!(got.code(), -32003);
        }
    };
    let evil = ("origin", "https://evil.example");
    check("", &[], 200).await;
    check("", &[evil], 403).await;
    check("", &[("origin", "null")], 403).await;
    // Its name leads here, and it is of its own origin.
    check("", &[("origin", "http://evil.example"), ("host", "evil.example")], 403).await;
    check("", &[("host", "evil.example"), ("sec-fetch-site", "same-origin")], 403).await;
    check("", &[("origin", "http://localhost:1"), ("host", "localhost:1")], 200).await;
    check("", &[("origin", "http://localhost:2"), ("host", "localhost:1")], 403).await;
    check("[cors]\norigins = [\"https://a.example\"]", &[evil], 403).await;
    check("[cors]\norigins = [\"https://a.example\"]", &[("origin", "https://a.example")], 200).await;
    check("[cors]\norigins = [\"*\"]", &[evil], 200).await;
    check("[gateway]\nhosts = [\"a.example\"]", &[("host", "b.example")], 400).await;
    // Of two that are said, one reader takes the first and another the last.
    let both = [("origin", "https://a.example"), evil];
    check("[cors]\norigins = [\"https://a.example\"]", &both, 400).await;
    check("", &[("content-type", "text/plain")], 400).await;
    let own = [("host", "a.example"), ("origin", "http://a.example")];
    check("[gateway]\nhosts = [\"a.example\"]", &own, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_may_call_is_told_what_it_may_read() {
    let gateway = start("[cors]\norigins = [\"https://a.example\"]\ncredentials = true").await;
    let origin = ("origin", "https://a.example");
    let ask =
        [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", "mcp-method")];
    let got = send(gateway.address, &Method::OPTIONS, &ask, "").await;
    assert_eq!((got.http, got.header("access-control-allow-origin")), (204, "https://a.example"));
    assert_eq!(got.header("access-control-allow-headers"), "mcp-method");
    let initialize = rpc("initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    let got = send(gateway.address, &Method::POST, &[JSON, origin], initialize.to_string()).await;
    let exposed = got.header("access-control-expose-headers");
    for name in ["mcp-session-id", "mcp-protocol-version", "www-authenticate"] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_mcp_s_own_goes_upstream() {
    let gateway = start("").await;
    let call = rpc("tools/call", &json!({"name": "GetBook"})).to_string();
    let headers = [
        JSON,
        ("mcp-protocol-version", "2025-06-18"),
        ("mcp-whatever", "secret"),
        ("last-event-id", "7"),
        ("x-user-id", "root"),
        ("X_User_Role", "admin"),
        ("x-mine", "kept"),
    ];
    let got = send(gateway.address, &Method::POST, &headers, call).await;
    // The library answers with the metadata that it was sent.
    let tags = got.result()["structuredContent"]["tags"].as_array().unwrap().clone();
    let seen: Vec<&str> = tags.iter().map(|tag| tag.as_str().unwrap()).collect();
    assert!(seen.contains(&"x-mine=kept"), "{seen:?}");
    for name in ["mcp-", "last-event-id", "x-user-id", "x_user_role", "content-length", "host"] {
        assert!(!seen.iter().any(|tag| tag.starts_with(name)), "{name}: {seen:?}");
    }
}
