//! What a message's JSON may be, as JSON Schema (2020-12): one walk over descriptors, used for OpenAPI's components and
//! for whatever else describes messages to people and programs.
//!
//! What is answered and what is accepted differ (ProtoJSON takes `null`, a number for an int64, an enum's number), so a
//! message has two definitions: `pkg.Message` as it is answered, and `pkg.Message-Input` as it may be sent.
//!
//! Source: the ProtoJSON format (<https://protobuf.dev/programming-guides/json/>).

mod behavior;
mod comments;
mod demanded;
mod enums;
mod example;
mod likely;
mod oneof;
mod scalar;
mod tool;
mod well_known;

use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use self::behavior::Behavior;
pub use self::{
    comments::{Comments, first_sentence},
    demanded::{demands, missing},
    example::quoted,
    tool::{Contained, contained},
};
use super::JsonStyle;

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Sent by a client: everything that is accepted.
    Input,
    /// Answered: what is printed.
    Output,
}

/// How the schemas of one source look.
#[derive(Clone, Debug)]
pub struct Settings {
    pub style: JsonStyle,
    /// Fields that a message does not have are passed over.
    pub ignore_unknown: bool,
    /// What a reference begins with, such as `#/components/schemas/` or `#/$defs/`.
    pub references: &'static str,
    /// What is sent is said in the plainest way that is accepted, for models: no `null`, one type for each value, an enum by its
    /// names, and of oneofs in words alone.
    pub plain: bool,
    /// What every definition's name ends in; empty unless two sources have different messages of one name.
    pub suffix: String,
    /// What a field, by its full name, must hold beyond its type, where whoever answers it is known to see to that.
    pub forms: fn(&str) -> Option<Form>,
}

/// What a field must hold beyond its type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// A request without it is refused.
    pub required: bool,
    /// Keywords of JSON Schema, in the place of those that the type gives.
    pub keywords: Map<String, Value>,
    /// A value that will do.
    pub example: Option<Value>,
}

/// Walks descriptors, and collects the definitions that its schemas refer to.
#[derive(Debug)]
pub struct Walker {
    settings: Settings,
    comments: Comments,
    definitions: BTreeMap<String, Value>,
    waiting: VecDeque<(Type, Direction)>,
}

#[derive(Debug)]
enum Type {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
}

impl Walker {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            comments: Comments::default(),
            definitions: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A message as a whole body.
    pub fn message(&mut self, message: &MessageDescriptor, direction: Direction) -> Value {
        match well_known::schema(self, message, direction) {
            Some(schema) => schema,
            None => self.reference(message.full_name(), direction, || Type::Message(message.clone())),
        }
    }

