//! Hosts that requests ask for: a name, or all names below one.

use std::{fmt, sync::Arc};

/// `api.example.com`, or `*.example.com` for every name below `example.com`. Small letters, no port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// The name, or of a wildcard what names end with, with its dot.
    text: Arc<str>,
    wildcard: bool,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn parse(written: &str) -> Result<Self, String> {
        let lower = written.to_ascii_lowercase();
        let (name, wildcard) = match lower.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') => (rest, true),
            Some(_) => {
                return Err(format!("{written:?}: a wildcard stands for whole labels, as in *.example.com"));
            }
            None => (lower.as_str(), false),
        };
        let bare = name.trim_start_matches('.');
        if bare.contains("://") || bare.contains('/') {
            return Err(format!(
                "{written:?} is an address; a host is its name alone, such as api.example.com"
            ));
        }
        let bracketed = bare.starts_with('[') && bare.ends_with(']');
        if bare.contains(':') && !bracketed {
            return Err(format!("{written:?} has a port; a host is a name alone"));
        }
        let sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.');
        if bare.is_empty() || bare.contains('*') || !(bracketed || bare.chars().all(sign)) {
            return Err(format!("{written:?} is no host, such as api.example.com or *.example.com"));
        }
        Ok(Self { text: name.into(), wildcard })
    }

    /// Whether a host is this one, or below it. `host` has no port; a dot at its end is the same name.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        let text = self.text.as_bytes();
        if self.wildcard {
            let start = host.len().checked_sub(text.len()).filter(|start| *start > 0);
            return start
                .is_some_and(|start| host.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(text)));
        }
        host.eq_ignore_ascii_case(text)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*" } else { "" }, self.text)
    }
}

/// A `Host` or `:authority` without its port.
#[must_use]
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !host.ends_with(':') => {
            host
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_all_below_it() {
        let check = |pattern: &str, host: &str, want: bool| {
            let pattern = HostPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(without_port(host)), want, "{pattern} {host}");
        };
        check("api.example.com", "api.example.com", true);
        check("API.example.com", "api.EXAMPLE.com:8080", true);
        check("api.example.com", "api.example.com.", true);
        check("api.example.com", "www.api.example.com", false);
        check("*.example.com", "a.example.com", true);
        check("*.example.com", "a.b.example.com:443", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", ".example.com", false);
        check("*.example.com", "badexample.com", false);
        check("[::1]", "[::1]:80", true);
        check("[::1]", "[::1]", true);
    }

    #[test]
    fn what_is_no_host_is_told() {
        let check = |written: &str, want: &str| {
            let why = HostPattern::parse(written).unwrap_err();
            assert!(why.contains(want), "{written}: {why}");
        };
        check("https://a.example", "is an address");
        check("a.example:80", "has a port");
        check("*example.com", "whole labels");
        check("a.*.example", "is no host");
        check("*.", "is no host");
        check("", "is no host");
        check("ä.example", "is no host");
    }
}
