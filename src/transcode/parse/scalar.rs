//! Scalars and enums from JSON: integers bare or in quotes, floats with their specials, text, bytes in either base64
//! alphabet, enum values by name or number.

use super::lexer::{number_end, run_end};
use super::number::Integer;
use super::{Parser, Result, Written};
use crate::transcode::error::{ErrorKind, TranscodeError, did_you_mean};
use crate::transcode::tables::{Field, Kind};
use crate::transcode::wire::{begin_length, end_length, put_varint, zigzag};

impl<'a> Parser<'a, '_> {
    /// Reads a value of a scalar kind and appends it without its tag.
    #[inline]
    pub(super) fn scalar(&mut self, kind: Kind) -> Result<()> {
        match kind {
            Kind::String => self.text(),
            Kind::Bytes => self.bytes(),
            Kind::Bool => {
                let value = self.boolean()?;
                self.out.push(u8::from(value));
                Ok(())
            }
            Kind::Double => {
                let value = self.double()?;
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            Kind::Float => {
                let value = self.float()?;
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            _ => {
                let start = self.at;
                let integer = self.integer(integer_name(kind))?;
                self.put_integer(kind, integer).ok_or_else(|| self.out_of_range(kind, start))?;
                Ok(())
            }
        }
    }

    /// Appends an integer as its kind is encoded; `None` when it does not fit. Returns the value's 64 bits.
    #[inline]
    pub(super) fn put_integer(&mut self, kind: Kind, integer: Integer) -> Option<u64> {
        let bits = match kind {
            Kind::Int32 | Kind::Enum | Kind::Sint32 | Kind::Sfixed32 => integer.signed(32)? as u64,
            Kind::Uint32 | Kind::Fixed32 => integer.unsigned(32)?,
            Kind::Uint64 | Kind::Fixed64 => integer.unsigned(64)?,
            _ => integer.signed(64)? as u64,
        };
        match kind {
            Kind::Sint32 | Kind::Sint64 => put_varint(self.out, zigzag(bits as i64)),
            Kind::Fixed32 | Kind::Sfixed32 => self.out.extend_from_slice(&(bits as u32).to_le_bytes()),
            Kind::Fixed64 | Kind::Sfixed64 => self.out.extend_from_slice(&bits.to_le_bytes()),
            _ => put_varint(self.out, bits),
        }
        Some(bits)
    }

    #[cold]
    pub(super) fn out_of_range(&self, kind: Kind, start: usize) -> TranscodeError {
        let text = String::from_utf8_lossy(&self.json[start..self.at]);
        let text = text.trim_matches('"');
        TranscodeError::json(
            ErrorKind::Range,
            start,
            format!("{text} is outside the range of {}", integer_name(kind)),
        )
    }

    /// Reads a string and appends it with its length.
    #[inline]
    pub(super) fn text(&mut self) -> Result<()> {
        if self.peek() != b'"' {
            return Err(self.expected(format_args!("a string")));
        }
        let start = self.at + 1;
        let end = run_end(self.json, start);
        if self.json.get(end) == Some(&b'"') {
            put_varint(self.out, (end - start) as u64);
            self.out.extend_from_slice(&self.json[start..end]);
            self.at = end + 1;
            return Ok(());
        }
        let text = self.string()?;
        put_varint(self.out, text.len() as u64);
        self.out.extend_from_slice(&text);
        Ok(())
    }

    /// Reads base64 and appends the bytes with their length.
    fn bytes(&mut self) -> Result<()> {
        if self.peek() != b'"' {
            return Err(self.expected(format_args!("bytes as a string of base64")));
        }
        let at = self.at;
        let text = self.string()?;
        let start = begin_length(self.out);
        if !put_decoded_base64(self.out, &text) {
            return Err(TranscodeError::json(ErrorKind::Type, at, "the string is not valid base64"));
        }
        end_length(self.out, start);
        Ok(())
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        if self.takes(b"true") {
            return Ok(true);
        }
        if self.takes(b"false") {
            return Ok(false);
        }
        Err(self.expected(format_args!("true or false")))
    }

    pub(super) fn double(&mut self) -> Result<f64> {
        let start = self.at;
        let text = self.float_text("double")?;
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite() || is_special(&text));
        value.ok_or_else(|| float_range(&text, start, "double"))
    }

    fn float(&mut self) -> Result<f32> {
        let start = self.at;
        let text = self.float_text("float")?;
        let value = text.parse::<f32>().ok().filter(|value| value.is_finite() || is_special(&text));
        value.ok_or_else(|| float_range(&text, start, "float"))
    }

    /// Takes a number's text, bare or in quotes, or one of the specials, in the form Rust's parser reads.
    fn float_text(&mut self, name: &str) -> Result<std::borrow::Cow<'a, str>> {
        let start = self.at;
        if self.peek() != b'"' {
            if !matches!(self.peek(), b'-' | b'0'..=b'9') {
                return Err(self.expected(format_args!("a {name}")));
            }
            return Ok(String::from_utf8_lossy(self.number_text()?));
        }
        let text = match self.string()? {
            std::borrow::Cow::Borrowed(text) => String::from_utf8_lossy(text),
            std::borrow::Cow::Owned(text) => {
                std::borrow::Cow::Owned(String::from_utf8_lossy(&text).into_owned())
            }
        };
        if is_special(&text) || number_end(text.as_bytes()) == Some(text.len()) {
            return Ok(text);
        }
        Err(TranscodeError::json(ErrorKind::Type, start, format!("`{text}` is not a {name}")))
    }

    /// Reads an enum value by name or number and appends its number.
    pub(super) fn enumeration(&mut self, field: &Field) -> Result<Written> {
        let each = self.tables.enumeration(field.target);
        let start = self.at;
        match self.peek() {
            b'"' => {
                let name = self.string()?;
                if let Some(number) = each.number(&name) {
                    put_varint(self.out, i64::from(number) as u64);
                    return Ok(Written::Value);
                }
                if self.ignore_unknown {
                    return Ok(Written::Nothing);
                }
                let name = String::from_utf8_lossy(&name);
                let near = did_you_mean(&name, each.names());
                let sentence = format!("enum {} has no value `{name}`{near}", each.name);
                Err(TranscodeError::json(ErrorKind::UnknownEnumValue, start, sentence))
            }
            b'-' | b'0'..=b'9' => {
                let integer = self.integer("int32, which an enum's number is")?;
                let bits = self
                    .put_integer(Kind::Enum, integer)
                    .ok_or_else(|| self.out_of_range(Kind::Enum, start))?;
                if field.closed && each.quoted_name(bits as i32).is_none() {
                    if self.ignore_unknown {
                        return Ok(Written::Nothing);
                    }
                    let sentence = format!("enum {} is closed and has no value {}", each.name, bits as i32);
                    return Err(TranscodeError::json(ErrorKind::UnknownEnumValue, start, sentence));
                }
                Ok(Written::Value)
            }
            b'n' if each.null => {
                self.literal(b"null")?;
                self.out.push(0);
                Ok(Written::Value)
            }
            _ => Err(self.expected(format_args!("a value of enum {}, by name or number", each.name))),
        }
    }
}

