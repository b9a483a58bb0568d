//! Routes that answer by themselves: a response written in the config, its places filled from the call, or a redirect.
//! What a client sends can fill a place and nothing more: it is escaped as the text around it needs, so that it cannot end
//! a JSON string, split a header, write markup, or lead to another host.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{body::Bounded, deadline};
use crate::{
    call::{Body, Guards, HttpHead, HttpStatus, Message, Peer, Reply, RequestValues},
    route::{Limits, Place, Redirect, Respond, Text},
};

/// What stays as it is in one segment of a path, or one value of a query (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in several segments.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');
/// What a raw path may not hold of what HTTP lets pass: browsers read `\` as `/`, and repair the others.
const RAW_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An HTTP call that is answered here: what of it fills places.
pub(super) struct Asked {
    pub(super) http: Box<HttpHead>,
    pub(super) headers: HeaderMap,
    pub(super) peer: Peer,
}

impl Asked {
    fn values(&self) -> RequestValues<'_> {
        let Self { http, headers, peer } = self;
        RequestValues {
            method: &http.method,
            uri: &http.uri,
            headers,
            captured: &http.captured,
            client: peer.address,
            message: "",
            limit: None,
            retry_after: None,
        }
    }

    /// The response of a route that has it in the config.
    pub(super) fn respond(&self, respond: &Respond, guards: Guards) -> Reply {
        let values = self.values();
        let mut headers = HeaderMap::with_capacity(1 + respond.headers.len());
        for (name, text) in &respond.headers {
            if let Ok(value) = HeaderValue::from_bytes(text.fill(&values, header_value).as_bytes()) {
                headers.append(name.clone(), value);
            }
        }
        let bodiless = matches!(respond.status.as_u16(), 204 | 205 | 304);
        let body = if bodiless {
            Body::empty()
        } else {
            if let Ok(content_type) = HeaderValue::from_str(&respond.content_type) {
                headers.insert(CONTENT_TYPE, content_type);
            }
            respond.body.fill(&values, body_escape(respond)).into()
        };
        reply(respond.status, headers, body, guards)
    }

    /// The response of a route that redirects.
    pub(super) fn redirect(&self, redirect: &Redirect, guards: Guards) -> Reply {
        let mut location = self.location(&redirect.to);
        let query = self.http.uri.query().filter(|_| redirect.keep_query && !location.contains('?'));
        if let Some(query) = query {
            // Behind the path, before a fragment.
            let at = location.find('#').unwrap_or(location.len());
            location.insert_str(at, query);
            location.insert(at, '?');
        }
        let mut headers = HeaderMap::with_capacity(1);
        if let Ok(location) = HeaderValue::from_bytes(location.as_bytes()) {
            headers.insert(LOCATION, location);
        }
        reply(redirect.status, headers, Body::empty(), guards)
    }

    fn location(&self, to: &Text) -> String {
        let location = to.fill(&self.values(), |place, value, out| self.path_part(place, value, out));
        // What two slashes begin is a host; only the config may name one.
        let named = to.0.first().is_some_and(|piece| piece.literal().starts_with("//"));
        match location.trim_start_matches('/') {
            path if location.starts_with("//") && !named => format!("/{path}"),
            _ => location,
        }
    }

    /// Writes a value into a `Location`.
    fn path_part(&self, place: &Place, value: &str, out: &mut String) {
        let multi =
            |name: &str| self.http.captured.iter().any(|captured| *captured.name == *name && captured.multi);
        match place {
            Place::Captured(name) if multi(name) => {
                // A slash within a segment was left as it came, and goes on so.
                for (at, part) in value.split("%2F").flat_map(|part| part.split("%2f")).enumerate() {
                    out.push_str(if at == 0 { "" } else { "%2F" });
                    out.extend(utf8_percent_encode(part, SEGMENTS));
                }
            }
            Place::Path => out.extend(utf8_percent_encode(value, RAW_PATH)),
            // Only what can be a host and a port; it was the client's own word that led it here.
            Place::Host => {
                out.extend(value.chars().filter(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(*c)));
            }
            _ => out.extend(utf8_percent_encode(value, SEGMENT)),
        }
    }
}

/// Takes a body that nobody wants, so that the connection can go on with the next request.
///
/// # Errors
/// 413 for a longer one than the route takes; 408 where it pauses for too long or the deadline passes first; what the client
/// did wrong.
pub(super) async fn drain(message: Message, limits: Limits, deadline: Option<Instant>) -> Result<(), Status> {
    let Message::Body(body) = message else { return Ok(()) };
    if body.is_end_stream() {
        return Ok(());
    }
    let (mut body, _) = Bounded::new(body, limits)?;
    let drained = async {
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(())
    };
    match deadline {
        None => drained.await,
        Some(deadline) => timeout_at(deadline, drained).await.unwrap_or_else(|_| Err(deadline::not_sent())),
    }
}

fn reply(status: StatusCode, metadata: HeaderMap, body: Body, guards: Guards) -> Reply {
    Reply { metadata, body, http_status: Some(HttpStatus(status)), attempts: 0, guards }
}

