//! Streams of replies as REST clients read them, each message written as it comes:
//!
//! | `Accept` | a message | a failure after the head |
//! | --- | --- | --- |
//! | `application/x-ndjson` | one line | a line `{"error":{…}}` |
//! | `text/event-stream` | `id:` and `data:` | an event named `error`, with the same object |
//! | `application/json`, `*/*` | an element of one array | a last element `{"error":{…}}`, then `]` |
//!
//! A method that streams HttpBody answers their bytes one after the other; its failure breaks the response off.
//! The upstream is only read when the client reads, and a response that is dropped cancels the call.

use std::{
    io::Write as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use tokio::time::{Instant, Sleep, timeout_at};
use tonic::Status;

use super::{
    accept::Form,
    answer::{content_type, outcome, reader},
    endpoint::Endpoint,
    error,
};
use crate::{
    call::{Body, FrameReader, Guards, HttpStatus, Reply},
    status,
    surface::{self, Protocol, metadata},
};

/// A client that waits for its head gets it after this time at the latest, where waiting longer could hold it up.
const HEAD_WAIT: Duration = Duration::from_secs(1);
/// A silent event stream says that it is alive this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Messages that are there already are put into one chunk of about this size.
const COALESCE_BYTES: usize = 16 << 10;

/// A call on its way to the head of its reply.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send>>;

/// True where a client gets its head before there is anything to tell: an EventSource shows "connecting" until then, and
/// a client that streams its requests may wait for the head before it sends more. Any other is better served by a status
/// that tells what happened.
pub(super) fn eager(endpoint: &Endpoint, form: Form) -> bool {
    (form == Form::Events || endpoint.method().client_streaming) && !endpoint.replies_raw()
}

/// Begins the response of a call whose client is [`eager`]. Many upstreams hold even their head back until their first
/// message, so the call may still be opening when the client gets its own, with what there is to tell ahead of theirs.
pub(super) async fn begin(
    endpoint: Arc<Endpoint>,
    form: Form,
    mut opening: Opening,
    ahead: HeaderMap,
    head: bool,
) -> Result<surface::Response, Status> {
    let until = Instant::now() + HEAD_WAIT;
    if let Ok(reply) = timeout_at(until, &mut opening).await {
        return response(endpoint, form, reply?, Some(until), head).await;
    }
    let mut headers = ahead;
    form_headers(form, &mut headers);
    let reader = reader(&endpoint, &HeaderMap::new(), Body::empty());
    let messages =
        Messages { opening: Some(opening), ..Messages::new(endpoint, Some(form), reader, HeaderMap::new()) };
    let mut response = http::Response::new(if head { Body::empty() } else { Body::new(messages) });
    *response.headers_mut() = headers;
    Ok(response)
}

/// Begins the response of a streaming call: the first message, or the end, decides about its head; `until` is when it is
/// given without them.
pub(super) async fn response(
    endpoint: Arc<Endpoint>,
    form: Form,
    reply: Reply,
    until: Option<Instant>,
    head: bool,
) -> Result<surface::Response, Status> {
    let Reply { metadata: reply_head, body, http_status, guards, .. } = reply;
    let mut reader = reader(&endpoint, &reply_head, body);
    let raw = endpoint.replies_raw();
    let first = match until {
        Some(until) => timeout_at(until, reader.next()).await.ok().transpose()?,
        None => Some(reader.next().await?),
    };
    let mut trailers = None;
    if matches!(first, Some(None)) {
        trailers = outcome(&reply_head, reader.take_trailers())?;
    }
    let mut headers = reply_head.clone();
    metadata::to_response(&mut headers, Protocol::Rest);
    if raw {
        let media_type = match &first {
            Some(Some(message)) => content_type(&endpoint.raw(message)?.content_type),
            _ => content_type(""),
        };
        headers.insert(header::CONTENT_TYPE, media_type);
    } else {
        form_headers(form, &mut headers);
    }
    let mut messages = Messages::new(endpoint, (!raw).then_some(form), reader, reply_head);
    match first {
        // Written before the head is, so that a message that has no JSON is still an error with its status.
        Some(Some(message)) => messages.write(&message)?,
        Some(None) => messages.end(trailers),
        None => {}
    }
    let body = if head { Body::empty() } else { guards.into_body(Body::new(messages)) };
    let mut response = http::Response::new(body);
    if let Some(HttpStatus(status)) = http_status {
        *response.status_mut() = status;
    }
    *response.headers_mut() = headers;
    Ok(response)
}

/// What the head says of the form.
fn form_headers(form: Form, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    if form == Form::Events {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    }
}

/// The body of a streaming response.
struct Messages {
    endpoint: Arc<Endpoint>,
    /// `None`: the bytes of HttpBody messages as they are.
    form: Option<Form>,
    /// The call, while the client has its head and the upstream has given none yet.
    opening: Option<Opening>,
    /// Those of a reply that came after the client's head.
    late: Guards,
    reader: FrameReader,
    /// The reply's head, where a trailers-only reply has its status.
    reply_head: HeaderMap,
    /// Messages written.
    count: u64,
    keep_alive: Option<Pin<Box<Sleep>>>,
    /// Written and not yet sent.
    out: Vec<u8>,
    state: State,
}

enum State {
    Open,
    /// What is in `out` is the last, then these trailers.
    Ended(Option<HeaderMap>),
    /// What is in `out` is the last, then the body breaks off.
    Broken(Status),
    Done,
}

impl Messages {
    fn new(endpoint: Arc<Endpoint>, form: Option<Form>, reader: FrameReader, reply_head: HeaderMap) -> Self {
        let keep_alive = (form == Some(Form::Events)).then(|| Box::pin(tokio::time::sleep(KEEP_ALIVE)));
        Self {
            endpoint,
            form,
            opening: None,
            late: Guards::default(),
            reader,
            reply_head,
            count: 0,
            keep_alive,
            out: Vec::new(),
            state: State::Open,
        }
    }

    /// Waits for the reply of a call that is still opening.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let Some(opening) = &mut self.opening else { return Poll::Ready(Ok(())) };
        let reply = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        let Reply { metadata, body, guards, .. } = reply?;
        self.reader = reader(&self.endpoint, &metadata, body);
        (self.reply_head, self.late) = (metadata, guards);
        Poll::Ready(Ok(()))
    }

    /// Writes one message.
    fn write(&mut self, message: &Bytes) -> Result<(), Status> {
        let start = self.out.len();
        self.count += 1;
        let written = self.write_element(message);
        if written.is_err() {
            self.out.truncate(start);
            self.count -= 1;
        }
        written
    }

    fn write_element(&mut self, message: &Bytes) -> Result<(), Status> {
        match self.form {
            None => {
                let raw = self.endpoint.raw(message)?;
                self.out.extend_from_slice(&raw.data);
            }
            Some(Form::Json) => {
                self.out.push(if self.count == 1 { b'[' } else { b',' });
                self.endpoint.json(message, true, &mut self.out)?;
            }
            Some(Form::Lines) => {
                self.endpoint.json(message, true, &mut self.out)?;
                self.out.push(b'\n');
            }
            Some(Form::Events) => {
                let _ = write!(self.out, "id: {}\ndata: ", self.count);
                self.endpoint.json(message, true, &mut self.out)?;
                self.out.extend_from_slice(b"\n\n");
            }
        }
        Ok(())
    }

    /// Ends a stream that went well.
    fn end(&mut self, trailers: Option<HeaderMap>) {
        if self.form == Some(Form::Json) {
            self.out.extend_from_slice(if self.count == 0 { b"[]" } else { b"]" });
        }
        let trailers = trailers.map(|mut trailers| {
            metadata::to_response(&mut trailers, Protocol::Rest);
            for name in [status::GRPC_STATUS, status::GRPC_MESSAGE, status::GRPC_STATUS_DETAILS] {
                trailers.remove(name);
            }
            trailers
        });
        self.state = State::Ended(trailers.filter(|trailers| !trailers.is_empty()));
    }

    /// Ends a stream that failed after its head.
    fn fail(&mut self, status: Status) {
        let tables = self.endpoint.errors.tables.as_ref();
        match self.form {
            None => {
                self.state = State::Broken(status);
                return;
            }
            Some(Form::Json) => {
                self.out.push(if self.count == 0 { b'[' } else { b',' });
                error::terminal(&status, tables, &mut self.out);
                self.out.push(b']');
            }
            Some(Form::Lines) => {
                error::terminal(&status, tables, &mut self.out);
                self.out.push(b'\n');
            }
            Some(Form::Events) => {
                self.out.extend_from_slice(b"event: error\ndata: ");
                error::terminal(&status, tables, &mut self.out);
                self.out.extend_from_slice(b"\n\n");
            }
        }
        self.state = State::Ended(None);
    }

    /// Takes what the upstream has ready, up to one chunk.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.out.len() < COALESCE_BYTES && matches!(self.state, State::Open) {
            let next = match self.poll_open(cx) {
                Poll::Ready(Ok(())) => self.reader.poll_next(cx),
                Poll::Ready(Err(status)) => Poll::Ready(Err(status)),
                Poll::Pending => Poll::Pending,
            };
            let written = match next {
                Poll::Pending => return,
                Poll::Ready(Ok(Some(message))) => self.write(&message),
                Poll::Ready(Ok(None)) => {
                    outcome(&self.reply_head, self.reader.take_trailers()).map(|trailers| self.end(trailers))
                }
                Poll::Ready(Err(status)) => Err(status),
            };
            if let Err(status) = written {
                self.fail(status);
            }
        }
    }
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        // A raw message may be empty: then there is nothing to send yet.
        this.fill(cx);
        if this.out.is_empty()
            && let Some(timer) = &mut this.keep_alive
            && matches!(this.state, State::Open)
            && timer.as_mut().poll(cx).is_ready()
        {
            this.out.extend_from_slice(b": keep-alive\n\n");
        }
        if !this.out.is_empty() {
            if let Some(timer) = &mut this.keep_alive {
                timer.as_mut().reset(Instant::now() + KEEP_ALIVE);
            }
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.out).into()))));
        }
        match std::mem::replace(&mut this.state, State::Done) {
            State::Open => {
                this.state = State::Open;
                Poll::Pending
            }
            State::Ended(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            State::Broken(status) => Poll::Ready(Some(Err(status))),
            State::Ended(None) | State::Done => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.out.is_empty() && matches!(self.state, State::Ended(None) | State::Done)
    }
}
