//! TOML (1.1) into the tree, by the toml crate's own values with positions.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Entry, Node, Origin, Read, Root, Unreadable, Value};

/// What the crate says of a key that is there twice: the first of them is in its table.
const TWICE: &str = "duplicate key";

pub(super) fn read(text: &str) -> Read {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut wrong: Vec<Unreadable> = errors
        .iter()
        .map(|error| Unreadable { at: error.span().unwrap_or(0..0), why: error.message().to_owned() })
        .collect();
    let span = table.span();
    let sure = wrong.iter().all(|one| one.why == TWICE);
    let root = self::table(table.get_ref(), span, &mut wrong);
    wrong.sort_by_key(|one| one.at.start);
    // What stands behind a mistake of a line is often read as another one.
    let mut from = 0;
    wrong.retain(|one| {
        let first = one.at.start >= from;
        from = text
            .get(one.at.start..)
            .and_then(|rest| rest.find('\n'))
            .map_or(text.len(), |end| one.at.start + end)
            + 1;
        first || one.why == TWICE
    });
    for one in wrong.iter_mut().filter(|one| one.why == TWICE) {
        let key = text.get(one.at.clone()).unwrap_or_default().trim_matches(['"', '\'']);
        one.why = format!("the key {key:?} is there twice");
    }
    let root = if sure { Root::Whole(root) } else { before(text, &wrong) };
    Read { root, wrong }
}

/// What stands on the lines before the first mistake.
fn before(text: &str, wrong: &[Unreadable]) -> Root {
    let first = wrong.iter().find(|one| !one.why.ends_with(" is there twice"));
    let lines = first.and_then(|first| text.get(..first.at.start)).unwrap_or_default();
    let lines = lines.get(..lines.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default();
    let (table, errors) = DeTable::parse_recoverable(lines);
    if errors.iter().any(|error| error.message() != TWICE) {
        return Root::Nothing;
    }
    let span = table.span();
    Root::UpTo(self::table(table.get_ref(), span, &mut Vec::new()), lines.len())
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
        Value::Wrong
    };
    let read = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Value::Integer(value),
            Err(_) => Value::Beyond(integer.to_string()),
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
