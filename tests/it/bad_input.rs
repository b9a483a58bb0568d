//! Bad input, a row each: its exact status (HTTP and gRPC) and its exact message, over every surface where it can happen.
//! `rpc_rows` go over gRPC, gRPC-Web and gRPC-Web text; `rest_rows` over HTTP/1.1 and HTTP/2; `socket_rows` over a
//! WebSocket; what concerns the connection itself follows them.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Method, Response};
use propylon::{call::Encoding, status};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use crate::support::{
    client::{http1, http2, request},
    gateway::{TestGateway, World},
    library::{self, PATIENCE, framed},
};

/// The limit of a message in these tests, in bytes.
const LIMIT: usize = 2000;

async fn gateway(lines: &str) -> TestGateway {
    let upstream = library::start().await;
    let limits = format!("[limits]\nrequest_bytes = {LIMIT}\n");
    World::with_library(upstream).with_config(&limits).with_config(lines).start()
}

/// What a refusal is: HTTP status, gRPC code, message.
type Refused = (u16, i32, String);

/// The refusal a native gRPC or gRPC-Web response carries, in its head or at its end.
fn rpc_refusal(response: Response<(Bytes, HeaderMap)>) -> Refused {
    let (head, (mut body, mut trailers)) = response.into_parts();
    let kind = head.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
    assert!(kind.starts_with("application/grpc"), "content-type {kind:?} of {}", head.status);
    if kind.starts_with("application/grpc-web-text") {
        body = body.chunks(4).flat_map(|group| STANDARD.decode(group).unwrap()).collect();
    }
    if kind.starts_with("application/grpc-web") && !body.is_empty() {
        let at = body.iter().position(|byte| *byte == 0x80).expect("a trailers frame");
        for line in std::str::from_utf8(&body[at + 5..]).unwrap().split_terminator("\r\n") {
            let (name, value) = line.split_once(": ").unwrap();
            trailers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
    }
    let end = status::from_trailers(&trailers).or_else(|| status::from_trailers(&head.headers));
    match end.expect("a grpc-status") {
        Ok(()) => (head.status.as_u16(), 0, String::new()),
        Err(status) => (head.status.as_u16(), status.code() as i32, status.message().to_owned()),
    }
}

/// The refusal a REST response carries: its body, or the last element of its stream.
fn rest_refusal(response: &Response<(Bytes, HeaderMap)>) -> Refused {
    let http = response.status().as_u16();
    let text = String::from_utf8_lossy(&response.body().0).into_owned();
    let json: serde_json::Value =
        serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap_or_default();
    let kind = response.headers().get("content-type").map(|value| value.to_str().unwrap());
    let failed = if response.status().is_success() { &json["error"] } else { &json };
    if failed.is_object() && !response.status().is_success() {
        assert_eq!(kind, Some("application/json"), "{text}");
        for key in ["error", "code", "status", "message", "details", "timestamp", "request_id"] {
            assert!(json.get(key).is_some(), "no {key} in {text}");
        }
    }
    let code = failed["code"].as_i64().map_or(-1, |code| code as i32);
    (http, code, failed["message"].as_str().map_or(text.clone(), ToOwned::to_owned))
}

/// Compares rows and shows every one that differs, not only the first.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn check(&mut self, what: &str, got: &Refused, want: (u16, i32, &str)) {
        // One … stands for any text.
        let fits = match want.2.split_once('…') {
            Some((begin, end)) => got.2.starts_with(begin) && got.2.ends_with(end),
            None => got.2 == want.2,
        };
        if (got.0, got.1) != (want.0, want.1) || !fits {
            self.0.push(format!("{what}\n   got  {got:?}\n   want {want:?}"));
        }
    }

    fn none(self) {
        assert!(self.0.is_empty(), "{} rows differ:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// A request that is frames: what is wrong, verb, path, headers beside the content type, body, the refusal.
type RpcRow = (&'static str, Method, &'static str, Vec<(&'static str, String)>, Vec<u8>, (u16, i32, String));

fn rpc_rows() -> Vec<RpcRow> {
    let post = Method::POST;
    let get_book = "/library.v1.Library/GetBook";
    let book = framed(b"").to_vec();
    let ok = |code, message: &str| (200, code, message.to_owned());
    let packed = |message: &[u8], encoding: Encoding| {
        let message = encoding.compress(message).unwrap();
        let mut frame = framed(&message).to_vec();
        frame[0] = 1;
        frame
    };
    let encoding = |name: &str| vec![("grpc-encoding", name.to_owned())];
    let timeout = |value: &str| vec![("grpc-timeout", value.to_owned())];
    let not_a_timeout = |value: &str| {
        ok(
            3,
            &format!(
                "the value {value:?} of header grpc-timeout is not a timeout: 1 to 8 digits and one of H M S m u n"
            ),
        )
    };
    vec![
        (
            "an unknown service",
            post.clone(),
            "/library.v1.Libary/GetBook",
            vec![],
            book.clone(),
            ok(12, "unknown service library.v1.Libary (did you mean \"library.v1.Library\"?)"),
        ),
        (
            "an unknown method",
            post.clone(),
            "/library.v1.Library/GetBok",
            vec![],
            book.clone(),
            ok(12, "unknown method GetBok for service library.v1.Library (did you mean \"GetBook\"?)"),
        ),
        (
            "a path that is none of gRPC's",
            post.clone(),
            "/v1/shelves/1/books/2",
            vec![],
            book.clone(),
            ok(12, "a gRPC path is /package.Service/Method"),
        ),
        (
            "the wrong verb",
            Method::PUT,
            get_book,
            vec![],
            book.clone(),
            (405, 12, "a gRPC call is a POST, not a PUT".into()),
        ),
        (
            "a frame cut in its header",
            post.clone(),
            get_book,
            vec![],
            vec![0, 0, 0],
            ok(13, "the request ends within a frame"),
        ),
        (
            "a frame cut in its message",
            post.clone(),
            get_book,
            vec![],
            vec![0, 0, 0, 0, 9, 10, 1],
            ok(13, "the request ends within a frame"),
        ),
        (
            "a second frame that is cut",
            post.clone(),
            get_book,
            vec![],
            [book.clone(), vec![0, 0]].concat(),
            ok(13, "the request ends within a frame"),
        ),
        (
            "the compressed flag without an encoding",
            post.clone(),
            get_book,
            vec![],
            vec![1, 0, 0, 0, 0],
            ok(13, "the request has a compressed message but no grpc-encoding"),
        ),
        (
            "a flag that is none",
            post.clone(),
            get_book,
            vec![],
            vec![9, 0, 0, 0, 0],
            ok(13, "the request has a frame that begins with byte 9, not 0 or 1"),
        ),
        (
            "JSON in place of frames",
            post.clone(),
            get_book,
            vec![],
            b"{\"name\":\"x\"}".to_vec(),
            ok(13, "the request has a frame that begins with byte 123, not 0 or 1"),
        ),
        (
            "a message over the limit",
            post.clone(),
            get_book,
            vec![],
            framed(&[0; LIMIT + 1]).to_vec(),
            ok(8, "a request message of 2001 bytes is over the limit of 2000 bytes"),
        ),
        (
            "a message that says it is 4 GiB",
            post.clone(),
            get_book,
            vec![],
            vec![0, 255, 255, 255, 255],
            ok(8, "a request message of 4294967295 bytes is over the limit of 2000 bytes"),
        ),
        (
            "a bomb for a local service",
            post.clone(),
            "/propylon.gateway.v1.HealthService/Ping",
            encoding("zstd"),
            packed(&vec![0; 8 << 20], Encoding::Zstd),
            ok(8, "Error decompressing: size limit, of 2000 bytes, exceeded while decompressing message"),
        ),
        (
            "a message that is not gzip, for a local service",
            post.clone(),
            "/propylon.gateway.v1.HealthService/Ping",
            encoding("gzip"),
            vec![1, 0, 0, 0, 1, 9],
            ok(13, "Error decompressing: unexpected end of file…"),
        ),
        (
            "a message that is no protobuf, for a local service",
            post.clone(),
            "/propylon.gateway.v1.HealthService/Ping",
            vec![],
            framed(&[255]).to_vec(),
            ok(13, "failed to decode Protobuf message: invalid varint"),
        ),
        (
            "grpc-timeout without a unit",
            post.clone(),
            get_book,
            timeout("5"),
            book.clone(),
            not_a_timeout("5"),
        ),
        (
            "grpc-timeout in no unit of gRPC's",
            post.clone(),
            get_book,
            timeout("5s"),
            book.clone(),
            not_a_timeout("5s"),
        ),
        (
            "grpc-timeout that is too long",
            post.clone(),
            get_book,
            timeout("123456789S"),
            book.clone(),
            not_a_timeout("123456789S"),
        ),
        (
            "grpc-timeout below zero",
            post.clone(),
            get_book,
            timeout("-1S"),
            book.clone(),
            not_a_timeout("-1S"),
        ),
        (
            "a deadline that has passed",
            post.clone(),
            get_book,
            timeout("0m"),
            book.clone(),
            ok(4, "the deadline had passed when the call came"),
        ),
        (
            "metadata that is not base64",
            post.clone(),
            get_book,
            vec![("x-key-bin", "a*b".into())],
            book.clone(),
            ok(3, "the value of header x-key-bin is not base64"),
        ),
        (
            "headers over the limit",
            post,
            get_book,
            vec![("x-long", "x".repeat(70_000))],
            book,
            ok(8, "the headers of the request are 70… bytes; the limit is 65536"),
        ),
    ]
}

#[tokio::test]
async fn over_grpc_and_grpc_web() {
    let gateway = gateway("").await;
    let mut differences = Differences::default();
    for (what, verb, path, headers, body, want) in rpc_rows() {
        for kind in ["application/grpc", "application/grpc-web+proto", "application/grpc-web-text"] {
            let mut all = vec![("content-type", kind)];
            all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
            let text = kind.ends_with("text");
            let body = if text { STANDARD.encode(&body).into() } else { Bytes::from(body.clone()) };
            let request = request(&verb, path, &all, body);
            let answer = if kind == "application/grpc" {
                http2(gateway.address, request).await
            } else {
                http1(gateway.address, request).await
            };
            differences.check(&format!("{what}, as {kind}"), &rpc_refusal(answer), (want.0, want.1, &want.2));
        }
    }
    let book = framed(b"");
    for (kind, body, want) in [
        (
            "application/grpc+json",
            book.clone(),
            (415, 3, "gRPC messages in \"json\" are not spoken here, only in \"proto\""),
        ),
        (
            "application/grpc-web+thrift",
            book.clone(),
            (415, 3, "gRPC messages in \"thrift\" are not spoken here, only in \"proto\""),
        ),
        (
            "application/grpc-web-text",
            Bytes::from_static(b"AAAA*AAA"),
            (200, 3, "the request's text is not base64 at byte 4: \"*AAA\""),
        ),
        (
            "application/grpc-web-text",
            Bytes::from_static(b"AAAAAA"),
            (200, 3, "the request's base64 ends within a group of four, after 2 of it"),
        ),
    ] {
        let request = request(&Method::POST, "/library.v1.Library/GetBook", &[("content-type", kind)], body);
        let answer = http2(gateway.address, request).await;
        differences.check(kind, &rpc_refusal(answer), want);
    }
    let old =
        request(&Method::POST, "/library.v1.Library/GetBook", &[("content-type", "application/grpc")], book);
    let want = (505, 12, "gRPC needs HTTP/2; over HTTP/1.1 speak gRPC-Web (application/grpc-web)");
    differences.check("gRPC over HTTP/1.1", &rpc_refusal(http1(gateway.address, old).await), want);
    differences.none();
}

/// A REST request: what is wrong, verb, path, headers, body, the refusal.
type RestRow =
    (&'static str, &'static str, &'static str, Vec<(&'static str, String)>, Vec<u8>, (u16, i32, String));

fn rest_rows() -> Vec<RestRow> {
    let header = |name: &'static str, value: &str| vec![(name, value.to_owned())];
    let none = Vec::<(&str, String)>::new;
    let ndjson = || header("content-type", "application/x-ndjson");
    let book = "/v1/shelves/1/books/2";
    let s = |body: &str| body.as_bytes().to_vec();
    let bad = |message: &str| (400, 3, message.to_owned());
    let gzip = |body: &[u8]| Encoding::Gzip.compress(body).unwrap();
    let deep = format!("{}{{}}{}", "{\"sequel\": ".repeat(101), "}".repeat(101));
    let too_deep = |before: &str, column: usize| {
        let path = deep_path();
        bad(&format!("{before}{path}: the JSON nests deeper than 100 messages (line 1, column {column})"))
    };
    let timeout = |value: &str| {
        bad(&format!(
            "the value {value:?} of header x-request-timeout is not a timeout: seconds (2, 0.5) or a number with ms, s or m"
        ))
    };
    let long = format!("{{\"title\": \"{}\"}}", "x".repeat(LIMIT));
    vec![
        ("an unknown path", "GET", "/v1/shelvs/1/books/2", none(), s(""), (404, 5, "there is no GET /v1/shelvs/1/books/2; the nearest is GET /v1/{name=shelves/*/books/*}".into())),
        ("a path that is near nothing", "GET", "/elsewhere/far", none(), s(""), (404, 5, "there is no GET /elsewhere/far".into())),
        ("a method without a binding", "POST", "/library.v1.Library/Plain", none(), s("{}"), (404, 5, "there is no POST /library.v1.Library/Plain over REST: the method is served as gRPC and gRPC-Web; over REST it has the paths of its google.api.http annotations, and this one with `method_paths = true` under [rest]".into())),
        ("a slash too many", "GET", "/v1/shelves/1/books/2/", none(), s(""), (404, 5, "there is no GET /v1/shelves/1/books/2/; the nearest is GET /v1/{name=shelves/*/books/*}".into())),
        ("the wrong verb", "DELETE", book, none(), s(""), (405, 12, "/v1/shelves/1/books/2 has no DELETE; it has GET, HEAD, PATCH, PUT".into())),
        ("a bad escape", "GET", "/v1/shelves/%zz/books/2", none(), s(""), bad("the path segment \"%zz\" has a bad percent-escape: % and two hexadecimal digits that make UTF-8")),
        ("an escape cut short", "GET", "/v1/shelves/1/books/2%2", none(), s(""), bad("the path segment \"2%2\" has a bad percent-escape: % and two hexadecimal digits that make UTF-8")),
        ("escapes that are no UTF-8", "GET", "/v1/shelves/1/books/%ff", none(), s(""), bad("the path segment \"%ff\" has a bad percent-escape: % and two hexadecimal digits that make UTF-8")),
        // Query parameters.
        ("an unknown parameter", "GET", "/v1/shelves/1/books/2?editon=2", none(), s(""), bad("the query parameter \"editon\": library.v1.GetBookRequest has no field \"editon\"; did you mean `edition`?")),
        ("an ill-typed parameter", "GET", "/v1/shelves/1/books/2?edition=two", none(), s(""), bad("edition: \"two\" is not an int32")),
        ("a parameter out of range", "GET", "/v1/shelves/1/books/2?edition=3000000000", none(), s(""), bad("edition: \"3000000000\" is out of range of an int32")),
        ("a parameter given twice", "GET", "/v1/shelves/1/books/2?edition=1&edition=2", none(), s(""), bad("edition: given twice, with different values")),
        ("a bad escape in a parameter", "GET", "/v1/books:get?name=%zz", none(), s(""), bad("the query parameter \"name\": a \"%\" without two hexadecimal digits")),
        ("a parameter that is no UTF-8", "GET", "/v1/books:get?name=%ff", none(), s(""), bad("the query parameter \"name\": its escapes are not UTF-8")),
        ("a field named by path and query", "GET", "/v1/shelves/1/books/2?name=other", none(), s(""), bad("name: given by the path and, differently, by the query")),
        ("a parameter beside a whole body", "POST", "/v1/fail?reason=x", none(), s("{}"), bad("the query parameter \"reason\": the whole request is in the body here; there are no query parameters")),
        ("a path into a scalar", "GET", "/v1/books:get?name.first=x", none(), s(""), bad("the query parameter \"name.first\": name is no message and has no field \"first\"")),
        // Unary bodies.
        ("an unknown field", "PUT", book, none(), s("{\"titel\": \"x\"}"), bad("titel: library.v1.Book has no field `titel`; did you mean `title`? (line 1, column 2)")),
        ("an unknown field inside", "PUT", book, none(), s("{\"author\": {\"givenNam\": \"x\"}}"), bad("author.givenNam: library.v1.Author has no field `givenNam`; did you mean `givenName`? (line 1, column 13)")),
        ("an ill-typed field", "PUT", book, none(), s("{\"title\": 7}"), bad("title: expected a string, found a number (line 1, column 11)")),
        ("an ill-typed element", "PUT", book, none(), s("{\"tags\": [\"a\", 7]}"), bad("tags[1]: expected a string, found a number (line 1, column 16)")),
        ("a number that is no number", "PUT", book, none(), s("{\"pages\": \"many\"}"), bad("pages: `many` is not an int64 (line 1, column 11)")),
        ("a number out of range", "PUT", book, none(), s("{\"pages\": 9223372036854775808}"), bad("pages: 9223372036854775808 is outside the range of int64 (line 1, column 11)")),
        ("a duplicate key", "PUT", book, none(), s("{\"title\": \"a\", \"title\": \"b\"}"), bad("title: `title` is given twice (line 1, column 16)")),
        ("a duplicate key by its two names", "PUT", book, none(), s("{\"author\": {\"givenName\": \"a\", \"given_name\": \"b\"}}"), bad("author.given_name: `givenName` (also known as `given_name`) is given twice (line 1, column 31)")),
        ("trailing garbage", "PUT", book, none(), s("{} x"), bad("the JSON is complete, but `x` follows (line 1, column 4)")),
        ("an array for a message", "PUT", book, none(), s("[]"), bad("expected an object for library.v1.Book, found an array (line 1, column 1)")),
        ("JSON that ends", "PUT", book, none(), s("{\"title\": "), bad("title: expected a string, found the end of the JSON (line 1, column 11)")),
        ("no JSON at all", "PUT", book, none(), s("title=x"), bad("expected an object for library.v1.Book, found `t` (line 1, column 1)")),
        ("too deep", "PUT", book, none(), s(&deep), too_deep("", 1101)),
        ("invalid UTF-8", "PUT", book, none(), b"{\"title\": \"\xff\"}".to_vec(), bad("the JSON is not valid UTF-8 (line 1, column 12)")),
        ("an unpaired surrogate", "PUT", book, none(), s("{\"title\": \"\\ud800\"}"), bad("title: `\\ud800` is half of a surrogate pair without its other half (line 1, column 12)")),
        ("a path and a body that differ", "PUT", book, none(), s("{\"name\": \"shelves/9/books/9\"}"), bad("name: given by the path and, differently, in the body")),
        ("an unknown field in a body of one field", "POST", "/v1/shelves/1/books", none(), s("{\"titel\": 1}"), bad("book.titel: library.v1.Book has no field `titel`; did you mean `title`? (line 1, column 2)")),
        ("a wrong content type", "PUT", book, header("content-type", "text/xml"), s("<a/>"), (415, 3, "content-type \"text/xml\" is not understood here: application/json is".into())),
        ("a form", "PUT", book, header("content-type", "application/x-www-form-urlencoded"), s("a=b"), (415, 3, "content-type \"application/x-www-form-urlencoded\" is not understood here: application/json is".into())),
        ("an unknown content encoding", "PUT", book, header("content-encoding", "lzma"), s("{}"), (415, 3, "content-encoding \"lzma\" is not understood: one of gzip, deflate, br, zstd is".into())),
        ("a body that is not what its encoding says", "PUT", book, header("content-encoding", "gzip"), s("{}"), bad("the body is not gzip: corrupt gzip stream does not have a matching checksum")),
        ("a body whose encoding breaks off", "PUT", book, header("content-encoding", "gzip"), { let mut b = gzip(b"{\"title\": \"a long title\"}"); b.truncate(12); b }, bad("the body is not gzip: corrupt gzip stream does not have a matching checksum")),
        ("a bomb", "PUT", book, header("content-encoding", "gzip"), gzip(&vec![b' '; 8 << 20]), (413, 8, "the request body is over the limit of 2000 bytes".into())),
        ("a body over the limit", "PUT", book, none(), s(&long), (413, 8, "the request body is over the limit of 2000 bytes".into())),
        ("accept that excludes all", "GET", book, header("accept", "text/html"), s(""), (406, 3, "accept \"text/html\" excludes all there is: application/json".into())),
        ("accept that excludes by weight", "GET", book, header("accept", "application/json;q=0"), s(""), (406, 3, "accept \"application/json;q=0\" excludes all there is: application/json".into())),
        ("Connect", "PUT", book, header("connect-protocol-version", "1"), s("{}"), (415, 3, "the Connect protocol is not spoken here: send JSON without Connect-Protocol-Version, gRPC or gRPC-Web".into())),
        ("Connect, without a binding", "POST", "/library.v1.Library/Plain", header("connect-protocol-version", "1"), s("{}"), (415, 3, "the Connect protocol is not spoken here: send JSON without Connect-Protocol-Version, gRPC or gRPC-Web".into())),
        ("a bad timeout", "GET", book, header("x-request-timeout", "soon"), s(""), timeout("soon")),
        ("a timeout below zero", "GET", book, header("x-request-timeout", "-1"), s(""), timeout("-1")),
        ("a deadline that has passed", "GET", book, header("x-request-timeout", "0"), s(""), (504, 4, "the deadline had passed when the call came".into())),
        ("metadata that is not base64", "GET", book, header("x-key-bin", "a*b"), s(""), bad("the value of header x-key-bin is not base64")),
        ("headers over the limit", "GET", book, header("x-long", &"x".repeat(70_000)), s(""), (431, 8, "the headers of the request are 70… bytes; the limit is 65536".into())),
        // A stream as the reply: what is wrong with the request is told before it begins.
        ("lines: an unknown field", "POST", "/v1/pages", header("accept", "application/x-ndjson"), s("{\"page\": 1}"), bad("page: library.v1.FailRequest has no field `page`; did you mean `pages`? (line 1, column 2)")),
        ("an array: an unknown field", "POST", "/v1/pages", header("accept", "application/json"), s("{\"page\": 1}"), bad("page: library.v1.FailRequest has no field `page`; did you mean `pages`? (line 1, column 2)")),
        ("events: trailing garbage", "POST", "/v1/pages", header("accept", "text/event-stream"), s("{}{}"), bad("the JSON is complete, but an object follows (line 1, column 3)")),
        ("a stream in no form there is", "POST", "/v1/pages", header("accept", "text/html"), s("{}"), (406, 3, "accept \"text/html\" excludes all there is: application/json, application/x-ndjson or text/event-stream".into())),
        // A stream as the request, by lines.
        ("lines: an ill-typed field", "POST", "/v1/collect", ndjson(), s("{}\n{\"pages\": \"x\"}\n"), bad("element 2: pages: `x` is not an int64 (line 1, column 11)")),
        ("lines: a duplicate key", "POST", "/v1/collect", ndjson(), s("{\"title\": \"a\", \"title\": \"b\"}"), bad("element 1: title: `title` is given twice (line 1, column 16)")),
        ("lines: trailing garbage", "POST", "/v1/collect", ndjson(), s("{} {}\n"), bad("element 1: the JSON is complete, but an object follows (line 1, column 4)")),
        ("lines: a line cut short", "POST", "/v1/collect", ndjson(), s("{}\n{\"pages\":"), bad("element 2: pages: expected an int64, found the end of the JSON (line 1, column 10)")),
        ("lines: too deep", "POST", "/v1/collect", ndjson(), s(&deep), too_deep("element 1: ", 1101)),
        ("lines: invalid UTF-8", "POST", "/v1/collect", ndjson(), b"{\"title\": \"\xff\"}\n".to_vec(), bad("element 1: the JSON is not valid UTF-8 (line 1, column 12)")),
        ("lines: an element over the limit", "POST", "/v1/collect", ndjson(), s(&format!("{{}}\n{long}")), (413, 8, "element 2 is over the limit of 2000 bytes".into())),
        ("lines where one message is taken", "PUT", book, ndjson(), s("{}"), (415, 3, "content-type \"application/x-ndjson\" is not understood here: application/json is".into())),
        ("a stream of the wrong type", "POST", "/v1/collect", header("content-type", "text/csv"), s("a,b"), (415, 3, "content-type \"text/csv\" is not understood here: application/json or application/x-ndjson is".into())),
        ("lines: a bomb", "POST", "/v1/collect", vec![("content-type", "application/x-ndjson".into()), ("content-encoding", "gzip".into())], gzip(&vec![b'x'; 8 << 20]), (413, 8, "the request body is over the limit of 2000 bytes".into())),
        // A stream as the request, as an array.
        ("array: an unknown field", "POST", "/v1/collect", header("content-type", "application/json"), s("[{}, {\"page\": 1}]"), bad("element 2: page: library.v1.Book has no field `page`; did you mean `pages`? (line 1, column 2)")),
        ("array: a duplicate key", "POST", "/v1/collect", header("content-type", "application/json"), s("[{\"pages\": 1, \"pages\": 1}]"), bad("element 1: pages: `pages` is given twice (line 1, column 14)")),
        ("array: invalid UTF-8", "POST", "/v1/collect", header("content-type", "application/json"), b"[{\"title\": \"\xff\"}]".to_vec(), bad("element 1: the JSON is not valid UTF-8 (line 1, column 12)")),
        ("array: too deep", "POST", "/v1/collect", header("content-type", "application/json"), s(&format!("[{deep}]")), too_deep("element 1: ", 1101)),
        ("array: an element missing", "POST", "/v1/collect", header("content-type", "application/json"), s("[{},]"), bad("element 2: a value is missing")),
        ("array: trailing garbage", "POST", "/v1/collect", header("content-type", "application/json"), s("[{}] x"), bad("the array of 1 elements is followed by something else")),
        ("array: cut short", "POST", "/v1/collect", header("content-type", "application/json"), s("[{}, {"), bad("element 2: the body ends before the array does")),
        ("array: none", "POST", "/v1/collect", header("content-type", "application/json"), s("{}"), bad("the body of a streaming request is a JSON array of messages, or one message a line as application/x-ndjson")),
        ("array: an element over the limit", "POST", "/v1/collect", header("content-type", "application/json"), s(&format!("[{{}}, {long}]")), (413, 8, "element 2 is over the limit of 2000 bytes".into())),
    ]
}

#[tokio::test]
async fn over_rest() {
    let gateway = gateway("").await;
    let mut differences = Differences::default();
    for (what, verb, path, headers, body, want) in rest_rows() {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sent = || request(&verb.parse().unwrap(), path, &headers, body.clone());
        let want = (want.0, want.1, want.2.as_str());
        let answer = http1(gateway.address, sent()).await;
        differences.check(&format!("{what}, over HTTP/1.1"), &rest_refusal(&answer), want);
        let answer = http2(gateway.address, sent()).await;
        differences.check(&format!("{what}, over HTTP/2"), &rest_refusal(&answer), want);
    }
    differences.none();
}

/// What is wrong, the binding's path, the messages sent, the last text message's code and message, the close code.
type SocketRow = (&'static str, &'static str, Vec<Message>, (i32, String), u16);

fn socket_rows() -> Vec<SocketRow> {
    let text = |json: &str| Message::text(json.to_owned());
    let bad = |message: &str| (3, message.to_owned());
    let deep = format!("{}{{}}{}", "{\"sequel\": ".repeat(101), "}".repeat(101));
    let sequels = deep_path();
    let rows = [
        (
            "an unknown field",
            r#"{"titel": "x"}"#.to_owned(),
            "titel: library.v1.Book has no field `titel`; did you mean `title`? (line 1, column 2)"
                .to_owned(),
        ),
        (
            "an ill-typed field",
            r#"{"pages": "many"}"#.into(),
            "pages: `many` is not an int64 (line 1, column 11)".into(),
        ),
        (
            "a duplicate key",
            r#"{"title": "a", "title": "b"}"#.into(),
            "title: `title` is given twice (line 1, column 16)".into(),
        ),
        (
            "trailing garbage",
            "{} x".into(),
            "the JSON is complete, but `x` follows (line 1, column 4)".into(),
        ),
        (
            "too deep",
            deep,
            format!("{sequels}: the JSON nests deeper than 100 messages (line 1, column 1101)"),
        ),
    ];
    let mut all: Vec<SocketRow> = rows
        .iter()
        .map(|(what, sent, want)| (*what, "/v1/chat", vec![text(sent)], bad(want), 4003))
        .collect();
    all.push((
        "JSON in a binary message",
        "/v1/chat",
        vec![Message::binary(&b"{}"[..])],
        bad("a binary message: this method takes JSON in text messages"),
        1003,
    ));
    all.push((
        "a message over the limit",
        "/v1/chat",
        vec![text(&format!("{{\"title\": \"{}\"}}", "x".repeat(LIMIT)))],
        (8, "a message of the WebSocket is over the limit of 2000 bytes".into()),
        1009,
    ));
    let bad_text = Frame::message(&b"{\"title\": \"\xff\"}"[..], OpCode::Data(Data::Text), true);
    all.push((
        "invalid UTF-8",
        "/v1/chat",
        vec![Message::Frame(bad_text)],
        bad("a text message of the WebSocket is not UTF-8"),
        1007,
    ));
    all.push((
        "two messages where one is taken",
        "/v1/pages",
        vec![text("{\"pages\": 1000000}"), text("{}")],
        bad("this method takes one message"),
        4003,
    ));
    all.push((
        "a message after the end",
        "/v1/chat",
        vec![text("{}"), text(""), text("{}")],
        bad("the stream of requests has ended already"),
        4003,
    ));
    all
}

#[tokio::test]
async fn over_websockets() {
    let gateway = gateway("").await;
    let mut differences = Differences::default();
    for (what, path, sent, want, close) in socket_rows() {
        let talk = async {
            let (mut socket, _) = connect_async(format!("ws://{}{path}", gateway.address)).await.unwrap();
            for message in sent {
                // The gateway may have ended the call before it was sent everything.
                let _ = socket.send(message).await;
            }
            let (mut last, mut code) = (serde_json::Value::Null, 0);
            while let Some(Ok(message)) = socket.next().await {
                match message {
                    Message::Text(text) => last = serde_json::from_str(&text).unwrap(),
                    Message::Close(Some(frame)) => code = frame.code.into(),
                    _ => {}
                }
            }
            (last["error"].clone(), code)
        };
        let (error, code) = timeout(PATIENCE, talk).await.expect(what);
        let got = (
            code,
            error["code"].as_i64().unwrap_or(-1) as i32,
            error["message"].as_str().unwrap_or_default().to_owned(),
        );
        differences.check(what, &got, (close, want.0, &want.1));
    }
    // What is refused before the upgrade is an ordinary HTTP answer.
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (what, path, headers, want) in [
        (
            "an unknown path",
            "/v1/chatt",
            vec![],
            (404, 5, "there is no GET /v1/chatt; the nearest is POST /v1/chat"),
        ),
        (
            "a bad escape",
            "/v1/shelves/%zz/books/1",
            vec![],
            (
                400,
                3,
                "the path segment \"%zz\" has a bad percent-escape: % and two hexadecimal digits that make UTF-8",
            ),
        ),
        (
            "a bad timeout",
            "/v1/chat",
            vec![("x-request-timeout", "soon")],
            (
                400,
                3,
                "the value \"soon\" of header x-request-timeout is not a timeout: seconds (2, 0.5) or a number with ms, s or m",
            ),
        ),
        ("a handshake of another version", "/v1/chat", vec![("sec-websocket-version", "8")], (400, 3, "…")),
    ] {
        let mut all: Vec<_> =
            upgrade.iter().copied().filter(|(name, _)| !headers.iter().any(|(n, _)| n == name)).collect();
        all.extend(headers);
        let answer = http1(gateway.address, request(&Method::GET, path, &all, "")).await;
        differences.check(what, &rest_refusal(&answer), want);
    }
    differences.none();
}

/// Sends bytes on one connection and reads all that comes, until the gateway closes or `ends` is answered.
async fn exchange(address: SocketAddr, sent: Vec<u8>, ends: &str) -> String {
    let talk = async {
        let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        let sending = tokio::spawn(async move {
            // It may be closed before all was sent.
            let _ = write.write_all(&sent).await;
            write
        });
        let mut seen = Vec::new();
        let mut space = vec![0; 64 << 10];
        while !String::from_utf8_lossy(&seen).contains(ends) {
            match read.read(&mut space).await {
                Ok(0) => break,
                Ok(count) => seen.extend_from_slice(&space[..count]),
                Err(error) => {
                    seen.extend_from_slice(format!("<{}>", error.kind()).as_bytes());
                    break;
                }
            }
        }
        drop(sending.await);
        String::from_utf8_lossy(&seen).into_owned()
    };
    timeout(PATIENCE, talk).await.expect("an exchange in time")
}

#[tokio::test]
async fn a_body_that_was_not_read_never_becomes_a_request() {
    let gateway = gateway("").await;
    let smuggled = "GET /v1/books:get?name=smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let next = "GET /v1/books:get?name=honest HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    let head = |path: &str, rest: &str| format!("POST {path} HTTP/1.1\r\nhost: x\r\n{rest}\r\n\r\n");
    let length = format!("content-length: {}", smuggled.len());
    for (what, status, sent) in [
        ("404 by length", 404, head("/nowhere", &length) + smuggled),
        ("404 by chunks", 404, head("/nowhere", "transfer-encoding: chunked") + &chunked),
        ("405", 405, head("/v1/shelves/1/books/2", &length) + smuggled),
        ("415", 415, head("/v1/fail", &format!("content-type: text/xml\r\n{length}")) + smuggled),
        ("406", 406, head("/v1/fail", &format!("accept: text/xml\r\n{length}")) + smuggled),
        ("400 by timeout", 400, head("/v1/fail", &format!("x-request-timeout: x\r\n{length}")) + smuggled),
        (
            "gRPC-Web",
            200,
            head("/no/such", &format!("content-type: application/grpc-web\r\n{length}")) + smuggled,
        ),
    ] {
        let seen = exchange(gateway.address, (sent + next).into_bytes(), "honest").await;
        assert!(seen.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {seen}");
        assert!(!seen.contains("smuggled"), "{what}: the body became a request: {seen}");
        // A body this short has come: it is passed over, and the connection goes on.
        assert!(seen.contains("honest"), "{what}: the connection did not go on: {seen}");
    }
    // A long body that the client keeps sending: the answer arrives whole, and nothing of the body is a request.
    for (what, status, head) in [
        ("404", 404, head("/nowhere", "content-length: 8000000")),
        ("413 by its length", 413, head("/v1/fail", "content-length: 8000000")),
        ("415", 415, head("/v1/fail", "content-type: text/xml\r\ncontent-length: 8000000")),
    ] {
        let mut sent = head.into_bytes();
        sent.extend(smuggled.bytes().cycle().take(8_000_000));
        let seen = exchange(gateway.address, sent, "honest").await;
        assert!(seen.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {seen}");
        assert!(seen.contains("\"request_id\""), "{what}: the answer is cut: {seen}");
        assert!(!seen.contains("smuggled") && seen.matches("HTTP/1.1").count() == 1, "{what}: {seen}");
    }
    let long: String = format!("{{\"reason\": \"{}\"}}", "x".repeat(LIMIT));
    let counted = format!(
        "{}\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        head("/v1/fail", "transfer-encoding: chunked").trim_end_matches("\r\n"),
        long.len()
    );
    let counted = counted.replacen("chunked\r\n", "chunked\r\n\r\n", 1);
    let seen = exchange(gateway.address, counted.into_bytes(), "\"request_id\"").await;
    assert!(seen.starts_with("HTTP/1.1 413 "), "413 by counting: {seen}");
}

#[tokio::test]
async fn what_http_itself_refuses() {
    let gateway = gateway("").await;
    let far = "x".repeat(300_000);
    for (what, status, sent) in [
        ("headers far over the limit", 431, format!("GET /ping HTTP/1.1\r\nhost: x\r\nx-far: {far}\r\n\r\n")),
        (
            "headers without number",
            431,
            format!("GET /ping HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(500)),
        ),
        ("no HTTP", 400, "hello there\r\n\r\n".to_owned()),
        (
            "two lengths",
            400,
            "POST /ping HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
        ),
        (
            "a length that is none",
            400,
            "POST /ping HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n".to_owned(),
        ),
    ] {
        let seen = exchange(gateway.address, sent.into_bytes(), "never").await;
        assert!(seen.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {seen}");
    }
    // The same over HTTP/2, and the next call goes well. (Still longer ones end the connection.)
    let far = "x".repeat(140_000);
    let far = request(&Method::GET, "/ping", &[("x-far", &far)], "");
    assert_eq!(http2(gateway.address, far).await.status(), 431);
    assert_eq!(http2(gateway.address, request(&Method::GET, "/ping", &[], "")).await.status(), 200);
}

#[tokio::test]
async fn options_head_and_slashes() {
    let strict = gateway("").await;
    let send = async |gateway: &TestGateway, verb: &Method, path: &str| {
        let answer = http1(gateway.address, request(verb, path, &[], "")).await;
        let header = |name: &str| answer.headers().get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        (answer.status().as_u16(), header("allow"), header("location"), answer.body().0.len())
    };
    let all = "GET, HEAD, PATCH, PUT, OPTIONS";
    let book = "/v1/shelves/1/books/2";
    assert_eq!(send(&strict, &Method::OPTIONS, book).await, (204, all.into(), String::new(), 0));
    assert_eq!(send(&strict, &Method::OPTIONS, "/nowhere").await.0, 404);
    let wrong = send(&strict, &Method::DELETE, book).await;
    assert_eq!((wrong.0, wrong.1.as_str()), (405, all));
    assert_eq!(send(&strict, &Method::HEAD, "/v1/books:get").await.0, 200);
    assert_eq!(send(&strict, &Method::HEAD, "/nowhere").await, (404, String::new(), String::new(), 0));
    assert_eq!(send(&strict, &Method::GET, "/v1/shelves/1/books/2/").await.0, 404);
    drop(strict);
    let ignoring = gateway("[rest]\ntrailing_slash = \"ignore\"").await;
    assert_eq!(send(&ignoring, &Method::GET, "/v1/shelves/1/books/2/").await.0, 200);
    drop(ignoring);
    let redirecting = gateway("[rest]\ntrailing_slash = \"redirect\"").await;
    let redirected = send(&redirecting, &Method::GET, "/v1/shelves/1/books/2/?edition=1").await;
    assert_eq!((redirected.0, redirected.2.as_str()), (308, "/v1/shelves/1/books/2?edition=1"));
    assert_eq!(redirected.3, 0, "a redirect is no failure, and says nothing of one");
}

/// The path of the deepest message, as messages shorten it: its first and last hundred bytes.
fn deep_path() -> String {
    let path = vec!["sequel"; 100].join(".");
    format!("{}…{}", &path[..100], &path[path.len() - 100..])
}
