//! Resources in OAuth's sense: what a token is made for (RFC 8707). A token that names one is good there and nowhere else,
//! and a resource takes no other token: what a client got for one server is of no use at the next.

use std::sync::Arc;

use http::{HeaderMap, Uri, header, uri::Authority};

use super::{Principal, Refused};

/// Whom a credential is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Whatever is called here, but for the resources that want a token of their own.
    pub general: bool,
    /// The addresses of resources.
    pub resources: Vec<Arc<str>>,
}

impl Default for Audience {
    /// The gateway, as of every credential that names no resource.
    fn default() -> Self {
        Self { general: true, resources: Vec::new() }
    }
}

impl Audience {
    /// One resource alone.
    #[must_use]
    pub fn resource(address: &str) -> Self {
        Self { general: false, resources: vec![address.into()] }
    }
}

/// Where clients find the gateway: as its config says, or as each of them has asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin(pub Option<Arc<str>>);

impl Origin {
    /// `https://host:port` of a request, without a slash at its end; `None` for one that names no host. `secure`: it came by
    /// TLS.
    #[must_use]
    pub fn of(&self, uri: &Uri, headers: &HeaderMap, secure: bool) -> Option<String> {
        if let Some(said) = &self.0 {
            return Some(said.to_string());
        }
        let authority = match uri.authority() {
            Some(authority) => authority.clone(),
            None => headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok()?,
        };
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let scheme = if secure { "https" } else { "http" };
        Some(format!("{scheme}://{}", authority.as_str().to_ascii_lowercase()))
    }
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub origin: Origin,
    /// It begins with a slash.
    pub path: Arc<str>,
}

impl Resource {
    /// Its address, as a token's `aud` has it, for one who has asked so.
    #[must_use]
    pub fn address(&self, uri: &Uri, headers: &HeaderMap, secure: bool) -> Option<String> {
        self.origin.of(uri, headers, secure).map(|origin| format!("{origin}{}", self.path))
    }
}

/// Whether a caller's credential is for what it calls: the resource at this address, or what is none.
///
/// # Errors
/// It is for somebody else.
pub fn meant(caller: &Principal, resource: Option<&str>) -> Result<(), Refused> {
    let audience = &caller.audience;
    let meant = match resource {
        None => audience.general,
        Some(address) => audience.resources.iter().any(|named| **named == *address),
    };
    if meant { Ok(()) } else { Err(Refused::Audience) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Means;

    #[test]
    fn an_origin_is_as_it_was_asked_for_or_as_the_config_says() {
        let of = |origin: Origin, uri: &str, host: Option<&str>, secure: bool| {
            let headers = host.map(|host| (header::HOST, host.parse().unwrap())).into_iter().collect();
            origin.of(&uri.parse().unwrap(), &headers, secure)
        };
        let asked = |uri, host, secure| of(Origin::default(), uri, host, secure);
        assert_eq!(asked("/a", Some("A.example:81"), false).as_deref(), Some("http://a.example:81"));
        assert_eq!(asked("/a", Some("[::1]:81"), true).as_deref(), Some("https://[::1]:81"));
        assert_eq!(asked("http://b.example/a", Some("c"), true).as_deref(), Some("https://b.example"));
        for host in [None, Some("u@b.example"), Some("a b"), Some("")] {
            assert_eq!(asked("/a", host, false), None, "{host:?}");
        }
        let said = Origin(Some("https://gw.example".into()));
        assert_eq!(of(said, "/a", Some("other"), false).as_deref(), Some("https://gw.example"));
    }

    #[test]
    fn a_token_is_for_its_resource_and_a_resource_takes_no_other() {
        let one = Principal::new("u", Means::Own);
        let bound = Principal { audience: Audience::resource("https://a/mcp"), ..one.clone() };
        assert!(meant(&one, None).is_ok() && meant(&bound, Some("https://a/mcp")).is_ok());
        for (caller, resource) in [(&one, Some("https://a/mcp")), (&bound, None), (&bound, Some("https://a"))]
        {
            assert_eq!(meant(caller, resource), Err(Refused::Audience), "{resource:?}");
        }
    }
}
