//! One binding made ready to be called: how its request becomes a message and how its messages become bodies, decided
//! once when the schema was loaded.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use tonic::Status;

use super::{
    error::{self, Errors},
    health_body::HealthBody,
};
use crate::{
    call::{HEADER_BYTES, Target},
    route::{Binding as Counted, Route},
    schema::{Binding, Body, Method},
    status::{Fault, Refusal, refuse},
    telemetry::Label,
    transcode::{
        Codec, FieldCodec, HTTP_BODY, HttpBody, JsonInput, JsonStyle, Parameter, RequestPlan, Tables,
        TranscodeError, message_in,
    },
};

/// One verb and path template of a method, ready to be called.
pub struct Endpoint {
    pub(super) binding: Binding,
    pub(super) route: Arc<Route>,
    /// What its requests are counted by.
    pub(super) counted: Arc<Counted>,
    /// How its failures are written.
    pub(super) errors: Arc<Errors>,
    plan: RequestPlan,
    /// For a stream of requests by a binding without a body: over a WebSocket its messages are whole requests.
    socket_plan: Option<RequestPlan>,
    input: JsonInput,
    style: JsonStyle,
    request: Input,
    response: Output,
}

/// How the messages of a binding look.
#[derive(Debug, Clone)]
pub struct Format {
    /// Those of its schema.
    pub tables: Arc<Tables>,
    pub style: JsonStyle,
    pub input: JsonInput,
    /// What its replies look like where that is not as their message has it.
    pub body: Option<Arc<HealthBody>>,
}

/// What a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing: path and query say it all.
    None,
    Json,
    /// Bytes for a `google.api.HttpBody`, of any content type.
    Raw,
}

/// What a reply's body is.
enum Output {
    Message(Codec),
    /// The message as the deployment has it.
    Shaped(Codec, Arc<HealthBody>),
    Field(FieldCodec),
    /// The bytes of a `google.api.HttpBody`: the whole reply, or this field of it.
    Raw(Option<FieldCodec>),
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
    /// Makes a binding ready.
    ///
    /// # Errors
    /// The binding does not fit the tables (they are of another schema).
    pub(super) fn compile(
        binding: Binding,
        route: Arc<Route>,
        format: Format,
        errors: Arc<Errors>,
    ) -> Result<Self, String> {
        let Format { tables, style, input, body } = format;
        let codec = |name: &str| {
            tables.codec(name).ok_or_else(|| format!("{binding}: the schema has no message {name}"))
        };
        let output = codec(binding.method.descriptor.output().full_name())?;
        let response = match &binding.response_body {
            None if output.name() == HTTP_BODY => Output::Raw(None),
            None => match body {
                Some(body) => Output::Shaped(output, body),
                None => Output::Message(output),
            },
            Some(field) => {
                let name = field.name();
                let field = output.field(name);
                let field =
                    field.ok_or_else(|| format!("{binding}: {} has no field {name}", output.name()))?;
                let one = !field.is_repeated() && !field.is_map();
                if one && field.message().is_some_and(|message| message.name() == HTTP_BODY) {
                    Output::Raw(Some(field))
                } else {
                    Output::Field(field)
                }
            }
        };
        let request_codec = codec(binding.method.descriptor.input().full_name())?;
        let compile = |binding: &Binding| {
            RequestPlan::compile(binding, &request_codec).map_err(|problem| problem.to_string())
        };
        let plan = compile(&binding)?;
        let request = match plan.http_body() {
            Some(_) => Input::Raw,
            None if plan.takes_body() => Input::Json,
            None => Input::None,
        };
        let socket_plan = if binding.method.client_streaming && request == Input::None {
            Some(compile(&Binding { body: Body::All, ..binding.clone() })?)
        } else {
            None
        };
        let template = binding.template.as_str().into();
        let counted = Arc::new(Counted { template, label: Label::default() });
        Ok(Self { binding, route, counted, errors, plan, socket_plan, input, style, request, response })
    }

    /// The verb and path template, with what they bind.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// How its replies are written, and what its requests may hold.
    #[must_use]
    pub fn json_settings(&self) -> (JsonStyle, JsonInput) {
        (self.style, self.input)
    }

    /// What its replies look like where that is not as their message has it.
    #[must_use]
    pub fn body(&self) -> Option<&Arc<HealthBody>> {
        match &self.response {
            Output::Shaped(_, body) => Some(body),
            Output::Message(_) | Output::Field(_) | Output::Raw(_) => None,
        }
    }

