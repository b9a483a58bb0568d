//! Which fields (and, numbered after them, oneofs) an object has had. Up to 128 live on the stack.

#[derive(Default)]
pub(super) struct Seen {
    few: [u64; 2],
    more: Vec<u64>,
}

impl Seen {
    /// False when `bit` is set already.
    #[inline]
    pub(super) fn insert(&mut self, bit: usize) -> bool {
        let mask = 1u64 << (bit % 64);
        let word = match self.few.get_mut(bit / 64) {
            Some(word) => word,
            None => {
                let at = bit / 64 - self.few.len();
                if self.more.len() <= at {
                    self.more.resize(at + 1, 0);
                }
                &mut self.more[at]
            }
        };
        let fresh = *word & mask == 0;
        *word |= mask;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_new_once() {
        let mut seen = Seen::default();
        for bit in [0, 63, 64, 127, 128, 129, 5000, 1000] {
            assert!(seen.insert(bit) && !seen.insert(bit), "{bit}");
        }
    }
}
