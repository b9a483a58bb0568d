//! Protobuf wire → ProtoJSON in one pass. Records are expected in the order of their field numbers, as every encoder
//! writes them; a message that comes otherwise is put into that order first (`canonical`) and then printed the same way.

mod canonical;
mod list;
mod pretty;
pub(super) mod scalar;
pub(super) mod string;
mod well_known;

pub(super) use pretty::indent;

use self::canonical::{canonical, known, narrow};
use super::error::TranscodeError;
use super::tables::{Field, Form, Kind, Label, Message, NONE, Tables};
use super::wire::{DEPTH_LIMIT, Raw, Reader, unzigzag};
use super::{JsonStyle, TranscodeError as Error};

type Result<T> = std::result::Result<T, TranscodeError>;

/// Prints messages of one pool in one style.
pub(super) struct Printer<'a> {
    tables: &'a Tables,
    out: &'a mut Vec<u8>,
    /// Which of a field's rendered keys: 0 its JSON name, 1 its proto name.
    spelling: usize,
    defaults: bool,
    enum_numbers: bool,
    /// Set by the first message whose records are not in order. From then on each message is looked through before it is
    /// printed: to print first and find out later would double the work at every level of nesting.
    careful: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(tables: &'a Tables, style: &JsonStyle, out: &'a mut Vec<u8>) -> Printer<'a> {
        let spelling = usize::from(style.proto_names);
        Printer {
            tables,
            out,
            spelling,
            defaults: style.defaults,
            enum_numbers: style.enum_numbers,
            careful: false,
        }
    }

    /// Prints the whole of a message: in the hope of good order first, from the start with care when that was vain.
    pub(super) fn document(&mut self, message: &'a Message, wire: &[u8]) -> Result<()> {
        self.attempt(|printer| printer.message(message, wire, 0))
    }

    fn attempt(&mut self, print: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        let start = self.out.len();
        let printed = print(self);
        if printed.is_err() && self.careful {
            self.out.truncate(start);
            return print(self);
        }
        printed
    }

    /// Prints one message, whatever its JSON form.
    fn message(&mut self, message: &'a Message, wire: &[u8], depth: u32) -> Result<()> {
        if depth >= DEPTH_LIMIT {
            return Err(Error::wire(format!("messages nest deeper than {DEPTH_LIMIT}")));
        }
        match message.form {
            Form::Object => {
                let start = self.out.len();
                self.fields(message, wire, depth)?;
                // Every key is printed with a comma before it; the first one's place is the brace's.
                match self.out.get_mut(start) {
                    Some(comma) => *comma = b'{',
                    None => self.out.push(b'{'),
                }
                self.out.push(b'}');
                Ok(())
            }
            form => self.well_known(form, message, wire, depth),
        }
    }

    /// Prints a message's fields without the braces, a comma before each.
    fn fields(&mut self, message: &'a Message, wire: &[u8], depth: u32) -> Result<()> {
        if self.careful && !canonical::in_order(self.tables, message, wire)? {
            let ordered = canonical(self.tables, message, wire, None)?;
            if self.fields_in_order(message, &ordered, depth)? {
                return Ok(());
            }
        } else if self.fields_in_order(message, wire, depth)? {
            return Ok(());
        }
        self.careful = true;
        Err(Error::wire("the message's records are not in order"))
    }

    /// As `fields`; false when the records are not in canonical order (what has been written by then is void).
    fn fields_in_order(&mut self, message: &'a Message, wire: &[u8], depth: u32) -> Result<bool> {
        let mut reader = Reader::new(wire);
        // The lowest field that may still come, and the oneofs that have a member already.
        let (mut next, mut oneofs) = (0, 0u64);
        while !reader.is_empty() {
            let tag = reader.tag()?;
            // Most often it is the field after the last one.
            let index = match message.fields.get(next) {
                Some(field) if field.tag == tag => Some(next),
                _ => message.index_of(tag >> 3),
            };
            let Some(index) = index else {
                reader.value(tag)?;
                continue;
            };
            let field = &message.fields[index];
            if tag != field.tag && !canonical::packed_run(field, tag) {
                reader.value(tag)?;
                continue;
            }
            if field.closed && field.label == Label::Singular && !self.closed_enum_knows(field, reader)? {
                reader.value(tag)?;
                continue;
            }
            if index < next {
                return Ok(false);
            }
            if self.defaults {
                self.absent(&message.fields[next..index]);
            }
            next = index + 1;
            match field.label {
                Label::Singular => {
                    if field.oneof != NONE {
                        let bit = 1u64.checked_shl(u32::from(field.oneof)).unwrap_or(0);
                        if bit == 0 || oneofs & bit != 0 {
                            // More than 64 oneofs are not worth a longer set: one with two members needs the other path.
                            if bit != 0 || several_members(message, wire)? {
                                return Ok(false);
                            }
                        }
                        oneofs |= bit;
                    }
                    let value = reader.value(tag)?;
                    self.singular(field, value, depth).map_err(|error| error.in_field(&field.name))?;
                }
                Label::Repeated => self.list(field, tag, &mut reader, depth)?,
                Label::Map => {
                    if !self.map(field, &mut reader, depth)? {
                        return Ok(false);
                    }
                }
            }
        }
        if self.defaults {
            self.absent(&message.fields[next..]);
        }
        Ok(true)
    }

    fn closed_enum_knows(&self, field: &Field, mut reader: Reader<'_>) -> Result<bool> {
        Ok(known(self.tables.enumeration(field.target), reader.varint()?))
    }

    /// Prints the defaults of absent fields that have no presence.
    fn absent(&mut self, fields: &'a [Field]) {
        for field in fields.iter().filter(|field| !field.presence && !field.extension) {
            field.keys[self.spelling].put(self.out);
            self.default(field);
        }
    }

    /// Prints what an absent field reads as.
    pub(super) fn default(&mut self, field: &Field) {
        let (json, number) = &field.default;
        if self.enum_numbers
            && field.kind == Kind::Enum
            && field.label == Label::Singular
            && **json != *b"null"
        {
            scalar::put_i32(self.out, *number);
        } else {
            self.out.extend_from_slice(json);
        }
    }

    #[inline]
    fn singular(&mut self, field: &'a Field, value: Raw<'_>, depth: u32) -> Result<()> {
        if !field.presence {
            let zero = match value {
                Raw::Number(number) => narrow(field.kind, number) == 0,
                Raw::Bytes(bytes) => bytes.is_empty(),
            };
            if zero {
                if self.defaults {
                    field.keys[self.spelling].put(self.out);
                    self.default(field);
                }
                return Ok(());
            }
        }
        field.keys[self.spelling].put(self.out);
        self.value(field, value, depth)
    }

    /// Prints one value of a field's type.
    #[inline]
    fn value(&mut self, field: &'a Field, value: Raw<'_>, depth: u32) -> Result<()> {
        match value {
            Raw::Number(number) => {
                self.number(field, number);
                Ok(())
            }
            Raw::Bytes(bytes) => match field.kind {
                Kind::String => string::put_text(self.out, bytes),
                Kind::Bytes => {
                    scalar::put_base64(self.out, bytes);
                    Ok(())
                }
                _ => self.message(self.tables.message(field.target), bytes, depth + 1),
            },
        }
    }

    #[inline]
    fn number(&mut self, field: &Field, number: u64) {
        match field.kind {
            Kind::Int32 | Kind::Sfixed32 => scalar::put_i32(self.out, number as i32),
            Kind::Uint32 | Kind::Fixed32 => scalar::put_u64(self.out, number & 0xffff_ffff),
            Kind::Sint32 => scalar::put_i32(self.out, unzigzag(number & 0xffff_ffff) as i32),
            Kind::Int64 | Kind::Sfixed64 => scalar::put_quoted_i64(self.out, number as i64),
            Kind::Uint64 | Kind::Fixed64 => scalar::put_quoted_u64(self.out, number),
            Kind::Sint64 => scalar::put_quoted_i64(self.out, unzigzag(number)),
            Kind::Double => scalar::put_f64(self.out, f64::from_bits(number)),
            Kind::Float => scalar::put_f32(self.out, f32::from_bits(number as u32)),
            Kind::Bool => self.out.extend_from_slice(if number != 0 { b"true" } else { b"false" }),
            Kind::Enum => self.enumeration(field, number as i32),
            // The wire type of these is never a number's.
            Kind::String | Kind::Bytes | Kind::Message | Kind::Group => {}
        }
    }

    fn enumeration(&mut self, field: &Field, number: i32) {
        let each = self.tables.enumeration(field.target);
        match each.quoted_name(number) {
            _ if each.null => self.out.extend_from_slice(b"null"),
            Some(name) if !self.enum_numbers => self.out.extend_from_slice(name),
            _ => scalar::put_i32(self.out, number),
        }
    }

    /// Prints the value of one field out of its parent's wire, or what its absence reads as.
    pub(super) fn field(&mut self, message: &'a Message, index: usize, wire: &[u8]) -> Result<()> {
        self.attempt(|printer| printer.field_value(message, index, wire))
    }

    fn field_value(&mut self, message: &'a Message, index: usize, wire: &[u8]) -> Result<()> {
        let field = &message.fields[index];
        let ordered = canonical(self.tables, message, wire, Some(index))?;
        let start = self.out.len();
        let mut reader = Reader::new(&ordered);
        if !reader.is_empty() {
            let tag = reader.tag()?;
            match field.label {
                Label::Singular => {
                    let value = reader.value(tag)?;
                    self.singular(field, value, 0).map_err(|error| error.in_field(&field.name))?;
                }
                Label::Repeated => self.list(field, tag, &mut reader, 0)?,
                Label::Map => {
                    self.map(field, &mut reader, 0)?;
                }
            }
        }
        if self.out.len() == start {
            self.default(field);
        } else {
            let key = field.keys[self.spelling].bytes().len();
            self.out.drain(start..start + key);
        }
        Ok(())
    }
}

/// Whether some oneof of the message has records of two different members.
fn several_members(message: &Message, wire: &[u8]) -> Result<bool> {
    let mut members: Vec<usize> = vec![usize::MAX; message.oneofs.len()];
    let mut reader = Reader::new(wire);
    while !reader.is_empty() {
        let tag = reader.tag()?;
        reader.value(tag)?;
        let Some(index) = message.index_of(tag >> 3) else { continue };
        let Some(member) = members.get_mut(usize::from(message.fields[index].oneof)) else { continue };
        if *member != usize::MAX && *member != index {
            return Ok(true);
        }
        *member = index;
    }
    Ok(false)
}
