//! A road for the surfaces' tests: one service, `pkg.Library`, whose every method answers in a way of its own, and the table
//! that leads to it. Stands in for policies and dispatch; what it does to a request body, dispatch does too.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, request::Builder};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message as _;
use prost_types::{
    DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tonic::{Code, Status, metadata::MetadataMap};

use super::{Request, Response, Surface, serve};
use crate::{
    call::{Body, Call, Guards, Message, Reply, Road, Target, status_of},
    route::{Destination, Limits, Route, RpcTable},
    schema::Schema,
    status::{Whose, ok_trailers, to_trailers},
};

/// The longest request message of the test's routes.
pub(crate) const REQUEST_BYTES: usize = 64;

/// Routes to `pkg.Library` with its schema, to `bare.Service` without.
pub(crate) fn table() -> Arc<RpcTable> {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(".pkg.Book".into()),
        output_type: Some(".pkg.Book".into()),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("library.proto".into()),
        package: Some("pkg".into()),
        syntax: Some("proto3".into()),
        message_type: vec![DescriptorProto { name: Some("Book".into()), ..Default::default() }],
        service: vec![ServiceDescriptorProto {
            name: Some("Library".into()),
            method: ["Echo", "Fail", "FailLate", "Watch", "Empty", "Broken"].map(method).into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let schema = Schema::decode(&FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap();
    let limits = Limits { request_bytes: REQUEST_BYTES, response_bytes: 1000, ..Limits::default() };
    let route = Arc::new(Route { limits, ..Route::of("test", Destination::Local) });
    let mut table = RpcTable::default();
    for method in schema.methods() {
        assert!(table.insert_method(Arc::clone(method), Arc::clone(&route)));
    }
    table.insert_services("bare.Service", route);
    Arc::new(table)
}

/// The route of what has none in [`table`].
pub(crate) fn nothing() -> Arc<Route> {
    Arc::new(Route::of("*", Destination::Nothing))
}

/// Answers by the name of the method called.
pub(crate) struct TestRoad;

impl Road for TestRoad {
    async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        match call.metadata.contains_key("x-refuse") {
            true => Err(Status::unauthenticated("who are you?")),
            false => Ok(()),
        }
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, Status> {
        if let Message::Settled(outcome) = call.message {
            return *outcome;
        }
        let Target::Rpc { path, .. } = &call.target else { panic!("an RPC") };
        let message = |text: &str| Ok::<_, Status>(Frame::data(framed(0, text.as_bytes()).into()));
        let reply = |metadata, body| {
            Ok(Reply { metadata, body, http_status: None, attempts: 0, guards: Guards::default() })
        };
        match path.path().rsplit('/').next().unwrap() {
            "Fail" => {
                let mut metadata = MetadataMap::new();
                metadata.insert("x-why", "because".parse().unwrap());
                let details = Bytes::from_static(b"\x08\x05");
                Err(Status::with_details_and_metadata(Code::NotFound, "no 100% ä", details, metadata))
            }
            "FailLate" => {
                let mut trailers = HeaderMap::new();
                to_trailers(&Status::data_loss("gone"), &mut trailers);
                let frames = stream::iter([message("one"), Ok(Frame::trailers(trailers))]);
                reply(HeaderMap::new(), Body::new(StreamBody::new(frames)))
            }
            // One message, and then nothing for ever.
            "Watch" => {
                let frames = stream::iter([message("one")]).chain(stream::pending());
                reply(HeaderMap::new(), Body::new(StreamBody::new(frames)))
            }
            // A trailers-only reply that went well.
            "Empty" => reply(ok_trailers(), Body::empty()),
            "Broken" => {
                let frames = stream::iter([message("one"), Err(Status::internal("cut"))]);
                reply(HeaderMap::new(), Body::new(StreamBody::new(frames)))
            }
            // Echo: the request's frames, metadata and timeout.
            _ => {
                let mut metadata = call.metadata;
                if let Some(timeout) = call.timeout {
                    metadata.insert("x-timeout", HeaderValue::try_from(format!("{timeout:?}")).unwrap());
                }
                let body = Body::from(call.message.frames().await?);
                let frames =
                    body.collect().await.map_err(|error| status_of(error, Whose::Client))?.to_bytes();
                let mut trailers = ok_trailers();
                trailers.insert("x-trailer-bin", HeaderValue::from_static("AAE"));
                let frames =
                    stream::iter([Ok::<_, Status>(Frame::data(frames)), Ok(Frame::trailers(trailers))]);
                reply(metadata, Body::new(StreamBody::new(frames)))
            }
        }
    }
}

/// One frame.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![flag];
    out.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// A body that comes in pieces of `chunk` bytes.
pub(crate) fn pieces(bytes: &[u8], chunk: usize) -> Body {
    let pieces: Vec<_> =
        bytes.chunks(chunk).map(|piece| Ok::<_, Status>(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(stream::iter(pieces))
}

pub(crate) fn with_headers(mut request: Builder, headers: &[(&str, &str)]) -> Builder {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

/// What a client sees of a response.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) http: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Seen {
    /// The status in the head, as `code message`.
    pub(crate) fn head_status(&self) -> String {
        status_line(&self.headers)
    }
}

/// A status in headers or trailers, as `code message`.
pub(crate) fn status_line(headers: &HeaderMap) -> String {
    let text = |name: &str| {
        let name = HeaderName::try_from(name).unwrap();
        headers.get(name).map_or_else(|| "-".into(), |value| value.to_str().unwrap().to_owned())
    };
    format!("{} {}", text("grpc-status"), text("grpc-message"))
}

/// Sends a request down the test's road and reads all of the response.
pub(crate) async fn send(surface: &impl Surface, request: Request) -> Seen {
    let response: Response = serve(surface, &TestRoad, request).await;
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Seen { http: parts.status.as_u16(), headers: parts.headers, body: collected.to_bytes(), trailers }
}
