//! What the REST surface makes of a request's head: the binding it finds, what each part of path and query fills, and
//! what else would have been near. It asks the router and the plans that serve.

use std::sync::Arc;

use http::request::Parts;

use super::{
    Rest,
    endpoint::{Endpoint, HeadFields, Input},
    negotiate,
    paths::{Found, Socket},
};
use crate::{
    call::Body,
    proto::gateway_v1::{ExplainedBinding, ExplainedParameter, NearMiss, SegmentMatch},
    route::{Route, router},
    schema::{self, Method as RpcMethod},
    transcode::Parameter,
};

/// What a request's head finds.
#[derive(Debug)]
pub struct Explained {
    pub method: Arc<RpcMethod>,
    pub route: Arc<Route>,
    pub binding: ExplainedBinding,
}

impl Rest {
    /// The binding that a request finds; `socket` where it asks for a WebSocket. `None` where it finds nothing, or what
    /// answers HTTP itself.
    #[must_use]
    pub fn explain(&self, parts: &Parts, body: &Body, socket: bool) -> Option<Explained> {
        let by_socket = socket.then(|| self.paths.socket(&parts.uri, &parts.headers));
        let (endpoint, head) = match by_socket {
            Some(Ok(Socket::Method(endpoint, head))) => (endpoint, head),
            Some(Ok(Socket::Upstream | Socket::Nothing) | Err(_)) | None => {
                match self.paths.look_up(&parts.method, &parts.uri, &parts.headers) {
                    Ok(Found::Method(endpoint, head)) => (endpoint, head),
                    Ok(Found::Http(..)) | Err(_) => return None,
                }
            }
        };
        let answers = match negotiate(&endpoint, &parts.headers, body) {
            _ if socket && endpoint.streaming() => "websocket".to_owned(),
            Ok(_) if endpoint.replies_raw() => "the reply's own".to_owned(),
            Ok((form, ..)) => form.media_type().to_owned(),
            Err(_) => String::new(),
        };
        Some(Explained {
            method: Arc::clone(endpoint.method()),
            route: Arc::clone(&endpoint.route),
            binding: binding(&endpoint, &head, answers),
        })
    }

    /// At most `most` bindings, pages and methods near to a request that finds nothing, the nearest first.
    #[must_use]
    pub fn near(&self, parts: &Parts, most: usize) -> Vec<NearMiss> {
        let uri = &parts.uri;
        let mut near = Vec::new();
        if let Some((_, known)) = self.paths.methods.known(uri.path())
            && (known.is_some() || uri.path().contains('.'))
        {
            near.push(NearMiss {
                surface: "grpc".to_owned(),
                verb: "POST".to_owned(),
                path: uri.path().to_owned(),
                method: known.map(|method| method.full_name.to_string()).unwrap_or_default(),
                why: "it is served as gRPC: a POST with content-type application/grpc over HTTP/2, or \
                      application/grpc-web"
                    .to_owned(),
                segments: Vec::new(),
            });
        }
        near.extend(self.paths.near(parts, most).into_iter().map(near_miss));
        near.truncate(most);
        near
    }
}

fn binding(endpoint: &Endpoint, head: &HeadFields, answers: String) -> ExplainedBinding {
    let binding = &endpoint.binding;
    let (path, query) = endpoint.explain(head);
    ExplainedBinding {
        verb: binding.verb.as_str().to_owned(),
        template: binding.template.as_str().to_owned(),
        path: path.into_iter().map(parameter).collect(),
        query: query.into_iter().map(parameter).collect(),
        body: match endpoint.request() {
            Input::None => "none",
            Input::Json => "json",
            Input::Raw => "raw",
        }
        .to_owned(),
        body_field: match &binding.body {
            schema::Body::None => String::new(),
            schema::Body::All => "*".to_owned(),
            schema::Body::Field(field) => field.name().to_owned(),
        },
        response_field: binding
            .response_body
            .as_ref()
            .map(|field| field.name().to_owned())
            .unwrap_or_default(),
        answers,
    }
}

fn parameter(parameter: Parameter) -> ExplainedParameter {
    let Parameter { name, value, field, type_name, problem } = parameter;
    ExplainedParameter { name, value, field, r#type: type_name, problem: problem.unwrap_or_default() }
}

fn near_miss(near: router::Near) -> NearMiss {
    let segments = near.pieces.into_iter().map(|piece| SegmentMatch {
        wanted: piece.wanted.unwrap_or_default(),
        got: piece.got.unwrap_or_default(),
        fits: piece.fits,
    });
    NearMiss {
        surface: "rest".to_owned(),
        verb: near.verb,
        path: near.template,
        method: near.label,
        why: near.why,
        segments: segments.collect(),
    }
}
