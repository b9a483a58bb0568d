//! `google.api.field_behavior`: what its author says of a field beyond its type. Read from the option's bytes, so that
//! descriptors without `google/api/field_behavior.proto` have it too.
//!
//! Source: google/api/field_behavior.proto (extension 1052 of `google.protobuf.FieldOptions`), google.aip.dev/203.

use prost::Message as _;
use prost_reflect::FieldDescriptor;

/// What is said of one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Behavior {
    /// A request must have it. Whoever answers the method sees to that: the gateway passes on what comes.
    pub(super) required: bool,
    /// Answered, and passed over where it is sent.
    pub(super) output_only: bool,
    /// Sent, and never answered.
    pub(super) input_only: bool,
    pub(super) immutable: bool,
    pub(super) identifier: bool,
    pub(super) unordered: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Options {
    #[prost(int32, repeated, tag = "1052")]
    behaviors: Vec<i32>,
}

impl Behavior {
    pub(super) fn of(field: &FieldDescriptor) -> Self {
        let mut behavior = Self::default();
        if field.field_descriptor_proto().options.is_none() {
            return behavior;
        }
        let options = Options::decode(field.options().encode_to_vec().as_slice()).unwrap_or_default();
        for value in options.behaviors {
            match value {
                2 => behavior.required = true,
                3 => behavior.output_only = true,
                4 => behavior.input_only = true,
                5 => behavior.immutable = true,
                6 => behavior.unordered = true,
                8 => behavior.identifier = true,
                // OPTIONAL and NON_EMPTY_DEFAULT say nothing that a reader could act on; others are not known yet.
                _ => {}
            }
        }
        behavior
    }

    /// In words, behind what the field's comment says.
    pub(super) fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.required, "Required."),
            (self.output_only, "Answered only: it is passed over in requests."),
            (self.input_only, "Sent only: it is never answered."),
            (self.immutable, "Immutable: it cannot be changed once it is set."),
            (self.identifier, "It names the resource."),
            (self.unordered, "In no particular order."),
        ]
        .into_iter()
        .filter_map(|(said, words)| said.then_some(words))
    }
}
