//! The environment's part of a config: `PROPYLON_SECTION__KEY` for every key, and the names that the systems before this one
//! had. The process's environment is read here, once, and nowhere else; the rest is a function of what was read.

mod callers;
mod names;
mod opentelemetry;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;

use super::{
    document::{Entry, Node, Origin, Value, path},
    json_schema::{SCHEMA_KEY, json_schema, resolve},
    mistake::{Mistake, Mistakes, Part},
};
use crate::schema::nearest;

const PREFIX: &str = "PROPYLON_";

/// Environment variables by name.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    /// Names alone: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Environment {
    /// The process's own. What is not UTF-8 cannot be ours, and is left out.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Puts what the environment says over what the file says.
    pub(super) fn apply(&self, root: &mut Node, found: &mut Mistakes) {
        names::apply(self, root, found);
        for (name, value) in &self.0 {
            let Some(key) = name.strip_prefix(PREFIX).filter(|key| !is_service_link(key, value)) else {
                continue;
            };
            match key_of(key, root) {
                Some((path, schema)) => {
                    let origin = Origin::Variable(name.as_str().into());
                    match node(value, schema, name, &origin) {
                        Ok(node) => lay_over(root, &path, node, schema),
                        Err(why) => {
                            found.push(Mistake::new(path, why).at(Part::Variable(name.as_str().into())))
                        }
                    }
                }
                None => {
                    let known = all_names(root);
                    let message = "the config has no such key; it is PROPYLON_SECTION__KEY";
                    let mistake = Mistake::new("", message)
                        .meaning(nearest_name(name, &known))
                        .at(Part::Variable(Arc::from(name.as_str())));
                    // Without a key's two underscores it may be somebody else's, such as an image's PROPYLON_VERSION.
                    found.push(if key.contains("__") { mistake } else { mistake.warning() });
                }
            }
        }
    }
}

/// The name of a key that was likely meant. What all names have in common makes none of them like another: sections are held
/// against sections, and keys against keys.
fn nearest_name(name: &str, known: &[String]) -> Option<String> {
    let parts = |name: &str| -> Vec<String> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        name.split("__").map(str::to_owned).collect()
    };
    let wanted = parts(name);
    let like = |known: &&String| {
        let known = parts(known);
        let near = |(a, b): (&String, &String)| a == b || nearest(a, [b.as_str()]).is_some();
        known.len() == wanted.len() && known.iter().zip(&wanted).all(near)
    };
    let flat = |name: &str| name.replace("__", "_");
    if let Some(same) = known.iter().find(|known| flat(known) == flat(name)) {
        return Some(same.clone());
    }
    let alike: Vec<&str> = known.iter().filter(like).map(String::as_str).collect();
    // A key that was written without its section.
    let behind = |known: &&String| wanted.len() == 1 && known.rsplit("__").next() == Some(wanted[0].as_str());
    nearest(name, alike).map(str::to_owned).or_else(|| {
        let mut keys = known.iter().filter(behind);
        keys.next().filter(|_| keys.next().is_none()).cloned()
    })
}

/// What Kubernetes and Docker say of a service named propylon: not the config's.
fn is_service_link(key: &str, value: &str) -> bool {
    // Of a service named propylon, or of one whose name begins so (`PROPYLON_ADMIN_SERVICE_HOST`).
    let link = ["PORT", "SERVICE_HOST", "SERVICE_PORT"]
        .iter()
        .any(|word| key == *word || key.ends_with(&format!("_{word}")))
        || ["PORT_", "SERVICE_PORT_"]
            .iter()
            .any(|word| key.starts_with(word) || key.contains(&format!("_{word}")));
    !key.contains("__") && (link || value.starts_with("tcp://") || value.starts_with("udp://"))
}

/// The path and the schema of `SECTION__KEY`. An entry of a list is named by its place or, where it has one, its name.
fn key_of(key: &str, root: &Node) -> Option<(String, &'static Json)> {
    let whole = json_schema();
    let definitions = &whole["$defs"];
    let mut schema = whole;
    let mut at = String::new();
    for segment in key.split("__") {
        let lower = segment.to_ascii_lowercase();
        if let Some(property) = schema["properties"].get(&lower) {
            (at, schema) = (path::child(&at, &lower), resolve(property, definitions));
        } else if schema["items"].is_object() {
            let entries = match root.get(&at).map(|node| &node.value) {
                Some(Value::List(entries)) => entries.as_slice(),
                _ => &[],
            };
            let by_name = |node: &Node| node.text("name").is_some_and(|name| shout(name) == segment);
            let index = lower.parse().ok().or_else(|| entries.iter().position(by_name))?;
            entries.get(index)?;
            (at, schema) = (format!("{at}[{index}]"), resolve(&schema["items"], definitions));
        } else if schema["additionalProperties"].is_object() {
            let names = schema["propertyNames"]["enum"].as_array();
            let name = match names {
                Some(names) => names.iter().filter_map(Json::as_str).find(|name| *name == lower)?.to_owned(),
                None => name_in_map(segment, &at, root),
            };
            (at, schema) = (path::child(&at, &name), resolve(&schema["additionalProperties"], definitions));
        } else {
            return None;
        }
    }
    (!at.is_empty()).then_some((at, schema))
}

