//! What the policies that count share: the limits of the config, the counters, and how a caller is told.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    auth::{Away, CountedBy, Limit, Network, Principal, Rate, digest, hex, place},
    call::{Call, Caller, Counted, Reply},
    status::Fault,
    store::{Ask, Counting, Taken},
};

const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Addresses that are turned away for a while, at most.
const MOST_TURNED_AWAY: usize = 10_000;
/// A subject as long as this is kept as it is.
const LONGEST_SUBJECT: usize = 64;
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
    /// What holds while Redis is away, for limits that do not say.
    pub away: Away,
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
            away: Away::Local,
            reset: Reset::Epoch,
        }
    }
}

/// The limits, and what has been counted.
#[derive(Debug)]
pub struct Limits {
    pub(super) settings: Settings,
    counting: Counting,
    /// Until when addresses are turned away that sent bad credentials beyond their limit.
    turned_away: Mutex<HashMap<IpAddr, Instant>>,
}

impl Limits {
    /// Limits that count with these counters, which may have counted before.
    #[must_use]
    pub fn new(settings: Settings, counting: Counting) -> Self {
        Self { settings, counting, turned_away: Mutex::default() }
    }

    /// The limit of a caller: its own, or its tier's; `None` where it has none.
    pub(super) fn of(&self, caller: &Principal) -> Option<Arc<Limit>> {
        if let Some(calls) = caller.limit {
            let rate = Rate::new(calls.into(), self.settings.window, 0)?;
            return Limit::new("caller", rate, self.settings.away).map(Arc::new);
        }
        let tier = caller.tier.as_ref().unwrap_or(&self.settings.default_tier);
        // A tier that nobody wrote a limit for has the default tier's.
        match self.settings.tiers.get(tier) {
            Some(limit) => limit.clone(),
            None => self.settings.tiers.get(&self.settings.default_tier).cloned().flatten(),
        }
    }

