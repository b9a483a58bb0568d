//! What one caller's requests go over to a server: HTTP as it is, a session of HTTP, or a process; with the era that the server
//! speaks there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::value::RawValue;
use tonic::Status;

use super::{
    LEGACY, MODERN,
    http::{Answered, Head, Http, SESSION, Stream},
    message::{self, Incoming, RpcFailure},
    object::Object,
    process::{Heard, Process},
};
use crate::status::Fault;

/// How long a server has to take a message that needs no answer.
const SHORT: Duration = Duration::from_secs(5);

/// What requests go over.
#[derive(Debug)]
pub(super) struct Line {
    /// `MCP server "files"`
    pub(super) label: Arc<str>,
    pub(super) era: Era,
    pub(super) wire: Wire,
    /// What the server said of itself when it began: the result of `server/discover`, or of `initialize`.
    pub(super) said: Object,
}

/// What a server speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Era {
    /// 2026-07-28: each request says everything.
    Modern,
    /// An older version, agreed upon when the session began.
    Legacy(String),
}

#[derive(Debug)]
pub(super) enum Wire {
    /// `session`: the id that the server has given to it, if it has.
    Http {
        http: Http,
        session: Option<HeaderValue>,
    },
    Process(Arc<Process>),
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The server does not know the session any more.
    Expired,
    /// It was refused in HTTP, with an error in the body.
    Refused { http: StatusCode, failure: RpcFailure },
    /// All else, in the gateway's words.
    Status(Status),
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Lost {
    pub(super) fn status(self, label: &str) -> Status {
        match self {
            Self::Status(status) => status,
            Self::Expired => {
                Fault::upstream().on(Status::unavailable(format!("{label} does not know its own session")))
            }
            Self::Refused { http, failure } => {
                let said = crate::status::shown(&failure.message).into_owned();
                let message = format!("{label} refuses with {} ({}): {said}", http.as_u16(), failure.code);
                Fault::upstream().on(Status::unavailable(message))
            }
        }
    }
}

/// A request as it is sent.
pub(super) struct Asked<'a> {
    pub(super) id: u64,
    pub(super) method: &'a str,
    pub(super) params: &'a Object,
    /// Said in the head too, where the server is asked over HTTP.
    pub(super) headers: HeaderMap,
    /// How long the head of its answer may take.
    pub(super) limit: Duration,
}

/// What comes of a request.
pub(super) enum Exchange {
    Http(Stream),
    Process(Heard),
}