/// What no header's value may have is written in its percent-escape.
fn header_value(_: &Place, value: &str, out: &mut String) {
    out.extend(utf8_percent_encode(value, CONTROLS).flat_map(str::chars));
}

/// How a value is written into a body of this type.
fn body_escape(respond: &Respond) -> fn(&Place, &str, &mut String) {
    let media_type = respond.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of = |name: &str| media_type.rsplit(['/', '+']).next().is_some_and(|last| last == name);
    if respond.json || of("json") {
        |_, value, out| {
            let quoted = serde_json::Value::from(value).to_string();
            out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        }
    } else if of("html") || of("xml") {
        |_, value, out| {
            for c in value.chars() {
                match c {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' => out.push_str("&quot;"),
                    '\'' => out.push_str("&#39;"),
                    c => out.push(c),
                }
            }
        }
    } else {
        |_, value, out| out.push_str(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, Method};

    use super::*;
    use crate::{call::Captured, route::Piece};

    fn asked(uri: &str, captured: &[(&str, &str, bool)]) -> Asked {
        let captured = captured.iter().map(|(name, value, multi)| Captured {
            name: (*name).into(),
            value: (*value).to_owned(),
            multi: *multi,
        });
        let http = HttpHead {
            method: Method::GET,
            uri: uri.parse().unwrap(),
            captured: captured.collect(),
            upgrade: None,
            version: http::Version::HTTP_11,
            expects: false,
        };
        let peer = Peer::at(([127, 0, 0, 1], 1).into());
        Asked { http: Box::new(http), headers: HeaderMap::new(), peer }
    }

    fn place(name: &str) -> Piece {
        Piece::Place(Place::Captured(name.into()))
    }

    fn said(text: &str) -> Piece {
        Piece::Literal(text.into())
    }

    #[test]
    fn a_value_is_written_as_its_body_needs() {
        let check = |content_type: &str, json: bool, want: &str| {
            let respond = Respond {
                status: StatusCode::OK,
                headers: vec![(HeaderName::from_static("x-a"), Text(vec![place("a")]))],
                content_type: content_type.into(),
                body: Text(vec![said("<"), place("a"), said(">")]),
                json,
            };
            let asked = asked("/", &[("a", "\"<&\r\n", false)]);
            let reply = asked.respond(&respond, Guards::default());
            assert_eq!(reply.metadata["x-a"], "\"<&%0D%0A");
            let body = axum::body::to_bytes(reply.body, 1 << 10);
            let body = futures_util::FutureExt::now_or_never(body).unwrap().unwrap();
            assert_eq!(std::str::from_utf8(&body).unwrap(), want, "{content_type}");
        };
        check("text/plain", false, "<\"<&\r\n>");
        check("text/plain", true, "<\\\"<&\\r\\n>");
        check("application/problem+json; a=b", false, "<\\\"<&\\r\\n>");
        check("Text/HTML;charset=utf-8", false, "<&quot;&lt;&amp;\r\n>");
        check("image/svg+xml", false, "<&quot;&lt;&amp;\r\n>");
        check("text/csv", false, "<\"<&\r\n>");
    }

    #[test]
    fn a_status_without_a_body_has_none() {
        for status in [204, 205, 304] {
            let respond = Respond {
                status: StatusCode::from_u16(status).unwrap(),
                headers: Vec::new(),
                content_type: Arc::from("text/plain"),
                body: Text(vec![said("x")]),
                json: false,
            };
            let reply = asked("/", &[]).respond(&respond, Guards::default());
            assert!(reply.body.is_end_stream() && reply.metadata.is_empty(), "{status}");
        }
    }

    #[test]
    fn a_location_keeps_to_the_host_that_the_config_names() {
        let check = |to: &[Piece], value: &str, multi: bool, want: &str| {
            let redirect = Redirect { status: StatusCode::FOUND, to: Text(to.to_vec()), keep_query: true };
            let asked = asked("/x?q=1", &[("a", value, multi)]);
            let reply = asked.redirect(&redirect, Guards::default());
            assert_eq!(reply.metadata[LOCATION].to_str().unwrap(), want);
        };
        check(&[said("/n/"), place("a")], "b c/d", true, "/n/b%20c/d?q=1");
        check(&[said("/n/"), place("a")], "b%2Fc/d", true, "/n/b%2Fc/d?q=1");
        check(&[said("/n/"), place("a")], "b/d", false, "/n/b%2Fd?q=1");
        check(&[said("/"), place("a")], "/evil.example", true, "/evil.example?q=1");
        check(&[place("a")], "//evil.example", true, "/evil.example?q=1");
        check(&[place("a")], "https://evil.example", true, "https%3A//evil.example?q=1");
        check(&[place("a")], "javascript:alert(1)", false, "javascript%3Aalert%281%29?q=1");
        check(&[said("//cdn.example/"), place("a")], "x", false, "//cdn.example/x?q=1");
        check(
            &[said("https://a.example/"), place("a")],
            "@evil?#",
            false,
            "https://a.example/%40evil%3F%23?q=1",
        );
        check(&[said("/x#"), place("a")], "y", false, "/x?q=1#y");
        check(&[said("/x?own#"), place("a")], "y", false, "/x?own#y");
    }
}
