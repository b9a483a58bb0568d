//! `[access]` and `[rate_limits]` checked, and the `access` of a route.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Check, Users,
    callers::texts,
    meant::{network_meant, pattern_meant, subject_meant},
    values,
};
use crate::{
    auth::{Away, CERTIFICATE, Entry, Limit, Network, Pattern, Rate, Rule, Rulebook, Scope, Subject},
    config::{document::path::child, mistake::Mistake, settings},
    policy::{LimitSettings, Reset},
    schema::nearest,
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
            let what = Arc::new(self.rule(&key, written));
            let mut own = Vec::with_capacity(patterns.len());
            for pattern in patterns {
                // Which is meant, is not for us to guess. (One that only denies leaves what the other says.)
                let alike = |entry: &&Entry<Arc<Rule>>| {
                    entry.what.only_denies == what.only_denies && entry.patterns.contains(&pattern)
                };
                let first = book.access.iter().find(alike);
                let first = first.map(|entry| &*entry.key).or(own.contains(&pattern).then_some(&*key));
                match first {
                    Some(first) => {
                        let message = format!("{pattern} has a rule already, {first}");
                        let mistake = Mistake::new(format!("{key}.match"), message);
                        self.found.push(mistake.within(pattern.to_string()));
                    }
                    None => own.push(pattern),
                }
            }
            let patterns = own;
            book.access.push(Entry { key, patterns, what });
        }
    }

    fn patterns(&mut self, key: &str, written: &[String]) -> Vec<Pattern> {
        if written.is_empty() && !self.found.below(&format!("{key}.match")) {
            self.found.add(key, "it is about nothing: `match` names methods or paths");
        }
        let mut patterns = Vec::with_capacity(written.len());
        for (index, text) in written.iter().enumerate() {
            match Pattern::parse(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(why) => {
                    let mistake = Mistake::new(format!("{key}.match[{index}]"), why);
                    self.found.push(mistake.meaning(pattern_meant(text)));
                }
            }
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
        let silent = public.is_none() && allow.is_empty();
        let public = public.unwrap_or(false);
        let asks = [("roles", &roles), ("permissions", &permissions), ("scopes", &scopes), ("tiers", &tiers)];
        for (name, list) in asks {
            if public && !list.is_empty() {
                let message = format!("a public rule asks for no {name}; take one of the two");
                self.found.add(format!("{key}.{name}"), message);
            }
            if let Some(index) = list.iter().position(String::is_empty) {
                self.found.add(format!("{key}.{name}[{index}]"), "it is empty");
            }
        }
        let silent = silent && asks.iter().all(|(_, list)| list.is_empty());
        let mut subjects = |name: &str, list: Vec<String>| {
            let mut subjects = Vec::with_capacity(list.len());
            for (index, text) in list.iter().enumerate() {
                match Subject::parse(text) {
                    Ok(subject) => {
                        if let Some(mistake) = self.users.mistake(&subject, name == "allow") {
                            self.found.push(Mistake { path: format!("{key}.{name}[{index}]"), ..mistake });
                        }
                        subjects.push(subject);
                    }
                    Err(why) => {
                        let mistake = Mistake::new(format!("{key}.{name}[{index}]"), why);
                        self.found.push(mistake.meaning(subject_meant(text)));
                    }
                }
            }
            subjects
        };
        Rule {
            name: key.into(),
            public,
            only_denies: silent && !deny.is_empty(),
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
        let window = self.window("rate_limits.window", written.window, default.window);
        let enabled = written.enabled.unwrap_or(default.enabled);
        let away = written.redis_away.map_or(default.away, meant);
        let rate = default.address.as_ref().map(|limit| limit.rate);
        let (calls, burst) = rate.map_or((0, 0), |rate| (rate.calls(), rate.burst()));
        let calls = written.address.map_or(calls, u64::from);
        let burst = written.burst.map_or(burst, u64::from);
        let tier_burst = written.tier_burst.map_or(0, u64::from);
        let tiers: Vec<(Arc<str>, u64)> = match written.tiers {
            Some(written) => written.into_iter().map(|(name, calls)| (name.into(), calls.into())).collect(),
            None => {
                let calls = |limit: &Option<Arc<Limit>>| limit.as_ref().map_or(0, |limit| limit.rate.calls());
                default.tiers.iter().map(|(name, limit)| (Arc::clone(name), calls(limit))).collect()
            }
        };
        if written.burst.is_some_and(|burst| burst > 0) && calls == 0 {
            let message = "it does nothing: rate_limits.address is 0, which is no limit";
            self.found.push(Mistake::new("rate_limits.burst", message).of_key());
        }
        let mut limits: BTreeMap<Arc<str>, Option<Arc<Limit>>> = BTreeMap::new();
        // Limits of one name would count in one counter.
        let mut names: BTreeMap<Arc<str>, String> = BTreeMap::new();
        for name in OWN_LIMITS {
            names.insert(name.into(), "a limit of the gateway's own".to_owned());
        }
        for (name, calls) in tiers {
            let key = child("rate_limits.tiers", &name);
            let keys = (&*key, "rate_limits.tier_burst");
            let limit = self.limit(keys, &format!("{OF_A_TIER}{name}"), (calls, tier_burst), window, away);
            if let Some(limit) = &limit {
                self.name_of_its_own(key.clone(), limit, key, &mut names);
            }
            limits.insert(name, limit);
        }
        let default_tier = written.default_tier.map_or(default.default_tier, Arc::from);
        // A tier whose limit is wrong is a tier; where the whole is wrong, nobody knows which there are.
        let wrong =
            |tier: &str| self.found.keys_below("rate_limits.tiers").any(|key| key == tier || key.is_empty());
        if !limits.contains_key(&default_tier) && !wrong(&default_tier) {
            let known: Vec<&str> = limits.keys().map(|name| &**name).collect();
            let message = format!("{default_tier:?} is not among the tiers ({})", known.join(", "));
            let mistake = Mistake::new("rate_limits.default_tier", message);
            self.found.push(mistake.near(&default_tier, known));
        }
        let (mut exempt, mut exempt_loopback) = (default.exempt, default.exempt_loopback);
        if let Some(written) = written.exempt {
            exempt_loopback = written.iter().any(|text| text == "loopback");
            exempt.clear();
            for (index, text) in written.iter().enumerate().filter(|(_, text)| *text != "loopback") {
                exempt.extend(self.network(&format!("rate_limits.exempt[{index}]"), text, "loopback"));
            }
        }
        for (number, written) in written.rules.into_iter().enumerate() {
            self.limit_rule(number, written, (window, away), &mut names, book);
        }
        let keys = ("rate_limits.address", "rate_limits.burst");
        let address = self.limit(keys, OWN_LIMITS[0], (calls, burst), window, away);
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
        names: &mut BTreeMap<Arc<str>, String>,
        book: &mut Rulebook,
    ) {
        let key: Arc<str> = format!("rate_limits.rules[{number}]").into();
        let away = written.redis_away.map_or(away, meant);
        let window = self.window(&format!("{key}.window"), written.window, window);
        let named = if written.name.is_some() { format!("{key}.name") } else { key.to_string() };
        let name = written.name.unwrap_or_else(|| format!("rule-{number}"));
        let patterns = self.patterns(&key, &written.patterns);
        let keys = (&*format!("{key}.calls"), &*format!("{key}.burst"));
        let limit = self.limit(keys, &name, (written.calls.into(), written.burst.into()), window, away);
        // A rule without calls was told of by its shape.
        let Some(limit) = limit else { return };
        self.name_of_its_own(named, &limit, key.to_string(), names);
        let scope = match written.by {
            None | Some(settings::By::Caller) => Scope::Caller,
            Some(settings::By::Address) => Scope::Address,
            Some(settings::By::Everyone) => Scope::Everyone,
        };
        book.limits.push(Entry { key, patterns, what: (limit, scope) });
    }

    /// Two limits of one name are a mistake. `key` is where it is named; `whose` is said to the next of that name.
    fn name_of_its_own(
        &mut self,
        key: String,
        limit: &Limit,
        whose: String,
        names: &mut BTreeMap<Arc<str>, String>,
    ) {
        let name = &limit.name;
        let of_a_tier = name.starts_with(OF_A_TIER) && !key.starts_with("rate_limits.tiers");
        let why = match names.get(name) {
            Some(first) => {
                Some(format!("{first} has the name {name:?} already, and would be counted with it"))
            }
            None if of_a_tier => {
                Some(format!("{name:?} is a name of the tiers' limits: they begin with {OF_A_TIER:?}"))
            }
            None => None,
        };
        match why {
            Some(why) => self.found.add(key, why),
            None => {
                names.insert(Arc::clone(name), whose);
            }
        }
    }

    /// A window of a limit.
    fn window(&mut self, key: &str, written: Option<settings::Time>, default: Duration) -> Duration {
        let Some(settings::Time(text)) = written else { return default };
        let window = values::time(&text).and_then(|window| match window {
            window if window < SHORTEST_WINDOW => {
                Err(format!("{text:?} is too short; the shortest window is 1s"))
            }
            window if window > LONGEST_WINDOW => {
                Err(format!("{text:?} is too long; the longest window is 24h"))
            }
            window => Ok(window),
        });
        self.found.take(key, window).unwrap_or(default)
    }

    /// A network; `word` may stand in its place, and is not looked for here.
    pub(super) fn network(&mut self, key: &str, text: &str, word: &str) -> Option<Network> {
        let why = match Network::parse(text) {
            Ok(network) => return Some(network),
            Err(why) => why,
        };
        let mistake = Mistake::new(key, format!("{why}; or {word:?}"));
        let near = nearest(text, [word]).map(str::to_owned);
        self.found.push(mistake.meaning(near.or_else(|| network_meant(text))));
        None
    }

    /// `None` for one of 0 calls. The keys are where its calls and its burst are written; the window is right.
    fn limit(
        &mut self,
        (calls_key, burst_key): (&str, &str),
        name: &str,
        (calls, burst): (u64, u64),
        window: Duration,
        away: Away,
    ) -> Option<Arc<Limit>> {
        if calls == 0 {
            return None;
        }
        let all = calls.saturating_add(burst);
        if all > Rate::MOST_CALLS {
            let most = Rate::MOST_CALLS;
            let key = if burst == 0 || calls > most { calls_key } else { burst_key };
            let message = format!("{most} calls in a window and its burst are the most, and these are {all}");
            self.found.add(key, message);
        }
        Rate::new(calls, window, burst).and_then(|rate| Limit::new(name, rate, away)).map(Arc::new)
    }

    /// Tiers that have no limit of their own are counted as the default one: they are told, in case they were mistyped.
    pub(super) fn known_tier(&mut self, key: String, tier: &str, known: &[Arc<str>]) {
        if known.iter().any(|known| **known == *tier) {
            return;
        }
        let message =
            format!("{tier:?} is not among rate_limits.tiers; its calls are counted as default_tier's");
        let mistake = Mistake::new(key, message).near(tier, known.iter().map(|known| &**known));
        self.found.push(mistake.warning());
    }
}

impl Users {
    /// What is wrong with a user who is named: of an issuer that is not there, or admitted by what anybody may say.
    fn mistake(&self, subject: &Subject, admitted: bool) -> Option<Mistake> {
        let Subject::User { issuer, id } = subject else { return None };
        match issuer {
            Some(issuer) if matches!(&**issuer, "spiffe:" | "urn:" | "https:") => {
                let message = "an id with slashes in it is that of a client certificate: user:certificate/ID";
                let meant = format!("user:{CERTIFICATE}/{issuer}/{id}");
                Some(Mistake::new("", message).meaning(Some(meant)))
            }
            Some(issuer)
                if **issuer == *CERTIFICATE && !self.issuers.iter().any(|known| known == CERTIFICATE) =>
            {
                let message = "nobody is known by a certificate: tls.client_certificates asks for none";
                Some(Mistake::new("", message))
            }
            Some(issuer) if !self.issuers.iter().any(|known| **known == **issuer) => {
                let message =
                    format!("{issuer:?} is none of auth.issuers; a user of the gateway's own is user:ID");
                let near = nearest(issuer, self.issuers.iter().map(String::as_str));
                Some(Mistake::new("", message).meaning(near.map(|near| format!("user:{near}/{id}"))))
            }
            None if admitted && id.contains('@') && !self.written.iter().any(|user| **user == **id) => {
                let message = format!(
                    "{id:?} admits nobody: whose an address is, only its owner's word says; a user is named by its id"
                );
                Some(Mistake::new("", message))
            }
            _ => None,
        }
    }
}

/// What limits are called that no rule has written: of addresses, and of callers who have one of their own.
const OWN_LIMITS: [&str; 2] = ["address", "caller"];
/// What the names of the tiers' limits begin with.
const OF_A_TIER: &str = "tier-";

/// What a limit can be counted by.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

fn meant(written: settings::RedisAway) -> Away {
    match written {
        settings::RedisAway::Local => Away::Local,
        settings::RedisAway::Open => Away::Open,
        settings::RedisAway::Closed => Away::Closed,
    }
}
