//! The protobuf wire encoding, read and written: varints, tags, fixed numbers, lengths, groups.
//! Grammar: `message = (tag value)*`, `tag = varint(number << 3 | wire type)`; see the protobuf encoding guide.

use super::error::TranscodeError;

pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const LENGTH: u32 = 2;
pub(super) const GROUP: u32 = 3;
pub(super) const END_GROUP: u32 = 4;
pub(super) const FIXED32: u32 = 5;

/// How deep messages may nest, in both directions.
pub(super) const DEPTH_LIMIT: u32 = 100;

type Result<T> = std::result::Result<T, TranscodeError>;

/// Reads a message's records from front to back.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// One record's value as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    /// A varint, or a fixed number widened.
    Number(u64),
    /// A length-delimited value, or what stands between a group's tags.
    Bytes(&'a [u8]),
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn new(wire: &'a [u8]) -> Reader<'a> {
        Reader { rest: wire }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline(always)]
    pub(super) fn varint(&mut self) -> Result<u64> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            truncated()
        } else {
            TranscodeError::wire("a varint is longer than 10 bytes")
        })
    }

    /// The next record's tag: field number and wire type.
    #[inline(always)]
    pub(super) fn tag(&mut self) -> Result<u32> {
        let tag = self.varint()?;
        if !(8..=u64::from(u32::MAX)).contains(&tag) {
            return Err(not_tag(tag));
        }
        Ok(tag as u32)
    }

    #[inline(always)]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.varint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn fixed32(&mut self) -> Result<u32> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*taken))
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*taken))
    }

    /// The value that follows `tag`, whatever its wire type.
    #[inline]
    pub(super) fn value(&mut self, tag: u32) -> Result<Raw<'a>> {
        match tag & 7 {
            VARINT => self.varint().map(Raw::Number),
            LENGTH => self.bytes().map(Raw::Bytes),
            FIXED64 => self.fixed64().map(Raw::Number),
            FIXED32 => self.fixed32().map(|number| Raw::Number(u64::from(number))),
            GROUP => self.group(tag >> 3, 0).map(Raw::Bytes),
            END_GROUP => {
                Err(TranscodeError::wire(format!("the end of group {} without its start", tag >> 3)))
            }
            other => Err(TranscodeError::wire(format!("wire type {other} does not exist"))),
        }
    }

    /// What stands between the start tag (already read) and the end tag of group `number`.
    fn group(&mut self, number: u32, depth: u32) -> Result<&'a [u8]> {
        if depth > DEPTH_LIMIT {
            return Err(TranscodeError::wire(format!("groups nest deeper than {DEPTH_LIMIT}")));
        }
        let start = self.rest;
        loop {
            let before = self.rest.len();
            let tag = self.tag()?;
            match tag & 7 {
                END_GROUP if tag >> 3 == number => return Ok(&start[..start.len() - before]),
                GROUP => {
                    self.group(tag >> 3, depth + 1)?;
                }
                _ => {
                    self.value(tag)?;
                }
            }
        }
    }
}

#[cold]
fn not_tag(tag: u64) -> TranscodeError {
    TranscodeError::wire(format!("{tag} is not a field's tag"))
}

#[cold]
fn truncated() -> TranscodeError {
    TranscodeError::wire("the message ends in the middle of a field")
}

#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reserves the place of a length; `end_length` fills it in once the bytes after it are known.
#[inline]
pub(super) fn begin_length(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Writes the length of everything after `start`, moving it aside when the length needs more than the one byte reserved.
#[inline]
pub(super) fn end_length(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
    } else {
        end_long_length(out, start, length);
    }
}

fn end_long_length(out: &mut Vec<u8>, start: usize, length: usize) {
    let end = out.len();
    put_varint(out, length as u64);
    let mut encoded = [0u8; 10];
    let size = out.len() - end;
    encoded[..size].copy_from_slice(&out[end..]);
    // The reserved byte takes the length's first byte, so the bytes move by one less than the length's size.
    out.truncate(end + size - 1);
    out.copy_within(start..end, start - 1 + size);
    out[start - 1..start - 1 + size].copy_from_slice(&encoded[..size]);
}

#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_as_many_bytes_as_it_needs() {
        for size in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let mut out = b"before".to_vec();
            let start = begin_length(&mut out);
            out.extend((0..size).map(|index| index as u8));
            end_length(&mut out, start);
            let mut reader = Reader::new(&out[6..]);
            let bytes = reader.bytes().unwrap();
            assert_eq!((bytes.len(), reader.is_empty()), (size, true));
            assert!(bytes.iter().enumerate().all(|(index, byte)| *byte == index as u8), "{size}");
        }
    }

    #[test]
    fn varints_and_zigzag_round_trip() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out).varint().unwrap(), value);
            assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
        }
    }

    #[test]
    fn malformed_wire_is_refused() {
        let refused = |wire: &[u8]| {
            let mut reader = Reader::new(wire);
            reader.tag().and_then(|tag| reader.value(tag).map(|_| ())).unwrap_err().to_string()
        };
        assert_eq!(refused(&[0x80]), "the message ends in the middle of a field");
        assert_eq!(refused(&[0xff; 11]), "a varint is longer than 10 bytes");
        assert_eq!(refused(&[0x00]), "0 is not a field's tag");
        assert_eq!(refused(&[0x0a, 5, 1]), "the message ends in the middle of a field");
        assert_eq!(refused(&[0x0c]), "the end of group 1 without its start");
        assert_eq!(refused(&[0x0e]), "wire type 6 does not exist");
        assert_eq!(refused(&[0x0b, 0x14]), "the end of group 2 without its start");
        assert_eq!(refused(&[0x0b; 200]), "groups nest deeper than 100");
    }
}
