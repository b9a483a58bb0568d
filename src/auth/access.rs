//! Who may call: one rule object for every route, method and path, decided when the config was loaded. What is denied is
//! denied, whatever else is allowed.

use std::{fmt, sync::Arc};

use super::{CERTIFICATE, Client, Means, Network, OWN, Principal, same_email};

/// The rules of one route: every one of them must admit a caller. None at all admits nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access(Vec<Arc<Rule>>);

/// One rule about callers. Empty lists ask nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Where it is written, for who asks why.
    pub name: Arc<str>,
    /// Everyone may call, known or not.
    pub public: bool,
    /// The caller has one of these roles,
    pub roles: Vec<Arc<str>>,
    /// and all of these permissions,
    pub permissions: Vec<Arc<str>>,
    /// and all of these scopes,
    pub scopes: Vec<Arc<str>>,
    /// and is of one of these tiers.
    pub tiers: Vec<Arc<str>>,
    /// Who may call whatever the lines above say.
    pub allow: Vec<Subject>,
    /// Who may not, whatever any line says.
    pub deny: Vec<Subject>,
    /// It says who may not call, and nothing of who may: what would hold without it holds still.
    pub only_denies: bool,
}

/// Somebody, as `allow` and `deny` name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// By id: of an issuer, or whom the gateway itself knows. Among those who are denied one without an issuer is of any,
    /// and may be an e-mail address. (Nobody is admitted by an address: whoever registers says whose it is.)
    User {
        issuer: Option<Arc<str>>,
        id: Arc<str>,
    },
    Role(Arc<str>),
    Tier(Arc<str>),
    /// An API key, by its id.
    Key(Arc<str>),
    /// The issuer of the caller's token, by its name in the config.
    Issuer(Arc<str>),
    /// Whoever calls from there.
    Network(Network),
    /// Whoever calls from this machine, with no proxy in between.
    Loopback,
    /// Whoever calls by the operator's listener.
    AdminListener,
}

/// What a caller lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// Nobody knows who calls, and somebody must be known.
    Unknown,
    /// It is among those who are denied.
    Denied,
    /// It has none of these roles.
    Role(Vec<Arc<str>>),
    Permission(Arc<str>),
    /// All that the route wants, of which it has not all; it lacks nothing else.
    Scope(Vec<Arc<str>>),
    Tier(Vec<Arc<str>>),
}

impl Subject {
    /// Reads `user:ID`, `user:ISSUER/ID`, `role:NAME`, `tier:NAME`, `key:ID`, `issuer:NAME`, `network:CIDR`, `loopback` or
    /// `admin-listener`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} names nobody: it is user:ID, user:ISSUER/ID, role:NAME, tier:NAME, key:ID, issuer:NAME, network:CIDR, loopback or admin-listener"
            )
        };
        if text == "loopback" {
            return Ok(Self::Loopback);
        }
        if text == "admin-listener" {
            return Ok(Self::AdminListener);
        }
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(wrong)?;
        Ok(match kind {
            "user" => match name.split_once('/') {
                Some((issuer, id)) if !issuer.is_empty() && !id.is_empty() => {
                    Self::User { issuer: Some(issuer.into()), id: id.into() }
                }
                Some(_) => return Err(wrong()),
                None => Self::User { issuer: None, id: name.into() },
            },
            "role" => Self::Role(name.into()),
            "tier" => Self::Tier(name.into()),
            "key" => Self::Key(name.into()),
            "issuer" => Self::Issuer(name.into()),
            "network" => Self::Network(Network::parse(name)?),
            _ => return Err(wrong()),
        })
    }

    /// Whether somebody who is allowed is meant: exactly.
    fn is(&self, caller: Option<&Principal>, client: &Client) -> bool {
        match (self, caller) {
            (Self::Loopback, _) => client.local,
            (Self::AdminListener, _) => client.operator,
            (Self::Network(network), _) => network.contains(client.address),
            (_, None) => false,
            (Self::User { issuer, id }, Some(caller)) => {
                caller.id == *id && caller.foreign() == issuer.as_deref()
            }
            (Self::Role(role), Some(caller)) => caller.has_role(role),
            (Self::Tier(tier), Some(caller)) => caller.tier.as_ref() == Some(tier),
            (Self::Key(key), Some(caller)) => matches!(&caller.means, Means::ApiKey { id } if id == key),
            (Self::Issuer(name), Some(caller)) => match &caller.means {
                Means::Own => **name == *OWN,
                Means::Token { issuer } => issuer == name,
                Means::Certificate => **name == *CERTIFICATE,
                Means::ApiKey { .. } | Means::Static { .. } => false,
            },
        }
    }

    /// Whether somebody who is denied is meant: in doubt, yes.
    fn may_be(&self, caller: Option<&Principal>, client: &Client) -> bool {
        let user = match (self, caller) {
            (Self::User { issuer: None, id }, Some(caller)) => {
                caller.id == *id || caller.email.as_ref().is_some_and(|email| same_email(email, id))
            }
            _ => false,
        };
        user || self.is(caller, client)
    }
}

