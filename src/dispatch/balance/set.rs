//! The endpoints of an upstream as they are known now, and the choice among them. A set never changes: another takes its
//! place.
//!
//! An endpoint that is left out, or that health checks speak against, is passed over while another is there. Where none is,
//! all are chosen from: a check can be wrong, and what fails them all is the breaker's to stop.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{
    endpoint::Endpoint,
    random,
    ring::Ring,
    rules::{Balancing, EjectionRules},
};

/// How often an endpoint that fits is drawn for before the whole set is gone through.
const DRAWS: usize = 8;

#[derive(Debug)]
pub(super) struct Set<T> {
    pub(super) endpoints: Box<[Arc<Endpoint<T>>]>,
    ring: Ring,
}

/// Where a call was sent before.
pub(super) type Tried<T> = Vec<Arc<Endpoint<T>>>;

impl<T> Set<T> {
    pub(super) fn new(endpoints: Vec<Arc<Endpoint<T>>>, balancing: &Balancing) -> Self {
        let ring = match balancing {
            Balancing::Hash(_) => Ring::new(endpoints.iter().map(|endpoint| endpoint.address.to_string())),
            _ => Ring::default(),
        };
        Self { endpoints: endpoints.into(), ring }
    }

    /// Where a call goes; `None` only where there is no endpoint at all. `elsewhere`: rather to one that is not fit than to one
    /// that was tried.
    pub(super) fn pick(
        &self,
        how: &Balancing,
        turn: &AtomicUsize,
        key: Option<u64>,
        (tried, elsewhere): (&Tried<T>, bool),
        now: u64,
    ) -> Option<&Arc<Endpoint<T>>> {
        match &*self.endpoints {
            [] => return None,
            [one] => return Some(one),
            _ => {}
        }
        let fit = |endpoint: &Endpoint<T>| endpoint.is_fit(now);
        let fresh = |endpoint: &Endpoint<T>| !tried.iter().any(|tried| std::ptr::eq(&**tried, endpoint));
        let other =
            |endpoint: &Endpoint<T>| !tried.last().is_some_and(|last| std::ptr::eq(&**last, endpoint));
        let choose = |fits: &dyn Fn(&Endpoint<T>) -> bool| self.choose(how, turn, key, fits, now);
        choose(&|endpoint| fit(endpoint) && fresh(endpoint))
            .or_else(|| if elsewhere { choose(&fresh) } else { None })
            .or_else(|| choose(&|endpoint| fit(endpoint) && other(endpoint)))
            .or_else(|| choose(&fresh))
            .or_else(|| choose(&other))
            .or_else(|| choose(&fit))
    }

    /// True where an endpoint is fit that was not tried.
    pub(super) fn has_another(&self, tried: &Tried<T>, now: u64) -> bool {
        let fresh = |endpoint: &Arc<Endpoint<T>>| !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
        self.endpoints.iter().any(|endpoint| endpoint.is_fit(now) && fresh(endpoint))
    }

    /// True where an endpoint that fails may be left out: there are others, and not too many of them are out already.
    pub(super) fn can_spare(&self, rules: &EjectionRules, now: u64) -> bool {
        let out = self.endpoints.iter().filter(|endpoint| endpoint.is_out(now)).count();
        self.endpoints.len() > 1 && out * 100 < self.endpoints.len() * rules.max_percent as usize
    }

    fn choose(
        &self,
        how: &Balancing,
        turn: &AtomicUsize,
        key: Option<u64>,
        fits: &dyn Fn(&Endpoint<T>) -> bool,
        now: u64,
    ) -> Option<&Arc<Endpoint<T>>> {
        match (how, key) {
            (Balancing::RoundRobin, _) => {
                let all = self.endpoints.iter().filter(|endpoint| fits(endpoint)).count();
                (all > 0).then(|| self.nth(turn.fetch_add(1, Relaxed) % all, fits)).flatten()
            }
            (Balancing::Hash(_), Some(key)) => self
                .ring
                .of(key)
                .filter_map(|index| self.endpoints.get(index))
                .find(|endpoint| fits(endpoint)),
            (Balancing::LeastRequests | Balancing::Hash(_), _) => {
                self.better_of_two(fits, |endpoint| endpoint.load() as f64)
            }
            (Balancing::PeakEwma, _) => {
                self.better_of_two(fits, |endpoint| endpoint.latency.cost(endpoint.load(), now))
            }
        }
    }

