//! The caller, once it is known, and what upstreams are told of it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS};

use super::{Audience, CERTIFICATE, OWN};

const USER_ID: HeaderName = HeaderName::from_static("x-user-id");
const USER_EMAIL: HeaderName = HeaderName::from_static("x-user-email");
const USER_ROLE: HeaderName = HeaderName::from_static("x-user-role");
const USER_PERMISSIONS: HeaderName = HeaderName::from_static("x-user-permissions");

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user's id; never empty.
    pub id: Arc<str>,
    pub email: Option<Arc<str>>,
    pub roles: Vec<Arc<str>>,
    pub permissions: Vec<Arc<str>>,
    pub scopes: Vec<Arc<str>>,
    /// The tier that limits how often it may call; the default tier where there is none.
    pub tier: Option<Arc<str>>,
    /// A limit of its own per window, in place of its tier's.
    pub limit: Option<u32>,
    pub means: Means,
    /// Whom its credential is for.
    pub audience: Audience,
    /// The client program that it has let act for it, by the id that the authorization server gave to that.
    pub client: Option<Arc<str>>,
    /// The token's `jti`, by which it can be revoked.
    pub token_id: Option<Arc<str>>,
    /// The token's `sid`: the login that it came of, which can be ended whole.
    pub session: Option<Arc<str>>,
    /// When the credential was issued, in seconds since 1970.
    pub issued: Option<u64>,
    /// When it expires, in seconds since 1970.
    pub expires: Option<u64>,
    /// Made once, by [`Principal::told`], because a cached caller calls often.
    pub identity: Identity,
}

/// How a caller was authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// A token that the gateway itself has signed, for an account here.
    Own,
    /// A token of somebody else's: the issuer with this name in the config.
    Token { issuer: Arc<str> },
    /// An API key, by its id.
    ApiKey { id: Arc<str> },
    /// A token written in the config, by its name there.
    Static { name: Arc<str> },
    /// The certificate that its connection was opened with.
    Certificate,
}

/// What a caller is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedBy<'a> {
    pub kind: &'static str,
    /// The issuer whose user it is: two issuers' users may have the same id.
    pub realm: &'a str,
    pub id: &'a str,
}

/// What upstreams are told of a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity(Vec<(HeaderName, HeaderValue)>);

impl Principal {
    /// A caller of whom nothing but its id is known.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>, means: Means) -> Self {
        Self {
            id: id.into(),
            email: None,
            roles: Vec::new(),
            permissions: Vec::new(),
            scopes: Vec::new(),
            tier: None,
            limit: None,
            means,
            audience: Audience::default(),
            client: None,
            token_id: None,
            session: None,
            issued: None,
            expires: None,
            identity: Identity::default(),
        }
    }

    /// Makes the words for upstreams, once everything of the caller is known.
    #[must_use]
    pub fn told(mut self) -> Self {
        let mut words = vec![(USER_ID, text(&self.id))];
        words.extend(self.email.as_ref().map(|email| (USER_EMAIL, text(email))));
        words.extend(
            [(USER_ROLE, &self.roles), (USER_PERMISSIONS, &self.permissions)].into_iter().filter_map(
                |(name, list)| {
                    let all: Vec<String> = list.iter().map(|item| encoded(item)).collect();
                    (!all.is_empty()).then(|| (name, value(&all.join(","))))
                },
            ),
        );
        self.identity = Identity(words);
        self
    }

    /// Says who calls in the metadata that an upstream gets. The client's own such names were removed when its request
    /// was opened.
    pub fn tell(&self, metadata: &mut HeaderMap) {
        for (name, value) in &self.identity.0 {
            metadata.insert(name, value.clone());
        }
    }

    /// What its calls are counted by: its key, or itself.
    #[must_use]
    pub fn counted_by(&self) -> CountedBy<'_> {
        match &self.means {
            Means::ApiKey { id } => CountedBy { kind: "key", realm: "", id },
            Means::Own => CountedBy { kind: "user", realm: OWN, id: &self.id },
            Means::Token { issuer } => CountedBy { kind: "user", realm: issuer, id: &self.id },
            Means::Static { .. } => CountedBy { kind: "user", realm: "", id: &self.id },
            Means::Certificate => CountedBy { kind: "user", realm: CERTIFICATE, id: &self.id },
        }
    }

    /// The issuer in whose words it is who it says; `None` where the gateway itself knows it, by an account or the config.
    #[must_use]
    pub fn foreign(&self) -> Option<&str> {
        match &self.means {
            Means::Token { issuer } => Some(issuer),
            Means::Certificate => Some(CERTIFICATE),
            Means::Own | Means::ApiKey { .. } | Means::Static { .. } => None,
        }
    }

    /// True where it has this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| **own == *role)
    }
}

/// What a header's value cannot hold, or a list would be broken by.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b',');

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, ESCAPED).to_string()
}

fn text(text: &str) -> HeaderValue {
    value(&encoded(text))
}

fn value(encoded: &str) -> HeaderValue {
    // What is left after encoding is visible ASCII and spaces.
    HeaderValue::from_str(encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_told_without_a_way_to_break_out() {
        let principal = Principal {
            email: Some("ä@b.example\r\nx-user-role: admin".into()),
            roles: vec!["a,b".into(), "c".into()],
            permissions: vec!["books:read".into(), "books:write".into()],
            ..Principal::new("u 1", Means::Static { name: "t".into() })
        }
        .told();
        let mut metadata = HeaderMap::new();
        principal.tell(&mut metadata);
        assert_eq!(metadata["x-user-id"], "u 1");
        assert_eq!(metadata["x-user-email"], "%C3%A4@b.example%0D%0Ax-user-role: admin");
        assert_eq!(metadata["x-user-role"], "a%2Cb,c");
        assert_eq!(metadata["x-user-permissions"], "books:read,books:write");
    }
}
