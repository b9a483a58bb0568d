//! What is refused, with its exact status and message.

use super::{REQUEST_BYTES, Rest, Sent, rest, rest_with, send};
use crate::{
    route::router::{Settings, TrailingSlash},
    transcode::JsonStyle,
};

async fn check(rest: &Rest, sent: Sent, status: u16, code: i64, message: &str) {
    let got = sent.got(rest).await;
    let json = got.json();
    let seen =
        (got.status, json["code"].as_i64().unwrap_or(-1), json["message"].as_str().unwrap_or_default());
    assert_eq!(seen, (status, code, message));
    assert_eq!(got.header("content-type"), "application/json");
}

#[tokio::test]
async fn routing() {
    let rest = &rest();
    check(
        rest,
        send("GET", "/v1/nots/7"),
        404,
        5,
        "there is no GET /v1/nots/7; the nearest is GET /v1/notes/{text}",
    )
    .await;
    check(rest, send("GET", "/elsewhere"), 404, 5, "there is no GET /elsewhere").await;
    check(
        rest,
        send("GET", "/v1/notes/7/"),
        404,
        5,
        "there is no GET /v1/notes/7/; the nearest is GET /v1/notes/{text}",
    )
    .await;
    check(
        rest,
        send("GET", "/v1/notes/%zz"),
        400,
        3,
        "the path segment \"%zz\" has a bad percent-escape: % and two hexadecimal digits that make UTF-8",
    )
    .await;
    let wrong_verb = send("DELETE", "/v1/echo").got(rest).await;
    assert_eq!((wrong_verb.status, wrong_verb.header("allow")), (405, "POST, PURGE, OPTIONS"));
    assert_eq!(wrong_verb.json()["message"], "/v1/echo has no DELETE; it has POST, PURGE");
    assert_eq!(send("GET", "/v1/watch").header("x-refuse", "1").got(rest).await.status, 401);

    let options = send("OPTIONS", "/v1/notes/7").got(rest).await;
    assert_eq!((options.status, options.header("allow"), options.text()), (204, "GET, HEAD, OPTIONS", ""));
    assert_eq!(send("OPTIONS", "/nowhere").got(rest).await.status, 404);
    let head = send("HEAD", "/v1/notes/7").got(rest).await;
    assert_eq!((head.status, head.text(), head.header("content-length")), (200, "", "12"));
    let head = send("HEAD", "/v1/fail/5").got(rest).await;
    assert_eq!((head.status, head.text()), (404, ""));

    let with =
        |trailing_slash| rest_with(Settings { trailing_slash, ..Settings::default() }, JsonStyle::default());
    assert_eq!(send("GET", "/v1/notes/7/").got(&with(TrailingSlash::Ignore)).await.status, 200);
    let redirected = send("GET", "/v1/notes/7/?number=1").got(&with(TrailingSlash::Redirect)).await;
    assert_eq!((redirected.status, redirected.header("location")), (308, "/v1/notes/7?number=1"));
}

#[tokio::test]
async fn heads() {
    let rest = &rest();
    let echo = |name: &str, value: &str| send("POST", "/v1/echo").header(name, value).body("{}");
    let unread = "content-type \"text/plain\" is not understood here: application/json is";
    check(rest, echo("content-type", "text/plain"), 415, 3, unread).await;
    let lines = "content-type \"application/x-ndjson\" is not understood here: application/json is";
    check(rest, echo("content-type", "application/x-ndjson"), 415, 3, lines).await;
    let stream = send("POST", "/v1/collect").header("content-type", "text/csv").body("a");
    let wanted =
        "content-type \"text/csv\" is not understood here: application/json or application/x-ndjson is";
    check(rest, stream, 415, 3, wanted).await;
    check(
        rest,
        echo("accept", "text/html"),
        406,
        3,
        "accept \"text/html\" excludes all there is: application/json",
    )
    .await;
    let forms = "accept \"text/html\" excludes all there is: application/json, application/x-ndjson or text/event-stream";
    check(rest, send("GET", "/v1/watch").header("accept", "text/html"), 406, 3, forms).await;
    let coding = "content-encoding \"lzma\" is not understood: one of gzip, deflate, br, zstd is";
    check(rest, echo("content-encoding", "lzma"), 415, 3, coding).await;
    let connect = "the Connect protocol is not spoken here: send JSON without Connect-Protocol-Version, gRPC or gRPC-Web";
    let plain = send("POST", "/test.v1.Notes/Plain").header("connect-protocol-version", "1").json("{}");
    check(rest, plain, 415, 3, connect).await;
    let timeout = "the value \"soon\" of header x-request-timeout is not a timeout: seconds (2, 0.5) or a number with ms, s or m";
    check(rest, echo("x-request-timeout", "soon"), 400, 3, timeout).await;
    check(rest, echo("x-bin", "*"), 400, 3, "the value of header x-bin is not base64").await;
    // Nothing of the wrong type was sent: there is no body.
    assert_eq!(send("POST", "/v1/echo").header("content-type", "text/plain").got(rest).await.status, 200);
}

