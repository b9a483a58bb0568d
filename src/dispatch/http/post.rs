//! What the gateway itself sends to a server over HTTP: a body that is all there, and the whole of a short answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{HOST, USER_AGENT},
    uri::PathAndQuery,
};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{HttpUpstream, Outline, lend::Lender, transport::Sent};
use crate::{
    call::{Body, Frames},
    dispatch::{
        balance::{Attempts, FAIR, Failure, Plan, Reach},
        deadline,
        replay::Outgoing,
    },
};

/// An answer.
#[derive(Debug)]
pub struct Posted {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// At most as much of it as was asked for.
    pub body: Bytes,
}

impl HttpUpstream {
    /// Posts a body and reads the answer, of which at most `most` bytes are kept. The breaker and the limit are no matter,
    /// and it is not counted.
    ///
    /// # Errors
    /// UNAVAILABLE: it cannot be reached, or does not answer in HTTP; DEADLINE_EXCEEDED: it takes longer than `limit`.
    pub async fn post(
        &self,
        path: PathAndQuery,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
        most: usize,
    ) -> Result<Posted, Status> {
        let until = Instant::now() + limit;
        let outline = self.own_outline(Method::POST, path, headers);
        let posting = async {
            let (head, body) = self.exchange(outline, body).await?.into_parts();
            Ok(Posted { status: head.status, headers: head.headers, body: beginning(body, most).await })
        };
        timeout_at(until, posting).await.unwrap_or_else(|_| Err(deadline::passed("it answered", self)))
    }

    /// Sends a request of the gateway's own and gives the response as it comes: who reads its body bounds it. The breaker and the
    /// limit are no matter, and it is not counted.
    ///
    /// # Errors
    /// As of [`HttpUpstream::post`]: `limit` is for the response's head.
    pub async fn open(
        &self,
        method: Method,
        path: PathAndQuery,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Response<Body>, Status> {
        let until = Instant::now() + limit;
        let exchange = self.exchange(self.own_outline(method, path, headers), body);
        timeout_at(until, exchange).await.unwrap_or_else(|_| Err(deadline::passed("it answered", self)))
    }

    fn own_outline(&self, method: Method, path: PathAndQuery, mut headers: HeaderMap) -> Outline {
        const OURS: &str = concat!("propylon/", env!("CARGO_PKG_VERSION"));
        headers.insert(HOST, self.head.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(OURS));
        headers.extend(self.head.headers.clone());
        Outline { method, path, headers, keep_host: false, expected: None, upload: None, until: None }
    }

    async fn exchange(&self, outline: Outline, body: Bytes) -> Result<Response<Body>, Status> {
        let plan = Plan {
            repeatable: false,
            retry: None,
            deadline: None,
            fair: FAIR,
            key: None,
            own: true,
            tunnel: false,
            record: None,
        };
        let mut call = Attempts::begin(&self.balance, plan).await?;
        let outgoing = Outgoing::new(Frames::Stream(Body::from(body.clone())), body.len());
        let mut sent =
            if self.settings.http2 { Sent::Http2(outgoing) } else { Sent::Http1(Lender::new(outgoing)) };
        loop {
            let endpoint = call.next().await?;
            let request = self.head.request(endpoint.origin, &outline)?;
            let failure = match endpoint.transport.send(request, &mut sent, &endpoint.label).await {
                Ok(response) => {
                    call.went_well();
                    return Ok(response);
                }
                Err(lost) => Failure::new(lost.status, lost.reach),
            };
            // Only what nobody can have seen is sent again here: its sender knows how often, and when.
            let again = call.again(&failure, sent.is_whole() && failure.reach != Reach::Seen);
            if again.filter(|_| sent.rewind()).is_none() {
                return Err(failure.status);
            }
        }
    }
}

/// The beginning of a body. One that breaks off is as long as what has come of it: its head says how it went.
async fn beginning(mut body: Body, most: usize) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let room = most - read.len();
        read.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        if data.len() >= room {
            break;
        }
    }
    read.freeze()
}
