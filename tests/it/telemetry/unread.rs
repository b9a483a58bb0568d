//! What never became a request is told of all the same; and credentials that nobody asked for.

use http::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{exposition::Scrape, metrics::until};
use crate::support::{
    client::{http1, request},
    gateway::World,
};

const COUNT: &str = "http_server_request_duration_seconds_count";

#[tokio::test]
async fn heads_that_cannot_be_read_are_counted_and_some_of_them_logged() {
    let gateway = World::new().with_config("[limits]\nheader_bytes = 1024\n").start();
    let say = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    assert!(say(long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    for _ in 0..60 {
        assert!(say(b"GET SECRET\x01 / \r\n\r\n").await.starts_with("HTTP/1.1 400"));
    }
    let of = |status: u16| {
        format!(
            "http_request_method=\"OTHER\",http_route=\"unmatched\",http_response_status_code=\"{status}\""
        )
    };
    let all = |scrape: &Scrape| (scrape.sum(COUNT, &of(431)), scrape.sum(COUNT, &of(400)));
    let scrape = until(&gateway, |scrape| all(scrape) == (Some(1.0), Some(60.0))).await;
    assert_eq!(scrape.sum("http_server_active_requests", ""), Some(1.0));
    let output = gateway.program.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["method"] == "-").collect();
    assert!(lines.iter().any(|line| line["status"] == 431 && line["client"] == "127.0.0.1"), "{output}");
    assert!(lines.iter().any(|line| line["status"] == 400 && line["error"].is_string()), "{output}");
    assert!(!output.contains("SECRET"), "{output}");
}

#[tokio::test]
async fn bad_credentials_are_counted_where_nobody_asks_for_any() {
    let gateway = World::new().with_variable("API_TOKEN", "the-one-token-that-is-good-0123456789").start();
    let bad = [("authorization", "Bearer nobody-knows-this-token")];
    assert_eq!(http1(gateway.address, request(&Method::GET, "/ping", &bad, "")).await.status(), 200);
    assert_eq!(http1(gateway.address, request(&Method::GET, "/admin/users", &bad, "")).await.status(), 401);
    let scrape = Scrape::of(&gateway, "").await;
    let count = |result: &str| scrape.sum("propylon_credentials_total", &format!("result=\"{result}\""));
    assert_eq!((count("ignored"), count("refused")), (Some(1.0), Some(1.0)), "{}", scrape.text);
}
