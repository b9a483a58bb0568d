//! Oneofs that are sent: JSON Schema for "at most one of these".

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};

/// The alternatives of `oneOf` for members of which at most one is there. One that is `null` is not there, unless `null` is
/// one of its values.
pub(super) fn at_most_one(names: &[String], fields: &[FieldDescriptor]) -> Value {
    let one = |(name, field): (&String, &FieldDescriptor)| {
        let holds_null = match field.kind() {
            Kind::Message(message) => message.full_name() == "google.protobuf.Value",
            Kind::Enum(descriptor) => descriptor.full_name() == "google.protobuf.NullValue",
            _ => false,
        };
        if holds_null {
            return json!({"required": [name]});
        }
        json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}})
    };
    let present: Vec<_> = names.iter().zip(fields).map(one).collect();
    let none = json!({"not": {"anyOf": present}});
    present.into_iter().chain([none]).collect()
}
