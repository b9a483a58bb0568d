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

/// What of note is in `bytes`, a word at a time; the last word overlaps the one before, so that nothing is left over.
#[inline]
fn scan(bytes: &[u8]) -> Found {
    let (mut special, mut high) = (0, 0);
    let mut look = |word: u64| {
        special |= special_bytes(word);
        high |= word;
    };
    if let Some(last) = bytes.last_chunk() {
        bytes.as_chunks().0.iter().for_each(|chunk| look(u64::from_le_bytes(*chunk)));
        look(u64::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        look(u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32);
    } else {
        // Spaces fill up the word, since they are nothing of note.
        look(bytes.iter().fold(ONES * 0x20, |word, byte| word << 8 | u64::from(*byte)));
    }
    match (high & (ONES * 0x80) != 0, special != 0) {
        (true, _) => Found::NonAscii,
        (false, true) => Found::Escapes,
        (false, false) => Found::Nothing,
    }
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Not zero when some byte is a quote, a backslash or a control character.
///
/// `word ^ pattern` has a zero byte where the byte is the pattern's; subtracting then borrows into the high bit of that byte,
/// and of a byte below 0x20 when 0x20 is subtracted.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let slash = word ^ (ONES * 0x5c);
    let hits = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    hits & (ONES * 0x80)
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
            "a",
            "\"",
            "ab\n",
            "abcd\\",
            "abcdefg\u{1f}",
            "0123456789abcdefghijklmnopqrstuvwxyz\\ 0123456789",
        ] {
            let mut out = Vec::new();
            put_text(&mut out, text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(text).unwrap());
        }
        assert!(put_text(&mut Vec::new(), b"0123456789abcdef\xff").is_err());
    }
}
