//! How a gRPC upstream's endpoints are asked how they are: `grpc.health.v1`, by Check at an interval and by Watch, where they
//! serve it, in between.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::{Code, Status};

use super::{
    Head,
    reply::{Begun, Relayed},
};
use crate::{
    call::{Body, Encoding, FrameReader, frame},
    dispatch::{
        balance::{Ask, Endpoint, HealthKind, note},
        http2::{self, Pools},
        replay::Outgoing,
        reply as normal, request,
    },
    proto::grpc_health_v1::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus},
    status::{Whose, from_trailers, name},
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The longest answer, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Asks by `grpc.health.v1`.
pub(super) struct Health(pub(super) Arc<Head>);

impl Ask<Pools> for Health {
    fn ask(
        &self,
        endpoint: Arc<Endpoint<Pools>>,
        kind: HealthKind,
    ) -> BoxFuture<'static, Result<(), String>> {
        let head = Arc::clone(&self.0);
        Box::pin(async move {
            let said = async {
                let mut reader = open(&head, &endpoint, CHECK, service(&kind)).await?;
                match reader.next().await? {
                    Some(message) => Ok(message),
                    None => Err(ended(&mut reader)),
                }
            };
            let said: Result<_, Status> = said.await;
            serving(&said.map_err(|status| in_words(&status))?)
        })
    }

    fn listen(&self, endpoint: Arc<Endpoint<Pools>>, kind: HealthKind) -> BoxFuture<'static, bool> {
        let head = Arc::clone(&self.0);
        Box::pin(async move {
            if !matches!(kind, HealthKind::Grpc { .. }) {
                return false;
            }
            let mut reader = match open(&head, &endpoint, WATCH, service(&kind)).await {
                Ok(reader) => reader,
                Err(status) => return !is_never(&status),
            };
            loop {
                match reader.next().await {
                    Ok(Some(message)) => note(&endpoint, serving(&message), 1, 1),
                    Ok(None) => return !is_never(&ended(&mut reader)),
                    // Whether it is away is what Check finds.
                    Err(_) => return true,
                }
            }
        })
    }
}

fn service(kind: &HealthKind) -> &str {
    match kind {
        HealthKind::Grpc { service } => service,
        HealthKind::Http { .. } | HealthKind::Tcp => "",
    }
}

/// It does not serve this, today or tomorrow.
fn is_never(status: &Status) -> bool {
    matches!(status.code(), Code::Unimplemented | Code::NotFound | Code::PermissionDenied)
}

/// Opens a call on a connection of the endpoint's own, whatever is thought of it.
async fn open(
    head: &Head,
    endpoint: &Endpoint<Pools>,
    path: &'static str,
    service: &str,
) -> Result<FrameReader, Status> {
    let question = HealthCheckRequest { service: service.to_owned() };
    let message = frame(|out| question.encode(out).map_err(|error| Status::internal(error.to_string())))?;
    let mut headers = HeaderMap::new();
    request::head(&mut headers, None);
    headers.extend(head.metadata.clone());
    let request = head.request(endpoint.origin, PathAndQuery::from_static(path), headers)?;
    let lease = endpoint.transport.lease().await?;
    let sent = http2::send(lease, request, &mut Outgoing::Whole(message), &endpoint.label).await;
    let response = sent.map_err(|failed| failed.status)?;
    let response = response.map(|body| Relayed::live(Begun::default(), body, &endpoint.label, None));
    let opened = normal::open(&endpoint.label, response)?;
    let body = opened.body.map_or_else(Body::empty, Body::new);
    Ok(FrameReader::new(body, Whose::Upstream, Encoding::of(&opened.metadata), MOST_BYTES))
}

fn ended(reader: &mut FrameReader) -> Status {
    match reader.take_trailers().as_ref().and_then(from_trailers) {
        Some(Err(status)) => status,
        _ => Status::internal("ended without an answer"),
    }
}

fn in_words(status: &Status) -> String {
    format!("answers {}: {}", name(status.code()), status.message())
}

fn serving(message: &[u8]) -> Result<(), String> {
    let answer = HealthCheckResponse::decode(message)
        .map_err(|error| format!("answers with a malformed message: {error}"))?;
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("says that it is {}", other.as_str_name())),
    }
}
