//! Puts path and query fields into a message on the wire, beside what its body put there. Protobuf merges the occurrences
//! of a message field, so a nested field is appended as a chain of records and nothing is rewritten; what two sources
//! state differently, and two members of one oneof, are refused before they can overwrite each other.

use std::ops::Range;

use super::codec::{FieldCodec, JsonInput};
use super::error::{ErrorKind, TranscodeError};
use super::tables::{Kind, NONE};
use super::target::Target;
use super::text::{has_text_form, put_text};
use crate::schema::wire::{Record, Value, put_bytes, put_tag, put_varint, records};

/// How many different fields one request may set by path and query: each is compared with those before it.
const MAX_FIELDS: usize = 1000;
/// How many of the body's records may be looked at in all: each field of the URL is looked up in the body.
const MAX_RECORDS: usize = 1 << 24;

/// What has been woven into one message.
pub(super) struct Weave<'a> {
    input: &'a JsonInput,
    /// The message; its body's fields come first.
    out: &'a mut Vec<u8>,
    /// Where the body's fields stand in `out`.
    body: Range<usize>,
    /// The field numbers of all set fields' paths, one path behind the other.
    numbers: Vec<u32>,
    set: Vec<Set>,
    records_read: usize,
    /// The record that is being made.
    leaf: Vec<u8>,
}

struct Set {
    path: Range<usize>,
    /// For a map the record of its key, within `out`.
    key: Option<Range<usize>>,
    /// The field's record, or the map's entry, within `out`.
    value: Range<usize>,
    repeated: bool,
    source: Source,
}

/// Where a value came from, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Path,
    Query,
}

impl<'a> Weave<'a> {
    /// Begins with what the body has put into `out` from `start` on.
    pub(super) fn new(out: &'a mut Vec<u8>, start: usize, input: &'a JsonInput) -> Self {
        let body = start..out.len();
        Self { input, out, body, numbers: Vec::new(), set: Vec::new(), records_read: 0, leaf: Vec::new() }
    }

    /// Sets `target` to the value that `text` reads as; `key` is that of a map's entry.
    pub(super) fn put(
        &mut self,
        target: &Target,
        key: Option<&str>,
        text: &str,
        source: Source,
    ) -> Result<(), TranscodeError> {
        self.try_put(target, key, text, source).map_err(|error| match key {
            Some(key) => error.under(&format!("{}[{key:?}]", target.name())),
            None => error.under(&target.name()),
        })
    }

    /// Whether path or query has set the top-level field `number` or a field in it.
    pub(super) fn has(&self, number: u32) -> bool {
        self.set.iter().any(|set| self.numbers.get(set.path.start) == Some(&number))
    }

    fn try_put(
        &mut self,
        target: &Target,
        key: Option<&str>,
        text: &str,
        source: Source,
    ) -> Result<(), TranscodeError> {
        let Some(field) = target.leaf() else { return Ok(()) };
        self.leaf.clear();
        let key_length = match key {
            Some(key) => Some(self.put_entry(field, key, text)?),
            None if field.is_map() => {
                let reason = format!("a map: write {}[key]=value", field.name());
                return Err(TranscodeError::of(ErrorKind::Type, reason));
            }
            None => {
                put_text(field, text, self.input, &mut self.leaf)?;
                None
            }
        };
        if self.leaf.is_empty() {
            return Ok(());
        }
        let repeated = field.is_repeated();
        if self.is_set_already(target, key_length, repeated, source)?
            || self.is_in_body(target, key_length, source)?
        {
            return Ok(());
        }
        let path = self.numbers.len();
        self.numbers.extend(target.fields().iter().map(FieldCodec::number));
        let path = path..self.numbers.len();
        let value = self.append(target);
        // A repeated field is remembered once: its values do not contradict each other.
        let known = repeated
            && self
                .set
                .iter()
                .any(|set| self.numbers.get(set.path.clone()) == self.numbers.get(path.clone()));
        if known {
            self.numbers.truncate(path.start);
            return Ok(());
        }
        if self.set.len() == MAX_FIELDS {
            let reason = format!("more than {MAX_FIELDS} different fields in one URL");
            return Err(TranscodeError::of(ErrorKind::Range, reason));
        }
        let key = key_length.map(|length| {
            let entry = entry_start(self.out.get(value.clone()).unwrap_or_default());
            value.start + entry..value.start + entry + length
        });
        self.set.push(Set { path, key, value, repeated, source });
        Ok(())
    }

    /// Makes a map's entry; answers the length of its key's record.
    fn put_entry(&mut self, field: &FieldCodec, key: &str, text: &str) -> Result<usize, TranscodeError> {
        let entry = field.message().filter(|_| field.is_map());
        let parts = entry.as_ref().and_then(|entry| Some((entry.field("key")?, entry.field("value")?)));
        let Some((key_field, value_field)) = parts else {
            let reason = format!("{} is no map and takes no key", field.name());
            return Err(TranscodeError::of(ErrorKind::Type, reason));
        };
        if !has_text_form(&value_field) {
            let reason = "a map of messages cannot be given in a URL".to_owned();
            return Err(TranscodeError::of(ErrorKind::Type, reason));
        }
        let mut pair = Vec::with_capacity(key.len() + text.len() + 8);
        put_text(&key_field, key, self.input, &mut pair)?;
        let key_length = pair.len();
        put_text(&value_field, text, self.input, &mut pair)?;
        // An enum value that is skipped takes its entry with it.
        if pair.len() > key_length {
            put_bytes(&mut self.leaf, field.number(), &pair);
        }
        Ok(key_length)
    }

