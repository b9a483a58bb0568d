//! What closes a [`Record`]: the response's body, which counts its bytes, or nothing at all, where the client went away first;
//! and what tells it the gRPC status that a reply ends with.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body as _, Frame, SizeHint};
use tonic::Code;

use super::{Body, Record, record::Responds};
use crate::status::from_trailers;

/// The types of bodies that go on for as long as somebody likes.
const STREAMS: [&str; 6] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json-seq",
    "multipart/x-mixed-replace",
];

/// A request that has no response yet. Dropped before there is one, its client has gone.
#[derive(Debug)]
pub struct Unanswered(Option<Arc<Record>>);

impl Unanswered {
    #[must_use]
    pub fn new(record: Arc<Record>) -> Self {
        Self(Some(record))
    }

    /// The response that closes the record when its body has ended; a tunnel's does so when that has.
    pub fn answered(mut self, response: Response<Body>) -> Response<Body> {
        let Some(record) = self.0.take() else { return response };
        let status = response.status();
        let connected = record.arrived().method == Method::CONNECT && status.is_success();
        let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let length = response.body().size_hint().exact();
        let how = match kind {
            _ if connected || status == StatusCode::SWITCHING_PROTOCOLS => Responds::Tunnel,
            kind if STREAMS.iter().any(|stream| kind.starts_with(stream.as_bytes())) => Responds::Stream,
            _ if length.is_none() && !kind.starts_with(b"application/grpc") => Responds::Open,
            _ => Responds::Whole,
        };
        if record.responds(status, how) {
            return response;
        }
        response.map(|body| {
            let recorded = Recorded {
                body,
                record,
                bytes: 0,
                pieces: 0,
                length,
                open: how == Responds::Open,
                ended: false,
            };
            Body::new(recorded)
        })
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(record) = &self.0 {
            record.close(0, true);
        }
    }
}

/// A response's body that closes its record.
struct Recorded {
    body: Body,
    record: Arc<Record>,
    bytes: u64,
    /// Pieces that it came in.
    pieces: usize,
    /// Its head does not say what it is.
    open: bool,
    /// How long it is, where that is known.
    length: Option<u64>,
    ended: bool,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => {
                    this.bytes += data.len() as u64;
                    this.pieces += 1;
                }
                // Nothing follows trailers.
                None => this.ended = true,
            },
            Some(Err(error)) => {
                this.ended = true;
                this.record.failed(Code::Unavailable, &error.to_string());
            }
            None => this.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // Who writes a body of known length does not ask it whether that was all.
        let whole = self.ended || self.length == Some(self.bytes) || self.body.is_end_stream();
        // What the body holds is told of first: the attempt that it came by.
        drop(mem::replace(&mut self.body, Body::empty()));
        if self.open && self.pieces < 2 {
            self.record.was_whole();
        }
        self.record.close(self.bytes, !whole);
    }
}

/// The body of a reply, which tells a record the status in its trailers.
pub(crate) struct Told<B> {
    body: B,
    record: Arc<Record>,
}

impl<B> Told<B> {
    pub(crate) fn new(body: B, record: Arc<Record>) -> Self {
        Self { body, record }
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Told<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(said) = frame.trailers_ref().and_then(from_trailers)
        {
            this.record.said(said.as_ref().copied());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::Mutex,
        time::{Duration, Instant},
    };

    use futures_util::stream;
    use http::{Extensions, HeaderMap, Version};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;
    use crate::call::{Arrived, Ended, Lasting, Observer, Observers, Outcome, Way};

    /// Remembers what it was shown, a line each.
    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Observer for Seen {
        fn ended(&self, call: &Ended<'_>) {
            let status = call.http_status.map_or(0, |status| status.as_u16());
            let code = call.code.map(|code| code as i32);
            let attempts: Vec<_> = call
                .attempts()
                .map(|attempt| {
                    let how = match &attempt.outcome {
                        Outcome::Open => "open".to_owned(),
                        Outcome::Answered => "answered".to_owned(),
                        Outcome::Failed { code, message, .. } => format!("{code:?} {message}"),
                    };
                    format!("{} {} {how}", attempt.upstream, attempt.endpoint)
                })
                .collect();
            assert!(call.took < Duration::from_secs(60) && call.arrived.at <= Instant::now());
            self.0.lock().unwrap().push(format!(
                "{} {status} {code:?} {} bytes, cancelled: {}, {:?} {attempts:?}",
                call.way.name(),
                call.response_bytes,
                call.cancelled,
                call.message
            ));
        }
    }

    fn record(method: Method) -> (Arc<Record>, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let arrived = Arrived {
            at: Instant::now(),
            way: Way::Rest,
            method,
            uri: "/v1/books".parse().unwrap(),
            version: Version::HTTP_11,
            secure: false,
            peer: [127, 0, 0, 1].into(),
            host: None,
            user_agent: None,
            request_id: HeaderValue::from_static("1"),
            request_bytes: None,
            trace: None,
        };
        let observers: Observers = Arc::new([Arc::clone(&seen) as Arc<dyn Observer>]);
        (Record::begin(arrived, &observers), seen)
    }

    fn lines(seen: &Seen) -> Vec<String> {
        std::mem::take(&mut seen.0.lock().unwrap())
    }

    fn chunks(chunks: &[&'static str]) -> Body {
        let frames: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from_static(chunk.as_bytes()))))
            .collect();
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    fn answered(record: &Arc<Record>, body: Body) -> Response<Body> {
        Unanswered::new(Arc::clone(record)).answered(Response::new(body))
    }

