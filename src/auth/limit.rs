//! A limit on how often something may happen, as the config names it.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::Rate;

/// A rate with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its name in `RateLimit-Policy`, and part of the key that it is counted by.
    pub name: Arc<str>,
    pub rate: Rate,
    pub away: Away,
    /// What `RateLimit-Policy` says of it.
    pub policy: HeaderValue,
    /// What `X-RateLimit-Limit` says of it: the most calls of one window.
    pub most: HeaderValue,
}

/// What a limit does while the Redis that replicas count in is away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Away {
    /// Every call is let through.
    Open,
    /// Every call fails with UNAVAILABLE.
    Closed,
    /// Each replica counts its own.
    #[default]
    Local,
}

impl Limit {
    /// `None` for a window under a second, or a name that no header can have.
    #[must_use]
    pub fn new(name: &str, rate: Rate, away: Away) -> Option<Self> {
        let named: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_./:".contains(c) { c } else { '-' })
            .collect();
        let policy = format!("\"{named}\";q={};w={}", rate.most(), rate.window().as_secs());
        let policy = HeaderValue::try_from(policy).ok()?;
        let fits = rate.window() >= Duration::from_secs(1);
        fits.then(|| Self { name: named.into(), rate, away, policy, most: rate.most().into() })
    }
}
