//! What came back becomes a reply: its head is sorted into a status or metadata, and its body is made to end with
//! trailers that hold a readable `grpc-status`, whatever happened ("gRPC over HTTP/2", Responses).

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use tonic::{Status, metadata::MetadataMap};

use super::request::strip_hop_by_hop;
use crate::{
    call::HttpStatus,
    status::{
        BASE64, Fault, GRPC_MESSAGE, GRPC_STATUS, GRPC_STATUS_DETAILS, code_of_http, from_trailers,
        ok_trailers, to_trailers,
    },
};

/// A response whose head is not an error.
pub(super) struct Opened<B> {
    pub(super) metadata: HeaderMap,
    pub(super) http_status: Option<HttpStatus>,
    /// How often the call was sent, if that was to an upstream.
    pub(super) attempts: u32,
    /// `None` for a trailers-only reply, whose status is in `metadata`.
    pub(super) body: Option<Normal<B>>,
}

/// Sorts a response's head. `from` names who answered.
///
/// # Errors
/// The status in a trailers-only head, with the head's metadata; what a head that is not gRPC's means.
pub(super) fn open<B>(from: &Arc<str>, response: Response<B>) -> Result<Opened<B>, Status>
where
    B: Body<Data = Bytes, Error = Status>,
{
    let (mut parts, body) = response.into_parts();
    let http_status = parts.extensions.remove::<HttpStatus>();
    let mut metadata = parts.headers;
    let said = from_trailers(&metadata);
    let grpc = parts.status == StatusCode::OK && is_grpc(&metadata);
    if said.is_none() && !grpc {
        let status = not_grpc(from, parts.status, &metadata);
        return Err(with_metadata(status, metadata));
    }
    strip_hop_by_hop(&mut metadata);
    let ended_well = match said {
        Some(Err(status)) => return Err(with_metadata(status, metadata)),
        Some(Ok(())) if body.is_end_stream() => {
            return Ok(Opened { metadata, http_status, attempts: 0, body: None });
        }
        Some(Ok(())) => {
            // A status before the body: it counts if nothing follows.
            remove_status(&mut metadata);
            true
        }
        None => false,
    };
    let body = Normal { body: Some(body), from: Arc::clone(from), ended_well };
    Ok(Opened { metadata, http_status, attempts: 0, body: Some(body) })
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    matches!(value.strip_prefix(b"application/grpc"), Some([] | [b'+' | b';' | b' ', ..]))
}

fn not_grpc(from: &str, http: StatusCode, headers: &HeaderMap) -> Status {
    let message = if http == StatusCode::OK {
        match headers.get(CONTENT_TYPE) {
            Some(value) => format!("{from} answered with content-type {value:?}, not application/grpc"),
            None => format!("{from} answered without a content-type, not with application/grpc"),
        }
    } else {
        format!("{from} answered with HTTP status {}, not with gRPC", http.as_u16())
    };
    Fault::upstream().on(Status::new(code_of_http(http), message))
}

fn with_metadata(mut status: Status, mut metadata: HeaderMap) -> Status {
    strip_hop_by_hop(&mut metadata);
    remove_status(&mut metadata);
    *status.metadata_mut() = MetadataMap::from_headers(metadata);
    status
}

fn remove_status(headers: &mut HeaderMap) {
    headers.remove(GRPC_STATUS);
    headers.remove(GRPC_MESSAGE);
    headers.remove(GRPC_STATUS_DETAILS);
}

/// A body that never fails and always ends with trailers that hold a readable `grpc-status`.
pub(super) struct Normal<B> {
    /// `None` once it has ended: nothing more is read, and what it holds is free.
    body: Option<B>,
    from: Arc<str>,
    /// True where the head said OK already.
    ended_well: bool,
}

impl<B> Normal<B> {
    /// What it is made of, until it has ended.
    pub(super) fn get_mut(&mut self) -> Option<&mut B> {
        self.body.as_mut()
    }

    fn end(&mut self, trailers: HeaderMap) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.body = None;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn unknown(&self) -> Status {
        let status = Status::unknown(format!("{} ended its reply without a grpc-status", self.from));
        Fault::upstream().on(status)
    }

    fn trailers(&self, mut trailers: HeaderMap) -> HeaderMap {
        let status = match from_trailers(&trailers) {
            Some(Ok(())) => return trailers,
            Some(Err(status)) if is_readable(&trailers, &status) => return trailers,
            Some(Err(status)) => status,
            None => self.unknown(),
        };
        remove_status(&mut trailers);
        to_trailers(&status, &mut trailers);
        trailers
    }
}

