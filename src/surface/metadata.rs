//! Which HTTP headers are a call's metadata, one rule for all surfaces: every header is, except those of the one hop
//! (RFC 9110 section 7.6.1), those of the protocol itself, and the names by which this gateway says who is calling.
//! Nothing is renamed or prefixed: `authorization`, `cookie`, `origin`, `user-agent`, `accept-language` pass as they are.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tonic::Status;

use super::Protocol;
use crate::status::Fault;

/// Takes a request's headers as its metadata. Names are removed in place; nothing is copied, and nothing allocated
/// unless a name is removed that no well-behaved client sends.
///
/// Beside it INVALID_ARGUMENT for a `-bin` value that is not base64: policies read the metadata of such a call too.
pub fn of_request(mut headers: HeaderMap, protocol: Protocol) -> (HeaderMap, Result<(), Status>) {
    let mut clean = Ok(());
    let mut removed = 0_u32;
    let mut rare = Vec::new();
    for name in headers.keys() {
        match rule(name, protocol) {
            Rule::Keep if name.as_str().ends_with("-bin") => {
                clean = clean.and_then(|()| binary(&headers, name));
            }
            Rule::Keep => {}
            Rule::Remove(place) => removed |= 1 << place,
            Rule::RemoveRare => rare.push(name.clone()),
        }
    }
    if headers.contains_key(header::CONNECTION) {
        rare.extend(named_by_connection(&headers));
    }
    remove(&mut headers, removed, &rare);
    (headers, clean)
}

/// Takes the headers of a plain HTTP request: without those of the hop, and without the names by which this gateway says
/// who is calling. What trailers it announces stays, and that its client takes some.
#[must_use]
pub fn of_http_request(headers: HeaderMap) -> HeaderMap {
    let trailers = tokens(&headers, &header::TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
    let announced = announced(&headers);
    let mut headers = without(headers, |name| is_hop(name) || is_identity(name));
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.extend(announced.map(|names| (header::TRAILER, names)));
    headers
}

/// The trailers that a request announces, but those that say what no trailer may: whose request it is, or where its body
/// ends.
fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let names = tokens(headers, &header::TRAILER).filter_map(|name| HeaderName::from_bytes(name).ok());
    let names = names.filter(|name| {
        let text = name.as_str();
        !is_hop(text) && !is_identity(text) && !text.starts_with("x-forwarded-") && *name != header::FORWARDED
    });
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|names| !names.is_empty())
}

/// Takes the headers of a plain HTTP reply for the client: without those of the hop. (The length is the body's to say.)
#[must_use]
pub fn of_http_reply(headers: HeaderMap) -> HeaderMap {
    without(headers, |name| is_hop(name) && name != "trailer")
}

fn without(mut headers: HeaderMap, gone: impl Fn(&str) -> bool) -> HeaderMap {
    let mut names: Vec<HeaderName> = headers.keys().filter(|name| gone(name.as_str())).cloned().collect();
    names.extend(named_by_connection(&headers));
    for name in names {
        headers.remove(name);
    }
    headers
}

/// True for what belongs to one hop (RFC 9110 section 7.6.1) or to one body's framing.
fn is_hop(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "content-length",
        "expect",
    ];
    // What reads headers as variables (CGI and its like) takes `_` for `-`.
    NAMES.contains(&name) || (name.contains('_') && NAMES.contains(&&*name.replace('_', "-")))
}

/// Makes a reply's metadata (or a unary reply's trailers, on REST) the headers of the client's response, in place.
/// `content-type` is left for the surface to set.
pub fn to_response(metadata: &mut HeaderMap, protocol: Protocol) {
    let mut removed = 0_u32;
    let mut rare = Vec::new();
    for name in metadata.keys() {
        match place(name.as_str()) {
            Some((place, Whom::All)) => removed |= 1 << place,
            _ if protocol.is_json() && is_grpc(name) => rare.push(name.clone()),
            _ => {}
        }
    }
    remove(metadata, removed, &rare);
}

/// True for a name by which the gateway tells upstreams who is calling, however a client may spell it: in capitals,
/// with `_` for `-`, with `-bin` behind it. (Servers behind CGI-like interfaces read all of these as one.)
#[must_use]
pub fn is_identity(name: &str) -> bool {
    const NAMES: [&str; 6] = [
        "x-user-id",
        "x-user-email",
        "x-user-role",
        "x-user-permissions",
        "x-gateway-request-id",
        "x-forwarded-client-cert",
    ];
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b) || (a == b'_' && b == b'-');
    let spells = |name: &[u8], want: &str| {
        name.len() == want.len() && name.iter().zip(want.as_bytes()).all(|(a, b)| same(*a, *b))
    };
    let name = name.as_bytes();
    if !name.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'x')) {
        return false;
    }
    let plain = match name.split_last_chunk::<4>() {
        Some((plain, end)) if spells(end, "-bin") => plain,
        _ => name,
    };
    NAMES.iter().any(|want| spells(plain, want))
}

