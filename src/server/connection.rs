//! One connection from its first byte to its last: which HTTP it speaks, its requests taken to the door, and what ends it:
//! itself, a limit, its age, or the drain.

use std::{
    convert::Infallible,
    error::Error as _,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use ::http::{HeaderValue, Method, StatusCode, header};
use axum::body::Body;
use http_body::Body as _;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tracing::debug;

use super::{
    Rules, answer,
    calm::Calm,
    checks::{Checks, ENDING, Verdict},
    exchange::{Download, Exchange, Gauges, Upload},
    frames::Frames,
    opening::{self, Opened, Ready},
    sniff::{Http, PREFACE},
    wire::{Wire, say_flood},
};
use crate::{
    call::{Lasting, Peer},
    gateway::{Door, HeadFault},
};

/// What a connection needs to know of its worker.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) rules: Rules,
    pub(super) calm: Arc<Calm>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
    pub(super) door: Door,
    /// Cloned into every tunnel: the drain waits until none is left.
    pub(super) tunnels: mpsc::Sender<Infallible>,
    pub(super) shutdown: watch::Receiver<bool>,
}

/// Waits until shutdown is asked for, or nobody is left to ask.
pub(super) async fn asked(shutdown: &mut watch::Receiver<bool>) {
    // The guard it gives must not be held across an await.
    drop(shutdown.wait_for(|asked| *asked).await);
}

/// Serves a connection until it ends.
pub(super) async fn serve(mut worker: Worker, opened: Opened) {
    let _open = worker.door.connected();
    let Some(ready) = opening::ready(&mut worker, opened).await else { return };
    let Ready { stream, start, speaks, peer, permit, watched, opened } = ready;
    let (limits, address) = (worker.rules.connections, peer.address);
    // TLS where plain text is spoken; what comes over TLS may begin as it likes.
    let tls = !peer.secure && start.is_tls();
    let gauges = Arc::new(Gauges::default());
    let frames = (speaks == Http::Two).then(|| Frames::new(PREFACE.len(), watched, opened.into_std()));
    let wire = Wire::new((stream, address), start, frames, &gauges, limits.write_timeout, permit);
    let checks = Checks::new(&limits, speaks, opened);
    let ended = match speaks {
        Http::One => one(&worker, wire, peer, &gauges, checks, tls).await,
        Http::Two => two(&worker, wire, peer, &gauges, checks).await,
    };
    if let Ended::Itself(Err(error)) = &ended
        && let Some(flood) = flood(error)
    {
        gauges.flooded.store(true, Relaxed);
        say_flood(address, &format!("a flood of frames: {flood}"));
    }
    if gauges.flooded.load(Relaxed) {
        worker.calm.flooded(address.ip(), Instant::now().into_std());
    }
    match ended {
        Ended::Itself(Ok(())) => {}
        Ended::Itself(Err(_)) if tls => debug!(peer = %address, "TLS was spoken to a port of plain HTTP"),
        Ended::Itself(Err(error)) => debug!(%error, peer = %address, "a connection ended with an error"),
        Ended::LateHead => debug!(peer = %address, "a connection was closed: half a head came and no more"),
        Ended::Closed(why) => debug!(peer = %address, "a connection was closed: {why}"),
    }
}

/// The flood that has ended a connection, if one has, and if h2 saw it; `frames` tells of those that it sees.
fn flood(error: &hyper::Error) -> Option<&h2::Error> {
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    (error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)).then_some(error)
}

async fn one(
    worker: &Worker,
    wire: Wire,
    peer: Peer,
    gauges: &Arc<Gauges>,
    checks: Checks,
    tls: bool,
) -> Ended {
    let service = service(worker, peer.clone(), gauges, Http::One);
    let mut connection = worker.http1.serve_connection(TokioIo::new(wire), service).with_upgrades();
    let retire = |connection: Pin<&mut _>| http1::UpgradeableConnection::graceful_shutdown(connection);
    let ended = watched(&mut connection, retire, worker, gauges, Http::One, checks).await;
    let Some(parts) = connection.into_parts() else { return ended };
    let mut wire = parts.io.into_inner();
    let fault = match &ended {
        Ended::LateHead => Some(HeadFault::Late(worker.rules.connections.header_timeout)),
        Ended::Itself(Err(error)) if error.is_parse() => wire.take_refusal().map(|refused| match refused {
            _ if tls => HeadFault::Tls,
            StatusCode::URI_TOO_LONG => HeadFault::UriTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => HeadFault::TooLarge,
            _ => HeadFault::Malformed(error.to_string()),
        }),
        Ended::Itself(_) | Ended::Closed(_) => None,
    };
    match fault {
        Some(fault) => answer::last(wire, worker.door.refuse_head(fault, peer).await).await,
        None => answer::rest(wire).await,
    }
    ended
}

