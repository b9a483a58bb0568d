//! What a request's head may not leave open, whatever surface it is for: which host it is for, and where its body ends. Who
//! stands before or behind this gateway may read another of two. (Two different lengths, a length that is no number, and an
//! unknown last coding are refused by hyper; a length beside `chunked` it takes no notice of, and ends the connection.)

use std::net::Ipv6Addr;

use http::{HeaderMap, Version, header};
use tonic::Status;

use crate::{
    route::without_port,
    status::{Fault, shown},
    surface::Request,
};

/// Refuses a head that could be read in two ways.
///
/// # Errors
/// INVALID_ARGUMENT naming what.
pub(super) fn check(request: &Request) -> Result<(), Status> {
    let headers = request.headers();
    known_scheme(request)
        .and_then(|()| one_host(request))
        .and_then(|()| one_coding(headers))
        .map_err(|why| Fault::client().on(Status::invalid_argument(why)))
}

/// The address of a request may name a scheme (RFC 9112, 3.2.2; RFC 9113, 8.3.1): only HTTP is spoken here.
fn known_scheme(request: &Request) -> Result<(), String> {
    match request.uri().scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(other) => Err(format!("{} is no scheme that is served here: http and https are", shown(other))),
    }
}

/// `host [":" port]` (RFC 3986, 3.2.2), the host a name, an IPv4 address or an IPv6 address in brackets; it may be empty.
fn is_host(text: &str) -> bool {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, rest)) = rest.split_once(']') else { return false };
            (address.parse::<Ipv6Addr>().is_ok(), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            (name.bytes().all(plain), rest)
        }
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.is_empty() || digits(port)))
}

/// RFC 9112, 3.2 and RFC 9113, 8.3.1.
fn one_host(request: &Request) -> Result<(), String> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, more) = (hosts.next(), hosts.count());
    let count = usize::from(first.is_some()) + more;
    if count > 1 || (count == 0 && request.version() == Version::HTTP_11) {
        let of = if request.version() == Version::HTTP_11 { " of HTTP/1.1" } else { "" };
        return Err(format!("a request{of} has one Host header; this one has {count}"));
    }
    let authority = request.uri().authority();
    if let Some(authority) = authority
        && !is_host(authority.as_str())
    {
        return Err(format!("{} of its address is no host", shown(authority.as_str())));
    }
    let Some(host) = first else { return Ok(()) };
    let Some(host) = host.to_str().ok().filter(|host| is_host(host)) else {
        return Err("what its Host header says is no host".to_owned());
    };
    let Some(authority) = authority else { return Ok(()) };
    // The port of the scheme may be said or left out.
    let bare = |text: &str| without_port(text).to_ascii_lowercase();
    let port =
        |text: &str| text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(80);
    let same = bare(host) == bare(authority.as_str())
        && (port(host) == port(authority.as_str()) || [port(host), port(authority.as_str())] == [80, 443]);
    match same {
        true => Ok(()),
        false => Err(format!("it is for two hosts: {authority} by its address, {host} by its Host header")),
    }
}

/// RFC 9112, 6.1: `chunked` once, and nothing that would have to be undone before it.
fn one_coding(headers: &HeaderMap) -> Result<(), String> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(first) = codings.next() else { return Ok(()) };
    if codings.next().is_none() && first.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    Err("the only Transfer-Encoding that is taken is chunked, once".to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::call::Body;

    #[test]
    fn a_head_says_one_host_and_one_coding() {
        let check = |version: Version, uri: &str, headers: &[(&str, &str)], want: &str| {
            let mut request = Request::new(Body::empty());
            *request.version_mut() = version;
            *request.uri_mut() = uri.parse().unwrap();
            for (name, value) in headers {
                let name = HeaderName::try_from(*name).unwrap();
                request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
            }
            let got = check(&request).map_or_else(|status| status.message().to_owned(), |()| String::new());
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{uri} {headers:?}: {got}");
        };
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        check(one, "/", &[("host", "a")], "");
        check(one, "/", &[("host", "[::1]:80")], "");
        check(one, "/", &[], "this one has 0");
        check(Version::HTTP_10, "/", &[], "");
        check(Version::HTTP_10, "/", &[("host", "a"), ("host", "a")], "this one has 2");
        check(one, "/", &[("host", "a"), ("host", "a")], "this one has 2");
        for good in ["", "a:", "a:65535", "[2001:db8::1]:8080", "127.0.0.1:1", "a_b.example", "a."] {
            check(one, "/", &[("host", good)], "");
        }
        let bad = [
            "a:x", "a:99999", "a:-1", "a:+1", "a:1:2", "[::1", "::1", "[::1]x", "[a]", "[]", "a[", "a%41",
            "a:1 ",
        ];
        for bad in bad.into_iter().chain(["a,b", "a b", "a/b", "u@a", "a#b"]) {
            check(one, "/", &[("host", bad)], "says is no host");
        }
        check(one, "http://a/x", &[("host", "A")], "");
        check(one, "http://a:80/x", &[("host", "a")], "");
        check(one, "http://a:8080/x", &[("host", "a")], "it is for two hosts");
        check(one, "http://a/x", &[("host", "b")], "it is for two hosts");
        check(two, "http://a/x", &[("host", "b")], "it is for two hosts");
        check(two, "http://a/x", &[("host", "a")], "");
        check(two, "http://a/x", &[], "");
        check(two, "http://u@a/x", &[("host", "a")], "u@a of its address is no host");
        for version in [one, two] {
            check(version, "http://a:99999/x", &[("host", "a")], "of its address is no host");
            check(version, "ftp://a/x", &[("host", "a")], "no scheme that is served here");
            check(version, "HTTPS://a/x", &[("host", "a")], "");
        }
        let te = |value: &'static str| [("host", "a"), ("transfer-encoding", value)];
        check(one, "/", &te("Chunked"), "");
        for bad in ["chunked, chunked", "gzip, chunked", "identity, chunked", "identity"] {
            check(one, "/", &te(bad), "the only Transfer-Encoding");
        }
        let twice = [("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        check(one, "/", &twice, "the only Transfer-Encoding");
    }
}
