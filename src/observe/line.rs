//! A line of JSON, written member by member: nothing is allocated and nothing is built in between, for every request
//! writes one.

use std::{
    cell::RefCell,
    fmt,
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A line that has its first member; each that follows brings its comma.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    /// `{"timestamp":"2026-01-02T03:04:05.000006Z"`: it is now.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(b"{\"timestamp\":\"");
        timestamp(out, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        out.push(b'"');
        Self(out)
    }

    /// `,"key":"value"`, whatever is in the value.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        if value.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.quoted(value.as_bytes());
        } else {
            // Nothing fails that is written to memory.
            let _ = serde_json::to_writer(&mut *self.0, value);
        }
    }

    /// `,"key":"value"`, of a value that needs no escape.
    pub(super) fn shown(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        let _ = write!(self.0, "\"{value}\"");
    }

    /// `,"key":7`
    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// `,"key":1.234`, in milliseconds.
    pub(super) fn millis(&mut self, key: &str, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(key, micros / 1000);
        self.0.push(b'.');
        digits::<3>(self.0, micros % 1000);
    }

    /// `,"key":true`
    pub(super) fn yes(&mut self, key: &str) {
        self.key(key);
        self.0.extend_from_slice(b"true");
    }

    pub(super) fn end(self) {
        self.0.push(b'}');
    }

    fn key(&mut self, key: &str) {
        self.0.push(b',');
        self.quoted(key.as_bytes());
        self.0.push(b':');
    }

    fn quoted(&mut self, text: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(text);
        self.0.push(b'"');
    }
}

/// A moment after 1970, in RFC 3339 to the microsecond.
fn timestamp(out: &mut Vec<u8>, at: Duration) {
    thread_local! {
        /// The last second, and how it is written up to its fraction: thousands of lines have the same.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != at.as_secs() {
            *second = at.as_secs();
            let at = i64::try_from(*second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
            *text = at.unwrap_or_default().to_string();
            text.truncate(text.len() - 1);
        }
        out.extend_from_slice(text.as_bytes());
    });
    out.push(b'.');
    digits::<6>(out, u64::from(at.subsec_micros()));
    out.push(b'Z');
}

/// The last `N` decimal digits of a number, zeros before it included.
fn digits<const N: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_whatever_is_in_it() {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out);
        let odd = ["plain", "", "\"", "a\\b", "line\nbreak\u{1}", "é\u{2028}", "\u{7f}"];
        for text in odd {
            line.text("text", text);
        }
        line.number("number", u64::MAX);
        line.millis("took", Duration::from_nanos(61_002_003_999));
        line.shown("shown", std::net::Ipv4Addr::LOCALHOST);
        line.yes("so");
        line.end();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["text"], "\u{7f}");
        assert_eq!((&value["number"], &value["so"]), (&u64::MAX.into(), &true.into()));
        assert_eq!((&value["took"], &value["shown"]), (&61_002.003.into(), &"127.0.0.1".into()));
        let text = String::from_utf8(out).unwrap();
        for one in odd {
            assert!(text.contains(&format!(",\"text\":{}", serde_json::to_string(one).unwrap())), "{text}");
        }
    }

    #[test]
    fn a_moment_is_written_as_others_write_it() {
        for micros in
            [0, 1, 999_999, 1_000_000, 1_767_323_045_000_006, 1_767_323_045_999_999, 951_782_400_000_000]
        {
            let mut out = Vec::new();
            timestamp(&mut out, Duration::from_micros(micros));
            let at = jiff::Timestamp::from_microsecond(micros as i64).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{at:.6}"));
        }
    }
}
