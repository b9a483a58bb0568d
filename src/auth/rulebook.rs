//! All rules of a config, and which of them hold for one method or path. Of the rules that name a place the most exact one
//! decides, and so for each of its paths; all that decide must hold; and what any rule denies stays denied.

use std::{collections::BTreeSet, sync::Arc};

use super::{Access, Cover, Limit, Pattern, Place, RouteLimit, Rule, Scope};

/// A rule or a limit, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// Where it is written, such as `access.rules[2]`.
    pub key: Arc<str>,
    pub patterns: Vec<Pattern>,
    pub what: T,
}

/// The rules and limits of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rulebook {
    pub access: Vec<Entry<Arc<Rule>>>,
    pub limits: Vec<Entry<(Arc<Limit>, Scope)>>,
    /// What holds for an upstream's methods that no rule names.
    pub default: Arc<Rule>,
    /// What holds for a path that the gateway answers by itself, and no rule names: what is written in a config is meant to
    /// be read.
    pub answers: Arc<Rule>,
    /// What holds for the gateway's own methods that no rule names; the most exact of them.
    pub own: Vec<Entry<Arc<Rule>>>,
    /// What holds for the gateway's own pages that no rule names.
    pub pages: Arc<Rule>,
    /// What holds for the page of its numbers.
    pub figures: Arc<Rule>,
    /// What holds for requests that find nothing to answer them, where no rule is about everything.
    pub nothing: Arc<Rule>,
}

/// Who answers a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A service of the gateway's own.
    Own,
    /// A page of the gateway's own.
    Page,
    /// The page of the gateway's own that shows its numbers.
    Figures,
    /// What says whether the gateway takes calls, a page or a service of its own: no limit is about it.
    Probe,
    /// Nothing at all: only rules about everything hold.
    Nobody,
    /// An upstream, whatever it speaks.
    Upstream,
    /// The config itself says the answer.
    Written,
}

/// Which patterns have matched anything so far, by key and number.
#[derive(Debug, Default)]
pub struct Used(BTreeSet<(Arc<str>, usize)>);

impl Default for Rulebook {
    /// The default access table.
    fn default() -> Self {
        const GATEWAY: &str = "propylon.gateway.v1";
        let own = |pattern: String, rule: fn(&str) -> Rule| Entry {
            key: "default".into(),
            patterns: vec![match pattern.split_once('/') {
                Some(_) => Pattern::Method(pattern.clone()),
                None => match pattern.strip_suffix('*') {
                    Some(prefix) => Pattern::Package(prefix.to_owned()),
                    None => Pattern::Service(pattern.clone()),
                },
            }],
            what: Arc::new(rule("the default of the gateway's own services")),
        };
        Self {
            access: Vec::new(),
            limits: Vec::new(),
            default: Arc::new(Rule::authenticated("access.default")),
            answers: Arc::new(Rule::public("the default of routes that answer by themselves")),
            own: vec![
                own("*".to_owned(), Rule::authenticated),
                // Health and reflection: grpcurl and probes work with no flags.
                own("grpc.*".to_owned(), Rule::public),
                own(format!("{GATEWAY}.HealthService"), Rule::public),
                own(format!("{GATEWAY}.RoutingService"), |name| {
                    Rule::role(name, "admin").or_loopback().or_admin_listener()
                }),
                own(format!("{GATEWAY}.AdminService"), |name| Rule::role(name, "admin")),
                // Who is on this machine may send SIGHUP too. `services::admin` looks closer: no proxy, no browser's page.
                own(format!("{GATEWAY}.AdminService/Reload"), |name| Rule::role(name, "admin").or_loopback()),
                // What each caller may call, the rules of tools say.
                own(format!("{GATEWAY}.McpService"), Rule::public),
                own(format!("{GATEWAY}.McpService/ListServers"), |name| {
                    Rule::role(name, "admin").or_loopback().or_admin_listener()
                }),
                own(format!("{GATEWAY}.AuthService/Register"), Rule::public),
                own(format!("{GATEWAY}.AuthService/Login"), Rule::public),
                own(format!("{GATEWAY}.AuthService/Refresh"), Rule::public),
                // By a refresh token alone: its access token may have expired.
                own(format!("{GATEWAY}.AuthService/Logout"), Rule::public),
            ],
            pages: Arc::new(Rule::public("the default of the gateway's own pages")),
            figures: Arc::new(
                Rule::role("the default of the gateway's numbers", "admin").or_loopback().or_admin_listener(),
            ),
            nothing: Arc::new(Rule::public("the default of what is not there")),
        }
    }
}

