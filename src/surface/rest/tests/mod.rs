//! The REST surface over a road that answers by the name of the method: every row is a request and the exact answer.

mod bad_input;
mod replies;
mod socket;
mod streams;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use serde_json::Value;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::{Format, Profile, Rest, RestBuilder};
use crate::{
    call::{Body, Call, FrameReader, Frames, Guards, HttpStatus, Reply, Road, Target, frame},
    route::{Destination, Limits, Route, router::Settings},
    schema::{Schema, bindings},
    status::{Whose, ok_trailers, to_trailers},
    surface::{Request, Response},
    transcode::{JsonInput, JsonStyle, Tables},
};

/// The longest request message of the test's routes, in bytes.
const REQUEST_BYTES: usize = 4096;

const PROTO: &str = r#"
syntax = "proto3";
package test.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
service Notes {
  rpc Echo(Note) returns (Note) {
    option (google.api.http) = {
      post: "/v1/echo" body: "*"
      additional_bindings { get: "/v1/notes/{text}" }
      additional_bindings { get: "/v1/text/{text}" response_body: "text" }
      additional_bindings { patch: "/v1/inner/{text}" body: "inner" }
      additional_bindings { custom { kind: "PURGE" path: "/v1/echo" } }
    };
  }
  rpc Fail(Note) returns (Note) { option (google.api.http) = { get: "/v1/fail/{number}" }; }
  rpc Watch(Note) returns (stream Note) {
    option (google.api.http) = { get: "/v1/watch" additional_bindings { post: "/v1/watch" body: "*" } };
  }
  rpc Collect(stream Note) returns (Note) { option (google.api.http) = { post: "/v1/collect" body: "*" }; }
  rpc Chat(stream Note) returns (stream Note) {
    option (google.api.http) = { post: "/v1/chat/{tag}" body: "*" additional_bindings { get: "/v1/talk/{tag}" } };
  }
  rpc File(Note) returns (google.api.HttpBody) { option (google.api.http) = { get: "/v1/file/{text}" }; }
  rpc Files(Note) returns (stream google.api.HttpBody) { option (google.api.http) = { get: "/v1/files/{text}" }; }
  rpc Put(Upload) returns (Note) { option (google.api.http) = { put: "/v1/file/{text}" body: "file" }; }
  rpc Upload(stream google.api.HttpBody) returns (Note) {
    option (google.api.http) = { post: "/v1/upload" body: "*" };
  }
  rpc Plain(Note) returns (Note);
}
message Note { string text = 1; int32 number = 2; repeated string tags = 3; Note inner = 4; string tag = 5; }
message Upload { string text = 1; google.api.HttpBody file = 2; }
"#;

/// `test.v1.Note`.
#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(int32, tag = "2")]
    number: i32,
    #[prost(string, repeated, tag = "3")]
    tags: Vec<String>,
    #[prost(message, optional, boxed, tag = "4")]
    inner: Option<Box<Note>>,
    #[prost(string, tag = "5")]
    tag: String,
}

/// `google.api.HttpBody`.
#[derive(Clone, PartialEq, prost::Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes, tag = "2")]
    data: Vec<u8>,
}

/// `test.v1.Upload`.
#[derive(Clone, PartialEq, prost::Message)]
struct Upload {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(message, optional, tag = "2")]
    file: Option<HttpBody>,
}

/// The surface over [`PROTO`], with the implicit binding of `Plain`.
fn rest() -> Rest {
    rest_with(Settings::default(), JsonStyle::default())
}

fn rest_with(settings: Settings, style: JsonStyle) -> Rest {
    rest_of(settings, style, Profile::default())
}

