//! Examples: a message as one could send it, made of what comments say ("such as \"…\""), of what a field's name says
//! (`likely`), and of values that show their type. Each is accepted as input.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{Behavior, Direction, Walker, likely};

/// Messages within messages are shown to this depth.
const DEPTH: usize = 3;

/// An example of a message; `None` for one whose JSON is anything.
pub(super) fn of(walker: &mut Walker, message: &MessageDescriptor, direction: Direction) -> Option<Value> {
    self::message(walker, message, direction, &mut Vec::new())
}

fn message(
    walker: &mut Walker,
    message: &MessageDescriptor,
    direction: Direction,
    within: &mut Vec<MessageDescriptor>,
) -> Option<Value> {
    if let Some(name) = message.full_name().strip_prefix("google.protobuf.") {
        return match name {
            "Timestamp" => Some(json!("2026-01-31T12:00:00Z")),
            "Duration" => Some(json!("3.5s")),
            "Struct" => Some(json!({"key": "value"})),
            "Empty" => Some(json!({})),
            "FieldMask" | "Value" | "ListValue" | "Any" => None,
            _ => {
                let value = message.get_field_by_name("value")?;
                Some(scalar(&value.kind(), "", direction))
            }
        };
    }
    if within.len() >= DEPTH || within.contains(message) {
        return None;
    }
    within.push(message.clone());
    let mut members = Map::new();
    for field in super::fields(message) {
        // Of a oneof the first member, and none that holds the whole again.
        let first = |oneof: prost_reflect::OneofDescriptor| oneof.fields().next().as_ref() == Some(&field);
        let behavior = Behavior::of(&field);
        let read_only = || walker.form(&field).is_some_and(|form| form.keywords.contains_key("readOnly"));
        let unsaid = match direction {
            Direction::Input => behavior.output_only || read_only(),
            Direction::Output => behavior.input_only,
        };
        let shown = field.containing_oneof().is_none_or(first) && !unsaid;
        if let Some(value) = shown.then(|| self::field(walker, &field, direction, within)).flatten() {
            members.insert(walker.name(&field), value);
        }
    }
    within.pop();
    Some(Value::Object(members))
}

fn field(
    walker: &mut Walker,
    field: &FieldDescriptor,
    direction: Direction,
    within: &mut Vec<MessageDescriptor>,
) -> Option<Value> {
    if let Some(example) = walker.form(field).and_then(|form| form.example) {
        return Some(example);
    }
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let value = one(walker, &entry.map_entry_value_field(), direction, within)?;
        let key = match entry.map_entry_key_field().kind() {
            Kind::String => "key",
            Kind::Bool => "true",
            _ => "1",
        };
        return Some(json!({key: value}));
    }
    let value = one(walker, field, direction, within)?;
    Some(if field.is_list() { json!([value]) } else { value })
}

fn one(
    walker: &mut Walker,
    field: &FieldDescriptor,
    direction: Direction,
    within: &mut Vec<MessageDescriptor>,
) -> Option<Value> {
    match field.kind() {
        Kind::Message(nested) => message(walker, &nested, direction, within),
        Kind::Enum(descriptor) if descriptor.full_name() == "google.protobuf.NullValue" => Some(Value::Null),
        Kind::Enum(descriptor) => {
            // The second value: the first is most often "unspecified".
            let value = descriptor.values().nth(1).or_else(|| descriptor.values().next())?;
            if direction == Direction::Output && walker.settings.style.enum_numbers {
                return Some(value.number().into());
            }
            Some(value.name().into())
        }
        Kind::String => {
            let said = walker.description(field);
            let name = if field.is_list() { singular(field.name()) } else { field.name() };
            Some(quoted(&said).unwrap_or_else(|| likely::text(name)).into())
        }
        kind @ (Kind::Bool | Kind::Bytes) => Some(scalar(&kind, field.name(), direction)),
        kind => {
            let said = said_number(&walker.description(field), &kind, direction);
            Some(said.unwrap_or_else(|| scalar(&kind, field.name(), direction)))
        }
    }
}

/// `emails` holds an `email`.
fn singular(name: &str) -> &str {
    name.strip_suffix('s').filter(|name| !name.ends_with('s')).unwrap_or(name)
}

/// A scalar of a field with this name.
fn scalar(kind: &Kind, name: &str, direction: Direction) -> Value {
    match kind {
        Kind::Bool => json!(true),
        Kind::String => json!("text"),
        Kind::Bytes => json!("Ynl0ZXM="),
        Kind::Double | Kind::Float => likely::fraction(name),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64
            if direction == Direction::Output =>
        {
            likely::whole(name).to_string().into()
        }
        _ => likely::whole(name).into(),
    }
}

/// The number behind "such as" and the like in a comment, if the field can hold it.
fn said_number(comment: &str, kind: &Kind, direction: Direction) -> Option<Value> {
    let rest = shown(comment)?.trim_start_matches(['"', '`', '\'']);
    let end = rest.find(|c: char| !c.is_ascii_digit() && !"-.".contains(c)).unwrap_or(rest.len());
    let text = rest.get(..end)?.trim_end_matches('.');
    match kind {
        Kind::Double | Kind::Float => text.parse::<f64>().ok().map(Value::from),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse::<i32>().ok().map(Value::from),
        Kind::Uint32 | Kind::Fixed32 => text.parse::<u32>().ok().map(Value::from),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            text.parse::<i64>().ok().map(|number| wide(number.into(), direction))
        }
        Kind::Uint64 | Kind::Fixed64 => text.parse::<u64>().ok().map(|number| wide(number.into(), direction)),
        _ => None,
    }
}

/// A number of 64 bits: ProtoJSON prints it as a text.
fn wide(number: Value, direction: Direction) -> Value {
    match direction {
        Direction::Output => number.to_string().into(),
        Direction::Input => number,
    }
}

/// The text in quotes behind "such as", "for example", "e.g." or "Always" in a comment.
#[must_use]
pub fn quoted(comment: &str) -> Option<String> {
    let rest = shown(comment)?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '`' | '\''))?;
    let (text, _) = rest.get(1..)?.split_once(quote)?;
    Some(text.to_owned())
}

/// What stands behind "such as" and the like.
fn shown(comment: &str) -> Option<&str> {
    let lower = comment.to_ascii_lowercase();
    let at = ["such as ", "for example ", "for example, ", "for example: ", "e.g. ", "always "]
        .iter()
        .filter_map(|words| lower.find(words).map(|at| at + words.len()))
        .min()?;
    comment.get(at..)
}
