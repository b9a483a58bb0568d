//! Where Galaxy's API is, and which of the addresses that it gives are its own: what an answer says is followed no further than
//! the server that has said it.

use std::fmt;

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// The beginning of every address, such as `https://galaxy.ansible.com/api/v3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
}

impl Base {
    /// # Errors
    /// It is no address of an HTTP server.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is not where Galaxy's API can be: {why}");
        let uri: Uri = text.parse().map_err(|_| wrong("it is https://HOST/PATH"))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let (Some(scheme), Some(authority)) = (scheme, parts.authority) else {
            return Err(wrong("it is https://HOST/PATH"));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user's name in it"));
        }
        let path = parts.path_and_query.map(|path| path.to_string()).unwrap_or_default();
        if path.contains('?') {
            return Err(wrong("it has a query"));
        }
        Ok(Self { scheme, authority, path: path.trim_end_matches('/').to_owned() })
    }

    /// An address below it; `path` begins with a slash.
    ///
    /// # Errors
    /// Something in it is no part of an address.
    pub(super) fn below(&self, path: &str) -> Result<Uri, String> {
        self.whole(&format!("{}{path}", self.path))
    }

    /// An address that an answer has given: whole, or a path. It is of the same host, and not in clear where this is not.
    ///
    /// # Errors
    /// It leads elsewhere.
    pub(super) fn linked(&self, link: &str) -> Result<Uri, String> {
        if link.starts_with('/') && !link.starts_with("//") {
            return self.whole(link);
        }
        let elsewhere = || format!("it leads to {:.200}, which is elsewhere", link);
        let uri: Uri = link.parse().map_err(|_| elsewhere())?;
        let scheme = uri.scheme() == Some(&Scheme::HTTPS) || uri.scheme() == Some(&self.scheme);
        let same = uri.host().is_some_and(|host| host.eq_ignore_ascii_case(self.authority.host()));
        // Another port of the same host is another server, but for the one that speaks TLS.
        let port = uri.port_u16() == self.authority.port_u16() || uri.port_u16().is_none();
        if scheme && same && port { Ok(uri) } else { Err(elsewhere()) }
    }

    fn whole(&self, path: &str) -> Result<Uri, String> {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        uri.path_and_query(path).build().map_err(|error| error.to_string())
    }
}

impl Default for Base {
    /// Galaxy's own.
    fn default() -> Self {
        let authority = Authority::from_static("galaxy.ansible.com");
        Self { scheme: Scheme::HTTPS, authority, path: "/api/v3".to_owned() }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere_else() {
        let base = Base::parse("https://galaxy.example/api/v3/").unwrap();
        assert_eq!(base.to_string(), "https://galaxy.example/api/v3");
        assert_eq!(base.below("/namespaces/").unwrap(), "https://galaxy.example/api/v3/namespaces/");
        let check = |link: &str, want: Option<&str>| {
            assert_eq!(base.linked(link).ok().map(|uri| uri.to_string()).as_deref(), want, "{link}");
        };
        check("/x?offset=1", Some("https://galaxy.example/x?offset=1"));
        check("https://GALAXY.example/y", Some("https://GALAXY.example/y"));
        check("http://galaxy.example/y", None);
        check("https://galaxy.example:8443/y", None);
        check("https://169.254.169.254/latest", None);
        check("//evil.example/x", None);
        check("file:///etc/passwd", None);
        let local = Base::parse("http://127.0.0.1:9/api/v3").unwrap();
        assert!(local.linked("http://127.0.0.1:10/x").is_err());
        assert!(local.linked("http://127.0.0.1:9/x").is_ok());
        for bad in ["", "galaxy", "ftp://x/y", "https://u:p@x/", "https://x/?a"] {
            assert!(Base::parse(bad).is_err(), "{bad}");
        }
    }
}
