//! Streaming methods over WebSockets (RFC 6455, and RFC 8441 over HTTP/2), at the path of their binding.
//!
//! The call is admitted before the upgrade, so that a refusal is an ordinary HTTP answer, and dispatched after it.
//! - Each text message is one JSON message, in both directions; where a side is a `google.api.HttpBody`, each binary
//!   message is one piece of it.
//! - An empty text message ends the client's stream; replies go on. (A close frame cannot say that: RFC 6455 lets
//!   nothing follow it. A client that closes cancels the call.) A method that takes one message starts with the first;
//!   one whose binding has no body and takes one message starts at once.
//! - The server closes with 1000 when the call ended well. A call that failed ends with a text message
//!   `{"error":{"code":…,"status":…,"message":…,"details":[…]}}` and is closed with 4000 + the gRPC code; 1009 stands for
//!   a message over the limit, 1007 for text that is not UTF-8, 1003 for a binary message where JSON is spoken.
//! - A ping is sent every 30 s; a peer from which nothing came for two of these is taken for gone.

use std::{sync::Arc, time::Duration};

use axum::extract::{
    FromRequestParts as _,
    ws::{CloseFrame, Message as Socketed, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
};
use bytes::Bytes;
use http::{Method, Version, header};
use http_body::Frame;
use tokio::{sync::mpsc, time::Instant};
use tonic::Status;

use super::{
    answer::{RestAnswer, Target as Asked, outcome, reader},
    call_head,
    endpoint::{Endpoint, HeadFields, Input},
    error::{self, Origin},
};
use crate::{
    call::{Body, Call, Caller, FrameReader, Frames, Guards, Lasting, Message, Pending, Record, Reply, Road},
    status::{Refusal, refuse},
    surface::{Answer as _, Request, Response, peer},
    transcode::HttpBody,
};

/// Messages of the client that wait for the upstream; when there are as many, the socket is not read.
const QUEUE_MESSAGES: usize = 16;
const PING: Duration = Duration::from_secs(30);
/// How much of a message over the limit is read, in bytes, beside twice the limit.
const READ_BEYOND: usize = 1 << 20;
/// How long a client may take to answer our close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// True for a request that asks for a WebSocket.
#[must_use]
pub fn wanted(request: &Request) -> bool {
    if request.version() == Version::HTTP_2 {
        return request.method() == Method::CONNECT
            && request
                .extensions()
                .get::<hyper::ext::Protocol>()
                .is_some_and(|protocol| protocol.as_str() == "websocket");
    }
    request.method() == Method::GET
        && request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Admits a call, upgrades its connection, and then dispatches it.
pub(super) async fn serve<R: Road + 'static>(
    endpoint: Arc<Endpoint>,
    head: HeadFields,
    road: &Arc<R>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    let method = parts.method.clone();
    let mut origin = Origin::take(&mut parts, &endpoint.errors);
    // The upgrade reads the method; who is refused is told of the one that came.
    (parts.method, origin.method) = (method.clone(), method);
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.map_err(|rejection| {
        let message = format!("this is no WebSocket handshake: {}", rejection.body_text());
        Status::invalid_argument(message)
    });
    let (peer, record) = (peer(&parts.extensions), Record::of(&parts.extensions));
    if let Some(record) = &record {
        record.bound(&endpoint.counted);
    }
    let lasting = parts.extensions.remove::<Lasting>();
    let (metadata, timeout) = call_head(parts.headers);
    let (upgrade, timeout) = match upgrade.and_then(|upgrade| Ok((upgrade, timeout?))) {
        Ok(read) => read,
        Err(status) => {
            let call = Call::settled(&endpoint.route, endpoint.rpc(), metadata, peer, record, Err(status));
            let answer = RestAnswer { origin, target: Asked::Nothing };
            return answer.close(road.run(call).await).await;
        }
    };
    let head = Arc::new(head);
    let (sender, receiver) = mpsc::channel(QUEUE_MESSAGES);
    let mut call = Call {
        route: Arc::clone(&endpoint.route),
        target: endpoint.rpc(),
        metadata,
        message: message(&endpoint, &head, receiver),
        peer,
        timeout,
        deadline: None,
        caller: Caller::default(),
        guards: Guards::default(),
        record,
    };
    if let Err(status) = road.admit(&mut call).await {
        return error::response(&status, &origin);
    }
    // Some more than the limit is read, and then refused in words: what is left unread makes closing a reset.
    let most = endpoint.route.limits.request_bytes.saturating_mul(2).saturating_add(READ_BEYOND);
    let ahead = road.ahead(&call);
    let road = Arc::clone(road);
    let mut upgraded =
        upgrade.max_message_size(most).max_frame_size(most).on_upgrade(move |socket| async move {
            // A method that takes one message of the head alone waits for none.
            let alone = !endpoint.method().client_streaming && endpoint.request() == Input::None;
            let requests = (!alone).then_some(sender);
            let mut session = Session {
                endpoint,
                head,
                socket,
                requests,
                first: true,
                received: true,
                guards: Guards::default(),
            };
            let ended = session.run(&*road, call).await;
            session.close(ended).await;
            drop(lasting);
        });
    upgraded.headers_mut().extend(ahead);
    upgraded
}

/// What the client sends, as dispatch will see it.
fn message(endpoint: &Arc<Endpoint>, head: &Arc<HeadFields>, mut receiver: mpsc::Receiver<Bytes>) -> Message {
    if endpoint.method().client_streaming {
        let frames = futures_util::stream::poll_fn(move |cx| {
            receiver.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok::<_, Status>(Frame::data(bytes))))
        });
        return Message::Frames(Frames::Stream(Body::new(http_body_util::StreamBody::new(frames))));
    }
    let (endpoint, head) = (Arc::clone(endpoint), Arc::clone(head));
    Message::Pending(Pending::new(move || async move {
        if endpoint.request() != Input::None {
            let first = receiver.recv().await;
            return first.map(Frames::Whole).ok_or_else(|| Status::cancelled("the client went away"));
        }
        let mut out = Vec::new();
        endpoint.frame_of_json(true, &head, b"", &mut out)?;
        Ok(Frames::Whole(out.into()))
    }))
}

