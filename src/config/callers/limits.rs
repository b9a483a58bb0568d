//! `[rate_limits]` checked.

use std::{sync::Arc, time::Duration};

use super::{
    super::{ConfigError, check::duration},
    rules::patterns,
    settings,
};
use crate::{
    auth::{Entry, Limit, Network, Rulebook, Scope},
    policy::{LimitSettings, Reset},
};

pub(super) fn limits(
    written: settings::RateLimits,
    default: LimitSettings,
    book: &mut Rulebook,
) -> Result<LimitSettings, ConfigError> {
    let window = duration("rate_limits.window", written.window, default.window)?;
    let enabled = written.enabled.unwrap_or(default.enabled);
    let burst = written.burst.unwrap_or_else(|| default.address.as_ref().map_or(0, |limit| limit.burst));
    let calls = written.address.unwrap_or_else(|| default.address.as_ref().map_or(0, |limit| limit.calls));
    let mut tiers: Vec<(Arc<str>, u32)> = default
        .tiers
        .iter()
        .map(|(name, limit)| (Arc::clone(name), limit.as_ref().map_or(0, |limit| limit.calls)))
        .collect();
    if let Some(written) = written.tiers {
        tiers = written.into_iter().map(|(name, calls)| (name.into(), calls)).collect();
    }
    let tier = |(name, calls): (Arc<str>, u32)| {
        let limit = limit(&format!("rate_limits.tiers.{name}"), &format!("tier-{name}"), calls, 0, window)?;
        Ok::<_, ConfigError>((name, limit))
    };
    let tiers = tiers.into_iter().map(tier).collect::<Result<std::collections::BTreeMap<_, _>, _>>()?;
    let default_tier = written.default_tier.map_or(default.default_tier, Arc::from);
    if !tiers.contains_key(&default_tier) {
        let known: Vec<&str> = tiers.keys().map(|name| &**name).collect();
        return Err(ConfigError(format!(
            "rate_limits.default_tier: {default_tier:?} is not among the tiers ({})",
            known.join(", ")
        )));
    }
    let (mut exempt, mut exempt_loopback) = (default.exempt, default.exempt_loopback);
    if let Some(written) = written.exempt {
        exempt_loopback = written.iter().any(|text| text == "loopback");
        let networks = written.iter().filter(|text| *text != "loopback");
        let parse = |text: &String| {
            Network::parse(text)
                .map_err(|why| ConfigError(format!("rate_limits.exempt: {why}, or \"loopback\"")))
        };
        exempt = networks.map(parse).collect::<Result<_, _>>()?;
    }
    let reset = match written.reset.as_deref() {
        None => default.reset,
        Some("epoch") => Reset::Epoch,
        Some("delta") => Reset::Delta,
        Some(other) => {
            let message = format!("rate_limits.reset: {other:?} is neither \"epoch\" nor \"delta\"");
            return Err(ConfigError(message));
        }
    };
    for (number, written) in written.rules.into_iter().enumerate() {
        let key: Arc<str> = format!("rate_limits.rules[{number}]").into();
        let window = duration(&format!("{key}.window"), written.window, window)?;
        let name = written.name.unwrap_or_else(|| format!("rule-{number}"));
        let limit = limit(&key, &name, written.calls, written.burst, window)?.ok_or_else(|| {
            ConfigError(format!("{key}.calls: it lets nothing through; calls is at least 1"))
        })?;
        let scope = match written.by.as_deref() {
            None | Some("caller") => Scope::Caller,
            Some("address") => Scope::Address,
            Some("everyone") => Scope::Everyone,
            Some(other) => {
                return Err(ConfigError(format!(
                    "{key}.by: {other:?} is neither \"caller\", \"address\" nor \"everyone\""
                )));
            }
        };
        book.limits.push(Entry { patterns: patterns(&key, &written.patterns)?, key, what: (limit, scope) });
    }
    let address = limit("rate_limits.address", "address", calls, burst, window)?.filter(|_| enabled);
    Ok(LimitSettings { enabled, address, exempt, exempt_loopback, tiers, default_tier, window, reset })
}

/// `None` for one of 0 calls.
fn limit(
    key: &str,
    name: &str,
    calls: u32,
    burst: u32,
    window: Duration,
) -> Result<Option<Arc<Limit>>, ConfigError> {
    if calls == 0 {
        return Ok(None);
    }
    match Limit::new(name, calls, burst, window) {
        Some(limit) => Ok(Some(Arc::new(limit))),
        None => {
            Err(ConfigError(format!("{key}: a window is between a second and a day, and not {window:?}")))
        }
    }
}
