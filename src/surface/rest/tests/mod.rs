//! The REST surface over a road that answers by the name of the method: every row is a request and the exact answer.

mod bad_input;
mod replies;
mod road;
mod socket;
mod streams;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::Value;
use tokio::sync::mpsc;
use tonic::Status;

use self::road::TestRoad;
use super::{Format, Profile, Rest, RestBuilder};
use crate::{
    call::Body,
    route::{Destination, Limits, Route, router::Settings},
    schema::{Schema, bindings},
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
            let format = Format { tables, style, input: JsonInput::default(), body: None };
            builder.add(&binding, &Arc::clone(&route).into(), &format).unwrap();
        }
    }
    builder.build(Arc::default(), crate::surface::testing::nothing())
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
