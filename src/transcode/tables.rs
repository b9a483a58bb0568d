//! A descriptor pool compiled into flat tables: per message its fields by number with their JSON keys and wire tags already
//! rendered, per enum its names both ways. Compiled once when a schema is loaded, read by every conversion.

use std::collections::HashMap;
use std::sync::Arc;

use super::codec::Codec;
use super::names::Names;
use super::wire;

/// Every message and enum of one descriptor pool, compiled. Immutable.
#[derive(Debug)]
pub struct Tables {
    pub(super) messages: Box<[Message]>,
    pub(super) enums: Box<[Enum]>,
    pub(super) by_name: HashMap<Box<str>, u32>,
}

/// One message type.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: Box<str>,
    pub(super) form: Form,
    /// Fields and extensions in the order of their numbers, which is the order they are printed in.
    pub(super) fields: Box<[Field]>,
    /// The fields without extensions as declared.
    pub(super) declared: Box<[u32]>,
    pub(super) oneofs: Box<[Box<str>]>,
    /// Field number → index, for small numbers; `NONE` where there is no field.
    pub(super) direct: Box<[u16]>,
    pub(super) by_name: Names,
}

/// What a message looks like in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An object with a key for each field.
    Object,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// `google.protobuf.Int32Value` and its like: the value itself.
    Wrapper,
}

/// A field's type. `Group` is a message whose encoding is delimited by tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "protobuf's own names")]
pub enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum,
    Message,
    Group,
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Singular,
    Repeated,
    /// Repeated entry messages, whose fields are the key (0) and the value (1).
    Map,
}

/// One field or extension.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    pub(super) json_name: Box<str>,
    pub(super) number: u32,
    /// Number and wire type of one value.
    pub(super) tag: u32,
    pub(super) kind: Kind,
    pub(super) label: Label,
    pub(super) packed: bool,
    pub(super) presence: bool,
    /// An enum field that holds only the enum's own numbers.
    pub(super) closed: bool,
    pub(super) extension: bool,
    /// Index of the message or enum this field is of.
    pub(super) target: u32,
    /// Index into the message's oneofs, or `NONE`.
    pub(super) oneof: u16,
    /// `,"jsonName":` and `,"proto_name":`.
    pub(super) keys: [JsonKey; 2],
    /// The value an absent field reads as, in JSON (`null` for a message); a default enum value's number beside it.
    pub(super) default: (Box<[u8]>, i32),
    pub(super) tag_bytes: [u8; 5],
    pub(super) tag_length: u8,
}

/// `,"key":` ready to print. A short one is copied as a whole block of fixed size, which is a few instructions instead of a
/// call of `memcpy`, and then cut to its length.
#[derive(Debug)]
pub(super) struct JsonKey {
    block: [u8; BLOCK],
    length: usize,
    /// The key when it is longer than a block.
    long: Box<[u8]>,
}

const BLOCK: usize = 32;

impl JsonKey {
    pub(super) fn new(key: &[u8]) -> JsonKey {
        let mut block = [0; BLOCK];
        let short = key.len() <= BLOCK;
        if short {
            block[..key.len()].copy_from_slice(key);
        }
        JsonKey { block, length: key.len(), long: if short { Box::default() } else { key.into() } }
    }

    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.length;
        if self.length <= BLOCK {
            out.extend_from_slice(&self.block);
            out.truncate(end);
        } else {
            out.extend_from_slice(&self.long);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if self.length <= BLOCK { &self.block[..self.length] } else { &self.long }
    }
}

/// One enum type.
#[derive(Debug)]
pub(super) struct Enum {
    pub(super) name: Box<str>,
    /// `google.protobuf.NullValue`, whose only value is JSON's null.
    pub(super) null: bool,
    /// Numbers in ascending order with the first name each was given, quoted for JSON.
    pub(super) values: Box<[(i32, Box<[u8]>)]>,
    /// The numbers are 0, 1, 2 …, so a number is its own index.
    pub(super) dense: bool,
    pub(super) by_name: Names,
    pub(super) numbers: Box<[(Box<str>, i32)]>,
}

/// No index.
pub(super) const NONE: u16 = u16::MAX;

/// Field numbers below this are found by index.
pub(super) const DIRECT: u32 = 512;

impl Tables {
    /// The converter of a message by its full name (`google.example.library.v1.Book`); `None` if the pool has no such message.
    pub fn codec(self: &Arc<Self>, full_name: &str) -> Option<Codec> {
        self.by_name.get(full_name).map(|index| Codec::new(Arc::clone(self), *index))
    }

    pub(super) fn message_named(&self, full_name: &str) -> Option<&Message> {
        self.by_name.get(full_name).map(|index| self.message(*index))
    }

    #[inline]
    pub(super) fn message(&self, index: u32) -> &Message {
        &self.messages[index as usize]
    }

    #[inline]
    pub(super) fn enumeration(&self, index: u32) -> &Enum {
        &self.enums[index as usize]
    }
}

impl Message {
    /// The field with this number.
    #[inline]
    pub(super) fn index_of(&self, number: u32) -> Option<usize> {
        if let Some(index) = self.direct.get(number as usize) {
            return (*index != NONE).then_some(usize::from(*index));
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }

    /// The field with this JSON name, proto name, or `[package.extension]`.
    #[inline]
    pub(super) fn index_of_name(&self, name: &[u8]) -> Option<usize> {
        self.by_name.get(name)
    }
}

impl Field {
    #[inline]
    pub(super) fn put_tag(&self, out: &mut Vec<u8>) {
        if self.tag_length == 1 {
            out.push(self.tag_bytes[0]);
        } else {
            out.extend_from_slice(&self.tag_bytes[..usize::from(self.tag_length)]);
        }
    }

    /// `"jsonName"`, as most writers spell the key.
    #[inline]
    pub(super) fn quoted_name(&self) -> &[u8] {
        let key = self.keys[0].bytes();
        &key[1..key.len() - 1]
    }

    /// The tag of all values in one length-delimited run.
    pub(super) fn put_packed_tag(&self, out: &mut Vec<u8>) {
        wire::put_varint(out, u64::from(self.number << 3 | wire::LENGTH));
    }
}

impl Kind {
    pub(super) fn wire_type(self) -> u32 {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => wire::FIXED64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => wire::FIXED32,
            Kind::String | Kind::Bytes | Kind::Message => wire::LENGTH,
            Kind::Group => wire::GROUP,
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Bool
            | Kind::Enum => wire::VARINT,
        }
    }
}

impl Enum {
    /// A number's name, quoted for JSON.
    #[inline]
    pub(super) fn quoted_name(&self, number: i32) -> Option<&[u8]> {
        let index = if self.dense {
            usize::try_from(number).ok()?
        } else {
            self.values.binary_search_by_key(&number, |(number, _)| *number).ok()?
        };
        self.values.get(index).map(|(_, name)| &**name)
    }

    pub(super) fn number(&self, name: &[u8]) -> Option<i32> {
        self.by_name.get(name).map(|index| self.numbers[index].1)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.numbers.iter().map(|(name, _)| &**name)
    }
}
