//! What a request must be for a route beside its path: its host, and some of its headers. Plain data, and the order in
//! which routes of one path are asked: the most specific first.

use std::{cmp::Ordering, fmt};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Authority};

/// What a route wants beside its path or service. Empty: it takes any request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// One of these; empty: any host, or none.
    pub hosts: Vec<Host>,
    /// All of these, each name once.
    pub headers: Headers,
}

/// A host that a route, or the whole gateway, is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// Exactly this name or address: lower case, without a port.
    Exact(Box<str>),
    /// Every name that ends with a dot and this: `example.com` of `*.example.com`.
    Below(Box<str>),
}

/// The headers that a route wants, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<HeaderMatch>);

/// One header that a route wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    pub name: HeaderName,
    /// One of the request's values of that name is exactly this; `None`: there is one, whatever it is.
    pub value: Option<HeaderValue>,
}

/// What is known of a request when its route is looked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    uri: Option<&'a Uri>,
    headers: Option<&'a HeaderMap>,
    /// It is a preflight: of the request it asks for, only the names of some headers are known.
    preflight: bool,
}

impl<'a> Asked<'a> {
    #[must_use]
    pub fn of(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { uri: Some(uri), headers: Some(headers), preflight: false }
    }

    /// What is known of the request that a CORS preflight asks for: its host, and which headers it will have beside those
    /// that every page may send.
    #[must_use]
    pub fn by_preflight(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { preflight: true, ..Self::of(uri, headers) }
    }

    /// The host that the request is for, without its port: `:authority` of HTTP/2, an absolute target's, or `Host`.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        let said = self.uri.and_then(Uri::authority).map(Authority::as_str);
        let said = said.or_else(|| self.headers?.get(header::HOST)?.to_str().ok())?;
        Some(without_port(said)).filter(|host| !host.is_empty())
    }
}

/// A host without its port, and without the dot that may end a name.
#[must_use]
pub fn without_port(authority: &str) -> &str {
    let host = match authority.rfind(']') {
        Some(end) => authority.get(..=end).unwrap_or(authority),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host.strip_suffix('.').unwrap_or(host)
}

impl Host {
    /// Reads `api.example.com`, `*.example.com`, `192.0.2.7` or `[2001:db8::1]`.
    ///
    /// # Errors
    /// It is no host, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let no = |why: &str| Err(format!("{text:?} is no host: {why}"));
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match address.parse::<std::net::Ipv6Addr>() {
                Ok(_) if name.len() == lower.len() => Ok(Self::Exact(lower.into())),
                _ => no("it is neither a name nor an address"),
            };
        }
        if name.contains(':') || name.contains('/') {
            return no("it is a name alone, whatever the port and scheme");
        }
        if name.contains('*') {
            return no("a * stands for all that is before the first dot, as in *.example.com");
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return no(
                "it is a name of letters, digits, - and dots, such as api.example.com or *.example.com",
            );
        }
        Ok(if name.len() < lower.len() { Self::Below(name.into()) } else { Self::Exact(lower.into()) })
    }

    /// Whether a request's host, without its port, is meant.
    #[must_use]
    pub fn is(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(name) => {
                let end = host.len().checked_sub(name.len()).filter(|end| *end > 1);
                end.and_then(|end| Some((host.get(..end)?, host.get(end..)?)))
                    .is_some_and(|(before, end)| before.ends_with('.') && end.eq_ignore_ascii_case(name))
            }
        }
    }

    /// How much it says; the more goes first: an exact name, then the longer end of one.
    #[must_use]
    pub fn exactness(&self) -> (u8, usize) {
        match self {
            Self::Exact(_) => (1, 0),
            Self::Below(name) => (0, name.len()),
        }
    }
}

impl Headers {
    /// Sorted, so that two routes that want the same are seen to.
    #[must_use]
    pub fn new(mut wanted: Vec<HeaderMatch>) -> Self {
        wanted.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        Self(wanted)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &HeaderMatch> {
        self.0.iter()
    }

    /// Whether a request has them all.
    #[must_use]
    pub fn hold(&self, asked: &Asked<'_>) -> bool {
        self.0.is_empty() || self.0.iter().all(|wanted| wanted.holds(asked))
    }

    /// The order in which routes of one path and method are asked: more headers first, then more that must be one very
    /// value. Of two that are neither, the config's order decides.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let weight = |headers: &Self| {
            (headers.0.len(), headers.0.iter().filter(|wanted| wanted.value.is_some()).count())
        };
        weight(other).cmp(&weight(self))
    }

    /// Why a request does not have them, in words; empty where it has.
    #[must_use]
    pub fn why_not(&self, asked: &Asked<'_>) -> Vec<String> {
        let missing = self.0.iter().filter(|wanted| !wanted.holds(asked));
        missing
            .map(|wanted| match asked.headers.and_then(|headers| headers.get(&wanted.name)) {
                Some(value) => {
                    format!("its header is {wanted}, not {}", String::from_utf8_lossy(value.as_bytes()))
                }
                None => format!("it wants the header {wanted}"),
            })
            .collect()
    }
}

