//! One question to a gRPC server and its answer, over the same relay as any call: what the commands ask a running gateway, and
//! what the gateway itself sends elsewhere.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, uri::PathAndQuery};
use prost::Message;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{Upstream, deadline, reply::Opened, request};
use crate::{
    call::{Body, Encoding, FrameReader, Frames, frame},
    status::{Fault, Whose, from_trailers},
};

/// The longest answer, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// Calls a unary method at `path` (`/package.Service/Method`).
///
/// # Errors
/// The server's own status; UNAVAILABLE: it cannot be reached; DEADLINE_EXCEEDED: it takes longer than `limit`; INTERNAL:
/// what it answers is not the protocol.
pub async fn ask<A: Message + Default>(
    upstream: &Arc<Upstream>,
    path: &'static str,
    question: &impl Message,
    limit: Duration,
) -> Result<A, Status> {
    let message = frame(|out| question.encode(out).map_err(|error| Status::internal(error.to_string())))?;
    ask_framed(upstream, path, (HeaderMap::new(), message), limit, MOST_BYTES).await
}

/// The same with metadata of its own, and the message in its frame already; `most`: the longest answer, in bytes.
///
/// # Errors
/// As [`ask`].
pub async fn ask_framed<A: Message + Default>(
    upstream: &Arc<Upstream>,
    path: &'static str,
    (mut headers, message): (HeaderMap, Bytes),
    limit: Duration,
    most: usize,
) -> Result<A, Status> {
    let until = Instant::now() + limit;
    let asking = async {
        request::head(&mut headers, Some(until));
        let path = PathAndQuery::from_static(path);
        let Opened { metadata, body, .. } = upstream.ask(path, headers, Frames::Whole(message)).await?;
        let broken = |what: &str| Fault::upstream().on(Status::internal(format!("{upstream} {what}")));
        let body = body.ok_or_else(|| broken("answers without a message"))?;
        let mut reader = FrameReader::new(Body::new(body), Whose::Upstream, Encoding::of(&metadata), most);
        let message = reader.next().await?;
        while reader.next().await?.is_some() {}
        if let Some(Err(status)) = reader.take_trailers().as_ref().and_then(from_trailers) {
            return Err(status);
        }
        let message = message.ok_or_else(|| broken("answers without a message"))?;
        A::decode(message).map_err(|error| broken(&format!("answers with a malformed message: {error}")))
    };
    timeout_at(until, asking).await.unwrap_or_else(|_| Err(deadline::passed("it answered", upstream)))
}
