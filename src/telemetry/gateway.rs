//! The instruments of what the gateway does beside its calls: connections, limits, credentials, reloads.

use std::{sync::Arc, time::SystemTime};

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::Names;

/// Why connections are refused: too many at all, or of one address.
const REASONS: [&str; 2] = ["total", "address"];
/// What is limited: an address, a caller with its route.
const LIMITS: [&str; 2] = ["address", "caller"];

/// The handles.
pub struct Own {
    /// Connections that are open: on the port, and on the operator's listener.
    connections: [IntGauge; 2],
    accepted: [IntCounter; 2],
    refused: IntCounterVec,
    limits: IntCounterVec,
    credentials: [IntCounter; 4],
    reloads: [IntCounter; 2],
    reloaded: Gauge,
}

/// How the credentials of a call were found good or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// They were verified before.
    Cached,
    Verified,
    Refused,
    /// They are no good, and nobody asked for any.
    Ignored,
}

/// A connection that is counted while it is open.
#[derive(Debug)]
pub struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Own {
    pub(super) fn new(registry: &Registry, names: Names) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, label: &str| {
            let all = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(all.clone()))?;
            Ok::<_, prometheus::Error>(all)
        };
        let name = match names {
            Names::Gateway => "gateway_active_connections",
            Names::Semantic | Names::GatewayHttp => "propylon_connections",
        };
        let connections = IntGaugeVec::new(Opts::new(name, "Connections that are open."), &["listener"])?;
        registry.register(Box::new(connections.clone()))?;
        let accepted =
            counter("propylon_connections_accepted_total", "Connections that were accepted.", "listener")?;
        let both = ["port", "admin"];
        let credentials = counter(
            "propylon_credentials_total",
            "Calls with credentials: by a token or key that was verified before (cached) or was now, or is no good (ignored: where nobody needs one).",
            "result",
        )?;
        let reloads =
            counter("propylon_config_reloads_total", "Times that the config was read again.", "result")?;
        let reloaded = Gauge::new(
            "propylon_config_last_reload_success_timestamp_seconds",
            "When the config in force was taken over, in seconds since 1970.",
        )?;
        registry.register(Box::new(reloaded.clone()))?;
        let own = Self {
            connections: both.map(|listener| connections.with_label_values(&[listener])),
            accepted: both.map(|listener| accepted.with_label_values(&[listener])),
            refused: counter(
                "propylon_connections_refused_total",
                "Connections that were refused, because there are too many or too many of one address.",
                "reason",
            )?,
            limits: counter("propylon_limit_refusals_total", "Calls that were refused by a limit.", "limit")?,
            credentials: ["cached", "verified", "refused", "ignored"]
                .map(|result| credentials.with_label_values(&[result])),
            reloads: ["success", "failure"].map(|result| reloads.with_label_values(&[result])),
            reloaded,
        };
        // What has not happened yet is told as 0.
        for reason in REASONS {
            own.refused.with_label_values(&[reason]);
        }
        for limit in LIMITS {
            own.limits.with_label_values(&[limit]);
        }
        own.now();
        Ok(own)
    }

    /// A connection is open for as long as what is returned lives.
    #[must_use]
    pub fn connected(self: &Arc<Self>, operator: bool) -> Open {
        let ([port, admin], [accepted, operators]) = (&self.connections, &self.accepted);
        let (open, all) = if operator { (admin, operators) } else { (port, accepted) };
        all.inc();
        open.inc();
        Open(open.clone())
    }

    /// A connection was refused for this reason.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Connections that are open on the port.
    #[must_use]
    pub fn connections(&self) -> i64 {
        let [port, _] = &self.connections;
        port.get()
    }

    /// What became of the credentials that calls brought: the word for it, and how often.
    #[must_use]
    pub fn credentials(&self) -> [(&'static str, u64); 4] {
        let [cached, verified, refused, ignored] = &self.credentials;
        [
            ("cached", cached.get()),
            ("verified", verified.get()),
            ("refused", refused.get()),
            ("ignored", ignored.get()),
        ]
    }

    /// A call was refused by this limit.
    pub fn limited(&self, limit: &str) {
        self.limits.with_label_values(&[limit]).inc();
    }

    /// The credentials of a call were looked at.
    pub fn presented(&self, found: Credentials) {
        let [cached, verified, refused, ignored] = &self.credentials;
        match found {
            Credentials::Cached => cached.inc(),
            Credentials::Verified => verified.inc(),
            Credentials::Refused => refused.inc(),
            Credentials::Ignored => ignored.inc(),
        }
    }

    /// The config was read again.
    pub fn reloaded(&self, taken: bool) {
        let [success, failure] = &self.reloads;
        if taken {
            success.inc();
            self.now();
        } else {
            failure.inc();
        }
    }

    fn now(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.reloaded.set(now.as_secs_f64());
    }
}
