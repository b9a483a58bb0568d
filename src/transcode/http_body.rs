//! `google.api.HttpBody`: a message that stands for a body of any content type, put together from one and taken apart
//! into one. Its `extensions` are for services among themselves and never leave as HTTP.
//!
//! Specification: google/api/httpbody.proto.

use std::borrow::Cow;

use super::codec::FieldCodec;
use super::error::TranscodeError;
use crate::schema::wire::{Record, Value, put_bytes, records};

/// The message's full name.
pub const HTTP_BODY: &str = "google.api.HttpBody";

/// The parts of an `HttpBody` that make an HTTP body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpBody<'w> {
    /// `""` if the service did not say: `application/octet-stream` then.
    pub content_type: &'w str,
    /// The body's bytes.
    pub data: &'w [u8],
}

impl<'w> HttpBody<'w> {
    /// Takes an encoded `HttpBody` apart. The error is the service's fault, not the client's.
    pub fn read(message: &'w [u8]) -> Result<Self, TranscodeError> {
        let mut body = Self::default();
        for record in records(message) {
            match record.map_err(|_| TranscodeError::wire("an HttpBody is malformed on the wire"))? {
                Record { number: 1, value: Value::Bytes(content_type), .. } => {
                    body.content_type = std::str::from_utf8(content_type)
                        .map_err(|_| TranscodeError::wire("an HttpBody's content_type is not UTF-8"))?;
                }
                Record { number: 2, value: Value::Bytes(data), .. } => body.data = data,
                _ => {}
            }
        }
        Ok(body)
    }

    /// Appends the encoded `HttpBody`.
    pub fn write(&self, out: &mut Vec<u8>) {
        if !self.content_type.is_empty() {
            put_bytes(out, 1, self.content_type.as_bytes());
        }
        if !self.data.is_empty() {
            put_bytes(out, 2, self.data);
        }
    }
}

/// The encoded message in `field` of an encoded parent: a response whose `response_body` is an `HttpBody`. Empty if it is
/// absent; several occurrences add up, as protobuf says.
pub fn message_in<'w>(parent: &'w [u8], field: &FieldCodec) -> Result<Cow<'w, [u8]>, TranscodeError> {
    let mut message = Cow::Borrowed(&[][..]);
    for record in records(parent) {
        let record = record.map_err(|_| TranscodeError::wire("the message is malformed on the wire"))?;
        if let (true, Value::Bytes(part) | Value::Group(part)) =
            (record.number == field.number(), record.value)
        {
            if message.is_empty() {
                message = Cow::Borrowed(part);
            } else {
                message.to_mut().extend_from_slice(part);
            }
        }
    }
    Ok(message)
}

/// Whether `field` is one `HttpBody`.
pub(super) fn is_http_body(field: &FieldCodec) -> bool {
    !field.is_repeated()
        && !field.is_map()
        && field.message().is_some_and(|message| message.name() == HTTP_BODY)
}
