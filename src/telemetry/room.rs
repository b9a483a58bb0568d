//! How many series calls may make. Routes, methods, statuses and surfaces multiply, and each histogram is as many series as it has
//! buckets; so what comes first has series of its own, and what comes when there are too many is told of together with others.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// One set of labels of a family: which family, and the labels' values.
pub(super) type Set = (Family, Vec<String>);

/// The families that calls make series of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Durations,
    Rpc,
    Total,
    Tools,
}

/// The room that there is.
#[derive(Debug)]
pub(super) struct Room {
    /// Series that there may be.
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    series: usize,
    sets: HashMap<Set, Of>,
}

/// How many series a set is, and of which route it tells.
#[derive(Debug)]
struct Of {
    cost: usize,
    route: String,
}

/// How much of the room one may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// All but a tenth, which is kept for what tells of others together.
    Own,
    All,
    /// Whatever there is: it is one set a family, for all that is left.
    Last,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// Takes room for these sets, all or none; those that are there already cost nothing.
    pub(super) fn take(&self, route: &str, sets: &[(Set, usize)], share: Share) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: Vec<_> = sets.iter().filter(|(set, _)| !taken.sets.contains_key(set)).collect();
        let cost: usize = fresh.iter().map(|(_, cost)| cost).sum();
        let room = match share {
            Share::Own => self.most - self.most / 10,
            Share::All => self.most,
            Share::Last => usize::MAX,
        };
        if cost > 0 && taken.series + cost > room {
            return false;
        }
        taken.series += cost;
        for (set, cost) in fresh {
            taken.sets.insert(set.clone(), Of { cost: *cost, route: route.to_owned() });
        }
        true
    }

    /// Gives back the room of all that tells of this route alone, and says what that was.
    pub(super) fn give_back(&self, route: &str) -> Vec<Set> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<Set> =
            taken.sets.iter().filter(|(_, of)| of.route == route).map(|(set, _)| set.clone()).collect();
        for set in &gone {
            if let Some(of) = taken.sets.remove(set) {
                taken.series -= of.cost;
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str) -> Set {
        (Family::Total, vec![name.to_owned()])
    }

    #[test]
    fn what_comes_first_has_room_and_the_rest_shares_a_tenth() {
        let room = Room::new(100);
        let own = |name: &str, cost| room.take(name, &[(set(name), cost)], Share::Own);
        assert!(own("a", 50) && own("b", 40) && !own("c", 1));
        assert!(own("a", 50), "it is there already");
        assert!(room.take("other", &[(set("o"), 9)], Share::All));
        assert!(!room.take("other", &[(set("p"), 9)], Share::All));
        assert!(room.take("other", &[(set("last"), 17)], Share::Last));
        assert_eq!(room.give_back("b"), [set("b")]);
        assert!(own("c", 1) && !own("d", 40), "what tells of others keeps its place");
    }
}
