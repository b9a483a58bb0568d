//! One request of a caller's, from the question to its end: what the server notes on the way, what it asks its caller for, and
//! the result. Dropped before its end, it is taken back.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use serde_json::value::RawValue;
use tonic::Status;

use super::{
    line::{Asked, Era, Exchange, Line, Lost},
    message::{self, Incoming, RpcFailure},
    object::Object,
    server::{Server, meta},
    sessions::Key,
};
use crate::status::Fault;

/// What is said of a request by its `_meta` alone, and is the gateway's to say.
const OURS: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];
/// How long a process has to show that it does not hang.
const PING: Duration = Duration::from_secs(5);
/// No such version is spoken.
const VERSION: i64 = -32022;

/// A request of a caller's.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub method: String,
    /// Without `_meta`.
    pub params: Object,
    /// Its `_meta`, as its client said it.
    pub meta: Object,
    /// What its client can do, as that said it.
    pub capabilities: Option<Box<RawValue>>,
    /// Its client wants to be told of progress.
    pub progress: bool,
    /// Whose it is; empty for nobody whom anybody knows.
    pub whose: String,
    /// What is said in the head too.
    pub headers: HeaderMap,
    /// How long the head of the answer may take, where that is less than the server's timeout.
    pub limit: Option<Duration>,
}

/// What comes of a request.
#[derive(Debug)]
pub enum Said {
    /// Something on the way.
    Note { method: String, params: Object },
    /// The server asks its caller for something, and goes on when it has an answer ([`Talk::answer`]).
    Asks { id: Box<RawValue>, method: String, params: Object },
    /// The result, and the end.
    Result(Object),
    /// The server says no, and the end.
    Failed(RpcFailure),
}

/// A request that goes on.
pub struct Talk {
    server: Arc<Server>,
    line: Arc<Line>,
    id: u64,
    state: State,
}

enum State {
    Open(Exchange),
    /// It was refused before there was anything to hear.
    Refused(RpcFailure),
    Over,
}

impl Server {
    /// Asks something for a caller.
    ///
    /// # Errors
    /// UNAVAILABLE: the server is away, or cannot be reached; DEADLINE_EXCEEDED; what else it does in place of an answer.
    pub async fn ask(self: &Arc<Self>, question: &Question) -> Result<Talk, Status> {
        if let Some(why) = self.away() {
            let status = Status::unavailable(format!("{} is away: {why}", self.label));
            return Err(Fault::upstream().unsent().on(status));
        }
        let asked = self.ask_twice(question).await;
        if let Err(status) = &asked {
            self.failed(status);
        }
        asked
    }

    async fn ask_twice(self: &Arc<Self>, question: &Question) -> Result<Talk, Status> {
        let key = Key {
            whose: question.whose.as_str().into(),
            capabilities: question.capabilities.as_ref().map_or("{}", |said| said.get()).into(),
        };
        let mut again = true;
        loop {
            let line = self.line(&key).await?;
            let id = self.next_id();
            let params = Self::params(&line, question, id);
            let limit =
                question.limit.map_or(self.settings.timeout, |limit| limit.min(self.settings.timeout));
            let headers = question.headers.clone();
            let asked = Asked { id, method: &question.method, params: &params, headers, limit };
            let lost = match line.ask(asked).await {
                Ok((exchange, _)) => {
                    let state = State::Open(exchange);
                    return Ok(Talk { server: Arc::clone(self), line, id, state });
                }
                Err(lost) => lost,
            };
            let expired = matches!(&lost, Lost::Expired)
                || matches!(&lost, Lost::Refused { failure, .. } if failure.code == VERSION)
                || line.is_over();
            if expired {
                self.sessions.forget(&key, &line);
                if !matches!(lost, Lost::Expired) {
                    self.forget(&line);
                }
            }
            match lost {
                _ if expired && again => again = false,
                Lost::Refused { failure, .. } => {
                    let state = State::Refused(failure);
                    return Ok(Talk { server: Arc::clone(self), line, id, state });
                }
                lost => return Err(lost.status(&self.label)),
            }
        }
    }

