//! The JSON Schema (2020-12) of the config file, made from the settings and their comments. `propylon config schema` prints
//! it, and the shape of every config is checked by it.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{document::Language, settings::Settings};

/// Every key with its default.
const EXAMPLE: &str = include_str!("../../config/propylon.example.toml");

/// The schema.
#[must_use]
pub fn json_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Settings>();
        let mut schema = schema.to_value();
        plain(&mut schema);
        if let Ok(example) = Language::Toml.read(EXAMPLE) {
            let definitions = schema.get("$defs").cloned().unwrap_or_default();
            defaults(&mut schema, &example.plain(), &definitions);
        }
        schema
    });
    &SCHEMA
}

/// The definition that a schema stands for.
pub(super) fn resolve<'s>(schema: &'s Value, definitions: &'s Value) -> &'s Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}

/// A key that may be left out is none that may be null, and comments are one line each.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    members.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if let Some(Value::Array(branches)) = members.get_mut("anyOf") {
                branches.retain(|branch| branch.get("type") != Some(&json!("null")));
                if let [Value::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    members.remove("anyOf");
                    for (key, value) in only {
                        members.entry(key).or_insert(value);
                    }
                }
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            // What serde takes in place of a missing key says less than the example does.
            members.remove("default");
            for (keyword, value) in members.iter_mut() {
                match value {
                    // Names of keys, of which one may be `default` itself.
                    Value::Object(named) if keyword == "properties" => named.values_mut().for_each(plain),
                    value => plain(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(plain),
        _ => {}
    }
}

/// The example shows the defaults: those of sections go into the schema, for editors. Those of lists are of their entries.
fn defaults(schema: &mut Value, example: &Value, definitions: &Value) {
    let Some(sections) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let mut of_sections = Vec::new();
    for (section, property) in sections.iter() {
        let (Some(name), Some(values)) =
            (property.get("$ref").and_then(Value::as_str), example.get(section).and_then(Value::as_object))
        else {
            continue;
        };
        for (key, value) in values {
            let known = &resolve(property, definitions)["properties"][key];
            if !known.is_null() && !value.is_object() {
                of_sections.push((
                    name.trim_start_matches("#/").replace('/', "\u{1}"),
                    key.clone(),
                    value.clone(),
                ));
            }
        }
    }
    for (definition, key, value) in of_sections {
        let pointer = format!("/{}/properties/{key}", definition.replace('\u{1}', "/"));
        if let Some(Value::Object(property)) = schema.pointer_mut(&pointer) {
            property.insert("default".to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_types_comments_and_defaults() {
        let schema = json_schema();
        let of = |section: &str, key: &str| schema["$defs"][section]["properties"][key].clone();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(of("Gateway", "listen")["type"], "string");
        assert_eq!(of("Gateway", "listen")["default"], "127.0.0.1:8080");
        assert_eq!(of("Limits", "request_bytes")["default"], 4_194_304);
        assert_eq!(of("Rest", "trailing_slash")["$ref"], "#/$defs/TrailingSlash");
        assert_eq!(schema["$defs"]["TrailingSlash"]["enum"], json!(["strict", "ignore", "redirect"]));
        assert_eq!(schema["$defs"]["Upstream"]["required"], json!(["name", "grpc"]));
        assert_eq!(schema["$defs"]["Text"]["type"], json!(["string", "object"]));
    }

    #[test]
    fn every_key_says_what_it_does() {
        fn check(at: &str, schema: &Value) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{at}.{name} has no comment");
            }
        }
        let schema = json_schema();
        check("", schema);
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            check(name, definition);
        }
    }
}
