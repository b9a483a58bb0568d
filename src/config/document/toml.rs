//! TOML (1.1) into the tree, by the toml crate's own values with positions.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{BARE, Entry, LARGE, Node, Origin, Read, Root, Unreadable, Value};

/// What the crate says of a key that is there twice: the first of them is in its table.
const TWICE: &str = "duplicate key";

const NO_NUMBER: &str = "this is not a number";

pub(super) fn read(text: &str) -> Read {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut wrong: Vec<Unreadable> = errors
        .iter()
        .map(|error| {
            let at = error.span().unwrap_or(0..0);
            let why = bare(error.message(), text.get(at.clone()).unwrap_or_default());
            Unreadable { at, why: why.unwrap_or(error.message()).to_owned() }
        })
        .collect();
    let span = table.span();
    let sure = wrong.iter().all(|one| one.why == TWICE);
    let root = self::table(table.get_ref(), span, &mut wrong);
    for one in wrong.iter_mut().filter(|one| one.why == NO_NUMBER) {
        let value = text.get(one.at.clone()).unwrap_or_default();
        // An address, or a version.
        if value.contains(':') || value.matches('.').count() > 1 {
            one.why = BARE.to_owned();
        }
    }
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

/// What is wrong with a value that has no quotes: to the crate what begins with `i` is a number (`inf`), and with `t` a truth.
fn bare(message: &str, value: &str) -> Option<&'static str> {
    let word = value.starts_with(char::is_alphabetic);
    let guessed = word && (message.starts_with("invalid float") || message.starts_with("invalid boolean"));
    match value.to_ascii_lowercase().as_str() {
        "true" | "false" if guessed => Some(LARGE),
        _ => (guessed || message.starts_with("string values must be quoted")).then_some(BARE),
    }
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
            Err(_) => wrong(NO_NUMBER),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(|value| node(value, unreadable)).collect()),
        DeValue::Table(inner) => return table(inner, span, unreadable),
    };
    Node { value: read, origin: Origin::File(span) }
}
