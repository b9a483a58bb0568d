//! Request bodies that are read and transcoded when dispatch asks for them: one JSON value, raw bytes, or a stream of
//! either, each with its limit and with its content coding undone.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use tonic::Status;

use super::{
    content::{Coding, Decoder, too_large},
    elements::{ElementError, Elements, Layout},
    endpoint::{Endpoint, HeadFields, Input},
    error,
};
use crate::{
    call::{Body, Frames, Pace, status_of},
    route::Limits,
    status::{Refusal, Whose, refuse},
    transcode::HttpBody,
};

/// As much as this is put into one chunk of frames when it is there already.
const COALESCE_BYTES: usize = 16 << 10;

/// A request as it came: what its head says, and its body unread.
pub(super) struct Unread {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) head: HeadFields,
    pub(super) body: Body,
    pub(super) coding: Option<Coding>,
    /// How the elements of a stream of JSON messages stand in the body.
    pub(super) layout: Layout,
    /// The request's `Content-Type`; used for raw bodies.
    pub(super) content_type: String,
}

impl Unread {
    /// Reads a whole body and makes its frame, or begins to read a stream.
    ///
    /// # Errors
    /// 413, 400 naming what is wrong, CANCELLED for a client that goes away.
    pub(super) async fn frames(self) -> Result<Frames, Status> {
        let limits = self.endpoint.route.limits;
        let limit = limits.request_bytes;
        let mut out = Vec::new();
        match (self.endpoint.request(), self.endpoint.method().client_streaming) {
            (Input::None, _) => self.endpoint.frame_of_json(true, &self.head, b"", &mut out)?,
            (Input::Json, false) => {
                let Self { endpoint, head, body, coding, .. } = self;
                let json = whole(body, coding, limits).await?;
                out.reserve(json.len() + 64);
                endpoint.frame_of_json(true, &head, &json, &mut out)?;
            }
            (Input::Raw, false) => {
                let Self { endpoint, head, body, coding, content_type, .. } = self;
                let data = whole(body, coding, limits).await?;
                let body = HttpBody { content_type: &content_type, data: &data };
                endpoint.frame_of_raw(true, &head, &body, &mut out)?;
            }
            (Input::Json | Input::Raw, true) => {
                let splitter = match self.endpoint.request() {
                    Input::Raw => Splitter::Chunks { content_type: self.content_type, first: true },
                    Input::Json | Input::None => Splitter::Elements(Elements::new(self.layout, limit)),
                };
                let source = Source::new(self.body, self.coding, limit)?;
                let stream =
                    Stream { endpoint: self.endpoint, head: self.head, source, splitter, failed: None };
                return Ok(Frames::Stream(Body::new(stream)));
            }
        }
        Ok(Frames::Whole(out.into()))
    }
}

/// Reads the whole body of a request with these headers, decoded, within limits.
///
/// # Errors
/// 413, 415, 400, 408; CANCELLED for a client that goes away.
pub async fn read(headers: &http::HeaderMap, body: Body, limits: Limits) -> Result<Bytes, Status> {
    whole(body, Coding::of_request(headers)?, limits).await
}

