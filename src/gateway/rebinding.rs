//! Pages that ask under a name which is not this machine's. Whoever owns a name can let it resolve to 127.0.0.1: then a page
//! of theirs, in a browser on this machine, is of the gateway's own origin and reads what is for this machine alone. Its name
//! is what it cannot hide. The same holds of the operator's listener, wherever that is.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Uri, header, uri::Authority};

use crate::{call::Peer, surface::Request};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Notes it in the request's [`Peer`]. Who calls neither from this machine nor by the operator's listener has nothing to win
/// by it, and is not looked at.
pub(super) fn note(request: &mut Request) {
    let here = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.operator || peer.address.ip().to_canonical().is_loopback());
    if !here || !by_browser(request.headers()) || is_here(request.uri(), request.headers()) {
        return;
    }
    if let Some(peer) = request.extensions_mut().get_mut::<Peer>() {
        peer.foreign_name = true;
    }
}

/// Browsers leave out most of these now and then: the site where the connection is in clear, the origin with GET. Languages
/// they always send.
fn by_browser(headers: &HeaderMap) -> bool {
    let names = [header::ORIGIN, FETCH_SITE, header::REFERER, header::ACCEPT_LANGUAGE];
    names.iter().any(|name| headers.contains_key(name))
}

/// True for a request under `localhost` or an address: no address can be made to lead elsewhere.
fn is_here(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = || headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let Some(authority) = uri.authority().cloned().or_else(host) else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::call::Body;

    #[test]
    fn a_page_is_of_this_machine_under_its_names_alone() {
        let check = |address: &str, host: &str, name: &'static str, want: bool| {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(Peer::at(address.parse().unwrap()));
            request.headers_mut().insert(header::HOST, host.parse().unwrap());
            request.headers_mut().insert(name, HeaderValue::from_static("x"));
            note(&mut request);
            assert_eq!(request.extensions().get::<Peer>().unwrap().foreign_name, want, "{host} {name}");
        };
        let local = "127.0.0.1:1";
        for header in ["origin", "sec-fetch-site", "referer", "accept-language"] {
            check(local, "evil.example:8080", header, true);
            check("[::ffff:127.0.0.1]:1", "evil.example", header, true);
        }
        check(local, "evil.example", "user-agent", false);
        check("203.0.113.7:1", "evil.example", "origin", false);
        for here in
            ["localhost", "LOCALHOST:8080", "app.localhost", "127.0.0.1:8080", "[::1]:8080", "192.0.2.1"]
        {
            check(local, here, "origin", false);
        }
        for elsewhere in ["localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", "a b"] {
            check(local, elsewhere, "origin", true);
        }
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "http://evil.example/x".parse().unwrap();
        assert!(!is_here(request.uri(), request.headers()));
    }
}
