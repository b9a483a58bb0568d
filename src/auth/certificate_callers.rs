//! Callers who are known by the certificate that their connection was opened with: which of its names is theirs, and what
//! the config gives to whom. To the rules they are users of an issuer of their own, [`CERTIFICATE`]: whatever stands in a
//! certificate, it names nobody whom the gateway knows otherwise.

use std::{fmt, sync::Arc};

use super::{Certificate, Means, NameKind, Principal, Refused};

/// The issuer that they are of, as rules name it: `user:certificate/ID`, `issuer:certificate`.
pub const CERTIFICATE: &str = "certificate";

/// Who is known by a certificate, and what they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateCallers {
    /// Which name is the caller's: the first of these kinds that the certificate has.
    pub identity: Vec<NameKind>,
    /// The first that fits a name says what its bearer has; none, where none fits.
    pub grants: Vec<CertificateGrant>,
}

/// What the bearers of some names have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateGrant {
    pub pattern: NamePattern,
    pub roles: Vec<Arc<str>>,
    pub permissions: Vec<Arc<str>>,
    pub scopes: Vec<Arc<str>>,
    pub tier: Option<Arc<str>>,
}

/// A name, or with `*` at its end or at its beginning all that begin or end so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    text: Arc<str>,
    star: Star,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Star {
    None,
    First,
    Last,
}

impl Default for CertificateCallers {
    fn default() -> Self {
        Self { identity: NameKind::ALL.to_vec(), grants: Vec::new() }
    }
}

impl NamePattern {
    /// # Errors
    /// It is empty, or has a `*` somewhere else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (star, bare) = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (_, Some(start)) => (Star::Last, start),
            (Some(end), None) => (Star::First, end),
            (None, None) => (Star::None, text),
        };
        if bare.contains('*') || text.is_empty() {
            return Err(format!(
                "{text:?} is no name of a certificate: it is one, or has one * at its beginning or its end"
            ));
        }
        Ok(Self { text: bare.into(), star })
    }

    /// True for the name, to the letter.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        match self.star {
            Star::None => name == &*self.text,
            Star::First => name.ends_with(&*self.text),
            Star::Last => name.starts_with(&*self.text),
        }
    }

    /// True where it fits every name.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.text.is_empty()
    }

    /// True where it fits every name that the other fits.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.is_everything()
            || ((self.star == other.star || other.star == Star::None) && self.fits(&other.text))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.star {
            Star::None => f.write_str(&self.text),
            Star::First => write!(f, "*{}", self.text),
            Star::Last => write!(f, "{}*", self.text),
        }
    }
}

impl CertificateCallers {
    /// The caller that a certificate is of.
    ///
    /// # Errors
    /// It is good no longer, though its connection is still open, or has no name of the kinds that are asked for.
    pub fn caller(&self, certificate: &Certificate, now: u64) -> Result<Principal, Refused> {
        if now > certificate.not_after {
            return Err(Refused::Certificate("has expired"));
        }
        let id = self.identity.iter().find_map(|kind| certificate.name(*kind));
        let id = id.ok_or(Refused::Certificate("has no name by which callers are known here"))?;
        let mut caller = Principal::new(Arc::clone(id), Means::Certificate);
        caller.email = certificate.emails.first().cloned();
        caller.issued = Some(certificate.not_before);
        caller.expires = Some(certificate.not_after);
        if let Some(grant) = self.grants.iter().find(|grant| grant.pattern.fits(id)) {
            caller.roles.clone_from(&grant.roles);
            caller.permissions.clone_from(&grant.permissions);
            caller.scopes.clone_from(&grant.scopes);
            caller.tier.clone_from(&grant.tier);
        }
        Ok(caller.told())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Certificate {
        let one = |name: &str| vec![Arc::from(name)];
        Certificate {
            digest: [0; 32],
            uris: one("spiffe://shop/orders"),
            dns: one("orders.internal"),
            emails: one("orders@shop.example"),
            common_name: Some("orders".into()),
            not_before: 10,
            not_after: 20,
        }
    }

    fn grant(pattern: &str, role: &str) -> CertificateGrant {
        CertificateGrant {
            pattern: NamePattern::parse(pattern).unwrap(),
            roles: vec![role.into()],
            permissions: Vec::new(),
            scopes: Vec::new(),
            tier: Some("elite".into()),
        }
    }

    #[test]
    fn the_first_name_of_the_kinds_asked_for_is_the_callers() {
        let check = |kinds: &[NameKind], want: &str| {
            let callers = CertificateCallers { identity: kinds.to_vec(), grants: Vec::new() };
            let caller = callers.caller(&certificate(), 15).unwrap();
            assert_eq!((&*caller.id, caller.means), (want, Means::Certificate));
            assert_eq!(caller.email.as_deref(), Some("orders@shop.example"));
        };
        check(&NameKind::ALL, "spiffe://shop/orders");
        check(&[NameKind::Dns, NameKind::Uri], "orders.internal");
        check(&[NameKind::CommonName], "orders");
        let nameless = Certificate { uris: Vec::new(), ..certificate() };
        let by_uri = CertificateCallers { identity: vec![NameKind::Uri], grants: Vec::new() };
        let refused = by_uri.caller(&nameless, 15).unwrap_err();
        assert!(refused.to_string().contains("has no name by which callers are known"), "{refused}");
    }

    #[test]
    fn the_first_grant_that_fits_holds() {
        let grants = vec![grant("spiffe://shop/orders", "orders"), grant("spiffe://shop/*", "shop")];
        let callers = CertificateCallers { grants, ..CertificateCallers::default() };
        let check = |name: &str, want: &[&str]| {
            let certificate = Certificate { uris: vec![name.into()], ..certificate() };
            let caller = callers.caller(&certificate, 20).unwrap();
            assert_eq!(caller.roles.iter().map(|role| &**role).collect::<Vec<_>>(), want, "{name}");
            assert_eq!(caller.tier.is_some(), !want.is_empty());
        };
        check("spiffe://shop/orders", &["orders"]);
        check("spiffe://shop/orders2", &["shop"]);
        check("spiffe://shop", &[]);
        check("SPIFFE://shop/orders", &[]);
    }

    #[test]
    fn an_expired_certificate_is_of_nobody() {
        let callers = CertificateCallers::default();
        assert!(callers.caller(&certificate(), 20).is_ok());
        let refused = callers.caller(&certificate(), 21).unwrap_err();
        assert_eq!(refused.to_string(), "the client certificate has expired");
    }

    #[test]
    fn a_pattern_has_one_star_at_an_end() {
        for bad in ["", "a*b", "*a*", "**"] {
            assert!(NamePattern::parse(bad).is_err(), "{bad}");
        }
        let ends = NamePattern::parse("*.internal").unwrap();
        assert!(ends.fits("orders.internal") && !ends.fits("orders.internal.evil"));
        assert!(NamePattern::parse("*").unwrap().is_everything());
        assert_eq!(ends.to_string(), "*.internal");
        let covers = |one: &str, other: &str| {
            NamePattern::parse(one).unwrap().covers(&NamePattern::parse(other).unwrap())
        };
        assert!(covers("*", "a*") && covers("a*", "ab") && covers("a*", "ab*") && covers("*b", "*ab"));
        assert!(!covers("ab", "ab*") && !covers("*b", "ab*") && !covers("ab*", "a*"));
    }
}
