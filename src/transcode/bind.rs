//! A REST request as its message on the wire: the body's JSON goes through the converter, and what the path and the query
//! hold is woven beside it. All that can be decided from the binding is decided once, in a `RequestPlan`.
//!
//! Specification: google/api/http.proto, "Rules for HTTP mapping".

mod explain;

use std::borrow::Cow;

pub use self::explain::Parameter;
use super::codec::{Codec, FieldCodec, JsonInput};
use super::error::{ErrorKind, TranscodeError};
use super::http_body::{HTTP_BODY, HttpBody, is_http_body};
use super::mask;
use super::query::{put_query, refuse_query};
use super::target::Target;
use super::text::put_nested;
use super::weave::{Source, Weave};
use crate::schema::wire::put_bytes;
use crate::schema::{Binding, BindingError, Body, Verb};

/// How one binding's requests become messages.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    codec: Codec,
    /// The fields of the template's variables, in their order.
    variables: Vec<Target>,
    body: BodyPlan,
    /// The field `update_mask` to be filled in, and the body's message whose fields it names.
    mask: Option<(FieldCodec, Codec)>,
}

#[derive(Clone, Debug)]
enum BodyPlan {
    None,
    /// The request itself.
    Whole,
    Field(FieldCodec),
}

/// Where a request holds a `google.api.HttpBody`: what is sent is bytes then, of any content type, not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpBodyPlace {
    /// The request is one.
    Whole,
    /// The body's field is one.
    Field,
}

impl RequestPlan {
    /// Plans the requests of `binding`; `codec` is its method's request type. Fails only if the codec is of another type.
    pub fn compile(binding: &Binding, codec: &Codec) -> Result<Self, BindingError> {
        let fail = |reason: String| BindingError {
            method: binding.method.full_name.to_string(),
            rule: format!("{} {}", binding.verb, binding.template),
            reason,
            entry: binding.entry.clone(),
        };
        let resolve = |path: &str| Target::resolve(codec, path).map_err(|error| fail(error.to_string()));
        let variables = binding.variables.iter().map(|variable| resolve(&variable.field_path()));
        let variables = variables.collect::<Result<Vec<_>, _>>()?;
        let body = match &binding.body {
            Body::None => BodyPlan::None,
            Body::All => BodyPlan::Whole,
            Body::Field(field) => {
                let known = codec.field(field.name());
                BodyPlan::Field(
                    known.ok_or_else(|| fail(format!("{} has no field {}", codec.name(), field.name())))?,
                )
            }
        };
        let mask = match (&binding.verb, &body) {
            (Verb::Patch, BodyPlan::Field(field)) if mask::has_parts(field) && !is_http_body(field) => {
                update_mask(codec).zip(field.message())
            }
            _ => None,
        };
        Ok(Self { codec: codec.clone(), variables, body, mask })
    }

    /// Whether the body is a `google.api.HttpBody`, and where: then [`assemble_http_body`](Self::assemble_http_body) takes it.
    pub fn http_body(&self) -> Option<HttpBodyPlace> {
        match &self.body {
            BodyPlan::Whole if self.codec.name() == HTTP_BODY => Some(HttpBodyPlace::Whole),
            BodyPlan::Field(field) if is_http_body(field) => Some(HttpBodyPlace::Field),
            BodyPlan::None | BodyPlan::Whole | BodyPlan::Field(_) => None,
        }
    }

    /// Whether the binding reads a body at all.
    pub fn takes_body(&self) -> bool {
        !matches!(self.body, BodyPlan::None)
    }

