//! A request that a federated server answers, as its client hears it: notes on the way in the client's own words, what the server
//! asks for in the client's era, and one message at the end.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::{sync::mpsc, time::timeout_at};
use tonic::Status;

use super::{
    answer::Client, asks::Asks, cancel::Ongoing, era::Era, error::RpcError, result::text, shelf::Stand,
};
use crate::{
    call::{Guards, Record},
    federation::{Object, Question, RpcFailure, Said, Talk, raw},
    status::{self, Fault},
    surface::Failed,
};

/// How often one request may ask its client for something.
const MOST_ROUNDS: usize = 16;
/// The levels of log messages, the least first (RFC 5424).
pub(super) const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// One request and whom it is for.
pub(super) struct Relay {
    pub(super) client: Client,
    pub(super) era: Era,
    pub(super) id: String,
    /// The client's progress token, as it was written.
    pub(super) token: Option<String>,
    pub(super) session: Option<String>,
    pub(super) stand: Arc<Stand>,
    pub(super) question: Question,
    /// The least that its client wants of the log; `None`: nothing.
    pub(super) level: Option<String>,
    pub(super) asks: Arc<Asks>,
    pub(super) deadline: Option<tokio::time::Instant>,
    pub(super) ongoing: Option<Ongoing>,
    /// It is a tool's: what fails is a result too.
    pub(super) tool: bool,
    pub(super) record: Option<Arc<Record>>,
}

/// How a request ended.
pub(super) struct Ended {
    pub(super) message: Vec<u8>,
    pub(super) http: http::StatusCode,
    pub(super) failed: Option<Failed>,
    /// Its client has taken it back, and waits for nothing.
    pub(super) taken_back: bool,
}

/// What is sent on the way; `None`: its client takes no events.
type Out = Option<mpsc::Sender<Vec<u8>>>;