impl Rulebook {
    /// The terms on which a place may be called.
    ///
    /// # Errors
    /// A rule names some of a path's requests and not the others: which it is, is not known before a request comes.
    /// Of what is not there no rule does.
    pub fn terms(
        &self,
        place: &Place<'_>,
        whose: Whose,
        used: &mut Used,
    ) -> Result<(Access, Vec<RouteLimit>), String> {
        self.terms_of(place, &[], whose, used)
    }

    /// The terms of a place of which one route alone has rules of its own: they hold nowhere else, whatever else has the
    /// same path.
    ///
    /// # Errors
    /// As of [`Rulebook::terms`].
    pub fn terms_of(
        &self,
        place: &Place<'_>,
        own: &[Entry<Arc<Rule>>],
        whose: Whose,
        used: &mut Used,
    ) -> Result<(Access, Vec<RouteLimit>), String> {
        if whose != Whose::Nobody {
            for (verb, path) in place.paths {
                partly(&self.access, verb, path, place)?;
                if whose != Whose::Probe {
                    partly(&self.limits, verb, path, place)?;
                }
            }
        }
        Ok(self.decided(place, own, whose, used))
    }

    /// The same, by the rules that are about all of the place.
    fn decided(
        &self,
        place: &Place<'_>,
        own: &[Entry<Arc<Rule>>],
        whose: Whose,
        used: &mut Used,
    ) -> (Access, Vec<RouteLimit>) {
        let access = || self.access.iter().chain(own);
        let deciding = || access().filter(|entry| !entry.what.only_denies);
        let mut chosen: Vec<Arc<Rule>> = Vec::new();
        let mut choose = |rule: &Arc<Rule>| {
            if !chosen.contains(rule) {
                chosen.push(Arc::clone(rule));
            }
        };
        let by_name = best(deciding(), |pattern| pattern.names(place), used);
        if let Some(rule) = by_name {
            choose(rule);
        }
        for (verb, path) in place.paths {
            let covers = |pattern: &Pattern| match pattern.covers(verb, path) {
                Cover::Whole(weight) => Some(weight),
                Cover::No | Cover::Partly => None,
            };
            match best(deciding(), covers, used) {
                Some(rule) => choose(rule),
                // A path that no rule covers does not become open because another one is.
                None if by_name.is_none() => choose(self.fallback(place, whose)),
                None => {}
            }
        }
        if chosen.is_empty() {
            chosen.push(Arc::clone(self.fallback(place, whose)));
        }
        // What a less exact rule denies is denied; and one that denies alone decides nothing else.
        for entry in access() {
            if entry.what.only_denies {
                entry.mark(place, used);
            }
            if !entry.what.deny.is_empty() && !chosen.contains(&entry.what) && entry.matches(place) {
                chosen
                    .push(Arc::new(Rule { deny: entry.what.deny.clone(), ..Rule::public(&entry.what.name) }));
            }
        }
        let mut limits = Vec::new();
        for entry in self.limits.iter().filter(|_| whose != Whose::Probe) {
            if entry.matches(place) {
                entry.mark(place, used);
                let (limit, scope) = &entry.what;
                limits.push(RouteLimit { limit: Arc::clone(limit), scope: *scope });
            }
        }
        (Access::all(chosen), limits)
    }

