//! One call on one HTTP/2 stream: the client's frames go up as fast as the upstream's window lets them, the reply's come
//! down as fast as they are read, each independently of the other. What HTTP/2 says of a broken stream becomes a status.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use tokio::task::AbortHandle;
use tonic::{Code, Status};

use super::pool::Lease;
use crate::{
    call::status_of,
    dispatch::{
        replay::{Outgoing, Replay},
        request::Mistake,
    },
    status::{Fault, Whose},
};

/// A call that got no reply. `unsent`: the upstream has not seen it, or says that it has not looked at it.
pub(in crate::dispatch) struct Failed {
    pub(in crate::dispatch) status: Status,
    pub(in crate::dispatch) unsent: bool,
}

/// What came too late may have been seen.
impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self { status, unsent: false }
    }
}

/// Sends a request and waits for the head of its response. Dropping the future, or the response's body, resets the
/// stream with CANCEL; what has been read of `outgoing` by then is still its own to keep.
pub(in crate::dispatch) fn send<'a>(
    mut lease: Lease,
    request: Request<()>,
    outgoing: &'a mut Outgoing,
    label: &'a Arc<str>,
) -> impl Future<Output = Result<Response<UpstreamBody>, Failed>> + use<'a> {
    // The head is sent before there is a future, so that none has to hold it.
    let begun = begin(&mut lease, request, outgoing, label);
    async move { answered(begun?, lease, outgoing, label).await }
}

/// What is known of a call whose head is on its way: the response to come, and the stream for what is still to be sent.
type Begun = (ResponseFuture, Option<SendStream<Bytes>>);

fn begin(lease: &mut Lease, request: Request<()>, outgoing: &Outgoing, label: &str) -> Result<Begun, Failed> {
    let nothing = match outgoing {
        Outgoing::Whole(message) => message.is_empty(),
        Outgoing::Stream(body) => body.is_end_stream(),
        Outgoing::Gone => true,
    };
    let (response, mut stream) = lease.sender.send_request(request, nothing).map_err(|error| {
        // Nothing has been written.
        let unsent = error.is_io() || error.is_go_away();
        Failed { unsent, status: failure(label, &error) }
    })?;
    let upload = match outgoing {
        _ if nothing => None,
        // h2 holds the message and sends it as the upstream's window allows.
        Outgoing::Whole(message) => {
            stream.send_data(message.clone(), true).map_err(|error| broke(label, &error))?;
            None
        }
        Outgoing::Stream(_) | Outgoing::Gone => Some(stream),
    };
    Ok((response, upload))
}

fn broke(label: &str, error: &h2::Error) -> Failed {
    Failed { unsent: is_unsent(error), status: failure(label, error) }
}

async fn answered(
    (mut response, mut upload): Begun,
    mut lease: Lease,
    outgoing: &mut Outgoing,
    label: &Arc<str>,
) -> Result<Response<UpstreamBody>, Failed> {
    let mistake = matches!(outgoing, Outgoing::Stream(_)).then(Mistake::default);
    let head = std::future::poll_fn(|cx| {
        if let (Some(stream), Outgoing::Stream(body), Some(mistake)) = (&mut upload, &mut *outgoing, &mistake)
            && let Poll::Ready(sent) = poll_upload(stream, body, mistake, cx)
        {
            upload = None;
            if let Err(status) = sent {
                return Poll::Ready(Err(Failed { status, unsent: false }));
            }
        }
        Pin::new(&mut response).poll(cx).map_err(|error| broke(label, &error))
    });
    let (head, receiving) = head.await?.into_parts();
    // Only a request that is still going on when its reply begins needs a task of its own.
    let upload = match (upload, &mistake) {
        (Some(mut stream), Some(mistake)) if !receiving.is_end_stream() => {
            outgoing.forget();
            let Outgoing::Stream(mut body) = std::mem::replace(outgoing, Outgoing::Gone) else {
                return Err(Failed {
                    status: Status::internal("a body is no stream any more"),
                    unsent: false,
                });
            };
            let mistake = Arc::clone(mistake);
            let task = tokio::spawn(async move {
                // Its status is in `mistake`, where the reply finds it.
                let _ = std::future::poll_fn(|cx| poll_upload(&mut stream, &mut body, &mistake, cx)).await;
            });
            Some(Uploading(task.abort_handle()))
        }
        _ => None,
    };
    let mistake = mistake.filter(|_| upload.is_some());
    lease.finished = receiving.is_end_stream();
    let body = UpstreamBody {
        receiving,
        data_ended: false,
        left: None,
        upload,
        mistake,
        lease,
        label: Arc::clone(label),
    };
    Ok(Response::from_parts(head, body))
}