    /// The power of two choices: two are drawn, and the one that costs less is taken.
    fn better_of_two(
        &self,
        fits: &dyn Fn(&Endpoint<T>) -> bool,
        cost: impl Fn(&Endpoint<T>) -> f64,
    ) -> Option<&Arc<Endpoint<T>>> {
        let one = self.draw(fits)?;
        let another = self.draw(&|endpoint| fits(endpoint) && !std::ptr::eq(endpoint, &**one));
        another.filter(|another| cost(another) < cost(one)).or(Some(one))
    }

    fn draw(&self, fits: &dyn Fn(&Endpoint<T>) -> bool) -> Option<&Arc<Endpoint<T>>> {
        for _ in 0..DRAWS {
            let drawn = self.endpoints.get(random::below(self.endpoints.len()))?;
            if fits(drawn) {
                return Some(drawn);
            }
        }
        let all = self.endpoints.iter().filter(|endpoint| fits(endpoint)).count();
        self.nth(random::below(all), fits)
    }

    fn nth(&self, n: usize, fits: &dyn Fn(&Endpoint<T>) -> bool) -> Option<&Arc<Endpoint<T>>> {
        self.endpoints.iter().filter(|endpoint| fits(endpoint)).nth(n)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::dispatch::balance::rules::HashBy;

    fn set(count: u8, how: &Balancing) -> Set<()> {
        let endpoint = |n| Arc::new(Endpoint::new(format!("e{n}").into(), ([10, 0, 0, n], 1).into(), 0, ()));
        Set::new((1..=count).map(endpoint).collect(), how)
    }

    /// How often each is picked; each call ends before the next.
    fn spread(set: &Set<()>, how: &Balancing, calls: usize, now: u64) -> BTreeMap<String, usize> {
        let (turn, mut picked) = (AtomicUsize::new(0), BTreeMap::new());
        for _ in 0..calls {
            let endpoint = set.pick(how, &turn, None, (&Vec::new(), false), now).unwrap();
            *picked.entry(endpoint.label.to_string()).or_default() += 1;
        }
        picked
    }

    #[test]
    fn a_turn_each_is_even_whoever_is_out() {
        let how = Balancing::RoundRobin;
        let set = set(4, &how);
        assert!(spread(&set, &how, 400, 0).values().all(|picked| *picked == 100));
        set.endpoints[1].pause(Duration::from_secs(1), 0);
        let picked = spread(&set, &how, 300, 0);
        assert_eq!(
            picked.into_iter().collect::<Vec<_>>(),
            [("e1".to_owned(), 100), ("e3".to_owned(), 100), ("e4".to_owned(), 100)]
        );
        assert_eq!(spread(&set, &how, 400, 1_000)["e2"], 100);
    }

    #[test]
    fn two_choices_even_out_and_keep_away_from_who_is_busy() {
        let how = Balancing::LeastRequests;
        let idle = set(5, &how);
        let picked = spread(&idle, &how, 10_000, 0);
        assert!(picked.values().all(|picked| (1_700..2_300).contains(picked)), "{picked:?}");
        // Calls that stay: no endpoint has many more than another.
        let busy = set(5, &how);
        for _ in 0..1_000 {
            busy.pick(&how, &AtomicUsize::new(0), None, (&Vec::new(), false), 0).unwrap().take();
        }
        let loads: Vec<_> = busy.endpoints.iter().map(|endpoint| endpoint.load()).collect();
        assert!(loads.iter().all(|load| (195..=205).contains(load)), "{loads:?}");
        // One that is far busier is chosen by nobody.
        (0..50).for_each(|_| idle.endpoints[0].take());
        assert!(!spread(&idle, &how, 1_000, 0).contains_key("e1"));
    }

    #[test]
    fn the_faster_answers_are_preferred() {
        let how = Balancing::PeakEwma;
        let set = set(3, &how);
        for (endpoint, took) in set.endpoints.iter().zip([2, 40, 3]) {
            endpoint.latency.observe(Duration::from_millis(took), 0);
        }
        let picked = spread(&set, &how, 3_000, 0);
        assert!(!picked.contains_key("e2"), "{picked:?}");
        assert!(picked["e1"] > picked["e3"] && picked["e3"] > 500, "{picked:?}");
        // Until the others are so busy that it is worth it.
        (0..30).for_each(|_| set.endpoints[0].take());
        (0..30).for_each(|_| set.endpoints[2].take());
        assert!(spread(&set, &how, 3_000, 0)["e2"] > 1_900);
    }

    #[test]
    fn a_key_stays_where_it_is_until_its_endpoint_is_out() {
        let how = Balancing::Hash(HashBy::Client);
        let set = set(4, &how);
        let pick = |key, now| {
            set.pick(&how, &AtomicUsize::new(0), Some(key), (&Vec::new(), false), now)
                .unwrap()
                .label
                .to_string()
        };
        let key = 77;
        let (home, others) = (pick(key, 0), (0..100).map(|key| pick(key << 57, 0)).collect::<Vec<_>>());
        assert!((0..100).all(|_| pick(key, 0) == home));
        assert!(others.iter().any(|other| *other != home));
        let out = set.endpoints.iter().find(|endpoint| *endpoint.label == *home).unwrap();
        out.pause(Duration::from_secs(1), 0);
        let instead = pick(key, 0);
        assert_ne!(instead, home);
        for (number, other) in others.iter().enumerate().filter(|(_, other)| **other != home) {
            assert_eq!(pick((number as u64) << 57, 0), *other);
        }
        assert_eq!(pick(key, 1_000), home);
    }

    #[test]
    fn a_call_is_never_sent_again_where_it_just_failed_while_another_is_there() {
        let how = Balancing::LeastRequests;
        let set = set(3, &how);
        let [one, two, three] = &*set.endpoints else { panic!() };
        let pick = |tried: &[&Arc<Endpoint<()>>], now| {
            let tried = tried.iter().map(|tried| Arc::clone(tried)).collect();
            set.pick(&how, &AtomicUsize::new(0), None, (&tried, false), now).unwrap().label.to_string()
        };
        for _ in 0..100 {
            assert_eq!(pick(&[one, two], 0), "e3");
            assert_ne!(pick(&[one], 0), "e1");
            assert_ne!(pick(&[one, two, three], 0), "e3");
        }
        // Who is out is asked before who has just failed, and before nobody is.
        for endpoint in [two, three] {
            endpoint.pause(Duration::from_secs(1), 0);
        }
        assert_eq!(pick(&[], 0), "e1");
        assert_ne!(pick(&[one], 0), "e1");
        let tried = vec![Arc::clone(one)];
        let elsewhere = set.pick(&how, &AtomicUsize::new(0), None, (&tried, true), 0).unwrap();
        assert_ne!(*elsewhere.label, *one.label);
        one.pause(Duration::from_secs(1), 0);
        assert_ne!(pick(&[one], 0), "e1");
        assert!(
            !set.has_another(&vec![Arc::clone(one)], 0) && set.has_another(&vec![Arc::clone(one)], 1_000)
        );
    }

    #[test]
    fn only_so_many_are_put_out() {
        let how = Balancing::LeastRequests;
        let rules = EjectionRules::default();
        let put_out = |set: &Set<()>| {
            let spared = set.endpoints.iter().filter(|endpoint| {
                let spare = set.can_spare(&rules, 0);
                if spare {
                    endpoint.put_out(&rules, 0);
                }
                spare
            });
            spared.count()
        };
        for (count, want) in [(1, 0), (2, 1), (3, 2), (4, 2), (10, 5)] {
            assert_eq!(put_out(&set(count, &how)), want, "{count}");
        }
    }
}
