//! The head of a request to an upstream, as each of its attempts sends it, and until when it may be answered.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::HOST,
    uri::{PathAndQuery, Scheme},
};
use tokio::time::Instant;
use tonic::Status;

use super::{expect, settings::Place};
use crate::dispatch::upload::{self, Until, Upload};

/// What the heads of all its requests have in common.
pub(super) struct Head {
    pub(super) scheme: Scheme,
    /// By the addresses as they were written.
    pub(super) places: Box<[Place]>,
    /// What the first of them is called.
    pub(super) host: HeaderValue,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// A request to the upstream's address of this place.
    pub(super) fn request(&self, place: usize, outline: &Outline) -> Result<Request<()>, Status> {
        let place = self.places.get(place);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = place.map(|place| place.authority.clone());
        parts.path_and_query = Some(outline.path.clone());
        let mut request = Request::new(());
        *request.method_mut() = outline.method.clone();
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| Status::internal(error.to_string()))?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = outline.headers.clone();
        if let Some(place) = place.filter(|place| !outline.keep_host && place.host != self.host) {
            // Another of its addresses has another name.
            request.headers_mut().insert(HOST, place.host.clone());
        }
        if let Some(expected) = &outline.expected {
            expect::listen(&mut request, expected);
        }
        Ok(request)
    }
}

/// What all attempts of a request have in common.
pub(super) struct Outline {
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) keep_host: bool,
    /// Its client waits to be told that its body is wanted.
    pub(super) expected: Option<expect::Expected>,
    /// How far its body has gone on.
    pub(super) upload: Option<Arc<Upload>>,
    pub(super) until: Option<Until>,
}

/// Until when the answer may take: as long as the route allows after the request has gone on, and not beyond what its client
/// is ready to wait.
pub(super) fn until(
    deadline: Option<Instant>,
    own: Option<Instant>,
    usual: Option<Duration>,
    upload: Option<&Arc<Upload>>,
) -> Option<Until> {
    match (upload, usual) {
        (Some(upload), Some(limit)) => {
            let (upload, from) = (Arc::clone(upload), Instant::now());
            Some(Until::Sent(upload::Sent { upload, from, limit, latest: own }))
        }
        _ => deadline.map(Until::At),
    }
}

/// RFC 9110, 9.2.2
pub(super) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}
