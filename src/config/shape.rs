//! The tree of a config against the schema of the file: every unknown key, wrong type and missing key at once. What is
//! right is left, and becomes the settings; what is wrong is as if it had not been written.

use std::{collections::HashMap, ops::Range, sync::LazyLock};

use serde_json::Value as Json;

use super::{
    check::has_credentials,
    document::{Entry, Language, Node, Origin, Value, path::child},
    json_schema::{SCHEMA_KEY, json_schema, resolve},
    mistake::{Mistake, Mistakes, Part},
};
use crate::schema::nearest;

/// Checks a tree, and yields what of it is right.
pub(super) fn check(root: &Node, language: Language, found: &mut Mistakes) -> Json {
    let schema = json_schema();
    let mut shape = Shape { definitions: &schema["$defs"], language, found, whole: true };
    shape.node(root, schema, "").unwrap_or_else(|| Json::Object(serde_json::Map::new()))
}

/// Checks what could be read of a file that is cut off: what is missing may have followed.
pub(super) fn check_beginning(root: &Node, language: Language, found: &mut Mistakes) {
    let schema = json_schema();
    Shape { definitions: &schema["$defs"], language, found, whole: false }.node(root, schema, "");
}

struct Shape<'a> {
    definitions: &'a Json,
    language: Language,
    found: &'a mut Mistakes,
    /// Nothing of the tree was cut off.
    whole: bool,
}

