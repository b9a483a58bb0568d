//! A table from names to indices, looked up by raw bytes on the hot path. Its hash reads at most 24 bytes of a name, which
//! is safe because the names come from a schema, not from a client.

/// An immutable open-addressed table.
#[derive(Debug, Default)]
pub(super) struct Names {
    slots: Box<[Slot]>,
}

/// A name and its index, or nothing.
type Slot = Option<(Box<[u8]>, u32)>;

impl Names {
    /// Of several entries with one name the first one counts.
    pub(super) fn new<'a>(entries: impl Iterator<Item = (&'a str, u32)>) -> Names {
        let entries: Vec<_> = entries.collect();
        let size = (entries.len() * 2).next_power_of_two().max(2);
        let mut slots: Vec<Slot> = vec![None; size];
        for (name, index) in entries {
            let mut at = hash(name.as_bytes()) as usize & (size - 1);
            while slots[at].as_ref().is_some_and(|(taken, _)| **taken != *name.as_bytes()) {
                at = (at + 1) & (size - 1);
            }
            slots[at].get_or_insert_with(|| (name.as_bytes().into(), index));
        }
        Names { slots: slots.into() }
    }

    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash(name) as usize & mask;
        // At most half of the slots are taken, so a free one ends every search.
        while let Some((taken, index)) = &self.slots[at] {
            if **taken == *name {
                return Some(*index as usize);
            }
            at = (at + 1) & mask;
        }
        None
    }
}

#[inline]
fn hash(name: &[u8]) -> u64 {
    let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
    } else {
        name.iter().fold((0, 0), |(bytes, _), byte| (bytes << 8 | u64::from(*byte), 1))
    };
    let middle = match name.get(name.len() / 2..).and_then(<[u8]>::first_chunk) {
        Some(middle) if name.len() > 16 => u64::from_le_bytes(*middle),
        _ => name.len() as u64,
    };
    let product = u128::from(first ^ 0x9e37_79b9_7f4a_7c15)
        * u128::from(last.rotate_left(29) ^ middle ^ 0xe703_7ed1_a0b4_28db);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<String> =
            (0..500).map(|index| format!("a_long_prefix_{}_{index}", "x".repeat(index % 40))).collect();
        let table = Names::new(names.iter().zip(0..).map(|(name, index)| (name.as_str(), index)));
        for (index, name) in names.iter().enumerate() {
            assert_eq!(table.get(name.as_bytes()), Some(index));
            assert_eq!(table.get(&name.as_bytes()[1..]), None);
        }
        assert_eq!((table.get(b""), Names::default().get(b"a")), (None, None));
    }

    #[test]
    fn the_first_of_two_equal_names_counts() {
        let table = Names::new([("a", 1), ("b", 2), ("a", 3)].into_iter());
        assert_eq!((table.get(b"a"), table.get(b"b")), (Some(1), Some(2)));
    }
}
