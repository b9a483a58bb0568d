//! Ids of traces and spans: drawn without a system call, unique and not secret.

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher as _, RandomState},
};

/// Of a trace; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Of a span; never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// One that nobody has.
    #[must_use]
    pub fn new() -> Self {
        let (high, low) = (draw(), draw() | u64::from(draw() == 0));
        Self((u128::from(high) << 64 | u128::from(low.max(1))).to_be_bytes())
    }

    /// The 56 bits that are random, by which it is decided what is sampled (W3C Trace Context, level 2).
    #[must_use]
    pub fn randomness(&self) -> u64 {
        u128::from_be_bytes(self.0) as u64 & ((1 << 56) - 1)
    }
}

impl Default for TraceId {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanId {
    /// One that nobody has in its trace.
    #[must_use]
    pub fn new() -> Self {
        Self(draw().max(1).to_be_bytes())
    }
}

impl Default for SpanId {
    fn default() -> Self {
        Self::new()
    }
}

/// xoshiro256++ (Blackman, Vigna 2019), seeded by the system once a thread.
fn draw() -> u64 {
    thread_local! {
        static STATE: Cell<[u64; 4]> = Cell::new([(); 4].map(|()| RandomState::new().hash_one(0) | 1));
    }
    STATE.with(|state| {
        let [mut a, mut b, mut c, mut d] = state.get();
        let drawn = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let shifted = b << 17;
        c ^= a;
        d ^= b;
        b ^= c;
        a ^= d;
        c ^= shifted;
        d = d.rotate_left(45);
        state.set([a, b, c, d]);
        drawn
    })
}

/// Writes bytes in small hexadecimal letters; `to` has twice as many.
pub(super) fn hex(bytes: &[u8], to: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in to.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            *high = DIGITS[usize::from(byte >> 4)];
            *low = DIGITS[usize::from(byte & 15)];
        }
    }
}

/// Reads as many bytes as `to` has of small hexadecimal letters.
pub(super) fn unhex(text: &[u8], to: &mut [u8]) -> Option<()> {
    let digit = |letter: u8| match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in to.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}

fn show<const N: usize>(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; N];
    hex(bytes, &mut text);
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show::<32>(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show::<16>(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_their_own_on_every_thread() {
        let draw = || (0..5_000).map(|_| (TraceId::new(), SpanId::new())).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let (traces, spans): (HashSet<_>, HashSet<_>) = all.into_iter().unzip();
        assert_eq!((traces.len(), spans.len()), (20_000, 20_000));
        assert!(!traces.contains(&TraceId([0; 16])) && !spans.contains(&SpanId([0; 8])));
    }

    #[test]
    fn every_bit_of_an_id_is_drawn() {
        let (mut ones, mut zeros) = (0_u128, 0_u128);
        for _ in 0..200 {
            let id = u128::from_be_bytes(TraceId::new().0);
            (ones, zeros) = (ones | id, zeros | !id);
        }
        assert_eq!((ones, zeros), (u128::MAX, u128::MAX));
    }
}
