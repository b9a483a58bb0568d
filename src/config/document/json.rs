//! JSON (RFC 8259) into the tree: jsonc-parser, told to take nothing beyond JSON, has the positions and the better words,
//! and serde_json has the last one on whether it is JSON.

use std::ops::Range;

use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged as _, parse_to_ast};

use super::{Entry, MAX_DEPTH, Node, Origin, Unreadable, Value};

pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &strict).map_err(|error| {
        let range = error.range();
        Unreadable { at: range.start..range.end, why: uncapitalised(&error.kind().to_string()) }
    })?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let start = offset(text, error.line(), error.column());
        let said = error.to_string();
        let why = said.split(" at line ").next().unwrap_or_default().to_owned();
        return Err(Unreadable { at: start..start, why });
    }
    let value = parsed.value.ok_or_else(|| Unreadable { at: 0..0, why: "the file is empty".to_owned() })?;
    node(&value, 0)
}

/// The byte at serde_json's line and column, both from 1 on; columns are bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (before + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn uncapitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

fn node(value: &ast::Value<'_>, depth: usize) -> Result<Node, Unreadable> {
    let range = value.range();
    let span = range.start..range.end;
    if depth > MAX_DEPTH {
        return Err(Unreadable { at: span, why: format!("it is deeper than {MAX_DEPTH} levels") });
    }
    let read = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => number(literal.value, &span)?,
        ast::Value::StringLit(literal) => Value::Text(literal.value.to_string()),
        ast::Value::Array(array) => Value::List(
            array.elements.iter().map(|element| node(element, depth + 1)).collect::<Result<_, _>>()?,
        ),
        ast::Value::Object(object) => {
            let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
            for property in &object.properties {
                let key = property.name.as_str();
                let range = property.name.range();
                let at = range.start..range.end;
                if entries.iter().any(|entry| entry.key == key) {
                    return Err(Unreadable { at, why: format!("the key {key:?} is there twice") });
                }
                let node = node(&property.value, depth + 1)?;
                entries.push(Entry { key: key.to_owned(), origin: Origin::File(at), node });
            }
            Value::Table(entries)
        }
    };
    Ok(Node { value: read, origin: Origin::File(span) })
}

fn number(text: &str, span: &Range<usize>) -> Result<Value, Unreadable> {
    if let Ok(value) = text.parse() {
        return Ok(Value::Integer(value));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Value::Float(value)),
        _ => Err(Unreadable { at: span.clone(), why: "the number is too large".to_owned() }),
    }
}