impl HeaderMatch {
    fn holds(&self, asked: &Asked<'_>) -> bool {
        let Some(headers) = asked.headers else { return false };
        if asked.preflight {
            let named = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).into_iter();
            let mut named = named.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
            return named.any(|name| name.trim_ascii().eq_ignore_ascii_case(self.name.as_str().as_bytes()));
        }
        match &self.value {
            None => headers.contains_key(&self.name),
            Some(value) => headers.get_all(&self.name).iter().any(|sent| sent == value),
        }
    }
}

impl Conditions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.headers.is_empty()
    }

    /// Each in words, such as `host *.example.com` and `x-version: 2`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        let hosts = (!hosts.is_empty()).then(|| format!("host {}", hosts.join(" or ")));
        hosts.into_iter().chain(self.headers.iter().map(HeaderMatch::to_string)).collect()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}: {}", self.name, String::from_utf8_lossy(value.as_bytes())),
            None => write!(f, "{}, of any value", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_and_found() {
        let check = |pattern: &str, host: &str, want: bool| {
            assert_eq!(Host::parse(pattern).unwrap().is(host), want, "{pattern} {host}");
        };
        check("api.example.com", "api.example.com", true);
        check("API.example.com", "api.Example.COM", true);
        check("api.example.com", "x.api.example.com", false);
        check("*.example.com", "api.example.com", true);
        check("*.example.com", "a.b.Example.com", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", ".example.com", false);
        check("*.example.com", "badexample.com", false);
        check("*.example.com", "é.example.com", true);
        check("[2001:db8::1]", "[2001:DB8::1]", true);
        check("192.0.2.7", "192.0.2.7", true);
        for bad in ["", "*", "a..b", "a.*", "*.*.com", "http://a", "a:80", "a b", "[::g]", "*.[::1]", "a/b"] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_host_of_a_request_has_no_port() {
        let check = |authority: &str, want: &str| assert_eq!(without_port(authority), want);
        check("a.example:8080", "a.example");
        check("a.example", "a.example");
        check("a.example.", "a.example");
        check("[::1]:80", "[::1]");
        check("[::1]", "[::1]");
        check("", "");
        let (uri, headers) = (
            "http://one.example:1/x".parse().unwrap(),
            HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("two"))]),
        );
        assert_eq!(Asked::of(&uri, &headers).host(), Some("one.example"));
        let uri = Uri::from_static("/x");
        assert_eq!(Asked::of(&uri, &headers).host(), Some("two"));
        assert_eq!(Asked::default().host(), None);
    }

    fn wanted(list: &[(&'static str, &'static str)]) -> Headers {
        let one = |(name, value): &(&'static str, &'static str)| HeaderMatch {
            name: HeaderName::from_static(name),
            value: (*value != "*").then(|| HeaderValue::from_static(value)),
        };
        Headers::new(list.iter().map(one).collect())
    }

    #[test]
    fn headers_hold_one_by_one() {
        let uri = Uri::from_static("/");
        let mut sent = HeaderMap::new();
        for (name, value) in [("x-version", "1"), ("x-version", "2"), ("x-team", "")] {
            sent.append(name, HeaderValue::from_static(value));
        }
        let asked = Asked::of(&uri, &sent);
        let check = |list: &[(&'static str, &'static str)], want: bool| {
            assert_eq!(wanted(list).hold(&asked), want, "{list:?}");
            assert_eq!(wanted(list).why_not(&asked).is_empty(), want, "{list:?}");
        };
        check(&[], true);
        check(&[("x-version", "2")], true);
        check(&[("x-version", "3")], false);
        check(&[("x-version", "*"), ("x-team", "*")], true);
        check(&[("x-team", "a")], false);
        check(&[("x-none", "*")], false);
        assert!(!wanted(&[("x-none", "*")]).hold(&Asked::default()));
        let asks = HeaderMap::from_iter([(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::from_static("content-type, X-Version"),
        )]);
        let preflight = Asked::by_preflight(&uri, &asks);
        assert!(wanted(&[("x-version", "2")]).hold(&preflight));
        assert!(!wanted(&[("x-version", "2"), ("x-team", "*")]).hold(&preflight));
    }

    #[test]
    fn more_headers_go_first_then_more_values() {
        let (two, exact, any) =
            (wanted(&[("a", "*"), ("b", "*")]), wanted(&[("a", "1")]), wanted(&[("a", "*")]));
        assert_eq!(two.order(&exact), Ordering::Less);
        assert_eq!(exact.order(&any), Ordering::Less);
        assert_eq!(any.order(&Headers::default()), Ordering::Less);
        assert_eq!(any.order(&wanted(&[("c", "*")])), Ordering::Equal);
        assert_eq!(wanted(&[("b", "2"), ("a", "1")]), wanted(&[("a", "1"), ("b", "2")]));
    }
}
