//! Descriptors → tables: reads a prost-reflect pool once and renders everything a conversion would otherwise have to look
//! up or put together: keys, tags, names, defaults, and which messages have a JSON form of their own.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, MessageDescriptor, Value};

use super::features::{Features, IN_ENUM, IN_FIELD, IN_FILE, IN_MESSAGE};
use super::names::Names;
use super::print::{scalar, string::put_string};
use super::tables::{DIRECT, Enum, Field, Form, JsonKey, Kind, Label, Message, NONE, Tables};
use super::wire;

impl Tables {
    /// Compiles every message and enum of `pool`.
    pub fn compile(pool: &DescriptorPool) -> Arc<Tables> {
        let by_name: HashMap<Box<str>, u32> = pool
            .all_messages()
            .zip(0..)
            .map(|(message, index)| (message.full_name().into(), index))
            .collect();
        let enum_by_name: HashMap<Box<str>, u32> =
            pool.all_enums().zip(0..).map(|(each, index)| (each.full_name().into(), index)).collect();
        let targets = Targets { messages: &by_name, enums: &enum_by_name };
        let messages: Box<[Message]> =
            pool.all_messages().map(|message| compile_message(&message, &targets)).collect();
        let enums = pool.all_enums().map(|each| compile_enum(&each)).collect();
        let mut tables = Tables { messages, enums, by_name };
        tables.settle_forms();
        Arc::new(tables)
    }

    /// A message with a well-known name and other fields than the well-known ones is an object like any other.
    fn settle_forms(&mut self) {
        let expected = |message: &Message| {
            let fields: Vec<_> =
                message.fields.iter().map(|field| (field.number, field.kind, field.label)).collect();
            let target = |index: usize| &*self.messages[message.fields[index].target as usize].name;
            match message.form {
                Form::Object => true,
                Form::Any => {
                    fields == [(1, Kind::String, Label::Singular), (2, Kind::Bytes, Label::Singular)]
                }
                Form::Timestamp | Form::Duration => {
                    fields == [(1, Kind::Int64, Label::Singular), (2, Kind::Int32, Label::Singular)]
                }
                Form::FieldMask => fields == [(1, Kind::String, Label::Repeated)],
                Form::Struct => {
                    fields == [(1, Kind::Message, Label::Map)]
                        && self.messages[message.fields[0].target as usize]
                            .fields
                            .get(1)
                            .is_some_and(|value| value.kind == Kind::Message)
                }
                Form::ListValue => {
                    fields == [(1, Kind::Message, Label::Repeated)] && target(0) == "google.protobuf.Value"
                }
                Form::Value => {
                    fields.iter().map(|(number, kind, _)| (*number, *kind)).eq([
                        (1, Kind::Enum),
                        (2, Kind::Double),
                        (3, Kind::String),
                        (4, Kind::Bool),
                        (5, Kind::Message),
                        (6, Kind::Message),
                    ]) && target(4) == "google.protobuf.Struct"
                        && target(5) == "google.protobuf.ListValue"
                }
                Form::Wrapper => {
                    matches!(fields[..], [(1, kind, Label::Singular)] if !matches!(kind, Kind::Message | Kind::Group | Kind::Enum))
                }
            }
        };
        let odd: Vec<usize> = self
            .messages
            .iter()
            .enumerate()
            .filter(|(_, message)| !expected(message))
            .map(|(index, _)| index)
            .collect();
        for index in odd {
            self.messages[index].form = Form::Object;
        }
    }
}

struct Targets<'a> {
    messages: &'a HashMap<Box<str>, u32>,
    enums: &'a HashMap<Box<str>, u32>,
}