/// What happens to one header of a request.
enum Rule {
    Keep,
    /// Its place in [`REMOVED`].
    Remove(usize),
    RemoveRare,
}

/// Whose requests a name is removed from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Everyone's; from responses too.
    All,
    /// Those that are not native gRPC.
    Http,
    /// REST's and MCP's.
    Json,
}

/// A name that is removed, and from whose requests.
struct Removed {
    /// The same as `header`: comparing texts rejects most names by their length alone.
    text: &'static str,
    header: HeaderName,
    whom: Whom,
}

const fn removed(text: &'static str, whom: Whom) -> Removed {
    Removed { text, header: HeaderName::from_static(text), whom }
}

static REMOVED: [Removed; 23] = [
    // Of this hop.
    removed("connection", Whom::All),
    removed("keep-alive", Whom::All),
    removed("proxy-connection", Whom::All),
    removed("proxy-authenticate", Whom::All),
    removed("proxy-authorization", Whom::All),
    removed("te", Whom::All),
    removed("trailer", Whom::All),
    removed("transfer-encoding", Whom::All),
    removed("upgrade", Whom::All),
    removed("http2-settings", Whom::All),
    // About this body, this server.
    removed("content-type", Whom::All),
    removed("content-length", Whom::All),
    removed("content-encoding", Whom::All),
    removed("host", Whom::All),
    removed("expect", Whom::All),
    // Read by the surface, and said again to the upstream by dispatch.
    removed("grpc-timeout", Whom::All),
    // About the form of the answer.
    removed("accept", Whom::Http),
    removed("accept-encoding", Whom::Http),
    removed("accept-charset", Whom::Http),
    removed("x-grpc-web", Whom::Http),
    removed("x-request-timeout", Whom::Json),
    removed("connect-timeout-ms", Whom::Json),
    removed("connect-protocol-version", Whom::Json),
];

fn place(name: &str) -> Option<(usize, Whom)> {
    let same = |removed: &Removed| removed.text.len() == name.len() && removed.text == name;
    REMOVED
        .iter()
        .enumerate()
        .find(|(_, removed)| same(removed))
        .map(|(place, removed)| (place, removed.whom))
}

fn rule(name: &HeaderName, protocol: Protocol) -> Rule {
    let text = name.as_str();
    if let Some((place, whom)) = place(text) {
        let applies = match whom {
            Whom::All => true,
            Whom::Http => protocol != Protocol::Grpc,
            Whom::Json => protocol.is_json(),
        };
        return if applies { Rule::Remove(place) } else { Rule::Keep };
    }
    let rare = if is_grpc(name) {
        !passes(text, protocol)
    } else {
        (protocol.is_json() && text.starts_with("sec-websocket-"))
            || (protocol == Protocol::Mcp && is_mcp(text))
            || is_identity(text)
    };
    if rare { Rule::RemoveRare } else { Rule::Keep }
}

/// True for the names that gRPC reserves for itself.
fn is_grpc(name: &HeaderName) -> bool {
    name.as_str().starts_with("grpc-")
}

/// True for the names of MCP's own: its session is between its client and this gateway.
fn is_mcp(name: &str) -> bool {
    name.starts_with("mcp-") || name == "last-event-id"
}

/// The reserved names that are meant for the upstream: tracing, attempts, and where the client's own frames pass,
/// what these are compressed with.
fn passes(name: &str, protocol: Protocol) -> bool {
    match name {
        "grpc-trace-bin" | "grpc-tags-bin" | "grpc-previous-rpc-attempts" => true,
        "grpc-encoding" | "grpc-accept-encoding" => !protocol.is_json(),
        _ => false,
    }
}

/// The names a `Connection` header calls hop-by-hop, but those that are for the ends whoever says otherwise: proxies before
/// this one pass on what a client writes there, and with it a client would take off what they have added.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let names = tokens(headers, &header::CONNECTION).filter_map(|token| HeaderName::from_bytes(token).ok());
    names.filter(|name| !is_for_the_ends(name.as_str())).collect()
}

