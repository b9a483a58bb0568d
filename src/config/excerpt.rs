//! Places in a text and what is shown of them: lines and columns, the part of a line around a place, and a terminal's control
//! characters made harmless. What it costs grows with the text and the number of places, not with their product.

use std::{fmt, ops::Range};

/// The most characters of a line that are shown, and how many of them before what is underlined.
const MOST_SHOWN: usize = 160;
const SHOWN_BEFORE: usize = 60;
/// The most characters of what is underlined that a program is told.
const MOST_UNDERLINED: usize = 1000;
/// How many bytes there are between two places whose characters are counted beforehand.
const STRIDE: usize = 64;

/// A place in the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub bytes: Range<usize>,
    /// From 1 on.
    pub line: usize,
    /// From 1 on, in characters.
    pub column: usize,
}

/// A text whose lines and characters are counted.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
    /// How many characters begin before each multiple of [`STRIDE`].
    counted: Vec<usize>,
}

/// What is shown of a place.
#[derive(Debug, Clone)]
pub(super) struct Excerpt {
    /// The line, or the part of a long one around what is underlined, without control characters.
    pub(super) line: String,
    /// How many characters of it stand before what is underlined, and how many are.
    pub(super) before: usize,
    pub(super) length: usize,
    /// What is underlined, as it is written. What goes on in further lines is underlined to the end of its first.
    pub(super) underlined: String,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let starts = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut counted = vec![0];
        let mut all = 0;
        for part in text.as_bytes().chunks(STRIDE) {
            all += beginning(part);
            counted.push(all);
        }
        Self { text, starts, counted }
    }

    /// The place of these bytes.
    pub(super) fn span(&self, bytes: Range<usize>) -> Span {
        let line = self.starts.partition_point(|start| *start <= bytes.start);
        let start = self.start(line);
        Span { line, column: self.before(bytes.start) - self.before(start) + 1, bytes }
    }

    /// Where a line begins; the lines are counted from 1 on.
    fn start(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// A line's characters, as numbers of the text's characters.
    fn line(&self, line: usize) -> Range<usize> {
        let (start, next) = (self.start(line), self.start(line + 1));
        let text = self.text.get(start..next).unwrap_or_default();
        let end = start + text.trim_end_matches(['\n', '\r']).len();
        self.before(start)..self.before(end)
    }

    /// How many characters begin before a byte.
    fn before(&self, byte: usize) -> usize {
        let byte = byte.min(self.text.len());
        let at = byte / STRIDE;
        let rest = self.text.as_bytes().get(at * STRIDE..byte).unwrap_or_default();
        self.counted.get(at).copied().unwrap_or_default() + beginning(rest)
    }

    /// The byte at which a character begins.
    fn byte(&self, character: usize) -> usize {
        let at = self.counted.partition_point(|counted| *counted <= character).saturating_sub(1);
        let mut left = character - self.counted.get(at).copied().unwrap_or_default();
        let from = at * STRIDE;
        for (index, byte) in self.text.as_bytes().get(from..).unwrap_or_default().iter().enumerate() {
            if begins(*byte) {
                if left == 0 {
                    return from + index;
                }
                left -= 1;
            }
        }
        self.text.len()
    }

    fn characters(&self, range: Range<usize>) -> &'t str {
        self.text.get(self.byte(range.start)..self.byte(range.end)).unwrap_or_default()
    }
}

/// How many characters begin in these bytes of UTF-8.
fn beginning(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| begins(**byte)).count()
}

fn begins(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

impl Excerpt {
    /// What is shown of a place. `shown` has as many characters in as many lines as `text`, with stars for secrets.
    pub(super) fn of(text: &Lines<'_>, shown: &Lines<'_>, span: &Span) -> Self {
        let line = text.line(span.line);
        let at = (line.start + span.column - 1).min(line.end);
        let end = text.before(span.bytes.end).clamp(at, line.end);
        let end = at + shown.characters(at..end).trim_end().chars().count();
        let (mut from, mut to) = (line.start, line.end);
        if to - from > MOST_SHOWN {
            from = from.max(at.saturating_sub(SHOWN_BEFORE));
            to = (from + MOST_SHOWN).min(line.end);
        }
        let open = if from > line.start { "…" } else { "" };
        let close = if to < line.end { "…" } else { "" };
        let middle: String = shown.characters(from..to).chars().map(pictured).collect();
        let cut = end - at > MOST_UNDERLINED;
        let most = if cut { at + MOST_UNDERLINED } else { end };
        Self {
            line: format!("{open}{middle}{close}"),
            before: at - from + open.chars().count(),
            length: end.min(to) - at,
            underlined: format!("{}{}", shown.characters(at..most), if cut { "…" } else { "" }),
        }
    }
}

/// Whether a terminal does something with it, or hides what stands beside it.
fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// One character for another, so that columns stay; tabs stay tabs.
fn pictured(c: char) -> char {
    match c {
        '\t' => c,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        c if controls(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// A text with what a terminal would act on written as `\u{1b}`.
pub(super) fn escaped(text: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        text.chars().try_for_each(|c| match c {
            c if controls(c) => write!(f, "{}", c.escape_unicode()),
            c => fmt::Write::write_char(f, c),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let text = format!("a = 1\r\n{}b = \"ü\" # é\n\n", "ü".repeat(3000));
        let lines = Lines::of(&text);
        let check = |part: &str, line: usize, column: usize| {
            let at = text.find(part).unwrap();
            let span = lines.span(at..at + part.len());
            assert_eq!((span.line, span.column), (line, column), "{part}");
            assert_eq!(lines.byte(lines.before(at)), at, "{part}");
        };
        check("a = 1", 1, 1);
        check("= 1", 1, 3);
        check("b = ", 2, 3001);
        check("# é", 2, 3009);
        let end = lines.span(text.len()..text.len());
        assert_eq!((end.line, end.column), (4, 1));
        assert_eq!(lines.characters(lines.line(1)), "a = 1");
        assert_eq!(lines.characters(lines.line(3)), "");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_only_pictured() {
        let text = "\u{1b}[31mred\u{202e}\u{9b} = 1\t# x";
        let lines = Lines::of(text);
        let excerpt = Excerpt::of(&lines, &lines, &lines.span(0..text.find(" =").unwrap()));
        assert_eq!(excerpt.line, "␛[31mred\u{fffd}\u{fffd} = 1\t# x");
        assert_eq!((excerpt.before, excerpt.length), (0, 10));
        assert_eq!(escaped("a\u{1b}[0m\n").to_string(), "a\\u{1b}[0m\\u{a}");
    }

    #[test]
    fn a_long_line_is_shown_around_its_place() {
        let text = format!("{}here{}", "a".repeat(500), "b".repeat(500));
        let lines = Lines::of(&text);
        let excerpt = Excerpt::of(&lines, &lines, &lines.span(500..504));
        assert_eq!(excerpt.line, format!("…{}here{}…", "a".repeat(60), "b".repeat(96)));
        assert_eq!((excerpt.before, excerpt.length, excerpt.underlined.as_str()), (61, 4, "here"));
        let excerpt = Excerpt::of(&lines, &lines, &lines.span(0..1004));
        assert_eq!((excerpt.before, excerpt.length), (0, 160));
        assert_eq!(excerpt.underlined.chars().count(), MOST_UNDERLINED + 1);
    }
}
