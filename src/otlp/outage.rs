//! What the log has of a collector that does not take what it is sent: one warning when it begins, whatever is sent there, and one
//! line of each when it is over.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tracing::{info, warn};

/// What is not taken now, of all that is sent: which collector, what, and why.
#[derive(Debug, Default)]
pub struct Outages(Mutex<HashMap<(String, &'static str), String>>);

impl Outages {
    /// False where another has said the same of this collector, and it goes on.
    fn begins(&self, collector: &str, what: &'static str, why: &str) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = all.iter().any(|((known, other), was)| known == collector && *other != what && was == why);
        all.insert((collector.to_owned(), what), why.to_owned());
        !said
    }

    fn ends(&self, collector: &str, what: &'static str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(collector.to_owned(), what));
    }
}

/// Whether a collector takes what it is sent.
#[derive(Debug)]
pub(super) struct Outage {
    /// What is sent, such as `traces`.
    what: &'static str,
    /// Where to.
    whither: String,
    /// Since when it is not taken, and how much had been lost before.
    since: Option<(Instant, u64)>,
    /// All that was lost when something was taken last.
    lost: u64,
    /// What others are sent there.
    all: Arc<Outages>,
}

impl Outage {
    pub(super) fn new(what: &'static str, whither: String, all: Arc<Outages>) -> Self {
        Self { what, whither, since: None, lost: 0, all }
    }

    /// The collector without the path of what is sent.
    fn collector(&self) -> &str {
        let path = self.whither.match_indices('/').nth(2).map(|(at, _)| at);
        self.whither.get(..path.unwrap_or(self.whither.len())).unwrap_or_default()
    }

    /// Something was not taken.
    pub(super) fn failed(&mut self, why: &str) {
        if self.since.is_some() {
            return;
        }
        self.since = Some((Instant::now(), self.lost));
        let Self { what, whither, all, .. } = &*self;
        if all.begins(self.collector(), what, why) {
            warn!("{what} cannot be sent to {whither}, so some of them will be lost; calls go on: {why}");
        }
    }

    /// Something was taken; `lost`: all that was lost so far, for want of room or because it was refused.
    pub(super) fn went_well(&mut self, lost: u64) {
        let before = std::mem::replace(&mut self.lost, lost);
        self.all.ends(self.collector(), self.what);
        let Self { what, whither, since, .. } = self;
        match *since {
            None if lost > before => {
                *since = Some((Instant::now(), before));
                warn!("{whither} takes {what} more slowly than they come, so some are lost; calls go on");
            }
            // What was lost while it was away is known only now.
            Some((began, had)) if lost == before => {
                *since = None;
                let (lost, after) = (lost - had, began.elapsed());
                info!(lost, "{what} are sent to {whither} again, after {after:.1?}");
            }
            None | Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_collector_the_same_is_said_once() {
        let all = Arc::<Outages>::default();
        let of = |what, whither: &str| Outage::new(what, whither.to_owned(), Arc::clone(&all));
        let (traces, metrics) =
            (of("traces", "http://c:4318/v1/traces"), of("metrics", "http://c:4318/v1/metrics"));
        let elsewhere = of("metrics", "http://d:4317");
        let begins = |outage: &Outage, why| all.begins(outage.collector(), outage.what, why);
        assert_eq!((traces.collector(), elsewhere.collector()), ("http://c:4318", "http://d:4317"));
        assert!(begins(&traces, "refused"));
        assert!(!begins(&metrics, "refused") && begins(&elsewhere, "refused"));
        assert!(begins(&metrics, "there is no such path"));
        all.ends(traces.collector(), traces.what);
        assert!(begins(&metrics, "refused"), "the other's is over");
    }

    #[test]
    fn an_outage_ends_when_nothing_more_is_lost() {
        let mut outage = Outage::new("traces", "http://localhost:4317".to_owned(), Arc::default());
        outage.went_well(0);
        assert!(outage.since.is_none());
        outage.failed("refused");
        outage.failed("refused");
        assert_eq!(outage.since.map(|(_, lost)| lost), Some(0));
        // The first that is taken tells of what was lost before it.
        outage.went_well(700);
        assert!(outage.since.is_some());
        outage.went_well(700);
        assert!(outage.since.is_none());
        // It is there, but slow.
        outage.went_well(701);
        outage.went_well(705);
        assert!(outage.since.is_some());
        outage.went_well(705);
        assert!(outage.since.is_none());
    }
}
