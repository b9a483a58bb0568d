//! A URL's query as request fields: names are resolved exactly as in ProtoJSON (proto or JSON names), values as in
//! [`text`](super::text). What names no field is refused with the nearest name, unless the settings skip it.
//!
//! ```text
//! query     = [ parameter { "&" parameter } ]            application/x-www-form-urlencoded: "+" is a space
//! parameter = name [ "=" text ]
//! name      = field { "." field } [ "[" key "]" ]        the key for maps
//! ```

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::codec::{Codec, FieldCodec, JsonInput};
use super::error::{ErrorKind, TranscodeError};
use super::tables::Kind;
use super::target::Target;
use super::text::shown;
use super::weave::{Source, Weave};
use crate::schema::escapes_are_whole;

/// Puts the fields of `query` into `weave`; `codec` is the request's. Without `oneofs`, members of oneofs are left out.
pub(super) fn put_query(
    weave: &mut Weave<'_>,
    codec: &Codec,
    query: &str,
    input: &JsonInput,
    oneofs: bool,
) -> Result<(), TranscodeError> {
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, text) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decode(name).map_err(|reason| refuse(name, reason))?;
        let (path, key) = split_key(&name);
        let target = match Target::resolve(codec, path) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::UnknownField && input.ignore_unknown => continue,
            Err(error) => return Err(in_query(&name, &error)),
        };
        if !oneofs && target.in_oneof() {
            continue;
        }
        let mut text = decode(text).map_err(|reason| refuse(&name, reason))?;
        // Base64's standard alphabet has a "+", which a client that does not escape it sends as a space.
        if text.contains(' ') && target.leaf().is_some_and(is_bytes) {
            text = Cow::Owned(text.replace(' ', "+"));
        }
        weave.put(&target, key, &text, Source::Query)?;
    }
    Ok(())
}

/// An error that names the first parameter of a query where none is allowed.
pub(super) fn refuse_query(query: &str) -> Result<(), TranscodeError> {
    match query.split('&').find(|parameter| !parameter.is_empty()) {
        None => Ok(()),
        Some(parameter) => {
            let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
            let reason = "the whole request is in the body here; there are no query parameters";
            Err(refuse(&decode(name).unwrap_or(Cow::Borrowed(name)), reason))
        }
    }
}

fn is_bytes(field: &FieldCodec) -> bool {
    field.kind() == Kind::Bytes
        || field.message().is_some_and(|message| message.name() == "google.protobuf.BytesValue")
}

/// `labels[a.b]` as the field path and the key.
pub(super) fn split_key(name: &str) -> (&str, Option<&str>) {
    match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((path, key)) => (path, Some(key)),
        None => (name, None),
    }
}

/// A name or a value as it was meant.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    if !escapes_are_whole(text) {
        return Err("a \"%\" without two hexadecimal digits");
    }
    let spaced = text.replace('+', " ");
    let decoded: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| "its escapes are not UTF-8")
}

fn refuse(name: &str, reason: &str) -> TranscodeError {
    let message = format!("the query parameter {}: {reason}", shown(name));
    TranscodeError::of(ErrorKind::UnknownField, message).of_parameter(name)
}

/// The same fault, reported of the parameter as the client wrote it.
fn in_query(name: &str, error: &TranscodeError) -> TranscodeError {
    let reason = format!("the query parameter {}: {}", shown(name), error.message());
    TranscodeError::of(error.kind(), reason).of_parameter(name)
}
