//! The keys of the process itself: its connections and their certificates, who is known and how.

use super::Keys;
use crate::{
    config::{Accounts, Callers, Clients, Collector, Config, Connections, Push, Tls, Traces},
    health, telemetry,
};

/// The instruments, and what sends traces, are made when the process starts; which of these are made may change.
pub(super) fn hold_telemetry(next: &mut Config, now: &Config) {
    next.metrics.clone_from(&now.metrics);
    next.push.clone_from(&now.push);
    let (next, now) = (&mut next.traces, &now.traces);
    next.collector.clone_from(&now.collector);
    next.resource.clone_from(&now.resource);
    (next.queue, next.batch, next.delay) = (now.queue, now.batch, now.delay);
}

/// That a secret is another one is seen, and what it is is not.
fn secrets(collector: Option<&Collector>) -> Vec<u64> {
    let headers = collector.into_iter().flat_map(|collector| &collector.headers);
    headers.map(|(_, secret)| secret.fingerprint()).collect()
}

impl Keys {
    pub(super) fn metrics(&mut self, metrics: Option<&telemetry::Settings>, push: &Push) {
        self.long("metrics", &(metrics, push.collector.is_some(), push.interval));
    }

    pub(super) fn traces(&mut self, traces: &Traces, push: &Push) {
        let Traces {
            collector,
            resource,
            sample,
            by_parent,
            trust,
            context,
            baggage,
            user_ids,
            queue,
            batch,
            delay,
        } = traces;
        let numbers = push.collector.as_ref();
        let of = [collector.as_ref(), numbers].map(|collector| (collector, secrets(collector)));
        self.long("otlp", &(of, resource));
        self.add("traces.sample", sample);
        self.add("traces.by_parent", by_parent);
        self.text("traces.trust", &format!("{trust:?}").to_lowercase());
        self.add("traces.propagators", &[("tracecontext", context), ("baggage", baggage)]);
        self.add("traces.user_ids", user_ids);
        self.add("traces.queue", queue);
        self.add("traces.batch", batch);
        self.add("traces.delay", delay);
    }

    /// Whether there is any is told with its certificates.
    pub(super) fn tls(&mut self, tls: Option<&Tls>) {
        let Some(tls) = tls else { return };
        let Tls { pair, others, only_13, handshake_timeout, clients } = tls;
        let file = |file: &std::path::Path| file.display().to_string();
        self.text("tls.certificate", &file(&pair.certificate));
        self.text("tls.key", &file(&pair.key));
        self.long("tls.certificates", others);
        self.text("tls.min_version", if *only_13 { "1.3" } else { "1.2" });
        self.add("tls.handshake_timeout", handshake_timeout);
        let (asked, ca) = match clients {
            Clients::NotAsked => ("none", "none".to_owned()),
            Clients::Asked { ca, required: false } => ("optional", file(ca)),
            Clients::Asked { ca, required: true } => ("required", file(ca)),
        };
        self.text("tls.client_certificates", asked);
        self.text("tls.client_ca", &ca);
    }

    pub(super) fn accounts(&mut self, accounts: &Accounts) {
        let Accounts { rules, admin_email, admin_password } = accounts;
        self.add("accounts.registration", &rules.registration);
        self.add("accounts.roles", &rules.roles);
        self.text("accounts.tier", &rules.tier);
        self.add("accounts.access_lifetime", &rules.access_lifetime);
        self.add("accounts.refresh_lifetime", &rules.refresh_lifetime);
        self.text("accounts.admin_email", admin_email);
        self.long("accounts.admin_password", admin_password);
    }

    pub(super) fn health(&mut self, health: &health::Settings) {
        let health::Settings {
            cache,
            cache_key,
            as_checks,
            probes,
            checks,
            memory_limit,
            degraded,
            unhealthy,
        } = health;
        self.add("health.cache", cache);
        self.text("health.cache_key", cache_key);
        self.text("health.probes_in", if *as_checks { "checks" } else { "services" });
        self.long("health.checks", checks);
        self.add("health.memory_limit", memory_limit);
        self.long("health.degraded", degraded);
        self.long("health.unhealthy", unhealthy);
        for probe in probes {
            let health::Probe { name, target, timeout, critical, may_be_absent, secrets, files: _ } = probe;
            self.thing(&format!("probe {name}"));
            let key = |key: &str| format!("health.probes.{name}.{key}");
            // That a secret is another one is seen, and what it is is not.
            self.long(&key("url"), &(target, secrets));
            self.add(&key("timeout"), timeout);
            self.add(&key("critical"), critical);
            self.add(&key("may_be_absent"), may_be_absent);
        }
        self.order("the order of probes", probes.iter().map(|probe| probe.name.to_string()));
    }

    pub(super) fn connections(&mut self, connections: &Connections) {
        let Connections {
            max,
            max_per_address,
            flood_wait,
            streams,
            header_timeout,
            body_timeout,
            idle_timeout,
            write_timeout,
            keepalive_interval,
            keepalive_timeout,
            max_age,
            max_age_grace,
        } = connections;
        self.add("connections.max", max);
        self.add("connections.max_per_address", max_per_address);
        self.add("connections.flood_wait", flood_wait);
        self.add("connections.streams", streams);
        self.add("connections.header_timeout", header_timeout);
        self.add("connections.body_timeout", body_timeout);
        self.add("connections.idle_timeout", idle_timeout);
        self.add("connections.write_timeout", write_timeout);
        self.add("connections.keepalive_interval", keepalive_interval);
        self.add("connections.keepalive_timeout", keepalive_timeout);
        self.text("connections.max_age", &max_age.map_or("none".to_owned(), |age| format!("{age:?}")));
        self.add("connections.max_age_grace", max_age_grace);
    }

    pub(super) fn callers(&mut self, callers: &Callers) {
        let Callers { secret, issuers, tokens, certificates, rules, limits, proxies } = callers;
        self.long("auth.secret", secret);
        self.long("auth.issuers", issuers);
        self.long("auth.tokens", tokens);
        self.long("auth.certificates", certificates);
        self.long("access", rules);
        self.long("rate_limits", limits);
        self.long("gateway.trusted_proxies", proxies);
    }
}
