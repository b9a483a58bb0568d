//! The JSON Schema (2020-12) of the config file, made from the settings and their comments. `propylon config schema` prints
//! it, and the shape of every config is checked by it.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{document::Language, settings::Settings};

/// Every key with its default.
const EXAMPLE: &str = include_str!("../../config/propylon.example.toml");

/// The one key of the file that is no setting.
pub(super) const SCHEMA_KEY: &str = "$schema";

/// Defaults that the example cannot show: those of entries of lists that it only mentions.
const UNSHOWN: [(&str, &str, &str); 56] = [
    ("/$defs/McpServer", "expose", "[\"*\"]"),
    ("/$defs/McpServer", "prompts", "true"),
    ("/$defs/McpServer", "resources", "true"),
    ("/$defs/McpServer", "protocol", "\"auto\""),
    ("/$defs/McpServer", "failure", "\"open\""),
    ("/$defs/McpServer", "timeout", "\"60s\""),
    ("/$defs/McpServer", "refresh", "\"30s\""),
    ("/$defs/McpServer", "sessions", "100"),
    ("/$defs/McpServer", "session_idle", "\"5m\""),
    ("/$defs/McpServer", "connect_timeout", "\"3s\""),
    ("/$defs/Upstream", "http2", "false"),
    ("/$defs/Upstream", "tunnel_idle_timeout", "\"1h\""),
    ("/$defs/Retry", "statuses", "[502, 503, 504]"),
    ("/$defs/Health", "path", "\"/\""),
    ("/$defs/Health", "interval", "\"5s\""),
    ("/$defs/Health", "timeout", "\"1s\""),
    ("/$defs/Health", "healthy_after", "2"),
    ("/$defs/Health", "unhealthy_after", "3"),
    ("/$defs/Probe", "timeout", "\"2s\""),
    ("/$defs/Probe", "critical", "false"),
    ("/$defs/Probe", "may_be_absent", "false"),
    ("/$defs/Load", "requests", "1000"),
    ("/$defs/Load", "waiting", "100"),
    ("/$defs/Load", "wait", "\"1s\""),
    ("/$defs/Issuer", "audience", "[]"),
    ("/$defs/Issuer", "check_issuer", "true"),
    ("/$defs/Issuer", "check_audience", "true"),
    ("/$defs/Issuer", "discovery", "false"),
    ("/$defs/Issuer", "algorithm", "\"HS256\""),
    ("/$defs/Issuer", "leeway", "\"60s\""),
    ("/$defs/Claims", "id", "\"sub\""),
    ("/$defs/Claims", "email", "\"email\""),
    ("/$defs/Claims", "roles", "[]"),
    ("/$defs/Claims", "permissions", "[]"),
    ("/$defs/Claims", "scopes", "[\"scope\"]"),
    ("/$defs/Token", "roles", "[]"),
    ("/$defs/Token", "permissions", "[]"),
    ("/$defs/Token", "scopes", "[]"),
    ("/$defs/AccessRule", "public", "false"),
    ("/$defs/AccessRule", "roles", "[]"),
    ("/$defs/AccessRule", "permissions", "[]"),
    ("/$defs/AccessRule", "scopes", "[]"),
    ("/$defs/AccessRule", "tiers", "[]"),
    ("/$defs/AccessRule", "allow", "[]"),
    ("/$defs/AccessRule", "deny", "[]"),
    ("/$defs/LimitRule", "burst", "0"),
    ("/$defs/LimitRule", "by", "\"caller\""),
    ("/$defs/Route", "strip_segments", "0"),
    ("/$defs/Route", "keep_host", "false"),
    ("/$defs/Route", "escaped_slashes", "false"),
    ("/$defs/Share", "weight", "1"),
    ("/$defs/Respond", "status", "200"),
    ("/$defs/Redirect", "status", "308"),
    ("/$defs/Redirect", "keep_query", "true"),
    ("/$defs/BuiltIn", "enabled", "true"),
    ("/$defs/BuiltIn", "proto_names", "true"),
];

/// The schema.
#[must_use]
pub fn json_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Settings>();
        let mut schema = schema.to_value();
        plain(&mut schema);
        if let Some(example) = Language::Toml.read(EXAMPLE).root.whole() {
            defaults(&mut schema, &example.plain());
        }
        for (place, key, value) in UNSHOWN {
            put(
                &mut schema,
                &format!("{place}/properties/{key}"),
                serde_json::from_str(value).unwrap_or_default(),
            );
        }
        if let Some(keys) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            let what = "The address of this schema, for editors. Default: none.";
            keys.insert(SCHEMA_KEY.to_owned(), json!({ "type": "string", "description": what }));
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

/// The example shows the defaults: they go into the schema, for editors. Of lists of tables it shows one that has every
/// default, the upstream; its own keys are examples.
fn defaults(schema: &mut Value, example: &Value) {
    const SHOWN: [&str; 1] = ["upstreams"];
    let mut walk: Vec<(String, &Value)> = vec![(String::new(), example)];
    while let Some((place, values)) = walk.pop() {
        for (key, value) in values.as_object().into_iter().flatten() {
            let at = format!("{place}/properties/{key}");
            let Some(property) = schema.pointer(&at) else { continue };
            let name = |schema: &Value| {
                schema.get("$ref").and_then(Value::as_str).map(|name| name.trim_start_matches('#').to_owned())
            };
            let items = name(&property["items"]);
            match (name(property), items, value) {
                (Some(name), _, Value::Object(_)) => walk.push((name, value)),
                (_, Some(name), Value::Array(entries)) if SHOWN.contains(&key.as_str()) => {
                    walk.extend(entries.iter().map(|entry| (name.clone(), entry)));
                }
                (_, Some(_), Value::Array(entries)) if !entries.is_empty() => {}
                (None, _, Value::Object(members)) if members.is_empty() => {}
                (None, ..) if property["additionalProperties"]["$ref"].is_string() => {}
                _ => put(schema, &at, value.clone()),
            }
        }
    }
}

/// Gives a key its default, unless it, or another in its place, has to be written.
fn put(schema: &mut Value, at: &str, value: Value) {
    let Some((definition, key)) = at.rsplit_once("/properties/") else { return };
    let demands = |schema: &Value| {
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|known| known == key))
    };
    // A branch that says which value is meant leaves another, which is the default.
    let alone = |branch: &Value| demands(branch) && branch.get("properties").is_none();
    let definition = schema.pointer(definition).unwrap_or(&Value::Null);
    if demands(definition)
        || definition["oneOf"].as_array().is_some_and(|branches| branches.iter().any(alone))
    {
        return;
    }
    if let Some(Value::Object(property)) = schema.pointer_mut(at) {
        property.insert("default".to_owned(), value);
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
        assert_eq!(schema["$defs"]["Upstream"]["required"], json!(["name"]));
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