impl Rule {
    /// Everyone.
    #[must_use]
    pub fn public(name: &str) -> Self {
        Self { name: name.into(), public: true, ..Self::default() }
    }

    /// Whoever is known.
    #[must_use]
    pub fn authenticated(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Whoever has a role.
    #[must_use]
    pub fn role(name: &str, role: &str) -> Self {
        Self { roles: vec![role.into()], ..Self::authenticated(name) }
    }

    /// Whoever calls from this machine too.
    #[must_use]
    pub fn or_loopback(mut self) -> Self {
        self.allow.push(Subject::Loopback);
        self
    }

    /// Whoever calls by the operator's listener too.
    #[must_use]
    pub fn or_admin_listener(mut self) -> Self {
        self.allow.push(Subject::AdminListener);
        self
    }

    fn decide(&self, caller: Option<&Principal>, client: &Client) -> Result<(), Unmet> {
        if self.public || self.allow.iter().any(|subject| subject.is(caller, client)) {
            return Ok(());
        }
        let caller = caller.ok_or(Unmet::Unknown)?;
        if !self.roles.is_empty() && !self.roles.iter().any(|role| caller.has_role(role)) {
            return Err(Unmet::Role(self.roles.clone()));
        }
        let lacks = |wanted: &[Arc<str>], has: &[Arc<str>]| {
            wanted.iter().find(|wanted| !has.contains(wanted)).map(Arc::clone)
        };
        if let Some(permission) = lacks(&self.permissions, &caller.permissions) {
            return Err(Unmet::Permission(permission));
        }
        if !self.tiers.is_empty() && !caller.tier.as_ref().is_some_and(|tier| self.tiers.contains(tier)) {
            return Err(Unmet::Tier(self.tiers.clone()));
        }
        // Last: who lacks nothing else may ask for it.
        if lacks(&self.scopes, &caller.scopes).is_some() {
            return Err(Unmet::Scope(self.scopes.clone()));
        }
        Ok(())
    }
}

impl Access {
    /// Every one of these rules holds.
    #[must_use]
    pub fn all(rules: Vec<Arc<Rule>>) -> Self {
        Self(rules)
    }

    /// Everyone may call.
    #[must_use]
    pub fn public() -> Self {
        Self(vec![Arc::new(Rule::public("public"))])
    }

    /// Decides on a caller; `None` is one that nobody knows.
    ///
    /// # Errors
    /// What it lacks.
    pub fn decide(&self, caller: Option<&Principal>, client: &Client) -> Result<(), Unmet> {
        if self.0.is_empty() {
            return Err(Unmet::Denied);
        }
        // Before anything is allowed.
        for rule in &self.0 {
            if rule.deny.iter().any(|subject| subject.may_be(caller, client)) {
                return Err(Unmet::Denied);
            }
        }
        let mut scopes: Vec<Arc<str>> = Vec::new();
        for rule in &self.0 {
            match rule.decide(caller, client) {
                Ok(()) => {}
                Err(Unmet::Scope(wanted)) => scopes.extend(wanted),
                Err(unmet) => return Err(unmet),
            }
        }
        if scopes.is_empty() { Ok(()) } else { Err(Unmet::Scope(scopes)) }
    }

    /// The rules that hold.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.0
    }

