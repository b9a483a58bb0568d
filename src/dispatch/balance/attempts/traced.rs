//! What a trace tells of a call and its attempts, and what upstreams are told of the trace.

use std::time::Duration;

use http::HeaderValue;

use super::Attempts;
use crate::call::trace::Fact;

/// As much is shown of why something happened, in characters.
const MOST_SHOWN: usize = 200;

impl<T> Attempts<T> {
    /// Something happened to the call, at this upstream.
    pub(super) fn happened(&self, what: &'static str, why: Option<&str>) {
        self.note(what, || why.map(|why| ("why", shown(why))).into_iter().collect());
    }

    /// It is sent again after this time.
    pub(super) fn goes_again(&self, wait: Duration, why: &str) {
        self.note("retry", || {
            let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            let next = i64::from(self.sent) + 1;
            vec![("attempt", Fact::Number(next)), ("wait_ms", Fact::Number(millis)), ("why", shown(why))]
        });
    }

    fn note(&self, what: &'static str, facts: impl FnOnce() -> Vec<(&'static str, Fact)>) {
        if let Some(record) = &self.plan.record {
            record.happened(what, || {
                let mut facts = facts();
                facts.push(("upstream", Fact::Text(self.balance.name.to_string())));
                facts
            });
        }
    }

    /// What the endpoint of the current attempt is told of its place in a trace, where it is not the request's own.
    pub(in crate::dispatch) fn traceparent(&self) -> Option<HeaderValue> {
        self.plan.record.as_ref()?.traceparent(self.recorded)
    }
}

fn shown(why: &str) -> Fact {
    Fact::Text(why.chars().take(MOST_SHOWN).collect())
}
