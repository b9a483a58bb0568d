//! `[access]` and `[rate_limits]` checked, and the `access` of a route.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Check, callers::texts};
use crate::{
    auth::{Away, Entry, Limit, Network, Pattern, Rate, Rule, Rulebook, Scope, Subject},
    config::settings,
    policy::{LimitSettings, Reset},
};

impl Check<'_> {
    pub(super) fn access(&mut self, written: settings::Access, book: &mut Rulebook) {
        match written.default {
            None => {}
            Some(settings::Openness::Authenticated) => {
                book.default = Arc::new(Rule::authenticated("access.default"));
            }
            Some(settings::Openness::Public) => book.default = Arc::new(Rule::public("access.default")),
        }
        for (number, mut written) in written.rules.into_iter().enumerate() {
            let key: Arc<str> = format!("access.rules[{number}]").into();
            let patterns = self.patterns(&key, &std::mem::take(&mut written.patterns));
            for pattern in &patterns {
                // Which is meant, is not for us to guess.
                if let Some(first) = book.access.iter().find(|entry| entry.patterns.contains(pattern)) {
                    let message = format!("{pattern} has a rule already, {}", first.key);
                    self.found.add(format!("{key}.match"), message);
                }
            }
            let what = Arc::new(self.rule(&key, written));
            book.access.push(Entry { key, patterns, what });
        }
    }

    fn patterns(&mut self, key: &str, written: &[String]) -> Vec<Pattern> {
        if written.is_empty() {
            self.found.add(key, "it is about nothing: `match` names methods or paths");
        }
        let mut patterns = Vec::with_capacity(written.len());
        for (index, text) in written.iter().enumerate() {
            patterns.extend(self.found.take(format!("{key}.match[{index}]"), Pattern::parse(text)));
        }
        patterns
    }

    /// One rule; `key` is where it is written.
    pub(super) fn rule(&mut self, key: &str, written: settings::AccessRule) -> Rule {
        let settings::AccessRule { patterns, public, roles, permissions, scopes, tiers, allow, deny } =
            written;
        if !patterns.is_empty() {
            self.found.add(format!("{key}.match"), "a route's rule is about the route; it has no match");
        }
        let public = public.unwrap_or(false);
        let asks = [("roles", &roles), ("permissions", &permissions), ("scopes", &scopes), ("tiers", &tiers)];
        for (name, list) in asks {
            if public && !list.is_empty() {
                let message = format!("a public rule asks for no {name}; take one of the two");
                self.found.add(format!("{key}.{name}"), message);
            }
            if list.iter().any(String::is_empty) {
                self.found.add(format!("{key}.{name}"), "one of them is empty");
            }
        }
        let mut subjects = |name: &str, list: Vec<String>| {
            let mut subjects = Vec::with_capacity(list.len());
            for (index, text) in list.iter().enumerate() {
                subjects.extend(self.found.take(format!("{key}.{name}[{index}]"), Subject::parse(text)));
            }
            subjects
        };
        Rule {
            name: key.into(),
            public,
            allow: subjects("allow", allow),
            deny: subjects("deny", deny),
            roles: texts(roles),
            permissions: texts(permissions),
            scopes: texts(scopes),
            tiers: texts(tiers),
        }
    }

    pub(super) fn rate_limits(
        &mut self,
        written: settings::RateLimits,
        default: LimitSettings,
        book: &mut Rulebook,
    ) -> LimitSettings {
        let window = self.time("rate_limits.window", written.window, default.window);
        let enabled = written.enabled.unwrap_or(default.enabled);
        let away = written.redis_away.map_or(default.away, meant);
        let rate = default.address.as_ref().map(|limit| limit.rate);
        let (calls, burst) = rate.map_or((0, 0), |rate| (rate.calls(), rate.burst()));
        let calls = written.address.map_or(calls, u64::from);
        let burst = written.burst.map_or(burst, u64::from);
        let tiers: Vec<(Arc<str>, u64)> = match written.tiers {
            Some(written) => written.into_iter().map(|(name, calls)| (name.into(), calls.into())).collect(),
            None => {
                let calls = |limit: &Option<Arc<Limit>>| limit.as_ref().map_or(0, |limit| limit.rate.calls());
                default.tiers.iter().map(|(name, limit)| (Arc::clone(name), calls(limit))).collect()
            }
        };
        let mut limits: BTreeMap<Arc<str>, Option<Arc<Limit>>> = BTreeMap::new();
        for (name, calls) in tiers {
            let key = format!("rate_limits.tiers.{name}");
            let limit = self.limit(&key, &format!("tier-{name}"), (calls, 0), window, away);
            limits.insert(name, limit);
        }
        let default_tier = written.default_tier.map_or(default.default_tier, Arc::from);
        if !limits.contains_key(&default_tier) {
            let known: Vec<&str> = limits.keys().map(|name| &**name).collect();
            let message = format!("{default_tier:?} is not among the tiers ({})", known.join(", "));
            self.found.add("rate_limits.default_tier", message);
        }
        let (mut exempt, mut exempt_loopback) = (default.exempt, default.exempt_loopback);
        if let Some(written) = written.exempt {
            exempt_loopback = written.iter().any(|text| text == "loopback");
            exempt.clear();
            for (index, text) in written.iter().enumerate().filter(|(_, text)| *text != "loopback") {
                let network = Network::parse(text).map_err(|why| format!("{why}, or \"loopback\""));
                exempt.extend(self.found.take(format!("rate_limits.exempt[{index}]"), network));
            }
        }
        for (number, written) in written.rules.into_iter().enumerate() {
            self.limit_rule(number, written, (window, away), book);
        }
        let address = self.limit("rate_limits.address", "address", (calls, burst), window, away);
        LimitSettings {
            enabled,
            address: address.filter(|_| enabled),
            exempt,
            exempt_loopback,
            tiers: limits,
            default_tier,
            window,
            away,
            reset: match written.reset {
                None => default.reset,
                Some(settings::Reset::Epoch) => Reset::Epoch,
                Some(settings::Reset::Delta) => Reset::Delta,
            },
        }
    }

    fn limit_rule(
        &mut self,
        number: usize,
        written: settings::LimitRule,
        (window, away): (Duration, Away),
        book: &mut Rulebook,
    ) {
        let key: Arc<str> = format!("rate_limits.rules[{number}]").into();
        let away = written.redis_away.map_or(away, meant);
        let window = self.time(&format!("{key}.window"), written.window, window);
        let name = written.name.unwrap_or_else(|| format!("rule-{number}"));
        let patterns = self.patterns(&key, &written.patterns);
        // A rule without calls was told of by its shape.
        let Some(limit) = self.limit(&key, &name, (written.calls.into(), written.burst.into()), window, away)
        else {
            return;
        };
        let scope = match written.by {
            None | Some(settings::By::Caller) => Scope::Caller,
            Some(settings::By::Address) => Scope::Address,
            Some(settings::By::Everyone) => Scope::Everyone,
        };
        book.limits.push(Entry { key, patterns, what: (limit, scope) });
    }

    /// `None` for one of 0 calls.
    fn limit(
        &mut self,
        key: &str,
        name: &str,
        (calls, burst): (u64, u64),
        window: Duration,
        away: Away,
    ) -> Option<Arc<Limit>> {
        if calls == 0 {
            return None;
        }
        let limit = Rate::new(calls, window, burst).and_then(|rate| Limit::new(name, rate, away));
        if limit.is_none() {
            let why = if calls + burst > Rate::MOST_CALLS {
                format!(
                    "{} calls in a window and its burst are the most, and these are {}",
                    Rate::MOST_CALLS,
                    calls + burst
                )
            } else {
                format!("a window is between a second and a day, and not {window:?}")
            };
            self.found.add(key, why);
        }
        limit.map(Arc::new)
    }
}

fn meant(written: settings::RedisAway) -> Away {
    match written {
        settings::RedisAway::Local => Away::Local,
        settings::RedisAway::Open => Away::Open,
        settings::RedisAway::Closed => Away::Closed,
    }
}
