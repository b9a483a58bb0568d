//! The gateway's own services, called in process.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, uri::PathAndQuery};
use http_body::{Body as _, Frame};
use tonic::{Status, server::NamedService};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use super::reply::{self, Source};
use crate::{
    call::{Body, Frames, HttpStatus, Peer, Reply},
    status::{Fault, Whose},
};

type LocalService = BoxCloneSyncService<Request<Body>, Response<tonic::body::Body>, Infallible>;

/// The local services by name.
#[derive(Default)]
pub struct Local {
    services: HashMap<&'static str, LocalService>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.services.keys()).finish()
    }
}

impl Local {
    /// Adds a generated server under its service's name.
    pub fn add<S>(&mut self, server: S)
    where
        S: Service<Request<Body>, Response = Response<tonic::body::Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.services.insert(S::NAME, BoxCloneSyncService::new(server));
    }

    pub(super) async fn call(
        &self,
        path: PathAndQuery,
        metadata: HeaderMap,
        peer: Peer,
        frames: Frames,
    ) -> Result<Reply, Status> {
        let name = path.path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let Some(service) = self.services.get(name) else {
            return Err(Status::unimplemented(format!("the gateway does not serve {name}")));
        };
        let mut request = Request::new(Body::from(frames));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.into();
        *request.headers_mut() = metadata;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
        request.extensions_mut().insert(peer);
        let response = service.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (head, body) = response.into_parts();
        let http_status = head.extensions.get::<HttpStatus>().copied();
        let head = reply::read_head(head, "the service").map_err(ours)?;
        Ok(head.reply(LocalBody(body), None, http_status))
    }
}

/// A local service's failure is not an upstream's.
fn ours(status: Status) -> Status {
    let whose = match status.code() {
        tonic::Code::Internal | tonic::Code::Unknown | tonic::Code::DataLoss => Whose::Gateway,
        _ => Whose::Client,
    };
    Fault { refusal: None, whose, retry: false }.on(status)
}

struct LocalBody(tonic::body::Body);

impl Source for LocalBody {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll_frame(cx)))
    }

    fn who(&self) -> String {
        "the service".to_owned()
    }
}