    fn fallback(&self, place: &Place<'_>, whose: Whose) -> &Arc<Rule> {
        match whose {
            Whose::Written => &self.answers,
            Whose::Nobody => &self.nothing,
            Whose::Page => &self.pages,
            Whose::Figures => &self.figures,
            Whose::Probe if place.method.is_empty() => &self.pages,
            Whose::Own | Whose::Probe => {
                let named = best(&self.own, |pattern| pattern.names(place), &mut Used::default());
                named.unwrap_or(&self.default)
            }
            Whose::Upstream => &self.default,
        }
    }

    /// The patterns that have matched nothing: where each is written, and the pattern.
    #[must_use]
    pub fn unused(&self, used: &Used) -> Vec<(Arc<str>, &Pattern)> {
        let access = self.access.iter().flat_map(|entry| entry.numbered());
        let limits = self.limits.iter().flat_map(|entry| entry.numbered());
        access
            .chain(limits)
            .filter(|(key, number, _)| !used.0.contains(&(Arc::clone(key), *number)))
            .map(|(key, _, pattern)| (key, pattern))
            .collect()
    }

    /// The patterns of names that lie within a pattern of services whose schema is not known, and are more exact than it.
    #[must_use]
    pub fn within(&self, services: &str) -> Vec<Pattern> {
        let access = self.access.iter().flat_map(|entry| &entry.patterns);
        let limits = self.limits.iter().flat_map(|entry| &entry.patterns);
        let mut found: Vec<Pattern> = Vec::new();
        for pattern in access.chain(limits) {
            let same = pattern.to_string() == services;
            if !same && pattern.within(services) && !found.contains(pattern) {
                found.push(pattern.clone());
            }
        }
        found
    }
}

impl<T> Entry<T> {
    fn numbered(&self) -> impl Iterator<Item = (Arc<str>, usize, &Pattern)> {
        self.patterns.iter().enumerate().map(|(number, pattern)| (Arc::clone(&self.key), number, pattern))
    }

    fn matches(&self, place: &Place<'_>) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, place))
    }

    fn mark(&self, place: &Place<'_>, used: &mut Used) {
        for (key, number, _) in self.numbered().filter(|(_, _, pattern)| matches(pattern, place)) {
            used.0.insert((key, number));
        }
    }
}

fn matches(pattern: &Pattern, place: &Place<'_>) -> bool {
    pattern.names(place).is_some()
        || place.paths.iter().any(|(verb, path)| matches!(pattern.covers(verb, path), Cover::Whole(_)))
}

/// The rule whose pattern fits most exactly; of two that are the same, the later one.
fn best<'a, T: 'a>(
    entries: impl IntoIterator<Item = &'a Entry<T>>,
    fits: impl Fn(&Pattern) -> Option<usize>,
    used: &mut Used,
) -> Option<&'a T> {
    let mut best: Option<(usize, &T)> = None;
    for entry in entries {
        for (key, number, pattern) in entry.numbered() {
            let Some(weight) = fits(pattern) else { continue };
            used.0.insert((key, number));
            if best.is_none_or(|(most, _)| weight >= most) {
                best = Some((weight, &entry.what));
            }
        }
    }
    best.map(|(_, rule)| rule)
}

