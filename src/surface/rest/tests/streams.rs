//! Streams in both directions, in every form, those that fail among them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;

use super::{TestRoad, pieces, rest, send};
use crate::call::{Body, Call, Reply, Road};

const ERROR: &str = r#"{"error":{"code":15,"status":"DATA_LOSS","message":"torn","details":[]}}"#;

#[tokio::test]
async fn every_form() {
    let rest = &rest();
    let check = async |accept: &str, query: &str, content_type: &str, want: &str| {
        let got = send("GET", &format!("/v1/watch?{query}")).header("accept", accept).got(rest).await;
        assert_eq!(
            (got.status, got.text(), got.header("content-type")),
            (200, want, content_type),
            "{accept} {query}"
        );
    };
    let (array, lines, events) = ("application/json", "application/x-ndjson", "text/event-stream");
    check("*/*", "number=2", array, r#"[{"number":1},{"number":2}]"#).await;
    check(array, "number=0", array, "[]").await;
    check(array, "number=1&text=torn", array, &format!(r#"[{{"number":1}},{ERROR}]"#)).await;
    check(lines, "number=2", lines, "{\"number\":1}\n{\"number\":2}\n").await;
    check(lines, "", lines, "").await;
    check(lines, "number=1&text=torn", lines, &format!("{{\"number\":1}}\n{ERROR}\n")).await;
    check(events, "number=2", events, "id: 1\ndata: {\"number\":1}\n\nid: 2\ndata: {\"number\":2}\n\n").await;
    check(events, "", events, "").await;
    let failed = format!("id: 1\ndata: {{\"number\":1}}\n\nevent: error\ndata: {ERROR}\n\n");
    check(events, "number=1&text=torn", events, &failed).await;
    for accept in [array, lines, events] {
        let got = send("GET", "/v1/watch?text=torn").header("accept", accept).got(rest).await;
        assert_eq!(
            (got.status, &got.json()["status"]),
            (500, &"DATA_LOSS".into()),
            "before the first message: {accept}"
        );
        assert_eq!(got.header("x-trailer"), "at the end");
    }
    let got = send("GET", "/v1/watch?number=1&text=bad%20wire").header("accept", lines).got(rest).await;
    assert!(
        got.text().starts_with("{\"number\":1}\n{\"error\":{\"code\":13,\"status\":\"INTERNAL\""),
        "{got:?}"
    );
    let head = send("HEAD", "/v1/watch?number=2").got(rest).await;
    assert_eq!((head.status, head.text()), (200, ""));
}

#[tokio::test]
async fn raw_streams() {
    let rest = &rest();
    let got = send("GET", "/v1/files/b").got(rest).await;
    assert_eq!((got.status, got.text(), got.header("content-type")), (200, "a,b", "text/csv"));
    let torn = send("GET", "/v1/files/torn").got(rest).await;
    assert!(torn.status == 200 && torn.broken.is_some(), "a failure must not look like an end: {torn:?}");

    let (sender, body) = pieces();
    for piece in ["abc", "de"] {
        sender.send(piece.into()).unwrap();
    }
    drop(sender);
    let got = send("POST", "/v1/upload").header("content-type", "image/png").body(body).got(rest).await;
    assert_eq!(got.text(), r#"{"number":5,"tags":["image/png"]}"#);
}

#[tokio::test]
async fn streams_of_requests() {
    let rest = &rest();
    let body = "{\"text\":\"a\"}\n\n{\"text\":\"b\"}";
    let array = "[{\"text\":\"a\"} , {\"text\":\"b\"}]";
    for (content_type, body) in [
        ("application/x-ndjson", body),
        ("application/jsonl", body),
        ("application/json", array),
        ("", body),
        ("", array),
    ] {
        for size in [1, 5, 100] {
            let (sender, chunks) = pieces();
            for piece in body.as_bytes().chunks(size) {
                sender.send(Bytes::copy_from_slice(piece)).unwrap();
            }
            drop(sender);
            let got =
                send("POST", "/v1/collect").header("content-type", content_type).body(chunks).got(rest).await;
            assert_eq!(
                (got.status, got.text()),
                (200, r#"{"text":"ab","number":2}"#),
                "{content_type} {size}"
            );
        }
    }
    let coded = super::super::content::Coding::Brotli.encode(body.as_bytes()).unwrap();
    let got = send("POST", "/v1/collect").header("content-encoding", "br").body(coded).got(rest).await;
    assert_eq!(got.text(), r#"{"text":"ab","number":2}"#);
    let none = send("POST", "/v1/collect").got(rest).await;
    assert_eq!((none.status, none.text()), (200, "{}"));
}

#[tokio::test(start_paused = true)]
async fn both_directions_at_once() {
    let rest = rest();
    let (sender, body) = pieces();
    let sent = send("POST", "/v1/chat/t").header("accept", "application/x-ndjson").body(body);
    sender.send("{\"text\":\"a\"}\n".into()).unwrap();
    let mut replies = sent.response(&rest).await.into_body();
    let mut next = async || replies.frame().await.map(|frame| frame.unwrap().into_data().unwrap_or_default());
    assert_eq!(next().await.unwrap(), "{\"text\":\"a\",\"number\":1,\"tag\":\"t\"}\n");
    sender.send("{\"text\":\"b\"}\n{\"te".into()).unwrap();
    assert_eq!(next().await.unwrap(), "{\"text\":\"b\",\"number\":1,\"tag\":\"t\"}\n");
    sender.send("xt\":7}\n".into()).unwrap();
    let last = String::from_utf8(next().await.unwrap().to_vec()).unwrap();
    assert!(
        last.starts_with(r#"{"error":{"code":3,"status":"INVALID_ARGUMENT","message":"element 3: text: "#),
        "{last}"
    );
    assert!(next().await.is_none());
    // A client may wait for its head before it sends anything.
    let (sender, body) = pieces();
    let response = send("POST", "/v1/chat/t").body(body).response(&rest).await;
    assert_eq!(response.status(), 200);
    drop(sender);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "[]");
}

#[tokio::test(start_paused = true)]
async fn a_silent_event_stream_is_kept_alive() {
    let rest = rest();
    let started = tokio::time::Instant::now();
    let sent = send("GET", "/v1/watch?number=1&text=slow%20torn").header("accept", "text/event-stream");
    let response = sent.response(&rest).await;
    assert_eq!((response.status().as_u16(), started.elapsed()), (200, Duration::from_secs(1)));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let want = format!(
        ": keep-alive\n\nid: 1\ndata: {{\"number\":1}}\n\n: keep-alive\n\nevent: error\ndata: {ERROR}\n\n"
    );
    assert_eq!(body, want);
    // Other forms wait, so that their status can tell.
    let got =
        send("GET", "/v1/watch?text=slow%20torn").header("accept", "application/x-ndjson").got(&rest).await;
    assert_eq!(got.status, 500);
}

/// An upstream that gives its head with its first message only, as most do.
struct LateHead;

impl Road for LateHead {
    async fn admit(&self, call: &mut Call) -> Result<(), tonic::Status> {
        TestRoad.admit(call).await
    }

    fn ahead(&self, _call: &Call) -> http::HeaderMap {
        [("x-left".parse().unwrap(), http::HeaderValue::from_static("7"))].into_iter().collect()
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, tonic::Status> {
        tokio::time::sleep(Duration::from_secs(20)).await;
        if call.metadata.contains_key("x-fail") {
            return Err(tonic::Status::data_loss("torn"));
        }
        TestRoad.dispatch(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_wait_for_the_upstreams_head() {
    let rest = rest();
    let check = async |accept: &str, fail: bool, waits: u64, want: &str| {
        let started = tokio::time::Instant::now();
        let mut request = http::Request::get("/v1/watch?number=1").header("accept", accept);
        if fail {
            request = request.header("x-fail", "1");
        }
        let response = rest.serve(&Arc::new(LateHead), request.body(Body::empty()).unwrap()).await;
        assert_eq!((response.status().as_u16(), started.elapsed().as_secs()), (200, waits), "{accept}");
        assert_eq!(response.headers()["content-type"], accept);
        // What is known ahead of the upstream's head is in one that is given before it.
        assert_eq!(response.headers().contains_key("x-left"), waits == 1);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(std::str::from_utf8(&body).unwrap(), want);
    };
    let events = "text/event-stream";
    check(events, false, 1, ": keep-alive\n\nid: 1\ndata: {\"number\":1}\n\n").await;
    check(events, true, 1, &format!(": keep-alive\n\nevent: error\ndata: {ERROR}\n\n")).await;
    check("application/json", false, 20, r#"[{"number":1}]"#).await;
    let request = http::Request::get("/v1/watch").header("accept", events).header("x-refuse", "1");
    let refused = rest.serve(&Arc::new(LateHead), request.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.status(), 401);
}

#[tokio::test]
async fn ready_messages_are_coalesced_and_an_idle_client_is_not_read_for() {
    let rest = rest();
    let mut body = send("GET", "/v1/watch?number=10000").response(&rest).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!((16 << 10..17 << 10).contains(&first.len()), "{}", first.len());
}

/// Notes when its guard is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Guarded(Arc<AtomicBool>);

impl Road for Guarded {
    async fn admit(&self, _: &mut Call) -> Result<(), tonic::Status> {
        Ok(())
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, tonic::Status> {
        let mut reply = TestRoad.dispatch(call).await?;
        reply.guards.push(Flag(Arc::clone(&self.0)));
        Ok(reply)
    }
}

#[tokio::test]
async fn guards_live_as_long_as_the_body() {
    let rest = rest();
    for uri in ["/v1/watch?number=10000", "/v1/notes/a"] {
        let ended = Arc::new(AtomicBool::new(false));
        let request = http::Request::builder().uri(uri).body(Body::empty()).unwrap();
        let response = rest.serve(&Arc::new(Guarded(Arc::clone(&ended))), request).await;
        assert!(!ended.load(Ordering::SeqCst), "{uri}");
        drop(response);
        assert!(ended.load(Ordering::SeqCst), "{uri}");
    }
}
