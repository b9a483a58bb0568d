//! The instruments of upstreams: what became of the calls that were sent there.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::Settings;

/// Those of all upstreams, by name.
pub struct Upstreams {
    durations: HistogramVec,
    requests: IntCounterVec,
    attempts: IntCounterVec,
    retries: IntCounterVec,
    known: ArcSwap<HashMap<Arc<str>, Arc<Upstream>>>,
}

/// Those of one.
pub struct Upstream {
    duration: Histogram,
    requests: [IntCounter; 3],
    attempts: [IntCounter; 3],
    retries: IntCounter,
}

/// What became of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Answered,
    Failed,
    /// Given up before there was an answer: its client went away.
    Cancelled,
}

impl Sent {
    const NAMES: [&str; 3] = ["answered", "failed", "cancelled"];

    fn of(self, [answered, failed, cancelled]: &[IntCounter; 3]) -> &IntCounter {
        match self {
            Self::Answered => answered,
            Self::Failed => failed,
            Self::Cancelled => cancelled,
        }
    }
}

impl Upstreams {
    pub(super) fn new(registry: &Registry, settings: &Settings) -> Result<Self, prometheus::Error> {
        let name = "propylon_upstream_request_duration_seconds";
        let help = "From the first sending of a call to an upstream to the end of its last, in seconds.";
        let opts = HistogramOpts::new(name, help).buckets(settings.buckets.clone());
        let durations = HistogramVec::new(opts, &["upstream"])?;
        registry.register(Box::new(durations.clone()))?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let all = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(all.clone()))?;
            Ok::<_, prometheus::Error>(all)
        };
        let both = ["upstream", "result"];
        Ok(Self {
            durations,
            requests: counter(
                "propylon_upstream_requests_total",
                "Calls that were sent to an upstream.",
                &both,
            )?,
            attempts: counter(
                "propylon_upstream_attempts_total",
                "Sendings to an endpoint of an upstream, those again among them.",
                &both,
            )?,
            retries: counter(
                "propylon_upstream_retries_total",
                "Sendings of a call that had been sent before.",
                &["upstream"],
            )?,
            known: ArcSwap::default(),
        })
    }

    /// Those of the upstream with this name.
    #[must_use]
    pub fn of(&self, name: &Arc<str>) -> Arc<Upstream> {
        if let Some(upstream) = self.known.load().get(name) {
            return Arc::clone(upstream);
        }
        let results = |all: &IntCounterVec| Sent::NAMES.map(|result| all.with_label_values(&[name, result]));
        let upstream = Arc::new(Upstream {
            duration: self.durations.with_label_values(&[name]),
            requests: results(&self.requests),
            attempts: results(&self.attempts),
            retries: self.retries.with_label_values(&[name]),
        });
        // Who comes at the same time makes the same.
        self.known.rcu(|known| {
            let mut more = HashMap::clone(known);
            more.insert(Arc::clone(name), Arc::clone(&upstream));
            more
        });
        upstream
    }
}

impl Upstream {
    /// One sending has ended.
    pub fn attempted(&self, what: Sent) {
        what.of(&self.attempts).inc();
    }

    /// A call has ended that was sent so often, with its last sending.
    pub fn called(&self, sent: u64, what: Sent, took: Duration) {
        what.of(&self.requests).inc();
        self.retries.inc_by(sent.saturating_sub(1));
        self.duration.observe(took.as_secs_f64());
    }
}
