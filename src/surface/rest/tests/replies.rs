//! Unary replies: JSON, raw bytes, headers, HTTP statuses, compression, failures.

use super::{rest, rest_with, send};
use crate::{route::router::Settings, transcode::JsonStyle};

#[tokio::test]
async fn forms_of_requests() {
    let rest = &rest();
    let check = async |sent: super::Sent, want: &str| {
        let got = sent.got(rest).await;
        assert_eq!((got.status, got.text(), got.header("content-type")), (200, want, "application/json"));
    };
    let echo = || send("POST", "/v1/echo");
    check(echo().json("{\"text\":\"a\"}"), "{\"text\":\"a\"}").await;
    check(echo().body("{\"text\":\"a\"}"), "{\"text\":\"a\"}").await;
    check(echo(), "{}").await;
    check(send("PURGE", "/v1/echo?number=3"), "{\"number\":3}").await;
    check(
        send("GET", "/v1/notes/a%20b?number=7&tags=x&tags=y"),
        r#"{"text":"a b","number":7,"tags":["x","y"]}"#,
    )
    .await;
    check(send("GET", "/v1/text/a"), "\"a\"").await;
    check(
        send("PATCH", "/v1/inner/a?number=2").json("{\"text\":\"b\"}"),
        r#"{"text":"a","number":2,"inner":{"text":"b"}}"#,
    )
    .await;
    check(send("POST", "/test.v1.Notes/Plain").json("{\"number\":1}"), "{\"number\":1}").await;
    check(
        send("PUT", "/v1/file/a").header("content-type", "text/x").body("b"),
        r#"{"text":"a","tags":["text/x","b"]}"#,
    )
    .await;
    for coding in [super::super::content::Coding::Gzip, super::super::content::Coding::Zstd] {
        let body = coding.encode(b"{\"number\":5}").unwrap();
        check(echo().header("content-encoding", coding.name()).body(body), "{\"number\":5}").await;
    }
}

#[tokio::test]
async fn forms_of_replies() {
    let rest = &rest();
    let got = send("GET", "/v1/file/a").header("accept", "image/png").got(rest).await;
    assert_eq!((got.status, got.text(), got.header("content-type")), (200, "a", "text/css"));

    let got = send("GET", "/v1/notes/a")
        .header("x-seen", "once")
        .header("x-request-timeout", "1.5")
        .got(rest)
        .await;
    assert_eq!((got.header("x-timeout-ms"), got.header("x-trailer")), ("1500", "at the end"));
    assert_eq!((got.header("x-seen"), got.header("grpc-trailer-x-seen")), ("once", "twice"));
    assert!(got.headers.keys().all(|name| !name.as_str().starts_with("grpc-status")), "{:?}", got.headers);

    let got = send("GET", "/v1/notes/sick?number=503").got(rest).await;
    assert_eq!((got.status, got.text()), (503, r#"{"text":"sick","number":503}"#));

    let style = JsonStyle { pretty: true, ..JsonStyle::default() };
    let got = send("GET", "/v1/notes/a").got(&rest_with(Settings::default(), style)).await;
    assert_eq!(got.text(), "{\n  \"text\": \"a\"\n}");
}

#[tokio::test]
async fn long_json_is_compressed_for_those_who_take_it() {
    let rest = &rest();
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(2000));
    for (accept, want) in [("gzip, br", "gzip"), ("br", "br"), ("zstd, gzip", "zstd"), ("identity", "")] {
        let got = send("POST", "/v1/echo").header("accept-encoding", accept).json(&body).got(rest).await;
        assert_eq!((got.header("content-encoding"), got.header("vary")), (want, "accept-encoding"));
        assert_eq!(got.body.len() < 200, !want.is_empty());
    }
    let short =
        send("POST", "/v1/echo").header("accept-encoding", "gzip").json("{\"text\":\"a\"}").got(rest).await;
    assert_eq!((short.header("content-encoding"), short.text()), ("", "{\"text\":\"a\"}"));
    // The text of an HttpBody too; what is coded already gains nothing.
    let path = format!("/v1/file/{}", "x".repeat(2000));
    let text = send("GET", &path).header("accept-encoding", "gzip").got(rest).await;
    assert_eq!((text.header("content-type"), text.header("content-encoding")), ("text/css", "gzip"));
    let image = send("GET", &format!("{path}?number=1")).header("accept-encoding", "gzip").got(rest).await;
    assert_eq!((image.header("content-type"), image.header("content-encoding")), ("image/png", ""));
    let stream = send("GET", "/v1/watch?number=200").header("accept-encoding", "gzip").got(rest).await;
    assert_eq!(stream.header("content-encoding"), "");
}

#[tokio::test]
async fn failures() {
    let rest = &rest();
    for (code, http) in [
        (1, 499),
        (3, 400),
        (4, 504),
        (5, 404),
        (6, 409),
        (7, 403),
        (8, 429),
        (12, 501),
        (13, 500),
        (14, 503),
        (16, 401),
    ] {
        let got = send("GET", &format!("/v1/fail/{code}")).got(rest).await;
        let json = got.json();
        assert_eq!(
            (got.status, &json["code"], &json["message"]),
            (http, &code.into(), &"as you wish".into())
        );
        assert_eq!(got.header("www-authenticate"), "Bearer");
    }
    for (text, code, message) in [
        ("two", 13, "the upstream answered test.v1.Notes.Echo with more than one message"),
        ("none", 13, "the upstream answered test.v1.Notes.Echo with no message"),
        ("no status", 2, "the upstream's reply ended without a grpc-status"),
        ("late failure", 10, "too late"),
    ] {
        let got = send("POST", "/v1/echo").json(&format!("{{\"text\":\"{text}\"}}")).got(rest).await;
        let json = got.json();
        assert_eq!((&json["code"], &json["message"]), (&code.into(), &message.into()), "{text}");
    }
    let got = send("POST", "/v1/echo").json("{\"text\":\"bad wire\"}").got(rest).await;
    let said = got.json()["message"].as_str().unwrap().to_owned();
    assert!(
        got.status == 500
            && said.starts_with("the upstream's reply of test.v1.Notes.Echo cannot be written as JSON: "),
        "{said}"
    );
}
