//! What the log has of a collector that does not take what it is sent: one warning when it begins, one line when it is over.

use std::time::Instant;

use tracing::{info, warn};

/// Whether a collector takes what it is sent.
#[derive(Debug)]
pub struct Outage {
    /// What is sent, such as `traces`.
    what: &'static str,
    /// Where to.
    whither: String,
    /// Since when it is not taken, and how much had been lost before.
    since: Option<(Instant, u64)>,
    /// All that was lost when something was taken last.
    lost: u64,
}

impl Outage {
    #[must_use]
    pub fn new(what: &'static str, whither: String) -> Self {
        Self { what, whither, since: None, lost: 0 }
    }

    /// Something was not taken.
    pub fn failed(&mut self, why: &str) {
        let Self { what, whither, .. } = self;
        if self.since.is_none() {
            self.since = Some((Instant::now(), self.lost));
            warn!("{what} cannot be sent to {whither}, so some of them will be lost; calls go on: {why}");
        }
    }

    /// Something was taken; `lost`: all that was lost so far, for want of room or because it was refused.
    pub fn went_well(&mut self, lost: u64) {
        let before = std::mem::replace(&mut self.lost, lost);
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

    /// True while it lasts.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_when_nothing_more_is_lost() {
        let mut outage = Outage::new("traces", "http://localhost:4317".to_owned());
        outage.went_well(0);
        assert!(!outage.lasts());
        outage.failed("refused");
        outage.failed("refused");
        assert_eq!(outage.since.map(|(_, lost)| lost), Some(0));
        // The first that is taken tells of what was lost before it.
        outage.went_well(700);
        assert!(outage.lasts());
        outage.went_well(700);
        assert!(!outage.lasts());
        // It is there, but slow.
        outage.went_well(701);
        outage.went_well(705);
        assert!(outage.lasts());
        outage.went_well(705);
        assert!(!outage.lasts());
    }
}