fn compile_message(message: &MessageDescriptor, targets: &Targets<'_>) -> Message {
    let oneofs: Vec<_> = message.oneofs().map(|oneof| oneof.full_name().to_owned()).collect();
    let features = message_features(message);
    let mut fields: Vec<Field> = Vec::new();
    for field in message.fields() {
        let proto = field.field_descriptor_proto();
        let features =
            if proto.options.is_some() { features.refined(&field.options(), IN_FIELD) } else { features };
        // A proto3 `optional` field stands in a oneof of its own, made up by the compiler, that no client ever sees.
        let oneof = field.containing_oneof().filter(|_| proto.proto3_optional != Some(true));
        let oneof = oneof.and_then(|oneof| oneofs.iter().position(|name| name == oneof.full_name()));
        fields.push(compile_field(
            &Declaration {
                name: field.name(),
                json_name: field.json_name(),
                number: field.number(),
                kind: field.kind(),
                cardinality: field.cardinality(),
                // Maps and their values have lengths whatever the features around them say, and whatever a file
                // lowered from an edition calls them.
                delimited: (field.is_group() || features.delimited)
                    && !message.is_map_entry()
                    && !field.kind().as_message().is_some_and(MessageDescriptor::is_map_entry),
                packed: proto.options.as_ref().and_then(|options| options.packed).unwrap_or(features.packed),
                presence: features.presence
                    || proto.proto3_optional == Some(true)
                    || field.containing_oneof().is_some(),
                extension: false,
                oneof: oneof.and_then(|index| u16::try_from(index).ok()),
                default: field.default_value(),
            },
            targets,
        ));
    }
    for extension in message.extensions() {
        let proto = extension.field_descriptor_proto();
        let around = match extension.parent_message() {
            Some(parent) => message_features(&parent),
            None => file_features(&extension.parent_file()),
        };
        let features =
            if proto.options.is_some() { around.refined(&extension.options(), IN_FIELD) } else { around };
        fields.push(compile_field(
            &Declaration {
                name: extension.json_name(),
                json_name: extension.json_name(),
                number: extension.number(),
                kind: extension.kind(),
                cardinality: extension.cardinality(),
                delimited: extension.is_group() || features.delimited,
                packed: proto.options.as_ref().and_then(|options| options.packed).unwrap_or(features.packed),
                presence: true,
                extension: true,
                oneof: None,
                default: extension.default_value(),
            },
            targets,
        ));
    }
    fields.sort_by_key(|field| field.number);
    // An index must fit the tables; a message of more fields than protobuf's compilers accept loses the excess.
    fields.truncate(usize::from(NONE));
    let direct_length =
        fields.iter().map(|field| field.number + 1).filter(|end| *end <= DIRECT).max().unwrap_or(0);
    let mut direct = vec![NONE; direct_length as usize];
    for (field, index) in fields.iter().zip(0..) {
        if let Some(slot) = direct.get_mut(field.number as usize) {
            *slot = index;
        }
    }
    let json_names = fields.iter().zip(0..).map(|(field, index)| (&*field.json_name, index));
    let proto_names = fields.iter().zip(0..).map(|(field, index)| (&*field.name, index));
    let by_name = Names::new(json_names.chain(proto_names));
    let number_of =
        |field: &prost_reflect::prost_types::FieldDescriptorProto| u32::try_from(field.number()).ok();
    let declared = message.descriptor_proto().field.iter().filter_map(number_of);
    let declared =
        declared.filter_map(|number| fields.binary_search_by_key(&number, |field| field.number).ok());
    Message {
        name: message.full_name().into(),
        form: form_of(message.full_name()),
        declared: declared.map(|index| index as u32).collect(),
        fields: fields.into(),
        oneofs: message.oneofs().map(|oneof| oneof.name().into()).collect(),
        direct: direct.into(),
        by_name,
    }
}

struct Declaration<'a> {
    name: &'a str,
    json_name: &'a str,
    number: u32,
    kind: prost_reflect::Kind,
    cardinality: Cardinality,
    delimited: bool,
    packed: bool,
    presence: bool,
    extension: bool,
    oneof: Option<u16>,
    default: Value,
}

fn compile_field(declaration: &Declaration<'_>, targets: &Targets<'_>) -> Field {
    let repeated = declaration.cardinality == Cardinality::Repeated;
    let (kind, target, closed) = resolve_kind(declaration, targets);
    let map = repeated && declaration.kind.as_message().is_some_and(MessageDescriptor::is_map_entry);
    let message = matches!(kind, Kind::Message | Kind::Group);
    let tag = declaration.number << 3 | kind.wire_type();
    let mut tag_bytes = Vec::with_capacity(5);
    wire::put_varint(&mut tag_bytes, u64::from(tag));
    let key = |name: &str| {
        let mut key = b",".to_vec();
        put_string(&mut key, name);
        key.push(b':');
        JsonKey::new(&key)
    };
    let mut padded = [0; 5];
    padded[..tag_bytes.len()].copy_from_slice(&tag_bytes);
    Field {
        name: declaration.name.into(),
        json_name: declaration.json_name.into(),
        number: declaration.number,
        tag,
        kind,
        label: match (map, repeated) {
            (true, _) => Label::Map,
            (false, true) => Label::Repeated,
            (false, false) => Label::Singular,
        },
        packed: repeated && declaration.packed && !message && !matches!(kind, Kind::String | Kind::Bytes),
        presence: !repeated && (declaration.presence || message),
        closed,
        extension: declaration.extension,
        target,
        oneof: declaration.oneof.unwrap_or(NONE),
        keys: [key(declaration.json_name), key(declaration.name)],
        default: default_json(declaration),
        tag_bytes: padded,
        tag_length: tag_bytes.len() as u8,
    }
}

