//! JSON's tokens (RFC 8259): white space, punctuation, strings with their escapes, literals, numbers as text, and whole
//! values skipped.

use std::borrow::Cow;
use std::fmt;

use super::{Parser, Result};
use crate::transcode::error::{ErrorKind, TranscodeError};
use crate::transcode::wire::DEPTH_LIMIT;

impl<'a> Parser<'a, '_> {
    /// The next byte; 0 at the end, which is no token's first byte.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while let b' ' | b'\n' | b'\r' | b'\t' = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `token` if it is next.
    #[inline]
    pub(super) fn takes(&mut self, token: &[u8]) -> bool {
        let is_next = self.json.get(self.at..self.at + token.len()).is_some_and(|next| next == token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    /// Takes a colon and the space around it.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<()> {
        if self.peek() != b':' {
            self.space();
            if self.peek() != b':' {
                return Err(self.syntax("`:` after the key"));
            }
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// After a member or element: true when another follows (whose first byte is next), false when `close` was taken.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool> {
        self.space();
        match self.peek() {
            b',' => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.syntax(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }

    /// Takes a key, which must be a string.
    pub(super) fn key(&mut self) -> Result<Cow<'a, [u8]>> {
        if self.peek() == b'"' { self.string() } else { Err(self.syntax("a key in quotes")) }
    }

    /// Takes the string whose opening quote is next. The input is known to be UTF-8, so the result is.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        let start = self.at + 1;
        let end = run_end(self.json, start);
        if self.json.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.json[start..end]));
        }
        let mut decoded = Vec::new();
        self.string_into(&mut decoded)?;
        Ok(Cow::Owned(decoded))
    }

    /// As `string`, appended to `decoded`.
    pub(super) fn string_into(&mut self, decoded: &mut Vec<u8>) -> Result<()> {
        self.at += 1;
        loop {
            let end = run_end(self.json, self.at);
            decoded.extend_from_slice(&self.json[self.at..end]);
            self.at = end;
            match self.json.get(end) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(decoded)?,
                Some(control) => {
                    let sentence = format!(
                        "a string holds the raw control character 0x{control:02x}; write `\\u{control:04x}`"
                    );
                    return Err(TranscodeError::json(ErrorKind::Syntax, end, sentence));
                }
                None => {
                    return Err(TranscodeError::json(
                        ErrorKind::Syntax,
                        end,
                        "the JSON ends within a string",
                    ));
                }
            }
        }
    }

    fn escape(&mut self, decoded: &mut Vec<u8>) -> Result<()> {
        let byte = match self.json.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'u') => return self.unicode_escape(decoded),
            Some(_) => {
                return Err(TranscodeError::json(
                    ErrorKind::Syntax,
                    self.at,
                    "a string holds an escape that JSON does not have",
                ));
            }
            None => {
                return Err(TranscodeError::json(
                    ErrorKind::Syntax,
                    self.at,
                    "the JSON ends within a string",
                ));
            }
        };
        decoded.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, decoded: &mut Vec<u8>) -> Result<()> {
        let start = self.at;
        let unit = self.code_unit()?;
        let code = match unit {
            0xd800..=0xdbff if self.json.get(self.at..self.at + 2) == Some(b"\\u") => {
                let low = self.code_unit()?;
                // A low half that is none leaves a code outside `char`, refused below.
                if (0xdc00..=0xdfff).contains(&low) {
                    0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    unit
                }
            }
            _ => unit,
        };
        let character = char::from_u32(code).ok_or_else(|| {
            TranscodeError::json(
                ErrorKind::Utf8,
                start,
                format!("`\\u{unit:04x}` is half of a surrogate pair without its other half"),
            )
        })?;
        decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Takes `\uXXXX`.
    fn code_unit(&mut self) -> Result<u32> {
        let hex = self.json.get(self.at + 2..self.at + 6).unwrap_or_default();
        let unit = hex.iter().try_fold(0, |unit, byte| Some(unit << 4 | char::from(*byte).to_digit(16)?));
        let unit = unit.filter(|_| hex.len() == 4).ok_or_else(|| {
            TranscodeError::json(
                ErrorKind::Syntax,
                self.at,
                "`\\u` is not followed by four hexadecimal digits",
            )
        })?;
        self.at += 6;
        Ok(unit)
    }

    pub(super) fn literal(&mut self, literal: &'static [u8]) -> Result<()> {
        if self.takes(literal) {
            return Ok(());
        }
        Err(self.syntax("a value"))
    }

    /// Takes a number as it is written.
    pub(super) fn number_text(&mut self) -> Result<&'a [u8]> {
        let end = number_end(&self.json[self.at..]).ok_or_else(|| self.syntax("a number"))?;
        let text = &self.json[self.at..self.at + end];
        self.at += end;
        Ok(text)
    }

    /// Takes a value of any type, checking that it is JSON.
    pub(super) fn skip_value(&mut self, depth: u32) -> Result<()> {
        if depth >= DEPTH_LIMIT {
            return Err(self.too_deep());
        }
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b'{' => {
                self.at += 1;
                self.space();
                if self.takes(b"}") {
                    return Ok(());
                }
                loop {
                    self.key()?;
                    self.colon()?;
                    self.skip_value(depth + 1)?;
                    if !self.more(b'}')? {
                        return Ok(());
                    }
                }
            }
            b'[' => {
                self.at += 1;
                self.space();
                if self.takes(b"]") {
                    return Ok(());
                }
                loop {
                    self.skip_value(depth + 1)?;
                    if !self.more(b']')? {
                        return Ok(());
                    }
                }
            }
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.number_text().map(|_| ()),
            _ => Err(self.syntax("a value")),
        }
    }

    /// Nothing but white space may be left.
    pub(super) fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.json.len() {
            return Ok(());
        }
        let sentence = format!("the JSON is complete, but {} follows", self.found());
        Err(TranscodeError::json(ErrorKind::Syntax, self.at, sentence))
    }

    pub(super) fn check_utf8(&self) -> Result<()> {
        if simdutf8::basic::from_utf8(self.json).is_ok() {
            return Ok(());
        }
        let at = simdutf8::compat::from_utf8(self.json).map_or_else(|error| error.valid_up_to(), str::len);
        Err(TranscodeError::json(ErrorKind::Utf8, at, "the JSON is not valid UTF-8"))
    }

    /// What stands at the next byte, for a message.
    fn found(&self) -> String {
        match self.peek() {
            b'"' => "a string".to_owned(),
            b'{' => "an object".to_owned(),
            b'[' => "an array".to_owned(),
            b'-' | b'0'..=b'9' => "a number".to_owned(),
            b't' if self.json[self.at..].starts_with(b"true") => "a boolean".to_owned(),
            b'f' if self.json[self.at..].starts_with(b"false") => "a boolean".to_owned(),
            b'n' if self.json[self.at..].starts_with(b"null") => "null".to_owned(),
            _ if self.at >= self.json.len() => "the end of the JSON".to_owned(),
            _ => {
                let rest = &self.json[self.at..];
                let character =
                    String::from_utf8_lossy(&rest[..rest.len().min(4)]).chars().next().unwrap_or('?');
                format!("`{}`", character.escape_default())
            }
        }
    }

    /// A token that may not stand here.
    #[cold]
    pub(super) fn syntax(&self, expected: &str) -> TranscodeError {
        let sentence = format!("expected {expected}, found {}", self.found());
        TranscodeError::json(ErrorKind::Syntax, self.at, sentence)
    }

    /// A value of another type than the field takes; not JSON at all is a matter of syntax.
    #[cold]
    pub(super) fn expected(&self, expected: fmt::Arguments<'_>) -> TranscodeError {
        let found = self.found();
        let kind = if found.starts_with('`') || found.starts_with("the end") {
            ErrorKind::Syntax
        } else {
            ErrorKind::Type
        };
        TranscodeError::json(kind, self.at, format!("expected {expected}, found {found}"))
    }
}

