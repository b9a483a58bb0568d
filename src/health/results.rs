//! What all probes have found at one time, and the text of it that replicas share:
//! `{"probes", "status", "timestamp", "services": {NAME: {"status", "latency_ms", "message"}}}`, where `probes` says which
//! they were. A text of other probes, or of anything else, is none.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{State, rules::Probe};

/// What a probe has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Up,
    Down,
    /// It may be absent, and was never seen.
    NotDeployed,
}

impl Status {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::NotDeployed => "not_deployed",
        }
    }
}

/// One service as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub status: Status,
    /// How long its answer took, in milliseconds to the microsecond; of one that is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// What speaks against it, in words for everybody; of one that is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// All services at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// When they were asked.
    pub at: SystemTime,
    /// By the probes' names.
    pub services: BTreeMap<Arc<str>, Service>,
}

#[derive(Serialize, Deserialize)]
struct Shared {
    probes: String,
    status: String,
    timestamp: String,
    services: BTreeMap<String, Service>,
}

impl Service {
    pub(super) fn up(took: Duration) -> Self {
        let latency_ms = Some((took.as_secs_f64() * 1e6).round() / 1e3);
        Self { status: Status::Up, latency_ms, message: None }
    }

    /// One that is not up, and why.
    #[must_use]
    pub fn not_up(status: Status, why: impl Into<String>) -> Self {
        Self { status, latency_ms: None, message: Some(why.into()) }
    }

    /// What one that is so means for the whole.
    #[must_use]
    pub fn state(&self, critical: bool) -> State {
        match (self.status, critical) {
            (Status::Up | Status::NotDeployed, _) => State::Healthy,
            (Status::Down, true) => State::Unhealthy,
            (Status::Down, false) => State::Degraded,
        }
    }
}

impl Results {
    /// The text that replicas with the same probes read.
    pub(super) fn share(&self, probes: &[Probe], fingerprint: &str) -> Bytes {
        let of = |probe: &Probe| self.services.get(&probe.name).map(|found| found.state(probe.critical));
        let status = probes.iter().filter_map(of).max().unwrap_or(State::Healthy);
        let services = self.services.iter().map(|(name, found)| (name.to_string(), found.clone()));
        let shared = Shared {
            probes: fingerprint.to_owned(),
            status: status.word().to_owned(),
            timestamp: Timestamp::try_from(self.at).unwrap_or(Timestamp::UNIX_EPOCH).to_string(),
            services: services.collect(),
        };
        // Names and numbers: it is always written.
        serde_json::to_vec(&shared).unwrap_or_default().into()
    }

    /// Reads what a replica with the same probes has found; `None` for any other text.
    pub(super) fn shared(text: &[u8], probes: &[Probe], fingerprint: &str) -> Option<Self> {
        let shared: Shared = serde_json::from_slice(text).ok()?;
        if shared.probes != fingerprint {
            return None;
        }
        let mut found = shared.services;
        let services =
            probes.iter().map(|probe| Some((Arc::clone(&probe.name), found.remove(&*probe.name)?)));
        let at: Timestamp = shared.timestamp.parse().ok()?;
        Some(Self { at: at.into(), services: services.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::health::Target;

    pub(in crate::health) fn probe(name: &str, target: Target) -> Probe {
        let timeout = Duration::from_millis(500);
        let (critical, may_be_absent) = (false, false);
        Probe { name: name.into(), target, timeout, critical, may_be_absent, secrets: 0, files: Vec::new() }
    }

    #[test]
    fn what_is_shared_is_read_by_who_has_the_same_probes() {
        let probes = [probe("a", Target::OwnDatabase), probe("b", Target::OwnRedis)];
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_764_000_000_123_456);
        let services = BTreeMap::from([
            ("a".into(), Service::up(Duration::from_micros(1234))),
            ("b".into(), Service::not_up(Status::Down, "refused the connection")),
        ]);
        let results = Results { at, services };
        let text = results.share(&probes, "one");
        assert_eq!(Results::shared(&text, &probes, "one"), Some(results));
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (&json["status"], &json["services"]["a"]["latency_ms"]),
            (&"degraded".into(), &1.234.into())
        );
        assert_eq!(Results::shared(&text, &probes, "other"), None);
        assert_eq!(Results::shared(&text, &[probe("c", Target::OwnRedis)], "one"), None);
        for rubbish in ["", "{}", "[1]", "\"one\"", "\u{0}"] {
            assert_eq!(Results::shared(rubbish.as_bytes(), &probes, "one"), None, "{rubbish}");
        }
    }

    #[test]
    fn a_critical_service_weighs_more() {
        let down = Service::not_up(Status::Down, "");
        let absent = Service::not_up(Status::NotDeployed, "");
        assert_eq!([down.state(true), down.state(false)], [State::Unhealthy, State::Degraded]);
        assert_eq!(absent.state(false), State::Healthy);
        assert_eq!(Service::up(Duration::ZERO).state(true), State::Healthy);
    }
}