/// The field's kind, the index of its message or enum, and whether that enum is closed.
fn resolve_kind(declaration: &Declaration<'_>, targets: &Targets<'_>) -> (Kind, u32, bool) {
    use prost_reflect::Kind as Described;
    let scalar = |kind| (kind, 0, false);
    match &declaration.kind {
        Described::Double => scalar(Kind::Double),
        Described::Float => scalar(Kind::Float),
        Described::Int32 => scalar(Kind::Int32),
        Described::Int64 => scalar(Kind::Int64),
        Described::Uint32 => scalar(Kind::Uint32),
        Described::Uint64 => scalar(Kind::Uint64),
        Described::Sint32 => scalar(Kind::Sint32),
        Described::Sint64 => scalar(Kind::Sint64),
        Described::Fixed32 => scalar(Kind::Fixed32),
        Described::Fixed64 => scalar(Kind::Fixed64),
        Described::Sfixed32 => scalar(Kind::Sfixed32),
        Described::Sfixed64 => scalar(Kind::Sfixed64),
        Described::Bool => scalar(Kind::Bool),
        Described::String => scalar(Kind::String),
        Described::Bytes => scalar(Kind::Bytes),
        Described::Message(message) => {
            let kind = if declaration.delimited { Kind::Group } else { Kind::Message };
            (kind, targets.messages.get(message.full_name()).copied().unwrap_or_default(), false)
        }
        Described::Enum(each) => {
            let index = targets.enums.get(each.full_name()).copied().unwrap_or_default();
            (Kind::Enum, index, enum_features(each).closed_enum)
        }
    }
}

fn default_json(declaration: &Declaration<'_>) -> (Box<[u8]>, i32) {
    let mut out = Vec::new();
    let mut number = 0;
    match &declaration.default {
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::I32(value) => scalar::put_i64(&mut out, i64::from(*value)),
        Value::I64(value) => scalar::put_quoted_i64(&mut out, *value),
        Value::U32(value) => scalar::put_u64(&mut out, u64::from(*value)),
        Value::U64(value) => scalar::put_quoted_u64(&mut out, *value),
        Value::F32(value) => scalar::put_f32(&mut out, *value),
        Value::F64(value) => scalar::put_f64(&mut out, *value),
        Value::String(value) => put_string(&mut out, value),
        Value::Bytes(value) => scalar::put_base64(&mut out, value),
        Value::EnumNumber(value) => {
            number = *value;
            let each = declaration.kind.as_enum();
            let name = each.and_then(|each| each.get_value(*value)).map(|value| value.name().to_owned());
            match name {
                _ if each.is_some_and(|each| each.full_name() == NULL_VALUE) => {
                    out.extend_from_slice(b"null")
                }
                Some(name) => put_string(&mut out, &name),
                None => scalar::put_i64(&mut out, i64::from(*value)),
            }
        }
        Value::Message(_) => out.extend_from_slice(b"null"),
        Value::List(_) => out.extend_from_slice(b"[]"),
        Value::Map(_) => out.extend_from_slice(b"{}"),
    }
    (out.into(), number)
}

const NULL_VALUE: &str = "google.protobuf.NullValue";

fn compile_enum(each: &EnumDescriptor) -> Enum {
    // `EnumDescriptor::values` is not in the order of declaration, which decides between several names of one number.
    let declared = each.enum_descriptor_proto().value.iter();
    let numbers: Box<[(Box<str>, i32)]> =
        declared.map(|value| (value.name().into(), value.number())).collect();
    let mut values: Vec<(i32, Box<[u8]>)> = Vec::new();
    for (name, number) in &numbers {
        let mut quoted = Vec::new();
        put_string(&mut quoted, name);
        values.push((*number, quoted.into()));
    }
    // The sort is stable: of several names for one number the first declared is printed.
    values.sort_by_key(|(number, _)| *number);
    values.dedup_by_key(|(number, _)| *number);
    Enum {
        name: each.full_name().into(),
        null: each.full_name() == NULL_VALUE,
        dense: values.iter().zip(0..).all(|((number, _), index)| *number == index),
        values: values.into(),
        by_name: Names::new(numbers.iter().zip(0..).map(|((name, _), index)| (&**name, index))),
        numbers,
    }
}

fn form_of(full_name: &str) -> Form {
    match full_name.strip_prefix("google.protobuf.") {
        Some("Any") => Form::Any,
        Some("Timestamp") => Form::Timestamp,
        Some("Duration") => Form::Duration,
        Some("FieldMask") => Form::FieldMask,
        Some("Struct") => Form::Struct,
        Some("Value") => Form::Value,
        Some("ListValue") => Form::ListValue,
        Some(
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue",
        ) => Form::Wrapper,
        _ => Form::Object,
    }
}

fn file_features(file: &prost_reflect::FileDescriptor) -> Features {
    Features::of_syntax(file.syntax()).refined(&file.options(), IN_FILE)
}

fn message_features(message: &MessageDescriptor) -> Features {
    let around = match message.parent_message() {
        Some(parent) => message_features(&parent),
        None => file_features(&message.parent_file()),
    };
    if message.descriptor_proto().options.is_some() {
        around.refined(&message.options(), IN_MESSAGE)
    } else {
        around
    }
}

fn enum_features(each: &EnumDescriptor) -> Features {
    let around = match each.parent_message() {
        Some(parent) => message_features(&parent),
        None => file_features(&each.parent_file()),
    };
    if each.enum_descriptor_proto().options.is_some() {
        around.refined(&each.options(), IN_ENUM)
    } else {
        around
    }
}
