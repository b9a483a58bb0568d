//! Requests that two servers could read in two ways, as raw bytes over HTTP/1.1 and as frames over HTTP/2: each is refused, or
//! exactly one request arrives, and it is the one that was sent.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    exact::{Exact, Recorded},
    gateway::{TestGateway, World},
    library::PATIENCE,
    raw::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, frame},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// One of these HTTP statuses, and nothing arrives. 0: the connection, or the stream, ends without an answer.
    Refused(&'static [u16]),
    /// `METHOD /path` and the body, of the one request that arrives.
    One(&'static str, &'static str),
}
use Want::{One, Refused};

/// A path that everyone may send requests to, one for administrators below it, and everything else for everyone.
async fn start() -> (TestGateway, Exact) {
    let upstream = Exact::start().await;
    let config = format!(
        r#"
        [[upstreams]]
        name = "up"
        http = "http://{}"
        [[routes]]
        prefix = "/"
        upstream = "up"
        access = {{ public = true }}
        [[routes]]
        prefix = "/api/admin"
        upstream = "up"
        access = {{ roles = ["admin"] }}
        [[routes]]
        prefix = "/slashes"
        upstream = "up"
        escaped_slashes = true
        access = {{ public = true }}
        [[routes]]
        prefix = "/slashes/admin"
        upstream = "up"
        escaped_slashes = true
        access = {{ roles = ["admin"] }}
        [access]
        "#,
        upstream.address
    );
    (World::new().with_config(&config).start(), upstream)
}

/// Sends bytes, and reads to the end of the connection, or of the first answer where that stays open.
async fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A gateway that refuses may close before all is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut wait = PATIENCE;
    while let Ok(Ok(1..)) = timeout(wait, stream.read_buf(&mut answer)).await {
        // Whatever else is answered comes right behind it.
        wait = Duration::from_millis(60);
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.match_indices("HTTP/1.")
        .filter_map(|(at, found)| text[at + found.len()..].get(2..5)?.parse().ok())
        .collect()
}

/// The headers that arrive beside what the gateway says of every request; of other rows there are none.
const MORE: &[(&str, &[&str])] = &[("bare line feeds", &["x-a: 1"])];

/// Holds the headers of what arrived against those of a request that says of itself what the gateway does: each once, the
/// body's length or its chunks among them, and nothing else.
fn hold_headers(name: &str, one: &Recorded) -> Result<(), String> {
    let ours = [
        "host: 127.0.0.1:",
        "x-gateway-request-id: ",
        "x-request-id: ",
        "via: ",
        "forwarded: for=127.0.0.1;",
    ];
    let ours =
        ours.iter().chain(&["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: a"]);
    let more = MORE.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, more)| more);
    let length = format!("content-length: {}", one.body.len());
    let framed = [length.as_str(), "transfer-encoding: chunked"];
    let mut seen = Vec::new();
    for line in &one.headers {
        let framing = framed.contains(&line.as_str());
        let kind = match ours.clone().find(|begin| line.starts_with(**begin)) {
            Some(begin) => *begin,
            None if framing => "framing",
            None if more.contains(&line.as_str()) => line,
            None => return Err(format!("{name}: {line:?} is not to be there: {:?}", one.headers)),
        };
        if seen.contains(&kind) {
            return Err(format!("{name}: {line:?} is there twice: {:?}", one.headers));
        }
        seen.push(kind);
    }
    let always = ["host: 127.0.0.1:", "via: ", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"];
    let framing = (!one.body.is_empty()).then_some("framing");
    let missing = always.iter().chain(more).copied().chain(framing).find(|kind| !seen.contains(kind));
    missing.map_or(Ok(()), |kind| Err(format!("{name}: there is no {kind:?}: {:?}", one.headers)))
}

/// Holds what arrived against what was to.
fn hold(name: &str, statuses: &[u16], arrived: &[Recorded], want: Want) -> Result<(), String> {
    let told = format!("{name}: {statuses:?} {arrived:?}");
    match want {
        Refused(allowed) => {
            let first = statuses.first().copied().unwrap_or(0);
            (arrived.is_empty() && allowed.contains(&first) && statuses.len() <= 1).then_some(()).ok_or(told)
        }
        One(line, body) => {
            let [one] = arrived else { return Err(told) };
            let same = one.line == format!("{line} HTTP/1.1") && one.body == body.as_bytes();
            (same && one.trailers.is_empty() && statuses.first() == Some(&200)).then_some(()).ok_or(told)?;
            hold_headers(name, one)
        }
    }
}