impl Shape<'_> {
    fn node(&mut self, node: &Node, schema: &Json, path: &str) -> Option<Json> {
        let schema = resolve(schema, self.definitions);
        let types: Vec<&str> = match &schema["type"] {
            Json::String(one) => vec![one],
            Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
            // Anything may stand here.
            _ => return Some(node.plain()),
        };
        match &node.value {
            // As if it had not been written.
            Value::Null | Value::Wrong => None,
            Value::Table(entries) if types.contains(&"object") => Some(self.table(entries, schema, path)),
            Value::List(nodes) if types.contains(&"array") => self.list(nodes, &schema["items"], path),
            Value::Text(text) if types.contains(&"string") => self.text(text, schema, path),
            Value::Integer(number) if types.contains(&"integer") => self.integer(*number, schema, path),
            Value::Integer(number) if types.contains(&"number") => self.number(*number as f64, schema, path),
            Value::Float(number) if types.contains(&"number") => self.number(*number, schema, path),
            Value::Beyond(number) if types.contains(&"integer") => {
                self.out_of_range(number, schema, path);
                None
            }
            Value::Bool(value) if types.contains(&"boolean") => Some((*value).into()),
            value => {
                let mistake = wrong_type(value, &types, schema, path);
                self.found.push(match (value, schema["items"].is_object()) {
                    (Value::Table(_), true) => self.as_list(mistake, schema),
                    _ => mistake,
                });
                None
            }
        }
    }

    fn table(&mut self, entries: &[Entry], schema: &Json, path: &str) -> Json {
        let mut right = serde_json::Map::new();
        for Entry { key, node, origin } in entries {
            let below = child(path, key);
            // Editors read it, and nobody else.
            if path.is_empty() && key == SCHEMA_KEY {
                self.node(node, &schema["properties"][key], &below);
                continue;
            }
            let property = &schema["properties"][key];
            let other = &schema["additionalProperties"];
            let schema = match (property, other) {
                (Json::Null, Json::Bool(false)) => {
                    self.unknown(key, origin, schema, path);
                    continue;
                }
                (Json::Null, other) => other,
                (property, _) => property,
            };
            if let Some(value) = self.node(node, schema, &below) {
                right.insert(key.clone(), value);
            }
        }
        let required = schema["required"].as_array().filter(|_| self.whole);
        for required in required.into_iter().flatten().filter_map(Json::as_str) {
            if !entries.iter().any(|entry| entry.key == required && entry.node.value != Value::Null) {
                self.found.add(child(path, required), "it is missing");
            }
        }
        Json::Object(right)
    }

    fn unknown(&mut self, key: &str, origin: &Origin, schema: &Json, path: &str) {
        let known: Vec<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let known: Vec<&str> = known.into_iter().filter(|name| *name != SCHEMA_KEY).collect();
        let near = nearest(key, known.iter().copied());
        let message = match (near, elsewhere().get(key)) {
            (Some(_), _) => "there is no such key".to_owned(),
            (None, Some(section)) => format!("there is no such key here; there is one in [{section}]"),
            (None, None) => format!("there is no such key; there are {}", known.join(", ")),
        };
        let mistake = Mistake::new(child(path, key), message).meaning(near);
        self.found.push(mistake.at(Part::Written(origin.clone())));
    }

    /// A table stands where a list is wanted: how a list of tables is written, if it is one.
    fn as_list(&self, mistake: Mistake, schema: &Json) -> Mistake {
        if resolve(&schema["items"], self.definitions)["type"] != "object" {
            return mistake;
        }
        match self.language {
            Language::Toml if !mistake.path.contains('[') => {
                let header = format!("[[{}]]", mistake.path);
                mistake.meaning(Some(header))
            }
            Language::Toml => mistake,
            Language::Yaml => mistake.but("each begins with `- `"),
            Language::Json => mistake.but("it stands in [ ]"),
        }
    }

    /// The places of a list do not move: what is no table among tables is an empty one, and one wrong value spoils a list
    /// of values.
    fn list(&mut self, nodes: &[Node], items: &Json, path: &str) -> Option<Json> {
        let tables = resolve(items, self.definitions)["type"] == "object";
        let values: Vec<Option<Json>> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let below = format!("{path}[{index}]");
                let value = self.node(node, items, &below);
                if matches!(node.value, Value::Null) {
                    self.found.add(below, "there is nothing in this place of the list");
                }
                value.or_else(|| tables.then(|| Json::Object(serde_json::Map::new())))
            })
            .collect();
        values.into_iter().collect::<Option<Vec<Json>>>().map(Json::Array)
    }

    fn text(&mut self, text: &str, schema: &Json, path: &str) -> Option<Json> {
        if let Json::Array(words) = &schema["enum"] {
            let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            if !words.contains(&text) {
                let message = format!("{text:?} is not one of {}", words.join(", "));
                // `warning` is likelier `warn` than the whole of it is like it.
                let begins = words.iter().find(|word| text.to_ascii_lowercase().starts_with(**word));
                let meant = nearest(text, words.iter().copied()).or(begins.copied());
                self.found.push(Mistake::new(path, message).meaning(meant));
                return None;
            }
        }
        if text.is_empty() && schema["minLength"].as_u64().unwrap_or_default() > 0 {
            self.found.add(path, "it is empty");
            return None;
        }
        Some(text.into())
    }

    fn integer(&mut self, number: i64, schema: &Json, path: &str) -> Option<Json> {
        let (least, most) = range(schema);
        if least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most) {
            return Some(number.into());
        }
        self.out_of_range(&number.to_string(), schema, path);
        None
    }

    fn number(&mut self, number: f64, schema: &Json, path: &str) -> Option<Json> {
        let (least, most) = range(schema);
        if least.is_none_or(|least| number >= least as f64) && most.is_none_or(|most| number <= most as f64) {
            return Some(number.into());
        }
        self.out_of_range(&number.to_string(), schema, path);
        None
    }

    fn out_of_range(&mut self, number: &str, schema: &Json, path: &str) {
        let range = match range(schema) {
            (Some(least), Some(most)) => format!("it is {least} to {most}"),
            (Some(least), None) => format!("it is {least} or more"),
            (None, Some(most)) => format!("it is {most} or less"),
            (None, None) => "it is too large".to_owned(),
        };
        self.found.add(path, format!("{number} is out of range; {range}"));
    }
}

/// The first section that has a key, by the names of keys; a list's entries stand in two brackets.
fn elsewhere() -> &'static HashMap<String, String> {
    static SECTIONS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
        let mut keys = HashMap::new();
        let schema = json_schema();
        let definitions = &schema["$defs"];
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let section = resolve(schema, definitions);
            let lists = section["items"].is_object();
            let section = if lists { resolve(&section["items"], definitions) } else { section };
            let name = if lists { format!("[{name}]") } else { name.clone() };
            let Some(properties) = section["properties"].as_object() else { continue };
            for key in properties.keys() {
                keys.entry(key.clone()).or_insert_with(|| name.clone());
            }
            for (inner, schema) in properties.iter().filter(|_| !lists) {
                let below = resolve(schema, definitions)["properties"].as_object();
                for key in below.into_iter().flatten().map(|(key, _)| key) {
                    keys.entry(key.clone()).or_insert_with(|| format!("{name}.{inner}"));
                }
            }
        }
        keys
    });
    &SECTIONS
}