fn integer_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int32 | Kind::Enum => "int32",
        Kind::Sint32 => "sint32",
        Kind::Sfixed32 => "sfixed32",
        Kind::Uint32 => "uint32",
        Kind::Fixed32 => "fixed32",
        Kind::Uint64 => "uint64",
        Kind::Fixed64 => "fixed64",
        Kind::Sint64 => "sint64",
        Kind::Sfixed64 => "sfixed64",
        _ => "int64",
    }
}

fn is_special(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

#[cold]
fn float_range(text: &str, start: usize, name: &str) -> TranscodeError {
    TranscodeError::json(ErrorKind::Range, start, format!("{text} is outside the range of {name}"))
}

/// Appends what base64 text stands for: either alphabet, with or without padding. False when it is not base64.
pub(super) fn put_decoded_base64(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    if padding > 0 && !text.len().is_multiple_of(4) {
        return false;
    }
    let body = &text[..text.len() - padding];
    out.reserve(body.len() / 4 * 3 + 3);
    let (chunks, rest) = body.as_chunks::<4>();
    let mut bad = 0u8;
    for chunk in chunks {
        let [a, b, c, d] = chunk.map(|byte| VALUES[usize::from(byte)]);
        bad |= a | b | c | d;
        let word = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        let [_, x, y, z] = word.to_be_bytes();
        out.extend_from_slice(&[x, y, z]);
    }
    let value = |index: usize| VALUES[usize::from(rest[index])];
    match rest.len() {
        0 => {}
        2 => {
            let (a, b) = (value(0), value(1));
            bad |= a | b;
            out.push(a << 2 | b >> 4);
        }
        3 => {
            let (a, b, c) = (value(0), value(1), value(2));
            bad |= a | b | c;
            out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]);
        }
        _ => return false,
    }
    // A character of neither alphabet has the value 0x80.
    bad < 0x40
}

const VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        values[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_in_both_alphabets() {
        for (text, want) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zg", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm8", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("+//+", Some(b"\xfb\xff\xfe")),
            ("-__-", Some(b"\xfb\xff\xfe")),
            ("Z", None),
            ("Zg=", None),
            ("Zg===", None),
            ("====", None),
            ("Z g=", None),
            ("Zm9vä", None),
        ] {
            let mut out = Vec::new();
            assert_eq!(put_decoded_base64(&mut out, text.as_bytes()).then_some(&*out), want, "{text}");
        }
    }
}
