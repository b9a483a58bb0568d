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

use super::deadline;
use crate::{
    call::{Body, Guards, HttpHead, HttpStatus, Message, Peer, Reply, RequestValues, status_of},
    route::{Place, Redirect, Respond, Text},
    status::{Refusal, Whose, refuse},
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
/// 413 for a longer one than the route takes; 408 where the deadline passes first; what the client did wrong.
pub(super) async fn drain(message: Message, limit: usize, deadline: Option<Instant>) -> Result<(), Status> {
    let Message::Body(mut body) = message else { return Ok(()) };
    if body.is_end_stream() {
        return Ok(());
    }
    let too_large =
        || refuse(Refusal::TooLarge, format!("the request's body is over the limit of {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let drained = async {
        let mut left = limit;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| status_of(error, Whose::Client))?;
            let length = frame.data_ref().map_or(0, bytes::Bytes::len);
            left = left.checked_sub(length).ok_or_else(too_large)?;
        }
        Ok(())
    };
    match deadline {
        None => drained.await,
        Some(deadline) => timeout_at(deadline, drained).await.unwrap_or_else(|_| Err(deadline::not_sent())),
    }
}

fn reply(status: StatusCode, metadata: HeaderMap, body: Body, guards: Guards) -> Reply {
    Reply { metadata, body, http_status: Some(HttpStatus(status)), guards }
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
