//! The features of editions (presence, packing, closed enums, UTF-8, delimited messages), resolved from a file down to one
//! field. proto2 and proto3 files are two fixed sets of the same features, so the rest of the module knows only features.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, Syntax};

use super::wire::{Raw, Reader};

/// The features that matter to a conversion (`google.protobuf.FeatureSet`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// `field_presence` is not IMPLICIT.
    pub(super) presence: bool,
    /// `enum_type` is CLOSED.
    pub(super) closed_enum: bool,
    /// `repeated_field_encoding` is PACKED.
    pub(super) packed: bool,
    /// `message_encoding` is DELIMITED.
    pub(super) delimited: bool,
}

/// Where each kind of options message keeps its `FeatureSet`.
pub(super) const IN_FILE: u32 = 50;
pub(super) const IN_MESSAGE: u32 = 12;
pub(super) const IN_FIELD: u32 = 21;
pub(super) const IN_ENUM: u32 = 7;

impl Features {
    /// What a file's syntax stands for.
    pub(super) fn of_syntax(syntax: Syntax) -> Features {
        match syntax {
            Syntax::Proto2 => Features { presence: true, closed_enum: true, packed: false, delimited: false },
            Syntax::Proto3 => {
                Features { presence: false, closed_enum: false, packed: true, delimited: false }
            }
        }
    }

    /// These features, with what `options` sets (its `FeatureSet` stands in field `number`) changed.
    pub(super) fn refined(mut self, options: &DynamicMessage, number: u32) -> Features {
        let encoded = options.encode_to_vec();
        for (tag, value) in records(&encoded) {
            if let (true, Raw::Bytes(set)) = (tag >> 3 == number, value) {
                self.apply(set);
            }
        }
        self
    }

    fn apply(&mut self, set: &[u8]) {
        for (tag, value) in records(set) {
            match (tag >> 3, value) {
                (1, Raw::Number(presence @ 1..=3)) => self.presence = presence != 2,
                (2, Raw::Number(kind @ 1..=2)) => self.closed_enum = kind == 2,
                (3, Raw::Number(encoding @ 1..=2)) => self.packed = encoding == 1,
                (5, Raw::Number(encoding @ 1..=2)) => self.delimited = encoding == 2,
                _ => {}
            }
        }
    }
}

/// The records of a message that is known to be well-formed; what is not ends the walk.
pub(super) fn records(wire: &[u8]) -> impl Iterator<Item = (u32, Raw<'_>)> {
    let mut reader = Reader::new(wire);
    std::iter::from_fn(move || {
        let tag = (!reader.is_empty()).then(|| reader.tag().ok())??;
        Some((tag, reader.value(tag).ok()?))
    })
}
