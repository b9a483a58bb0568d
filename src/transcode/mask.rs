//! The update mask of a PATCH whose body is one field: which fields the client sent, for a request that does not say.
//! A message is followed to its leaves; a list, a map and a well-known type are replaced whole.
//!
//! Sources: google/api/http.proto (PATCH with a field as body), google.aip.dev/134 (the implied mask),
//! google/protobuf/field_mask.proto (what a path may name).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::codec::{Codec, FieldCodec};
use super::error::{ErrorKind, TranscodeError};
use super::tables::{Form, Kind};

/// The proto paths of the fields that `json` holds, an object of the message `codec`, in the order they stand there.
/// A field that is null is among them: it is to be cleared.
pub(super) fn paths(codec: &Codec, json: &[u8]) -> Result<Vec<String>, TranscodeError> {
    let mut paths = Vec::new();
    let mut prefix = String::new();
    let mut reader = serde_json::Deserializer::from_slice(json);
    // Bodies nest at most 100 levels; they have been read once already.
    let walk = Walk { codec: codec.clone(), prefix: &mut prefix, paths: &mut paths };
    walk.deserialize(&mut reader)
        .map_err(|error| TranscodeError::of(ErrorKind::Syntax, format!("the body is not JSON: {error}")))?;
    Ok(paths)
}

/// Whether a mask goes into this field rather than naming it whole.
pub(super) fn has_parts(field: &FieldCodec) -> bool {
    !field.is_repeated()
        && !field.is_map()
        && matches!(field.kind(), Kind::Message | Kind::Group)
        && field.message().is_some_and(|message| message.table().form == Form::Object)
}

/// Reads one JSON value of the message `codec`, whose own path is `prefix`.
struct Walk<'a> {
    codec: Codec,
    prefix: &'a mut String,
    paths: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of {}", self.codec.name())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut empty = true;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            empty = false;
            // What the converter has skipped as unknown, and extensions, a mask cannot name.
            let Some(field) = self.codec.field(&key).filter(|_| !key.starts_with('[')) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let length = self.prefix.len();
            if length > 0 {
                self.prefix.push('.');
            }
            self.prefix.push_str(field.name());
            match field.message().filter(|_| has_parts(&field)) {
                Some(codec) => map.next_value_seed(Walk { codec, prefix: self.prefix, paths: self.paths })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                    self.paths.push(self.prefix.clone());
                }
            }
            self.prefix.truncate(length);
        }
        if empty && !self.prefix.is_empty() {
            self.paths.push(self.prefix.clone());
        }
        Ok(())
    }

    /// `null`: the message is to be cleared.
    fn visit_unit<E>(self) -> Result<(), E> {
        if !self.prefix.is_empty() {
            self.paths.push(self.prefix.clone());
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