    /// Looks through what path and query have set: true if the same value is there already.
    fn is_set_already(
        &self,
        target: &Target,
        key_length: Option<usize>,
        repeated: bool,
        source: Source,
    ) -> Result<bool, TranscodeError> {
        for set in &self.set {
            let path = self.numbers.get(set.path.clone()).unwrap_or_default();
            let shared = path
                .iter()
                .zip(target.fields())
                .take_while(|(number, field)| **number == field.number())
                .count();
            match (path.get(shared), target.fields().get(shared)) {
                (Some(other), Some(field)) => clash(field, *other)?,
                (None, None) => {
                    let new_key = key_length.map(|length| {
                        let start = entry_start(&self.leaf);
                        self.leaf.get(start..start + length)
                    });
                    let same_key = set.key.clone().map(|range| self.out.get(range)) == new_key;
                    if repeated || set.repeated || !same_key {
                        continue;
                    }
                    if self.out.get(set.value.clone()) == Some(self.leaf.as_slice()) {
                        return Ok(true);
                    }
                    return Err(disagree(set.source, source));
                }
                // One within the other: a Timestamp's text and its seconds, say.
                _ => return Err(TranscodeError::of(ErrorKind::Duplicate, "given as a whole and in parts")),
            }
        }
        Ok(false)
    }

    /// Looks for the field in the body's part of the message: true if the same value is there already.
    fn is_in_body(
        &mut self,
        target: &Target,
        key_length: Option<usize>,
        source: Source,
    ) -> Result<bool, TranscodeError> {
        let body = self.out.get(self.body.clone()).unwrap_or_default();
        if body.is_empty() {
            return Ok(false);
        }
        let found = find_in(body, target.fields(), &mut self.records_read)?;
        if self.records_read > MAX_RECORDS {
            let reason = "too many fields in the URL beside so large a body";
            return Err(TranscodeError::of(ErrorKind::Range, reason));
        }
        let Some(found) = found else { return Ok(false) };
        // Clients print empty fields too: where a field has no presence, its default says as little as its absence.
        if is_default(found) && !target.leaf().is_some_and(FieldCodec::has_presence) {
            return Ok(false);
        }
        let repeated = key_length.is_some() || target.leaf().is_some_and(FieldCodec::is_repeated);
        let same = records(&self.leaf).next().and_then(Result::ok).is_some_and(|leaf| leaf.value == found);
        if repeated || !same {
            let reason = format!("given by the {} and, differently, in the body", source.name());
            return Err(TranscodeError::of(ErrorKind::Duplicate, reason));
        }
        Ok(true)
    }

    /// Appends the leaf within the records of the messages around it; answers where the leaf stands.
    fn append(&mut self, target: &Target) -> Range<usize> {
        let mut groups = Vec::new();
        let around = target.fields().len().saturating_sub(1);
        for (at, field) in target.fields().iter().enumerate().take(around) {
            if field.kind() == Kind::Group {
                put_tag(self.out, field.number(), 3);
                groups.push(field.number());
            } else {
                put_tag(self.out, field.number(), 2);
                put_varint(self.out, target.length(at + 1, self.leaf.len()) as u64);
            }
        }
        let start = self.out.len();
        self.out.extend_from_slice(&self.leaf);
        let value = start..self.out.len();
        for number in groups.into_iter().rev() {
            put_tag(self.out, number, 4);
        }
        value
    }
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
        }
    }
}

/// The value that `message` holds at the end of `fields`; an error if it holds another member of a oneof on the way.
fn find_in<'w>(
    message: &'w [u8],
    fields: &[FieldCodec],
    records_read: &mut usize,
) -> Result<Option<Value<'w>>, TranscodeError> {
    let Some((field, below)) = fields.split_first() else { return Ok(None) };
    let mut found = None;
    for record in records(message) {
        let Record { number, value, .. } =
            record.map_err(|_| TranscodeError::wire("the body is malformed on the wire"))?;
        *records_read += 1;
        if number != field.number() {
            clash(field, number)?;
            continue;
        }
        found = match value {
            Value::Bytes(nested) | Value::Group(nested) if !below.is_empty() => {
                find_in(nested, below, records_read)?.or(found)
            }
            value => Some(value),
        };
    }
    Ok(found)
}

/// An error if `field` and its sibling `other` are members of one oneof.
fn clash(field: &FieldCodec, other: u32) -> Result<(), TranscodeError> {
    let oneof = field.table().oneof;
    if oneof == NONE {
        return Ok(());
    }
    let siblings = field.parent().table();
    match siblings.index_of(other).and_then(|index| siblings.fields.get(index)) {
        Some(sibling) if sibling.oneof == oneof => {
            let reason = format!(
                "{} and {} are both of the oneof {}",
                field.name(),
                sibling.name,
                field.oneof().unwrap_or_default()
            );
            Err(TranscodeError::of(ErrorKind::Oneof, reason))
        }
        _ => Ok(()),
    }
}

fn is_default(value: Value<'_>) -> bool {
    match value {
        Value::Varint(number) => number == 0,
        Value::Fixed64(bytes) => bytes == [0; 8],
        Value::Fixed32(bytes) => bytes == [0; 4],
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Group(_) => false,
    }
}

fn disagree(first: Source, second: Source) -> TranscodeError {
    let reason = match (first, second) {
        (Source::Query, Source::Query) => "given twice, with different values".to_owned(),
        _ => format!("given by the {} and, differently, by the {}", first.name(), second.name()),
    };
    TranscodeError::of(ErrorKind::Duplicate, reason)
}

/// Where the payload of a length-delimited record begins.
fn entry_start(record: &[u8]) -> usize {
    match records(record).next() {
        Some(Ok(Record { value: Value::Bytes(payload), raw, .. })) => raw.len() - payload.len(),
        _ => 0,
    }
}