    /// Appends the request's wire form to `out`: `captures` as the router found them, the query without its `?`, and the
    /// body's JSON (`None` or empty where none was sent). On an error `out` is as it was; every error is the client's.
    pub fn assemble(
        &self,
        captures: &[Cow<'_, str>],
        query: Option<&str>,
        body: Option<&[u8]>,
        input: &JsonInput,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        self.assemble_element(true, captures, query, body, input, out)
    }

    /// The same for one element of a client's stream. Path and query go into *every* element: each is a request of its
    /// own to whoever reads it, and a service that routes by `name` must find it in each. Members of oneofs go into the
    /// `first` alone: streams of the form "one config, then chunks" put the two into a oneof, where the repeated config
    /// would displace the chunk.
    pub fn assemble_element(
        &self,
        first: bool,
        captures: &[Cow<'_, str>],
        query: Option<&str>,
        body: Option<&[u8]>,
        input: &JsonInput,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        let body = body.filter(|body| !body.is_empty());
        let assembled = self
            .put_json(body, input, out)
            .and_then(|()| self.put_url(start, first, captures, query, body, input, out));
        if assembled.is_err() {
            out.truncate(start);
        }
        assembled
    }

    /// The same for a body that is no JSON but a `google.api.HttpBody`'s data (see [`http_body`](Self::http_body)), also
    /// as one element of a client's stream.
    pub fn assemble_http_body(
        &self,
        first: bool,
        captures: &[Cow<'_, str>],
        query: Option<&str>,
        body: &HttpBody<'_>,
        input: &JsonInput,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        match &self.body {
            BodyPlan::Field(field) => {
                let mut message = Vec::with_capacity(body.data.len() + body.content_type.len() + 16);
                body.write(&mut message);
                put_nested(out, field, &message);
            }
            BodyPlan::None | BodyPlan::Whole => body.write(out),
        }
        let assembled = self.put_url(start, first, captures, query, None, input, out);
        if assembled.is_err() {
            out.truncate(start);
        }
        assembled
    }

    fn put_json(
        &self,
        body: Option<&[u8]>,
        input: &JsonInput,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        match (&self.body, body) {
            (_, None) => Ok(()),
            (BodyPlan::Whole, Some(json)) => self.codec.to_wire(json, input, out),
            (BodyPlan::Field(field), Some(json)) => {
                let under = |error: TranscodeError| {
                    if error.path().starts_with(field.name()) { error } else { error.under(field.name()) }
                };
                field.to_wire(json, input, out).map_err(under)
            }
            (BodyPlan::None, Some(_)) => {
                let reason = "this method takes no body: its fields are given by the path and the query";
                Err(TranscodeError::of(ErrorKind::UnknownField, reason))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request, each used once")]
    fn put_url(
        &self,
        start: usize,
        first: bool,
        captures: &[Cow<'_, str>],
        query: Option<&str>,
        json: Option<&[u8]>,
        input: &JsonInput,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let mut weave = Weave::new(out, start, input);
        for (target, text) in self.variables.iter().zip(captures) {
            if first || !target.in_oneof() {
                weave.put(target, None, text, Source::Path)?;
            }
        }
        match (query, &self.body) {
            (None | Some(""), _) => {}
            (Some(query), BodyPlan::Whole) if !input.ignore_unknown => refuse_query(query)?,
            (Some(_), BodyPlan::Whole) => {}
            (Some(query), BodyPlan::None | BodyPlan::Field(_)) => {
                put_query(&mut weave, &self.codec, query, input, first)?;
            }
        }
        if let (Some((field, codec)), Some(json)) = (&self.mask, json)
            && !weave.has(field.number())
        {
            put_mask(field, &mask::paths(codec, json)?, out);
        }
        Ok(())
    }
}

/// The request's field `update_mask`, if it is one FieldMask.
fn update_mask(codec: &Codec) -> Option<FieldCodec> {
    let field = codec.field("update_mask").filter(|field| !field.is_repeated() && !field.is_map())?;
    let is_mask = field.message()?.name() == "google.protobuf.FieldMask";
    is_mask.then_some(field)
}

/// Appends a FieldMask; none at all for no paths, which a service would read as "nothing".
fn put_mask(field: &FieldCodec, paths: &[String], out: &mut Vec<u8>) {
    if paths.is_empty() {
        return;
    }
    let mut mask = Vec::new();
    for path in paths {
        put_bytes(&mut mask, 1, path.as_bytes());
    }
    put_nested(out, field, &mask);
}

#[cfg(test)]
mod tests;