/// One WebSocket and its call.
struct Session {
    endpoint: Arc<Endpoint>,
    head: Arc<HeadFields>,
    socket: WebSocket,
    /// `None` when the client has sent all it will.
    requests: Option<mpsc::Sender<Bytes>>,
    /// Whether the client's next message is its first.
    first: bool,
    /// Whether anything came since the last ping.
    received: bool,
    guards: Guards,
}

/// How a WebSocket ends.
enum End {
    Ok,
    Failed(Status),
    /// A close code of the WebSocket protocol itself.
    Refused(u16, Status),
    /// The client closed, or went away.
    Gone,
}

impl Session {
    async fn run(&mut self, road: &impl Road, call: Call) -> End {
        let mut opening = std::pin::pin!(road.dispatch(call));
        let mut reading: Option<(http::HeaderMap, FrameReader)> = None;
        let mut pings = tokio::time::interval_at(Instant::now() + PING, PING);
        loop {
            // The only sender is this task: a place that is free stays free.
            let full = self
                .requests
                .as_ref()
                .is_some_and(|requests| requests.capacity() == 0 && !requests.is_closed());
            let step = tokio::select! {
                _ = place(self.requests.as_ref()), if full => Ok(()),
                message = self.socket.recv(), if !full => self.receive(message),
                outcome = &mut opening, if reading.is_none() => match outcome {
                    Ok(Reply { metadata, body, guards, .. }) => {
                        let frames = reader(&self.endpoint, &metadata, body);
                        self.guards = guards;
                        reading = Some((metadata, frames));
                        Ok(())
                    }
                    Err(status) => Err(End::Failed(status)),
                },
                reply = next(&mut reading) => match reply {
                    Ok(Some(message)) => self.send(&message).await,
                    Ok(None) => match reading.as_mut().map(|(head, reader)| outcome(head, reader.take_trailers())) {
                        Some(Err(status)) => Err(End::Failed(status)),
                        Some(Ok(_)) | None => Err(End::Ok),
                    },
                    Err(status) => Err(End::Failed(status)),
                },
                _ = pings.tick() => self.ping(full).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Takes one message of the client's.
    fn receive(&mut self, message: Option<Result<Socketed, axum::Error>>) -> Result<(), End> {
        self.received = true;
        let limit = self.endpoint.route.limits.request_bytes;
        let too_large = || {
            let message = format!("a message of the WebSocket is over the limit of {limit} bytes");
            End::Refused(close_code::SIZE, refuse(Refusal::TooLarge, message))
        };
        let (json, raw) = match message {
            Some(Ok(Socketed::Text(text))) if text.len() > limit => return Err(too_large()),
            Some(Ok(Socketed::Binary(bytes))) if bytes.len() > limit => return Err(too_large()),
            Some(Ok(Socketed::Text(text))) => (Bytes::from(text), None),
            Some(Ok(Socketed::Binary(bytes))) if matches!(self.endpoint.request(), Input::Raw) => {
                (Bytes::new(), Some(bytes))
            }
            Some(Ok(Socketed::Binary(_))) => {
                let status =
                    Status::invalid_argument("a binary message: this method takes JSON in text messages");
                return Err(End::Refused(close_code::UNSUPPORTED, status));
            }
            Some(Ok(Socketed::Ping(_) | Socketed::Pong(_))) => return Ok(()),
            // tungstenite's own error type is not a dependency of ours; its texts for these cases are held by tests.
            Some(Err(error)) if error.to_string().contains("Message too long") => return Err(too_large()),
            Some(Err(error)) if error.to_string().to_ascii_lowercase().contains("utf") => {
                let status = Status::invalid_argument("a text message of the WebSocket is not UTF-8");
                return Err(End::Refused(close_code::INVALID, status));
            }
            Some(Ok(Socketed::Close(_)) | Err(_)) | None => return Err(End::Gone),
        };
        let one = !self.endpoint.method().client_streaming;
        let ends = json.is_empty() && raw.is_none();
        if ends && (!one || self.requests.is_none()) {
            self.requests = None;
            return Ok(());
        }
        let Some(requests) = &self.requests else {
            let message = if one {
                "this method takes one message"
            } else {
                "the stream of requests has ended already"
            };
            return Err(End::Failed(Status::invalid_argument(message)));
        };
        let mut out = Vec::with_capacity(json.len() + 64);
        let first = std::mem::take(&mut self.first);
        let framed = match (raw, self.endpoint.request()) {
            (Some(data), _) => {
                let body = HttpBody { content_type: "", data: &data };
                self.endpoint.frame_of_raw(first, &self.head, &body, &mut out)
            }
            (None, Input::Raw) => {
                let body = HttpBody { content_type: "text/plain; charset=utf-8", data: &json };
                self.endpoint.frame_of_raw(first, &self.head, &body, &mut out)
            }
            (None, Input::Json | Input::None) => {
                self.endpoint.frame_of_socket(first, &self.head, &json, &mut out)
            }
        };
        framed.map_err(End::Failed)?;
        // A call that no longer reads its requests will say why by its own end.
        let _ = requests.try_send(out.into());
        if one {
            self.requests = None;
        }
        Ok(())
    }

    /// Sends one reply.
    async fn send(&mut self, message: &Bytes) -> Result<(), End> {
        let message = if self.endpoint.replies_raw() {
            Socketed::Binary(self.endpoint.raw(message).map_err(End::Failed)?.data)
        } else {
            let mut json = Vec::new();
            self.endpoint.json(message, true, &mut json).map_err(End::Failed)?;
            text(json)
        };
        self.socket.send(message).await.map_err(|_| End::Gone)
    }

    async fn ping(&mut self, full: bool) -> Result<(), End> {
        // A socket that is not read, because the upstream does not, cannot show that it is alive.
        if !std::mem::take(&mut self.received) && !full {
            return Err(End::Gone);
        }
        self.socket.send(Socketed::Ping(Bytes::new())).await.map_err(|_| End::Gone)
    }

    /// Says how the call ended and closes.
    async fn close(mut self, end: End) {
        let (code, status) = match end {
            End::Ok => (close_code::NORMAL, None),
            // A code of gRPC's is at most 16.
            End::Failed(status) => (4000 + u16::try_from(status.code() as i32).unwrap_or(2), Some(status)),
            End::Refused(code, status) => (code, Some(status)),
            // A close frame of the client's is answered when the socket is read on.
            End::Gone => return self.closed().await,
        };
        let mut reason = "";
        if let Some(status) = &status {
            reason = status.message();
            // Control frames hold 125 bytes, two of them the code.
            reason = reason.get(..reason.floor_char_boundary(123)).unwrap_or_default();
            let mut json = Vec::new();
            error::terminal(status, self.endpoint.errors.tables.as_ref(), &mut json);
            if self.socket.send(text(json)).await.is_err() {
                return;
            }
        }
        let frame = CloseFrame { code, reason: reason.into() };
        if self.socket.send(Socketed::Close(Some(frame))).await.is_ok() {
            // Gone before the client has answered, the connection could take the last messages with it.
            self.closed().await;
        }
    }

    /// Reads what still comes, until both sides have closed.
    async fn closed(&mut self) {
        let closed = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = tokio::time::timeout(CLOSE_WAIT, closed).await;
    }
}

fn text(json: Vec<u8>) -> Socketed {
    // The codec writes UTF-8 and nothing else.
    match Utf8Bytes::try_from(Bytes::from(json)) {
        Ok(text) => Socketed::Text(text),
        Err(_) => Socketed::Text(Utf8Bytes::from_static("null")),
    }
}

/// Waits for a free place in the queue, or for the call to stop reading it.
async fn place(requests: Option<&mpsc::Sender<Bytes>>) {
    match requests {
        // The permit is given back at once: only this task sends.
        Some(requests) => drop(requests.reserve().await),
        None => std::future::pending().await,
    }
}

/// The next reply, once the call has a head.
async fn next(reading: &mut Option<(http::HeaderMap, FrameReader)>) -> Result<Option<Bytes>, Status> {
    match reading {
        Some((_, reader)) => reader.next().await,
        None => std::future::pending().await,
    }
}
