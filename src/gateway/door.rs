//! The door: the edge (CORS, request id, panics) and the gateway's own pages on axum's router, and behind it the surfaces,
//! chosen by `surface::classify`. A request that needs neither CORS nor a page goes past the router.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    middleware::{Next, from_fn},
    response::IntoResponse as _,
    routing::get,
};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version, header, request};
use tonic::Status;
use tower::ServiceExt as _;
use tracing::error;
use uuid::Uuid;

use super::{Gateway, cors};
use crate::{
    config::Config,
    route::Origins,
    snapshot::Snapshot,
    status::{Fault, Refusal, refuse},
    surface::{self, Answer as _, Protocol, Request, Response, Surface as _, classify},
};

const LIVEZ: &str = "/livez";
const READYZ: &str = "/readyz";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A caller's own request id longer than this many bytes is replaced.
const REQUEST_ID_BYTES: usize = 128;

/// What a worker's connections are served with.
#[derive(Clone)]
pub struct Door {
    gateway: Arc<Gateway>,
    router: Router,
    /// The router has CORS to say to browsers.
    cors: bool,
}

/// The door of a gateway.
pub fn door(gateway: &Arc<Gateway>) -> Door {
    let readiness = Arc::clone(gateway);
    let surfaces = Arc::clone(gateway);
    let router = Router::new()
        .route(LIVEZ, get(async || "ok\n"))
        .route(READYZ, get(async move || if readiness.ready() { ready() } else { draining() }))
        .fallback(move |request: Request| answer(Arc::clone(&surfaces), request));
    let gateway = Arc::clone(gateway);
    if gateway.parts.config.cors.origins == Origins::None {
        return Door { gateway, router, cors: false };
    }
    let pages = Arc::clone(&gateway);
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        let gateway = Arc::clone(&pages);
        async move { cors::answer(&gateway.parts.config.cors, request, next).await }
    }));
    Door { gateway, router, cors: true }
}

impl Door {
    /// Serves one request. What the router has nothing to say to goes past it: it costs a microsecond a call.
    pub async fn serve(&self, request: Request) -> Response {
        let path = request.uri().path();
        let browser = self.cors && classify(&request) != Protocol::Grpc;
        if browser || path == LIVEZ || path == READYZ {
            return self.page(request).await;
        }
        // Boxed: a call has kilobytes of state, which hyper would move again and again.
        Box::pin(answer(Arc::clone(&self.gateway), request)).await
    }
}

impl Door {
    /// The answer to a client whose request's head did not come `within` a time.
    pub async fn late_head(&self, within: Duration) -> Response {
        let head = Head { uri: Uri::default(), version: Version::HTTP_11, content_type: None };
        let id = request_id(&mut HeaderMap::new());
        let status = refuse(
            Refusal::RequestTimeout,
            format!("the head of the request did not come whole within {within:?}"),
        );
        let mut response = refused(&self.gateway.snapshot(), Protocol::Rest, head, &id, status).await;
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }

