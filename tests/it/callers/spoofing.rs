//! Identity headers that a client makes up: name × spelling × place × surface, none of which reaches the upstream.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{get, seen, start};
use crate::support::{client::frames, library::PATIENCE, recorder::Recorder, tokens::good};

const NAMES: [&str; 5] =
    ["X-User-ID", "X-User-Email", "X-User-Role", "X-User-Permissions", "X-Gateway-Request-ID"];

/// What nobody but a spoofer says.
const SPOOFED: &str = "c3Bvb2ZlZA";

fn spellings() -> Vec<String> {
    let mut all = Vec::new();
    for name in NAMES {
        let cased = [name.to_owned(), name.to_lowercase(), name.to_uppercase(), name.replace("-U", "-u")];
        for name in cased {
            let underscored = [name.clone(), name.replace('-', "_"), name.replacen('-', "_", 1)];
            for name in underscored {
                all.extend([
                    name.clone(),
                    format!("{name}-bin"),
                    format!("{name}_bin"),
                    format!("{name}-BIN"),
                ]);
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

/// Bytes over HTTP/1.1 as they are, and the whole answer.
async fn http1(gateway: SocketAddr, request: String, body: &[u8]) -> Vec<u8> {
    let exchange = async {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        stream.write_all(&[request.as_bytes(), body].concat()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

/// A gRPC call whose body ends with trailers.
async fn grpc(gateway: SocketAddr, headers: &HeaderMap, trailers: HeaderMap) -> Vec<u8> {
    let mut all = headers.clone();
    all.insert("content-type", HeaderValue::from_static("application/grpc"));
    all.insert("te", HeaderValue::from_static("trailers"));
    let body = frames("library.v1.GetBookRequest", &["{}"]);
    http2(gateway, "/library.v1.Library/GetBook", all, body, trailers).await
}

/// A request over HTTP/2 whose body ends with trailers, and the body of its answer.
async fn http2(
    gateway: SocketAddr,
    path: &str,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
) -> Vec<u8> {
    let exchange = async {
        let stream = TcpStream::connect(gateway).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let sent: [Result<Frame<Bytes>, std::convert::Infallible>; 2] =
            [Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
        let mut request = Request::post(format!("http://{gateway}{path}"))
            .body(StreamBody::new(futures_util::stream::iter(sent)))
            .unwrap();
        *request.headers_mut() = headers;
        let response = sender.send_request(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

fn map(names: &[String]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for name in names {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(SPOOFED));
    }
    map
}

#[tokio::test]
async fn no_made_up_identity_reaches_the_upstream() {
    let (gateway, _issuer) = start("[access]\ndefault = \"public\"\n[rate_limits]\nenabled = false").await;
    let bearer = format!("Bearer {}", good("real", &json!({ "roles": ["student"] })));
    let spellings = spellings();
    assert!(spellings.len() > 100, "{}", spellings.len());
    let body = frames("library.v1.GetBookRequest", &["{}"]);
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &body);
    for names in spellings.chunks(40) {
        let lines: String = names.iter().map(|name| format!("{name}: {SPOOFED}\r\n")).collect();
        let listed = format!("Connection: close, {}\r\n{lines}", names.join(", "));
        for credentials in [String::new(), format!("authorization: {bearer}\r\n")] {
            let mut answers = Vec::new();
            let post = |content_type: &str| {
                format!(
                    "POST /library.v1.Library/GetBook HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\n{credentials}"
                )
            };
            for (content_type, body) in
                [("application/grpc-web", &body[..]), ("application/grpc-web-text", text.as_bytes())]
            {
                let length = format!("content-length: {}\r\n\r\n", body.len());
                let plain = format!("{}Connection: close\r\n{lines}{length}", post(content_type));
                answers.push(("header", http1(gateway.address, plain, body).await));
                let connection = format!("{}{listed}{length}", post(content_type));
                answers.push(("Connection", http1(gateway.address, connection, body).await));
                let chunked = format!(
                    "{}Connection: close\r\ntrailer: {}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
                    post(content_type),
                    names.join(", "),
                    body.len()
                );
                let end = format!("\r\n0\r\n{lines}\r\n");
                answers.push((
                    "trailer",
                    http1(gateway.address, chunked, &[body, end.as_bytes()].concat()).await,
                ));
            }
            let get = format!("GET /v1/books:get HTTP/1.1\r\nhost: a\r\n{credentials}");
            answers.push((
                "header",
                http1(gateway.address, format!("{get}Connection: close\r\n{lines}\r\n"), b"").await,
            ));
            answers.push(("Connection", http1(gateway.address, format!("{get}{listed}\r\n"), b"").await));
            let put = format!(
                "POST /v1/collect HTTP/1.1\r\nhost: a\r\n{credentials}Connection: close\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{{}}\n\r\n0\r\n{lines}\r\n"
            );
            answers.push(("trailer of a stream over REST", http1(gateway.address, put, b"").await));
            let mut headers = HeaderMap::new();
            if !credentials.is_empty() {
                headers.insert("authorization", bearer.parse().unwrap());
            }
            answers.push(("trailer of gRPC", grpc(gateway.address, &headers, map(names)).await));
            headers.extend(map(names));
            answers.push(("metadata of gRPC", grpc(gateway.address, &headers, HeaderMap::new()).await));
            for (place, answer) in answers {
                let plain = readable(&answer);
                assert!(!plain.contains(SPOOFED), "{place}: {names:?} came through: {plain}");
                let recorded = plain.contains("content-type=application/grpc");
                if recorded && !credentials.is_empty() {
                    assert_eq!(plain.matches("x-user-id=real").count(), 1, "{place}: {plain}");
                    assert_eq!(plain.matches("x-user-role=student").count(), 1, "{place}: {plain}");
                } else if recorded {
                    assert!(!plain.to_lowercase().contains("x-user"), "{place}: {plain}");
                }
                // Trailers are no mistake: they are left out, and the call goes on. This one's answer records nothing.
                let went_on = recorded || place == "trailer of a stream over REST";
                assert!(went_on, "{place}: {plain}");
                if answer.starts_with(b"HTTP/1.1") {
                    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{place}: {plain}");
                }
            }
        }
    }
}

/// The same before an upstream of plain HTTP, to which trailers go too.
#[tokio::test]
async fn no_made_up_identity_reaches_an_http_upstream() {
    let upstream = Recorder::start().await;
    let (gateway, _issuer) = start(&format!(
        "[access]\ndefault = \"public\"\n[rate_limits]\nenabled = false\n\
         [[upstreams]]\nname = \"plain\"\nhttp = \"http://{}\"\n\
         [[routes]]\npath = \"/plain/{{rest=**}}\"\nupstream = \"plain\"\n",
        upstream.address
    ))
    .await;
    let bearer = format!("Bearer {}", good("real", &json!({ "roles": ["student"] })));
    for names in spellings().chunks(40) {
        let lines: String = names.iter().map(|name| format!("{name}: {SPOOFED}\r\n")).collect();
        for known in [false, true] {
            let credentials = if known { format!("authorization: {bearer}\r\n") } else { String::new() };
            let mut headers = HeaderMap::new();
            headers.insert("te", HeaderValue::from_static("trailers"));
            if known {
                headers.insert("authorization", bearer.parse().unwrap());
            }
            let get = format!("GET /plain/a HTTP/1.1\r\nhost: a\r\n{credentials}");
            let listed = format!("Connection: close, {}\r\n{lines}", names.join(", "));
            let chunked = format!(
                "POST /plain/a HTTP/1.1\r\nhost: a\r\n{credentials}Connection: close\r\ntrailer: {}, x-last\r\n\
                 transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{lines}x-last: 1\r\n\r\n",
                names.join(", ")
            );
            let mut last = map(names);
            last.insert("x-last", HeaderValue::from_static("1"));
            let mut spoofed = map(names);
            spoofed.extend(headers.clone());
            // HTTP/1.1 sends what was announced.
            headers.insert("trailer", format!("{}, x-last", names.join(", ")).parse().unwrap());
            let body = || Bytes::from_static(b"abc");
            let at = gateway.address;
            let answers = [
                ("header", false, http1(at, format!("{get}Connection: close\r\n{lines}\r\n"), b"").await),
                ("Connection", false, http1(at, format!("{get}{listed}\r\n"), b"").await),
                ("trailer", true, http1(at, chunked, b"").await),
                ("header of HTTP/2", false, http2(at, "/plain/a", spoofed, body(), HeaderMap::new()).await),
                ("trailer of HTTP/2", true, http2(at, "/plain/a", headers, body(), last).await),
            ];
            for (place, trailers, answer) in answers {
                let said = String::from_utf8_lossy(&answer);
                assert!(!said.contains(SPOOFED), "{place}: {names:?} came through: {said}");
                let at = said.find('{').unwrap_or_else(|| panic!("{place}: {said}"));
                let seen: Value = serde_json::from_str(&said[at..]).unwrap();
                let told = seen["headers"].as_object().unwrap().iter();
                let told: Vec<_> = told
                    .filter(|(name, _)| name.starts_with("x-user"))
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                    .collect();
                let want: &[(&str, &str)] = if known {
                    &[("x-user-id", "real"), ("x-user-email", "real@a.example"), ("x-user-role", "student")]
                } else {
                    &[]
                };
                assert_eq!(told, want, "{place}: {said}");
                // What is no identity goes on, so trailers were there to be looked at.
                let want = if trailers { json!({ "x-last": "1" }) } else { json!({}) };
                assert_eq!(seen["trailers"], want, "{place}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_is_told_whom_the_gateway_believes() {
    let told = async |gateway: &str, addresses: [&str; 3]| {
        let (gateway, _issuer) = start(&format!("{gateway}\n[access]\ndefault = \"public\"")).await;
        let [list, real, rfc] = addresses;
        let headers = [
            ("x-forwarded-for", list),
            ("x-real-ip", real),
            ("forwarded", rfc),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "spoofed.example"),
            ("authorization", "Basic dTpw"),
        ];
        let mut all = Vec::new();
        for (surface, outcome) in get(gateway.address, &headers).await {
            let mut lines = seen(&outcome);
            lines.retain(|line| line.contains("forwarded") || line.contains("real-ip"));
            lines.sort();
            all.push((surface, lines));
        }
        all
    };
    let spoofed = ["198.51.100.7", "198.51.100.8", "for=198.51.100.9"];
    for (gateway, want) in
        [("", "127.0.0.1"), ("[gateway]\ntrusted_proxies = [\"127.0.0.1\"]", "198.51.100.7")]
    {
        for (surface, lines) in told(gateway, spoofed).await {
            let want = [format!("x-forwarded-for={want}"), "x-forwarded-proto=http".to_owned()];
            assert_eq!(lines, want, "{surface}");
        }
    }
}

#[tokio::test]
async fn a_token_beside_another_credential_stays_here() {
    let (gateway, _issuer) = start("[access]\ndefault = \"public\"\n[rate_limits]\nenabled = false").await;
    let bearer = format!("Bearer {}", good("real", &json!({})));
    let both = [("authorization", "Basic dTpw"), ("authorization", bearer.as_str())];
    for (surface, outcome) in get(gateway.address, &both).await {
        let seen = seen(&outcome);
        assert!(seen.contains(&"authorization=Basic dTpw".to_owned()), "{surface}: {seen:?}");
        assert!(!seen.iter().any(|line| line.to_lowercase().contains("bearer")), "{surface}: {seen:?}");
    }
}

/// An answer as text, what is base64 in it decoded too.
fn readable(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer).into_owned();
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let decoded = body.lines().flat_map(|line| {
        line.as_bytes().chunks(4).filter_map(|group| {
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, group).ok()
        })
    });
    let decoded: Vec<u8> = decoded.flatten().collect();
    format!("{text}\n{}", String::from_utf8_lossy(&decoded))
}
