//! A consistent-hash ring (Karger et al., 1997): each endpoint has many points on it, and a key belongs to the next point.
//! When an endpoint leaves, its keys alone move. The hash is the same in every process and release, so replicas agree.

/// Points of each endpoint: its share of the keys differs from the others' by about a tenth.
const POINTS: u32 = 160;

#[derive(Debug, Default)]
pub(super) struct Ring(Box<[(u64, usize)]>);

impl Ring {
    /// A ring of endpoints by their names.
    pub(super) fn new(names: impl Iterator<Item = String>) -> Self {
        let points = names.enumerate().flat_map(|(index, name)| {
            (0..POINTS).map(move |point| (hash(format!("{name}#{point}").as_bytes()), index))
        });
        let mut points: Vec<_> = points.collect();
        points.sort_unstable();
        Self(points.into())
    }

    /// Whose a key is, then who is next on the ring, and so on; each may come again.
    pub(super) fn of(&self, key: u64) -> impl Iterator<Item = usize> {
        let (before, behind) = self.0.split_at(self.0.partition_point(|(at, _)| *at < key));
        behind.iter().chain(before).map(|(_, index)| *index)
    }
}

/// FNV-1a, its bits spread by the last step of SplitMix64.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(names: &[&str]) -> Vec<String> {
        let ring = Ring::new(names.iter().map(ToString::to_string));
        let owner = |key: u32| ring.of(hash(format!("user-{key}").as_bytes())).next().unwrap();
        (0..10_000).map(|key| names[owner(key)].to_owned()).collect()
    }

    #[test]
    fn only_the_keys_of_the_one_that_leaves_move() {
        let names = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"];
        let before = owners(&names);
        for name in names {
            let share = before.iter().filter(|owner| *owner == name).count();
            assert!((1_800..3_300).contains(&share), "{name}: {share}");
        }
        let after = owners(&["10.0.0.1:1", "10.0.0.3:1", "10.0.0.4:1"]);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || before == "10.0.0.2:1", "{before} became {after}");
        }
    }

    #[test]
    fn the_next_on_the_ring_takes_over_and_all_are_on_it() {
        let ring = Ring::new(["a", "b", "c"].map(str::to_owned).into_iter());
        let mut all: Vec<_> = ring.of(u64::MAX).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, [0, 1, 2]);
        assert_eq!(Ring::default().of(7).next(), None);
    }
}
