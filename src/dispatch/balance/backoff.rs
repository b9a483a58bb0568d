//! How long to wait before a call is sent again: exponential backoff with full jitter, and what an upstream asks for itself
//! by `Retry-After` (RFC 9110, 10.2.3) or `grpc-retry-pushback-ms` (gRPC retry design, A6).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header::RETRY_AFTER};

use super::random;
use crate::route::RetryRules;

static PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What an upstream asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dispatch) enum Asked {
    /// Not again.
    Never,
    /// Not before; whoever is asked next.
    Wait(Duration),
    /// Not this endpoint before that.
    Away(Duration),
}

impl Asked {
    /// `grpc-retry-pushback-ms`; what is no number means never.
    pub(in crate::dispatch) fn of_grpc(trailers: &HeaderMap) -> Option<Self> {
        let value = trailers.get(&PUSHBACK)?.to_str().ok().and_then(|text| text.parse::<i64>().ok());
        let wait = value.and_then(|value| u64::try_from(value).ok());
        Some(wait.map_or(Self::Never, |wait| Self::Wait(Duration::from_millis(wait))))
    }

    /// `Retry-After`, in seconds or as a date.
    pub(in crate::dispatch) fn of_http(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Self::Away(Duration::from_secs(seconds)));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        let until = SystemTime::from(date.timestamp());
        Some(Self::Away(until.duration_since(SystemTime::now()).unwrap_or_default()))
    }
}

/// A pause before attempt `next`, which is 2 or more.
pub(super) fn pause(rules: &RetryRules, next: u32) -> Duration {
    let doubled = 1_u32.checked_shl(next.saturating_sub(2)).unwrap_or(u32::MAX);
    random::up_to(rules.backoff.saturating_mul(doubled).min(rules.max_backoff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_most_and_are_spread_over_all_of_it() {
        let rules = RetryRules::default();
        for (next, most) in [(2, 25), (3, 50), (4, 100), (7, 800), (8, 1000), (40, 1000), (u32::MAX, 1000)] {
            let pauses: Vec<_> = (0..2_000).map(|_| pause(&rules, next).as_millis()).collect();
            let (least, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(*least <= most / 20 && *longest <= most && *longest >= most * 9 / 10, "{next}");
        }
    }

    #[test]
    fn what_an_upstream_asks_for_is_read() {
        let headers = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        let grpc = |value: &str| Asked::of_grpc(&headers("grpc-retry-pushback-ms", value));
        assert_eq!(grpc("250"), Some(Asked::Wait(Duration::from_millis(250))));
        assert_eq!(grpc("-1"), Some(Asked::Never));
        assert_eq!(grpc("soon"), Some(Asked::Never));
        assert_eq!(Asked::of_grpc(&HeaderMap::new()), None);
        let http = |value: &str| Asked::of_http(&headers("retry-after", value));
        assert_eq!(http("3"), Some(Asked::Away(Duration::from_secs(3))));
        assert_eq!(http("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Asked::Away(Duration::ZERO)));
        assert_eq!(http("later"), None);
    }
}
