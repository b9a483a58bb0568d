//! ProtoJSON → protobuf wire in one pass. A key is first compared with that of the next field in order, since most writers
//! keep the order of the schema, and looked up by hash only when that fails.
//!
//! Grammar: JSON (RFC 8259), strictly; duplicate keys, raw control characters and trailing bytes are refused.

mod any;
mod collection;
mod lexer;
mod number;
mod scalar;
mod seen;
mod well_known;

use self::seen::Seen;
use super::JsonInput;
use super::error::{ErrorKind, TranscodeError, did_you_mean};
use super::tables::{Field, Form, Kind, Label, Message, NONE, Tables};
use super::wire::{self, DEPTH_LIMIT};

type Result<T> = std::result::Result<T, TranscodeError>;

/// Reads one JSON text and appends the wire form of what it says.
pub(super) struct Parser<'a, 'o> {
    tables: &'a Tables,
    json: &'a [u8],
    /// Index of the next byte to read.
    at: usize,
    out: &'o mut Vec<u8>,
    ignore_unknown: bool,
}

/// Whether a value was appended; an unknown enum name may be asked to be ignored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Value,
    Nothing,
}

impl<'a, 'o> Parser<'a, 'o> {
    pub(super) fn new(
        tables: &'a Tables,
        json: &'a [u8],
        input: &JsonInput,
        out: &'o mut Vec<u8>,
    ) -> Parser<'a, 'o> {
        Parser { tables, json, at: 0, out, ignore_unknown: input.ignore_unknown }
    }

    /// Reads the whole input as one message.
    pub(super) fn document(&mut self, message: &'a Message) -> Result<()> {
        self.check_utf8()?;
        self.space();
        self.message(message, 0)?;
        self.end()
    }

    /// Reads the whole input as one field's value and appends it tagged.
    pub(super) fn field_document(&mut self, field: &'a Field) -> Result<()> {
        self.check_utf8()?;
        self.space();
        if self.peek() == b'n' && !self.takes_null(field) {
            self.literal(b"null")?;
        } else {
            self.field(field, 0).map_err(|error| error.in_field(&field.name))?;
        }
        self.end()
    }

    /// Reads one message, whatever its JSON form; appends its fields without a length.
    fn message(&mut self, message: &'a Message, depth: u32) -> Result<()> {
        if depth >= DEPTH_LIMIT {
            return Err(self.too_deep());
        }
        match message.form {
            Form::Object => self.object(message, depth, false),
            form => self.well_known(form, message, depth),
        }
    }