    #[tokio::test]
    async fn a_record_ends_with_the_last_byte_of_the_response() {
        let (record, seen) = record(Method::GET);
        let mut response = answered(&record, chunks(&["four", "and five"]));
        while response.body_mut().frame().await.is_some() {
            assert!(lines(&seen).is_empty());
        }
        drop(response);
        assert_eq!(lines(&seen), ["rest 200 None 12 bytes, cancelled: false, None []"]);
        record.close(1, true);
        assert!(lines(&seen).is_empty(), "once");
    }

    #[tokio::test]
    async fn a_client_that_goes_away_cancels_its_call() {
        let (gone, seen) = record(Method::GET);
        drop(Unanswered::new(gone));
        assert_eq!(lines(&seen), ["rest 0 Some(1) 0 bytes, cancelled: true, None []"]);
        let (gone, seen) = record(Method::GET);
        let mut response = answered(&gone, chunks(&["four", "and five"]));
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        assert_eq!(lines(&seen), ["rest 200 Some(1) 4 bytes, cancelled: true, None []"]);
    }

    #[tokio::test]
    async fn who_knows_a_bodys_length_does_not_ask_for_its_end() {
        for body in [Body::empty(), Body::from("whole")] {
            let (record, seen) = record(Method::GET);
            let mut response = answered(&record, body);
            let bytes = match response.body_mut().frame().await {
                Some(frame) => frame.unwrap().into_data().unwrap().len(),
                None => 0,
            };
            drop(response);
            assert_eq!(lines(&seen), [format!("rest 200 None {bytes} bytes, cancelled: false, None []")]);
        }
    }

    #[tokio::test]
    async fn what_breaks_off_is_said() {
        let (record, seen) = record(Method::GET);
        let broken = vec![Ok(Frame::data(Bytes::from_static(b"half"))), Err(tonic::Status::aborted("torn"))];
        let mut response = answered(&record, Body::new(StreamBody::new(stream::iter(broken))));
        while response.body_mut().frame().await.is_some_and(|frame| frame.is_ok()) {}
        drop(response);
        let line = lines(&seen).remove(0);
        assert!(
            line.starts_with("rest 200 Some(14) 4 bytes, cancelled: false, Some(") && line.contains("torn"),
            "{line}"
        );
    }

    #[test]
    fn a_tunnels_record_ends_with_the_tunnel() {
        let switched = || {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response
        };
        let tunnel = |record: &Arc<Record>| {
            let mut extensions = Extensions::new();
            extensions.insert(Lasting::new(()));
            record.attach(&mut extensions);
            assert!(Arc::ptr_eq(&Record::of(&extensions).unwrap(), record));
            extensions.remove::<Lasting>().unwrap()
        };
        let (one, seen) = record(Method::GET);
        let lasting = tunnel(&one);
        drop(Unanswered::new(Arc::clone(&one)).answered(switched()));
        assert!(lines(&seen).is_empty());
        drop(lasting.clone());
        assert!(lines(&seen).is_empty());
        drop(lasting);
        assert_eq!(lines(&seen), ["rest 101 None 0 bytes, cancelled: false, None []"]);
        // It may have ended before its response is given.
        let (one, seen) = record(Method::GET);
        drop(tunnel(&one));
        assert!(lines(&seen).is_empty());
        drop(Unanswered::new(one).answered(switched()));
        assert_eq!(lines(&seen), ["rest 101 None 0 bytes, cancelled: false, None []"]);
        // Over HTTP/2 it is a CONNECT that goes well.
        let (one, seen) = record(Method::CONNECT);
        let lasting = tunnel(&one);
        drop(answered(&one, Body::empty()));
        assert!(lines(&seen).is_empty());
        drop(lasting);
        assert_eq!(lines(&seen).len(), 1);
    }

    #[tokio::test]
    async fn trailers_say_the_status() {
        let (record, seen) = record(Method::POST);
        let trailers: HeaderMap = [
            (crate::status::GRPC_STATUS, HeaderValue::from_static("5")),
            (crate::status::GRPC_MESSAGE, HeaderValue::from_static("no such book")),
        ]
        .into_iter()
        .collect();
        let frames =
            [Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
        let told = Told::new(StreamBody::new(stream::iter(frames)), Arc::clone(&record));
        let response = answered(&record, Body::new(told));
        response.into_body().collect().await.unwrap();
        assert_eq!(lines(&seen), ["rest 200 Some(5) 1 bytes, cancelled: false, Some(\"no such book\") []"]);
    }

    #[test]
    fn attempts_are_seen_in_their_order() {
        let (record, seen) = record(Method::POST);
        let (upstream, now) = (Arc::from("books"), Instant::now());
        let endpoint = |port| ([127, 0, 0, 1], port).into();
        let first = record.tries(&upstream, endpoint(1), now);
        record.tried(first, &tonic::Status::unavailable("refused"), false, now);
        let second = record.tries(&upstream, endpoint(2), now);
        record.answered(second, None, now);
        record.left(first, now);
        record.left(second, now);
        let third = record.tries(&upstream, endpoint(3), now);
        record.left(third, now);
        drop(answered(&record, Body::empty()));
        assert_eq!(
            lines(&seen),
            ["rest 200 None 0 bytes, cancelled: false, None [\"books 127.0.0.1:1 Unavailable refused\", \
              \"books 127.0.0.1:2 answered\", \"books 127.0.0.1:3 open\"]"]
        );
    }
}
