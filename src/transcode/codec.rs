//! The converters as their callers see them: a message's `Codec`, one field's `FieldCodec`, and the settings of each
//! direction. Both are handles (an `Arc` and an index), cheap to clone and to keep in a route.

use std::sync::Arc;

use super::error::TranscodeError;
use super::parse::Parser;
use super::print::{Printer, indent};
use super::tables::{Field, Kind, Label, Message, NONE, Tables};

/// One message's converter.
#[derive(Clone, Debug)]
pub struct Codec {
    pub(super) tables: Arc<Tables>,
    pub(super) index: u32,
}

/// One field's converter: a codec of the message it stands in, and which field it is.
#[derive(Clone, Debug)]
pub struct FieldCodec {
    pub(super) parent: Codec,
    pub(super) index: usize,
}

/// How JSON is printed. The default is ProtoJSON's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonStyle {
    /// Keys as the fields are named in the proto file instead of lowerCamelCase.
    pub proto_names: bool,
    /// Print fields without presence also when they hold their default.
    pub defaults: bool,
    /// Enum values as numbers instead of names.
    pub enum_numbers: bool,
    /// Two spaces a level instead of no space at all.
    pub pretty: bool,
}

/// How JSON is read. The default is ProtoJSON's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonInput {
    /// Skip fields and enum names that the schema does not have instead of refusing them.
    pub ignore_unknown: bool,
}

impl Codec {
    pub(super) fn new(tables: Arc<Tables>, index: u32) -> Codec {
        Codec { tables, index }
    }

    /// The message's full name, `google.example.library.v1.Book`.
    pub fn name(&self) -> &str {
        &self.table().name
    }

    /// Appends the message's JSON to `out`; on an error `out` is as it was.
    pub fn to_json(&self, wire: &[u8], style: &JsonStyle, out: &mut Vec<u8>) -> Result<(), TranscodeError> {
        let start = out.len();
        out.reserve(wire.len() * 2 + 64);
        let printed = Printer::new(&self.tables, style, out).document(self.table(), wire);
        finish_json(printed, style, out, start)
    }

    /// Appends the message's wire form to `out`; on an error `out` is as it was.
    pub fn to_wire(&self, json: &[u8], input: &JsonInput, out: &mut Vec<u8>) -> Result<(), TranscodeError> {
        let start = out.len();
        out.reserve(json.len() + 16);
        let parsed = Parser::new(&self.tables, json, input, out).document(self.table());
        parsed.map_err(|error| {
            out.truncate(start);
            error.locate(json)
        })
    }

    /// The field with this proto name, JSON name, or `[package.extension]`.
    pub fn field(&self, name: &str) -> Option<FieldCodec> {
        let index = self.table().index_of_name(name.as_bytes())?;
        Some(FieldCodec { parent: self.clone(), index })
    }

    /// The fields in the order of their declaration, extensions not among them.
    pub fn fields(&self) -> impl Iterator<Item = FieldCodec> + '_ {
        self.table().declared.iter().map(|index| FieldCodec { parent: self.clone(), index: *index as usize })
    }

    pub(super) fn table(&self) -> &Message {
        self.tables.message(self.index)
    }
}

impl FieldCodec {
    /// The name in the proto file.
    pub fn name(&self) -> &str {
        &self.table().name
    }

    /// The name in JSON.
    pub fn json_name(&self) -> &str {
        &self.table().json_name
    }

    /// The field number.
    pub fn number(&self) -> u32 {
        self.table().number
    }

    /// The type of one value; for a map that of its entries, `Kind::Message`.
    pub fn kind(&self) -> Kind {
        self.table().kind
    }

    /// A list; maps are not among them.
    pub fn is_repeated(&self) -> bool {
        self.table().label == Label::Repeated
    }

    /// A map: its `message()` is the entry, with the fields `key` and `value`.
    pub fn is_map(&self) -> bool {
        self.table().label == Label::Map
    }

    /// Whether "absent" and "holds the default" are two things.
    pub fn has_presence(&self) -> bool {
        self.table().presence
    }

    /// The message this field is of, for messages, groups and maps.
    pub fn message(&self) -> Option<Codec> {
        let field = self.table();
        matches!(field.kind, Kind::Message | Kind::Group)
            .then(|| Codec { tables: Arc::clone(&self.parent.tables), index: field.target })
    }

    /// The names of an enum field's values, in the order of their declaration; empty for other kinds.
    pub fn enum_names(&self) -> impl Iterator<Item = &str> {
        let field = self.table();
        let each = (field.kind == Kind::Enum).then(|| self.parent.tables.enumeration(field.target));
        each.into_iter().flat_map(|each| each.names())
    }

    /// The full name of an enum field's type.
    pub fn enum_type(&self) -> Option<&str> {
        let field = self.table();
        (field.kind == Kind::Enum).then(|| &*self.parent.tables.enumeration(field.target).name)
    }

    /// The oneof this field is a member of; the made-up ones of proto3 `optional` are none.
    pub fn oneof(&self) -> Option<&str> {
        let oneof = self.table().oneof;
        if oneof == NONE {
            None
        } else {
            self.parent.table().oneofs.get(usize::from(oneof)).map(|name| &**name)
        }
    }

    /// The message this field stands in.
    pub fn parent(&self) -> &Codec {
        &self.parent
    }

    /// Appends this field's value in JSON out of its parent's wire: a scalar, an array, an object. An absent field prints its
    /// default, an absent message `null`. Repeated occurrences count as protobuf says: the last one, or all merged.
    pub fn to_json(
        &self,
        parent_wire: &[u8],
        style: &JsonStyle,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        let tables = &self.parent.tables;
        let printed = Printer::new(tables, style, out).field(self.parent.table(), self.index, parent_wire);
        finish_json(printed, style, out, start)
    }

    /// Reads `json` as this field's value and appends it, with its tag, to `out`, which is or becomes the parent's wire.
    /// `null` appends nothing (but for the types whose value it is). On an error `out` is as it was.
    pub fn to_wire(&self, json: &[u8], input: &JsonInput, out: &mut Vec<u8>) -> Result<(), TranscodeError> {
        let start = out.len();
        let parsed = Parser::new(&self.parent.tables, json, input, out).field_document(self.table());
        parsed.map_err(|error| {
            out.truncate(start);
            error.locate(json)
        })
    }

    pub(super) fn table(&self) -> &Field {
        &self.parent.table().fields[self.index]
    }
}

fn finish_json(
    printed: Result<(), TranscodeError>,
    style: &JsonStyle,
    out: &mut Vec<u8>,
    start: usize,
) -> Result<(), TranscodeError> {
    match printed {
        Ok(()) if style.pretty => indent(out, start),
        Ok(()) => {}
        Err(_) => out.truncate(start),
    }
    printed
}
