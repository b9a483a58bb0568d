//! What the policies that count share: the limits of the config, the counters, and how a caller is told.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::counters::{Counters, Key, Taken};
use crate::{
    auth::{Limit, Network, Principal},
    call::{Call, Caller, Counted, Reply},
    status::Fault,
};

const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Addresses that are turned away for a while, at most.
const MOST_TURNED_AWAY: usize = 10_000;
/// How long an address is turned away that has sent bad credentials beyond its limit.
const TURNED_AWAY: Duration = Duration::from_secs(1);

/// The limits of the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub enabled: bool,
    /// For each address whose caller is not known.
    pub address: Option<Arc<Limit>>,
    /// Addresses that are not counted.
    pub exempt: Vec<Network>,
    pub exempt_loopback: bool,
    /// For each caller of a tier; `None` for one without a limit.
    pub tiers: BTreeMap<Arc<str>, Option<Arc<Limit>>>,
    /// The tier of who has none.
    pub default_tier: Arc<str>,
    /// The window of limits that a caller has of its own.
    pub window: Duration,
    pub reset: Reset,
}

/// What `X-RateLimit-Reset` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// When, in seconds since 1970.
    Epoch,
    /// In how many seconds.
    Delta,
}

impl Settings {
    /// No limits at all.
    #[must_use]
    pub fn off() -> Self {
        Self {
            enabled: false,
            address: None,
            exempt: Vec::new(),
            exempt_loopback: true,
            tiers: BTreeMap::new(),
            default_tier: "free".into(),
            window: Duration::from_secs(60),
            reset: Reset::Epoch,
        }
    }
}

/// The limits, and what has been counted.
#[derive(Debug)]
pub struct Limits {
    pub(super) settings: Settings,
    counters: Arc<Counters>,
    /// Until when addresses are turned away that sent bad credentials beyond their limit.
    turned_away: Mutex<HashMap<IpAddr, Instant>>,
}

impl Limits {
    /// Limits that count with these counters, which may have counted before.
    #[must_use]
    pub fn new(settings: Settings, counters: Arc<Counters>) -> Self {
        Self { settings, counters, turned_away: Mutex::default() }
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The limit of a caller: its own, or its tier's; `None` where it has none.
    pub(super) fn of(&self, caller: &Principal) -> Option<Arc<Limit>> {
        if let Some(calls) = caller.limit {
            return Limit::new("caller", calls, 0, self.settings.window).map(Arc::new);
        }
        let tier = caller.tier.as_ref().unwrap_or(&self.settings.default_tier);
        // A tier that nobody wrote a limit for has the default tier's.
        match self.settings.tiers.get(tier) {
            Some(limit) => limit.clone(),
            None => self.settings.tiers.get(&self.settings.default_tier).cloned().flatten(),
        }
    }

    /// Counts one call, and keeps the tightest limit for the reply.
    pub(super) fn take(
        &self,
        limit: &Arc<Limit>,
        kind: &str,
        subject: &str,
        caller: &mut Caller,
    ) -> Result<(), Status> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let Taken { allowed, remaining, reset_after, retry_after } =
            self.counters.take(&Key { limit: &limit.name, kind, subject }, limit, now_ms);
        if !allowed {
            return Err(refusal(limit, retry_after, self.settings.reset));
        }
        if caller.counted.as_ref().is_none_or(|counted| remaining <= counted.remaining) {
            caller.counted = Some(Counted { limit: Arc::clone(limit), remaining, reset_after });
        }
        Ok(())
    }

    pub(super) fn turned_away(&self, address: IpAddr) -> Option<Duration> {
        let turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        if turned_away.is_empty() {
            return None;
        }
        let until = turned_away.get(&network_of(address))?;
        until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    pub(super) fn turn_away(&self, address: IpAddr) {
        let now = Instant::now();
        let mut turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        if turned_away.len() >= MOST_TURNED_AWAY {
            turned_away.retain(|_, until| *until > now);
        }
        if turned_away.len() < MOST_TURNED_AWAY {
            turned_away.insert(network_of(address), now + TURNED_AWAY);
        }
    }
}

/// Of IPv6 the /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// What the caller of an admitted call is told of its limits.
#[derive(Debug)]
pub struct Told(Option<(Counted, Reset)>);

impl Told {
    pub(super) fn of(call: &mut Call, reset: Reset) -> Self {
        Self(call.caller.counted.take().map(|counted| (counted, reset)))
    }

    /// Puts it into what the caller gets, whatever that is.
    ///
    /// # Errors
    /// The outcome's own.
    pub fn with(self, outcome: Result<Reply, Status>) -> Result<Reply, Status> {
        let Some((counted, reset)) = self.0 else { return outcome };
        match outcome {
            Ok(mut reply) => {
                tell(&mut reply.metadata, &counted.limit, counted.remaining, counted.reset_after, reset);
                Ok(reply)
            }
            Err(mut status) => {
                let mut metadata = std::mem::take(status.metadata_mut()).into_headers();
                tell(&mut metadata, &counted.limit, counted.remaining, counted.reset_after, reset);
                *status.metadata_mut() = MetadataMap::from_headers(metadata);
                Err(status)
            }
        }
    }
}

/// `X-RateLimit-*`, and `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
fn tell(headers: &mut HeaderMap, limit: &Limit, remaining: u64, reset_after: Duration, reset: Reset) {
    let seconds = whole_seconds(reset_after);
    headers.insert(X_LIMIT, HeaderValue::from(limit.most()));
    headers.insert(X_REMAINING, HeaderValue::from(remaining));
    let said = match reset {
        Reset::Epoch => crate::auth::now().saturating_add(seconds),
        Reset::Delta => seconds,
    };
    headers.insert(X_RESET, HeaderValue::from(said));
    if let Ok(value) = HeaderValue::try_from(format!("\"{}\";r={remaining};t={seconds}", limit.name)) {
        headers.insert(RATE_LIMIT, value);
    }
    headers.insert(RATE_LIMIT_POLICY, limit.policy.clone());
}

/// RESOURCE_EXHAUSTED with google.rpc.RetryInfo, from which REST makes `Retry-After` and `retry_after`.
pub(super) fn refusal(limit: &Limit, retry_after: Duration, reset: Reset) -> Status {
    // Whole seconds, because that is what `Retry-After` has.
    let seconds = whole_seconds(retry_after).max(1);
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
    let message = format!("too many calls: the limit is {}; try again in {seconds} s", words(limit));
    let mut headers = HeaderMap::new();
    tell(&mut headers, limit, 0, Duration::from_secs(seconds), reset);
    headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    let metadata = MetadataMap::from_headers(headers);
    let status = Status::with_error_details_and_metadata(Code::ResourceExhausted, message, details, metadata);
    Fault::client().on(status)
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// `100 in 60s, and 20 more at once (address)`
pub(super) fn words(limit: &Limit) -> String {
    let burst = match limit.burst {
        0 => String::new(),
        burst => format!(", and {burst} more at once"),
    };
    format!("{} in {:?}{burst} ({})", limit.calls, limit.window, limit.name)
}
