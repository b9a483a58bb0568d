//! TOML (1.1) into the tree, by the toml crate's own values with positions.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Entry, Node, Origin, Unreadable, Value};

pub(super) fn read(text: &str) -> Result<Node, Vec<Unreadable>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut unreadable: Vec<Unreadable> = errors
        .iter()
        .map(|error| Unreadable { at: error.span().unwrap_or(0..0), why: error.message().to_owned() })
        .collect();
    // What stands behind a mistake of a line is often read as another one.
    unreadable.dedup_by_key(|one| text.get(..one.at.start).map_or(0, |before| before.matches('\n').count()));
    let span = table.span();
    let node = self::table(table.get_ref(), span, &mut unreadable);
    if unreadable.is_empty() { Ok(node) } else { Err(unreadable) }
}

fn table(table: &DeTable<'_>, span: Range<usize>, unreadable: &mut Vec<Unreadable>) -> Node {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            origin: Origin::File(key.span()),
            node: node(value, unreadable),
        })
        .collect();
    // As they were written: the crate's table is sorted.
    entries.sort_by_key(|entry| match &entry.origin {
        Origin::File(span) => span.start,
        _ => 0,
    });
    Node { value: Value::Table(entries), origin: Origin::File(span) }
}

fn node(value: &Spanned<DeValue<'_>>, unreadable: &mut Vec<Unreadable>) -> Node {
    let span = value.span();
    let mut wrong = |why: &str| {
        unreadable.push(Unreadable { at: span.clone(), why: why.to_owned() });
        Value::Null
    };
    let read = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Value::Integer(value),
            Err(_) => wrong("the number is too large"),
        },
        DeValue::Float(float) => match float.as_str().parse() {
            Ok(value) => Value::Float(value),
            Err(_) => wrong("this is not a number"),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(|value| node(value, unreadable)).collect()),
        DeValue::Table(inner) => return table(inner, span, unreadable),
    };
    Node { value: read, origin: Origin::File(span) }
}
