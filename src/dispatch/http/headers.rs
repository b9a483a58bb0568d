//! What an HTTP upstream is told of a request beside what its client says: where it comes from, for which host, and by whom
//! (RFC 7239; RFC 9110, 7.6.3). What the client says of these itself is gone, in every spelling.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri, Version,
    header::{CONNECTION, COOKIE, FORWARDED, HOST, TE, VIA},
};

use crate::dispatch::request::{FORWARDED_HOST, say_where_from};

/// A request as it came.
pub(super) struct Came<'a> {
    pub(super) uri: &'a Uri,
    pub(super) version: Version,
    /// Whom it is from, as was believed.
    pub(super) client: IpAddr,
    /// It came over TLS.
    pub(super) secure: bool,
}

/// Says where a request comes from; answers which host its client asked for.
pub(super) fn say(headers: &mut HeaderMap, came: &Came<'_>) -> Option<HeaderValue> {
    let host = match came.uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    };
    let gone: Vec<HeaderName> = headers.keys().filter(|name| misleads(name.as_str())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    say_where_from(headers, came.client, came.secure);
    one_cookie(headers);
    if let Some(host) = &host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
    headers.extend(forwarded(came, host.as_ref()).map(|said| (FORWARDED, said)));
    headers.append(
        VIA,
        HeaderValue::from_static(match came.version {
            Version::HTTP_2 => "2 propylon",
            Version::HTTP_10 => "1.0 propylon",
            _ => "1.1 propylon",
        }),
    );
    if headers.contains_key(TE) {
        // RFC 9110, 10.1.4: it is of this hop.
        headers.append(CONNECTION, HeaderValue::from_static("te"));
    }
    host
}

/// RFC 9113, 8.2.3: HTTP/2 may part cookies into fields of their own; elsewhere they are one.
fn one_cookie(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// True for a name by which a front server speaks of a request, or by which some frameworks take another path than the
/// request's own: a route's rules would be held against one and the upstream act on another.
fn misleads(name: &str) -> bool {
    const BEGIN: [&str; 2] = ["x-forwarded-", "x-original-"];
    const WHOLE: [&str; 3] = ["forwarded", "x-real-ip", "x-rewrite-url"];
    let spelled = name.replace('_', "-");
    BEGIN.iter().any(|begin| spelled.starts_with(begin)) || WHOLE.contains(&spelled.as_str())
}

fn forwarded(came: &Came<'_>, host: Option<&HeaderValue>) -> Option<HeaderValue> {
    let client = match came.client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\']));
    let host = host.map(|host| format!(";host=\"{host}\"")).unwrap_or_default();
    let proto = if came.secure { "https" } else { "http" };
    HeaderValue::try_from(format!("for={client}{host};proto={proto}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_that_came_apart_are_one() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2; c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(cookie));
        }
        one_cookie(&mut headers);
        let all: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(all, ["a=1; b=2; c=3"]);
    }

    #[test]
    fn an_upstream_is_told_by_the_gateway_alone() {
        let mut headers = HeaderMap::new();
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-original-url",
            "x-rewrite-url",
            "x_rewrite_url",
            "x-real-ip",
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("lie"));
        }
        for (name, value) in
            [("via", "1.0 other"), ("host", "a.example:8080"), ("te", "trailers"), ("x-a", "1")]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let uri = Uri::from_static("/x");
        let came = Came {
            uri: &uri,
            version: Version::HTTP_11,
            client: "2001:db8::7".parse().unwrap(),
            secure: true,
        };
        assert_eq!(say(&mut headers, &came).unwrap(), "a.example:8080");
        let mut told: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        told.sort();
        let want = [
            "connection: te",
            "forwarded: for=\"[2001:db8::7]\";host=\"a.example:8080\";proto=https",
            "host: a.example:8080",
            "te: trailers",
            "via: 1.0 other",
            "via: 1.1 propylon",
            "x-a: 1",
            "x-forwarded-for: 2001:db8::7",
            "x-forwarded-host: a.example:8080",
            "x-forwarded-proto: https",
        ];
        assert_eq!(told, want);
    }
}
