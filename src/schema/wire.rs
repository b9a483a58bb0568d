//! The protobuf wire format, read one record at a time and written one field at a time, for bytes whose shape is
//! known without a descriptor. Used for options that no pool knows and to weave path and query fields into a message.
//!
//! ```text
//! message = { record }
//! record  = tag value          tag = varint of (field number << 3 | wire type)
//! value   = varint | 8 bytes | varint-length bytes | { record } end-group tag | 4 bytes
//! ```
//! Specification: protobuf.dev, "Encoding".

/// How deep groups may nest before a message is refused.
const MAX_GROUP_DEPTH: usize = 100;

/// One record of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Field number, from 1 to 2^29 - 1.
    pub number: u32,
    /// The value as it stands on the wire.
    pub value: Value<'a>,
    /// The whole record, tag included.
    pub raw: &'a [u8],
}

/// A record's value, by wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64([u8; 8]),
    /// Wire type 2: the bytes without their length.
    Bytes(&'a [u8]),
    /// Wire type 3: the records between the start and the end tag.
    Group(&'a [u8]),
    /// Wire type 5.
    Fixed32([u8; 4]),
}

/// The bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The records of a message in the order they stand; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

/// Reads `message` record by record.
pub fn records(message: &[u8]) -> Records<'_> {
    Records { rest: message }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = record(self.rest, 0);
        self.rest = match &record {
            Ok(record) => self.rest.get(record.raw.len()..).unwrap_or_default(),
            Err(Malformed) => &[],
        };
        Some(record)
    }
}

fn record(bytes: &[u8], depth: usize) -> Result<Record<'_>, Malformed> {
    let (tag, mut rest) = varint(bytes)?;
    let number =
        u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number)).ok_or(Malformed)?;
    let value = match tag & 7 {
        0 => {
            let (value, after) = varint(rest)?;
            rest = after;
            Value::Varint(value)
        }
        1 => {
            let (value, after) = rest.split_first_chunk::<8>().ok_or(Malformed)?;
            rest = after;
            Value::Fixed64(*value)
        }
        2 => {
            let (length, after) = varint(rest)?;
            let length = usize::try_from(length).map_err(|_| Malformed)?;
            let (value, after) = after.split_at_checked(length).ok_or(Malformed)?;
            rest = after;
            Value::Bytes(value)
        }
        3 => {
            let start = rest;
            let inner = loop {
                let (tag, after) = varint(rest)?;
                if tag & 7 == 4 {
                    if tag >> 3 != u64::from(number) {
                        return Err(Malformed);
                    }
                    let inner = start.get(..start.len() - rest.len()).ok_or(Malformed)?;
                    rest = after;
                    break inner;
                }
                if depth >= MAX_GROUP_DEPTH {
                    return Err(Malformed);
                }
                let nested = record(rest, depth + 1)?;
                rest = rest.get(nested.raw.len()..).ok_or(Malformed)?;
            };
            Value::Group(inner)
        }
        5 => {
            let (value, after) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
            rest = after;
            Value::Fixed32(*value)
        }
        _ => return Err(Malformed),
    };
    let raw = bytes.get(..bytes.len() - rest.len()).ok_or(Malformed)?;
    Ok(Record { number, value, raw })
}

/// Reads one varint of at most ten bytes; answers it and what follows.
pub fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        // Ten groups of seven bits: the tenth may only carry the 64th bit.
        if index == 9 && *byte > 1 {
            return Err(Malformed);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, bytes.get(index + 1..).unwrap_or_default()));
        }
    }
    Err(Malformed)
}

/// Appends `value` as a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the tag of field `number` with `wire_type` (0 varint, 1 64-bit, 2 length-delimited, 5 32-bit).
pub fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// Appends field `number` holding `bytes`: a string, bytes or an encoded message.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_wire_type() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1b, 0x08, 0x01, 0x1c, 0x25, 1, 2, 3, 4];
        let records: Vec<_> = records(&bytes).map(|record| record.map(|it| (it.number, it.value))).collect();
        assert_eq!(
            records,
            [
                Ok((1, Value::Varint(150))),
                Ok((2, Value::Bytes(b"hi"))),
                Ok((3, Value::Group(&[0x08, 0x01]))),
                Ok((4, Value::Fixed32([1, 2, 3, 4]))),
            ]
        );
    }

    #[test]
    fn refuses_what_is_cut_or_wrong() {
        for bytes in [
            &[0x08][..],
            &[0x12, 0x05, 1],
            &[0x1b, 0x08, 0x01],
            &[0x1b, 0x24],
            &[0x00],
            &[0x0e],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert!(records(bytes).any(|record| record.is_err()), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = records(&bytes).count();
        }

        #[test]
        fn varints_come_back(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(varint(&out), Ok((value, &[][..])));
        }
    }
}