    fn params(line: &Line, question: &Question, id: u64) -> Object {
        let mut said = question.meta.clone();
        said.take("progressToken");
        let mut said = match line.era {
            Era::Modern => meta(said, question.capabilities.as_deref()),
            Era::Legacy(_) => {
                for ours in OURS {
                    said.take(ours);
                }
                said
            }
        };
        if question.progress {
            said = said.with("progressToken", id);
        }
        let params = question.params.clone();
        if said.is_empty() { params } else { params.with("_meta", said) }
    }
}

impl Talk {
    /// What comes next. Dropped while it waits, it has lost nothing.
    ///
    /// # Errors
    /// UNAVAILABLE: the server has gone away in the middle; INTERNAL: what it says is not MCP.
    pub async fn next(&mut self) -> Result<Said, Status> {
        let said = self.heard().await;
        if let Err(status) = &said {
            self.state = State::Over;
            self.server.failed(status);
        }
        said
    }

    async fn heard(&mut self) -> Result<Said, Status> {
        loop {
            let message = match &mut self.state {
                State::Open(exchange) => exchange.next().await?,
                State::Over => None,
                State::Refused(failure) => {
                    let failure = failure.clone();
                    self.state = State::Over;
                    return Ok(Said::Failed(failure));
                }
            };
            let Some(message) = message else {
                let text = format!("{} ends its answer without a result", self.server.label);
                return Err(Fault::upstream().on(Status::unavailable(text)));
            };
            match message {
                Incoming::Answer { id, outcome } if id == self.id.to_string() || id == "null" => {
                    self.state = State::Over;
                    return Ok(outcome.map_or_else(Said::Failed, Said::Result));
                }
                Incoming::Answer { .. } => {}
                Incoming::Request { id, method, .. } if method == "ping" => {
                    self.line.answer(&id, &Ok(Object::default())).await?;
                }
                Incoming::Request { id, method, params } => return Ok(Said::Asks { id, method, params }),
                Incoming::Notification { method, params } => match method.as_str() {
                    "notifications/progress" => {
                        let token = params.get("progressToken").map(RawValue::get);
                        if token == Some(self.id.to_string().as_str()) {
                            return Ok(Said::Note { method, params });
                        }
                    }
                    "notifications/message" | "notifications/elicitation/complete" => {
                        return Ok(Said::Note { method, params });
                    }
                    method if method.ends_with("/list_changed") => self.server.nudge.notify_one(),
                    _ => {}
                },
            }
        }
    }

    /// Answers what the server has asked for.
    ///
    /// # Errors
    /// UNAVAILABLE: the server has gone away.
    pub async fn answer(
        &mut self,
        id: &RawValue,
        outcome: &Result<Object, RpcFailure>,
    ) -> Result<(), Status> {
        self.line.answer(id, outcome).await
    }

    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for Talk {
    /// To the newest version over HTTP the end of the response says it; to others a message does.
    fn drop(&mut self) {
        let goes_on = matches!(self.state, State::Open(_));
        let says = goes_on && (self.line.era != Era::Modern || self.server.is_process());
        if let (true, Ok(runtime)) = (says, tokio::runtime::Handle::try_current()) {
            let (server, line, id) = (Arc::clone(&self.server), Arc::clone(&self.line), self.id);
            runtime.spawn(async move {
                // One that does not hear of it works on for nobody.
                let _ = line.say("notifications/cancelled", message::cancelled(id)).await;
                server.try_out(&line).await;
            });
        }
    }
}

impl Server {
    /// Ends a process that does not answer any more. Whoever gave up on it has waited long enough.
    async fn try_out(&self, line: &Arc<Line>) {
        if !self.is_process() {
            return;
        }
        let asked = self.once(line, "ping", &Object::default(), PING).await;
        // A refusal is an answer.
        if let Err(Lost::Status(status)) = asked {
            tracing::warn!("{} hangs, and is ended: {}", self.label, status.message());
            self.sessions.forget_line(line);
        }
    }
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Talk({} {})", self.server.name(), self.id)
    }
}
