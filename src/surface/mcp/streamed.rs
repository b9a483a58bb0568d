//! Tools whose replies are streams: the messages are collected as the result, within bounds, and where the client asks for
//! progress each is told as it comes. A client that goes away drops the body, and with it the call.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{
    answer::{Client, event, string},
    cancel::Ongoing,
    era::Era,
    result::{Outcome, reader, text},
    tool::{Form, Tool},
};
use crate::{
    call::{Body, FrameReader, Guards, Record, Reply},
    route::Route,
    surface::rest,
};

/// A silent stream of events says that it is alive this often.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A call on its way to the head of its reply.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;

/// How much of a stream is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub messages: usize,
    /// Of their JSON; a result holds it twice.
    pub bytes: usize,
    pub time: Duration,
}

/// A stream that is read.
pub(super) struct Streamed {
    tool: Arc<Tool>,
    route: Arc<Route>,
    step: Step,
    bounds: Bounds,
    until: Instant,
    /// The messages so far, with commas between them.
    collected: Vec<u8>,
    count: usize,
}

enum Step {
    Opening(Opening),
    Reading(Box<Reading>),
    Over,
}

/// The reply as it comes, with what lives as long as that does.
struct Reading {
    reader: FrameReader,
    head: HeaderMap,
    _guards: Guards,
}

/// What comes of a stream.
enum Next {
    /// A message: where it begins in what is collected.
    Message(usize),
    End(End),
}

enum End {
    Complete,
    /// It was cut off here, and why.
    Cut(String),
    Failed(Status),
}

impl Streamed {
    pub(super) fn new(tool: Arc<Tool>, route: Arc<Route>, bounds: Bounds, opening: Opening) -> Self {
        let until = Instant::now() + bounds.time;
        Self { tool, route, step: Step::Opening(opening), bounds, until, collected: Vec::new(), count: 0 }
    }

    /// Reads it to its end, or as far as it is read.
    pub(super) async fn collect(mut self) -> Outcome {
        loop {
            if let Next::End(end) = self.next().await {
                return self.outcome(end);
            }
        }
    }

    /// The events of a response that tells each message as progress, and the result at the end.
    pub(super) fn events(
        self,
        client: Client,
        era: Era,
        id: String,
        token: String,
        ongoing: Option<Ongoing>,
        record: Option<Arc<Record>>,
    ) -> Body {
        let told = Telling { streamed: Some(self), client, era, id, token, ongoing, record };
        let events =
            stream::unfold(told, async |mut told| Some((Ok::<_, Infallible>(told.next().await?), told)));
        Body::from_stream(events)
    }