    /// True where somebody whom nobody knows may call from anywhere.
    #[must_use]
    pub fn is_public(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|rule| rule.public)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, rule) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(" and ")?;
            }
            write!(f, "{rule}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if self.public {
            said.push("everyone".to_owned());
        } else {
            for (what, list, joint) in [
                ("role", &self.roles, " or "),
                ("permission", &self.permissions, " and "),
                ("scope", &self.scopes, " and "),
                ("tier", &self.tiers, " or "),
            ] {
                if !list.is_empty() {
                    said.push(format!("{what} {}", list.join(joint)));
                }
            }
            if said.is_empty() {
                said.push("authenticated callers".to_owned());
            }
        }
        f.write_str(&said.join(", "))?;
        if !self.allow.is_empty() && !self.public {
            write!(f, ", or {}", named(&self.allow))?;
        }
        if !self.deny.is_empty() {
            write!(f, ", but not {}", named(&self.deny))?;
        }
        write!(f, " ({})", self.name)
    }
}

fn named(subjects: &[Subject]) -> String {
    subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { issuer: None, id } => write!(f, "user {id}"),
            Self::User { issuer: Some(issuer), id } => write!(f, "user {issuer}/{id}"),
            Self::Role(name) => write!(f, "role {name}"),
            Self::Tier(name) => write!(f, "tier {name}"),
            Self::Key(name) => write!(f, "key {name}"),
            Self::Issuer(name) => write!(f, "issuer {name}"),
            Self::Network(network) => write!(f, "network {network}"),
            Self::Loopback => f.write_str("this machine"),
            Self::AdminListener => f.write_str("the admin listener"),
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the caller must be authenticated"),
            Self::Denied => f.write_str("the caller is denied"),
            Self::Role(roles) => write!(f, "the role {} is missing", roles.join(" or ")),
            Self::Permission(permission) => write!(f, "the permission {permission} is missing"),
            Self::Scope(scopes) => write!(f, "the scope {} is missing", scopes.join(" and ")),
            Self::Tier(tiers) => write!(f, "it is for the tier {}", tiers.join(" or ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody() -> Principal {
        Principal {
            email: Some("u@a.example".into()),
            roles: vec!["teacher".into()],
            permissions: vec!["read".into(), "write".into()],
            scopes: vec!["books".into()],
            tier: Some("free".into()),
            ..Principal::new("u", Means::ApiKey { id: "k1".into() })
        }
    }

    fn list(items: &[&str]) -> Vec<Arc<str>> {
        items.iter().map(|item| Arc::from(*item)).collect()
    }

    #[test]
    fn a_rule_admits_who_has_what_it_asks() {
        let far = Client::at([203, 0, 113, 7].into());
        let near = Client { local: true, ..Client::at([127, 0, 0, 1].into()) };
        let check = |rule: Rule, caller: Option<&Principal>, client: &Client, want: Result<(), Unmet>| {
            let shown = rule.to_string();
            assert_eq!(Access::all(vec![Arc::new(rule)]).decide(caller, client), want, "{shown}");
        };
        let known = somebody();
        let rule = || Rule::authenticated("r");
        let subjects = |texts: &[&str]| texts.iter().map(|text| Subject::parse(text).unwrap()).collect();
        check(Rule::public("r"), None, &far, Ok(()));
        check(rule(), None, &far, Err(Unmet::Unknown));
        check(rule(), Some(&known), &far, Ok(()));
        check(Rule { roles: list(&["admin", "teacher"]), ..rule() }, Some(&known), &far, Ok(()));
        check(Rule::role("r", "admin"), Some(&known), &far, Err(Unmet::Role(list(&["admin"]))));
        check(Rule::role("r", "admin").or_loopback(), None, &far, Err(Unmet::Unknown));
        check(Rule::role("r", "admin").or_loopback(), None, &near, Ok(()));
        check(Rule { permissions: list(&["read", "write"]), ..rule() }, Some(&known), &far, Ok(()));
        check(
            Rule { permissions: list(&["read", "drop"]), ..rule() },
            Some(&known),
            &far,
            Err(Unmet::Permission("drop".into())),
        );
        check(Rule { scopes: list(&["x"]), ..rule() }, Some(&known), &far, Err(Unmet::Scope(list(&["x"]))));
        check(Rule { tiers: list(&["free"]), ..rule() }, Some(&known), &far, Ok(()));
        check(
            Rule { tiers: list(&["elite"]), ..rule() },
            Some(&known),
            &far,
            Err(Unmet::Tier(list(&["elite"]))),
        );
        for denied in
            ["user:u", "user:U@a.example", "role:teacher", "tier:free", "key:k1", "network:203.0.113.0/24"]
        {
            let rule = Rule { deny: subjects(&[denied]), allow: subjects(&["user:u"]), ..Rule::public("r") };
            check(rule, Some(&known), &far, Err(Unmet::Denied));
        }
        check(Rule { deny: subjects(&["network:203.0.113.0/24"]), ..Rule::public("r") }, None, &near, Ok(()));
        check(Rule { allow: subjects(&["user:u"]), ..Rule::role("r", "admin") }, Some(&known), &far, Ok(()));
    }

    #[test]
    fn every_rule_must_hold_and_none_admits_nobody() {
        let near = Client { local: true, ..Client::at([127, 0, 0, 1].into()) };
        assert_eq!(Access::all(vec![]).decide(Some(&somebody()), &near), Err(Unmet::Denied));
        let both = Access::all(vec![Arc::new(Rule::public("a")), Arc::new(Rule::role("b", "admin"))]);
        assert!(both.decide(Some(&somebody()), &near).is_err() && !both.is_public());
        // A denial goes before whatever an earlier rule says.
        let deny = Rule { deny: vec![Subject::parse("user:u").unwrap()], ..Rule::public("b") };
        let denied = Access::all(vec![Arc::new(Rule::role("a", "admin")), Arc::new(deny)]);
        assert_eq!(denied.decide(Some(&somebody()), &near), Err(Unmet::Denied));
    }

    #[test]
    fn a_user_is_one_issuers_and_no_address_admits() {
        let far = Client::at([203, 0, 113, 7].into());
        let token = |issuer: &str| Principal {
            email: Some("boss@a.example".into()),
            ..Principal::new("u", Means::Token { issuer: issuer.into() })
        };
        let key = Principal { means: Means::ApiKey { id: "k1".into() }, ..token("main") };
        let written = Principal { means: Means::Static { name: "t".into() }, ..token("main") };
        let own = Principal { means: Means::Own, ..token("main") };
        let (main, other) = (token("main"), token("other"));
        // Who is admitted by a subject, and who is denied by it.
        let check = |subject: &str, admitted: [bool; 5], denied: [bool; 5]| {
            let subject = Subject::parse(subject).unwrap();
            let callers = [&own, &key, &written, &main, &other];
            let allow = Rule { allow: vec![subject.clone()], ..Rule::role("r", "nobody's") };
            let deny = Rule { deny: vec![subject.clone()], ..Rule::public("r") };
            let by = |rule: Rule| {
                let access = Access::all(vec![Arc::new(rule)]);
                callers.map(|caller| access.decide(Some(caller), &far).is_ok())
            };
            assert_eq!(by(allow), admitted, "{subject} admits");
            assert_eq!(by(deny).map(|passes| !passes), denied, "{subject} denies");
        };
        let (all, nobody) = ([true; 5], [false; 5]);
        check("user:u", [true, true, true, false, false], all);
        check("user:main/u", [false, false, false, true, false], [false, false, false, true, false]);
        check("user:boss@a.example", nobody, all);
        check("user:main/boss@a.example", nobody, nobody);
    }

    /// An account is made under any spelling of its address.
    #[test]
    fn who_is_denied_by_an_address_is_so_however_it_is_spelt() {
        let far = Client::at([203, 0, 113, 7].into());
        let check = |denied: &str, address: &str, want: bool| {
            let subject = Subject::parse(&format!("user:{denied}")).unwrap();
            let deny = Access::all(vec![Arc::new(Rule { deny: vec![subject], ..Rule::public("r") })]);
            let caller = Principal { email: Some(address.into()), ..Principal::new("u", Means::Own) };
            let passes = deny.decide(Some(&caller), &far).is_ok();
            assert_eq!(!passes, want, "{denied} {address}");
        };
        check("josé@x.example", "JOSÉ@x.example", true);
        check("Jose\u{301}@x.example", "JOSÉ@X.example", true);
        check("alice@x.example", "ａlice@x.example", true);
        check("ALICE@x.example", "alice@x.example", true);
        check("josé@x.example", "jose@x.example", false);
        check("alice@x.example", "alice@y.example", false);
    }

    #[test]
    fn subjects_are_named_by_their_kind() {
        for bad in ["", "user", "user:", "user:/1", "user:a/", "users:1", "network:1.2.3", "Loopback"] {
            assert!(Subject::parse(bad).is_err(), "{bad}");
        }
    }
}
