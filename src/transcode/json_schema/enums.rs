//! Enums: their names, and the numbers that stand for them.

use prost_reflect::{EnumDescriptor, Syntax};
use serde_json::{Value, json};

use super::{Direction, Type, Walker};

impl Walker {
    /// One value of an enum.
    pub(super) fn enumeration(&mut self, descriptor: &EnumDescriptor, direction: Direction) -> Value {
        if descriptor.full_name() == "google.protobuf.NullValue" {
            return json!({"type": "null"});
        }
        if direction == Direction::Output && self.settings.style.enum_numbers {
            return json!({"type": "integer", "format": "int32"});
        }
        if direction == Direction::Input && self.settings.plain {
            return self.enum_values(descriptor, direction);
        }
        self.reference(descriptor.full_name(), direction, || Type::Enum(descriptor.clone()))
    }

    /// The definition of an enum: its names, its numbers where they are taken, and what is said of each.
    pub(super) fn enum_values(&mut self, descriptor: &EnumDescriptor, direction: Direction) -> Value {
        let names: Vec<_> = descriptor.values().map(|value| value.name().to_owned()).collect();
        // proto2's enums are closed, those of other syntaxes hold numbers without a name too.
        let closed = descriptor.parent_file().syntax() == Syntax::Proto2;
        let names = json!({"type": "string", "enum": names});
        let numbers = match (closed, direction) {
            (_, Direction::Input) if self.settings.plain => None,
            (true, Direction::Output) => None,
            (true, Direction::Input) => {
                let mut numbers: Vec<_> = descriptor.values().map(|value| value.number()).collect();
                numbers.dedup();
                Some(json!({"type": "integer", "enum": numbers}))
            }
            (false, _) => {
                Some(json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX}))
            }
        };
        let mut schema = match numbers {
            None => names,
            Some(numbers) => json!({"anyOf": [names, numbers]}),
        };
        let mut said = self.comments.of(&descriptor.parent_file(), descriptor.path());
        for value in descriptor.values() {
            let mut of_value = self.comments.of(&descriptor.parent_file(), value.path());
            let options = value.enum_value_descriptor_proto().options.as_ref();
            if options.is_some_and(prost_types::EnumValueOptions::deprecated) {
                of_value.push_str(if of_value.is_empty() { "Deprecated." } else { " Deprecated." });
            }
            if !of_value.is_empty() {
                let separator = if said.is_empty() { "" } else { "\n" };
                said.push_str(&format!("{separator}- `{}`: {}", value.name(), of_value.replace('\n', " ")));
            }
        }
        if let Some(members) = schema.as_object_mut().filter(|_| !said.is_empty()) {
            members.insert("description".to_owned(), said.into());
        }
        schema
    }
}
