//! gRPC-Web ("gRPC Web", PROTOCOL-WEB.md of grpc): gRPC's frames in any HTTP version, binary or as base64 text, the
//! trailers as a last frame of the body. An error before the first message is a status in the response's head.
//!
//! tonic-web was considered: it is a tower layer that turns requests for tonic's own services into gRPC ones, and
//! leaves what is wrong (method, content type, base64) to an HTTP 400 or a body error. Here every refusal must be
//! answered in gRPC-Web, for any upstream, so the surface opens and closes by itself; the body adapters do its work.

mod body;
mod text;

use std::sync::Arc;

pub use body::{Base64Body, TrailersBody};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
pub use text::Decoder;
use tonic::Status;

use super::{
    Answer, Protocol, Request, Response, Surface,
    grpc::{check_codec, check_method, not_this_content_type, open_call, trailers_only},
    media_type, metadata,
};
use crate::{
    call::{Body, Call, Reply},
    route::{Route, RpcTable},
};

/// The gRPC-Web surface.
#[derive(Debug, Clone)]
pub struct GrpcWeb {
    pub table: Arc<RpcTable>,
    /// Of what finds nothing in the table.
    pub nothing: Arc<Route>,
}

/// Answers a gRPC-Web client.
#[derive(Debug)]
pub struct GrpcWebAnswer {
    form: Form,
}

/// How a response is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    text: bool,
    /// Whether the content type names protobuf, as the client's own does.
    proto: bool,
}

impl Surface for GrpcWeb {
    type Answer = GrpcWebAnswer;

    async fn open(&self, request: Request) -> (GrpcWebAnswer, Call) {
        let (parts, body) = request.into_parts();
        let named = super::content_type(&parts.headers);
        let answer = GrpcWebAnswer { form: Form::of(&parts.headers) };
        let text = check_method(&parts.method).and_then(|()| match named {
            Some((Protocol::GrpcWeb { text }, codec)) => check_codec(codec).map(|()| text),
            _ => Err(not_this_content_type(&parts.headers, "application/grpc-web")),
        });
        let (text, fits) = match text {
            Ok(text) => (text, Ok(())),
            Err(status) => (false, Err(status)),
        };
        let body = if text { Body::new(Base64Body::new(body)) } else { body };
        (answer, open_call(&self.table, &self.nothing, parts, body, Protocol::GrpcWeb { text }, fits))
    }
}

impl Answer for GrpcWebAnswer {
    async fn close(self, outcome: Result<Reply, Status>) -> Response {
        let content_type = self.form.content_type();
        match outcome {
            Ok(reply) => {
                let Reply { mut metadata, body, guards, .. } = reply;
                metadata::to_response(&mut metadata, Protocol::GrpcWeb { text: self.form.text });
                metadata.insert(CONTENT_TYPE, content_type);
                let body = TrailersBody::new(guards.into_body(body), self.form.text);
                let mut response = Response::new(Body::new(body));
                *response.headers_mut() = metadata;
                response
            }
            Err(status) => trailers_only(&status, content_type),
        }
    }
}

impl Form {
    /// The response takes the request's form, unless `Accept` names another of gRPC-Web's.
    fn of(headers: &HeaderMap) -> Self {
        let accepted =
            headers.get_all(ACCEPT).into_iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        let named = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let mut wishes = accepted.chain(named).filter_map(|value| match media_type(value.trim_ascii()) {
            Some((Protocol::GrpcWeb { text }, codec)) => Some(Self { text, proto: !codec.is_empty() }),
            _ => None,
        });
        wishes.next().unwrap_or(Self { text: false, proto: true })
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match (self.text, self.proto) {
            (false, false) => "application/grpc-web",
            (false, true) => "application/grpc-web+proto",
            (true, false) => "application/grpc-web-text",
            (true, true) => "application/grpc-web-text+proto",
        })
    }
}

#[cfg(test)]
mod tests;