    /// Reads an object as a message's fields; `typed` when it stands for an Any, whose `@type` is no field.
    fn object(&mut self, message: &'a Message, depth: u32, typed: bool) -> Result<()> {
        if self.peek() != b'{' {
            return Err(self.expected(format_args!("an object for {}", message.name)));
        }
        self.at += 1;
        self.space();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        let mut seen = Seen::default();
        let mut guess = 0;
        loop {
            let key_at = self.at;
            let index = match message.fields.get(guess) {
                Some(field) if self.takes(field.quoted_name()) => Some(guess),
                _ => self.look_up(message, typed)?,
            };
            self.colon()?;
            match index {
                Some(index) => {
                    guess = index + 1;
                    self.member(message, index, &mut seen, key_at, depth)?;
                }
                None => self.skip_value(depth)?,
            }
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads a key and finds its field; `None` when its value is to be skipped.
    fn look_up(&mut self, message: &'a Message, typed: bool) -> Result<Option<usize>> {
        let key_at = self.at;
        let key = self.key()?;
        if let Some(index) = message.index_of_name(&key) {
            return Ok(Some(index));
        }
        if self.ignore_unknown || typed && *key == *b"@type" {
            return Ok(None);
        }
        let key = String::from_utf8_lossy(&key);
        let names = message.fields.iter().flat_map(|field| [&*field.json_name, &*field.name]);
        let near = did_you_mean(&key, names);
        let sentence = format!("{} has no field `{key}`{near}", message.name);
        Err(TranscodeError::json(ErrorKind::UnknownField, key_at, sentence).in_field(&key))
    }

    #[inline]
    fn member(
        &mut self,
        message: &'a Message,
        index: usize,
        seen: &mut Seen,
        key_at: usize,
        depth: u32,
    ) -> Result<()> {
        let field = &message.fields[index];
        if !seen.insert(index) {
            return Err(twice(field, key_at));
        }
        if self.peek() == b'n' && !self.takes_null(field) {
            return self.literal(b"null").map_err(|error| error.in_field(&field.name));
        }
        if field.oneof != NONE && !seen.insert(message.fields.len() + usize::from(field.oneof)) {
            return Err(oneof_twice(message, field, key_at));
        }
        self.field(field, depth).map_err(|error| error.in_field(&field.name))
    }

    /// Reads a field's value, not null, and appends it with its tags.
    #[inline]
    fn field(&mut self, field: &'a Field, depth: u32) -> Result<()> {
        match field.label {
            Label::Singular => {
                let start = self.out.len();
                field.put_tag(self.out);
                if self.value(field, depth)? == Written::Nothing {
                    self.out.truncate(start);
                }
                Ok(())
            }
            Label::Repeated => self.list(field, depth),
            Label::Map => self.map(field, depth),
        }
    }

    /// Reads one value of a field's type and appends it without its tag, length included.
    #[inline]
    fn value(&mut self, field: &'a Field, depth: u32) -> Result<Written> {
        match field.kind {
            Kind::Message => {
                let start = wire::begin_length(self.out);
                self.message(self.tables.message(field.target), depth + 1)?;
                wire::end_length(self.out, start);
                Ok(Written::Value)
            }
            Kind::Group => {
                self.message(self.tables.message(field.target), depth + 1)?;
                wire::put_varint(self.out, u64::from(field.number << 3 | wire::END_GROUP));
                Ok(Written::Value)
            }
            Kind::Enum => self.enumeration(field),
            _ => {
                self.scalar(field.kind)?;
                Ok(Written::Value)
            }
        }
    }

    /// Whether null is a value of the field's type rather than its absence.
    fn takes_null(&self, field: &Field) -> bool {
        field.label == Label::Singular && self.null_is_value(field)
    }

    fn null_is_value(&self, field: &Field) -> bool {
        match field.kind {
            Kind::Message | Kind::Group => self.tables.message(field.target).form == Form::Value,
            Kind::Enum => self.tables.enumeration(field.target).null,
            _ => false,
        }
    }

    #[cold]
    fn too_deep(&self) -> TranscodeError {
        TranscodeError::json(
            ErrorKind::Depth,
            self.at,
            format!("the JSON nests deeper than {DEPTH_LIMIT} messages"),
        )
    }
}

#[cold]
fn oneof_twice(message: &Message, field: &Field, key_at: usize) -> TranscodeError {
    let oneof = message.oneofs.get(usize::from(field.oneof)).map_or("", |name| &**name);
    let members = message.fields.iter().filter(|other| other.oneof == field.oneof);
    let members: Vec<String> = members.map(|member| format!("`{}`", member.json_name)).collect();
    let sentence =
        format!("oneof `{oneof}` has a value already: only one of {} may be given", members.join(", "));
    TranscodeError::json(ErrorKind::Oneof, key_at, sentence).in_field(&field.name)
}

#[cold]
fn twice(field: &Field, key_at: usize) -> TranscodeError {
    let sentence = if field.json_name == field.name {
        format!("`{}` is given twice", field.name)
    } else {
        format!("`{}` (also known as `{}`) is given twice", field.json_name, field.name)
    };
    TranscodeError::json(ErrorKind::Duplicate, key_at, sentence).in_field(&field.name)
}
