//! A server of tonic's generated services over HTTP/2 in clear: each found by its name, none without the token where there is
//! one, and calls in flight finished before it ends.

use std::{collections::HashMap, convert::Infallible, future::Future, sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response, header};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use subtle::ConstantTimeEq as _;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tonic::{Status, server::NamedService};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};
use tracing::{debug, warn};

use crate::call::Body;

/// Connections at once, streams at once on one of them, and bytes of one call's headers.
const CONNECTIONS: usize = 1000;
const STREAMS: u32 = 1024;
const HEADER_BYTES: u32 = 64 << 10;
/// How often a quiet connection is pinged, and how long the answer may take.
const PING: Duration = Duration::from_secs(60);
const PONG: Duration = Duration::from_secs(20);
/// How soon another connection is taken after none could be.
const AGAIN: Duration = Duration::from_millis(50);

type Served = BoxCloneSyncService<Request<Body>, Response<tonic::body::Body>, Infallible>;

/// The services by their names.
#[derive(Default)]
pub(super) struct Server {
    services: HashMap<&'static str, Served>,
    /// What `authorization` must be.
    token: Option<String>,
}

impl Server {
    pub(super) fn new(token: Option<String>) -> Self {
        Self { services: HashMap::new(), token: token.map(|token| format!("Bearer {token}")) }
    }

    pub(super) fn add<S>(&mut self, server: S)
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

    /// Serves until `stop`, then what is in flight, for no longer than `drain`.
    pub(super) async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>, drain: Duration) {
        let server = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let taken = async {
                // It is never closed.
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            };
            tokio::select! {
                () = &mut stop => break,
                (accepted, place) = taken => match accepted {
                    Ok((stream, _)) => {
                        let (server, stopped) = (Arc::clone(&server), stopped.clone());
                        connections.spawn(async move {
                            let _place = place;
                            connection(stream, server, stopped).await;
                        });
                    }
                    Err(error) => {
                        warn!("no connection can be taken: {error}");
                        tokio::time::sleep(AGAIN).await;
                    }
                },
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        stopping.send_replace(true);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(drain, ended).await.is_err() {
            warn!("what is in flight is closed");
        }
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Response<tonic::body::Body>, Infallible> {
        let name = request.uri().path().strip_prefix('/').and_then(|path| path.split_once('/'));
        let Some(service) = name.and_then(|(name, _)| self.services.get(name)) else {
            let words = format!("{:.200} is no method that is served here", request.uri().path());
            return Ok(Status::unimplemented(words).into_http());
        };
        // Probes and reflection tell nothing of anybody.
        let open = name.is_some_and(|(name, _)| name.starts_with("grpc."));
        if !open && !self.admits(request.headers()) {
            return Ok(
                Status::unauthenticated("this takes calls of gateways that know its token").into_http()
            );
        }
        service.clone().oneshot(request.map(Body::new)).await
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let mut shown = headers.get_all(header::AUTHORIZATION).into_iter();
        shown.any(|shown| shown.as_bytes().ct_eq(token.as_bytes()).into())
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>, mut stopped: watch::Receiver<bool>) {
    // Only latency is lost where it cannot be set.
    let _ = stream.set_nodelay(true);
    let calls = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { server.call(request).await }
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), calls));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!("a connection has ended: {error}");
    }
}
