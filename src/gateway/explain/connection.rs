//! A connection that stays in memory, from a client to the door: only on one can a request be upgraded.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::request::Parts;
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tonic::Status;

use super::Answer;
use crate::{
    call::Body,
    gateway::{door::Door, rehearsal::Rehearsal},
    snapshot::Snapshot,
};

/// Sends a request over it, down a road, and says what the door answered.
pub(super) async fn send(
    door: Door,
    snapshot: Arc<Snapshot>,
    road: Arc<Rehearsal>,
    parts: &Parts,
) -> Result<Answer, Status> {
    let answered = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&answered);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (door, snapshot, road) = (door.clone(), Arc::clone(&snapshot), Arc::clone(&road));
        let noted = Arc::clone(&noted);
        async move {
            let response = door.serve_on(&snapshot, &road, request.map(Body::new)).await;
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Answer::of(&response));
            Ok::<_, Infallible>(response)
        }
    });
    let (client, server) = tokio::io::duplex(16 << 10);
    let serving = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(server), service)
        .with_upgrades();
    let broken = |error: hyper::Error| Status::invalid_argument(format!("it cannot be sent: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await.map_err(broken)?;
    let request = http::Request::from_parts(parts.clone(), Full::new(Bytes::new()));
    // Both ends live until the head has come; what would be said over the upgraded connection is nobody's.
    let served = tokio::select! {
        response = sender.send_request(request) => response.map(|_| ()).map_err(broken),
        (served, _) = futures_util::future::join(serving, connection) => served.map_err(broken),
    };
    let answer = answered.lock().unwrap_or_else(PoisonError::into_inner).take();
    answer.map_or_else(|| served.and(Err(Status::internal("nothing was answered"))), Ok)
}