impl Relay {
    /// Goes on until the end. Dropped, it takes the request back.
    pub(super) async fn run(mut self, begun: Option<Talk>, out: Out, guards: Guards) -> Ended {
        // The call is over when this is.
        let _guards = guards;
        let ongoing = self.ongoing.take();
        let taken_back = async {
            match &ongoing {
                Some(ongoing) => ongoing.taken_back().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = taken_back => Err(None),
            said = self.to_the_end(begun, &out) => said.map_err(Some),
        };
        match ended {
            Ok(said) => self.ended(said),
            Err(None) => {
                let mut ended = self.error(&RpcError::taken_back());
                ended.taken_back = true;
                ended
            }
            Err(Some(status)) => self.failed(&status),
        }
    }

    async fn to_the_end(&self, begun: Option<Talk>, out: &Out) -> Result<Said, Status> {
        let whole = async {
            let mut question = self.question.clone();
            let mut talk = match begun {
                Some(talk) => talk,
                None => self.stand.server.ask(&question).await?,
            };
            let mut rounds = 0;
            loop {
                match talk.next().await? {
                    Said::Note { method, params } => self.note(&method, params, out).await,
                    Said::Asks { id, method, params } => {
                        rounds += 1;
                        if self.era == Era::Modern && self.declares(&method) && rounds == 1 {
                            return self.park(talk, id, &method, &params);
                        }
                        let outcome = if rounds > MOST_ROUNDS {
                            Err(RpcFailure::new(-32603, "it has asked too often"))
                        } else {
                            self.ask(&method, &params, out).await
                        };
                        talk.answer(&id, &outcome).await?;
                    }
                    Said::Result(result) if self.era != Era::Modern && wants_input(&result) => {
                        rounds += 1;
                        if rounds > MOST_ROUNDS {
                            return Err(self.upstream("has asked its client too often"));
                        }
                        self.give_input(&result, &mut question, out).await?;
                        talk = self.stand.server.ask(&question).await?;
                    }
                    said => return Ok(said),
                }
            }
        };
        let Some(deadline) = self.deadline else { return whole.await };
        timeout_at(deadline, whole).await.unwrap_or_else(|_| {
            let text = format!("MCP server {:?} did not answer in time", self.stand.server.name());
            Err(Fault::upstream().on(Status::deadline_exceeded(text)))
        })
    }

    /// Tells something on the way.
    async fn note(&self, method: &str, mut params: Object, out: &Out) {
        let Some(out) = out else { return };
        match method {
            "notifications/progress" => {
                let token = self.token.clone().and_then(|token| RawValue::from_string(token).ok());
                let Some(token) = token else { return };
                params.set("progressToken", token);
            }
            "notifications/message" if !self.hears(&params) => return,
            _ => {}
        }
        let said = Object::default().with("jsonrpc", "2.0").with("method", method).with("params", params);
        // A client that has gone drops all of this.
        drop(out.send(said.written().into_bytes()).await);
    }

    /// Whether its client wants to hear a message of the log.
    fn hears(&self, params: &Object) -> bool {
        let place = |level: &str| LEVELS.iter().position(|known| *known == level);
        let Some(least) = self.level.as_deref() else { return false };
        let level = params.text("level").unwrap_or_default();
        place(&level).zip(place(least)).is_none_or(|(level, least)| level >= least)
    }

    /// Whether its client has said that it can be asked for something.
    fn declares(&self, method: &str) -> bool {
        let capability = match method {
            "elicitation/create" => "elicitation",
            "sampling/createMessage" => "sampling",
            "roots/list" => "roots",
            _ => return false,
        };
        let said = self.question.capabilities.as_ref().and_then(|said| Object::read(said.get()).ok());
        said.is_some_and(|said| said.get(capability).is_some_and(|value| value.get() != "null"))
    }

    /// Asks a session's client on the stream of its request.
    async fn ask(&self, method: &str, params: &Object, out: &Out) -> Result<Object, RpcFailure> {
        let cannot = || Err(RpcFailure::new(-32601, format!("the client cannot be asked for {method} here")));
        let (Some(out), Some(session), Era::Legacy(_), true) =
            (out, &self.session, self.era, self.declares(method))
        else {
            return cannot();
        };
        let Some(mut asking) = self.asks.ask(session) else { return cannot() };
        let Ok(id) = RawValue::from_string(asking.id.clone()) else { return cannot() };
        let said = Object::default().with("jsonrpc", "2.0").with("id", &id).with("method", method);
        let said = said.with("params", params).written();
        if out.send(said.into_bytes()).await.is_err() {
            return cannot();
        }
        asking.answer().await
    }

    /// A result that asks a client of the newest version; the server's request waits until it comes again.
    fn park(&self, talk: Talk, id: Box<RawValue>, method: &str, params: &Object) -> Result<Said, Status> {
        let state = self.asks.park(&self.question.whose, talk, id).ok_or_else(|| {
            Status::resource_exhausted("too many requests wait for their clients; try again later")
        })?;
        let request = Object::default().with("method", method).with("params", params);
        let requests = Object::default().with(ONLY, request);
        let result = Object::default().with("resultType", "input_required");
        Ok(Said::Result(result.with("inputRequests", requests).with("requestState", state)))
    }

    /// Asks a session's client for all that a server of the newest version wants, and puts the answers into the next question.
    async fn give_input(&self, result: &Object, question: &mut Question, out: &Out) -> Result<(), Status> {
        let mut responses = Object::default();
        let requests = result.object("inputRequests").unwrap_or_default();
        for (key, request) in requests.members() {
            let Ok(request) = Object::read(request.get()) else { continue };
            let method = request.text("method").unwrap_or_default().into_owned();
            let params = request.object("params").unwrap_or_default();
            let answer = self.ask(&method, &params, out).await.map_err(|failure| {
                let text = format!(
                    "MCP server {:?} needs its client's answer to {method}: {}",
                    self.stand.server.name(),
                    failure.message
                );
                Status::failed_precondition(text)
            })?;
            responses = responses.with(key, answer);
        }
        question.params.set("inputResponses", raw(&responses));
        match result.get("requestState") {
            Some(state) => question.params.set("requestState", state.to_owned()),
            None => drop(question.params.take("requestState")),
        }
        Ok(())
    }

    fn upstream(&self, what: &str) -> Status {
        Fault::upstream().on(Status::internal(format!("MCP server {:?} {what}", self.stand.server.name())))
    }

    fn ended(&self, said: Said) -> Ended {
        let mut result = match said {
            Said::Result(result) => result,
            Said::Failed(failure) => return self.error(&RpcError::of_server(failure, self.era)),
            Said::Note { .. } | Said::Asks { .. } => return self.failed(&self.upstream("says nothing")),
        };
        self.stand.outwards(&mut result);
        if self.question.method == "resources/read" && self.era == Era::Modern && !wants_input(&result) {
            // What its server does not say of it is not kept.
            for (member, none) in [("ttlMs", raw(&0)), ("cacheScope", raw("private"))] {
                if result.get(member).is_none() {
                    result.set(member, none);
                }
            }
        }
        let is_error = result.get("isError").is_some_and(|said| said.get() == "true");
        let failed = (self.tool && is_error).then(|| {
            // It failed, whatever HTTP says.
            let blocks =
                result.get("content").and_then(|said| serde_json::from_str::<Vec<Object>>(said.get()).ok());
            let first = blocks.and_then(|blocks| Some(blocks.first()?.text("text")?.into_owned()));
            Failed::by(&Status::unknown(first.unwrap_or_else(|| "the tool failed".to_owned())))
        });
        let message = self.client.whole(&self.id, self.era, result);
        self.told(Ended { message, http: http::StatusCode::OK, failed, taken_back: false })
    }

    fn error(&self, error: &RpcError) -> Ended {
        let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{}}}", self.id, error.to_json());
        let failed = Some(Failed { code: error.grpc(), message: error.words(), number: Some(error.code()) });
        self.told(Ended { message: message.into_bytes(), http: error.http(), failed, taken_back: false })
    }

    fn failed(&self, status: &Status) -> Ended {
        let failed = Failed::by(status);
        if !self.tool {
            let mut ended = self.error(&RpcError::of_status(status));
            ended.failed = Some(failed);
            return ended;
        }
        let message = self.client.result(&self.id, self.era, |out| {
            out.extend_from_slice(b"\"content\":[");
            text(out, &format!("{}: {}", status::name(status.code()), status.message()));
            out.extend_from_slice(b"],\"isError\":true");
        });
        self.told(Ended { message, http: http::StatusCode::OK, failed: Some(failed), taken_back: false })
    }

    fn told(&self, ended: Ended) -> Ended {
        if let (Some(failed), Some(record)) = (&ended.failed, &self.record) {
            failed.tell(record);
        }
        ended
    }
}

/// The key of the one request that an older server asks at a time.
pub(super) const ONLY: &str = "1";

fn wants_input(result: &Object) -> bool {
    result.text("resultType").as_deref() == Some("input_required")
}

/// What a client of the newest version says of the log that it wants.
pub(super) fn level_of(meta: &Object) -> Option<String> {
    meta.text("io.modelcontextprotocol/logLevel").map(std::borrow::Cow::into_owned)
}

/// The answer of a client of the newest version to what it was asked, for an older server.
pub(super) fn given(params: &Object) -> Result<Object, RpcFailure> {
    let responses = params.object("inputResponses").unwrap_or_default();
    match responses.object(ONLY) {
        Some(mut response) => {
            drop(response.take("resultType"));
            Ok(response)
        }
        None => Err(RpcFailure::new(-32602, "the client has given no answer")),
    }
}
