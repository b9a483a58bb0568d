//! The gateway's own services: generated tonic servers, called in place by their service's name. Their replies take
//! the same adapter as an upstream's.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version, uri::PathAndQuery};
use http_body::Frame;
use tonic::{Status, server::NamedService};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use super::{
    reply::{self, Opened},
    request::{Mistake, Watched},
};
use crate::{
    call::{Body, Caller, Frames, Peer},
    status::{Fault, Whose},
};

type Served = BoxCloneSyncService<Request<Body>, Response<tonic::body::Body>, Infallible>;

/// The built-in services by name.
#[derive(Clone)]
pub struct Local {
    services: HashMap<&'static str, Served>,
    from: Arc<str>,
}

impl Default for Local {
    fn default() -> Self {
        Self { services: HashMap::new(), from: "the gateway's own service".into() }
    }
}

impl Local {
    /// Adds a generated tonic server. A service finds its caller's [`Peer`] in the request's extensions, the
    /// [`crate::auth::Client`] that it speaks for and, where it is known, the `Arc<`[`crate::auth::Principal`]`>`; and may put a
    /// [`crate::call::HttpStatus`] into its response's.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.services.insert(S::NAME, BoxCloneSyncService::new(service));
        self
    }

    /// The names of the services, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.services.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// Calls a service; `headers` are a whole gRPC request's.
    pub(super) async fn call(
        &self,
        path: PathAndQuery,
        headers: HeaderMap,
        frames: Frames,
        (peer, caller): (Peer, Caller),
    ) -> Result<Opened<ServiceBody>, Status> {
        let service =
            path.path().strip_prefix('/').and_then(|path| path.split_once('/')).map(|(name, _)| name);
        let Some(service) = service.and_then(|name| self.services.get(name)) else {
            let status = Status::unimplemented(format!("the gateway has no service for {}", path.path()));
            return Err(Fault { refusal: None, whose: Whose::Gateway, retry: false }.on(status));
        };
        let (body, mistake) = match frames {
            Frames::Whole(bytes) => (bytes.into(), None),
            Frames::Stream(body) => {
                let (body, mistake) = Watched::new(body);
                (Body::new(body), Some(mistake))
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = headers;
        request.extensions_mut().insert(peer);
        if let Some(client) = caller.client {
            request.extensions_mut().insert(client);
        }
        if let Some(principal) = caller.principal {
            request.extensions_mut().insert(principal);
        }
        let Ok(mut response) = service.clone().oneshot(request).await;
        if let Some(status) = mistake.as_ref().and_then(|mistake| mistake.get()) {
            return Err(status.clone());
        }
        // Headers do not carry whose fault a failure is, and what HTTP calls it.
        let failure = response.extensions_mut().remove::<Status>();
        let fault = failure.as_ref().and_then(Fault::of).cloned();
        let opened = reply::open(&self.from, response.map(|body| ServiceBody { body, mistake }));
        opened.map_err(|status| match fault {
            Some(fault) => fault.on(status),
            None => status,
        })
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Local").field(&self.names()).finish()
    }
}

/// A service's reply; where the client's request broke, that is how it ends.
pub(super) struct ServiceBody {
    body: tonic::body::Body,
    mistake: Option<Mistake>,
}

impl http_body::Body for ServiceBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match self.mistake.as_ref().and_then(|mistake| mistake.get()) {
            Some(status) => Poll::Ready(Some(Err(status.clone()))),
            None => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