/// True for what says whose a request is, where it comes from and what it is: no hop may lose it.
fn is_for_the_ends(name: &str) -> bool {
    const NAMES: [&str; 20] = [
        "authorization",
        "baggage",
        "content-encoding",
        "content-type",
        "cookie",
        "forwarded",
        "grpc-encoding",
        "grpc-timeout",
        "host",
        "origin",
        "range",
        "referer",
        "traceparent",
        "tracestate",
        "user-agent",
        "via",
        "x-api-key",
        "x-real-ip",
        "x-request-id",
        "x-request-timeout",
    ];
    name.starts_with("x-forwarded-") || NAMES.contains(&name)
}

/// The members of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn remove(headers: &mut HeaderMap, removed: u32, rare: &[HeaderName]) {
    let mut left = removed;
    while let Some(name) = REMOVED.get(left.trailing_zeros() as usize) {
        headers.remove(&name.header);
        left &= left - 1;
    }
    for name in rare {
        headers.remove(name);
    }
}

fn binary(headers: &HeaderMap, name: &HeaderName) -> Result<(), Status> {
    // "gRPC over HTTP/2", Custom-Metadata: several values may have been joined by commas.
    let mut values =
        headers.get_all(name).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if values.all(|value| is_base64(value.trim_ascii())) {
        return Ok(());
    }
    Err(Fault::client().on(Status::invalid_argument(format!("the value of header {name} is not base64"))))
}

