//! MCP over streamable HTTP, as its client: each message is a POST, and what comes back is one message, or events until the
//! answer is among them. Source: the specification of 2026-07-28 and of 2025-11-25, basic/transports.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
    uri::PathAndQuery,
};
use http_body_util::BodyExt as _;
use tonic::Status;

use super::{
    events::Events,
    message::{Incoming, RpcFailure},
};
use crate::{call::Body, dispatch::HttpUpstream, status::Fault};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// As much of a refusal's body is read.
const MOST_OF_A_REFUSAL: usize = 64 << 10;

/// One endpoint.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub(super) upstream: Arc<HttpUpstream>,
    pub(super) path: PathAndQuery,
    /// The most bytes of one message.
    pub(super) most: usize,
}

/// What is said of a message in the head of its request.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) headers: HeaderMap,
}

impl Head {
    /// Of a message of this version.
    pub(super) fn of(version: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ACCEPT, BOTH);
        insert(&mut headers, VERSION, version);
        Self { headers }
    }

    /// Says what is asked of whom, as the newest version demands it.
    pub(super) fn says(mut self, method: &str, name: Option<&str>) -> Self {
        insert(&mut self.headers, METHOD, method);
        if let Some(name) = name {
            insert(&mut self.headers, NAME, name);
        }
        self
    }

    pub(super) fn session(mut self, session: Option<&HeaderValue>) -> Self {
        if let Some(session) = session {
            self.headers.insert(SESSION, session.clone());
        }
        self
    }
}

/// Puts a text into a header; what no header can hold goes in base64 (SEP-2243).
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.trim() == text
        && !text.starts_with("=?base64?");
    let value = if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) };
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// What comes back of a message.
pub(super) enum Answered {
    /// Messages.
    Stream(Stream, HeaderMap),
    /// It was taken, and there is nothing to say.
    Accepted,
    /// It was refused in HTTP; with an error where the body has one.
    Refused { http: StatusCode, failure: Option<RpcFailure>, said: String },
}

impl Http {
    /// Sends a message; `limit` is for the head of what comes back.
    ///
    /// # Errors
    /// UNAVAILABLE or DEADLINE_EXCEEDED of the upstream.
    pub(super) async fn send(
        &self,
        head: Head,
        message: String,
        limit: Duration,
    ) -> Result<Answered, Status> {
        self.exchange(Method::POST, head, message.into(), limit).await
    }

    /// Sends a request of another verb: GET for a session's stream, DELETE for its end.
    pub(super) async fn exchange(
        &self,
        method: Method,
        head: Head,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answered, Status> {
        let response = self.upstream.open(method, self.path.clone(), head.headers, body, limit).await?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::ACCEPTED || head.status == StatusCode::NO_CONTENT {
            return Ok(Answered::Accepted);
        }
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !head.status.is_success() {
            let said = tokio::time::timeout(limit, whole(body, MOST_OF_A_REFUSAL)).await;
            let said = said.ok().and_then(Result::ok).unwrap_or_default();
            let failure = match Incoming::read(&said) {
                Ok(Incoming::Answer { outcome: Err(failure), .. }) => Some(failure),
                _ => None,
            };
            let said = String::from_utf8_lossy(&said).chars().take(200).collect();
            return Ok(Answered::Refused { http: head.status, failure, said });
        }
        let reading = match essence.as_str() {
            "application/json" => Reading::Whole(BytesMut::new()),
            "text/event-stream" => Reading::Events(Events::new(self.most)),
            _ => return Err(self.broken(format_args!("answers with {kind:?}, which is not MCP"))),
        };
        let label = self.upstream.to_string();
        Ok(Answered::Stream(Stream { body, reading, most: self.most, label }, head.headers))
    }

    fn broken(&self, what: impl std::fmt::Display) -> Status {
        broken(&self.upstream, what)
    }
}

fn broken(whose: impl std::fmt::Display, what: impl std::fmt::Display) -> Status {
    Fault::upstream().on(Status::internal(format!("{whose} {what}")))
}

/// The messages of one response.
pub(super) struct Stream {
    body: Body,
    reading: Reading,
    most: usize,
    label: String,
}

enum Reading {
    /// One message.
    Whole(BytesMut),
    Events(Events),
    Over,
}

impl Stream {
    /// The next message; `None` at the end. Dropped while it waits, it has lost nothing.
    ///
    /// # Errors
    /// UNAVAILABLE: it broke off; INTERNAL: what came is not MCP.
    pub(super) async fn next(&mut self) -> Result<Option<Incoming>, Status> {
        loop {
            let message = match &mut self.reading {
                Reading::Over => return Ok(None),
                Reading::Whole(read) => match self.body.frame().await {
                    Some(frame) => {
                        let frame = frame.map_err(|error| lost(&self.label, &error))?;
                        if let Ok(data) = frame.into_data() {
                            if read.len() + data.len() > self.most {
                                return Err(too_long(&self.label, self.most));
                            }
                            read.extend_from_slice(&data);
                        }
                        continue;
                    }
                    None => {
                        let message = std::mem::take(read);
                        self.reading = Reading::Over;
                        if message.is_empty() {
                            return Ok(None);
                        }
                        message.to_vec()
                    }
                },
                Reading::Events(events) => match events.take() {
                    Some(message) => message,
                    None => {
                        let Some(frame) = self.body.frame().await else {
                            self.reading = Reading::Over;
                            return Ok(None);
                        };
                        let frame = frame.map_err(|error| lost(&self.label, &error))?;
                        if let Ok(data) = frame.into_data()
                            && events.push(&data).is_err()
                        {
                            return Err(too_long(&self.label, self.most));
                        }
                        continue;
                    }
                },
            };
            let read = Incoming::read(&message);
            return read
                .map(Some)
                .map_err(|why| broken(&self.label, format_args!("sends what is not MCP: {why}")));
        }
    }
}

fn lost(label: &str, why: &axum::Error) -> Status {
    Fault::upstream().on(Status::unavailable(format!("{label} broke off its answer: {why}")))
}

fn too_long(label: &str, most: usize) -> Status {
    broken(label, format_args!("sends a message of more than {most} bytes"))
}

/// All of a body.
async fn whole(mut body: Body, most: usize) -> Result<Bytes, String> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > most {
            return Err(format!("it is longer than {most} bytes"));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_into_a_header_as_it_is_or_in_base64() {
        let check = |name: &str, want: &str| {
            let head = Head::of("2026-07-28").says("tools/call", Some(name));
            assert_eq!(head.headers.get(NAME).unwrap().to_str().unwrap(), want, "{name}");
        };
        check("get_weather", "get_weather");
        check("file:///a b", "file:///a b");
        check("ä", "=?base64?w6Q=?=");
        check(" a", "=?base64?IGE=?=");
        check("=?base64?w6Q=?=", "=?base64?PT9iYXNlNjQ/dzZRPT89?=");
        check("a\r\nx: y", "=?base64?YQ0KeDogeQ==?=");
    }
}