/// Reads a body of at most `request_bytes`, decoded, which may pause for `request_pause`.
pub(in crate::surface) async fn whole(
    body: Body,
    coding: Option<Coding>,
    limits: Limits,
) -> Result<Bytes, Status> {
    let limit = limits.request_bytes;
    let known = body.size_hint();
    if known.lower() > limit as u64 {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let expected = usize::try_from(known.lower()).unwrap_or(0);
    let mut source = Source::new(body, coding, limit)?;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut pace = Pace::new(limits.request_pause);
    let mut next = move |cx: &mut Context<'_>| match source.poll_chunk(cx) {
        Poll::Pending => pace.poll_pause(cx).map(|late| Some(Err(late))),
        Poll::Ready(chunk) => {
            pace.moved();
            Poll::Ready(chunk)
        }
    };
    while let Some(chunk) = std::future::poll_fn(&mut next).await.transpose()? {
        if first.len() + rest.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        if first.is_empty() && rest.is_empty() {
            first = chunk;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(expected.max(first.len() + chunk.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&chunk);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// A client's body with its content coding undone, chunk by chunk.
struct Source {
    body: Body,
    decoder: Option<Decoder>,
    /// Bytes still to be decoded.
    coded: Bytes,
    ended: bool,
}

impl Source {
    fn new(body: Body, coding: Option<Coding>, limit: usize) -> Result<Self, Status> {
        let decoder = coding.map(|coding| Decoder::new(coding, limit)).transpose()?;
        Ok(Self { body, decoder, coded: Bytes::new(), ended: false })
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && !self.coded.is_empty()
            {
                let chunk = match decoder.decode(&mut self.coded, false) {
                    Ok(chunk) => chunk,
                    Err(status) => {
                        self.ended = true;
                        return Poll::Ready(Some(Err(status)));
                    }
                };
                if !chunk.is_empty() {
                    return Poll::Ready(Some(Ok(chunk)));
                }
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => {
                    self.ended = true;
                    // An empty body is no coded body, whatever its header says.
                    if let Some(decoder) = &mut self.decoder
                        && decoder.begun()
                    {
                        return Poll::Ready(match decoder.finish() {
                            Ok(chunk) if chunk.is_empty() => None,
                            other => Some(other),
                        });
                    }
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(status_of(error, Whose::Client))));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if self.decoder.is_some() => self.coded = data,
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    // Trailers of a REST request mean nothing to a call.
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}

/// A stream of requests: the client's elements as frames. Its error is a `Status`.
struct Stream {
    endpoint: Arc<Endpoint>,
    head: HeadFields,
    source: Source,
    splitter: Splitter,
    /// What went wrong behind frames that were still good.
    failed: Option<Status>,
}

enum Splitter {
    Elements(Elements),
    /// Raw bytes: a message a chunk, the first with the content type.
    Chunks {
        content_type: String,
        first: bool,
    },
}

impl Stream {
    /// Makes frames of what has come; answers whether more of the body is needed.
    fn take(&mut self, out: &mut Vec<u8>) -> Result<(), Status> {
        let Splitter::Elements(elements) = &mut self.splitter else { return Ok(()) };
        while out.len() < COALESCE_BYTES {
            let Some(json) = elements.take_next().map_err(element_status)? else { break };
            let number = elements.taken();
            self.endpoint
                .frame_of_json(number == 1, &self.head, &json, out)
                .map_err(|status| error::of_element(number, &status))?;
        }
        Ok(())
    }

    fn fail(&mut self, status: Status, out: Vec<u8>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.source.ended = true;
        self.source.coded = Bytes::new();
        self.splitter = Splitter::Chunks { content_type: String::new(), first: false };
        if out.is_empty() {
            return Poll::Ready(Some(Err(status)));
        }
        self.failed = Some(status);
        Poll::Ready(Some(Ok(Frame::data(out.into()))))
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Some(status) = this.failed.take() {
            return Poll::Ready(Some(Err(status)));
        }
        let mut out = Vec::new();
        loop {
            if let Err(status) = this.take(&mut out) {
                return this.fail(status, out);
            }
            if out.len() >= COALESCE_BYTES {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
            let chunk = match this.source.poll_chunk(cx) {
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                Poll::Ready(Some(Err(status))) => return this.fail(status, out),
                Poll::Ready(chunk) => chunk.and_then(Result::ok),
            };
            match (&mut this.splitter, chunk) {
                (Splitter::Elements(elements), Some(chunk)) => elements.feed(chunk),
                (Splitter::Elements(elements), None) => {
                    elements.end();
                    if let Err(status) = this.take(&mut out) {
                        return this.fail(status, out);
                    }
                    let frame = (!out.is_empty()).then(|| Ok(Frame::data(out.into())));
                    return Poll::Ready(frame);
                }
                (Splitter::Chunks { content_type, first }, Some(chunk)) => {
                    // The content type belongs to the first message; taken, it is empty for the rest.
                    let (first, content_type) = (std::mem::take(first), std::mem::take(content_type));
                    let body = HttpBody { content_type: &content_type, data: &chunk };
                    if let Err(status) = this.endpoint.frame_of_raw(first, &this.head, &body, &mut out) {
                        return this.fail(status, out);
                    }
                }
                (Splitter::Chunks { .. }, None) => {
                    let frame = (!out.is_empty()).then(|| Ok(Frame::data(out.into())));
                    return Poll::Ready(frame);
                }
            }
        }
    }
}

fn element_status(problem: ElementError) -> Status {
    match problem {
        ElementError::TooLarge { .. } => refuse(Refusal::TooLarge, problem.to_string()),
        problem => error::invalid("", &problem),
    }
}
