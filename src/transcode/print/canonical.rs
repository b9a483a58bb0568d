//! A message's records put into the one order the printer reads: by field, once for each singular field, each map key once.
//! Protobuf allows any order and any repetition; what comes of it (last one wins, messages merge) is decided here.

use std::collections::HashMap;

use crate::transcode::error::TranscodeError;
use crate::transcode::keys::{Key, Keys};
use crate::transcode::tables::{Enum, Field, Kind, Label, Message, NONE, Tables};
use crate::transcode::wire::{self, Raw, Reader};

/// The same message with its known records in canonical form, unknown ones left out; with `only`, that one field's records.
pub(super) fn canonical(
    tables: &Tables,
    message: &Message,
    wire: &[u8],
    only: Option<usize>,
) -> Result<Vec<u8>, TranscodeError> {
    let mut records: Vec<Vec<(u32, Raw<'_>)>> = vec![Vec::new(); message.fields.len()];
    let wanted_oneof = only.map(|index| message.fields[index].oneof);
    let mut reader = Reader::new(wire);
    while !reader.is_empty() {
        let tag = reader.tag()?;
        let value = reader.value(tag)?;
        let Some(index) = message.index_of(tag >> 3) else { continue };
        let field = &message.fields[index];
        if only
            .is_some_and(|only| only != index && (field.oneof == NONE || Some(field.oneof) != wanted_oneof))
        {
            continue;
        }
        if !fits(tables, field, tag, value) {
            continue;
        }
        if field.oneof != NONE {
            let siblings = message.fields.iter().enumerate().filter(|(_, other)| other.oneof == field.oneof);
            for (sibling, _) in siblings.filter(|(sibling, _)| *sibling != index) {
                records[sibling].clear();
            }
        }
        let merges = matches!(field.kind, Kind::Message | Kind::Group);
        if field.label == Label::Singular && !merges {
            records[index].clear();
        }
        records[index].push((tag, value));
    }
    let mut out = Vec::with_capacity(wire.len());
    for (index, (field, records)) in message.fields.iter().zip(&records).enumerate() {
        if only.is_some_and(|only| only != index) {
            continue;
        }
        match field.label {
            Label::Singular if records.len() > 1 => put_merged(&mut out, field, records),
            Label::Map => put_distinct(&mut out, tables, field, records)?,
            Label::Singular | Label::Repeated => {
                for (tag, value) in records {
                    put_record(&mut out, *tag, *value);
                }
            }
        }
    }
    Ok(out)
}

/// Whether the records are in the order the printer reads: what it would find out on its way, without printing.
pub(super) fn in_order(tables: &Tables, message: &Message, wire: &[u8]) -> Result<bool, TranscodeError> {
    let (mut next, mut run) = (0, None);
    let mut oneofs = vec![false; message.oneofs.len()];
    let mut keys = Keys::new();
    let mut reader = Reader::new(wire);
    while !reader.is_empty() {
        let tag = reader.tag()?;
        let value = reader.value(tag)?;
        let index = message.index_of(tag >> 3);
        let fitting = index.filter(|index| {
            let field = &message.fields[*index];
            if field.label == Label::Singular {
                fits(tables, field, tag, value)
            } else {
                tag == field.tag || packed_run(field, tag)
            }
        });
        let Some(index) = fitting else {
            run = None;
            continue;
        };
        let field = &message.fields[index];
        let continues = run == Some(index) && field.label != Label::Singular;
        if index < next && !continues {
            return Ok(false);
        }
        if field.oneof != NONE
            && let Some(taken) = oneofs.get_mut(usize::from(field.oneof))
            && std::mem::replace(taken, true)
        {
            return Ok(false);
        }
        if let (Label::Map, Raw::Bytes(entry)) = (field.label, value) {
            if !continues {
                keys = Keys::new();
            }
            if !keys.insert(entry_key(tables.message(field.target), entry)?) {
                return Ok(false);
            }
        }
        next = index + 1;
        run = Some(index);
    }
    Ok(true)
}

/// Whether a record is of its field's type: another wire type, or a closed enum's foreign number, is an unknown field.
fn fits(tables: &Tables, field: &Field, tag: u32, value: Raw<'_>) -> bool {
    if tag == field.tag {
        return match value {
            Raw::Number(number) if field.closed => known(tables.enumeration(field.target), number),
            _ => true,
        };
    }
    packed_run(field, tag)
}

/// Whether `tag` opens a packed run of a field whose values are numbers.
#[inline]
pub(super) fn packed_run(field: &Field, tag: u32) -> bool {
    field.label == Label::Repeated
        && tag == field.number << 3 | wire::LENGTH
        && !matches!(field.kind, Kind::Message | Kind::Group | Kind::String | Kind::Bytes)
}

/// Whether a closed enum has this number.
#[inline]
pub(super) fn known(each: &Enum, number: u64) -> bool {
    each.quoted_name(number as i32).is_some()
}

/// Several occurrences of one message are one message with all their records.
fn put_merged(out: &mut Vec<u8>, field: &Field, records: &[(u32, Raw<'_>)]) {
    let all = |out: &mut Vec<u8>| {
        for (_, value) in records {
            if let Raw::Bytes(bytes) = value {
                out.extend_from_slice(bytes);
            }
        }
    };
    field.put_tag(out);
    if field.kind == Kind::Group {
        all(out);
        wire::put_varint(out, u64::from(field.number << 3 | wire::END_GROUP));
    } else {
        let start = wire::begin_length(out);
        all(out);
        wire::end_length(out, start);
    }
}

/// Of several entries with one key the last counts.
fn put_distinct(
    out: &mut Vec<u8>,
    tables: &Tables,
    field: &Field,
    records: &[(u32, Raw<'_>)],
) -> Result<(), TranscodeError> {
    let entry = tables.message(field.target);
    let mut last: HashMap<Key<'_>, usize> = HashMap::new();
    let mut keys = Vec::with_capacity(records.len());
    for (index, (_, value)) in records.iter().enumerate() {
        let Raw::Bytes(bytes) = value else { continue };
        let key = entry_key(entry, bytes)?;
        last.insert(key, index);
        keys.push(key);
    }
    for (index, ((tag, value), key)) in records.iter().zip(&keys).enumerate() {
        if last.get(key) == Some(&index) {
            put_record(out, *tag, *value);
        }
    }
    Ok(())
}

/// An entry's key; an entry without one has the key type's zero.
fn entry_key<'a>(entry: &Message, bytes: &'a [u8]) -> Result<Key<'a>, TranscodeError> {
    let Some(field) = entry.fields.first() else { return Ok(Key::Number(0)) };
    let mut key = if field.kind == Kind::String { Key::Text(&[]) } else { Key::Number(0) };
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let tag = reader.tag()?;
        let value = reader.value(tag)?;
        if tag == field.tag {
            key = key_of(field.kind, value);
        }
    }
    Ok(key)
}

/// A key's value, numbers narrowed to their type so that equal keys are equal here.
#[inline]
pub(super) fn key_of(kind: Kind, value: Raw<'_>) -> Key<'_> {
    match value {
        Raw::Bytes(bytes) => Key::Text(bytes),
        Raw::Number(number) => Key::Number(narrow(kind, number)),
    }
}

/// A number cut to the bits its type has, as a protobuf parser does.
#[inline]
pub(super) fn narrow(kind: Kind, number: u64) -> u64 {
    match kind {
        Kind::Bool => u64::from(number != 0),
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Enum => number & 0xffff_ffff,
        _ => number,
    }
}

fn put_record(out: &mut Vec<u8>, tag: u32, value: Raw<'_>) {
    wire::put_varint(out, u64::from(tag));
    match (value, tag & 7) {
        (Raw::Number(number), wire::FIXED32) => out.extend_from_slice(&(number as u32).to_le_bytes()),
        (Raw::Number(number), wire::FIXED64) => out.extend_from_slice(&number.to_le_bytes()),
        (Raw::Number(number), _) => wire::put_varint(out, number),
        (Raw::Bytes(bytes), wire::GROUP) => {
            out.extend_from_slice(bytes);
            wire::put_varint(out, u64::from((tag & !7) | wire::END_GROUP));
        }
        (Raw::Bytes(bytes), _) => {
            wire::put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}