const BAD: Want = Refused(&[400]);

/// A request line and what follows it, behind `Host: a`.
const HEADS: &[(&str, &str, Want)] = &[
    // Where a body ends.
    ("a length", "POST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", One("POST /x", "abc")),
    (
        "chunks",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        One("POST /x", "abc"),
    ),
    (
        "chunks in capitals",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        One("POST /x", "abc"),
    ),
    (
        "a chunk's extension",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
        One("POST /x", "abc"),
    ),
    (
        "CL.TE",
        "POST /x HTTP/1.1\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        One("POST /x", ""),
    ),
    (
        "TE.CL",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        One("POST /x", "abc"),
    ),
    ("two lengths", "POST /x HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde", BAD),
    (
        "the same length twice",
        "POST /x HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        One("POST /x", "abc"),
    ),
    ("a list of lengths", "POST /x HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\nabc", BAD),
    ("a length with a sign", "POST /x HTTP/1.1\r\ncontent-length: +3\r\n\r\nabc", BAD),
    ("a length below zero", "POST /x HTTP/1.1\r\ncontent-length: -1\r\n\r\nabc", BAD),
    ("a length in hex", "POST /x HTTP/1.1\r\ncontent-length: 0x3\r\n\r\nabc", BAD),
    ("a length of nothing", "POST /x HTTP/1.1\r\ncontent-length:\r\n\r\nabc", BAD),
    ("a length beyond numbers", "POST /x HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n", BAD),
    ("a length with a word", "POST /x HTTP/1.1\r\ncontent-length: 3 x\r\n\r\nabc", BAD),
    ("a space before the colon", "POST /x HTTP/1.1\r\ncontent-length : 3\r\n\r\nabc", BAD),
    (
        "a space before the coding's colon",
        "POST /x HTTP/1.1\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    ("an unknown coding", "POST /x HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", BAD),
    ("identity", "POST /x HTTP/1.1\r\ntransfer-encoding: identity\r\n\r\nabc", BAD),
    (
        "identity and chunked",
        "POST /x HTTP/1.1\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    (
        "chunked and identity",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    ("chunked twice", "POST /x HTTP/1.1\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", BAD),
    (
        "chunked in two headers",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    ("gzip and chunked", "POST /x HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", BAD),
    (
        "a coding behind a tab",
        "POST /x HTTP/1.1\r\ntransfer-encoding:\tchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        One("POST /x", "abc"),
    ),
    (
        "a coding behind a vertical tab",
        "POST /x HTTP/1.1\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    ("a coding in quotes", "POST /x HTTP/1.1\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n", BAD),
    ("a folded coding", "POST /x HTTP/1.1\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", BAD),
    ("a coding of HTTP/1.0", "POST /x HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    (
        "a chunk's size with a sign",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        Refused(&[400, 0]),
    ),
    (
        "a chunk's size in 0x",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        Refused(&[400, 0]),
    ),
    (
        "a chunk longer than its size",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        Refused(&[400, 0]),
    ),
    (
        "a chunk's size beyond numbers",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        Refused(&[400, 0]),
    ),
    (
        "a bare LF behind a chunk's size",
        "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        Refused(&[400, 0]),
    ),
    (
        "an underscore for a hyphen",
        "POST /x HTTP/1.1\r\ncontent_length: 99\r\ntransfer_encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
        One("POST /x", "abc"),
    ),
    ("a body of GET", "GET /x HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", One("GET /x", "abc")),
    (
        "a length that connection names",
        "POST /x HTTP/1.1\r\nconnection: content-length\r\ncontent-length: 3\r\n\r\nabc",
        One("POST /x", "abc"),
    ),
    // Lines and headers.
    ("a folded header", "GET /x HTTP/1.1\r\nx-a: 1\r\n 2\r\n\r\n", BAD),
    ("a folded first header", "GET /x HTTP/1.1\r\n x-a: 1\r\n\r\n", BAD),
    ("a bare CR in a value", "GET /x HTTP/1.1\r\nx-a: 1\rx-b: 2\r\n\r\n", BAD),
    ("a NUL in a value", "GET /x HTTP/1.1\r\nx-a: 1\0\r\n\r\n", BAD),
    ("a NUL in a name", "GET /x HTTP/1.1\r\nx\0a: 1\r\n\r\n", BAD),
    ("no name", "GET /x HTTP/1.1\r\n: 1\r\n\r\n", BAD),
    ("no colon", "GET /x HTTP/1.1\r\nx-a\r\n\r\n", BAD),
    ("a space in a name", "GET /x HTTP/1.1\r\nx a: 1\r\n\r\n", BAD),
    ("no version", "GET /x\r\n\r\n", BAD),
    ("HTTP/1.2", "GET /x HTTP/1.2\r\n\r\n", BAD),
    ("two spaces", "GET  /x HTTP/1.1\r\n\r\n", BAD),
    ("a space in the path", "GET /x y HTTP/1.1\r\n\r\n", BAD),
    ("a tab in the line", "GET\t/x HTTP/1.1\r\n\r\n", BAD),
    ("no method", " /x HTTP/1.1\r\n\r\n", BAD),
    // Whose it is.
    ("a second host", "GET /x HTTP/1.1\r\nhost: b\r\n\r\n", BAD),
    ("the same host again", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", BAD),
    ("an address of the same host", "GET http://a/x HTTP/1.1\r\n\r\n", One("GET /x", "")),
    ("an address of another scheme", "GET ftp://a/x HTTP/1.1\r\n\r\n", BAD),
    ("an address of a file", "GET file://a/x HTTP/1.1\r\n\r\n", BAD),
    ("an address over TLS", "GET https://a/x HTTP/1.1\r\n\r\n", One("GET /x", "")),
    ("an address of another host", "GET http://b/x HTTP/1.1\r\n\r\n", BAD),
    ("an address with a user", "GET http://u@a/x HTTP/1.1\r\n\r\n", BAD),
    ("an address alone", "CONNECT a:80 HTTP/1.1\r\n\r\n", Refused(&[400, 404, 405])),
    // Whose path it is.
    ("a plain path", "GET /api/users?x=/../&y=%2f HTTP/1.1\r\n\r\n", One("GET /api/users?x=/../&y=%2f", "")),
    ("no slash", "GET x HTTP/1.1\r\n\r\n", BAD),
    ("two dots", "GET /api/users/../admin/x HTTP/1.1\r\n\r\n", BAD),
    ("two dots at the end", "GET /api/admin/.. HTTP/1.1\r\n\r\n", BAD),
    ("escaped dots", "GET /api/users/%2e%2E/admin/x HTTP/1.1\r\n\r\n", BAD),
    ("a dot and an escaped one", "GET /api/users/.%2e/admin/x HTTP/1.1\r\n\r\n", BAD),
    ("one dot", "GET /api/./admin/x HTTP/1.1\r\n\r\n", BAD),
    ("an escaped dot", "GET /api/%2e/admin/x HTTP/1.1\r\n\r\n", BAD),
    ("dots with a parameter", "GET /api/users/..;a=b/admin/x HTTP/1.1\r\n\r\n", BAD),
    ("dots with an escaped parameter", "GET /api/users/..%3ba/admin/x HTTP/1.1\r\n\r\n", BAD),
    ("overlong dots", "GET /api/users/%c0%ae%c0%ae/admin/x HTTP/1.1\r\n\r\n", BAD),
    ("an overlong slash", "GET /api%c0%afadmin/x HTTP/1.1\r\n\r\n", BAD),
    (
        "dots of full width",
        "GET /api/users/%ef%bc%8e%ef%bc%8e/admin HTTP/1.1\r\n\r\n",
        One("GET /api/users/%ef%bc%8e%ef%bc%8e/admin", ""),
    ),
    (
        "escaped escapes",
        "GET /api/users/%252e%252e/admin HTTP/1.1\r\n\r\n",
        One("GET /api/users/%252e%252e/admin", ""),
    ),
    ("two slashes", "GET /api//admin/x HTTP/1.1\r\n\r\n", BAD),
    ("two slashes first", "GET //api/admin/x HTTP/1.1\r\n\r\n", BAD),
    ("an escaped slash", "GET /api%2fadmin/x HTTP/1.1\r\n\r\n", BAD),
    ("an escaped slash behind", "GET /api/admin%2Fx HTTP/1.1\r\n\r\n", BAD),
    (
        "an escaped slash that is allowed",
        "GET /slashes/a%2Fb HTTP/1.1\r\n\r\n",
        One("GET /slashes/a%2Fb", ""),
    ),
    ("an escaped slash to another route", "GET /slashes%2fadmin HTTP/1.1\r\n\r\n", BAD),
    ("an escaped slash to a route below", "GET /slashes/admin%2fx HTTP/1.1\r\n\r\n", BAD),
    ("escaped slashes and dots", "GET /slashes/a%2f..%2fadmin HTTP/1.1\r\n\r\n", BAD),
    ("a backslash", "GET /api/users/..\\admin/x HTTP/1.1\r\n\r\n", BAD),
    ("a backslash for a slash", "GET /api\\admin/x HTTP/1.1\r\n\r\n", BAD),
    ("an escaped backslash", "GET /api/users/..%5cadmin/x HTTP/1.1\r\n\r\n", BAD),
    ("a parameter", "GET /api/users;v=1/7 HTTP/1.1\r\n\r\n", One("GET /api/users;v=1/7", "")),
    ("a parameter to another route", "GET /api/admin;v=1/x HTTP/1.1\r\n\r\n", BAD),
    ("an escaped parameter to another route", "GET /api/admin%3bv=1/x HTTP/1.1\r\n\r\n", BAD),
    ("an escaped NUL", "GET /api/users%00/x HTTP/1.1\r\n\r\n", BAD),
    ("an escaped line's end", "GET /api/users%0d%0ax HTTP/1.1\r\n\r\n", BAD),
    ("an escape cut short", "GET /api/users/%2 HTTP/1.1\r\n\r\n", BAD),
    ("an escape of no digits", "GET /api/users/%zz HTTP/1.1\r\n\r\n", BAD),
    ("an escaped letter", "GET /api/%61dmin/x HTTP/1.1\r\n\r\n", Refused(&[401])),
    ("the path itself", "GET /api/admin/x HTTP/1.1\r\n\r\n", Refused(&[401])),
    ("another case", "GET /api/Admin/x HTTP/1.1\r\n\r\n", One("GET /api/Admin/x", "")),
    ("a fragment", "GET /api/users#/../admin HTTP/1.1\r\n\r\n", One("GET /api/users", "")),
];

#[tokio::test]
async fn a_request_of_http1_is_refused_or_arrives_once_as_it_is() {
    let (gateway, upstream) = start().await;
    let mut wrong = Vec::new();
    for (name, text, want) in HEADS {
        let (line, rest) = text.split_once("\r\n").unwrap();
        let bytes = format!("{line}\r\nhost: a\r\n{rest}");
        let statuses = send(gateway.address, bytes.as_bytes()).await;
        wrong.extend(hold(name, &statuses, &upstream.take(), *want).err());
    }
    // Where `Host: a` is not the first header, or not there.
    for (name, bytes, want) in [
        ("no host", "GET /x HTTP/1.1\r\n\r\n", BAD),
        ("a host that is a list", "GET /x HTTP/1.1\r\nhost: a, b\r\n\r\n", BAD),
        ("a host with a path", "GET /x HTTP/1.1\r\nhost: a/../b\r\n\r\n", BAD),
        ("a host with a user", "GET /x HTTP/1.1\r\nhost: b@a\r\n\r\n", BAD),
        ("a port of no number", "GET /x HTTP/1.1\r\nhost: a:notaport\r\n\r\n", BAD),
        ("a port beyond", "GET /x HTTP/1.1\r\nhost: a:99999\r\n\r\n", BAD),
        ("two ports", "GET /x HTTP/1.1\r\nhost: a:1:2\r\n\r\n", BAD),
        ("half an address", "GET /x HTTP/1.1\r\nhost: [::1\r\n\r\n", BAD),
        ("no address in brackets", "GET /x HTTP/1.1\r\nhost: [a]\r\n\r\n", BAD),
        ("an escaped host", "GET /x HTTP/1.1\r\nhost: %61\r\n\r\n", BAD),
        ("an address of another port", "GET http://a:81/x HTTP/1.1\r\nhost: a:80\r\n\r\n", BAD),
        ("an address of a port beyond", "GET http://a:99999/x HTTP/1.1\r\nhost: a:99999\r\n\r\n", BAD),
        ("an empty line first", "\r\nGET /x HTTP/1.1\r\nhost: a\r\n\r\n", One("GET /x", "")),
        ("HTTP/1.0 without a host", "GET /x HTTP/1.0\r\n\r\n", One("GET /x", "")),
        ("bare line feeds", "GET /x HTTP/1.1\nhost: a\nx-a: 1\n\n", One("GET /x", "")),
    ] {
        let statuses = send(gateway.address, bytes.as_bytes()).await;
        wrong.extend(hold(name, &statuses, &upstream.take(), want).err());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), HEADS.len(), wrong.join("\n"));
    assert!(HEADS.len() >= 60);
}

#[tokio::test]
async fn two_requests_in_one_write_are_two() {
    let (gateway, upstream) = start().await;
    let bytes =
        "POST /one HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcGET /two HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(send(gateway.address, bytes.as_bytes()).await, [200, 200]);
    let lines: Vec<_> = upstream.take().into_iter().map(|one| one.line).collect();
    assert_eq!(lines, ["POST /one HTTP/1.1", "GET /two HTTP/1.1"]);
}

#[tokio::test]
async fn headers_arrive_as_they_were_sent_but_those_of_the_hop() {
    let (gateway, upstream) = start().await;
    let bytes = "GET /x HTTP/1.1\r\nhost: a\r\nx-one: 1\r\nX-Two:  a  b \r\nx-one: 2\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\n\
        keep-alive: 1\r\nproxy-authorization: Basic abc\r\nproxy-connection: close\r\nte: trailers, deflate\r\nupgrade: h2c\r\n\
        http2-settings: AAA\r\nx_user_id: 1\r\nx-original-url: /api/admin\r\nx-rewrite-url: /api/admin\r\nx_forwarded_for: 9.9.9.9\r\n\
        x-forwarded-port: 1\r\ncookie: a=1; b=2\r\n\r\n";
    assert_eq!(send(gateway.address, bytes.as_bytes()).await, [200]);
    let [one] = upstream.take().try_into().unwrap();
    let kept: Vec<&String> =
        one.headers.iter().filter(|line| !line.starts_with("x-gateway-request-id")).collect();
    let host = format!("host: {}", upstream.address);
    let mut want = vec![
        host.as_str(),
        "x-one: 1",
        "x-one: 2",
        "x-two: a  b",
        "cookie: a=1; b=2",
        "te: trailers",
        "connection: te",
        "forwarded: for=127.0.0.1;host=\"a\";proto=http",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: a",
        "x-forwarded-proto: http",
        "via: 1.1 propylon",
    ];
    let mut kept: Vec<&str> =
        kept.into_iter().map(String::as_str).filter(|line| !line.starts_with("x-request-id")).collect();
    kept.sort_unstable();
    want.sort_unstable();
    assert_eq!(kept, want);
}

/// A block of headers as literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// What came of one stream: its HTTP status, or 0.
async fn over_http2(address: SocketAddr, fields: &[(&str, &str)], body: Option<&str>) -> u16 {
    let mut raw = Raw::connect(address, &[]).await;
    let flags = END_HEADERS | if body.is_none() { END_STREAM } else { 0 };
    let mut bytes = frame(HEADERS, flags, 1, &block(fields));
    bytes.extend(body.iter().flat_map(|body| frame(DATA, END_STREAM, 1, body.as_bytes())));
    raw.send(&bytes).await;
    loop {
        match raw.next(PATIENCE).await {
            Some(frame) if frame.kind == HEADERS => return raw::status(&frame.payload),
            Some(frame) if matches!(frame.kind, RST_STREAM | GOAWAY) => return 0,
            None => return 0,
            Some(_) => {}
        }
    }
}

#[tokio::test]
async fn a_request_of_http2_is_refused_or_arrives_once_as_it_is() {
    type Row = (&'static str, &'static [(&'static str, &'static str)], Option<&'static str>, Want);
    const BROKEN: Want = Refused(&[0, 400]);
    const GET: (&str, &str) = (":method", "GET");
    const POST: (&str, &str) = (":method", "POST");
    const HTTP: (&str, &str) = (":scheme", "http");
    const X: (&str, &str) = (":path", "/x");
    const A: (&str, &str) = (":authority", "a");
    let rows: &[Row] = &[
        ("plain", &[GET, HTTP, X, A], None, One("GET /x", "")),
        ("a body", &[POST, HTTP, X, A], Some("abc"), One("POST /x", "abc")),
        ("a length", &[POST, HTTP, X, A, ("content-length", "3")], Some("abc"), One("POST /x", "abc")),
        ("a length too short", &[POST, HTTP, X, A, ("content-length", "2")], Some("abc"), BROKEN),
        ("a length too long", &[POST, HTTP, X, A, ("content-length", "4")], Some("abc"), BROKEN),
        (
            "two lengths",
            &[POST, HTTP, X, A, ("content-length", "3"), ("content-length", "4")],
            Some("abc"),
            BROKEN,
        ),
        ("a length of no number", &[POST, HTTP, X, A, ("content-length", "+3")], Some("abc"), BROKEN),
        ("a coding", &[POST, HTTP, X, A, ("transfer-encoding", "chunked")], Some("0\r\n\r\n"), BROKEN),
        ("a connection header", &[GET, HTTP, X, A, ("connection", "close")], None, BROKEN),
        ("keep-alive", &[GET, HTTP, X, A, ("keep-alive", "1")], None, BROKEN),
        ("an upgrade", &[GET, HTTP, X, A, ("upgrade", "h2c")], None, BROKEN),
        ("te of another kind", &[GET, HTTP, X, A, ("te", "gzip")], None, BROKEN),
        ("a name in capitals", &[GET, HTTP, X, A, ("X-A", "1")], None, BROKEN),
        ("a line's end in a value", &[GET, HTTP, X, A, ("x-a", "1\r\nx-b: 2")], None, BROKEN),
        ("a NUL in a value", &[GET, HTTP, X, A, ("x-a", "1\0")], None, BROKEN),
        ("a colon in a name", &[GET, HTTP, X, A, ("x-a: b", "1")], None, BROKEN),
        ("a space in a name", &[GET, HTTP, X, A, ("x a", "1")], None, BROKEN),
        ("a host of its own", &[GET, HTTP, X, A, ("host", "a")], None, One("GET /x", "")),
        ("another host", &[GET, HTTP, X, A, ("host", "b")], None, BROKEN),
        ("two hosts", &[GET, HTTP, X, ("host", "a"), ("host", "b")], None, BROKEN),
        ("two authorities", &[GET, HTTP, X, A, (":authority", "b")], None, BROKEN),
        ("an authority with a user", &[GET, HTTP, X, (":authority", "u@a"), ("host", "a")], None, BROKEN),
        ("a port of no number", &[GET, HTTP, X, (":authority", "a:notaport")], None, BROKEN),
        ("a port beyond", &[GET, HTTP, X, (":authority", "a:99999")], None, BROKEN),
        ("half an address", &[GET, HTTP, X, (":authority", "[::1")], None, BROKEN),
        ("a host of a port beyond", &[GET, HTTP, X, ("host", "a:99999")], None, BROKEN),
        ("another scheme", &[GET, (":scheme", "ftp"), X, A], None, BROKEN),
        ("two paths", &[GET, HTTP, X, (":path", "/y"), A], None, BROKEN),
        ("two methods", &[GET, POST, HTTP, X, A], None, BROKEN),
        ("no path", &[GET, HTTP, A], None, BROKEN),
        ("an empty path", &[GET, HTTP, (":path", ""), A], None, BROKEN),
        ("no method", &[HTTP, X, A], None, BROKEN),
        ("an unknown pseudo-header", &[GET, HTTP, X, A, (":x", "1")], None, BROKEN),
        ("a pseudo-header behind others", &[GET, HTTP, X, ("x-a", "1"), A], None, BROKEN),
        ("a method with a line", &[(":method", "GET /smuggled HTTP/1.1\r\nx: "), HTTP, X, A], None, BROKEN),
        ("no slash", &[GET, HTTP, (":path", "x"), A], None, BROKEN),
        ("a line's end in the path", &[GET, HTTP, (":path", "/x HTTP/1.1\r\nx-a: 1"), A], None, BROKEN),
        ("a space in the path", &[GET, HTTP, (":path", "/x y"), A], None, BROKEN),
        ("dots", &[GET, HTTP, (":path", "/api/users/../admin/x"), A], None, BROKEN),
        ("an escaped slash", &[GET, HTTP, (":path", "/api%2fadmin/x"), A], None, BROKEN),
        ("a parameter to another route", &[GET, HTTP, (":path", "/api/admin;x/y"), A], None, BROKEN),
        ("an absolute path", &[GET, HTTP, (":path", "http://b/x"), A], None, BROKEN),
        ("the path itself", &[GET, HTTP, (":path", "/api/admin/x"), A], None, Refused(&[401])),
    ];
    let (gateway, upstream) = start().await;
    let mut wrong = Vec::new();
    for (name, fields, body, want) in rows {
        let status = over_http2(gateway.address, fields, *body).await;
        if status == 0 {
            // What had gone on breaks off, and never comes whole.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        wrong.extend(hold(name, &[status], &upstream.take(), *want).err());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