impl Line {
    /// Sends a request.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask(&self, asked: Asked<'_>) -> Result<(Exchange, HeaderMap), Lost> {
        let message = message::request(asked.id, asked.method, asked.params);
        match &self.wire {
            Wire::Process(process) => {
                let heard = process.ask(asked.id, message, asked.limit).await?;
                Ok((Exchange::Process(heard), HeaderMap::new()))
            }
            Wire::Http { http, session } => {
                let mut head = self.head(asked.method, asked.params, session.as_ref());
                head.headers.extend(asked.headers);
                match http.send(head, message, asked.limit).await? {
                    Answered::Stream(stream, headers) => Ok((Exchange::Http(stream), headers)),
                    Answered::Accepted => Err(self.broken("takes a request as if it were none").into()),
                    Answered::Refused { http, failure, said } => Err(self.refused(http, failure, &said)),
                }
            }
        }
    }

    /// Sends a message that has no answer.
    ///
    /// # Errors
    /// UNAVAILABLE, and the like.
    pub(super) async fn say(&self, method: &str, message: String) -> Result<(), Status> {
        match &self.wire {
            Wire::Process(process) => process.say(message, SHORT).await,
            Wire::Http { http, session } => {
                let head = self.head(method, &Object::default(), session.as_ref());
                http.send(head, message, SHORT).await.map(drop)
            }
        }
    }

    /// Answers a request of the server's.
    ///
    /// # Errors
    /// UNAVAILABLE, and the like.
    pub(super) async fn answer(
        &self,
        id: &RawValue,
        outcome: &Result<Object, RpcFailure>,
    ) -> Result<(), Status> {
        self.say("", message::answer(id, outcome)).await
    }

    /// What a server says of its own accord, where it has a session: `GET`.
    ///
    /// # Errors
    /// It has no such stream.
    pub(super) async fn listen(&self) -> Result<Stream, Lost> {
        let Wire::Http { http, session } = &self.wire else {
            return Err(self.broken("has no stream of its own").into());
        };
        let head = self.head("", &Object::default(), session.as_ref());
        match http.exchange(Method::GET, head, Bytes::new(), SHORT).await? {
            Answered::Stream(stream, _) => Ok(stream),
            Answered::Accepted => Err(self.broken("tells nothing of its own accord").into()),
            Answered::Refused { http, failure, said } => Err(self.refused(http, failure, &said)),
        }
    }

    /// Ends the session, where the server keeps one.
    pub(super) async fn end(&self) {
        if let Wire::Http { http, session: Some(session) } = &self.wire {
            let head = self.head("", &Object::default(), Some(session));
            // Where it does not hear of it, the session ends by itself.
            let _ = http.exchange(Method::DELETE, head, Bytes::new(), SHORT).await;
        }
    }

    /// What is closed once nothing of its process is left, where it is one.
    pub(super) fn process_end(&self) -> Option<tokio::sync::watch::Receiver<()>> {
        match &self.wire {
            Wire::Process(process) => Some(process.end()),
            Wire::Http { .. } => None,
        }
    }

    /// True once nothing can go over it any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(&self.wire, Wire::Process(process) if process.is_over())
    }

    fn head(&self, method: &str, params: &Object, session: Option<&HeaderValue>) -> Head {
        match &self.era {
            Era::Legacy(version) => Head::of(version).session(session),
            Era::Modern => {
                let name = params.text("name").or_else(|| params.text("uri"));
                let named = matches!(method, "tools/call" | "prompts/get" | "resources/read");
                Head::of(MODERN).says(method, name.as_deref().filter(|_| named))
            }
        }
    }

    fn refused(&self, http: StatusCode, failure: Option<RpcFailure>, said: &str) -> Lost {
        let has_session = matches!(&self.wire, Wire::Http { session: Some(_), .. });
        // Servers say it in words of their own; one that knows the session says what is wrong with a request by a code of JSON-RPC's.
        let own_code = failure.as_ref().is_none_or(|failure| (-32099..=-32000).contains(&failure.code));
        let of_session = || {
            let about = failure.as_ref().map_or(said, |failure| failure.message.as_str());
            about.to_ascii_lowercase().contains("session")
        };
        match http.as_u16() {
            404 if has_session => Lost::Expired,
            400 | 401 if has_session && own_code && of_session() => Lost::Expired,
            _ => match failure {
                Some(failure) => Lost::Refused { http, failure },
                None => {
                    let text = format!("{} answers with {}", self.label, http.as_u16());
                    let said = said.trim();
                    let text = if said.is_empty() {
                        text
                    } else {
                        format!("{text}: {}", crate::status::shown(said))
                    };
                    let status = match http.as_u16() {
                        // There is something that answers, and it has no such thing.
                        400 | 404..=407 | 415 | 501 => {
                            return Lost::Refused { http, failure: RpcFailure::new(-32000, text) };
                        }
                        401 | 403 => Status::failed_precondition(text),
                        429 => Status::resource_exhausted(text),
                        _ => Status::unavailable(text),
                    };
                    Fault::upstream().on(status).into()
                }
            },
        }
    }

    fn broken(&self, what: &str) -> Status {
        Fault::upstream().on(Status::internal(format!("{} {what}", self.label)))
    }
}

impl Exchange {
    /// The next message; `None` at the end, which comes after the answer.
    ///
    /// # Errors
    /// UNAVAILABLE: it broke off.
    pub(super) async fn next(&mut self) -> Result<Option<Incoming>, Status> {
        match self {
            Self::Http(stream) => stream.next().await,
            Self::Process(heard) => heard.next().await.map(Some),
        }
    }

    /// The answer to request `id`; what else comes is passed over.
    ///
    /// # Errors
    /// UNAVAILABLE: there is none, or not in time.
    pub(super) async fn answer(
        &mut self,
        id: u64,
        until: Instant,
        label: &str,
    ) -> Result<Result<Object, RpcFailure>, Status> {
        let wanted = id.to_string();
        let read = async {
            while let Some(message) = self.next().await? {
                if let Incoming::Answer { id, outcome } = message
                    && (id == wanted || id == "null")
                {
                    return Ok(outcome);
                }
            }
            let text = format!("{label} ends its answer without a result");
            Err(Fault::upstream().on(Status::unavailable(text)))
        };
        tokio::time::timeout_at(until.into(), read).await.unwrap_or_else(|_| {
            let text = format!("{label} does not answer in time");
            Err(Fault::upstream().on(Status::deadline_exceeded(text)))
        })
    }
}

/// The session that a server has begun with its answer to `initialize`.
pub(super) fn session_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(SESSION).cloned()
}

/// The params of `initialize`.
pub(super) fn initialize(capabilities: Option<&RawValue>, client: &Object) -> Object {
    let [newest, ..] = LEGACY;
    let params = Object::default().with("protocolVersion", newest);
    let params = match capabilities {
        Some(capabilities) => params.with("capabilities", capabilities),
        None => params.with("capabilities", Object::default()),
    };
    params.with("clientInfo", client)
}