async fn two(worker: &Worker, wire: Wire, peer: Peer, gauges: &Arc<Gauges>, checks: Checks) -> Ended {
    let service = service(worker, peer, gauges, Http::Two);
    let mut connection = worker.http2.serve_connection(TokioIo::new(wire), service);
    let retire = |connection: Pin<&mut _>| http2::Connection::graceful_shutdown(connection);
    watched(&mut connection, retire, worker, gauges, Http::Two, checks).await
}

/// Takes each request of a connection to the door.
fn service(
    worker: &Worker,
    peer: Peer,
    gauges: &Arc<Gauges>,
    http: Http,
) -> impl HttpService<Incoming, ResBody = Download, Error = Infallible, Future: Send> + use<> {
    let (door, tunnels, gauges) = (worker.door.clone(), worker.tunnels.clone(), Arc::clone(gauges));
    let pause = worker.rules.connections.body_timeout;
    service_fn(move |mut request: hyper::Request<Incoming>| {
        let exchange = Exchange::begin(&gauges);
        request.extensions_mut().insert(peer.clone());
        if request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT {
            let tunnel = (tunnels.clone(), Exchange::begin(&gauges));
            request.extensions_mut().insert(Lasting::new(tunnel));
        }
        let request = request.map(|body| match http {
            Http::One if !body.is_end_stream() => Body::new(Upload::new(body, pause, &gauges)),
            Http::One | Http::Two => Body::new(body),
        });
        let (serving, gauges) = (door.clone().serve(request), Arc::clone(&gauges));
        // Boxed: hyper and tokio move it several times before it begins.
        Box::pin(async move {
            let mut response = serving.await;
            let status = response.status();
            let last = status == StatusCode::REQUEST_TIMEOUT || gauges.last.load(Relaxed);
            if status == StatusCode::SWITCHING_PROTOCOLS {
                gauges.tunnel.store(true, Relaxed);
            }
            if http == Http::One && last && status != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Download::new(body, exchange)))
        })
    })
}

/// How a connection came to its end.
enum Ended {
    Itself(hyper::Result<()>),
    LateHead,
    Closed(&'static str),
}

/// Drives a connection, and ends it when it must.
async fn watched<C>(
    connection: &mut C,
    retire: impl Fn(Pin<&mut C>),
    worker: &Worker,
    gauges: &Gauges,
    http: Http,
    mut checks: Checks,
) -> Ended
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    let limits = &worker.rules.connections;
    let mut shutdown = worker.shutdown.clone();
    let mut looks = looks(Checks::interval(limits));
    let mut draining = false;
    // A client between two calls may have sent the next: for one more look, it is answered as the connection's last.
    let mut last_call = false;
    loop {
        let now = tokio::select! {
            biased;
            ended = &mut *connection => return Ended::Itself(ended),
            () = asked(&mut shutdown), if !draining => None,
            now = looks.tick() => Some(now),
        };
        let grace = match now.map(|now| checks.check(gauges, now)) {
            Some(Verdict::Keep) => {
                if std::mem::take(&mut last_call) {
                    retire(Pin::new(&mut *connection));
                }
                if let Some(soon) = now.and_then(|now| checks.next(now)) {
                    looks.reset_after(soon);
                }
                continue;
            }
            Some(Verdict::LateHead) => return Ended::LateHead,
            Some(Verdict::Close(why)) => return Ended::Closed(why),
            Some(Verdict::Retire) => Some(limits.max_age_grace),
            None => {
                draining = true;
                // The drain's deadline is everybody's.
                None
            }
        };
        checks.retire(grace, Instant::now());
        looks = self::looks(ENDING);
        last_call =
            !gauges.last.swap(true, Relaxed) && gauges.in_flight.load(Relaxed) == 0 && http == Http::One;
        if !last_call {
            retire(Pin::new(&mut *connection));
        }
    }
}

fn looks(every: Duration) -> Interval {
    let mut looks = interval_at(Instant::now() + every, every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}
