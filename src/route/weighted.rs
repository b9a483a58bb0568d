//! Things of which one is picked at random, by weight: the same route to several upstreams.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    sync::Arc,
};

/// At least one thing, each with how often it is picked.
#[derive(Debug)]
pub struct Weighted<T>(Kind<T>);

#[derive(Debug)]
enum Kind<T> {
    /// The usual case costs nothing.
    One(Arc<T>),
    /// Each with the sum of the weights up to its own; those of weight 0 are never picked.
    Several(Arc<[(u64, Arc<T>)]>),
}

impl<T> Clone for Weighted<T> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::One(one) => Kind::One(Arc::clone(one)),
            Kind::Several(list) => Kind::Several(Arc::clone(list)),
        })
    }
}

impl<T> From<Arc<T>> for Weighted<T> {
    fn from(one: Arc<T>) -> Self {
        Self(Kind::One(one))
    }
}

impl<T> Weighted<T> {
    /// `None` for an empty list.
    #[must_use]
    pub fn new(list: Vec<(u32, Arc<T>)>) -> Option<Self> {
        if let [(_, one)] = list.as_slice() {
            return Some(Arc::clone(one).into());
        }
        let mut sum = 0;
        let summed = list.into_iter().map(|(weight, one)| {
            sum += u64::from(weight);
            (sum, one)
        });
        let summed: Arc<[_]> = summed.collect();
        (!summed.is_empty()).then_some(Self(Kind::Several(summed)))
    }

    /// One of them, by weight.
    #[must_use]
    pub fn pick(&self) -> &Arc<T> {
        match &self.0 {
            Kind::One(one) => one,
            // Whoever makes a hasher gets keys that nobody can guess.
            Kind::Several(list) => at(list, RandomState::new().build_hasher().finish()),
        }
    }

    /// The first as they are written: what is said of all, where they differ in nothing but where they lead.
    #[must_use]
    pub fn first(&self) -> &Arc<T> {
        match &self.0 {
            Kind::One(one) => one,
            Kind::Several(list) => at(list, 0),
        }
    }

    /// Each with its weight.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Arc<T>)> {
        let (one, several): (_, &[_]) = match &self.0 {
            Kind::One(one) => (Some((1, one)), &[]),
            Kind::Several(list) => (None, list),
        };
        let mut before = 0;
        one.into_iter().chain(several.iter().map(move |(sum, one)| {
            let weight = sum - before;
            before = *sum;
            (weight, one)
        }))
    }

    /// The same of what each becomes.
    ///
    /// # Errors
    /// The first that becomes nothing.
    pub fn try_map<U, E>(&self, mut make: impl FnMut(&Arc<T>) -> Result<U, E>) -> Result<Weighted<U>, E> {
        Ok(Weighted(match &self.0 {
            Kind::One(one) => Kind::One(Arc::new(make(one)?)),
            Kind::Several(list) => {
                let made = list.iter().map(|(sum, one)| Ok((*sum, Arc::new(make(one)?))));
                Kind::Several(made.collect::<Result<_, E>>()?)
            }
        }))
    }
}

fn at<T>(list: &[(u64, Arc<T>)], random: u64) -> &Arc<T> {
    let all = list.last().map_or(1, |(sum, _)| (*sum).max(1));
    let point = random % all;
    let place = list.partition_point(|(sum, _)| *sum <= point);
    // A list is never empty, and a point lies below its last sum.
    &list[place.min(list.len() - 1)].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_picked_by_its_weight() {
        let of = |list: &[u32]| {
            let list = list.iter().enumerate().map(|(at, weight)| (*weight, Arc::new(at)));
            Weighted::new(list.collect()).unwrap()
        };
        let weighted = of(&[90, 0, 10]);
        let mut counts = [0_u32; 3];
        for _ in 0..10_000 {
            counts[**weighted.pick()] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((700..1300).contains(&counts[2]), "{counts:?}");
        assert_eq!(weighted.iter().map(|(weight, _)| weight).collect::<Vec<_>>(), [90, 0, 10]);
        assert_eq!((**of(&[0, 5]).first(), **of(&[0, 5]).pick(), **of(&[7]).pick()), (1, 1, 0));
        assert!(Weighted::<u8>::new(Vec::new()).is_none());
        let mapped = weighted.try_map(|at| if **at < 3 { Ok(**at * 2) } else { Err(()) }).unwrap();
        assert_eq!(mapped.iter().map(|(_, at)| **at).collect::<Vec<_>>(), [0, 2, 4]);
    }
}
