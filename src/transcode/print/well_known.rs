//! The messages of google/protobuf that have a JSON form of their own: Any, Timestamp, Duration, FieldMask, Struct, Value,
//! ListValue and the wrappers. Source: the table in the ProtoJSON format's documentation.

use super::canonical::canonical;
use super::{Printer, Result, scalar, string};
use crate::transcode::error::TranscodeError;
use crate::transcode::tables::{Field, Form, Message};
use crate::transcode::wire::{DEPTH_LIMIT, Raw, Reader};
use crate::transcode::{casing, time};

impl<'a> Printer<'a> {
    pub(super) fn well_known(
        &mut self,
        form: Form,
        message: &'a Message,
        wire: &[u8],
        depth: u32,
    ) -> Result<()> {
        match form {
            Form::Object => self.message(message, wire, depth),
            Form::Any => self.any(wire, depth),
            Form::Timestamp => self.time(wire, time::put_timestamp),
            Form::Duration => self.time(wire, time::put_duration),
            Form::FieldMask => self.field_mask(wire),
            Form::Struct => self.structure(message, wire, depth),
            Form::Value => self.any_value(message, wire, depth),
            Form::ListValue => self.list_value(message, wire, depth),
            Form::Wrapper => self.wrapper(message, wire, depth),
        }
    }

    fn time(
        &mut self,
        wire: &[u8],
        put: fn(&mut Vec<u8>, i64, i32) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let (mut seconds, mut nanos) = (0, 0);
        let mut reader = Reader::new(wire);
        while !reader.is_empty() {
            let tag = reader.tag()?;
            match (tag >> 3, tag & 7, reader.value(tag)?) {
                (1, 0, Raw::Number(value)) => seconds = value as i64,
                (2, 0, Raw::Number(value)) => nanos = value as i32,
                _ => {}
            }
        }
        self.out.push(b'"');
        put(self.out, seconds, nanos).map_err(TranscodeError::unprintable)?;
        self.out.push(b'"');
        Ok(())
    }

    fn field_mask(&mut self, wire: &[u8]) -> Result<()> {
        self.out.push(b'"');
        let mut separator = &b""[..];
        let mut reader = Reader::new(wire);
        while !reader.is_empty() {
            let tag = reader.tag()?;
            let (1, Raw::Bytes(path)) = (tag >> 3, reader.value(tag)?) else { continue };
            self.out.extend_from_slice(separator);
            separator = b",";
            let text = simdutf8::basic::from_utf8(path).map_err(|_| string::not_utf8())?;
            let plain = !path.is_empty()
                && path.iter().all(|byte| *byte >= b' ' && !matches!(byte, b'"' | b'\\' | b','));
            if !plain || !casing::put_camel(self.out, path) {
                return Err(TranscodeError::unprintable(format!(
                    "the field mask path `{text}` has no JSON form"
                )));
            }
        }
        self.out.push(b'"');
        Ok(())
    }

    fn structure(&mut self, message: &'a Message, wire: &[u8], depth: u32) -> Result<()> {
        self.collection(message, wire, [b'{', b'}'], |printer, field, reader| {
            printer.entries(field, reader, depth)
        })
    }

    fn list_value(&mut self, message: &'a Message, wire: &[u8], depth: u32) -> Result<()> {
        self.collection(message, wire, [b'[', b']'], |printer, field, reader| {
            printer.elements(field, field.tag, reader, depth).map(|()| true)
        })
    }

    /// Prints a message whose one field is a run of records; `run` says whether it could print them as they stand.
    fn collection(
        &mut self,
        message: &'a Message,
        wire: &[u8],
        [open, close]: [u8; 2],
        run: impl FnOnce(&mut Self, &'a Field, &mut Reader<'_>) -> Result<bool>,
    ) -> Result<()> {
        let [field] = &*message.fields else { return Ok(()) };
        let ordered = if self.careful { canonical(self.tables, message, wire, None)? } else { Vec::new() };
        let mut reader = Reader::new(if self.careful { &ordered } else { wire });
        self.out.push(open);
        let start = self.out.len();
        let printed = !next_is(&mut reader, field.tag)? || run(self, field, &mut reader)?;
        // What is left after the run is either foreign or makes the run not the whole.
        if !printed || !reader.is_empty() {
            self.careful = true;
            return Err(TranscodeError::wire("the message's records are not in order"));
        }
        if self.out.len() > start {
            self.out.pop();
        }
        self.out.push(close);
        Ok(())
    }

