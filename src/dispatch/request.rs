//! The request a call is sent as: its metadata becomes the headers of a gRPC request ("gRPC over HTTP/2", Requests),
//! and its body keeps the client's own mistake apart from what the service makes of it.

use std::{
    cell::RefCell,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
        USER_AGENT,
    },
};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::Status;

use super::deadline;
use crate::{
    call::{Body, status_of},
    status::Whose,
};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Makes a call's metadata the headers of a gRPC request; the deadline becomes what is left of it.
pub(super) fn head(metadata: &mut HeaderMap, deadline: Option<Instant>) {
    strip_hop_by_hop(metadata);
    metadata.remove(HOST);
    metadata.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    metadata.insert(TE, HeaderValue::from_static("trailers"));
    match deadline {
        Some(deadline) => tell(metadata, deadline),
        None => {
            metadata.remove(GRPC_TIMEOUT);
        }
    }
    if !metadata.contains_key(USER_AGENT) {
        const OURS: &str = concat!("propylon/", env!("CARGO_PKG_VERSION"));
        metadata.insert(USER_AGENT, HeaderValue::from_static(OURS));
    }
}

/// Tells an upstream what is left of a call's time.
pub(super) fn tell(headers: &mut HeaderMap, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    headers.insert(GRPC_TIMEOUT, deadline::timeout_value(left));
}

/// Says where a call comes from. What the client says of that itself is gone: whom to believe was decided before, and the
/// client is who was believed.
pub(super) fn say_where_from(headers: &mut HeaderMap, client: IpAddr, secure: bool) {
    static NAMES: [HeaderName; 3] = [FORWARDED, FORWARDED_HOST, REAL_IP];
    while let Some(name) = headers.keys().find(|name| NAMES.contains(name)) {
        let name = name.clone();
        headers.remove(name);
    }
    // An address is no value that a header cannot have; but what the client says may never stay.
    match written(client) {
        Some(client) => headers.insert(FORWARDED_FOR, client),
        None => headers.remove(FORWARDED_FOR),
    };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
}

/// An address as a header's value. Most calls come by connections that have sent others: a thread keeps some.
fn written(client: IpAddr) -> Option<HeaderValue> {
    const KEPT: usize = 64;
    thread_local! {
        static SEEN: RefCell<[Option<(IpAddr, HeaderValue)>; KEPT]> = const { RefCell::new([const { None }; KEPT]) };
    }
    let last = match client {
        IpAddr::V4(client) => client.octets()[3],
        IpAddr::V6(client) => client.octets()[7] ^ client.octets()[15],
    };
    SEEN.with_borrow_mut(|seen| {
        let place = seen.get_mut(usize::from(last) % KEPT)?;
        match place {
            Some((known, value)) if *known == client => Some(value.clone()),
            _ => {
                let value = HeaderValue::try_from(client.to_string()).ok()?;
                *place = Some((client, value.clone()));
                Some(value)
            }
        }
    })
}

/// Removes what belongs to one connection (RFC 9110, 7.6.1) or to one body's framing, not to a call.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    static NAMES: [HeaderName; 9] = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        TE,
        TRAILER,
        CONTENT_LENGTH,
        CONTENT_TYPE,
    ];
    // A map has few names and mostly none of these: looking at each once is cheaper than nine look-ups by hash.
    while let Some(name) = headers.keys().find(|name| NAMES.contains(name)) {
        let name = name.clone();
        headers.remove(name);
    }
}

/// The client's mistake, once it was seen.
pub(super) type Mistake = Arc<OnceLock<Status>>;

/// A request body that remembers its error: the call must end with that status, whatever the service says.
pub(super) struct Watched {
    body: Body,
    mistake: Mistake,
}

impl Watched {
    pub(super) fn new(body: Body) -> (Self, Mistake) {
        let mistake = Mistake::default();
        (Self { body, mistake: Arc::clone(&mistake) }, mistake)
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                let status = status_of(error, Whose::Client);
                self.mistake.get_or_init(|| status).clone()
            })
        }))
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
    use super::*;

    #[test]
    fn an_upstream_is_told_who_was_believed() {
        let mut metadata = HeaderMap::new();
        for name in
            ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "x-a"]
        {
            for value in ["mine", "more"] {
                metadata.append(name, HeaderValue::from_static(value));
            }
        }
        say_where_from(&mut metadata, [203, 0, 113, 7].into(), true);
        let mut told: Vec<_> =
            metadata.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        told.sort();
        assert_eq!(
            told,
            ["x-a: mine", "x-a: more", "x-forwarded-for: 203.0.113.7", "x-forwarded-proto: https"]
        );
    }

    #[test]
    fn addresses_that_share_a_place_are_told_apart() {
        for client in ["192.0.2.1", "192.0.2.65", "192.0.2.1", "2001:db8::1", "2001:db8::41", "2001:db8::1"] {
            assert_eq!(written(client.parse().unwrap()).unwrap(), client);
        }
    }

    #[tokio::test]
    async fn metadata_becomes_a_grpc_head() {
        let mut metadata = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-kept"),
            ("te", "gzip"),
            ("x-kept", "1"),
            ("grpc-timeout", "9H"),
            ("grpc-encoding", "gzip"),
            ("host", "a"),
            ("content-length", "7"),
        ] {
            metadata.append(name, HeaderValue::from_static(value));
        }
        head(&mut metadata, None);
        let mut names: Vec<_> =
            metadata.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        names.sort();
        let agent = concat!("user-agent: propylon/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            names,
            ["content-type: application/grpc", "grpc-encoding: gzip", "te: trailers", agent, "x-kept: 1"]
        );
        head(&mut metadata, Some(Instant::now()));
        assert_eq!(metadata["grpc-timeout"], "1n");
    }
}
