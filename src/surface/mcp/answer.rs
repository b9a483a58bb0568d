//! Responses: a result or an error as one JSON text, or as the one event of a stream where the client takes nothing else.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::value::RawValue;
use tonic::{Code, Status};

use super::{era::Era, error::RpcError, protection::Challenge};
use crate::{
    call::Body,
    federation::{Object, raw},
    surface::{Failed, Response, rest},
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What one client takes, and how it is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Client {
    json: bool,
    /// It says by name that it takes event streams.
    pub(super) events: bool,
    encoding: Option<HeaderValue>,
    /// `{"name":…,"version":…}`
    server: Arc<str>,
    /// What it is told beside a refusal, at an endpoint that wants tokens of its own.
    challenge: Option<Arc<Challenge>>,
}

impl Client {
    /// The client of a request.
    pub(super) fn of(headers: &HeaderMap, server: &Arc<str>) -> Self {
        let ranges: Vec<_> = headers.get_all(header::ACCEPT).iter().flat_map(rest::ranges).collect();
        let takes = |name: &str| ranges.iter().any(|range| range.weight > 0 && range.name == name);
        let json = ranges.is_empty() || takes("application/json") || takes("application/*") || takes("*/*");
        Self {
            json,
            events: takes("text/event-stream"),
            encoding: headers.get(header::ACCEPT_ENCODING).cloned(),
            server: Arc::clone(server),
            challenge: None,
        }
    }

    /// The same at an endpoint that says this of itself.
    pub(super) fn challenged(self, challenge: Challenge) -> Self {
        Self { challenge: Some(Arc::new(challenge)), ..self }
    }

    /// True where nothing that is answered here would be taken.
    pub(super) fn takes_nothing(&self) -> bool {
        !self.json && !self.events
    }

    /// A whole response message with a result, whose members `write` writes, without braces.
    pub(super) fn result(&self, id: &str, era: Era, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b",\"result\":{");
        let start = out.len();
        write(&mut out);
        if era == Era::Modern {
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(
                b"\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":",
            );
            out.extend_from_slice(self.server.as_bytes());
            out.push(b'}');
        }
        out.extend_from_slice(b"}}");
        out
    }

    /// A whole response message with a result that a federated server has given, in the words of its client's era.
    pub(super) fn whole(&self, id: &str, era: Era, mut result: Object) -> Vec<u8> {
        match era {
            Era::Modern => {
                if result.get("resultType").is_none() {
                    result.set("resultType", raw("complete"));
                }
                let mut meta = result.object("_meta").unwrap_or_default();
                if let Ok(server) = RawValue::from_string(self.server.to_string()) {
                    meta.set("io.modelcontextprotocol/serverInfo", server);
                }
                result.set("_meta", raw(&meta));
            }
            Era::Legacy(_) => {
                for member in ["resultType", "ttlMs", "cacheScope"] {
                    drop(result.take(member));
                }
                let meta = result.object("_meta");
                if let Some(mut meta) = meta {
                    drop(meta.take("io.modelcontextprotocol/serverInfo"));
                    drop(result.take("_meta"));
                    if !meta.is_empty() {
                        result.set("_meta", raw(&meta));
                    }
                }
            }
        }
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{}}}", result.written()).into_bytes()
    }

    /// The response of a message that is one whole.
    pub(super) fn message(&self, http: StatusCode, message: Vec<u8>, headers: HeaderMap) -> Response {
        let mut headers = headers;
        let body = if self.json || !self.events {
            headers.insert(header::CONTENT_TYPE, JSON);
            let message = Bytes::from(message);
            // A failure to compress is not worth another one.
            rest::encode(message.clone(), self.encoding.as_ref(), &mut headers).unwrap_or(message)
        } else {
            event_headers(&mut headers);
            event(&message).into()
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = http;
        *response.headers_mut() = headers;
        response
    }

    /// The response of an error; `id` where it is known which request it is of.
    pub(super) fn error(&self, id: Option<&str>, error: &RpcError, headers: HeaderMap) -> Response {
        let message =
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{}}}", id.unwrap_or("null"), error.to_json());
        let mut response = self.message(error.http(), message.into_bytes(), headers);
        response.extensions_mut().insert(Failed {
            code: error.grpc(),
            message: error.words(),
            number: Some(error.code()),
        });
        response
    }

    /// The response of what a policy, or the surface itself, refuses.
    pub(super) fn refusal(&self, id: Option<&str>, status: &Status) -> Response {
        self.refused(id, status, RpcError::of_status(status))
    }

    /// The same in other words.
    pub(super) fn refused(&self, id: Option<&str>, status: &Status, mut error: RpcError) -> Response {
        let mut headers = rest::error_headers(status, error.http());
        if let Some(challenge) = &self.challenge {
            challenge.write(&mut headers);
            if challenge.bare && status.code() == Code::Unauthenticated {
                error = error.because("Missing Authorization header");
            }
        }
        let mut response = self.error(id, &error, headers);
        response.extensions_mut().insert(Failed { number: Some(error.code()), ..Failed::by(status) });
        response
    }
}

/// A response without a body.
pub(super) fn empty(http: StatusCode, headers: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http;
    *response.headers_mut() = headers;
    response
}

/// A stream of events.
pub(super) fn events(body: Body, mut headers: HeaderMap) -> Response {
    event_headers(&mut headers);
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

fn event_headers(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, EVENTS);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Reverse proxies hold back what they buffer.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// One message as an event. JSON of ours has no line breaks.
pub(super) fn event(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 32);
    out.extend_from_slice(b"event: message\ndata: ");
    out.extend_from_slice(message);
    out.extend_from_slice(b"\n\n");
    out
}

/// Appends a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // A Vec takes everything.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(accept: &[&str]) -> Client {
        let headers = accept.iter().map(|value| (header::ACCEPT, value.parse().unwrap())).collect();
        Client::of(&headers, &"{}".into())
    }

    #[test]
    fn what_a_client_takes() {
        let check = |accept: &[&str], json: bool, events: bool| {
            let client = client(accept);
            assert_eq!((client.json, client.events), (json, events), "{accept:?}");
        };
        check(&[], true, false);
        check(&["*/*"], true, false);
        check(&["application/json, text/event-stream"], true, true);
        check(&["application/json", "text/event-stream"], true, true);
        check(&["text/event-stream"], false, true);
        check(&["application/json;q=0, text/event-stream;q=0.5"], false, true);
        check(&["text/html"], false, false);
        assert!(client(&["text/html"]).takes_nothing());
    }

    #[test]
    fn the_newest_version_says_what_kind_of_result_it_is_and_whose() {
        let client = client(&[]);
        let text =
            |era| String::from_utf8(client.result("\"a\"", era, |out| out.extend(b"\"x\":1"))).unwrap();
        assert_eq!(text(Era::Legacy("2025-06-18")), r#"{"jsonrpc":"2.0","id":"a","result":{"x":1}}"#);
        assert_eq!(
            text(Era::Modern),
            r#"{"jsonrpc":"2.0","id":"a","result":{"x":1,"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}}"#
        );
    }
}