    fn any_value(&mut self, message: &'a Message, wire: &[u8], depth: u32) -> Result<()> {
        let mut found: Option<(usize, Raw<'_>)> = None;
        let mut merged = Vec::new();
        let mut reader = Reader::new(wire);
        while !reader.is_empty() {
            let tag = reader.tag()?;
            let value = reader.value(tag)?;
            let Some(index) = message.index_of(tag >> 3).filter(|index| message.fields[*index].tag == tag)
            else {
                continue;
            };
            match (found, value) {
                (Some((before, Raw::Bytes(first))), Raw::Bytes(more)) if before == index && index >= 4 => {
                    if merged.is_empty() {
                        merged.extend_from_slice(first);
                    }
                    merged.extend_from_slice(more);
                }
                _ => merged.clear(),
            }
            found = Some((index, value));
        }
        let Some((index, value)) = found else {
            return Err(TranscodeError::unprintable("a google.protobuf.Value holds none of its kinds"));
        };
        if let (1, Raw::Number(bits)) = (index, value)
            && !f64::from_bits(bits).is_finite()
        {
            return Err(TranscodeError::unprintable(
                "a google.protobuf.Value holds a number that JSON cannot write",
            ));
        }
        let value = if merged.is_empty() { value } else { Raw::Bytes(&merged) };
        match index {
            0 => {
                self.out.extend_from_slice(b"null");
                Ok(())
            }
            // A Value and the Struct or ListValue in it are one level of JSON, so the Value's own does not count.
            _ => self.value(&message.fields[index], value, depth.saturating_sub(1)),
        }
    }

    fn wrapper(&mut self, message: &'a Message, wire: &[u8], depth: u32) -> Result<()> {
        let [field] = &*message.fields else { return Ok(()) };
        let mut found = None;
        let mut reader = Reader::new(wire);
        while !reader.is_empty() {
            let tag = reader.tag()?;
            let value = reader.value(tag)?;
            if tag == field.tag {
                found = Some(value);
            }
        }
        match found {
            Some(value) => self.value(field, value, depth),
            None => {
                self.default(field);
                Ok(())
            }
        }
    }

    fn any(&mut self, wire: &[u8], depth: u32) -> Result<()> {
        if depth + 1 >= DEPTH_LIMIT {
            return Err(TranscodeError::wire(format!("messages nest deeper than {DEPTH_LIMIT}")));
        }
        let (mut url, mut value) = (&b""[..], &b""[..]);
        let mut reader = Reader::new(wire);
        while !reader.is_empty() {
            let tag = reader.tag()?;
            match (tag >> 3, reader.value(tag)?) {
                (1, Raw::Bytes(bytes)) if tag & 7 == 2 => url = bytes,
                (2, Raw::Bytes(bytes)) if tag & 7 == 2 => value = bytes,
                _ => {}
            }
        }
        if url.is_empty() && value.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        if url.is_empty() {
            return Err(TranscodeError::unprintable("a google.protobuf.Any has a value and no type URL"));
        }
        self.out.extend_from_slice(b"{\"@type\":");
        string::put_text(self.out, url)?;
        let name = url.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let known = std::str::from_utf8(name).ok().and_then(|name| self.tables.message_named(name));
        let printed = match known {
            Some(message) if message.form == Form::Object => self.fields(message, value, depth + 1),
            Some(message) => {
                self.out.extend_from_slice(b",\"value\":");
                self.message(message, value, depth + 1)
            }
            None => {
                self.out.extend_from_slice(b",\"value\":");
                scalar::put_base64(self.out, value);
                Ok(())
            }
        };
        printed.map_err(|error| error.in_field("value"))?;
        self.out.push(b'}');
        Ok(())
    }
}

/// Reads the next tag if it is `tag`.
fn next_is(reader: &mut Reader<'_>, tag: u32) -> Result<bool> {
    let mut ahead = *reader;
    if ahead.is_empty() || ahead.tag()? != tag {
        return Ok(false);
    }
    *reader = ahead;
    Ok(true)
}
