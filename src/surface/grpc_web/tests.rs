//! gRPC-Web over the test's road: both forms, every bad input, and early answers over a real HTTP/1.1 connection.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::surface::{
    serve,
    testing::{
        REQUEST_BYTES, Seen, TestRoad, framed, nothing, pieces, send, status_line, table, with_headers,
    },
};

const BINARY: (&str, &str) = ("content-type", "application/grpc-web+proto");
const TEXT: (&str, &str) = ("content-type", "application/grpc-web-text");
const ECHO: &str = "/pkg.Library/Echo";

fn surface() -> GrpcWeb {
    GrpcWeb { table: table(), nothing: nothing() }
}

fn request(path: &str, headers: &[(&str, &str)], body: Body) -> Request {
    with_headers(http::Request::post(path).version(Version::HTTP_11), headers).body(body).unwrap()
}

async fn call(path: &str, headers: &[(&str, &str)], body: &[u8], chunk: usize) -> Seen {
    send(&surface(), request(path, headers, pieces(body, chunk))).await
}

/// Decodes a text response as a client does: group by group.
fn untext(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|group| STANDARD.decode(group).unwrap()).collect()
}

/// Parts a binary response's messages from its trailers.
fn split(mut body: &[u8]) -> (Vec<u8>, Option<HeaderMap>) {
    let mut messages = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = body {
        let (message, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        if *flag == 0x80 {
            assert!(rest.is_empty(), "trailers are last");
            let mut trailers = HeaderMap::new();
            for line in std::str::from_utf8(message).unwrap().split_terminator("\r\n") {
                let (name, value) = line.split_once(": ").unwrap();
                assert_eq!(name, name.to_ascii_lowercase());
                trailers.append(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
            return (messages, Some(trailers));
        }
        messages.extend(framed(*flag, message));
        body = rest;
    }
    (messages, None)
}

#[tokio::test]
async fn binary_passes() {
    let frames = [framed(0, b"hello"), framed(1, b"packed")].concat();
    let headers = [
        BINARY,
        ("accept", "*/*"),
        ("x-grpc-web", "1"),
        ("x-user-agent", "grpc-web-test"),
        ("grpc-timeout", "1S"),
        ("grpc-encoding", "gzip"),
        ("x_user_id", "root"),
    ];
    let seen = call(ECHO, &headers, &frames, 4).await;
    assert_eq!(seen.http, 200);
    assert_eq!(seen.headers["content-type"], "application/grpc-web+proto");
    let mut names: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "grpc-encoding", "x-timeout", "x-user-agent"]);
    let (messages, trailers) = split(&seen.body);
    assert_eq!(messages, frames);
    let trailers = trailers.unwrap();
    assert_eq!(status_line(&trailers), "0 -");
    assert_eq!(trailers["x-trailer-bin"], "AAE");
    assert!(seen.trailers.is_empty(), "the trailers of gRPC-Web are in its body");
}

#[tokio::test]
async fn text_passes_wherever_it_is_cut() {
    let frames = [framed(0, b"hello"), framed(0, b""), framed(0, b"goodbye")].concat();
    // As one text, and as a text for each of many flushes.
    let whole = STANDARD.encode(&frames);
    let flushed: String = frames.chunks(5).map(|piece| STANDARD.encode(piece)).collect();
    for text in [whole, flushed] {
        for chunk in 1..=text.len() {
            let seen = call(ECHO, &[TEXT], text.as_bytes(), chunk).await;
            assert_eq!(seen.headers["content-type"], "application/grpc-web-text");
            let (messages, trailers) = split(&untext(&seen.body));
            assert_eq!(messages, frames, "pieces of {chunk}");
            assert_eq!(status_line(&trailers.unwrap()), "0 -");
        }
    }
}

#[tokio::test]
async fn the_form_of_the_answer() {
    let check = async |content_type: &str, accept: Option<&str>, want: &str| {
        let mut headers = vec![("content-type", content_type)];
        headers.extend(accept.map(|accept| ("accept", accept)));
        let text = content_type.contains("text");
        let body = framed(0, b"hello");
        let sent = if text { STANDARD.encode(&body).into_bytes() } else { body.clone() };
        let seen = call(ECHO, &headers, &sent, 100).await;
        assert_eq!(seen.headers["content-type"], want, "{content_type} {accept:?}");
        let got = if want.contains("text") { untext(&seen.body) } else { seen.body.to_vec() };
        assert_eq!(split(&got).0, body);
    };
    let (binary, text) = ("application/grpc-web", "application/grpc-web-text");
    check(binary, None, binary).await;
    check(text, None, text).await;
    check("application/grpc-web+proto", None, "application/grpc-web+proto").await;
    check("application/grpc-web-text+proto; a=b", None, "application/grpc-web-text+proto").await;
    check(binary, Some("*/*"), binary).await;
    check(binary, Some("application/json, application/grpc-web-text"), text).await;
    check(text, Some("application/grpc-web+proto"), "application/grpc-web+proto").await;
}

#[tokio::test]
async fn bad_input_has_its_status() {
    let check = async |path: &str, headers: &[(&str, &str)], body: &[u8], want: &str| {
        for chunk in [1, 2, 1000] {
            let seen = call(path, headers, body, chunk).await;
            assert_eq!((seen.http, seen.head_status().as_str()), (200, want), "{path} {headers:?}");
            assert_eq!(seen.headers["content-type"], headers[0].1);
            assert!(seen.body.is_empty() && seen.trailers.is_empty());
        }
    };
    let text = |bytes: &[u8]| STANDARD.encode(bytes).into_bytes();
    check(
        "/pkg.Librari/Echo",
        &[BINARY],
        b"",
        "12 unknown service pkg.Librari (did you mean \"pkg.Library\"?)",
    )
    .await;
    let unknown_method = "12 unknown method Ecko for service pkg.Library (did you mean \"Echo\"?)";
    check("/pkg.Library/Ecko", &[TEXT], b"", unknown_method).await;
    check("/pkg.Library", &[BINARY], b"", "12 a gRPC path is /package.Service/Method").await;
    check(
        ECHO,
        &[BINARY, ("grpc-timeout", "1s")],
        b"",
        "3 the value \"1s\" of header grpc-timeout is not a timeout: 1 to 8 digits and one of H M S m u n",
    )
    .await;
    check(ECHO, &[TEXT, ("x-bin", "A")], b"", "3 the value of header x-bin is not base64").await;
    check(ECHO, &[TEXT, ("x-refuse", "1")], b"", "16 who are you?").await;
    check(ECHO, &[TEXT], b"AAAA!AAA", "3 the request's text is not base64 at byte 4: \"!AAA\"").await;
    check(ECHO, &[TEXT], b"AAAAA", "3 the request's base64 ends within a group of four, after 1 of it").await;
    let long = framed(0, &[0; REQUEST_BYTES + 1]);
    let rows: [(&[u8], &str); 4] = [
        (&[0, 0, 0, 0, 9, 1], "13 the request ends within a frame"),
        (&framed(1, b"x"), "13 the request has a compressed message but no grpc-encoding"),
        (&framed(0x80, b"x"), "13 the request has a frame that begins with byte 128, not 0 or 1"),
        (&long, "8 a request message of 65 bytes is over the limit of 64 bytes"),
    ];
    for (frames, want) in rows {
        check(ECHO, &[BINARY], frames, want).await;
        check(ECHO, &[TEXT], &text(frames), want).await;
    }
}

#[tokio::test]
async fn http_itself_refuses() {
    let check = async |request: Request, want_http: u16, want: &str, content_type: &str| {
        let seen = send(&surface(), request).await;
        assert_eq!((seen.http, seen.head_status().as_str()), (want_http, want));
        assert_eq!(seen.headers["content-type"], content_type);
        assert_eq!(seen.headers.get("allow").is_some_and(|allow| allow == "POST"), want_http == 405);
    };
    let mut put = request(ECHO, &[TEXT], Body::empty());
    *put.method_mut() = Method::PUT;
    check(put, 405, "12 a gRPC call is a POST, not a PUT", "application/grpc-web-text").await;
    let json = request(ECHO, &[("content-type", "application/grpc-web+json")], Body::empty());
    let want = "3 gRPC messages in \"json\" are not spoken here, only in \"proto\"";
    check(json, 415, want, "application/grpc-web+proto").await;
    let native = request(ECHO, &[("content-type", "application/grpc")], Body::empty());
    let want = "3 the content type \"application/grpc\" is not application/grpc-web";
    check(native, 415, want, "application/grpc-web+proto").await;
}

#[tokio::test]
async fn a_failure_is_in_the_head_or_in_the_last_frame() {
    for headers in [BINARY, TEXT] {
        let seen = call("/pkg.Library/Fail", &[headers], b"", 1).await;
        assert_eq!((seen.http, seen.head_status().as_str()), (200, "5 no 100%25 %C3%A4"));
        assert_eq!((&seen.headers["grpc-status-details-bin"], seen.body.len()), (&"CAU".parse().unwrap(), 0));
        let seen = call("/pkg.Library/Empty", &[headers], b"", 1).await;
        assert_eq!((seen.head_status().as_str(), seen.body.len()), ("0 -", 0));
        for (path, want) in [("/pkg.Library/FailLate", "15 gone"), ("/pkg.Library/Broken", "13 cut")] {
            let seen = call(path, &[headers], b"", 1).await;
            let body = if headers == TEXT { untext(&seen.body) } else { seen.body.to_vec() };
            let (messages, trailers) = split(&body);
            assert_eq!((messages, seen.head_status().as_str()), (framed(0, b"one"), "- -"));
            assert_eq!(status_line(&trailers.unwrap()), want);
        }
    }
}

#[tokio::test]
async fn a_message_comes_before_the_stream_ends() {
    for (headers, text) in [(BINARY, false), (TEXT, true)] {
        let request = request("/pkg.Library/Watch", &[headers], Body::empty());
        let mut body = serve(&surface(), &TestRoad, request).await.into_body();
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(if text { untext(&data) } else { data.to_vec() }, framed(0, b"one"));
    }
}

/// Serves HTTP/1.1 over a real socket: paths of `/pkg…` by the surface, `/smuggled` by a mark.
async fn address() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request: http::Request<Incoming>| async move {
                let response = if request.uri().path() == "/smuggled" {
                    Response::new(Body::from("SMUGGLED"))
                } else {
                    serve(&surface(), &TestRoad, request.map(Body::new)).await
                };
                Ok::<_, std::convert::Infallible>(response)
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Sends bytes in two halves with a pause between, then reads until the server closes or is silent.
async fn talk(first: &[u8], second: &[u8]) -> String {
    let mut stream = TcpStream::connect(address().await).await.unwrap();
    stream.write_all(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    // The server may have closed the connection by now, which is one right answer.
    let _ = stream.write_all(second).await;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(read @ 1..)) =
        tokio::time::timeout(Duration::from_millis(300), stream.read(&mut buffer)).await
    {
        seen.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn an_unread_body_is_not_the_next_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut body = smuggled.repeat(40);
    let refused =
        ["content-type: application/grpc-web+proto\r\nx-refuse: 1", "content-type: application/grpc"];
    for headers in refused {
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        // The body comes with the head; after the answer; in two parts.
        let (half, rest) = body.split_at(smuggled.len() * 20);
        for framing in [length, chunked] {
            for (first, second) in [(&*body, ""), ("", &*body), (half, rest)] {
                let head = format!("POST {ECHO} HTTP/1.1\r\nhost: a\r\n{headers}\r\n{framing}");
                let seen = talk(format!("{head}{first}").as_bytes(), second.as_bytes()).await;
                assert!(seen.starts_with("HTTP/1.1 "), "{seen}");
                assert!(seen.contains("grpc-status: "), "{seen}");
                assert!(!seen.contains("SMUGGLED"), "{seen}");
            }
        }
    }
    // Where the body ends, the next request begins: it is answered, or the connection is closed.
    body.truncate(smuggled.len());
    let head = format!(
        "POST {ECHO} HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc-web\r\nx-refuse: 1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let seen = talk(format!("{head}{body}").as_bytes(), smuggled.as_bytes()).await;
    assert!(seen.matches("SMUGGLED").count() <= 1, "{seen}");
}

#[tokio::test]
async fn trailers_frame_by_the_byte() {
    let body = TrailersBody::new(pieces(b"", 1), false);
    assert_eq!(body.collect().await.unwrap().to_bytes(), Bytes::new());
    let seen = call("/pkg.Library/FailLate", &[BINARY], b"", 1).await;
    let want = b"\0\0\0\0\x03one\x80\0\0\0\x25grpc-status: 15\r\ngrpc-message: gone\r\n";
    assert_eq!(seen.body, want[..]);
}
