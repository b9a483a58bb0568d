//! A limit on how often something may happen, as the config names it.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

/// So many calls in a window that slides, and so many more at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its name in `RateLimit-Policy`, and part of the key that it is counted by.
    pub name: Arc<str>,
    /// At least 1.
    pub calls: u32,
    pub burst: u32,
    pub window: Duration,
    /// What `RateLimit-Policy` says of it.
    pub policy: HeaderValue,
}

impl Limit {
    /// `None` for one without calls, or with a window that is not from a second to a day.
    #[must_use]
    pub fn new(name: &str, calls: u32, burst: u32, window: Duration) -> Option<Self> {
        let fits = calls > 0 && (Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&window);
        let named: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_./:".contains(c) { c } else { '-' })
            .collect();
        let most = calls.checked_add(burst)?;
        let policy = format!("\"{named}\";q={most};w={}", window.as_secs());
        let policy = HeaderValue::try_from(policy).ok()?;
        fits.then(|| Self { name: named.into(), calls, burst, window, policy })
    }

    /// The most calls of one window.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.calls.saturating_add(self.burst)
    }
}
