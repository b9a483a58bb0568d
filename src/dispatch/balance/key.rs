//! What of a call decides where it goes, where that is always the same endpoint.

use std::net::IpAddr;

use http::{HeaderMap, header::COOKIE};

use super::{ring::hash, rules::HashBy};

/// A call's key; `None` where it has none.
pub(super) fn of(by: &HashBy, headers: &HeaderMap, path: &str, client: Option<IpAddr>) -> Option<u64> {
    Some(match by {
        HashBy::Header(name) => hash(headers.get(name)?.as_bytes()),
        HashBy::Cookie(name) => hash(cookie(headers, name)?.as_bytes()),
        HashBy::Client => match client?.to_canonical() {
            IpAddr::V4(address) => hash(&address.octets()),
            IpAddr::V6(address) => hash(&address.octets()),
        },
        HashBy::Path => hash(path.split('?').next().unwrap_or_default().as_bytes()),
    })
}

/// A cookie's value (RFC 6265, 4.2).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_was_named() {
        let mut headers = HeaderMap::new();
        headers.append("x-user-id", "7".parse().unwrap());
        headers.append("cookie", "a=1; session=abc".parse().unwrap());
        headers.append("cookie", "b=2".parse().unwrap());
        let of = |by: &HashBy| of(by, &headers, "/a/b?c", Some([192, 0, 2, 1].into()));
        let cookie = |name: &str| of(&HashBy::Cookie(name.to_owned()));
        assert_eq!(of(&HashBy::Header("x-user-id".parse().unwrap())), Some(hash(b"7")));
        assert_eq!(of(&HashBy::Header("x-other".parse().unwrap())), None);
        assert_eq!(
            (cookie("session"), cookie("b"), cookie("c")),
            (Some(hash(b"abc")), Some(hash(b"2")), None)
        );
        assert_eq!(of(&HashBy::Client), Some(hash(&[192, 0, 2, 1])));
        assert_eq!(of(&HashBy::Path), Some(hash(b"/a/b")));
    }
}