    /// Where its calls go.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    pub(super) fn method(&self) -> &Arc<Method> {
        &self.binding.method
    }

    /// What a request of it calls.
    pub(super) fn rpc(&self) -> Target {
        let method = self.method();
        Target::Rpc { path: method.path.clone(), method: Some(Arc::clone(method)) }
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

    /// What each part of a request's path and query fills.
    pub(super) fn explain(&self, head: &HeadFields) -> (Vec<Parameter>, Vec<Parameter>) {
        let query = head.query.as_deref().unwrap_or_default();
        (self.plan.explain_path(&head.captures, &self.input), self.plan.explain_query(query, &self.input))
    }

    /// Appends one frame with the message of the path, the query and a JSON body (which may be empty); `first` unless
    /// it is a later one of a stream.
    ///
    /// # Errors
    /// INVALID_ARGUMENT naming the field; 413 for a message over the route's limit.
    pub(super) fn frame_of_json(
        &self,
        first: bool,
        head: &HeadFields,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        self.frame(out, |out| {
            let HeadFields { captures, query } = head;
            self.plan.assemble_element(first, captures, query.as_deref(), Some(json), &self.input, out)
        })
    }

    /// [`Endpoint::frame_of_json`] of one WebSocket message.
    ///
    /// # Errors
    /// The same.
    pub(super) fn frame_of_socket(
        &self,
        first: bool,
        head: &HeadFields,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        let Some(plan) = &self.socket_plan else { return self.frame_of_json(first, head, json, out) };
        self.frame(out, |out| {
            // The binding without a body has its fields in the query, the plan of the messages allows none there.
            if let Some(query) = head.query.as_deref() {
                self.plan.assemble_element(first, &[], Some(query), None, &self.input, out)?;
            }
            plan.assemble_element(first, &head.captures, None, Some(json), &self.input, out)
        })
    }

    /// Appends one frame with the message of the path, the query and a body that is taken as it is.
    ///
    /// # Errors
    /// Those of [`Endpoint::frame_of_json`].
    pub(super) fn frame_of_raw(
        &self,
        first: bool,
        head: &HeadFields,
        body: &HttpBody<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        self.frame(out, |out| {
            let HeadFields { captures, query } = head;
            self.plan.assemble_http_body(first, captures, query.as_deref(), body, &self.input, out)
        })
    }

    fn frame(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), TranscodeError>,
    ) -> Result<(), Status> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let written = write(out).map_err(|problem| error::invalid(problem.field(), &problem));
        let length = out.len() - start - HEADER_BYTES;
        let limit = self.route.limits.request_bytes;
        let written = written.and_then(|()| {
            let fits = u32::try_from(length).ok().filter(|_| length <= limit);
            let message =
                || format!("the request message of {length} bytes is over the limit of {limit} bytes");
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
            Output::Shaped(codec, body) => shaped(codec, body, message, style, out),
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
        let taken = || -> Result<RawBody, TranscodeError> {
            let inner = match &self.response {
                Output::Raw(Some(field)) => message_in(message, field)?,
                Output::Raw(None) | Output::Message(_) | Output::Shaped(..) | Output::Field(_) => {
                    Cow::Borrowed(message.as_ref())
                }
            };
            let body = HttpBody::read(&inner)?;
            let data = match &inner {
                Cow::Borrowed(_) if !body.data.is_empty() => message.slice_ref(body.data),
                _ => Bytes::copy_from_slice(body.data),
            };
            Ok(RawBody { content_type: body.content_type.to_owned(), data })
        };
        taken().map_err(|problem| {
            let name = &self.method().full_name;
            Fault::upstream()
                .on(Status::internal(format!("the upstream's reply of {name} is malformed: {problem}")))
        })
    }
}

/// A message as the deployment has it.
fn shaped(
    codec: &Codec,
    body: &HealthBody,
    message: &[u8],
    style: JsonStyle,
    out: &mut Vec<u8>,
) -> Result<(), TranscodeError> {
    let mut whole = Vec::new();
    codec.to_json(message, &JsonStyle { proto_names: true, pretty: false, ..style }, &mut whole)?;
    // What was written as JSON is read as JSON; if not, it is answered as it is.
    match serde_json::from_slice(&whole) {
        Ok(value) => out.extend_from_slice(body.shape(value).to_string().as_bytes()),
        Err(_) => out.extend_from_slice(&whole),
    }
    Ok(())
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.binding.to_string()).finish()
    }
}
