//! One HTTP/2 connection to an upstream: dialled, shaken hands with, driven and kept alive. It counts as open only when
//! the upstream's SETTINGS have come, so that a stalled peer is noticed and its MAX_CONCURRENT_STREAMS is known.

use std::{
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, timeout},
};
use tonic::Status;

use super::{Wire, pool::Pool};
use crate::dispatch::dial::Dial;

/// What one stream may have on its way to us: enough for 1 GB/s at 1 ms, and all that a slow client can pile up.
const STREAM_WINDOW: u32 = 1 << 20;
/// Practically none: a connection is shared by many clients, and the slow ones must not use up the others' window.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// Bytes of response headers, of one call.
const MAX_HEADER_LIST: u32 = 256 << 10;
/// h2 ends a connection after so many resets of its own (1,024 unless told, hyperium/h2#856); ours go long before.
const RESET_LIMIT: usize = 1 << 20;
/// A connection that has seen so many cancelled calls is replaced.
const RESETS_OF_A_LIFE: usize = 1_000;
/// Stands for "no SETTINGS yet"; no peer can say it, as its number has 32 bits, and without a number h2 takes the maximum.
const NO_SETTINGS: usize = usize::MAX - 1;

/// Where an endpoint is, and how to get there.
pub(super) struct Address {
    pub(super) dial: Dial,
    pub(super) wire: Wire,
}

impl Address {
    pub(super) fn max_connections(&self) -> usize {
        self.wire.max_connections.max(1)
    }

    /// UNAVAILABLE, of a call that was not sent.
    pub(super) fn unavailable(&self, what: impl std::fmt::Display) -> Status {
        self.dial.unavailable(what)
    }

    /// Opens a connection and starts its driver on the current runtime.
    pub(super) async fn connect(self: &Arc<Self>, pool: &Weak<Pool>) -> Result<Arc<Connection>, Status> {
        let tcp = self.dial.tcp().await?;
        self.dial
            .shake(async {
                match &self.dial.tls {
                    None => self.open(tcp, pool).await,
                    Some(connector) => match connector.connect(tcp).await {
                        Ok(stream) => self.open(stream, pool).await,
                        Err(what) => Err(self.unavailable(what)),
                    },
                }
            })
            .await
    }

    async fn open<T>(self: &Arc<Self>, io: T, pool: &Weak<Pool>) -> Result<Arc<Connection>, Status>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(NO_SETTINGS)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_concurrent_reset_streams(RESETS_OF_A_LIFE)
            .max_local_error_reset_streams(Some(RESET_LIMIT))
            // Small messages that a slow client leaves lying must not end everybody's connection; the windows
            // bound them already.
            .data_frame_budget(usize::MAX >> 1)
            .enable_push(false);
        let broke = |error: h2::Error| {
            if error.is_io() {
                self.unavailable(format_args!("closed the connection in its HTTP/2 handshake: {error}"))
            } else {
                self.unavailable(format_args!("does not speak HTTP/2: {error}"))
            }
        };
        let (sender, mut driver) = builder.handshake::<_, Bytes>(io).await.map_err(broke)?;
        std::future::poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(broke(error))),
            Poll::Ready(Ok(())) => {
                Poll::Ready(Err(self.unavailable("closed the connection in its HTTP/2 handshake")))
            }
            Poll::Pending if driver.max_concurrent_send_streams() == NO_SETTINGS => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        let pings = driver.ping_pong();
        let connection = Arc::new(Connection {
            sender,
            in_flight: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            resets: AtomicUsize::new(0),
        });
        let upkeep = Upkeep {
            address: Arc::clone(self),
            pool: Weak::clone(pool),
            connection: Arc::downgrade(&connection),
        };
        tokio::spawn(async move {
            let ended = tokio::select! {
                biased;
                ended = driver => ended.err().map(|error| error.to_string()),
                why = upkeep.run(pings) => Some(why),
            };
            if let Some(why) = ended {
                tracing::debug!(upstream = %upkeep.address.dial.label, why, "connection lost");
            }
            upkeep.remove();
        });
        Ok(connection)
    }
}

/// An open connection.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    /// Calls that hold a lease.
    in_flight: AtomicUsize,
    /// Calls it has ever had.
    calls: AtomicU64,
    /// Calls that were given up.
    resets: AtomicUsize,
}

impl Connection {
    /// Takes part in one more call, unless the connection is not for use any more (`Err`) or full (`Ok(None)`).
    pub(super) fn join(&self, even_if_full: bool) -> Result<Option<SendRequest<Bytes>>, ()> {
        let mut sender = self.sender.clone();
        // GOAWAY and a lost connection show here; readiness itself is immediate for a fresh handle.
        if let Poll::Ready(Err(_)) = sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
            return Err(());
        }
        if self.resets.load(Ordering::Relaxed) >= RESETS_OF_A_LIFE {
            return Err(());
        }
        if !even_if_full && self.in_flight() >= self.max_streams() {
            return Ok(None);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Some(sender))
    }

    pub(super) fn leave(&self, finished: bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !finished {
            self.resets.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What the upstream allows at a time.
    pub(super) fn max_streams(&self) -> usize {
        self.sender.current_max_send_streams()
    }
}

/// Looks after a connection. It holds nothing that would keep the connection open.
struct Upkeep {
    address: Arc<Address>,
    pool: Weak<Pool>,
    connection: Weak<Connection>,
}

impl Upkeep {
    /// Returns why the connection must go, if ever.
    async fn run(&self, mut pings: Option<h2::PingPong>) -> String {
        let Wire { idle_timeout, keep_alive_interval, keep_alive_timeout, .. } = &self.address.wire;
        let idle_tick = (*idle_timeout / 2).max(Duration::from_millis(10));
        let tick = keep_alive_interval.map_or(idle_tick, |interval| interval.min(idle_tick));
        let tick = tick.max(Duration::from_millis(10));
        let (mut calls, mut pinged, mut used) = (0, Instant::now(), Instant::now());
        loop {
            sleep(tick).await;
            let Some(connection) = self.connection.upgrade() else {
                // Out of the pool: the driver ends when its last stream does.
                sleep(Duration::from_secs(3600)).await;
                continue;
            };
            let now = Instant::now();
            let active = connection.in_flight() > 0;
            let seen = connection.calls.load(Ordering::Relaxed);
            if active || seen != calls {
                (calls, used) = (seen, now);
            } else if now - used >= *idle_timeout
                && let Some(pool) = self.pool.upgrade()
            {
                pool.remove_surplus(&connection);
            }
            drop(connection);
            let Some((pings, interval)) = pings.as_mut().zip(*keep_alive_interval) else { continue };
            if active && now - pinged >= interval {
                pinged = now;
                match timeout(*keep_alive_timeout, pings.ping(h2::Ping::opaque())).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return format!("no answer to a ping within {keep_alive_timeout:?}"),
                }
            }
        }
    }

    fn remove(&self) {
        if let Some((pool, connection)) = self.pool.upgrade().zip(self.connection.upgrade()) {
            pool.remove(&connection);
        }
    }
}
