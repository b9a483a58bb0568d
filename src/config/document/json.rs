//! JSON (RFC 8259) into the tree: jsonc-parser, told to take nothing beyond JSON, has the positions and the better words,
//! and serde_json has the last one on whether it is JSON.

use std::{collections::HashSet, ops::Range};

use jsonc_parser::{CollectOptions, ParseOptions, ast, common::Ranged as _, parse_to_ast};

use super::{Entry, MAX_DEPTH, Node, Origin, Read, Root, STOPPED, Unreadable, Value};

pub(super) fn read(text: &str) -> Read {
    let mut wrong = Vec::new();
    match parsed(text, &mut wrong) {
        Ok(root) => Read { root: Root::Whole(root), wrong },
        Err(one) => {
            // What is never closed was read to its end, which is the text's.
            let unclosed = ["unterminated array", "unterminated object"].contains(&one.why.as_str());
            let (at, stopped) = if unclosed { (one.at.end, "") } else { (one.at.start, STOPPED) };
            let root = before(text, at, &mut wrong);
            wrong.push(Unreadable { why: format!("{}{stopped}", one.why), ..one });
            Read { root, wrong }
        }
    }
}

/// The tree; what is wrong with one value alone goes to `wrong`.
fn parsed(text: &str, wrong: &mut Vec<Unreadable>) -> Result<Node, Unreadable> {
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
    Ok(node(&value, 0, wrong))
}

/// What stands before a place where the text is no JSON: all members and elements that are complete, by what is left of
/// the text when it is cut behind them and closed.
fn before(text: &str, at: usize, wrong: &mut Vec<Unreadable>) -> Root {
    let Some(text) = text.get(..at) else { return Root::Nothing };
    let (mut closers, mut quoted, mut escaped) = (String::new(), false, false);
    // Where it can be cut, and what then closes it: behind the last of several, behind what opens, and at the very end.
    let mut cuts: [Option<(usize, String)>; 2] = [None, None];
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                closers.push(if byte == b'{' { '}' } else { ']' });
                cuts = [None, Some((index + 1, closers.clone()))];
            }
            b'}' | b']' => {
                closers.pop();
            }
            b',' => cuts = [Some((index, closers.clone())), cuts.into_iter().flatten().next()],
            _ => {}
        }
    }
    let end = (!quoted).then(|| (text.len(), closers.clone()));
    for (cut, closers) in end.into_iter().chain(cuts.into_iter().flatten()) {
        let closed: String =
            text.get(..cut).into_iter().flat_map(str::chars).chain(closers.chars().rev()).collect();
        let mut found = Vec::new();
        if let Ok(root) = parsed(&closed, &mut found) {
            wrong.append(&mut found);
            return Root::UpTo(root, cut);
        }
    }
    Root::Nothing
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

fn node(value: &ast::Value<'_>, depth: usize, wrong: &mut Vec<Unreadable>) -> Node {
    let range = value.range();
    let span = range.start..range.end;
    let read = match value {
        _ if depth > MAX_DEPTH => {
            wrong.push(Unreadable { at: span.clone(), why: format!("it is deeper than {MAX_DEPTH} levels") });
            Value::Wrong
        }
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => number(literal.value, &span, wrong),
        ast::Value::StringLit(literal) => Value::Text(literal.value.to_string()),
        ast::Value::Array(array) => {
            Value::List(array.elements.iter().map(|element| node(element, depth + 1, wrong)).collect())
        }
        ast::Value::Object(object) => {
            let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
            let mut keys = HashSet::new();
            for property in &object.properties {
                let key = property.name.as_str();
                let range = property.name.range();
                let at = range.start..range.end;
                let node = node(&property.value, depth + 1, wrong);
                if !keys.insert(key) {
                    wrong.push(Unreadable { at, why: format!("the key {key:?} is there twice") });
                    continue;
                }
                entries.push(Entry { key: key.to_owned(), origin: Origin::File(at), node });
            }
            Value::Table(entries)
        }
    };
    Node { value: read, origin: Origin::File(span) }
}

fn number(text: &str, span: &Range<usize>, wrong: &mut Vec<Unreadable>) -> Value {
    if let Ok(value) = text.parse() {
        return Value::Integer(value);
    }
    match text.parse::<f64>() {
        Ok(_) if text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) => {
            Value::Beyond(text.to_owned())
        }
        Ok(value) if value.is_finite() => Value::Float(value),
        _ => {
            wrong.push(Unreadable { at: span.clone(), why: "the number is too large".to_owned() });
            Value::Wrong
        }
    }
}
