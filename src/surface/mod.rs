//! The surfaces: each is the codec of one protocol, which opens a request as a [`Call`] and closes its outcome as a
//! response. [`classify`] says whose a request is, [`serve`] takes it down the one road and back.

pub mod grpc;
pub mod grpc_web;
mod handshake;
pub mod http;
mod json;
pub mod mcp;
pub mod metadata;
pub mod rest;
pub mod timeout;

#[cfg(test)]
pub(crate) mod testing;

use std::{future::Future, net::SocketAddr};

use ::http::{Extensions, HeaderMap, HeaderValue, header::CONTENT_TYPE};
use tonic::{Code, Status};

pub use self::json::json;
use crate::{
    call::{Body, Call, Peer, Record, Reply, Road},
    status,
};

/// A client's request as the server hands it over; its extensions hold the [`Peer`].
pub type Request = ::http::Request<Body>;
/// What a client gets.
pub type Response = ::http::Response<Body>;

/// Serves one request: opens it as a call, runs the call, closes its outcome as a response.
pub async fn serve<S: Surface>(surface: &S, road: &impl Road, request: Request) -> Response {
    let (answer, call) = surface.open(request).await;
    answer.close(road.run(call).await).await
}

/// In the extensions of a response that is an error body: the status it was made of, for those within who ask.
#[derive(Debug, Clone)]
pub struct Failed {
    pub code: Code,
    pub message: String,
    /// The number of an error of JSON-RPC, where it is one.
    pub number: Option<i32>,
}

impl Failed {
    pub(crate) fn by(status: &tonic::Status) -> Self {
        Self { code: status.code(), message: status.message().to_owned(), number: None }
    }

    /// Writes it down.
    pub fn tell(&self, record: &Record) {
        record.failed(self.code, &self.message);
        if let Some(number) = self.number {
            record.answered_with(number);
        }
    }

    /// What a response tells of a failure, in an error body or in a head of gRPC's; `None` for any other.
    #[must_use]
    pub fn of(response: &Response) -> Option<Self> {
        let in_head = || match status::from_trailers(response.headers()) {
            Some(Err(status)) => Some(Self::by(&status)),
            _ => None,
        };
        response.extensions().get::<Self>().cloned().or_else(in_head)
    }
}

/// The codec of one protocol. (A request that is upgraded is opened here too, and then takes [`Road::admit`] and
/// [`Road::dispatch`] apart, because its 101 lies between them; its surface has a `serve` of its own.)
pub trait Surface: Send + Sync {
    type Answer: Answer;

    /// Reads a request's head. There is always an answer, so that a request which cannot be opened is refused in its
    /// own protocol, and always a call, so that it is admitted first ([`Message::Settled`](crate::call::Message::Settled)).
    /// The body is not read here.
    fn open(&self, request: Request) -> impl Future<Output = (Self::Answer, Call)> + Send;
}

/// Knows how to speak to one client.
pub trait Answer: Send {
    /// Makes the response of a call's outcome. The reply's guards live until the response's body ends.
    fn close(self, outcome: Result<Reply, Status>) -> impl Future<Output = Response> + Send;
}

/// The protocol a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2. (Over HTTP/1.1 it is refused, by its own surface.)
    Grpc,
    /// gRPC-Web; `text` where its body is base64.
    GrpcWeb { text: bool },
    /// Model Context Protocol: what is sent to its endpoint and is not gRPC.
    Mcp,
    /// Everything else.
    Rest,
}

impl Protocol {
    /// True where messages are JSON on the client's side, and headers are plain HTTP's.
    #[must_use]
    pub fn is_json(self) -> bool {
        match self {
            Self::Grpc | Self::GrpcWeb { .. } => false,
            Self::Mcp | Self::Rest => true,
        }
    }
}

/// Says which protocol a request speaks: its content type decides, whatever its method and path. A CORS preflight has
/// none, and has been answered before. What is REST here is [`Protocol::Mcp`] at the path that the config gives to that, as
/// the snapshot knows.
#[must_use]
pub fn classify<B>(request: &::http::Request<B>) -> Protocol {
    content_type(request.headers()).map_or(Protocol::Rest, |(protocol, _)| protocol)
}

/// The gRPC protocol of a request, and how its messages are written (`proto`; empty where it does not say).
pub(crate) fn content_type(headers: &HeaderMap) -> Option<(Protocol, &[u8])> {
    headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).and_then(media_type)
}

/// Reads `application/grpc[-web[-text]][+codec][;parameters]` (gRPC over HTTP/2 and gRPC-Web, Content-Type).
pub(crate) fn media_type(value: &[u8]) -> Option<(Protocol, &[u8])> {
    const GRPC: usize = "application/grpc".len();
    let (prefix, rest) = value.split_at_checked(GRPC)?;
    if !prefix.eq_ignore_ascii_case(b"application/grpc") {
        return None;
    }
    let rest = rest.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let (kind, codec) = match rest.iter().position(|byte| *byte == b'+') {
        Some(plus) => (rest.get(..plus).unwrap_or_default(), rest.get(plus + 1..).unwrap_or_default()),
        None => (rest, &b""[..]),
    };
    let protocol = match kind {
        b"" => Protocol::Grpc,
        web if web.eq_ignore_ascii_case(b"-web") => Protocol::GrpcWeb { text: false },
        text if text.eq_ignore_ascii_case(b"-web-text") => Protocol::GrpcWeb { text: true },
        _ => return None,
    };
    Some((protocol, codec))
}

/// Who sent a request, as the server noted it; an unspecified address where it did not.
#[must_use]
pub fn peer(extensions: &Extensions) -> Peer {
    extensions.get().cloned().unwrap_or_else(|| Peer::at(SocketAddr::from(([0, 0, 0, 0], 0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides() {
        let check = |value: &str, want: Protocol| {
            let request = ::http::Request::get("/").header(CONTENT_TYPE, value).body(()).unwrap();
            assert_eq!(classify(&request), want, "{value}");
        };
        for value in [
            "application/grpc",
            "application/grpc+proto",
            "application/GRPC; charset=utf-8",
            "application/grpc+json",
        ] {
            check(value, Protocol::Grpc);
        }
        for value in ["application/grpc-web", "application/grpc-web+proto", "Application/grpc-Web ;a=b"] {
            check(value, Protocol::GrpcWeb { text: false });
        }
        for value in ["application/grpc-web-text", "application/grpc-web-text+proto"] {
            check(value, Protocol::GrpcWeb { text: true });
        }
        for value in [
            "",
            "application/json",
            "application/grpcurl",
            "application/grpc-",
            "application/grpc-web-",
            "application/grpc-webtext",
            "application/grp",
            "text/application/grpc",
        ] {
            check(value, Protocol::Rest);
        }
        assert_eq!(classify(&::http::Request::new(())), Protocol::Rest);
    }
}
