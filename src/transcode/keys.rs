//! The keys one map has had so far, to notice a second one of the same: a few are compared one by one on the stack, more of
//! them by a hash set.

use std::collections::HashSet;

/// A map key, equal when the keys are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key<'a> {
    Number(u64),
    Text(&'a [u8]),
}

const FEW: usize = 8;

pub(super) struct Keys<'a> {
    few: [Key<'a>; FEW],
    count: usize,
    many: HashSet<Key<'a>>,
    owned: HashSet<Vec<u8>>,
}

impl<'a> Keys<'a> {
    #[inline]
    pub(super) fn new() -> Keys<'a> {
        Keys { few: [Key::Number(0); FEW], count: 0, many: HashSet::new(), owned: HashSet::new() }
    }

    /// False when the key is there already.
    #[inline]
    pub(super) fn insert(&mut self, key: Key<'a>) -> bool {
        if self.count < FEW && self.owned.is_empty() {
            if self.few[..self.count].contains(&key) {
                return false;
            }
            self.few[self.count] = key;
            self.count += 1;
            return true;
        }
        self.insert_many(key)
    }

    fn insert_many(&mut self, key: Key<'a>) -> bool {
        if matches!(key, Key::Text(text) if self.owned.contains(text))
            || self.few[..self.count].contains(&key)
        {
            return false;
        }
        self.many.insert(key)
    }

    /// As `insert`, for a text that had to be put together and stands nowhere in the input.
    pub(super) fn insert_owned(&mut self, text: Vec<u8>) -> bool {
        let key = Key::Text(&text);
        !self.few[..self.count].contains(&key) && !self.many.contains(&key) && self.owned.insert(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_key_is_noticed_among_few_and_many() {
        let mut keys = Keys::new();
        for number in 0..100 {
            assert!(keys.insert(Key::Number(number)));
            assert!(!keys.insert(Key::Number(number / 2)));
        }
        let mut keys = Keys::new();
        assert!(
            keys.insert(Key::Text(b"a")) && keys.insert_owned(b"b".to_vec()) && keys.insert(Key::Text(b"c"))
        );
        assert!(!keys.insert_owned(b"a".to_vec()) && !keys.insert_owned(b"c".to_vec()));
        assert!(
            !keys.insert(Key::Text(b"b")) && !keys.insert(Key::Text(b"a")) && !keys.insert(Key::Text(b"c"))
        );
    }
}
