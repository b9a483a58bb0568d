//! Streams that tell of changes: what a reload changes of the tools is told to who listens, in the words of its era.

use std::{net::SocketAddr, time::Duration};

use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use super::{MODERN, modern, rpc, send, start};
use crate::support::client::request;

/// An event stream that is read as it comes.
pub(super) struct Listening {
    body: Incoming,
    buffer: String,
}

impl Listening {
    pub(super) async fn start(
        at: SocketAddr,
        method: &Method,
        headers: &[(&str, &str)],
        body: String,
    ) -> Self {
        let stream = TcpStream::connect(at).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = request(method, "/mcp", headers, body).map(Full::new);
        request.headers_mut().insert("host", "test".parse().unwrap());
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), buffer: String::new() }
    }

    /// The next message, or `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let read = async {
            loop {
                if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                    self.buffer = rest.to_owned();
                    match data {
                        Some(data) => return Some(serde_json::from_str(&data).unwrap()),
                        None => continue,
                    }
                }
                let frame = self.body.frame().await?.unwrap();
                self.buffer.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
        };
        timeout(Duration::from_secs(20), read).await.expect("an event in time")
    }
}

pub(super) fn listen(notifications: &Value) -> (Vec<(&'static str, &'static str)>, String) {
    let headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "subscriptions/listen"),
    ];
    let params = json!({
        "notifications": notifications,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    (headers, rpc("subscriptions/listen", &params).to_string())
}

const LIBRARY: &str =
    "[[upstreams]]\nname = \"library\"\ngrpc = \"http://127.0.0.1:1\"\ndescriptors = \"library.binpb\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_changes_the_tools_is_told() {
    let mut gateway = start("").await;
    let at = gateway.address;
    let (headers, body) = listen(&json!({"toolsListChanged": true, "promptsListChanged": true}));
    let mut all = Listening::start(at, &Method::POST, &headers, body).await;
    let (headers, body) = listen(&json!({"promptsListChanged": true}));
    let mut others = Listening::start(at, &Method::POST, &headers, body).await;
    let acknowledged = all.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], json!({"toolsListChanged": true}));
    assert_eq!(acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!(others.next().await.unwrap()["params"]["notifications"], json!({}));
    let initialize = json!({"protocolVersion": "2025-06-18", "capabilities": {}});
    let json_type = ("content-type", "application/json");
    let opened = send(at, &Method::POST, &[json_type], rpc("initialize", &initialize).to_string()).await;
    let session = [("mcp-session-id", opened.header("mcp-session-id")), ("accept", "text/event-stream")];
    let mut older = Listening::start(at, &Method::GET, &session, String::new()).await;
    let refused = send(at, &Method::GET, &[session[0], ("accept", "application/json")], "").await;
    assert_eq!(refused.http, 406);

    gateway
        .rewrite(&format!("{LIBRARY}[mcp]\nexpose = [\"library.v1.Library/GetBook\"]\nnames = \"method\"\n"));
    let changed = all.next().await.unwrap();
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    let changed = older.next().await.unwrap();
    assert_eq!(changed, json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    let list = modern(at, "tools/list", &json!({}), &[]).await;
    assert_eq!(super::names(list.result()), ["GetBook"]);

    // The drain waits for none of them: those of the newest version end with an answer.
    gateway.program.signal("TERM");
    let last = all.next().await.unwrap();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(1), &json!("complete")));
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert!(others.next().await.unwrap()["result"].is_object());
    assert!(all.next().await.is_none() && others.next().await.is_none() && older.next().await.is_none());
    assert_eq!(gateway.program.exit_code(Duration::from_secs(20)).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_listen_and_no_more() {
    let gateway = start("listeners = 1").await;
    let at = gateway.address;
    let (headers, body) = listen(&json!({"toolsListChanged": true}));
    let mut first = Listening::start(at, &Method::POST, &headers, body).await;
    assert!(first.next().await.is_some());
    let second = modern(at, "subscriptions/listen", &json!({"notifications": {}}), &[]).await;
    assert_eq!((second.http, second.code(), second.header("retry-after")), (503, -32000, "5"));
    for wrong in [json!({}), json!({"notifications": []}), json!({"notifications": {"toolsListChanged": 1}})]
    {
        assert_eq!(modern(at, "subscriptions/listen", &wrong, &[]).await.code(), -32602, "{wrong}");
    }
}
