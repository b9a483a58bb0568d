//! Routes to HTTP upstreams, and as what a path goes on to them.

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
    /// `%2F` in a path goes on; else it is refused.
    pub escaped_slashes: bool,
}

impl Proxy {
    /// The path and query that a request goes on with, each segment as it was sent.
    ///
    /// # Errors
    /// Together they are none.
    pub fn path_of(&self, uri: &Uri) -> Result<PathAndQuery, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(strip: usize, prefix: &str) -> Proxy {
        Proxy { upstream: "u".into(), strip, prefix: prefix.into(), keep_host: false, escaped_slashes: true }
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
}