/// The index of the first quote, backslash or control character at or after `at`, eight bytes at a time.
#[inline]
pub(super) fn run_end(json: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES * 0x80;
    while let Some(chunk) = json.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        // A byte's high bit is set where the byte is zero, or below 0x20; borrows spoil only what stands after a real hit.
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if hits & HIGH != 0 {
            return at + ((hits & HIGH).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = json.get(at)
        && *byte >= 0x20
        && *byte != b'"'
        && *byte != b'\\'
    {
        at += 1;
    }
    at
}

/// The length of the JSON number that `text` begins with.
pub(super) fn number_end(text: &[u8]) -> Option<usize> {
    let digits =
        |from: usize| text[from.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    at += match text.get(at) {
        Some(b'0') => 1,
        Some(b'1'..=b'9') => digits(at),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_special_byte() {
        for length in 0..40 {
            for special in [b'"', b'\\', 0x1f, 0] {
                let mut text = "ä~x\u{7f}".repeat(length).into_bytes();
                let want = text.len();
                text.push(special);
                text.extend_from_slice(b"\"tail\\tail");
                assert_eq!(run_end(&text, 0), want);
            }
            assert_eq!(run_end(&vec![b'a'; length], 0), length);
        }
    }

    #[test]
    fn numbers_are_json_numbers() {
        for (text, want) in [
            ("0", Some(1)),
            ("-0", Some(2)),
            ("01", Some(1)),
            ("12.50e+3,", Some(8)),
            ("1E9", Some(3)),
            ("1.", None),
            (".5", None),
            ("+1", None),
            ("-", None),
            ("1e", None),
            ("1e+", None),
            ("", None),
        ] {
            assert_eq!(number_end(text.as_bytes()), want, "{text}");
        }
    }
}