    /// A message that is sent, without the fields at `given`: the path of the request has them already.
    pub fn message_without(&mut self, message: &MessageDescriptor, given: &[&[FieldDescriptor]]) -> Value {
        if given.is_empty() || well_known::schema(self, message, Direction::Input).is_some() {
            return self.message(message, Direction::Input);
        }
        let mut schema = self.object(message, Direction::Input);
        let mut removed: Vec<String> = Vec::new();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            return schema;
        };
        for field in message.fields() {
            let below: Vec<_> = given
                .iter()
                .filter_map(|way| way.split_first())
                .filter(|(first, _)| **first == field)
                .map(|(_, rest)| rest)
                .collect();
            if below.iter().any(|rest| rest.is_empty()) {
                properties.shift_remove(&self.name(&field));
                removed.push(self.name(&field));
            } else if let (false, Kind::Message(nested)) = (below.is_empty(), field.kind()) {
                let nested = nullable(self.message_without(&nested, &below));
                properties.insert(self.name(&field), nested);
            }
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| !removed.iter().any(|removed| name == removed));
        }
        schema
    }

    /// A field as a whole body: its value, without its name.
    pub fn value(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        if field.is_map() {
            return self.map(field, direction);
        }
        let one = self.kind(field, direction);
        if field.is_list() { json!({"type": "array", "items": one}) } else { one }
    }

    /// A field of an object: its value, what is said of it, and where it is sent, `null`.
    pub fn field(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        let mut schema = self.value(field, direction);
        if direction == Direction::Input {
            let form = self.form(field).unwrap_or_default();
            let required = form.required || self.settings.plain;
            schema = formed(schema, form);
            schema = if required { schema } else { nullable(schema) };
        }
        let description = self.description(field);
        let behavior = Behavior::of(field);
        if let Some(members) = schema.as_object_mut() {
            if !description.is_empty() {
                members.insert("description".to_owned(), description.into());
            }
            if is_deprecated(field) {
                members.insert("deprecated".to_owned(), true.into());
            }
            if behavior.output_only {
                members.insert("readOnly".to_owned(), true.into());
            }
            // Who answers may print it all the same, empty: of answers nothing is promised.
            if behavior.input_only && direction == Direction::Input {
                members.insert("writeOnly".to_owned(), true.into());
            }
        }
        schema
    }

    /// One value of a field as the text of a path segment or query parameter; `None` for a message without a text form.
    pub fn text(&mut self, field: &FieldDescriptor) -> Option<Value> {
        let value = match field.kind() {
            Kind::Message(message) => well_known::text(&message)?,
            Kind::Enum(descriptor) => self.enumeration(&descriptor, Direction::Input),
            kind => scalar::text(&kind),
        };
        let form = self.form(field).filter(|_| !field.is_list() && !field.is_map());
        Some(match form {
            Some(form) => formed(value, form),
            None => value,
        })
    }

    /// What a field must hold beyond its type.
    #[must_use]
    pub fn form(&self, field: &FieldDescriptor) -> Option<Form> {
        (self.settings.forms)(field.full_name())
    }

    /// Whether a request must have a field of a message that is not among those `given`.
    #[must_use]
    pub fn demands(&self, message: &MessageDescriptor, given: &[&[FieldDescriptor]]) -> bool {
        message.fields().any(|field| {
            let elsewhere = given.iter().any(|way| **way == [field.clone()]);
            !elsewhere && self.form(&field).is_some_and(|form| form.required)
        })
    }

    /// What is said of a field.
    pub fn description(&mut self, field: &FieldDescriptor) -> String {
        let mut said = self.comments.of(&field.parent_file(), field.path());
        for words in Behavior::of(field).words() {
            said.push_str(if said.is_empty() { "" } else { " " });
            said.push_str(words);
        }
        said
    }

    pub fn comments(&mut self) -> &mut Comments {
        &mut self.comments
    }

    /// A field's name in JSON.
    #[must_use]
    pub fn name(&self, field: &FieldDescriptor) -> String {
        let name = if self.settings.style.proto_names { field.name() } else { field.json_name() };
        name.to_owned()
    }

    /// A message that is accepted as input, to begin from.
    pub fn example(&mut self, message: &MessageDescriptor, direction: Direction) -> Option<Value> {
        example::of(self, message, direction)
    }

    /// Everything that was referred to, by name.
    #[must_use]
    pub fn definitions(mut self) -> BTreeMap<String, Value> {
        while let Some((of, direction)) = self.waiting.pop_front() {
            let (name, schema) = match of {
                Type::Message(message) => {
                    (self.definition_name(message.full_name(), direction), self.object(&message, direction))
                }
                Type::Enum(descriptor) => (
                    self.definition_name(descriptor.full_name(), direction),
                    self.enum_values(&descriptor, direction),
                ),
            };
            self.definitions.insert(name, schema);
        }
        self.definitions
    }

    fn definition_name(&self, full_name: &str, direction: Direction) -> String {
        let input = if direction == Direction::Input && !self.settings.plain { "-Input" } else { "" };
        format!("{full_name}{input}{}", self.settings.suffix)
    }

    fn reference(&mut self, full_name: &str, direction: Direction, of: impl FnOnce() -> Type) -> Value {
        let name = self.definition_name(full_name, direction);
        let schema = json!({"$ref": format!("{}{name}", self.settings.references)});
        if let Entry::Vacant(place) = self.definitions.entry(name) {
            // Taken before it is made: a message may hold itself.
            place.insert(Value::Null);
            self.waiting.push_back((of(), direction));
        }
        schema
    }

    /// One value of a field, without `null`.
    fn kind(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        match field.kind() {
            Kind::Message(message) => self.message(&message, direction),
            Kind::Enum(descriptor) => self.enumeration(&descriptor, direction),
            kind if self.settings.plain && direction == Direction::Input => scalar::plain(&kind),
            kind => scalar::schema(&kind, direction),
        }
    }

    fn map(&mut self, field: &FieldDescriptor, direction: Direction) -> Value {
        let Kind::Message(entry) = field.kind() else { return json!({"type": "object"}) };
        let values = self.kind(&entry.map_entry_value_field(), direction);
        let mut schema = json!({"type": "object", "additionalProperties": values});
        let keys = scalar::map_key(&entry.map_entry_key_field().kind());
        if let (Some(keys), Some(members)) = (keys, schema.as_object_mut()) {
            members.insert("propertyNames".to_owned(), keys);
        }
        schema
    }

    fn object(&mut self, message: &MessageDescriptor, direction: Direction) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields(message) {
            let name = self.name(&field);
            let schema = self.field(&field, direction);
            // A value that has no presence is printed with its default.
            let printed = self.settings.style.defaults && !field.supports_presence();
            let demanded = |form: Form| form.required;
            let required_here = match direction {
                Direction::Output => printed,
                Direction::Input => {
                    self.form(&field).is_some_and(demanded)
                        || (self.settings.plain && Behavior::of(&field).required)
                }
            };
            if required_here {
                required.push(name.clone());
            }
            properties.insert(name, schema);
        }
        let mut schema = Map::from_iter([("type".to_owned(), json!("object"))]);
        let mut said = self.comments.of(&message.parent_file(), message.path());
        let mut exclusive = Vec::new();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let fields: Vec<_> = oneof.fields().collect();
            let names: Vec<_> = fields.iter().map(|field| self.name(field)).collect();
            if names.len() > 1 {
                let separator = if said.is_empty() { "" } else { "\n\n" };
                said.push_str(&format!("{separator}At most one of `{}` is set.", names.join("`, `")));
                exclusive.push((names, fields));
            }
        }
        if !said.is_empty() {
            schema.insert("description".to_owned(), said.into());
        }
        if !properties.is_empty() {
            schema.insert("properties".to_owned(), Value::Object(properties));
        }
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        if direction == Direction::Input {
            let fields = message.fields().count();
            match exclusive.as_slice() {
                [] => {}
                _ if self.settings.plain => {}
                [(names, _)] if names.len() == fields => {
                    schema.insert("maxProperties".to_owned(), 1.into());
                }
                [(names, fields)] => {
                    schema.insert("oneOf".to_owned(), oneof::at_most_one(names, fields));
                }
                several => {
                    let all = several.iter().map(|(names, fields)| oneof::at_most_one(names, fields));
                    let all: Vec<_> = all.map(|alternatives| json!({"oneOf": alternatives})).collect();
                    schema.insert("allOf".to_owned(), all.into());
                }
            }
            if !self.settings.ignore_unknown {
                schema.insert("additionalProperties".to_owned(), false.into());
            }
        }
        if options_deprecated(message) {
            schema.insert("deprecated".to_owned(), true.into());
        }
        Value::Object(schema)
    }
}

