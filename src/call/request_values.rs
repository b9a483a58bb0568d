//! What a request has for the places of a text (`${path.id}`, `${request.method}` …), for routes that answer by themselves
//! and for the texts of failures.

use std::{borrow::Cow, net::SocketAddr};

use http::{HeaderMap, HeaderName, Method, Uri, header::HOST};

use super::Captured;
use crate::route::{Place, Values, header};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One request's values.
#[derive(Debug, Clone, Copy)]
pub struct RequestValues<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub captured: &'a [Captured],
    pub client: SocketAddr,
    /// What a failure would have said.
    pub message: &'a str,
    /// How many calls the limit allows that refused it.
    pub limit: Option<&'a str>,
    /// In how many seconds it lets another one through.
    pub retry_after: Option<u64>,
}

impl Values for RequestValues<'_> {
    fn value(&self, place: &Place) -> Option<String> {
        let of_header = |name| header(self.headers, name).map(str::to_owned);
        match place {
            Place::Captured(name) => {
                self.captured.iter().find(|captured| captured.name == *name).map(|found| found.value.clone())
            }
            Place::Query(name) => query(self.uri.query()?, name),
            Place::Header(name) => of_header(name),
            Place::Method => Some(self.method.to_string()),
            Place::Path => Some(self.uri.path().to_owned()),
            Place::RequestId => of_header(&REQUEST_ID),
            // HTTP/2 has it in the address.
            Place::Host => {
                self.uri.authority().map(|host| host.as_str().to_owned()).or_else(|| of_header(&HOST))
            }
            Place::ClientAddress => Some(self.client.ip().to_canonical().to_string()),
            Place::Version => Some(env!("CARGO_PKG_VERSION").to_owned()),
            Place::Now => Some(format!("{:.3}", jiff::Timestamp::now())),
            Place::Message => Some(self.message.to_owned()),
            Place::LimitCalls => self.limit.map(str::to_owned),
            Place::LimitRetryAfter => self.retry_after.map(|seconds| seconds.to_string()),
        }
    }
}

/// The first parameter of a name, decoded (application/x-www-form-urlencoded); what is no UTF-8 is replaced.
fn query(query: &str, name: &str) -> Option<String> {
    let parameters = query.split('&').map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    parameters
        .map(|(key, value)| (decode(key), value))
        .find(|(key, _)| key == name)
        .map(|(_, value)| decode(value).into_owned())
}

fn decode(text: &str) -> Cow<'_, str> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    match percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy() {
        Cow::Borrowed(_) => spaced,
        Cow::Owned(decoded) => Cow::Owned(decoded),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_place_has_its_value() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-request-id", "r-1"), ("host", "a.example:8080"), ("x-lang", "ä")] {
            headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers.append("x-team", HeaderValue::from_static("one"));
        headers.append("x-team", HeaderValue::from_static("two"));
        let uri: Uri = "/a%20b/c?q=1+2%26&Q=x&q=later&empty&%C3%A4=%ff".parse().unwrap();
        let captured = [Captured { name: "id".into(), value: "a b".into(), multi: false }];
        let values = RequestValues {
            method: &Method::PATCH,
            uri: &uri,
            headers: &headers,
            captured: &captured,
            client: "[::ffff:10.0.0.7]:99".parse().unwrap(),
            message: "no such thing",
            limit: Some("60"),
            retry_after: Some(7),
        };
        let check = |place: Place, want: Option<&str>| {
            assert_eq!(values.value(&place).as_deref(), want, "{place:?}");
        };
        check(Place::Captured("id".into()), Some("a b"));
        check(Place::Captured("other".into()), None);
        check(Place::Query("q".into()), Some("1 2&"));
        check(Place::Query("Q".into()), Some("x"));
        check(Place::Query("empty".into()), Some(""));
        check(Place::Query("ä".into()), Some("\u{fffd}"));
        check(Place::Query("none".into()), None);
        check(Place::Header(HeaderName::from_static("x-team")), Some("one"));
        check(Place::Header(HeaderName::from_static("x-none")), None);
        check(Place::Header(HeaderName::from_static("x-lang")), None);
        check(Place::Method, Some("PATCH"));
        check(Place::Path, Some("/a%20b/c"));
        check(Place::RequestId, Some("r-1"));
        check(Place::Host, Some("a.example:8080"));
        check(Place::ClientAddress, Some("10.0.0.7"));
        check(Place::Version, Some(env!("CARGO_PKG_VERSION")));
        check(Place::Message, Some("no such thing"));
        check(Place::LimitCalls, Some("60"));
        check(Place::LimitRetryAfter, Some("7"));
        let now = values.value(&Place::Now).unwrap();
        assert!(now.len() == 24 && now.ends_with('Z'), "{now}");
        let uri = "http://b.example/x".parse().unwrap();
        assert_eq!(RequestValues { uri: &uri, ..values }.value(&Place::Host).as_deref(), Some("b.example"));
    }
}