fn rest_of(settings: Settings, style: JsonStyle, profile: Profile) -> Rest {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.proto"), PROTO).unwrap();
    let includes = [folder.path(), std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/proto"))];
    let mut compiler = protox::Compiler::new(includes).unwrap();
    compiler.include_imports(true).open_file("test.proto").unwrap();
    let schema = Schema::decode(&compiler.encode_file_descriptor_set()).unwrap();
    let tables = Tables::compile(schema.pool());
    let limits = Limits { request_bytes: REQUEST_BYTES, response_bytes: 1 << 20, ..Limits::default() };
    let route = Arc::new(Route { limits, ..Route::of("test", Destination::Local) });
    let mut builder = RestBuilder::new(settings, Arc::new(profile));
    for method in schema.methods() {
        for binding in bindings(method, &[], true).0 {
            let tables = Arc::clone(&tables);
            let format = Format { tables, style, input: JsonInput::default(), members: None };
            builder.add(&binding, &Arc::clone(&route).into(), &format).unwrap();
        }
    }
    builder.build(Arc::default(), crate::surface::testing::nothing())
}

/// Answers by the name of the method called.
struct TestRoad;

impl Road for TestRoad {
    async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        if call.metadata.contains_key("x-refuse") {
            Err(Status::unauthenticated("who are you?"))
        } else {
            Ok(())
        }
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, Status> {
        if let crate::call::Message::Settled(outcome) = call.message {
            return *outcome;
        }
        let Target::Rpc { path, .. } = &call.target else { panic!("an RPC") };
        let name = path.path().rsplit('/').next().unwrap().to_owned();
        let timeout = call.timeout;
        let mut metadata = HeaderMap::new();
        if let Some(seen) = call.metadata.get("x-seen") {
            metadata.insert("x-seen", seen.clone());
        }
        let mut requests = match call.message.frames().await? {
            Frames::Whole(bytes) => {
                FrameReader::new(bytes.into(), Whose::Client, Some(Default::default()), 1 << 20)
            }
            Frames::Stream(body) => FrameReader::new(body, Whose::Client, Some(Default::default()), 1 << 20),
        };
        match name.as_str() {
            "Collect" => {
                let mut all = Note::default();
                while let Some(message) = requests.next().await? {
                    let note = Note::decode(message).unwrap();
                    all.number += 1;
                    all.text += &note.text;
                }
                Ok(reply(metadata, vec![Ok(all.encode_to_vec())]))
            }
            "Upload" => {
                let mut all = Note::default();
                while let Some(message) = requests.next().await? {
                    let part = HttpBody::decode(message).unwrap();
                    all.number += i32::try_from(part.data.len()).unwrap();
                    if !part.content_type.is_empty() {
                        all.tags.push(part.content_type);
                    }
                }
                Ok(reply(metadata, vec![Ok(all.encode_to_vec())]))
            }
            "Chat" => {
                // A broken stream of requests is a failure of the call; its reply says so in its trailers.
                let body = stream::unfold(Some(requests), |requests| async {
                    let mut requests = requests?;
                    Some(match requests.next().await {
                        Ok(Some(message)) => {
                            let mut note = Note::decode(message).unwrap();
                            note.number += 1;
                            (framed(&note.encode_to_vec()), Some(requests))
                        }
                        Ok(None) => (Ok(Frame::trailers(trailers(Ok(())))), None),
                        Err(status) => (Ok(Frame::trailers(trailers(Err(status)))), None),
                    })
                });
                Ok(Reply {
                    metadata,
                    body: Body::new(StreamBody::new(body)),
                    http_status: None,
                    guards: Guards::default(),
                })
            }
            "Put" => {
                let upload = Upload::decode(requests.next().await?.unwrap()).unwrap();
                let file = upload.file.unwrap_or_default();
                let tags = vec![file.content_type, String::from_utf8_lossy(&file.data).into_owned()];
                Ok(reply(
                    metadata,
                    vec![Ok(Note { text: upload.text, tags, ..Note::default() }.encode_to_vec())],
                ))
            }
            _ => {
                let note = Note::decode(requests.next().await?.unwrap()).unwrap();
                answer(&name, &note, metadata, timeout)
            }
        }
    }
}

fn answer(
    name: &str,
    note: &Note,
    mut metadata: HeaderMap,
    timeout: Option<Duration>,
) -> Result<Reply, Status> {
    let raw = |content_type: &str, data: &[u8]| {
        HttpBody { content_type: content_type.into(), data: data.into() }.encode_to_vec()
    };
    match name {
        "Fail" => {
            let mut status = Status::new(Code::from_i32(note.number), "as you wish");
            status.metadata_mut().insert("www-authenticate", "Bearer".parse().unwrap());
            Err(status)
        }
        "Watch" => Ok(watch(metadata, note)),
        "File" => {
            let content_type = if note.number == 0 { "text/css" } else { "image/png" };
            Ok(reply(metadata, vec![Ok(raw(content_type, note.text.as_bytes()))]))
        }
        "Files" => {
            let mut messages =
                vec![Ok(raw("text/csv", b"a,")), Ok(raw("ignored/later", note.text.as_bytes()))];
            if note.text == "torn" {
                messages.push(Err(Status::data_loss("torn")));
            }
            Ok(reply(metadata, messages))
        }
        _ => {
            if let Some(timeout) = timeout {
                metadata
                    .insert("x-timeout-ms", HeaderValue::from(u64::try_from(timeout.as_millis()).unwrap()));
            }
            let mut reply = match note.text.as_str() {
                "two" => reply(metadata, vec![Ok(Vec::new()), Ok(Vec::new())]),
                "none" => reply(metadata, vec![]),
                "bad wire" => reply(metadata, vec![Ok(vec![0xff])]),
                "late failure" => reply(metadata, vec![Ok(Vec::new()), Err(Status::aborted("too late"))]),
                _ => reply(metadata, vec![Ok(note.encode_to_vec())]),
            };
            if note.text == "no status" {
                reply.body = Body::from(framed(&note.encode_to_vec()).unwrap().into_data().unwrap());
            }
            reply.http_status = match note.number {
                400.. => Some(HttpStatus(StatusCode::from_u16(note.number as u16).unwrap())),
                _ => None,
            };
            Ok(reply)
        }
    }
}

/// `number` messages, then what `text` says: `torn` fails, `slow` waits before every message and at the end.
fn watch(metadata: HeaderMap, note: &Note) -> Reply {
    let (text, slow) = (note.text.clone(), note.text.starts_with("slow"));
    let messages = (1..=note.number).map(|number| Ok(Note { number, ..Note::default() }.encode_to_vec()));
    let mut messages: Vec<Result<Vec<u8>, Status>> = messages.collect();
    if text.ends_with("torn") {
        messages.push(Err(Status::data_loss("torn")));
    } else if text == "bad wire" {
        messages.push(Ok(vec![0xff]));
    }
    let reply = reply(metadata, messages);
    if !slow {
        return reply;
    }
    let frames = http_body_util::BodyStream::new(reply.body);
    let slowly = frames.then(|frame| async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        frame
    });
    Reply { body: Body::new(StreamBody::new(slowly)), ..reply }
}

