//! One binding made ready to be called: how its request becomes a message and how its messages become bodies, decided
//! once when the schema was loaded.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use tonic::Status;

use super::error;
use crate::{
    call::HEADER_BYTES,
    route::Route,
    schema::{
        Binding, Body, Method,
        wire::{Value, put_bytes, records},
    },
    status::{Fault, Refusal, refuse},
    transcode::{Codec, FieldCodec, JsonInput, JsonStyle, Tables, bind::RequestPlan},
};

/// A message whose content is the body itself, as it stands (google/api/httpbody.proto).
const HTTP_BODY: &str = "google.api.HttpBody";

/// One verb and path template of a method, ready to be called.
pub struct Endpoint {
    pub(super) binding: Binding,
    pub(super) route: Arc<Route>,
    /// The types that the details of this method's errors may have.
    pub(super) tables: Arc<Tables>,
    plan: RequestPlan,
    /// For a stream of requests by a binding without a body: over a WebSocket its messages are whole requests.
    socket_plan: Option<RequestPlan>,
    input: JsonInput,
    style: JsonStyle,
    request: Input,
    response: Output,
}

/// What a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing: path and query say it all.
    None,
    Json,
    /// Bytes for a `google.api.HttpBody`: the whole request, or the field of this number.
    Raw(Option<u32>),
}

/// What a reply's body is.
enum Output {
    Message(Codec),
    Field(FieldCodec),
    /// The bytes of a `google.api.HttpBody`: the whole reply, or the field of this number.
    Raw(Option<u32>),
}

/// The content of a `google.api.HttpBody`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RawBody {
    /// Empty where the message says nothing.
    pub(super) content_type: String,
    pub(super) data: Bytes,
}

/// What the head of a request says of the message: the path's captures and the query.
#[derive(Debug, Default)]
pub(super) struct HeadFields {
    pub(super) captures: Vec<Cow<'static, str>>,
    pub(super) query: Option<Box<str>>,
}

impl Endpoint {
    /// Makes a binding ready; `tables` are those of its schema.
    ///
    /// # Errors
    /// The binding does not fit the tables (they are of another schema).
    pub fn compile(
        binding: Binding,
        route: Arc<Route>,
        tables: Arc<Tables>,
        style: JsonStyle,
        input: JsonInput,
    ) -> Result<Self, String> {
        let missing = |name: &str| format!("{binding}: the schema has no message {name}");
        let is_http_body = |codec: &Codec| codec.name() == HTTP_BODY;
        let output = binding.method.descriptor.output();
        let codec = tables.codec(output.full_name()).ok_or_else(|| missing(output.full_name()))?;
        let response = match &binding.response_body {
            None if is_http_body(&codec) => Output::Raw(None),
            None => Output::Message(codec),
            Some(field) => {
                let field = codec.field(field.name()).ok_or_else(|| missing(field.full_name()))?;
                let raw = !field.is_repeated() && field.message().is_some_and(|codec| is_http_body(&codec));
                if raw { Output::Raw(Some(field.number())) } else { Output::Field(field) }
            }
        };
        let request = match &binding.body {
            Body::None => Input::None,
            Body::All if binding.method.descriptor.input().full_name() == HTTP_BODY => Input::Raw(None),
            Body::Field(field)
                if !field.is_list()
                    && field.kind().as_message().is_some_and(|message| message.full_name() == HTTP_BODY) =>
            {
                Input::Raw(Some(field.number()))
            }
            Body::All | Body::Field(_) => Input::Json,
        };
        let plan = RequestPlan::compile(&binding, &tables, input)?;
        let socket_plan = if binding.method.client_streaming && request == Input::None {
            Some(RequestPlan::compile(&Binding { body: Body::All, ..binding.clone() }, &tables, input)?)
        } else {
            None
        };
        Ok(Self { binding, route, tables, plan, socket_plan, input, style, request, response })
    }

    pub(super) fn method(&self) -> &Arc<Method> {
        &self.binding.method
    }

    pub(super) fn streaming(&self) -> bool {
        self.method().client_streaming || self.method().server_streaming
    }

    pub(super) fn request(&self) -> Input {
        self.request
    }

    /// True where the reply is a `google.api.HttpBody`, of whatever type.
    pub(super) fn replies_raw(&self) -> bool {
        matches!(self.response, Output::Raw(_))
    }

