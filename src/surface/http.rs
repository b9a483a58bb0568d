//! Plain HTTP: what is called by a path and answered in HTTP itself. A request passes as it came, but for the headers of its
//! hop, and so does its reply; what fails is REST's error body, because the same clients read it.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, Uri, Version, header, request};
use tonic::Status;

use super::{Response, handshake::Handshake, metadata, peer, timeout};
use crate::{
    call::{Body, Call, Caller, Captured, Guards, HttpHead, Message, Record, Reply, Target, Upgrade},
    route::{Binding, Destination, Route},
    schema::Template,
    telemetry::Label,
};

/// A path template with the route of its requests.
#[derive(Debug)]
pub struct HttpEndpoint {
    pub(super) route: Arc<Route>,
    pub(super) counted: Arc<Binding>,
    /// The template's variables, each with whether it may span segments.
    variables: Vec<(Arc<str>, bool)>,
}

impl HttpEndpoint {
    #[must_use]
    pub fn new(route: Arc<Route>, template: &Template) -> Self {
        let variables = template.variables().iter();
        let variables = variables.map(|variable| ((*variable.field_path).into(), variable.multi)).collect();
        let binding = Binding { template: template.as_str().into(), label: Label::default() };
        Self { route, counted: Arc::new(binding), variables }
    }

    /// Its requests go on to an upstream.
    pub(super) fn is_proxied(&self) -> bool {
        matches!(self.route.destination, Destination::Proxy(_))
    }

    /// Opens a request as a call; `captures` are what the variables captured, in their order. One with a bad timeout is
    /// settled: INVALID_ARGUMENT.
    pub(super) fn open(&self, mut parts: request::Parts, body: Body, captures: Vec<String>) -> Call {
        let timeout = timeout::of_rest(&parts.headers);
        let captured = self.variables.iter().zip(captures);
        let captured =
            captured.map(|((name, multi), value)| Captured { name: Arc::clone(name), value, multi: *multi });
        let (captured, upgrade) = (captured.collect(), upgrade(&mut parts));
        let expects = parts.headers.get(header::EXPECT);
        let expects = expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let (method, uri, version) = (parts.method, parts.uri, parts.version);
        let head = HttpHead { method, uri, captured, upgrade, version, expects };
        let (target, metadata) = (Target::Http(Box::new(head)), metadata::of_http_request(parts.headers));
        let (peer, record) = (peer(&parts.extensions), Record::of(&parts.extensions));
        if let Some(record) = &record {
            record.bound(&self.counted);
        }
        let timeout = match timeout {
            Ok(timeout) => timeout,
            Err(status) => return Call::settled(&self.route, target, metadata, peer, record, Err(status)),
        };
        Call {
            route: Arc::clone(&self.route),
            target,
            metadata,
            message: Message::Body(body),
            peer,
            timeout,
            deadline: None,
            caller: Caller::default(),
            guards: Guards::default(),
            record,
        }
    }
}

/// A request whose outcome is known by its head, on a route.
pub(super) fn settled(
    route: &Arc<Route>,
    method: Method,
    uri: Uri,
    parts: request::Parts,
    outcome: Result<Reply, Status>,
) -> Call {
    let (captured, upgrade, version) = (Vec::new(), None, parts.version);
    let head = HttpHead { method, uri, captured, upgrade, version, expects: false };
    let (peer, record) = (peer(&parts.extensions), Record::of(&parts.extensions));
    Call::settled(
        route,
        Target::Http(Box::new(head)),
        metadata::of_http_request(parts.headers),
        peer,
        record,
        outcome,
    )
}

/// The upgrade that a request asks for (RFC 9110, 7.8).
fn upgrade(parts: &mut request::Parts) -> Option<Upgrade> {
    let named = |value: &HeaderValue| {
        let tokens = value.to_str().unwrap_or_default().split(',');
        tokens.into_iter().any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
    };
    if parts.extensions.remove::<Handshake>().is_some() {
        let (on, protocol) = (parts.extensions.remove()?, HeaderValue::from_static("websocket"));
        return Some(Upgrade { protocol, on, lasting: parts.extensions.remove() });
    }
    let protocol = parts.headers.get(header::UPGRADE)?.clone();
    // What goes through a tunnel no rule sees: requests of HTTP itself are none of it.
    let of_http = |name: &[u8]| {
        let name = name.trim_ascii().to_ascii_lowercase();
        name.starts_with(b"h2") || name.starts_with(b"http/") || name.starts_with(b"tls/")
    };
    if protocol.as_bytes().split(|byte| *byte == b',').any(of_http) {
        return None;
    }
    if parts.version != Version::HTTP_11 || !parts.headers.get_all(header::CONNECTION).iter().any(named) {
        return None;
    }
    let on = parts.extensions.remove()?;
    Some(Upgrade { protocol, on, lasting: parts.extensions.remove() })
}

/// The response of a reply, as it is; of HEAD without its body.
pub(super) fn response(reply: Reply, method: &Method) -> Response {
    let Reply { metadata: headers, body, http_status, guards, .. } = reply;
    let status = http_status.map_or(StatusCode::OK, |status| status.0);
    let (length, upgrade) =
        (headers.get(header::CONTENT_LENGTH).cloned(), headers.get(header::UPGRADE).cloned());
    let mut headers = metadata::of_http_reply(headers);
    if let Some(protocol) = upgrade.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) {
        headers.insert(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    let body = if *method == Method::HEAD {
        // What an upstream says of a body that it does not send stands.
        let own = || http_body::Body::size_hint(&body).exact().map(HeaderValue::from);
        if let Some(length) = length.or_else(own).filter(|_| !is_bodiless(status)) {
            headers.insert(header::CONTENT_LENGTH, length);
        }
        Body::empty()
    } else {
        body
    };
    let mut response = Response::new(guards.into_body(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status.as_u16(), 204 | 205 | 304)
}
