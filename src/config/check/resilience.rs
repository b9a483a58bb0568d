//! How an upstream's endpoints are used, checked.

use std::time::Duration;

use http::HeaderName;
use tonic::Code;

use super::Check;
use crate::{
    config::{
        Address, Addresses,
        mistake::Mistake,
        settings::{self, HealthKind as Kind, OneOrMore},
    },
    dispatch::{
        Balancing, BreakerRules, EjectionRules, HashBy, HealthKind, HealthRules, LoadRules, Resilience,
    },
    route::{RetryChanges, RetryRules},
    schema::nearest,
    status,
};

fn longer(backoff: Duration, most: Duration) -> String {
    format!("{backoff:?} is longer than the longest pause, {most:?} (max_backoff)")
}

const NO_TUNNELS: &str = "it does nothing: this upstream has `grpc`, and only HTTP has tunnels";

impl Check<'_> {
    /// The addresses of an upstream: at least one, all with TLS or all without. `read`: one of them.
    pub(super) fn addresses(
        &mut self,
        path: &str,
        written: Option<&OneOrMore>,
        read: fn(&str) -> Result<Address, String>,
    ) -> Option<Addresses> {
        let texts = match written? {
            OneOrMore::One(text) => {
                let address = Some(text).filter(|text| !text.is_empty());
                return address
                    .and_then(|text| self.found.take(path, read(text)))
                    .map(|address| Addresses(vec![address]));
            }
            OneOrMore::Several(texts) => texts,
        };
        if texts.is_empty() {
            self.found.add(path, "there is no address in the list");
        }
        let mut addresses: Vec<Address> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(address) = self.found.take(&path, read(text)) else { continue };
            match addresses.first() {
                _ if addresses.contains(&address) => {
                    self.found.add(path, format!("{address} is there twice"));
                }
                Some(first) if first.tls != address.tls => {
                    let message =
                        format!("{address} and {first} are of one upstream, which has TLS or does not");
                    self.found.add(path, message);
                }
                _ => addresses.push(address),
            }
        }
        (!addresses.is_empty() && addresses.len() == texts.len()).then_some(Addresses(addresses))
    }

    /// How an upstream's endpoints are used. `grpc`: what it speaks.
    pub(super) fn resilience(
        &mut self,
        path: &str,
        written: &mut settings::Upstream,
        grpc: bool,
    ) -> Resilience {
        let key = |name: &str| format!("{path}.{name}");
        let default = Resilience::default();
        Resilience {
            balance: self.balancing(path, written),
            resolve_interval: self.time(
                &key("resolve_interval"),
                written.resolve_interval.take(),
                default.resolve_interval,
            ),
            first_byte_timeout: self.some_time(&key("first_byte_timeout"), written.first_byte_timeout.take()),
            idle_timeout: self.some_time(&key("idle_timeout"), written.idle_timeout.take()),
            tunnel_idle_timeout: self.tunnel_idle(&key("tunnel_idle_timeout"), written, grpc),
            retry: self.retry(&key("retry"), std::mem::take(&mut written.retry), grpc),
            breaker: self.breaker(&key("breaker"), std::mem::take(&mut written.breaker)),
            ejection: self.ejection(&key("ejection"), std::mem::take(&mut written.ejection)),
            health: written.health.take().map(|health| self.health(&key("health"), health, grpc)),
            limits: written.limits.take().map(|limits| {
                let default = LoadRules::default();
                if grpc && limits.tunnels.is_some() {
                    self.found.push(Mistake::new(key("limits.tunnels"), NO_TUNNELS).of_key().warning());
                }
                LoadRules {
                    tunnels: limits.tunnels,
                    requests: limits.requests.unwrap_or(default.requests),
                    waiting: limits.waiting.unwrap_or(default.waiting),
                    wait: self.time(&key("limits.wait"), limits.wait, default.wait),
                }
            }),
        }
    }

    fn tunnel_idle(&mut self, path: &str, written: &mut settings::Upstream, grpc: bool) -> Option<Duration> {
        let written = written.tunnel_idle_timeout.take();
        if grpc && written.is_some() {
            self.found.push(Mistake::new(path, NO_TUNNELS).of_key().warning());
        }
        let default = Resilience::default().tunnel_idle_timeout.unwrap_or_default();
        Some(self.delay(path, written, default)).filter(|idle| !idle.is_zero())
    }

    fn balancing(&mut self, path: &str, written: &mut settings::Upstream) -> Balancing {
        let key = format!("{path}.hash_by");
        let by = written.hash_by.take();
        if written.balance != Some(settings::Balance::Hash) && by.is_some() {
            let message = "it does nothing: balance is not hash";
            self.found.push(Mistake::new(&key, message).of_key().warning());
        }
        match written.balance {
            None | Some(settings::Balance::LeastRequests) => Balancing::LeastRequests,
            Some(settings::Balance::RoundRobin) => Balancing::RoundRobin,
            Some(settings::Balance::PeakEwma) => Balancing::PeakEwma,
            Some(settings::Balance::Hash) => {
                let Some(text) = by else {
                    let message =
                        "what is hashed is not said; hash_by is header:NAME, cookie:NAME, client or path";
                    self.found.add(format!("{path}.balance"), message);
                    return Balancing::LeastRequests;
                };
                match hash_by(&text) {
                    Ok(by) => Balancing::Hash(by),
                    Err(mistake) => {
                        self.found.push(Mistake { path: key, ..mistake });
                        Balancing::LeastRequests
                    }
                }
            }
        }
    }

    fn retry(&mut self, path: &str, written: settings::Retry, grpc: bool) -> RetryRules {
        let key = |name: &str| format!("{path}.{name}");
        let default = RetryRules::default();
        let (not_its, name) = if grpc {
            ("it does nothing: this upstream has `grpc`; retry.codes is for it", "statuses")
        } else {
            ("it does nothing: this upstream has `http`; retry.statuses is for it", "codes")
        };
        if if grpc { written.statuses.is_some() } else { written.codes.is_some() } {
            self.found.push(Mistake::new(key(name), not_its).of_key().warning());
        }
        let codes = written.codes.map(|names| self.codes(&key("codes"), &names));
        let max_backoff = self.time(&key("max_backoff"), written.max_backoff, default.max_backoff);
        let backoff = self.time(&key("backoff"), written.backoff, default.backoff.min(max_backoff));
        if backoff > max_backoff {
            self.found.add(key("backoff"), longer(backoff, max_backoff));
        }
        RetryRules {
            attempts: written.attempts.unwrap_or(default.attempts),
            per_try_timeout: self.some_time(&key("per_try_timeout"), written.per_try_timeout),
            backoff,
            max_backoff,
            budget_percent: percent(written.budget).unwrap_or(default.budget_percent),
            statuses: written.statuses.unwrap_or(default.statuses),
            codes: codes.unwrap_or(default.codes),
            body_bytes: written.body_bytes.unwrap_or(default.body_bytes),
            repeatable: None,
        }
    }

    /// `retry` of a route. `grpc`: what it is for.
    pub(super) fn route_retry(
        &mut self,
        path: &str,
        written: settings::RouteRetry,
        grpc: bool,
    ) -> RetryChanges {
        let key = |name: &str| format!("{path}.{name}");
        let (name, there, why) = if grpc {
            (
                "statuses",
                written.statuses.is_some(),
                "it does nothing: a service is called by gRPC, and has codes",
            )
        } else {
            (
                "codes",
                written.codes.is_some(),
                "it does nothing: a path is answered in HTTP, and has statuses",
            )
        };
        if there {
            self.found.push(Mistake::new(key(name), why).of_key().warning());
        }
        let backoff = self.some_time(&key("backoff"), written.backoff);
        let max_backoff = self.some_time(&key("max_backoff"), written.max_backoff);
        if let (Some(backoff), Some(most)) = (backoff, max_backoff)
            && backoff > most
        {
            self.found.add(key("backoff"), longer(backoff, most));
        }
        RetryChanges {
            attempts: written.attempts,
            per_try_timeout: self.some_time(&key("per_try_timeout"), written.per_try_timeout),
            backoff,
            max_backoff,
            statuses: written.statuses,
            codes: written.codes.map(|names| self.codes(&key("codes"), &names)),
            body_bytes: written.body_bytes,
            repeatable: written.repeatable,
        }
    }

    fn codes(&mut self, path: &str, names: &[String]) -> Vec<Code> {
        let known: Vec<(&str, Code)> =
            (1..=16).map(Code::from_i32).map(|code| (status::name(code), code)).collect();
        let mut codes = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            match known.iter().find(|(known, _)| known == name) {
                Some((_, code)) => codes.push(*code),
                None => {
                    let upper = name.to_ascii_uppercase();
                    let mistake = Mistake::new(
                        format!("{path}[{index}]"),
                        format!("{name:?} is no code of gRPC, such as UNAVAILABLE"),
                    );
                    self.found.push(mistake.near(&upper, known.iter().map(|(name, _)| *name)));
                }
            }
        }
        codes
    }

    fn breaker(&mut self, path: &str, written: settings::Breaker) -> Option<BreakerRules> {
        let key = |name: &str| format!("{path}.{name}");
        let default = BreakerRules::default();
        let failure_percent = percent(written.failure_ratio).unwrap_or(default.failure_percent);
        if failure_percent == 0 {
            self.found.add(key("failure_ratio"), "it would be open for ever; it is more than 0, such as 0.5");
        }
        let rules = BreakerRules {
            consecutive_failures: written.consecutive_failures.unwrap_or(default.consecutive_failures),
            failure_percent,
            min_calls: written.min_calls.unwrap_or(default.min_calls),
            window: self.time(&key("window"), written.window, default.window),
            open: self.time(&key("open"), written.open, default.open),
            probes: written.probes.unwrap_or(default.probes),
        };
        written.enabled.unwrap_or(true).then_some(rules)
    }

    fn ejection(&mut self, path: &str, written: settings::Ejection) -> Option<EjectionRules> {
        let default = EjectionRules::default();
        let rules = EjectionRules {
            consecutive_failures: written.consecutive_failures.unwrap_or(default.consecutive_failures),
            time: self.time(&format!("{path}.for"), written.time, default.time),
            max_percent: written.max_percent.unwrap_or(default.max_percent),
        };
        written.enabled.unwrap_or(true).then_some(rules)
    }

    fn health(&mut self, path: &str, written: settings::Health, grpc: bool) -> HealthRules {
        let key = |name: &str| format!("{path}.{name}");
        let usual = if grpc { Kind::Grpc } else { Kind::Http };
        let kind = written.kind.unwrap_or(usual);
        if kind != Kind::Tcp && kind != usual {
            let message = if grpc {
                "this upstream has `grpc`; it is asked by grpc or tcp"
            } else {
                "this upstream has `http`; it is asked by http or tcp"
            };
            self.found.add(key("kind"), message);
        }
        let idle = [
            ("path", written.path.is_some() && kind != Kind::Http),
            ("service", written.service.is_some() && kind != Kind::Grpc),
        ];
        for (name, _) in idle.iter().filter(|(_, idle)| *idle) {
            let message = format!("it does nothing: {name} is not asked for by this kind");
            self.found.push(Mistake::new(key(name), message).of_key().warning());
        }
        let kind = match kind {
            Kind::Tcp => HealthKind::Tcp,
            Kind::Grpc => HealthKind::Grpc { service: written.service.unwrap_or_default() },
            Kind::Http => {
                let path = written.path.unwrap_or_else(|| "/".to_owned());
                if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() {
                    self.found.add(key("path"), format!("{path:?} is not a path; it is such as /health"));
                }
                HealthKind::Http { path }
            }
        };
        HealthRules {
            kind,
            interval: self.time(&key("interval"), written.interval, Duration::from_secs(5)),
            timeout: self.time(&key("timeout"), written.timeout, Duration::from_secs(1)),
            healthy_after: written.healthy_after.unwrap_or(2),
            unhealthy_after: written.unhealthy_after.unwrap_or(3),
        }
    }
}

/// A part of all, in hundredths.
fn percent(ratio: Option<f64>) -> Option<u32> {
    // The schema has said that it is 0 to 1.
    ratio.map(|ratio| (ratio * 100.0).round().clamp(0.0, 100.0) as u32)
}

/// What is hashed. The mistake has no path yet.
fn hash_by(text: &str) -> Result<HashBy, Mistake> {
    let wrong = || {
        let message = format!("{text:?} is nothing to hash; it is header:NAME, cookie:NAME, client or path");
        let meant = match text.split_once(':') {
            Some((kind, name)) if !name.is_empty() => {
                nearest(kind, ["header", "cookie"]).map(|kind| format!("{kind}:{name}"))
            }
            _ => nearest(text, ["client", "path"]).map(str::to_owned),
        };
        Mistake::new("", message).meaning(meant.filter(|meant| meant != text))
    };
    match text.split_once(':') {
        None if text == "client" => Ok(HashBy::Client),
        None if text == "path" => Ok(HashBy::Path),
        Some(("header", name)) => HeaderName::try_from(name).map(HashBy::Header).map_err(|_| wrong()),
        Some(("cookie", name)) if !name.is_empty() => Ok(HashBy::Cookie(name.to_owned())),
        _ => Err(wrong()),
    }
}
