//! Repeated and map fields as JSON arrays and objects: a run of records of one field, packed or not.

use super::canonical::{key_of, known, packed_run};
use super::{Printer, Result, scalar, string};
use crate::transcode::keys::Keys;
use crate::transcode::tables::{Field, Kind, Message};
use crate::transcode::wire::{FIXED32, FIXED64, Raw, Reader};

impl<'a> Printer<'a> {
    /// Prints the run of records that `reader` stands in; the first one's tag has been read.
    pub(super) fn list(
        &mut self,
        field: &'a Field,
        tag: u32,
        reader: &mut Reader<'_>,
        depth: u32,
    ) -> Result<()> {
        let start = self.out.len();
        field.keys[self.spelling].put(self.out);
        self.out.push(b'[');
        let elements = self.out.len();
        self.elements(field, tag, reader, depth).map_err(|error| error.in_field(&field.name))?;
        if self.out.len() == elements && !self.defaults {
            // An empty packed run, or nothing but numbers foreign to a closed enum: the field is absent.
            self.out.truncate(start);
            return Ok(());
        }
        if self.out.len() > elements {
            self.out.pop();
        }
        self.out.push(b']');
        Ok(())
    }

    /// Prints the elements, a comma after each.
    pub(super) fn elements(
        &mut self,
        field: &'a Field,
        tag: u32,
        reader: &mut Reader<'_>,
        depth: u32,
    ) -> Result<()> {
        let mut tag = tag;
        let mut index = 0;
        loop {
            if tag == field.tag {
                let value = reader.value(tag)?;
                self.element(field, value, &mut index, depth)?;
            } else {
                let mut run = Reader::new(reader.bytes()?);
                while !run.is_empty() {
                    let value = match field.kind.wire_type() {
                        FIXED64 => run.fixed64(),
                        FIXED32 => run.fixed32().map(u64::from),
                        _ => run.varint(),
                    };
                    let value = value?;
                    self.element(field, Raw::Number(value), &mut index, depth)?;
                }
            }
            // The run goes on as long as the next record is this field's; a reader is two words to copy.
            let mut ahead = *reader;
            if ahead.is_empty() {
                return Ok(());
            }
            tag = ahead.tag()?;
            if tag != field.tag && !packed_run(field, tag) {
                return Ok(());
            }
            *reader = ahead;
        }
    }

    #[inline]
    fn element(&mut self, field: &'a Field, value: Raw<'_>, index: &mut usize, depth: u32) -> Result<()> {
        if let Raw::Number(number) = value
            && field.closed
            && !known(self.tables.enumeration(field.target), number)
        {
            return Ok(());
        }
        self.value(field, value, depth).map_err(|error| error.in_index(*index))?;
        self.out.push(b',');
        *index += 1;
        Ok(())
    }

    /// Prints the run of entries that `reader` stands in, the first one's tag read; false when a key comes twice.
    pub(super) fn map(&mut self, field: &'a Field, reader: &mut Reader<'_>, depth: u32) -> Result<bool> {
        let start = self.out.len();
        field.keys[self.spelling].put(self.out);
        self.out.push(b'{');
        let entries = self.out.len();
        if !self.entries(field, reader, depth).map_err(|error| error.in_field(&field.name))? {
            return Ok(false);
        }
        if self.out.len() == entries && !self.defaults {
            self.out.truncate(start);
            return Ok(true);
        }
        if self.out.len() > entries {
            self.out.pop();
        }
        self.out.push(b'}');
        Ok(true)
    }

    /// Prints the entries, a comma after each; false when a key comes twice.
    pub(super) fn entries(&mut self, field: &'a Field, reader: &mut Reader<'_>, depth: u32) -> Result<bool> {
        let entry = self.tables.message(field.target);
        let mut keys = Keys::new();
        loop {
            let bytes = reader.bytes()?;
            if !self.entry(entry, bytes, &mut keys, depth)? {
                return Ok(false);
            }
            let mut ahead = *reader;
            if ahead.is_empty() || ahead.tag()? != field.tag {
                return Ok(true);
            }
            *reader = ahead;
        }
    }

    fn entry<'w>(
        &mut self,
        entry: &'a Message,
        bytes: &'w [u8],
        keys: &mut Keys<'w>,
        depth: u32,
    ) -> Result<bool> {
        let [key_field, value_field] = &*entry.fields else { return Ok(true) };
        let text_key = key_field.kind == Kind::String;
        let mut key = if text_key { Raw::Bytes(&[]) } else { Raw::Number(0) };
        let mut value = None;
        let mut merged = Vec::new();
        let mut reader = Reader::new(bytes);
        let mut read = || -> Result<()> {
            while !reader.is_empty() {
                let tag = reader.tag()?;
                let record = reader.value(tag)?;
                if tag == key_field.tag {
                    key = record;
                } else if tag == value_field.tag {
                    if let (Some(Raw::Bytes(before)), Raw::Bytes(more)) = (value, record)
                        && value_field.kind == Kind::Message
                    {
                        // A message given twice within one entry merges, like any other.
                        if merged.is_empty() {
                            merged.extend_from_slice(before);
                        }
                        merged.extend_from_slice(more);
                    }
                    value = Some(record);
                }
            }
            Ok(())
        };
        read()?;
        if !keys.insert(key_of(key_field.kind, key)) {
            return Ok(false);
        }
        let value = match value {
            Some(_) if !merged.is_empty() => Raw::Bytes(&merged),
            Some(value) => value,
            None if matches!(value_field.kind, Kind::String | Kind::Bytes | Kind::Message) => Raw::Bytes(&[]),
            None => Raw::Number(u64::from(value_field.default.1 as u32)),
        };
        if let Raw::Number(number) = value
            && value_field.closed
            && !known(self.tables.enumeration(value_field.target), number)
        {
            return Ok(true);
        }
        let start = self.out.len();
        self.map_key(key_field, key)?;
        let value_start = self.out.len();
        self.out.push(b':');
        self.value(value_field, value, depth).map_err(|error| {
            let key = self.out.get(start..value_start).unwrap_or_default();
            let key = serde_json::from_slice::<String>(key).unwrap_or_default();
            error.in_key(&key)
        })?;
        self.out.push(b',');
        Ok(true)
    }

    /// Prints a key, which JSON wants to be a string whatever its type.
    fn map_key(&mut self, field: &'a Field, key: Raw<'_>) -> Result<()> {
        match (field.kind, key) {
            (_, Raw::Bytes(bytes)) => string::put_text(self.out, bytes)?,
            (
                Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64,
                Raw::Number(number),
            ) => {
                self.number(field, number);
            }
            (Kind::Bool, Raw::Number(number)) => {
                self.out.extend_from_slice(if number != 0 { b"\"true\"" } else { b"\"false\"" });
            }
            (Kind::Uint32 | Kind::Fixed32, Raw::Number(number)) => {
                scalar::put_quoted_u64(self.out, number & 0xffff_ffff)
            }
            (_, Raw::Number(number)) => {
                self.out.push(b'"');
                self.number(field, number);
                self.out.push(b'"');
            }
        }
        Ok(())
    }
}