fn trailers(outcome: Result<(), Status>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    match outcome {
        Ok(()) => trailers = ok_trailers(),
        Err(status) => to_trailers(&status, &mut trailers),
    }
    trailers.insert("x-trailer", HeaderValue::from_static("at the end"));
    trailers.insert("x-seen", HeaderValue::from_static("twice"));
    trailers
}

fn framed(message: &[u8]) -> Result<Frame<Bytes>, Status> {
    frame(|out| {
        out.extend_from_slice(message);
        Ok(())
    })
    .map(Frame::data)
}

/// A reply of these messages; an error ends it.
fn reply(metadata: HeaderMap, messages: Vec<Result<Vec<u8>, Status>>) -> Reply {
    let mut outcome = Ok(());
    let mut frames: Vec<Result<Frame<Bytes>, Status>> = Vec::new();
    for message in messages {
        match message {
            Ok(message) => frames.push(framed(&message)),
            Err(status) => outcome = Err(status),
        }
    }
    frames.push(Ok(Frame::trailers(trailers(outcome))));
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    Reply { metadata, body, http_status: None, guards: Guards::default() }
}

/// A request to the test's surface.
struct Sent {
    request: http::request::Builder,
    body: Body,
}

fn send(method: &str, uri: &str) -> Sent {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Sent { request: http::Request::builder().method(method).uri(uri), body: Body::empty() }
}

impl Sent {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body.to_owned())
    }

    fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    async fn response(self, rest: &Rest) -> Response {
        let request: Request = self.request.body(self.body).unwrap();
        rest.serve(&Arc::new(TestRoad), request).await
    }

    async fn got(self, rest: &Rest) -> Got {
        let (head, body) = self.response(rest).await.into_parts();
        let collected = body.collect().await;
        let broken = collected.as_ref().err().map(ToString::to_string);
        let body = collected.map(|body| body.to_bytes()).unwrap_or_default();
        Got { status: head.status.as_u16(), headers: head.headers, body, broken }
    }
}

/// What a client got.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    broken: Option<String>,
}

impl Got {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A body that is sent piece by piece.
fn pieces() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let frames = stream::poll_fn(move |cx| {
        receiver
            .poll_recv(cx)
            .map(|piece: Option<Bytes>| piece.map(|piece| Ok::<_, Status>(Frame::data(piece))))
    });
    (sender, Body::new(StreamBody::new(frames)))
}
