//! Patterns of gRPC methods, as lists of tools are written.

use std::fmt;

/// A pattern of `package.Service/Method`, in which `*` is any text; a service alone is all its methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
        if text.is_empty()
            || !text.bytes().all(fits)
            || text.matches('/').count() > 1
            || text.starts_with('/')
        {
            return Err(format!(
                "{text:?} is no pattern of methods: package.Service/Method, in which * is any text"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Every method of every upstream.
    #[must_use]
    pub fn all() -> Self {
        Self("*".to_owned())
    }

    /// True for one of a single method.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.0.contains('/') && !self.0.contains('*')
    }

    /// Whether a method, `package.Service/Method`, is meant. `own`: it is one of the gateway's own, which are named.
    #[must_use]
    pub fn matches(&self, method: &str, own: bool) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        if own && first.is_empty() {
            return false;
        }
        if !self.0.contains('*') {
            let service = method.split('/').next().unwrap_or(method);
            return self.0 == method || self.0 == service;
        }
        let Some(mut rest) = method.strip_prefix(first) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
        for part in between {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |glob: &str, method: &str, want: bool| {
            assert_eq!(Glob::parse(glob).unwrap().matches(method, false), want, "{glob} {method}");
        };
        check("a.B/C", "a.B/C", true);
        check("a.B/C", "a.B/Cc", false);
        check("a.B", "a.B/C", true);
        check("a.B", "a.Bb/C", false);
        check("*", "a.B/C", true);
        check("a.*", "a.B/C", true);
        check("a.*", "a.b.B/C", true);
        check("a.*", "ab.B/C", false);
        check("*/Get*", "a.B/GetC", true);
        check("*/Get*", "a.B/ForGetC", false);
        check("a.*/*Book", "a.B/GetBook", true);
        check("a.*/*Book", "a.B/GetBooks", false);
        check("a*a", "a", false);
        for bad in ["", "/a.B/C", "a.B/C/D", "a b", "a.B\\C"] {
            assert!(Glob::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_gateway_s_own_methods_are_named() {
        let own =
            |glob: &str| Glob::parse(glob).unwrap().matches("propylon.gateway.v1.HealthService/Check", true);
        assert!(!own("*") && !own("*/Check"));
        assert!(own("propylon.*") && own("propylon.gateway.v1.HealthService"));
    }
}
