//! A message's schema with all that it refers to inside: for tools, each of which is described by itself. What is referred to
//! once stands where it is referred to, since not every model reads references; what is recursive, or used again, is under
//! `$defs`.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::MessageDescriptor;
use serde_json::{Map, Value, json};

use super::{Direction, Settings, Walker, well_known};
use crate::transcode::JsonStyle;

const DEFINITIONS: &str = "#/$defs/";

/// A schema, and the definitions that it refers to as `#/$defs/…`.
#[derive(Clone, Debug, PartialEq)]
pub struct Contained {
    pub schema: Value,
    pub definitions: Map<String, Value>,
}

/// The schema of a message by itself. It is an object with `properties`, unless the message is a well-known type whose JSON
/// is something else.
#[must_use]
pub fn contained(message: &MessageDescriptor, direction: Direction, style: JsonStyle) -> Contained {
    let mut walker = Walker::new(Settings {
        style,
        ignore_unknown: false,
        references: DEFINITIONS,
        plain: true,
        suffix: String::new(),
        forms: |_| None,
    });
    let mut schema = match well_known::schema(&mut walker, message, direction) {
        Some(schema) => schema,
        None => walker.object(message, direction),
    };
    let definitions = walker.definitions();
    let mut uses = BTreeMap::new();
    std::iter::once(&schema).chain(definitions.values()).for_each(|part| count(part, &mut uses));
    let once = |name: &str| uses.get(name) == Some(&1) && !reaches(name, name, &definitions);
    let inside: BTreeSet<&str> = definitions.keys().map(String::as_str).filter(|name| once(name)).collect();
    place(&mut schema, &definitions, &inside);
    let left = definitions.iter().filter(|(name, _)| !inside.contains(name.as_str()));
    let left = left.map(|(name, definition)| {
        let mut definition = definition.clone();
        place(&mut definition, &definitions, &inside);
        (name.clone(), definition)
    });
    let left = left.collect();
    if let Some(members) = schema.as_object_mut()
        && members.get("type") == Some(&Value::from("object"))
    {
        // Some readers want it, though it may be empty.
        members.entry("properties").or_insert_with(|| json!({}));
    }
    Contained { schema, definitions: left }
}

/// The definition that a value is a reference to.
fn referred(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.strip_prefix(DEFINITIONS)
}

fn parts(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(members) => Box::new(members.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

fn count(value: &Value, uses: &mut BTreeMap<String, usize>) {
    if let Some(name) = referred(value) {
        *uses.entry(name.to_owned()).or_default() += 1;
    }
    parts(value).for_each(|part| count(part, uses));
}

/// Whether a definition refers to another, however far.
fn reaches(from: &str, to: &str, definitions: &BTreeMap<String, Value>) -> bool {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(name) = waiting.pop() {
        let mut uses = BTreeMap::new();
        definitions.get(&name).into_iter().for_each(|definition| count(definition, &mut uses));
        for name in uses.into_keys() {
            if name == to {
                return true;
            }
            if seen.insert(name.clone()) {
                waiting.push(name);
            }
        }
    }
    false
}

/// Puts the definitions that are `inside` where they are referred to; what is said beside a reference goes before what they
/// say themselves.
fn place(value: &mut Value, definitions: &BTreeMap<String, Value>, inside: &BTreeSet<&str>) {
    let definition =
        referred(value).filter(|name| inside.contains(name)).and_then(|name| definitions.get(name));
    if let Some(definition) = definition.cloned()
        && let Value::Object(mut beside) = std::mem::replace(value, definition)
        && let Some(members) = value.as_object_mut()
    {
        beside.remove("$ref");
        members.extend(beside);
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|part| place(part, definitions, inside)),
        Value::Array(items) => items.iter_mut().for_each(|part| place(part, definitions, inside)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Schema, compile};

    fn input(proto: &str, message: &str) -> Value {
        let files = format!("syntax = \"proto3\"; package p; {proto}");
        let schema = Schema::decode(&compile(&[("p.proto", &files)], true)).unwrap();
        let message = schema.pool().get_message_by_name(message).unwrap();
        let Contained { mut schema, definitions } =
            contained(&message, Direction::Input, JsonStyle::default());
        if !definitions.is_empty() {
            schema["$defs"] = Value::Object(definitions);
        }
        schema
    }

    #[test]
    fn what_is_used_once_stands_where_it_is_used() {
        let schema = input(
            "message A { B one = 1; int64 id = 2; } message B {\n // How much.\n double much = 1; K kind = 2; }
             enum K { NONE = 0; SOME = 1; }",
            "p.A",
        );
        let want = json!({
            "type": "object",
            "properties": {
                "one": {
                    "type": "object",
                    "properties": {
                        "much": {"type": "number", "format": "double", "description": "How much."},
                        "kind": {"type": "string", "enum": ["NONE", "SOME"]},
                    },
                    "additionalProperties": false,
                },
                "id": {"type": "string", "format": "int64", "pattern": "^(0|-?[1-9][0-9]{0,17})$"},
            },
            "additionalProperties": false,
        });
        assert_eq!(schema, want);
    }

    #[test]
    fn what_is_recursive_or_used_again_is_defined() {
        let schema = input(
            "message A { Tree tree = 1; B one = 2; B two = 3; } message Tree { repeated Tree trees = 1; }
             message B { string text = 1; }",
            "p.A",
        );
        assert_eq!(schema["properties"]["tree"], json!({"$ref": "#/$defs/p.Tree"}));
        assert_eq!(schema["properties"]["two"], json!({"$ref": "#/$defs/p.B"}));
        assert_eq!(
            schema["$defs"]["p.Tree"]["properties"]["trees"],
            json!({"type": "array", "items": {"$ref": "#/$defs/p.Tree"}})
        );
        // A message that holds itself is an object at the top all the same.
        let tree = input("message Tree { Tree left = 1; }", "p.Tree");
        assert_eq!(tree["type"], "object");
        assert_eq!(tree["properties"]["left"], json!({"$ref": "#/$defs/p.Tree"}));
        assert_eq!(tree["$defs"]["p.Tree"]["properties"]["left"], json!({"$ref": "#/$defs/p.Tree"}));
    }

    #[test]
    fn a_oneof_is_said_in_words_and_nothing_at_the_top_is_an_alternative() {
        let schema =
            input("message A { oneof by { string name = 1; int32 number = 2; } bool all = 3; }", "p.A");
        assert_eq!(schema["description"], "At most one of `name`, `number` is set.");
        for keyword in ["oneOf", "anyOf", "allOf", "maxProperties"] {
            assert!(schema.get(keyword).is_none(), "{keyword}");
        }
        assert_eq!(schema["properties"]["name"], json!({"type": "string"}));
        assert_eq!(input("message A {}", "p.A")["properties"], json!({}));
    }
}