/// The least and the most that a number may be.
fn range(schema: &Json) -> (Option<i64>, Option<i64>) {
    let most = match schema["format"].as_str() {
        Some("uint16") => Some(i64::from(u16::MAX)),
        Some("uint32") => Some(i64::from(u32::MAX)),
        _ => None,
    };
    (schema["minimum"].as_i64(), schema["maximum"].as_i64().or(most))
}

/// The bytes of the file that may hold a secret: a text in the place of a reference, and what else stands in one.
pub(super) fn secrets(root: &Node) -> Vec<Range<usize>> {
    let schema = json_schema();
    let mut secrets = Vec::new();
    secrets_below(root, schema, &schema["$defs"], &mut secrets);
    secrets
}

fn secrets_below(node: &Node, schema: &Json, definitions: &Json, secrets: &mut Vec<Range<usize>>) {
    let schema = resolve(schema, definitions);
    let secret = schema["writeOnly"] == true;
    match &node.value {
        Value::Table(entries) => {
            for Entry { key, node, .. } in entries {
                match (&schema["properties"][key], &schema["additionalProperties"]) {
                    (Json::Null, _) if secret => secrets.extend(bytes(node)),
                    (Json::Null, other) => secrets_below(node, other, definitions, secrets),
                    (property, _) => secrets_below(node, property, definitions, secrets),
                }
            }
        }
        Value::List(_) | Value::Text(_) if secret => secrets.extend(bytes(node)),
        Value::Text(text) if text.contains("://") && has_credentials(text) => secrets.extend(bytes(node)),
        Value::List(nodes) => {
            nodes.iter().for_each(|node| secrets_below(node, &schema["items"], definitions, secrets));
        }
        _ => {}
    }
}

fn bytes(node: &Node) -> Option<Range<usize>> {
    match &node.origin {
        Origin::File(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn wrong_type(value: &Value, types: &[&str], schema: &Json, path: &str) -> Mistake {
    let time = schema["examples"].is_array();
    let wanted: Vec<&str> = types
        .iter()
        .map(|name| match *name {
            "object" => "a table of keys",
            "array" if schema["items"].get("$ref").is_some_and(|name| name != "#/$defs/Time") => {
                "a list of tables"
            }
            "array" => "a list",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "string" if schema["enum"].is_array() => "one of the words",
            _ if time => "a time in quotes (such as \"30s\")",
            _ => "a text in quotes",
        })
        .collect();
    let hidden = schema["writeOnly"] == true;
    let found = match value {
        Value::Text(_) if hidden => "a text".to_owned(),
        value => value.to_string(),
    };
    let meant = match (value, types) {
        (Value::Text(text), ["boolean"]) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("true".to_owned()),
            "false" | "no" | "off" | "0" => Some("false".to_owned()),
            _ => None,
        },
        (Value::Text(text), ["number"]) => text.parse::<f64>().ok().map(|number| number.to_string()),
        (Value::Text(text), ["integer"]) => text.parse::<i64>().ok().map(|number| number.to_string()),
        (Value::Text(text), ["array"]) => Some(format!("[{text:?}]")),
        // Who writes thousands means milliseconds.
        (Value::Integer(number), ["string"]) if time && *number >= 1000 => Some(match number % 1000 {
            0 => format!("\"{}s\"", number / 1000),
            _ => format!("\"{number}ms\""),
        }),
        (Value::Integer(number), ["string"]) if time => Some(format!("\"{number}s\"")),
        (_, ["string"]) if schema["enum"].is_array() => None,
        (Value::Integer(_) | Value::Float(_) | Value::Bool(_), ["string"]) => match value {
            Value::Integer(number) => Some(format!("\"{number}\"")),
            Value::Float(number) => Some(format!("\"{number}\"")),
            _ => None,
        },
        _ => None,
    };
    let words = schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    let words = if words.is_empty() { String::new() } else { format!(" {}", words.join(", ")) };
    let message = format!("{found} stands where {}{words} is wanted", wanted.join(" or "));
    Mistake::new(path, message).meaning(meant)
}