/// The key of a map that a segment of a variable's name stands for. One that is written already may be written in capitals,
/// with `_` for all but letters and digits; a segment with a small letter in it is the key itself; else the names of codes
/// are capitals, those of metadata and headers have `-` for `_`, and all others are small.
fn name_in_map(segment: &str, map: &str, root: &Node) -> String {
    if let Some(Value::Table(entries)) = root.get(map).map(|node| &node.value)
        && let Some(entry) = entries
            .iter()
            .find(|entry| entry.key == segment)
            .or_else(|| entries.iter().find(|entry| shout(&entry.key) == segment))
    {
        return entry.key.clone();
    }
    if segment.contains(|c: char| c.is_ascii_lowercase()) {
        return segment.to_owned();
    }
    match map.rsplit('.').next() {
        Some("statuses") => segment.to_owned(),
        Some("metadata" | "headers") => segment.to_ascii_lowercase().replace('_', "-"),
        _ => segment.to_ascii_lowercase(),
    }
}

/// Puts a variable's value over what is there: of a section or a map only the keys that it has.
fn lay_over(root: &mut Node, at: &str, node: Node, schema: &Json) {
    let definitions = &json_schema()["$defs"];
    let schema = resolve(schema, definitions);
    let of = |key: &str| match &schema["properties"][key] {
        Json::Null if schema["additionalProperties"].is_object() => Some(&schema["additionalProperties"]),
        Json::Null => None,
        property => Some(property),
    };
    // A reference to a secret is one value, and so is what may have any keys.
    let has_keys = schema["properties"].is_object() || schema["additionalProperties"].is_object();
    match node.value {
        Value::Table(entries) if has_keys && schema["writeOnly"] != true && !entries.is_empty() => {
            for Entry { key, node, .. } in entries {
                let below = path::child(at, &key);
                lay_over(root, &below, node, of(&key).unwrap_or(&Json::Null));
            }
        }
        _ => root.set(at, node),
    }
}

/// A variable's text as the value that the key wants.
fn node(text: &str, schema: &Json, name: &str, origin: &Origin) -> Result<Node, String> {
    let wants = |kind: &str| match &schema["type"] {
        Json::String(one) => one == kind,
        Json::Array(several) => several.iter().any(|one| one == kind),
        _ => false,
    };
    let trimmed = text.trim();
    let json = (wants("array") && trimmed.starts_with('['))
        || (!wants("string") && wants("object"))
        || (schema["writeOnly"] == true && trimmed.starts_with('{'));
    let value = if json {
        serde_json::from_str(trimmed).map_err(|error| format!("this is not JSON: {error}"))?
    } else if schema["writeOnly"] == true {
        // The variable is the reference.
        serde_json::json!({ "env": name })
    } else if wants("array") && (!wants("string") || text.contains(',')) {
        list(text)
    } else if wants("boolean") {
        boolean(text).map_or_else(|| text.into(), Json::Bool)
    } else if wants("integer") {
        trimmed.parse::<i64>().map_or_else(|_| text.into(), Json::from)
    } else if wants("number") {
        trimmed.parse::<f64>().map_or_else(|_| text.into(), Json::from)
    } else {
        text.into()
    };
    Ok(Node::of(&value, origin))
}

/// A list: commas between its entries.
fn list(text: &str) -> Json {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(Json::from).collect()
}

fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A name as a part of a variable's name.
fn shout(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// The variables of all keys: those of lists by the names of their entries.
fn all_names(root: &Node) -> Vec<String> {
    let mut names = Vec::new();
    names_below(json_schema(), PREFIX.trim_end_matches('_'), Some(root), &mut names);
    names
}

fn names_below(schema: &Json, name: &str, node: Option<&Node>, names: &mut Vec<String>) {
    let definitions = &json_schema()["$defs"];
    let separator = if name.len() < PREFIX.len() { "_" } else { "__" };
    let keys = schema["properties"].as_object().into_iter().flatten();
    for (key, property) in keys.filter(|(key, _)| *key != SCHEMA_KEY) {
        let name = format!("{name}{separator}{}", shout(key));
        let node = node.and_then(|node| node.entry(key)).map(|entry| &entry.node);
        names_below(resolve(property, definitions), &name, node, names);
    }
    if schema["properties"].is_object() {
        return;
    }
    names.push(name.to_owned());
    if let (true, Some(Value::List(entries))) = (schema["items"].is_object(), node.map(|node| &node.value)) {
        for entry in entries {
            let Some(known) = entry.text("name") else { continue };
            let items = resolve(&schema["items"], definitions);
            names_below(items, &format!("{name}__{}", shout(known)), Some(entry), names);
        }
    }
    for known in schema["propertyNames"]["enum"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        let other = resolve(&schema["additionalProperties"], definitions);
        names_below(other, &format!("{name}__{}", shout(known)), None, names);
    }
}

#[cfg(test)]
mod tests;
