//! What comes before a connection's first request: the header of a balancer, a wait for who has flooded, the TLS handshake,
//! and the first bytes, which tell which HTTP it is. Each has its time, and is cut short once the drain has begun.

use std::{net::SocketAddr, pin::pin, time::Duration};

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{
    accept::say_refused,
    answer,
    caps::Permit,
    connection::{Worker, asked},
    full,
    proxy_protocol::{self, Said},
    sniff::{Http, Start},
    stream::{NoTls, Stream},
};
use crate::call::Peer;

/// A connection on which nothing has come when the drain begins may have its first call on the way: it has so long.
const LAST_CALL: Duration = Duration::from_millis(100);
/// The same of a handshake, which goes there and back.
const LAST_HANDSHAKE: Duration = Duration::from_secs(1);

/// A connection as it was accepted.
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) permit: Permit,
    /// It comes from a balancer, which says first whose it is.
    pub(super) introduced: bool,
}

/// A connection on which a request begins.
pub(super) struct Ready {
    pub(super) stream: Stream,
    pub(super) start: Start,
    pub(super) speaks: Http,
    pub(super) peer: Peer,
    pub(super) permit: Permit,
    /// Its address has flooded lately.
    pub(super) watched: bool,
    pub(super) opened: Instant,
}

/// Brings a connection to its first request; `None` for one that has ended before.
pub(super) async fn ready(worker: &mut Worker, opened: Opened) -> Option<Ready> {
    let Opened { mut stream, address, mut permit, introduced } = opened;
    let header_timeout = worker.rules.connections.header_timeout;
    let mut peer = Peer { operator: worker.door.is_operators(), ..Peer::at(address) };
    if introduced {
        let header = proxy_protocol::read(&mut stream);
        let said = match within(header, header_timeout, LAST_CALL, &mut worker.shutdown).await {
            Some(Ok(said)) => said,
            Some(Err(wrong)) => {
                debug!(peer = %address, "a connection was closed: its PROXY header is wrong: {wrong}");
                return None;
            }
            None => {
                debug!(peer = %address, "a connection was closed: no whole PROXY header came");
                return None;
            }
        };
        match said {
            // A balancer's word for its own machine: it is the balancer, as far as this one can tell.
            Said::Of(client)
                if client.ip().to_canonical().is_loopback() && !address.ip().to_canonical().is_loopback() =>
            {
                peer.relayed = true;
            }
            Said::Of(client) => peer.address = client,
            Said::Itself => {}
            Said::Unknown => peer.relayed = true,
        }
        if let Err(over) = permit.name(peer.address.ip()) {
            worker.door.refused(over.word());
            say_refused(&worker.rules, over, peer.address.ip());
            if worker.door.tls().is_none() {
                full::tell_in_time(stream, over, &worker.door).await;
            }
            return None;
        }
    }
    let waits = worker.calm.wait(peer.address.ip(), Instant::now().into_std());
    if let Some(wait) = waits {
        // What it has sent waits in its socket.
        tokio::select! {
            () = sleep(wait) => {}
            () = asked(&mut worker.shutdown) => {}
        }
    }
    let opened = Instant::now();
    let mut stream = secured(worker, stream, &mut peer).await?;
    let mut start = Start::default();
    let sniffed = within(start.sniff(&mut stream), header_timeout, LAST_CALL, &mut worker.shutdown).await;
    let Some(Ok(Some(speaks))) = sniffed else {
        debug!(peer = %peer.address, begun = start.begun(), "a connection ended before its first request");
        return None;
    };
    Some(Ready { stream, start, speaks, peer, permit, watched: waits.is_some(), opened })
}

/// The connection over TLS, where the port speaks it.
async fn secured(worker: &mut Worker, stream: TcpStream, peer: &mut Peer) -> Option<Stream> {
    // What there is now: the certificates may be others for the next one.
    let Some(tls) = worker.door.tls() else { return Some(Stream::Plain(stream)) };
    let handshake = Stream::shake(stream, &tls);
    let shaken = within(handshake, Duration::MAX, LAST_HANDSHAKE, &mut worker.shutdown).await;
    match shaken {
        Some(Ok(stream)) => {
            peer.secure = true;
            peer.certificate = stream.certificate();
            Some(stream)
        }
        Some(Err(NoTls::Spoken(stream))) => {
            debug!(peer = %peer.address, "a connection was closed: its client does not speak TLS");
            answer::speak_tls(stream).await;
            None
        }
        Some(Err(NoTls::Failed(error))) => {
            debug!(%error, peer = %peer.address, "a TLS handshake failed");
            None
        }
        None => {
            debug!(peer = %peer.address, "a connection was closed in its TLS handshake, as the gateway stops");
            None
        }
    }
}

/// Waits for a step for `most`; and for `last`, once the drain has begun.
async fn within<T>(
    step: impl Future<Output = T>,
    most: Duration,
    last: Duration,
    shutdown: &mut watch::Receiver<bool>,
) -> Option<T> {
    let mut step = pin!(timeout(most, step));
    tokio::select! {
        biased;
        done = &mut step => return done.ok(),
        () = asked(shutdown) => {}
    }
    timeout(last, step).await.ok()?.ok()
}