/// True for standard base64 with or without its padding (what `status::BASE64` decodes).
fn is_base64(value: &[u8]) -> bool {
    let digits = match value {
        [digits @ .., b'=', b'='] if digits.len() % 4 == 2 => digits,
        [digits @ .., b'='] if digits.len() % 4 == 3 => digits,
        digits => digits,
    };
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.len() % 4 != 1 && digits.iter().all(is_digit)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use tonic::Code;

    use super::*;
    use crate::status::BASE64;

    const WEB: Protocol = Protocol::GrpcWeb { text: false };

    fn map(rows: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in rows {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    #[test]
    fn plain_http_keeps_all_but_its_hop() {
        let sent = map(&[
            ("host", "a"),
            ("accept", "*/*"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("connection", "x-mine, close"),
            ("x-mine", "1"),
            ("upgrade", "h2c"),
            ("content-length", "7"),
            ("te", "trailers"),
            ("grpc-status", "0"),
            ("X-User_Id", "root"),
            ("cookie", "c"),
        ]);
        let names = |headers: HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names.join(" ")
        };
        let kept = "accept content-encoding content-type cookie grpc-status host";
        assert_eq!(names(of_http_request(sent.clone())), format!("{kept} te"));
        assert_eq!(names(of_http_reply(sent)), format!("{kept} x-user_id"));
    }

    #[test]
    fn what_is_for_the_ends_is_not_taken_off_by_the_way() {
        let sent = map(&[
            ("connection", "X-Forwarded-For, forwarded, via, x-real-ip, X-Request-Id, authorization, x-mine"),
            ("x-forwarded-for", "192.0.2.7"),
            ("forwarded", "for=192.0.2.7"),
            ("via", "1.1 a"),
            ("x-real-ip", "192.0.2.7"),
            ("x-request-id", "r"),
            ("authorization", "Basic dTpw"),
            ("x-mine", "1"),
        ]);
        let plain = of_http_request(sent.clone());
        let (metadata, _) = of_request(sent, Protocol::Rest);
        for headers in [plain, metadata] {
            assert_eq!((headers.len(), headers.contains_key("x-mine")), (6, false), "{headers:?}");
        }
    }

    #[test]
    fn trailers_are_announced_but_those_that_no_trailer_says() {
        let check = |sent: &[(&str, &str)], want: Option<&str>| {
            let headers = of_http_request(map(sent));
            assert_eq!(headers.get("trailer").map(|value| value.to_str().unwrap()), want, "{sent:?}");
        };
        check(&[("trailer", "x-sum, X-More")], Some("x-sum, x-more"));
        check(&[("trailer", "x-sum"), ("trailer", "content-length, x-user-id, x_user_role")], Some("x-sum"));
        check(&[("trailer", "host_, transfer-encoding, x-forwarded-for, forwarded, a b")], Some("host_"));
        check(&[("trailer", "transfer_encoding")], None);
        check(&[], None);
        let spelled = of_http_request(map(&[("content_length", "7"), ("transfer_encoding", "chunked")]));
        assert!(spelled.is_empty(), "{spelled:?}");
    }

    #[test]
    fn headers_are_metadata_except() {
        use Protocol::{Grpc, Rest};
        let all = [Grpc, WEB, Rest];
        // Name, and the protocols whose requests keep it.
        let rows: &[(&str, &[Protocol])] = &[
            ("authorization", &all),
            ("cookie", &all),
            ("origin", &all),
            ("user-agent", &all),
            ("accept-language", &all),
            ("x-custom", &all),
            ("x-user", &all),
            ("x-user-identity", &all),
            ("grpcish", &all),
            ("traceparent", &all),
            ("x-forwarded-for", &all),
            ("grpc-previous-rpc-attempts", &all),
            ("grpc-encoding", &[Grpc, WEB]),
            ("grpc-accept-encoding", &[Grpc, WEB]),
            ("sec-websocket-key", &[Grpc, WEB]),
            ("x-request-timeout", &[Grpc, WEB]),
            ("connect-timeout-ms", &[Grpc, WEB]),
            ("accept", &[Grpc]),
            ("accept-encoding", &[Grpc]),
            ("x-grpc-web", &[Grpc]),
            ("grpc-timeout", &[]),
            ("grpc-status", &[]),
            ("grpc-message", &[]),
            ("grpc-anything", &[]),
            ("connection", &[]),
            ("keep-alive", &[]),
            ("proxy-connection", &[]),
            ("proxy-authorization", &[]),
            ("te", &[]),
            ("trailer", &[]),
            ("transfer-encoding", &[]),
            ("upgrade", &[]),
            ("content-type", &[]),
            ("content-length", &[]),
            ("content-encoding", &[]),
            ("host", &[]),
            ("expect", &[]),
            ("X-User-ID", &[]),
            ("x_user_id", &[]),
            ("x-user_email", &[]),
            ("x-user-role-bin", &[]),
            ("x_user_permissions_bin", &[]),
            ("x-gateway-request-id", &[]),
        ];
        for (name, keep) in rows {
            for protocol in all {
                let got = of_request(map(&[(name, "v"), ("a", "1"), (name, "w")]), protocol).0;
                let want = if keep.contains(&protocol) { 2 } else { 0 };
                assert_eq!(got.get_all(*name).iter().count(), want, "{name} {protocol:?}");
                assert_eq!(got["a"], "1");
            }
        }
    }

    #[test]
    fn connection_names_more() {
        let headers = map(&[
            ("connection", "close, X-Hop ,,b@d"),
            ("x-hop", "1"),
            ("connection", "x-two"),
            ("x-two", "2"),
        ]);
        assert!(of_request(headers, Protocol::Rest).0.is_empty());
    }

    #[test]
    fn binary_values_are_base64() {
        let check = |value: &str, good: bool| {
            let (map, clean) = of_request(map(&[("x-bin", value)]), Protocol::Grpc);
            assert_eq!(map["x-bin"], value);
            match clean {
                Ok(()) => assert!(good, "{value}"),
                Err(status) => {
                    assert!(!good, "{value}");
                    assert_eq!(status.code(), Code::InvalidArgument);
                    assert_eq!(status.message(), "the value of header x-bin is not base64");
                }
            }
        };
        for good in ["", "AA", "AA==", "AAA", "AAA=", "AAAA", "+/+/", "AA,AA==, AAAA", "AA,"] {
            check(good, true);
        }
        for bad in ["A", "A===", "AA*A", "=", "-_-_", "AA AA", "AAAAA", "AA==AA", "AA,!"] {
            check(bad, false);
        }
    }

    proptest::proptest! {
        #[test]
        fn base64_is_what_decodes(value in "[A-Da-d0-9+/]{0,9}={0,2}") {
            if is_base64(value.as_bytes()) {
                proptest::prop_assert!(BASE64.decode(&value).is_ok(), "{}", value);
            }
        }
    }

    #[test]
    fn a_response_has_no_headers_of_another_hop() {
        let rows = [
            ("connection", "close"),
            ("content-length", "7"),
            ("content-type", "text/plain"),
            ("grpc-encoding", "gzip"),
            ("grpc-status", "0"),
            ("x-a", "1"),
            ("x-user-id", "7"),
        ];
        let check = |protocol: Protocol, want: &[&str]| {
            let mut headers = map(&rows);
            to_response(&mut headers, protocol);
            let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, want, "{protocol:?}");
        };
        for protocol in [Protocol::Grpc, WEB] {
            check(protocol, &["grpc-encoding", "grpc-status", "x-a", "x-user-id"]);
        }
        check(Protocol::Rest, &["x-a", "x-user-id"]);
    }
}
