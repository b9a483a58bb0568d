//! Repeated fields from JSON arrays, packed where the schema says so, and maps from JSON objects.

use std::borrow::Cow;

use super::number::exact_integer;
use super::{Parser, Result, Written};
use crate::transcode::error::{ErrorKind, TranscodeError};
use crate::transcode::keys::{Key, Keys};
use crate::transcode::tables::{Field, Kind};
use crate::transcode::wire;

impl<'a> Parser<'a, '_> {
    pub(super) fn list(&mut self, field: &'a Field, depth: u32) -> Result<()> {
        if self.peek() != b'[' {
            return Err(self.expected(format_args!("an array")));
        }
        self.at += 1;
        self.space();
        if self.takes(b"]") {
            return Ok(());
        }
        if !field.packed {
            return self.elements(field, depth);
        }
        let before = self.out.len();
        field.put_packed_tag(self.out);
        let start = wire::begin_length(self.out);
        self.elements(field, depth)?;
        if self.out.len() == start {
            self.out.truncate(before);
        } else {
            wire::end_length(self.out, start);
        }
        Ok(())
    }

    #[inline]
    fn elements(&mut self, field: &'a Field, depth: u32) -> Result<()> {
        let mut index = 0;
        loop {
            let start = self.out.len();
            if !field.packed {
                field.put_tag(self.out);
            }
            if self.peek() == b'n' && !self.null_is_value(field) {
                return Err(self.expected(format_args!("an element")).in_index(index));
            }
            if self.value(field, depth).map_err(|error| error.in_index(index))? == Written::Nothing {
                self.out.truncate(start);
            }
            index += 1;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    pub(super) fn map(&mut self, field: &'a Field, depth: u32) -> Result<()> {
        let [key_field, value_field] = &*self.tables.message(field.target).fields else { return Ok(()) };
        if self.peek() != b'{' {
            return Err(self.expected(format_args!("an object, which a map is")));
        }
        self.at += 1;
        self.space();
        if self.takes(b"}") {
            return Ok(());
        }
        let mut keys = Keys::new();
        loop {
            let before = self.out.len();
            field.put_tag(self.out);
            let start = wire::begin_length(self.out);
            key_field.put_tag(self.out);
            let key_at = self.at;
            let key = self.key()?;
            let fresh =
                self.map_key(key_field.kind, &key, key_at).map_err(|error| error.in_key(&text(&key)))?;
            let fresh = match (fresh, &key) {
                (Some(number), _) => keys.insert(Key::Number(number)),
                (None, Cow::Borrowed(text)) => keys.insert(Key::Text(text)),
                (None, Cow::Owned(text)) => keys.insert_owned(text.clone()),
            };
            if !fresh {
                return Err(duplicate_key(&key, key_at));
            }
            self.colon()?;
            value_field.put_tag(self.out);
            let written = if self.peek() == b'n' && !self.null_is_value(value_field) {
                Err(self.expected(format_args!("a map's value")))
            } else {
                self.value(value_field, depth)
            };
            if written.map_err(|error| error.in_key(&text(&key)))? == Written::Nothing {
                self.out.truncate(before);
            } else {
                wire::end_length(self.out, start);
            }
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Appends a map key; a key that is not text comes back as its 64 bits.
    #[inline]
    fn map_key(&mut self, kind: Kind, key: &[u8], key_at: usize) -> Result<Option<u64>> {
        match kind {
            Kind::String => {
                wire::put_varint(self.out, key.len() as u64);
                self.out.extend_from_slice(key);
                Ok(None)
            }
            Kind::Bool => {
                let value = match key {
                    b"true" => 1,
                    b"false" => 0,
                    _ => {
                        let sentence = format!("the key must be `true` or `false`, not `{}`", text(key));
                        return Err(TranscodeError::json(ErrorKind::Type, key_at, sentence));
                    }
                };
                self.out.push(value);
                Ok(Some(u64::from(value)))
            }
            _ => {
                let integer = exact_integer(key).map_err(|_| {
                    let sentence = format!("the key `{}` is not an integer", text(key));
                    TranscodeError::json(ErrorKind::Type, key_at, sentence)
                })?;
                self.put_integer(kind, integer).map(Some).ok_or_else(|| self.out_of_range(kind, key_at))
            }
        }
    }
}

#[cold]
pub(super) fn duplicate_key(key: &[u8], key_at: usize) -> TranscodeError {
    let key = text(key);
    TranscodeError::json(ErrorKind::Duplicate, key_at, format!("the key `{key}` is given twice")).in_key(&key)
}

pub(super) fn text(key: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(key)
}
