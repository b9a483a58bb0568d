//! Routes to HTTP upstreams: as what a path goes on, and which paths are clear enough to.

use std::sync::Arc;

use http::{Uri, uri::PathAndQuery};

/// A route to an HTTP upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The upstream's name in the config.
    pub upstream: Arc<str>,
    /// How many segments are taken off the path's beginning.
    pub strip: usize,
    /// What stands before the rest of the path then: empty, or a slash and what follows, without one at its end.
    pub prefix: Arc<str>,
    /// The client's own `Host` goes on, in place of the upstream's.
    pub keep_host: bool,
}

impl Proxy {
    /// The path and query that a request goes on with, each segment as it was sent.
    ///
    /// # Errors
    /// Says what of the path two servers could read in two ways.
    pub fn path_of(&self, uri: &Uri) -> Result<PathAndQuery, String> {
        canonical(uri.path())?;
        if self.strip == 0 && self.prefix.is_empty() {
            return Ok(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
        }
        let mut rest = uri.path();
        for _ in 0..self.strip {
            rest = rest.get(1..).and_then(|rest| rest.find('/').and_then(|at| rest.get(at..))).unwrap_or("");
        }
        let mut path = format!("{}{rest}", self.prefix);
        if path.is_empty() {
            path.push('/');
        }
        if let Some(query) = uri.query() {
            path.push('?');
            path += query;
        }
        PathAndQuery::try_from(path).map_err(|error| error.to_string())
    }
}

/// Whether a path says the same to whoever reads it (RFC 3986, 6.2.2; RFC 9110, 4.2.3): what was matched by the rules here
/// must be what the upstream finds.
fn canonical(path: &str) -> Result<(), String> {
    let no = |what: &str| Err(format!("the path has {what}; say where it leads"));
    if !path.starts_with('/') {
        return no("no slash at its beginning");
    }
    if path.contains("//") {
        return no("an empty segment");
    }
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (byte, length) = match byte {
            b'%' => {
                let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
                let hex = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let Some(byte) = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    return no("a % that is no escape");
                };
                (byte, 3)
            }
            byte => (*byte, 1),
        };
        match byte {
            b'\\' => return no("a backslash"),
            0..=0x1f | 0x7f => return no("a control character"),
            _ => decoded.push(byte),
        }
        at += length;
    }
    // Overlong forms of `.` and `/` are no UTF-8.
    if std::str::from_utf8(&decoded).is_err() {
        return no("an escape that is no UTF-8");
    }
    // What a slash's own escape parts may be read as segments, too. `..;x` is `..` to some servers.
    let dots = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        name == b"." || name == b".."
    };
    match decoded.split(|byte| *byte == b'/').any(dots) {
        true => no("a segment of dots"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(strip: usize, prefix: &str) -> Proxy {
        Proxy { upstream: "u".into(), strip, prefix: prefix.into(), keep_host: false }
    }

    #[test]
    fn a_path_goes_on_as_it_came_but_for_its_beginning() {
        let check = |strip: usize, prefix: &str, uri: &str, want: &str| {
            let got = proxy(strip, prefix).path_of(&uri.parse().unwrap());
            assert_eq!(got.unwrap().as_str(), want, "{strip} {prefix} {uri}");
        };
        check(0, "", "/a/b%2Fc/%C3%A4?x=1&x=%20", "/a/b%2Fc/%C3%A4?x=1&x=%20");
        check(0, "", "/", "/");
        check(1, "", "/api/users/7", "/users/7");
        check(2, "", "/api/users/7?q", "/7?q");
        check(2, "", "/api/users", "/");
        check(2, "", "/api/users/", "/");
        check(2, "", "/api/users?q=1", "/?q=1");
        check(1, "/v2", "/api/users/7", "/v2/users/7");
        check(1, "/v2", "/api", "/v2");
        check(0, "/v2", "/api?a", "/v2/api?a");
        check(1, "", "/api%2Fx/users", "/users");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (path, what) in [
            ("/a/../b", "a segment of dots"),
            ("/a/.", "a segment of dots"),
            ("/a/%2e%2E/b", "a segment of dots"),
            ("/a/.%2e/b", "a segment of dots"),
            ("/a/..%2fb", "a segment of dots"),
            ("/a/x%2f..%2fb", "a segment of dots"),
            ("/a/..;x=1/b", "a segment of dots"),
            ("/a//b", "an empty segment"),
            ("//a", "an empty segment"),
            ("/a%5c..%5cb", "a backslash"),
            ("/a%00b", "a control character"),
            ("/a%0d%0ab", "a control character"),
            ("/a%c0%ae%c0%ae/b", "an escape that is no UTF-8"),
            ("/a%ff", "an escape that is no UTF-8"),
            ("/a%zz", "a % that is no escape"),
            ("/a%2", "a % that is no escape"),
        ] {
            let error = canonical(path).unwrap_err();
            assert!(error.contains(what), "{path}: {error}");
        }
        for path in ["/", "/a", "/a/", "/a.b/..c/...", "/a%2Fb", "/%E2%82%AC", "/a;b=c", "/:x@y!$&'()*+,="] {
            assert_eq!(canonical(path), Ok(()), "{path}");
        }
    }
}
