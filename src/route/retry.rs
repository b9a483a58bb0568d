//! Which calls are sent again, and how: what an upstream's calls have in common, and what a route says of its own. Plain values.

use std::time::Duration;

use tonic::Code;

/// `[upstreams.retry]`, as far as a route does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryRules {
    /// How often a call may be sent in all; 1: once. What was never sent is sent elsewhere all the same.
    pub attempts: u32,
    /// How long one attempt may take, of calls that may be repeated.
    pub per_try_timeout: Option<Duration>,
    /// The longest pause before the second attempt; it doubles with each further one, up to `max_backoff`.
    pub backoff: Duration,
    pub max_backoff: Duration,
    /// How many of a hundred calls of the last ten seconds may be sent again.
    pub budget_percent: u32,
    /// HTTP statuses after which a request may be sent again.
    pub statuses: Vec<u16>,
    /// gRPC codes after which a call may be sent again.
    pub codes: Vec<Code>,
    /// The longest body, in bytes, that is kept to be sent again, and the longest reply that is held until it is whole.
    pub body_bytes: usize,
    /// Whether calls may be repeated, whatever they are; `None`: as their method is.
    pub repeatable: Option<bool>,
}

/// `retry` of a route: each key in place of its upstream's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetryChanges {
    pub attempts: Option<u32>,
    pub per_try_timeout: Option<Duration>,
    pub backoff: Option<Duration>,
    pub max_backoff: Option<Duration>,
    pub statuses: Option<Vec<u16>>,
    pub codes: Option<Vec<Code>>,
    pub body_bytes: Option<usize>,
    pub repeatable: Option<bool>,
}

impl RetryChanges {
    /// What it does not say, another does.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            attempts: self.attempts.or(other.attempts),
            per_try_timeout: self.per_try_timeout.or(other.per_try_timeout),
            backoff: self.backoff.or(other.backoff),
            max_backoff: self.max_backoff.or(other.max_backoff),
            statuses: self.statuses.or_else(|| other.statuses.clone()),
            codes: self.codes.or_else(|| other.codes.clone()),
            body_bytes: self.body_bytes.or(other.body_bytes),
            repeatable: self.repeatable.or(other.repeatable),
        }
    }

    /// The rules of a route's calls to an upstream that has these for all of its own. The budget is the upstream's.
    #[must_use]
    pub fn over(&self, rules: &RetryRules) -> RetryRules {
        let max_backoff = self.max_backoff.unwrap_or(rules.max_backoff);
        RetryRules {
            attempts: self.attempts.unwrap_or(rules.attempts),
            per_try_timeout: self.per_try_timeout.or(rules.per_try_timeout),
            backoff: self.backoff.unwrap_or(rules.backoff).min(max_backoff),
            max_backoff,
            budget_percent: rules.budget_percent,
            statuses: self.statuses.clone().unwrap_or_else(|| rules.statuses.clone()),
            codes: self.codes.clone().unwrap_or_else(|| rules.codes.clone()),
            body_bytes: self.body_bytes.unwrap_or(rules.body_bytes),
            repeatable: self.repeatable.or(rules.repeatable),
        }
    }
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 3,
            per_try_timeout: None,
            backoff: Duration::from_millis(25),
            max_backoff: Duration::from_secs(1),
            budget_percent: 20,
            statuses: vec![502, 503, 504],
            codes: vec![Code::Unavailable],
            body_bytes: 64 << 10,
            repeatable: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_changes_what_it_says_and_nothing_else() {
        let method = RetryChanges { attempts: Some(1), ..RetryChanges::default() };
        let service =
            RetryChanges { attempts: Some(5), codes: Some(vec![Code::Aborted]), ..RetryChanges::default() };
        let upstreams = RetryRules { budget_percent: 7, ..RetryRules::default() };
        let want = RetryRules { attempts: 1, codes: vec![Code::Aborted], ..upstreams.clone() };
        assert_eq!(method.or(&service).over(&upstreams), want);
        assert_eq!(RetryChanges::default().over(&upstreams), upstreams);
        let short = RetryChanges { max_backoff: Some(Duration::from_millis(1)), ..RetryChanges::default() };
        assert_eq!(
            short.over(&upstreams).backoff,
            Duration::from_millis(1),
            "no pause is longer than the longest"
        );
    }
}