/// True if trailers say themselves what was read from them.
pub(super) fn is_readable(trailers: &HeaderMap, status: &Status) -> bool {
    let said = trailers.get(GRPC_STATUS).and_then(|value| value.to_str().ok());
    let details = trailers.get(GRPC_STATUS_DETAILS);
    let lost_details = |value: &http::HeaderValue| {
        use base64::Engine as _;
        status.details().is_empty()
            && BASE64.decode(value.as_bytes()).map_or(true, |details| !details.is_empty())
    };
    said.and_then(|said| said.parse().ok()) == Some(status.code() as i32)
        && !details.is_some_and(lost_details)
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Normal<B> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => {
                this.ended_well = false;
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Ok(frame)) => {
                let trailers = this.trailers(frame.into_trailers().unwrap_or_default());
                this.end(trailers)
            }
            Some(Err(status)) => {
                let mut trailers = HeaderMap::new();
                to_trailers(&status, &mut trailers);
                this.end(trailers)
            }
            None if this.ended_well => this.end(ok_trailers()),
            None => {
                let mut trailers = HeaderMap::new();
                to_trailers(&this.unknown(), &mut trailers);
                this.end(trailers)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<B> fmt::Debug for Normal<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Normal({})", self.from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt as _;
    use tonic::Code;

    use super::*;

    /// A body of given frames that says only at its end that it ended, unless it is empty from the start.
    struct Script(VecDeque<Result<Frame<Bytes>, Status>>, bool);

    impl Body for Script {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front())
        }

        fn is_end_stream(&self) -> bool {
            self.1
        }
    }

    fn map(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        rows.iter().map(|(n, v)| (n.parse().unwrap(), http::HeaderValue::from_static(v))).collect()
    }

    fn response(
        status: u16,
        headers: &[(&'static str, &'static str)],
        frames: Vec<Result<Frame<Bytes>, Status>>,
        ended: bool,
    ) -> Result<Opened<Script>, Status> {
        let mut response = Response::new(Script(frames.into(), ended));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        *response.headers_mut() = map(headers);
        open(&"upstream \"u\" (a:1)".into(), response)
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    #[test]
    fn a_head_that_is_an_error() {
        let check = |status, headers: &[(&'static str, &'static str)], code: Code, message: &str| {
            let got = response(status, headers, vec![], true).err().unwrap();
            assert_eq!((got.code(), got.message()), (code, message));
            assert!(got.metadata().as_ref().get("content-type").is_none());
            assert!(got.metadata().as_ref().get("grpc-status").is_none());
            got
        };
        let said = check(
            200,
            &[GRPC, ("grpc-status", "5"), ("grpc-message", "no"), ("x-a", "b")],
            Code::NotFound,
            "no",
        );
        assert_eq!(said.metadata().get("x-a").unwrap(), "b");
        check(503, &[GRPC, ("grpc-status", "7")], Code::PermissionDenied, "");
        check(
            503,
            &[],
            Code::Unavailable,
            "upstream \"u\" (a:1) answered with HTTP status 503, not with gRPC",
        );
        check(
            404,
            &[GRPC],
            Code::Unimplemented,
            "upstream \"u\" (a:1) answered with HTTP status 404, not with gRPC",
        );
        check(
            200,
            &[("content-type", "application/grpc-web")],
            Code::Unknown,
            "upstream \"u\" (a:1) answered with content-type \"application/grpc-web\", not application/grpc",
        );
        check(
            200,
            &[GRPC, ("grpc-status", "x")],
            Code::Unknown,
            "the upstream's grpc-status \"x\" is not a status code",
        );
    }

    #[tokio::test]
    async fn a_body_always_ends_with_a_readable_status() {
        async fn check(
            frames: Vec<Result<Frame<Bytes>, Status>>,
            data: &str,
            want: &[(&'static str, &'static str)],
        ) {
            let opened = response(200, &[GRPC], frames, false).unwrap();
            let collected = opened.body.unwrap().collect().await.unwrap();
            let trailers = collected.trailers().unwrap().clone();
            assert_eq!(collected.to_bytes(), data);
            assert_eq!(trailers, map(want));
        }
        let data = || Ok(Frame::data(Bytes::from_static(b"x")));
        let none = "upstream \"u\" (a:1) ended its reply without a grpc-status";
        let rows: &[(&'static str, &'static str)] =
            &[("grpc-status", "0"), ("x-a", "1"), ("x-a", "2"), ("y-bin", "AAA")];
        check(vec![data(), Ok(Frame::trailers(map(rows)))], "x", rows).await;
        let rows: &[(&'static str, &'static str)] =
            &[("grpc-status", "5"), ("grpc-message", "a%20b"), ("grpc-status-details-bin", "CAU")];
        check(vec![Ok(Frame::trailers(map(rows)))], "", rows).await;
        check(vec![data()], "x", &[("grpc-status", "2"), ("grpc-message", none)]).await;
        check(vec![], "", &[("grpc-status", "2"), ("grpc-message", none)]).await;
        check(
            vec![Ok(Frame::trailers(map(&[("x-a", "1")]))), data()],
            "",
            &[("grpc-status", "2"), ("grpc-message", none), ("x-a", "1")],
        )
        .await;
        check(
            vec![data(), Err(Status::unavailable("gone")), data()],
            "x",
            &[("grpc-status", "14"), ("grpc-message", "gone")],
        )
        .await;
        let malformed = "the upstream answered INTERNAL with a malformed grpc-status-details-bin: m";
        check(
            vec![Ok(Frame::trailers(map(&[
                ("grpc-status", "13"),
                ("grpc-message", "m"),
                ("grpc-status-details-bin", "!"),
                ("x-a", "1"),
            ])))],
            "",
            &[("grpc-status", "13"), ("grpc-message", malformed), ("x-a", "1")],
        )
        .await;
        let code = "the upstream's grpc-status \"99\" is not a status code";
        check(
            vec![Ok(Frame::trailers(map(&[("grpc-status", "99")])))],
            "",
            &[("grpc-status", "2"), ("grpc-message", code)],
        )
        .await;
    }

    #[tokio::test]
    async fn a_status_ahead_of_the_body_counts_if_nothing_follows() {
        let head = [GRPC, ("grpc-status", "0"), ("x-a", "1")];
        let opened = response(200, &head, vec![], true).unwrap();
        assert!(opened.body.is_none());
        assert_eq!(opened.metadata, map(&[("grpc-status", "0"), ("x-a", "1")]));
        let opened = response(200, &head, vec![], false).unwrap();
        assert_eq!(opened.metadata, map(&[("x-a", "1")]));
        let collected = opened.body.unwrap().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&map(&[("grpc-status", "0")])));
    }
}