/// A message's fields in the order of its file; descriptors have them by number.
pub fn fields(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by(|a, b| a.path().cmp(b.path()));
    fields
}

/// A schema with a form's keywords in the place of its own.
#[must_use]
pub fn formed(mut schema: Value, form: Form) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.extend(form.keywords);
    }
    schema
}

/// The same schema, and `null`, which stands for a field that is not there.
#[must_use]
pub fn nullable(mut schema: Value) -> Value {
    let Some(members) = schema.as_object_mut().filter(|members| !members.is_empty()) else {
        // Any value, `null` among them.
        return schema;
    };
    match members.get_mut("type") {
        Some(Value::String(one)) if one != "null" => {
            let both = json!([one, "null"]);
            members.insert("type".to_owned(), both);
        }
        Some(Value::Array(types)) => types.push("null".into()),
        Some(_) => {}
        None => match members.get_mut("anyOf") {
            Some(Value::Array(alternatives)) => alternatives.push(json!({"type": "null"})),
            _ => return json!({"anyOf": [schema, {"type": "null"}]}),
        },
    }
    schema
}

fn is_deprecated(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().options.as_ref().is_some_and(prost_types::FieldOptions::deprecated)
}

fn options_deprecated(message: &MessageDescriptor) -> bool {
    message.descriptor_proto().options.as_ref().is_some_and(prost_types::MessageOptions::deprecated)
}

#[cfg(test)]
mod tests;