    /// Counts one call under all of its limits, or under none where one refuses it, and keeps the tightest for the reply.
    ///
    /// # Errors
    /// A limit's refusal; UNAVAILABLE where Redis is away, and a limit lets no call through then.
    pub(super) async fn take(&self, asked: &[Asked<'_>], caller: &mut Caller) -> Result<(), Status> {
        if let [one] = asked {
            let ask = Ask { key: &one.key(), rate: &one.limit.rate };
            let taken = self.counting.take_one(ask, one.limit.away).await.map_err(|_| away())?;
            return taken.map_or(Ok(()), |taken| self.told(one.limit, &taken, caller));
        }
        let keys: Vec<String> = asked.iter().map(Asked::key).collect();
        let asks = asked.iter().zip(&keys);
        let asks: Vec<_> =
            asks.map(|(asked, key)| (Ask { key, rate: &asked.limit.rate }, asked.limit.away)).collect();
        let taken = self.counting.take(&asks).await.map_err(|_| away())?;
        let taken = || asked.iter().zip(&taken).filter_map(|(asked, taken)| Some((asked.limit, (*taken)?)));
        let refused = taken().filter(|(_, taken)| !taken.allowed).max_by_key(|(_, taken)| taken.retry_after);
        if let Some((limit, Taken { retry_after, .. })) = refused {
            return Err(refusal(limit, retry_after, self.settings.reset));
        }
        taken().try_for_each(|(limit, taken)| self.told(limit, &taken, caller))
    }

    /// Keeps what came of one limit, where it is the tightest.
    fn told(&self, limit: &Arc<Limit>, taken: &Taken, caller: &mut Caller) -> Result<(), Status> {
        let Taken { allowed, remaining, reset_after, retry_after } = *taken;
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

/// A limit that a call is counted by, and whose call it is.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    limit: &'a Arc<Limit>,
    kind: &'static str,
    realm: &'a str,
    subject: Cow<'a, str>,
}

impl<'a> Asked<'a> {
    pub(super) fn of_caller(limit: &'a Arc<Limit>, caller: &'a Principal) -> Self {
        let CountedBy { kind, realm, id } = caller.counted_by();
        Self { limit, kind, realm, subject: id.into() }
    }

    /// Of one address, or of IPv6 the /64 that one customer has.
    pub(super) fn of_address(limit: &'a Arc<Limit>, address: IpAddr) -> Self {
        Self { limit, kind: "address", realm: "", subject: place(address).into() }
    }

    /// Of all callers together.
    pub(super) fn of_everyone(limit: &'a Arc<Limit>) -> Self {
        Self { limit, kind: "route", realm: "", subject: "".into() }
    }

    /// What the call is counted under. A long subject is digested: whoever signs tokens chooses them.
    fn key(&self) -> String {
        let Self { limit, kind, realm, subject } = self;
        if subject.len() <= LONGEST_SUBJECT {
            return format!("{}:{kind}:{realm}:{subject}", limit.name);
        }
        format!("{}:{kind}:{realm}:#{}", limit.name, hex(&digest(subject.as_bytes())))
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

/// What the caller of a call is told of its limits.
#[derive(Debug)]
pub struct Told(Option<(Counted, Reset)>);

impl Told {
    pub(super) fn of(call: &Call, reset: Reset) -> Self {
        Self(call.caller.counted.clone().map(|counted| (counted, reset)))
    }

    /// It alone, for a head that is given before the outcome is known.
    #[must_use]
    pub fn ahead(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some((Counted { limit, remaining, reset_after }, reset)) = &self.0 {
            tell(&mut headers, limit, *remaining, *reset_after, *reset);
        }
        headers
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
            Err(status) => Err(told(&counted, reset, status)),
        }
    }

    /// Puts it into a policy's refusal. A limit's own says already what is left of that one: nothing.
    pub(super) fn of_refusal(self, status: Status) -> Status {
        match self.0 {
            Some((counted, reset)) if !status.metadata().contains_key(X_LIMIT.as_str()) => {
                told(&counted, reset, status)
            }
            _ => status,
        }
    }
}

fn told(counted: &Counted, reset: Reset, mut status: Status) -> Status {
    let mut metadata = std::mem::take(status.metadata_mut()).into_headers();
    tell(&mut metadata, &counted.limit, counted.remaining, counted.reset_after, reset);
    *status.metadata_mut() = MetadataMap::from_headers(metadata);
    status
}

/// UNAVAILABLE: it cannot be counted, and so it may not be made.
fn away() -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
    let message = "calls cannot be counted now, and this limit lets none through then; try again soon";
    Status::with_error_details(Code::Unavailable, message, details)
}

/// `X-RateLimit-*`, and `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
fn tell(headers: &mut HeaderMap, limit: &Limit, remaining: u64, reset_after: Duration, reset: Reset) {
    let seconds = whole_seconds(reset_after);
    let mut digits = [itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new()];
    let [of_remaining, of_seconds, of_reset] = &mut digits;
    let (left, wait) = (of_remaining.format(remaining), of_seconds.format(seconds));
    let mut both = Vec::with_capacity(limit.name.len() + left.len() + wait.len() + 8);
    for part in ["\"", &limit.name, "\";r=", left, ";t=", wait] {
        both.extend_from_slice(part.as_bytes());
    }
    let said = match reset {
        Reset::Epoch => of_reset.format(crate::auth::now().saturating_add(seconds)),
        Reset::Delta => wait,
    };
    headers.insert(X_LIMIT, limit.most.clone());
    headers.insert(RATE_LIMIT_POLICY, limit.policy.clone());
    headers.insert(X_REMAINING, passing(Bytes::copy_from_slice(left.as_bytes())));
    headers.insert(X_RESET, passing(Bytes::copy_from_slice(said.as_bytes())));
    headers.insert(RATE_LIMIT, passing(Bytes::from(both)));
}

/// A value that another response will not have: HTTP/2 writes it as it is, and keeps its table for what comes again.
fn passing(value: Bytes) -> HeaderValue {
    let mut value = HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
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
    let burst = match limit.rate.burst() {
        0 => String::new(),
        burst => format!(", and {burst} more at once"),
    };
    format!("{} in {:?}{burst} ({})", limit.rate.calls(), limit.rate.window(), limit.name)
}
