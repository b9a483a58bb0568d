//! A client of each surface, down to its bytes, so that a test can send what no client library would.

use std::{net::SocketAddr, sync::LazyLock};

use base64::Engine as _;
use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use propylon::status::{self, BASE64};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use super::library::{PATIENCE, POOL, framed};

/// What came of a call, whatever surface it took.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) http: u16,
    pub(crate) headers: HeaderMap,
    /// gRPC code, message, details as JSON (`@type` and its fields); 0 for a call that went well.
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
    pub(crate) messages: Vec<Value>,
    pub(crate) trailers: HeaderMap,
}

/// Sends one HTTP/1.1 request and reads the whole response.
pub(crate) async fn http1(address: SocketAddr, request: Request<Bytes>) -> Response<(Bytes, HeaderMap)> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = request.map(Full::new);
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("test"));
        whole(sender.send_request(request).await.unwrap()).await
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

/// Sends one HTTP/2 request and reads the whole response.
pub(crate) async fn http2(address: SocketAddr, request: Request<Bytes>) -> Response<(Bytes, HeaderMap)> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("http://{address}{}", parts.uri).parse().unwrap();
        whole(sender.send_request(Request::from_parts(parts, Full::new(body))).await.unwrap()).await
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

async fn whole(response: Response<Incoming>) -> Response<(Bytes, HeaderMap)> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    Response::from_parts(head, (body.to_bytes(), trailers))
}

/// A request with headers given as `(name, value)`.
pub(crate) fn request(
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

/// A message type of the upstream's, or of the gateway's own.
fn descriptor(name: &str) -> MessageDescriptor {
    static OWN: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(propylon::proto::FILE_DESCRIPTOR_SET).unwrap());
    POOL.get_message_by_name(name).or_else(|| OWN.get_message_by_name(name)).unwrap()
}

/// JSON messages as gRPC frames of a message type.
pub(crate) fn frames(message: &str, json: &[&str]) -> Bytes {
    let descriptor = descriptor(message);
    let messages = json.iter().map(|json| {
        let mut json = serde_json::Deserializer::from_str(json);
        prost::Message::encode_to_vec(&DynamicMessage::deserialize(descriptor.clone(), &mut json).unwrap())
    });
    messages.flat_map(|message| framed(&message)).collect()
}

fn messages(message: &str, mut frames: Bytes) -> Vec<Value> {
    let (descriptor, own) = (descriptor(message), message.starts_with("propylon."));
    // As REST shows them: the gateway's own by the names of the proto file.
    let options = SerializeOptions::new().use_proto_field_name(own).skip_default_fields(!own);
    let mut found = Vec::new();
    while frames.has_remaining() {
        assert_eq!(frames.get_u8(), 0, "a plain frame");
        let length = frames.get_u32() as usize;
        let message = DynamicMessage::decode(descriptor.clone(), frames.split_to(length)).unwrap();
        found.push(message.serialize_with_options(serde_json::value::Serializer, &options).unwrap());
    }
    found
}

/// Calls over native gRPC with a body of frames.
pub(crate) async fn grpc(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
    reply: &str,
) -> Outcome {
    let all = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
    let response = http2(address, request(&Method::POST, path, &all, body)).await;
    let (head, (body, trailers)) = response.into_parts();
    outcome(head.status.as_u16(), head.headers, trailers, messages(reply, body))
}

/// Calls over gRPC-Web, binary or text, with a body of frames.
pub(crate) async fn grpc_web(
    address: SocketAddr,
    text: bool,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
    reply: &str,
) -> Outcome {
    let content_type = if text { "application/grpc-web-text" } else { "application/grpc-web" };
    let body = if text { base64::engine::general_purpose::STANDARD.encode(&body).into() } else { body };
    let all = [&[("content-type", content_type)], headers].concat();
    let response = http1(address, request(&Method::POST, path, &all, body)).await;
    let (head, (body, _)) = response.into_parts();
    let mut body = if text { decode_text(&body) } else { body };
    let mut frames = Vec::new();
    let mut trailers = HeaderMap::new();
    while body.has_remaining() {
        let flag = body.get_u8();
        let length = body.get_u32() as usize;
        let message = body.split_to(length);
        if flag & 0x80 == 0 {
            frames.extend(framed(&message));
            continue;
        }
        for line in std::str::from_utf8(&message).unwrap().split_terminator("\r\n") {
            let (name, value) = line.split_once(':').expect("a header line");
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            trailers.append(name, HeaderValue::from_str(value.trim()).unwrap());
        }
    }
    outcome(head.status.as_u16(), head.headers, trailers, messages(reply, frames.into()))
}

/// Base64 that may be padded wherever a chunk ended.
fn decode_text(body: &[u8]) -> Bytes {
    body.chunks(4).flat_map(|group| BASE64.decode(group).expect("base64")).collect()
}

fn outcome(http: u16, headers: HeaderMap, trailers: HeaderMap, messages: Vec<Value>) -> Outcome {
    let end =
        status::from_trailers(&trailers).or_else(|| status::from_trailers(&headers)).expect("a grpc-status");
    let (code, message, details) = match end {
        Ok(()) => (0, String::new(), Vec::new()),
        Err(status) => {
            let details = status::details(&status).iter().map(detail).collect();
            (status.code() as i32, status.message().to_owned(), details)
        }
    };
    Outcome { http, headers, code, message, details, messages, trailers }
}

/// The one type of detail that the tests' upstream sends, as JSON.
fn detail(any: &prost_types::Any) -> Value {
    #[derive(Clone, PartialEq, prost::Message)]
    struct ErrorInfo {
        #[prost(string, tag = "1")]
        reason: String,
        #[prost(string, tag = "2")]
        domain: String,
        #[prost(btree_map = "string, string", tag = "3")]
        metadata: std::collections::BTreeMap<String, String>,
    }
    let type_url = &any.type_url;
    if !type_url.ends_with("google.rpc.ErrorInfo") {
        return serde_json::json!({ "@type": type_url });
    }
    let info: ErrorInfo = prost::Message::decode(any.value.as_slice()).unwrap();
    serde_json::json!({
        "@type": type_url, "reason": info.reason, "domain": info.domain, "metadata": info.metadata
    })
}

/// Calls over REST. The messages are the body's JSON: one document, or a document a line for NDJSON.
pub(crate) async fn rest(address: SocketAddr, request: Request<Bytes>) -> Outcome {
    let (head, (body, _)) = http1(address, request).await.into_parts();
    let lines = head.headers.get("content-type").is_some_and(|value| value == "application/x-ndjson");
    let text = std::str::from_utf8(&body).unwrap();
    let mut documents: Vec<Value> = if lines {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    } else if text.is_empty() {
        Vec::new()
    } else {
        vec![serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))]
    };
    let mut outcome = Outcome { http: head.status.as_u16(), headers: head.headers, ..Outcome::default() };
    let failed = match documents.last() {
        Some(last) if !head.status.is_success() => Some(last.clone()),
        Some(last) if lines => last.get("error").cloned(),
        _ => None,
    };
    if let Some(failed) = failed {
        documents.pop();
        outcome.code = failed["code"].as_i64().unwrap_or(-1) as i32;
        outcome.message = failed["message"].as_str().unwrap_or_default().to_owned();
        outcome.details = failed["details"].as_array().cloned().unwrap_or_default();
    }
    outcome.messages = documents;
    outcome
}