fn partly<T>(
    entries: &[Entry<T>],
    verb: &crate::schema::Verb,
    path: &crate::schema::Template,
    place: &Place<'_>,
) -> Result<(), String> {
    for entry in entries {
        for pattern in &entry.patterns {
            if pattern.covers(verb, path) == Cover::Partly {
                let what = if place.method.is_empty() { "the route" } else { place.method };
                return Err(format!(
                    "{}: {pattern} names some of the requests of {what} ({} {path}) and not the others; name the method or the whole path",
                    entry.key,
                    verb.as_str(),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Template, Verb};

    fn entry(number: usize, patterns: &[&str], rule: Rule) -> Entry<Arc<Rule>> {
        Entry {
            key: format!("access.rules[{number}]").into(),
            patterns: patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            what: Arc::new(rule),
        }
    }

    #[test]
    fn a_rule_that_only_denies_opens_and_closes_nothing_else() {
        let deny = vec![super::super::Subject::parse("role:banned").unwrap()];
        let only = Rule { deny, only_denies: true, ..Rule::authenticated("no") };
        let with = Rulebook {
            access: vec![
                entry(0, &["*", "/**", "GET /v1/reports", "shop.v1.Shop/Get"], only),
                entry(1, &["shop.*"], Rule::role("a", "seller")),
            ],
            ..Rulebook::default()
        };
        let without = Rulebook { access: with.access[1..].to_vec(), ..Rulebook::default() };
        let mut used = Used::default();
        for (method, paths, whose) in [
            ("grpc.health.v1.Health/Check", &[][..], Whose::Own),
            ("propylon.gateway.v1.HealthService/Check", &["/health"], Whose::Own),
            ("propylon.gateway.v1.RoutingService/GetInfo", &["/gateway/info"], Whose::Own),
            ("propylon.gateway.v1.AdminService/Reload", &["/admin/reload"], Whose::Own),
            ("shop.v1.Shop/Get", &["/v1/items/{x}"], Whose::Upstream),
            ("books.v1.Books/Get", &["/v1/reports"], Whose::Upstream),
            ("", &["/hello"], Whose::Written),
        ] {
            let paths: Vec<_> =
                paths.iter().map(|path| (Verb::Get, Arc::new(Template::parse(path).unwrap()))).collect();
            let place = Place { method, paths: &paths };
            let mut of = |book: &Rulebook| book.terms(&place, whose, &mut used).unwrap().0.to_string();
            assert_eq!(of(&with), format!("{} and everyone, but not role banned (no)", of(&without)));
        }
        assert!(with.unused(&used).is_empty());
    }

    /// Of each place its access in words, and the names of its limits.
    fn found(book: &Rulebook, method: &str, paths: &[&str], whose: Whose, used: &mut Used) -> String {
        let paths: Vec<_> =
            paths.iter().map(|path| (Verb::Get, Arc::new(Template::parse(path).unwrap()))).collect();
        match book.terms(&Place { method, paths: &paths }, whose, used) {
            Ok((access, limits)) => {
                let limits = limits.iter().map(|limit| format!(" + {}", limit.limit.name));
                format!("{access}{}", limits.collect::<String>())
            }
            Err(why) => why,
        }
    }

    #[test]
    fn pages_and_what_is_not_there_are_under_the_rules_too() {
        use crate::auth::Rate;
        let limit = |number: usize, name: &str, patterns: &[&str]| {
            let rate = Rate::new(5, std::time::Duration::from_secs(60), 0).unwrap();
            let limit = Arc::new(Limit::new(name, rate, crate::auth::Away::Local).unwrap());
            Entry {
                key: format!("rate_limits.rules[{number}]").into(),
                patterns: patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
                what: (limit, Scope::Address),
            }
        };
        let book = Rulebook {
            access: vec![
                entry(0, &["/docs", "/livez"], Rule::role("a", "admin")),
                entry(1, &["/v1/**"], Rule::role("b", "reader")),
            ],
            limits: vec![limit(0, "all", &["/**", "*"]), limit(1, "probe", &["/livez"])],
            ..Rulebook::default()
        };
        let mut used = Used::default();
        let pages = "(the default of the gateway's own pages)";
        let mut check = |method: &str, paths: &[&str], whose: Whose, want: &str| {
            assert_eq!(found(&book, method, paths, whose, &mut used), want, "{method} {paths:?}");
        };
        check("", &["/docs"], Whose::Page, "role admin (a) + all");
        check("", &["/redoc"], Whose::Page, &format!("everyone {pages} + all"));
        // No limit is about a probe; who may ask it is a rule's to say.
        check("", &["/livez"], Whose::Probe, "role admin (a)");
        check("", &["/readyz"], Whose::Probe, &format!("everyone {pages}"));
        let own = "everyone (the default of the gateway's own services)";
        check("grpc.health.v1.Health/Check", &[], Whose::Probe, own);
        // A rule about some of what is not there says nothing of the rest.
        let nothing = "everyone (the default of what is not there) + all";
        check("", &["/{any=**}"], Whose::Nobody, nothing);
        check("*", &[], Whose::Nobody, nothing);
        let left: Vec<String> = book.unused(&used).iter().map(|(_, pattern)| pattern.to_string()).collect();
        assert_eq!(left, ["/v1/**", "/livez"]);
        let closed = Rulebook {
            access: vec![
                entry(0, &["/**"], Rule::role("a", "admin")),
                entry(1, &["*"], Rule::authenticated("b")),
                entry(2, &["/nothing/**"], Rule::public("c")),
            ],
            ..Rulebook::default()
        };
        let used = &mut Used::default();
        assert_eq!(found(&closed, "", &["/{any=**}"], Whose::Nobody, used), "role admin (a)");
        assert_eq!(found(&closed, "*", &[], Whose::Nobody, used), "authenticated callers (b)");
    }

    #[test]
    fn the_most_exact_rule_decides_and_denials_stay() {
        let book = Rulebook {
            access: vec![
                entry(
                    0,
                    &["shop.*"],
                    Rule {
                        deny: vec![super::super::Subject::parse("user:evil").unwrap()],
                        ..Rule::role("a", "seller")
                    },
                ),
                entry(1, &["shop.v1.Shop/Get", "/v1/open/**"], Rule::public("b")),
                entry(2, &["/v1/admin/**", "nothing.*"], Rule::role("c", "admin")),
            ],
            ..Rulebook::default()
        };
        let mut used = Used::default();
        let mut check = |method: &str, paths: &[&str], own: bool, want: &str| {
            let paths: Vec<_> =
                paths.iter().map(|path| (Verb::Get, Arc::new(Template::parse(path).unwrap()))).collect();
            let whose = match (own, method.is_empty()) {
                (true, _) => Whose::Own,
                (false, true) => Whose::Written,
                (false, false) => Whose::Upstream,
            };
            let got = match book.terms(&Place { method, paths: &paths }, whose, &mut used) {
                Ok((access, _)) => access.to_string(),
                Err(error) => error,
            };
            assert_eq!(got, want, "{method}");
        };
        let evil = "but not user evil (a)";
        check("shop.v1.Shop/Put", &[], false, &format!("role seller, {evil}"));
        check("shop.v1.Shop/Get", &["/v1/items/{x}"], false, &format!("everyone (b) and everyone, {evil}"));
        // A path's rule holds for its method, whatever the surface; so does the rule of the method's name.
        check(
            "shop.v1.Shop/Get",
            &["/v1/admin/items/{x}"],
            false,
            &format!("everyone (b) and role admin (c) and everyone, {evil}"),
        );
        check("books.v1.Books/Get", &["/v1/open/{x}"], false, "everyone (b)");
        check(
            "books.v1.Books/Get",
            &["/v1/open/{x}", "/v1/other/{x}"],
            false,
            "everyone (b) and authenticated callers (access.default)",
        );
        check("books.v1.Books/Get", &[], false, "authenticated callers (access.default)");
        check("", &["/v1/admin/stats"], false, "role admin (c)");
        check(
            "books.v1.Books/Any",
            &["/{any=**}"],
            false,
            "access.rules[1]: /v1/open/** names some of the requests of books.v1.Books/Any (GET /{any=**}) and not the others; name the method or the whole path",
        );
        let default = "(the default of the gateway's own services)";
        check("grpc.health.v1.Health/Check", &[], true, &format!("everyone {default}"));
        check(
            "propylon.gateway.v1.AdminService/Reload",
            &["/admin/reload"],
            true,
            &format!("role admin, or this machine {default}"),
        );
        check(
            "propylon.gateway.v1.AdminService/ListUsers",
            &["/admin/users"],
            true,
            &format!("role admin {default}"),
        );
        check(
            "propylon.gateway.v1.RoutingService/GetInfo",
            &["/gateway/info"],
            true,
            &format!("role admin, or this machine, the admin listener {default}"),
        );
        let unused: Vec<String> =
            book.unused(&used).iter().map(|(key, pattern)| format!("{key} {pattern}")).collect();
        assert_eq!(unused, ["access.rules[2] nothing.*"]);
    }
}