/// The client's frames on their way up. Ends when all is sent or the upstream wants no more; an error is the client's.
/// Where it is not polled to its end, its stream resets when it is dropped.
fn poll_upload(
    stream: &mut SendStream<Bytes>,
    body: &mut Replay,
    mistake: &Mistake,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Status>> {
    loop {
        // Nothing is read from the client that could not be sent: its own window fills up then.
        stream.reserve_capacity(1);
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Ok(())),
            }
        }
        // Why the upstream stopped reading is for its reply to say.
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => {
                // An error here means that the stream is closed: its reply says why.
                let _ = stream.send_data(Bytes::new(), true);
                return Poll::Ready(Ok(()));
            }
            Some(Ok(frame)) => {
                // A client's trailers mean nothing in gRPC.
                let Ok(data) = frame.into_data() else { continue };
                let last = body.is_end_stream();
                if stream.send_data(data, last).is_err() || last {
                    return Poll::Ready(Ok(()));
                }
            }
            Some(Err(error)) => {
                let status = status_of(error, Whose::Client);
                let status = mistake.get_or_init(|| status).clone();
                stream.send_reset(Reason::CANCEL);
                return Poll::Ready(Err(status));
            }
        }
    }
}

/// An upload that ends with the reply.
struct Uploading(AbortHandle);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The frames of a reply as they come, then its trailers; an error says what became of the stream.
pub(in crate::dispatch) struct UpstreamBody {
    receiving: RecvStream,
    data_ended: bool,
    /// How much of it is still to come, where that is known.
    left: Option<u64>,
    #[expect(dead_code, reason = "held to end the upload with the reply")]
    upload: Option<Uploading>,
    mistake: Option<Arc<OnceLock<Status>>>,
    lease: Lease,
    label: Arc<str>,
}

impl UpstreamBody {
    /// It is known how long it is.
    pub(in crate::dispatch) fn of_length(self, left: Option<u64>) -> Self {
        Self { left, ..self }
    }

    fn failed(&mut self, error: &h2::Error) -> Status {
        self.lease.finished = error.is_remote() || error.is_io();
        match self.mistake.as_ref().and_then(|mistake| mistake.get()) {
            Some(status) => status.clone(),
            None => failure(&self.label, error),
        }
    }
}

impl http_body::Body for UpstreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if !this.data_ended {
            match ready!(this.receiving.poll_data(cx)) {
                Some(Ok(data)) => {
                    // The reader asks for the next piece only when this one is on its way.
                    let _ = this.receiving.flow_control().release_capacity(data.len());
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(this.failed(&error)))),
                None => this.data_ended = true,
            }
        }
        let trailers = ready!(this.receiving.poll_trailers(cx));
        Poll::Ready(match trailers {
            Ok(trailers) => {
                this.lease.finished = true;
                trailers.map(|trailers| Ok(Frame::trailers(trailers)))
            }
            Err(error) => Some(Err(this.failed(&error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.receiving.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// True where HTTP/2 guarantees that the upstream has not processed a stream (RFC 9113, 6.8 and 8.7).
fn is_unsent(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
}

/// "gRPC over HTTP/2", HTTP2 Transport Mapping, Errors.
fn failure(label: &str, error: &h2::Error) -> Status {
    let fault = match () {
        // A header that h2 does not write says nothing of the upstream. (h2 has no name for it.)
        () if error.to_string().ends_with("malformed headers") => {
            Fault { refusal: None, whose: Whose::Gateway, retry: false }
        }
        () if is_unsent(error) => Fault::upstream().unsent(),
        () => Fault::upstream(),
    };
    let reason = error.reason().unwrap_or(Reason::NO_ERROR);
    let named = ReasonName(reason);
    let status = if error.is_go_away() && error.is_remote() {
        Status::unavailable(format!("{label} closed the connection ({named})"))
    } else if error.is_reset() && error.is_remote() {
        Status::new(code_of_reset(reason), format!("{label} reset the stream ({named})"))
    } else if error.is_library() {
        Status::internal(format!("{label} sent what is not HTTP/2 ({named})"))
    } else if error.is_io() {
        Status::unavailable(format!("the connection to {label} broke: {error}"))
    } else if error.is_reset() {
        Status::cancelled(format!("the call to {label} was given up"))
    } else {
        Status::internal(format!("the call could not be sent to {label}: {error}"))
    };
    fault.on(status)
}

fn code_of_reset(reason: Reason) -> Code {
    match reason {
        Reason::REFUSED_STREAM => Code::Unavailable,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    }
}

/// A reason as RFC 9113 names it.
struct ReasonName(Reason);

impl std::fmt::Display for ReasonName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // h2 prints its names in Debug and prose in Display.
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_have_the_codes_of_the_specification() {
        let rows = [
            (Reason::NO_ERROR, Code::Internal),
            (Reason::PROTOCOL_ERROR, Code::Internal),
            (Reason::INTERNAL_ERROR, Code::Internal),
            (Reason::FLOW_CONTROL_ERROR, Code::Internal),
            (Reason::FRAME_SIZE_ERROR, Code::Internal),
            (Reason::REFUSED_STREAM, Code::Unavailable),
            (Reason::CANCEL, Code::Cancelled),
            (Reason::COMPRESSION_ERROR, Code::Internal),
            (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
            (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
            (Reason::HTTP_1_1_REQUIRED, Code::Internal),
        ];
        for (reason, code) in rows {
            assert_eq!(code_of_reset(reason), code, "{reason:?}");
        }
        assert_eq!(ReasonName(Reason::CANCEL).to_string(), "CANCEL");
    }
}