    /// Appends one frame with the message of the path, the query and a JSON body (which may be empty).
    ///
    /// # Errors
    /// INVALID_ARGUMENT naming the field; 413 for a message over the route's limit.
    pub(super) fn frame_of_json(&self, head: &HeadFields, json: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        self.frame(out, |out| self.assemble(&self.plan, head, json, out))
    }

    /// [`Endpoint::frame_of_json`] of one WebSocket message.
    ///
    /// # Errors
    /// The same.
    pub(super) fn frame_of_socket(&self, head: &HeadFields, json: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        let plan = self.socket_plan.as_ref().unwrap_or(&self.plan);
        self.frame(out, |out| self.assemble(plan, head, json, out))
    }

    /// Appends one frame with the message of the path, the query and a body that is taken as it is.
    ///
    /// # Errors
    /// Those of [`Endpoint::frame_of_json`].
    pub(super) fn frame_of_raw(
        &self,
        head: &HeadFields,
        content_type: &str,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        self.frame(out, |out| {
            self.assemble(&self.plan, head, b"", out)?;
            let mut write = |out: &mut Vec<u8>| {
                if !content_type.is_empty() {
                    put_bytes(out, 1, content_type.as_bytes());
                }
                put_bytes(out, 2, data);
            };
            match self.request {
                Input::Raw(Some(number)) => {
                    let mut body = Vec::with_capacity(data.len() + content_type.len() + 16);
                    write(&mut body);
                    put_bytes(out, number, &body);
                }
                Input::Raw(None) | Input::Json | Input::None => write(out),
            }
            Ok(())
        })
    }

    fn assemble(&self, plan: &RequestPlan, head: &HeadFields, json: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        let _ = self.input;
        plan.assemble(&head.captures, head.query.as_deref(), json, out)
            .map_err(|problem| error::invalid(problem.path(), &problem))
    }

    fn frame(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let written = write(out);
        let length = out.len() - start - HEADER_BYTES;
        let limit = self.route.limits.request_bytes;
        let written = written.and_then(|()| {
            let fits = u32::try_from(length).ok().filter(|_| length <= limit);
            let message = || format!("the request message of {length} bytes is over the limit of {limit} bytes");
            fits.ok_or_else(|| refuse(Refusal::TooLarge, message()))
        });
        match written {
            Ok(length) => {
                if let Some(space) = out.get_mut(start + 1..start + HEADER_BYTES) {
                    space.copy_from_slice(&length.to_be_bytes());
                }
                Ok(())
            }
            Err(status) => {
                out.truncate(start);
                Err(status)
            }
        }
    }

    /// Appends the JSON of a reply message; on one line if it is one of a stream.
    ///
    /// # Errors
    /// INTERNAL: the upstream's message is not what its schema says.
    pub(super) fn json(&self, message: &[u8], one_line: bool, out: &mut Vec<u8>) -> Result<(), Status> {
        let style = JsonStyle { pretty: self.style.pretty && !one_line, ..self.style };
        match &self.response {
            Output::Message(codec) => codec.to_json(message, &style, out),
            Output::Field(field) => field.to_json(message, &style, out),
            Output::Raw(_) => Ok(()),
        }
        .map_err(|problem| {
            let name = &self.method().full_name;
            let text = format!("the upstream's reply of {name} cannot be written as JSON: {problem}");
            Fault::upstream().on(Status::internal(text))
        })
    }

    /// The content of a reply that is a `google.api.HttpBody`.
    ///
    /// # Errors
    /// INTERNAL: the upstream's message is malformed.
    pub(super) fn raw(&self, message: &Bytes) -> Result<RawBody, Status> {
        let malformed = |_| {
            let name = &self.method().full_name;
            Fault::upstream().on(Status::internal(format!("the upstream's reply of {name} is malformed")))
        };
        let mut body = message.clone();
        if let Output::Raw(Some(number)) = self.response {
            body = Bytes::new();
            for record in records(message) {
                let record = record.map_err(malformed)?;
                if let (true, Value::Bytes(bytes)) = (record.number == number, record.value) {
                    body = message.slice_ref(bytes);
                }
            }
        }
        let mut raw = RawBody::default();
        for record in records(&body) {
            let record = record.map_err(malformed)?;
            match (record.number, record.value) {
                (1, Value::Bytes(bytes)) => raw.content_type = String::from_utf8_lossy(bytes).into_owned(),
                (2, Value::Bytes(bytes)) => raw.data = body.slice_ref(bytes),
                _ => {}
            }
        }
        Ok(raw)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.binding.to_string()).finish()
    }
}
