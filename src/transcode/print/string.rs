//! Text as a JSON string (RFC 8259 §7): copied whole when nothing in it needs an escape, in runs otherwise.

use crate::transcode::error::TranscodeError;

/// Writes `text`, quoted and escaped.
pub(in crate::transcode) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Writes bytes that ought to be UTF-8, quoted and escaped; an error when they are not.
#[inline]
pub(in crate::transcode) fn put_text(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TranscodeError> {
    out.push(b'"');
    match scan(bytes) {
        Found::Nothing => out.extend_from_slice(bytes),
        Found::Escapes => put_escaped(out, bytes),
        Found::NonAscii => {
            if simdutf8::basic::from_utf8(bytes).is_err() {
                return Err(not_utf8());
            }
            put_escaped(out, bytes);
        }
    }
    out.push(b'"');
    Ok(())
}

#[cold]
pub(in crate::transcode) fn not_utf8() -> TranscodeError {
    TranscodeError::wire("a string is not valid UTF-8")
}

enum Found {
    Nothing,
    Escapes,
    NonAscii,
}

/// What of note is in `bytes`, a block at a time; the last block overlaps the one before, so that nothing is left over.
#[inline]
fn scan(bytes: &[u8]) -> Found {
    let mut seen = Seen { special: false, high: 0 };
    if let Some(last) = bytes.last_chunk::<16>() {
        for chunk in bytes.as_chunks::<16>().0 {
            seen.look(chunk);
        }
        seen.look(last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        seen.look(first);
        seen.look(last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        seen.look(first);
        seen.look(last);
    } else {
        bytes.iter().for_each(|byte| seen.look(&[*byte]));
    }
    match (seen.high >= 0x80, seen.special) {
        (true, _) => Found::NonAscii,
        (false, true) => Found::Escapes,
        (false, false) => Found::Nothing,
    }
}

struct Seen {
    special: bool,
    high: u8,
}

impl Seen {
    /// The length is known, so the compiler makes a few vector instructions of it.
    #[inline]
    fn look<const N: usize>(&mut self, block: &[u8; N]) {
        let (mut special, mut high) = (0u8, 0u8);
        for byte in block {
            special |= u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
            high |= *byte;
        }
        self.special |= special != 0;
        self.high |= high;
    }
}

fn put_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut copied = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..index]);
        copied = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_serde_json_escapes_them() {
        for text in [
            "",
            "plain",
            "a quote \" and \\",
            "\u{0}\u{1}\u{1f}\u{7f}\n\r\t\u{8}\u{c}",
            "größer 🦀",
            "0123456789abcdef\"",
            "ÿ\n",
        ] {
            let mut out = Vec::new();
            put_text(&mut out, text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(text).unwrap());
        }
        assert!(put_text(&mut Vec::new(), b"0123456789abcdef\xff").is_err());
    }
}