#[tokio::test]
async fn bodies() {
    let rest = &rest();
    let echo = |body: &str| send("POST", "/v1/echo").json(body);
    for (body, field, message) in [
        (
            "{\"txet\": 1}",
            "txet",
            "txet: test.v1.Note has no field `txet`; did you mean `text`? (line 1, column 2)",
        ),
        ("{\"number\": \"x\"}", "number", "number: `x` is not an int32 (line 1, column 12)"),
        (
            "{\"inner\": {\"number\": 1.5}}",
            "inner.number",
            "inner.number: 1.5 is not a whole number, which int32 must be (line 1, column 22)",
        ),
        ("{\"text\": \"a\", \"text\": \"b\"}", "text", "text: `text` is given twice (line 1, column 15)"),
        ("{} {}", "", "the JSON is complete, but an object follows (line 1, column 4)"),
        ("{", "", "expected a key in quotes, found the end of the JSON (line 1, column 2)"),
        ("[1", "", "expected an object for test.v1.Note, found an array (line 1, column 1)"),
    ] {
        let json = echo(body).got(rest).await.json();
        let violation = &json["details"][0]["fieldViolations"][0];
        assert_eq!(json["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
        assert_eq!(violation["field"].as_str().unwrap_or_default(), field, "{body}");
        check(rest, echo(body), 400, 3, message).await;
    }
    let invalid = send("POST", "/v1/echo")
        .header("content-type", "application/json")
        .body(b"{\"text\":\"\xff\"}".to_vec());
    check(rest, invalid, 400, 3, "the JSON is not valid UTF-8 (line 1, column 10)").await;
    let deep = format!("{}1{}", "{\"inner\":".repeat(200), "}".repeat(200));
    // The path's first and last hundred bytes.
    let path = vec!["inner"; 100].join(".");
    let (start, end) = (&path[..100], &path[path.len() - 100..]);
    let too_deep = format!("{start}…{end}: the JSON nests deeper than 100 messages (line 1, column 901)");
    check(rest, echo(&deep), 400, 3, &too_deep).await;

    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(REQUEST_BYTES));
    let message = "the request body is over the limit of 4096 bytes";
    check(rest, echo(&long), 413, 8, message).await;
    let (sender, body) = super::pieces();
    for piece in long.as_bytes().chunks(1000) {
        sender.send(bytes::Bytes::copy_from_slice(piece)).unwrap();
    }
    check(rest, send("POST", "/v1/echo").body(body), 413, 8, message).await;
    drop(sender);
    let bomb = super::super::content::Coding::Gzip.encode(long.as_bytes()).unwrap();
    assert!(bomb.len() < 200);
    check(rest, send("POST", "/v1/echo").header("content-encoding", "gzip").body(bomb), 413, 8, message)
        .await;
    let not_gzip = send("POST", "/v1/echo").header("content-encoding", "gzip").json("{}");
    let message = "the body is not gzip: corrupt gzip stream does not have a matching checksum";
    check(rest, not_gzip, 400, 3, message).await;

    let near = "the query parameter \"numbr\": test.v1.Note has no field \"numbr\"; did you mean `number`?";
    check(rest, send("GET", "/v1/notes/a?numbr=1"), 400, 3, near).await;
    let differ = "text: given by the path and, differently, by the query";
    check(rest, send("GET", "/v1/notes/a?text=b"), 400, 3, differ).await;
    let none =
        "the query parameter \"text\": the whole request is in the body here; there are no query parameters";
    check(rest, send("POST", "/v1/echo?text=b").json("{}"), 400, 3, none).await;
    check(rest, send("GET", "/v1/fail/x"), 400, 3, "number: \"x\" is not an int32").await;
}

#[tokio::test]
async fn a_caller_without_credentials_costs_no_parsing() {
    let sent =
        send("POST", "/v1/echo").header("x-refuse", "1").header("x-request-id", "r-7").json("not JSON");
    let got = sent.got(&rest()).await;
    let json = got.json();
    assert_eq!(
        (got.status, &json["message"], &json["request_id"]),
        (401, &"who are you?".into(), &"r-7".into())
    );
}

#[tokio::test]
async fn elements() {
    let rest = &rest();
    let collect = |body: &str| {
        send("POST", "/v1/collect").header("content-type", "application/x-ndjson").body(body.to_owned())
    };
    let array = |body: &str| send("POST", "/v1/collect").json(body);
    let missing = "element 2: a value is missing";
    check(rest, array("[{\"text\":\"a\"},]"), 400, 3, missing).await;
    check(rest, array("[{}] x"), 400, 3, "the array of 1 elements is followed by something else").await;
    check(rest, array("[{},{"), 400, 3, "element 2: the body ends before the array does").await;
    let not_array = "the body of a streaming request is a JSON array of messages, or one message a line as application/x-ndjson";
    check(rest, array("{}"), 400, 3, not_array).await;
    let got = collect("{\"text\":\"a\"}\n{\"number\":\"x\"}\n").got(rest).await;
    let said = got.json()["message"].as_str().unwrap().to_owned();
    assert!(got.status == 400 && said.starts_with("element 2: number: "), "{said}");
    let long = format!("{{}}\n{{\"text\":\"{}\"}}", "x".repeat(REQUEST_BYTES));
    check(rest, collect(&long), 413, 8, "element 2 is over the limit of 4096 bytes").await;
}
