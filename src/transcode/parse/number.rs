//! JSON numbers as integers, exactly: `1`, `1.0`, `10e-1` and `"1"` are all one, `1.5` is none.

use std::borrow::Cow;

use super::lexer::number_end;
use super::{Parser, Result};
use crate::transcode::error::{ErrorKind, TranscodeError};

/// An integer of up to 64 bits and its sign, before it is known to fit its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    pub(super) negative: bool,
    pub(super) magnitude: u64,
}

impl Integer {
    pub(super) fn signed(self, bits: u32) -> Option<i64> {
        // The magnitude of the lowest number is one more than that of the highest.
        let limit = (1u64 << (bits - 1)) - u64::from(!self.negative);
        let fits = self.magnitude <= limit;
        fits.then_some(if self.negative {
            (self.magnitude as i64).wrapping_neg()
        } else {
            self.magnitude as i64
        })
    }

    pub(super) fn unsigned(self, bits: u32) -> Option<u64> {
        let fits = self.magnitude <= u64::MAX >> (64 - bits) && (!self.negative || self.magnitude == 0);
        fits.then_some(self.magnitude)
    }
}

/// Why a text is not an integer.
pub(super) enum NotInteger {
    NotNumber,
    Fraction,
    TooLarge,
}

impl<'a> Parser<'a, '_> {
    /// Takes an integer, bare or in quotes; `name` is the type it is for.
    #[inline]
    pub(super) fn integer(&mut self, name: &str) -> Result<Integer> {
        let start = self.at;
        let quoted = self.peek() == b'"';
        let at = start + usize::from(quoted);
        if let Some((integer, end)) = plain_integer(self.json, at)
            && (!quoted || self.json.get(end) == Some(&b'"'))
        {
            self.at = end + usize::from(quoted);
            return Ok(integer);
        }
        self.odd_integer(name)
    }

    /// As `integer`, for all that is not just digits.
    #[cold]
    fn odd_integer(&mut self, name: &str) -> Result<Integer> {
        let start = self.at;
        let text = match self.peek() {
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => Cow::Borrowed(self.number_text()?),
            _ => return Err(self.expected(format_args!("{}", an(name)))),
        };
        exact_integer(&text).map_err(|why| {
            let text = String::from_utf8_lossy(&text);
            let (kind, sentence) = match why {
                NotInteger::NotNumber => (ErrorKind::Type, format!("`{text}` is not {}", an(name))),
                NotInteger::Fraction => {
                    (ErrorKind::Type, format!("{text} is not a whole number, which {name} must be"))
                }
                NotInteger::TooLarge => (ErrorKind::Range, format!("{text} is outside the range of {name}")),
            };
            TranscodeError::json(kind, start, sentence)
        })
    }
}

/// Up to 19 digits with nothing odd about them, and where they end.
#[inline]
fn plain_integer(json: &[u8], start: usize) -> Option<(Integer, usize)> {
    let negative = json.get(start) == Some(&b'-');
    let first = start + usize::from(negative);
    let mut at = first;
    let mut magnitude = 0u64;
    while let Some(digit @ b'0'..=b'9') = json.get(at)
        && at - first < 19
    {
        magnitude = magnitude * 10 + u64::from(digit - b'0');
        at += 1;
    }
    let odd = at == first
        || at - first > 1 && json[first] == b'0'
        || matches!(json.get(at), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
    (!odd).then_some((Integer { negative, magnitude }, at))
}

/// The integer that a JSON number stands for, whatever its notation.
pub(super) fn exact_integer(text: &[u8]) -> std::result::Result<Integer, NotInteger> {
    if number_end(text) != Some(text.len()) {
        return Err(NotInteger::NotNumber);
    }
    let negative = text.first() == Some(&b'-');
    let unsigned = &text[usize::from(negative)..];
    let exponent_at = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(unsigned.len());
    let (mantissa, exponent) = unsigned.split_at(exponent_at);
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let fraction_digits = mantissa.len().saturating_sub(point + 1);
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..leading);
    if digits.is_empty() {
        return Ok(Integer { negative, magnitude: 0 });
    }
    // An exponent too long for an i64 is past every range, whichever its sign.
    let exponent = match std::str::from_utf8(exponent.get(1..).unwrap_or_default()) {
        Ok("") => 0,
        Ok(exponent) => match exponent.parse::<i64>() {
            Ok(exponent) => exponent,
            Err(_) if exponent.starts_with('-') => return Err(NotInteger::Fraction),
            Err(_) => return Err(NotInteger::TooLarge),
        },
        Err(_) => return Err(NotInteger::NotNumber),
    };
    let mut scale = exponent.saturating_sub(fraction_digits as i64);
    while scale < 0 && digits.last() == Some(&b'0') {
        digits.pop();
        scale += 1;
    }
    if scale < 0 {
        return Err(NotInteger::Fraction);
    }
    if scale > 20 || digits.len() + scale as usize > 20 {
        return Err(NotInteger::TooLarge);
    }
    digits.resize(digits.len() + scale as usize, b'0');
    let magnitude = digits
        .iter()
        .try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    magnitude.map(|magnitude| Integer { negative, magnitude }).ok_or(NotInteger::TooLarge)
}

/// The type's name with its article.
fn an(name: &str) -> String {
    let vowel = name.starts_with(['a', 'e', 'i', 'o']);
    format!("{} {name}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_every_notation() {
        for (text, want) in [
            ("0", Some((false, 0))),
            ("-0", Some((true, 0))),
            ("1.0", Some((false, 1))),
            ("1e5", Some((false, 100_000))),
            ("150e-1", Some((false, 15))),
            ("1.5e1", Some((false, 15))),
            ("-9.223372036854775808E18", Some((true, 1 << 63))),
            ("18446744073709551615", Some((false, u64::MAX))),
            ("18446744073709551616", None),
            ("1.5", None),
            ("1e-1", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("0e99999999999999999999", Some((false, 0))),
            ("01", None),
            (" 1", None),
            ("", None),
            ("+1", None),
        ] {
            let got =
                exact_integer(text.as_bytes()).ok().map(|integer| (integer.negative, integer.magnitude));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn integers_fit_their_types() {
        let integer = |negative, magnitude| Integer { negative, magnitude };
        assert_eq!(integer(true, 1 << 31).signed(32), Some(-(1 << 31)));
        assert_eq!(integer(false, 1 << 31).signed(32), None);
        assert_eq!(integer(true, 1 << 63).signed(64), Some(i64::MIN));
        assert_eq!(integer(true, (1 << 63) + 1).signed(64), None);
        assert_eq!(integer(false, u64::MAX).unsigned(64), Some(u64::MAX));
        assert_eq!(integer(false, 1 << 32).unsigned(32), None);
        assert_eq!(integer(true, 0).unsigned(32), Some(0));
        assert_eq!(integer(true, 1).unsigned(32), None);
    }
}
