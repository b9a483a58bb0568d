//! What one segment of a path costs at one of a template, by how alike they are. It remembers what it found, and ends at
//! a bound.

use std::{borrow::Cow, collections::HashMap};

use crate::schema::{Segment, decode_segment, likeness};

/// What a segment more or less costs. Two of them cost more than a segment that is another.
pub(super) const MISSING: f64 = 0.8;
/// What other capitals cost.
pub(super) const CASE: f64 = 0.15;
/// What a segment costs where another literal is.
const OTHER: f64 = 1.0;
/// What a variable costs, so that a literal is nearer.
const VARIABLE: f64 = 0.02;

/// Segments longer than this many bytes are not compared: the cost grows with the product of both lengths.
const MAX_LENGTH: usize = 64;
/// So many pairs of segments are compared letter by letter; those beyond count as unlike.
const MAX_COMPARED: usize = 512;
/// Less alike than this is not alike.
const LEAST: f64 = 0.5;

/// Compares the segments of one request.
#[derive(Debug, Default)]
pub(super) struct Compare {
    known: HashMap<String, HashMap<String, f64>>,
    compared: usize,
}

/// The letters that a text is made of, to tell at a glance that two are unlike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letters {
    /// A bit for each letter and digit of ASCII, upper and lower case alike.
    which: u64,
    length: usize,
}

impl Compare {
    /// What a path's segment costs at a template's, and whether it is nearly the literal there.
    pub(super) fn cost(&mut self, segment: &str, wanted: &Segment) -> (f64, bool) {
        match wanted {
            Segment::Rest => (0.0, false),
            Segment::One if segment.is_empty() => (MISSING, false),
            Segment::One => (VARIABLE, false),
            Segment::Literal(literal) => {
                let decoded = decode_segment(segment).unwrap_or(Cow::Borrowed(segment));
                self.literal(&decoded, literal)
            }
        }
    }

    /// What a decoded segment costs at a literal, and whether it is nearly that.
    pub(super) fn literal(&mut self, decoded: &str, literal: &str) -> (f64, bool) {
        if decoded == literal {
            return (0.0, true);
        }
        if decoded.eq_ignore_ascii_case(literal) {
            return (CASE, true);
        }
        match self.likeness(decoded, literal) {
            likeness if likeness >= LEAST => (0.2 + 0.8 * (1.0 - likeness), true),
            _ => (OTHER, false),
        }
    }

    /// How alike two texts are, from 0.5 to 1; 0 for what is less alike, too long, or beyond the bound.
    pub(super) fn likeness(&mut self, a: &str, b: &str) -> f64 {
        if !Letters::of(a).may_be_like(Letters::of(b)) {
            return 0.0;
        }
        if let Some(known) = self.known.get(a).and_then(|known| known.get(b)) {
            return *known;
        }
        if self.compared == MAX_COMPARED {
            return 0.0;
        }
        self.compared += 1;
        let found = Some(likeness(a, b)).filter(|found| *found >= LEAST).unwrap_or_default();
        self.known.entry(a.to_owned()).or_default().insert(b.to_owned(), found);
        found
    }
}

impl Letters {
    pub(super) fn of(text: &str) -> Self {
        let mut letters = Self { which: 0, length: 0 };
        for byte in text.bytes() {
            // What likeness does not look at, and the later bytes of a character.
            if byte == b'_' || (0x80..0xc0).contains(&byte) {
                continue;
            }
            letters.length += 1;
            letters.which |= match byte {
                b'0'..=b'9' => 1 << (byte - b'0'),
                b'a'..=b'z' => 1 << (10 + byte - b'a'),
                b'A'..=b'Z' => 1 << (10 + byte - b'A'),
                _ => 0,
            };
        }
        letters
    }

    /// Whether two texts of these letters can be alike at all: each letter that only one of them has is a change, as is
    /// each that one is longer by.
    pub(super) fn may_be_like(self, other: Self) -> bool {
        let (longer, shorter) = (self.length.max(other.length), self.length.min(other.length));
        let only = |a: Self, b: Self| (a.which & !b.which).count_ones() as usize;
        let changes = only(self, other).max(only(other, self)).max(longer - shorter);
        shorter > 0 && longer <= MAX_LENGTH && changes * 2 <= longer
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_glance_tells_most_apart() {
        let check = |a: &str, b: &str, want: bool| {
            assert_eq!(Letters::of(a).may_be_like(Letters::of(b)), want, "{a} and {b}");
        };
        check("shelves", "shelfs", true);
        check("Shelves", "sHELVES", true);
        check("page_size", "pageSize", true);
        check("b\u{fc}cher", "bucher", true);
        check("shelves", "books", false);
        check("a", "shelves", false);
        check("", "a", false);
        check("", "", false);
        check(&"a".repeat(65), &"a".repeat(65), false);
    }

    proptest! {
        #[test]
        fn what_is_alike_is_never_told_apart_at_a_glance(a in "[a-dA-D_0-2.\u{e4}-]{1,12}", b in "[a-dA-D_0-2.\u{e4}-]{1,12}") {
            if likeness(&a, &b) >= LEAST && a.chars().any(|c| c != '_') && b.chars().any(|c| c != '_') {
                prop_assert!(Letters::of(&a).may_be_like(Letters::of(&b)));
            }
        }
    }

    #[test]
    fn comparing_ends_at_its_bound() {
        let mut compare = Compare::default();
        for n in 0..MAX_COMPARED {
            assert!(compare.likeness("thing", &format!("thing{}", n % 10)) > 0.0);
            compare.likeness(&format!("thing{n}"), &format!("thing{}", n + 1));
        }
        assert_eq!(compare.compared, MAX_COMPARED);
        assert_eq!(compare.likeness("shelfs", "shelves"), 0.0);
        assert!(compare.likeness("thing", "thing1") > 0.0, "what is known is still known");
    }
}
