//! Whose word for a trace is believed, and which traces are recorded: those whose parent is, and of those that begin here a share, by the trace's id alone, so that
//! all who sample by it take the same ones.

use crate::call::trace::{SpanContext, TraceId};

const ALL: u64 = 1 << 56;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// The caller's decision holds, where it has made one.
    pub by_parent: bool,
    /// Ids whose randomness is below it are left out.
    below: u64,
}

impl Sampler {
    /// `share`: from 0 (none) to 1 (all).
    #[must_use]
    pub fn new(by_parent: bool, share: f64) -> Self {
        let left_out = (1.0 - share.clamp(0.0, 1.0)) * ALL as f64;
        Self { by_parent, below: left_out.round() as u64 }
    }

    /// Whether a call is recorded.
    #[must_use]
    pub fn takes(&self, trace: &TraceId, parent: Option<&SpanContext>) -> bool {
        match parent {
            Some(parent) if self.by_parent => parent.sampled,
            _ => trace.randomness() >= self.below,
        }
    }
}

/// Whose word for a trace is believed. Who is not believed calls in a trace that begins here, with a link to the one it named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    #[default]
    Everyone,
    /// The proxies that are believed when they say whom they speak for.
    Proxies,
    Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of(sampler: Sampler, parent: Option<&SpanContext>) -> f64 {
        let taken = (0..20_000).filter(|_| sampler.takes(&TraceId::new(), parent)).count();
        taken as f64 / 20_000.0
    }

    #[test]
    fn a_share_of_the_traces_is_recorded() {
        for share in [0.0, 0.1, 0.5, 1.0] {
            let taken = share_of(Sampler::new(true, share), None);
            assert!((taken - share).abs() <= 0.02 * share.min(1.0 - share).signum(), "{share}: {taken}");
        }
    }

    #[test]
    fn the_callers_decision_holds_unless_it_is_not_asked() {
        let parent = |sampled| SpanContext { sampled, ..SpanContext::root() };
        for (by_parent, share, sampled, want) in [
            (true, 0.0, true, 1.0),
            (true, 1.0, false, 0.0),
            (false, 0.0, true, 0.0),
            (false, 1.0, false, 1.0),
        ] {
            assert_eq!(share_of(Sampler::new(by_parent, share), Some(&parent(sampled))), want);
        }
    }

    #[test]
    fn who_takes_more_takes_all_that_others_take() {
        let (few, many) = (Sampler::new(true, 0.1), Sampler::new(true, 0.3));
        let ids: Vec<TraceId> = (0..5_000).map(|_| TraceId::new()).collect();
        assert!(ids.iter().filter(|id| few.takes(id, None)).all(|id| many.takes(id, None)));
    }
}