    /// What goes through the router: its pages, and what CORS may concern.
    async fn page(&self, mut request: Request) -> Response {
        let page = [LIVEZ, READYZ].contains(&request.uri().path());
        let id = request_id(request.headers_mut());
        let (method, head) = (request.method().clone(), Head::of(&request));
        let Ok(mut response) = self.router.clone().oneshot(request).await;
        if page && response.status() == StatusCode::METHOD_NOT_ALLOWED {
            // In the words of every other route.
            let allow = vec![http::Method::GET, http::Method::HEAD, http::Method::OPTIONS];
            let message = format!("{} has no {method}; it has GET, HEAD", head.uri.path());
            let status = refuse(Refusal::MethodNotAllowed { allow }, message);
            response = refused(&self.gateway.snapshot(), Protocol::Rest, head, &id, status).await;
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
}

fn ready() -> Response {
    "ready\n".into_response()
}

fn draining() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
}

/// Serves one request by the surface it speaks, with a request id, and with a panic as that surface's INTERNAL.
async fn answer(gateway: Arc<Gateway>, mut request: Request) -> Response {
    let id = request_id(request.headers_mut());
    let protocol = classify(&request);
    let snapshot = gateway.snapshot();
    let head = Head::of(&request);
    let mut response = match barred(&snapshot.config, &request) {
        Err(status) => refused(&snapshot, protocol, head, &id, status).await,
        Ok(()) => {
            let served = AssertUnwindSafe(async {
                match protocol {
                    Protocol::Grpc => surface::serve(&snapshot.grpc, &*snapshot, request).await,
                    Protocol::GrpcWeb { .. } => surface::serve(&snapshot.grpc_web, &*snapshot, request).await,
                    Protocol::Rest => snapshot.rest.serve(&snapshot, request).await,
                }
            });
            match served.catch_unwind().await {
                Ok(response) => response,
                Err(_) => {
                    error!(path = head.uri.path(), "a request's handler panicked");
                    let status = Status::internal("the gateway failed; its log has the request id");
                    refused(&snapshot, protocol, head, &id, status).await
                }
            }
        }
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// What is refused before any surface sees it: headers over the limit, and WebSockets of foreign pages.
fn barred(config: &Config, request: &Request) -> Result<(), Status> {
    let header_bytes: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let most = usize::try_from(config.header_bytes).unwrap_or(usize::MAX);
    if header_bytes > most {
        let message = format!("the headers of the request are {header_bytes} bytes; the limit is {most}");
        return Err(refuse(Refusal::HeadersTooLarge, message));
    }
    let page = cors::foreign(&config.cors, request.headers(), request.uri());
    match page.filter(|_| surface::rest::is_socket(request)) {
        None => Ok(()),
        Some(origin) => Err(Fault::client().on(Status::permission_denied(format!(
            "pages of {origin:?} may not open WebSockets here: they are none of [cors] origins"
        )))),
    }
}

/// What a refusal needs of a request that is not opened, or gone.
struct Head {
    uri: Uri,
    version: Version,
    content_type: Option<HeaderValue>,
}

impl Head {
    fn of(request: &Request) -> Self {
        Self {
            uri: request.uri().clone(),
            version: request.version(),
            content_type: request.headers().get(header::CONTENT_TYPE).cloned(),
        }
    }
}

/// A failure that comes before any surface, or of one that panicked, in the client's protocol.
async fn refused(
    snapshot: &Snapshot,
    protocol: Protocol,
    head: Head,
    id: &HeaderValue,
    status: Status,
) -> Response {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = http::Method::POST;
    parts.uri = head.uri;
    parts.version = head.version;
    parts.headers.insert(REQUEST_ID, id.clone());
    parts.headers.extend(head.content_type.map(|value| (header::CONTENT_TYPE, value)));
    let request = |parts: request::Parts| Request::from_parts(parts, axum::body::Body::empty());
    match protocol {
        Protocol::Grpc => snapshot.grpc.open(request(parts)).await.0.close(Err(status)).await,
        Protocol::GrpcWeb { .. } => snapshot.grpc_web.open(request(parts)).await.0.close(Err(status)).await,
        Protocol::Rest => snapshot.rest.open(request(parts)).await.0.close(Err(status)).await,
    }
}

/// The caller's own request id if it is a sensible one, else a new one; the request carries it from here on.
fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    let sensible = |value: &&HeaderValue| {
        !value.is_empty()
            && value.len() <= REQUEST_ID_BYTES
            && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(own) = headers.get(REQUEST_ID).filter(sensible) {
        return own.clone();
    }
    let mut text = Uuid::encode_buffer();
    let text = new_id().hyphenated().encode_lower(&mut text);
    let mut id = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none"));
    // Never the same twice: to HPACK's table it would be one entry after the other, each compared with all before it.
    id.set_sensitive(true);
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// A version 7 UUID. Its random part is unique, not secret: it is drawn without a system call.
fn new_id() -> Uuid {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    // SplitMix64 (Steele, Lea, Flood 2014), seeded by the system once a thread.
    let draw = || {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let random = (u128::from(draw()) << 64 | u128::from(draw())).to_le_bytes();
    let random = random.first_chunk().unwrap_or(&[0; 10]);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(u64::MAX), random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensible_request_id_is_kept() {
        let check = |sent: &str, kept: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent.as_bytes()).unwrap());
            let id = request_id(&mut headers);
            assert_eq!(id == sent, kept, "{sent}");
            assert_eq!(headers.get(REQUEST_ID), Some(&id));
            assert_eq!(headers.get_all(REQUEST_ID).iter().count(), 1);
        };
        check("abc-123", true);
        check("", false);
        check("two words", false);
        check("ä", false);
        check(&"x".repeat(129), false);
    }

    #[test]
    fn a_new_id_is_a_version_7_uuid_of_its_own() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
