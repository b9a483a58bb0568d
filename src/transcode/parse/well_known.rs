//! The messages of google/protobuf that have a JSON form of their own, read: Timestamp, Duration, FieldMask, Struct, Value,
//! ListValue and the wrappers. Any has a file of its own. Source: the ProtoJSON format's table.

use std::borrow::Cow;

use super::collection::{duplicate_key, text};
use super::{Parser, Result};
use crate::transcode::error::{ErrorKind, TranscodeError};
use crate::transcode::keys::{Key, Keys};
use crate::transcode::tables::{Form, Message};
use crate::transcode::wire::{DEPTH_LIMIT, begin_length, end_length, put_varint};
use crate::transcode::{casing, time};

// Tags of google/protobuf/struct.proto.
const STRUCT_FIELDS: u8 = 0x0a;
const ENTRY_KEY: u8 = 0x0a;
const ENTRY_VALUE: u8 = 0x12;
const LIST_VALUES: u8 = 0x0a;
const VALUE_NULL: u8 = 0x08;
const VALUE_NUMBER: u8 = 0x11;
const VALUE_STRING: u8 = 0x1a;
const VALUE_BOOL: u8 = 0x20;
const VALUE_STRUCT: u8 = 0x2a;
const VALUE_LIST: u8 = 0x32;

impl<'a> Parser<'a, '_> {
    pub(super) fn well_known(&mut self, form: Form, message: &'a Message, depth: u32) -> Result<()> {
        match form {
            Form::Object => self.object(message, depth, false),
            Form::Any => self.any(depth),
            Form::Timestamp => {
                self.time("a timestamp such as \"2024-05-17T08:30:00Z\"", time::parse_timestamp)
            }
            Form::Duration => self.time("a duration such as \"1.5s\"", time::parse_duration),
            Form::FieldMask => self.field_mask(),
            Form::Struct => self.structure(depth),
            Form::Value => self.any_value(depth),
            Form::ListValue => self.list_value(depth),
            Form::Wrapper => match &*message.fields {
                [field] => {
                    field.put_tag(self.out);
                    self.value(field, depth).map(|_| ())
                }
                _ => self.object(message, depth, false),
            },
        }
    }

    fn time(
        &mut self,
        expected: &str,
        parse: fn(&str) -> std::result::Result<(i64, i32), String>,
    ) -> Result<()> {
        if self.peek() != b'"' {
            return Err(self.expected(format_args!("{expected}")));
        }
        let at = self.at;
        let string = self.string()?;
        let (seconds, nanos) = parse(&text(&string)).map_err(|sentence| {
            let kind = if sentence.contains("outside") { ErrorKind::Range } else { ErrorKind::Type };
            TranscodeError::json(kind, at, sentence)
        })?;
        if seconds != 0 {
            self.out.push(0x08);
            put_varint(self.out, seconds as u64);
        }
        if nanos != 0 {
            self.out.push(0x10);
            put_varint(self.out, i64::from(nanos) as u64);
        }
        Ok(())
    }

    fn field_mask(&mut self) -> Result<()> {
        if self.peek() != b'"' {
            return Err(self.expected(format_args!("a field mask: a string of paths with commas between")));
        }
        let at = self.at;
        let paths = self.string()?;
        if paths.is_empty() {
            return Ok(());
        }
        for path in paths.split(|byte| *byte == b',') {
            self.out.push(0x0a);
            let start = begin_length(self.out);
            if path.is_empty() || !casing::put_snake(self.out, path) {
                let sentence = format!("the field mask path `{}` is not in lowerCamelCase", text(path));
                return Err(TranscodeError::json(ErrorKind::Type, at, sentence));
            }
            end_length(self.out, start);
        }
        Ok(())
    }

    fn structure(&mut self, depth: u32) -> Result<()> {
        if self.peek() != b'{' {
            return Err(self.expected(format_args!("an object")));
        }
        if depth >= DEPTH_LIMIT {
            return Err(self.too_deep());
        }
        self.at += 1;
        self.space();
        if self.takes(b"}") {
            return Ok(());
        }
        let mut keys = Keys::new();
        loop {
            let key_at = self.at;
            let key = self.key()?;
            self.out.push(STRUCT_FIELDS);
            let entry = begin_length(self.out);
            self.out.push(ENTRY_KEY);
            put_varint(self.out, key.len() as u64);
            self.out.extend_from_slice(&key);
            let fresh = match &key {
                Cow::Borrowed(text) => keys.insert(Key::Text(text)),
                Cow::Owned(text) => keys.insert_owned(text.clone()),
            };
            if !fresh {
                return Err(duplicate_key(&key, key_at));
            }
            self.colon()?;
            self.out.push(ENTRY_VALUE);
            let value = begin_length(self.out);
            self.any_value(depth + 1).map_err(|error| error.in_key(&text(&key)))?;
            end_length(self.out, value);
            end_length(self.out, entry);
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn list_value(&mut self, depth: u32) -> Result<()> {
        if self.peek() != b'[' {
            return Err(self.expected(format_args!("an array")));
        }
        if depth >= DEPTH_LIMIT {
            return Err(self.too_deep());
        }
        self.at += 1;
        self.space();
        if self.takes(b"]") {
            return Ok(());
        }
        let mut index = 0;
        loop {
            self.out.push(LIST_VALUES);
            let start = begin_length(self.out);
            self.any_value(depth + 1).map_err(|error| error.in_index(index))?;
            end_length(self.out, start);
            index += 1;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    fn any_value(&mut self, depth: u32) -> Result<()> {
        match self.peek() {
            b'n' => {
                self.literal(b"null")?;
                self.out.extend_from_slice(&[VALUE_NULL, 0]);
            }
            b't' | b'f' => {
                let value = self.boolean()?;
                self.out.extend_from_slice(&[VALUE_BOOL, u8::from(value)]);
            }
            b'"' => {
                self.out.push(VALUE_STRING);
                self.text()?;
            }
            b'{' => {
                self.out.push(VALUE_STRUCT);
                let start = begin_length(self.out);
                self.structure(depth)?;
                end_length(self.out, start);
            }
            b'[' => {
                self.out.push(VALUE_LIST);
                let start = begin_length(self.out);
                self.list_value(depth)?;
                end_length(self.out, start);
            }
            b'-' | b'0'..=b'9' => {
                let value = self.double()?;
                self.out.push(VALUE_NUMBER);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            _ => return Err(self.expected(format_args!("a value"))),
        }
        Ok(())
    }
}