    /// What comes next. Dropped while it waits, it has lost nothing.
    async fn next(&mut self) -> Next {
        let until = self.until;
        match timeout_at(until, self.step()).await {
            Ok(Ok(Some(message))) => self.take(&message),
            Ok(Ok(None)) => Next::End(End::Complete),
            Ok(Err(status)) => Next::End(End::Failed(status)),
            Err(_) => {
                let within = self.bounds.time;
                Next::End(End::Cut(format!(
                    "the stream had not ended after {within:?}, and was cut off here"
                )))
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Status> {
        if let Step::Opening(opening) = &mut self.step {
            let reply = opening.as_mut().await;
            self.step = Step::Over;
            let (reader, head, guards) = reader(reply?, &self.route);
            self.step = Step::Reading(Box::new(Reading { reader, head, _guards: guards }));
        }
        let Step::Reading(reading) = &mut self.step else { return Ok(None) };
        let Reading { reader, head, .. } = &mut **reading;
        let next = reader.next().await;
        if let Ok(None) = &next {
            rest::outcome(head, reader.take_trailers())?;
        }
        next
    }

    /// Puts a message with the others, unless it is one too many.
    fn take(&mut self, message: &Bytes) -> Next {
        let most = self.bounds.bytes.min(self.route.limits.response_bytes);
        let cut = |why: String| Next::End(End::Cut(why));
        if self.count == self.bounds.messages {
            let count = self.count;
            return cut(format!("the stream has more than {count} messages, and was cut off here"));
        }
        let start = self.collected.len();
        if self.count > 0 {
            self.collected.push(b',');
        }
        let begins = self.collected.len();
        if let Err(status) = self.tool.json(message, &mut self.collected) {
            self.collected.truncate(start);
            return Next::End(End::Failed(status));
        }
        if self.collected.len() > most {
            // One long message may have taken much.
            self.collected.truncate(start);
            self.collected.shrink_to_fit();
            return cut(format!(
                "the stream's messages are longer than {most} bytes, and it was cut off here"
            ));
        }
        self.count += 1;
        Next::Message(begins)
    }

    fn outcome(&mut self, end: End) -> Outcome {
        // What is not read any more is cancelled.
        self.step = Step::Over;
        let collected = std::mem::take(&mut self.collected);
        let whole = |complete: bool| {
            let mut json = Vec::with_capacity(collected.len() + 32);
            json.extend_from_slice(b"{\"messages\":[");
            json.extend_from_slice(&collected);
            json.extend_from_slice(format!("],\"complete\":{complete}}}").as_bytes());
            json
        };
        match end {
            End::Complete => Outcome::structured(&whole(true), &[]),
            End::Cut(why) => Outcome::structured(&whole(false), &[why]),
            End::Failed(status) => {
                let mut outcome = Outcome::failed(status, self.tool.tables());
                if self.count > 0 {
                    // What came before it failed is not lost.
                    let mut block = Vec::new();
                    text(&mut block, &String::from_utf8_lossy(&whole(false)));
                    block.push(b',');
                    let start = b"\"content\":[".len();
                    outcome.members.splice(start..start, block);
                }
                outcome
            }
        }
    }
}

/// A stream that is told as it comes.
struct Telling {
    /// `None` once its result was told.
    streamed: Option<Streamed>,
    client: Client,
    era: Era,
    id: String,
    /// The progress token, as it was written.
    token: String,
    /// By which a session's client may take it back.
    ongoing: Option<Ongoing>,
    /// It is told how the call ends, which the head could not say.
    record: Option<Arc<Record>>,
}

impl Telling {
    async fn next(&mut self) -> Option<Bytes> {
        let streamed = self.streamed.as_mut()?;
        let alive = Instant::now() + KEEP_ALIVE;
        let taken_back = async {
            match &self.ongoing {
                Some(ongoing) => ongoing.taken_back().await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            () = taken_back => {
                self.streamed = None;
                return None;
            }
            next = timeout_at(alive, streamed.next()) => next,
        };
        let Ok(next) = next else { return Some(Bytes::from_static(b": keep-alive\n\n")) };
        let message = match next {
            Next::Message(begins) => {
                let json = streamed.collected.get(begins..).unwrap_or_default();
                let said = String::from_utf8_lossy(json);
                let mut out = Vec::with_capacity(json.len() * 2 + 128);
                out.extend_from_slice(
                    b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":",
                );
                out.extend_from_slice(self.token.as_bytes());
                out.extend_from_slice(format!(",\"progress\":{},\"message\":", streamed.count).as_bytes());
                string(&mut out, &said);
                out.extend_from_slice(b"}}");
                out
            }
            Next::End(end) => {
                let outcome = streamed.outcome(end);
                if let (Some(status), Some(record)) = (&outcome.failed, &self.record) {
                    record.failed(status.code(), status.message());
                }
                self.streamed = None;
                self.client.result(&self.id, self.era, |out| out.extend_from_slice(&outcome.members))
            }
        };
        Some(event(&message).into())
    }
}

impl Tool {
    /// Its replies are streams whose messages are collected.
    pub(super) fn streams(&self) -> bool {
        self.method().server_streaming && self.gives() != Form::Raw
    }
}
