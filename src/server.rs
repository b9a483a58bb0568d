//! The listeners and their connections: one socket per worker (SO_REUSEPORT), an accept loop that survives, HTTP/1.1 and
//! HTTP/2 on one port, and a drain with a hard deadline.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    pin::pin,
    time::Duration,
};

use axum::body::Body;
use http::{Method, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, warn};

use crate::{
    call::{Lasting, Peer},
    gateway::Door,
};

/// How long a new connection may take to say which HTTP it speaks.
const FIRST_BYTES: Duration = Duration::from_secs(30);
/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How soon a connection that has sent a part of the preface is looked at again.
const PREFACE_PAUSE: Duration = Duration::from_millis(20);
/// How long the head of an HTTP/1.1 request may take.
const REQUEST_HEAD: Duration = Duration::from_secs(30);
/// The accept loop's pause after an error such as EMFILE, which passes when connections close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a worker wakes for nothing. A timer that is earlier than all others makes tokio write to its own event
/// descriptor, a system call; with one always near, the timers of calls and connections are never the earliest.
const BEAT: Duration = Duration::from_secs(1);
/// HTTP/2: streams at once on one connection.
const STREAMS: u32 = 1024;
/// HTTP/2 flow-control windows in bytes: of a stream, of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Headers this much over their limit are still read: the surface then refuses them, in words. What is longer is cut off
/// by HTTP itself, with a bare 431.
const HEADER_GRACE: u32 = 64 << 10;

/// What every worker needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The most bytes of one request's headers.
    pub header_bytes: u32,
    /// How long calls in flight may go on once shutdown was asked for.
    pub drain: Duration,
}

/// Opens `count` sockets that listen on one address. Port 0 takes a free port, the same for all.
///
/// # Errors
/// Those of the system: the port is in use, the address is not this machine's.
pub fn listen(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // Taken without SO_REUSEPORT first: otherwise a second gateway would share the port in silence.
    drop(socket(address, false)?);
    let first = socket(address, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(socket(address, true)?);
    }
    Ok(listeners)
}

fn socket(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Accepts and serves connections until `shutdown` turns true and the last of them has ended, or the drain's time is up.
pub async fn serve(listener: TcpListener, door: Door, rules: Rules, mut shutdown: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "a listener could not be used"),
    };
    let builder = builder(rules);
    let mut connections = JoinSet::new();
    let (lasting, mut lasted) = mpsc::channel(1);
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let (lasting, shutdown) = (Lasting(lasting.clone()), shutdown.clone());
                    connections.spawn(connection(builder.clone(), stream, address, door.clone(), lasting, shutdown));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = asked(&mut shutdown) => break,
        }
    }
    drop((listener, lasting));
    let drained = timeout(rules.drain, async {
        while connections.join_next().await.is_some() {}
        // Nothing is ever sent: this ends when the last sender is gone.
        lasted.recv().await
    });
    if drained.await.is_err() {
        warn!(connections = connections.len(), "the drain's time is up; what is left is closed");
        connections.shutdown().await;
    }
}

/// Waits until shutdown is asked for, or nobody is left to ask.
async fn asked(shutdown: &mut watch::Receiver<bool>) {
    // The guard it gives must not be held across an await.
    drop(shutdown.wait_for(|asked| *asked).await);
}

fn builder(rules: Rules) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let header_bytes = rules.header_bytes.saturating_add(HEADER_GRACE);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .max_buf_size(usize::try_from(header_bytes).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(header_bytes)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn connection(
    builder: auto::Builder<TokioExecutor>,
    stream: TcpStream,
    address: SocketAddr,
    door: Door,
    lasting: Lasting,
    mut shutdown: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let first = tokio::select! {
        first = timeout(FIRST_BYTES, speaks(&stream)) => first,
        () = asked(&mut shutdown) => return,
    };
    if !matches!(first, Ok(Ok(true))) {
        return;
    }
    let peer = Peer { address, secure: false };
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        if request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT {
            request.extensions_mut().insert(lasting.clone());
        }
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.serve(request.map(Body::new)).await) }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = asked(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, peer = %address, "a connection ended with an error");
    }
}

/// Waits until what has come tells HTTP/2 from HTTP/1.1, and takes none of it; hyper-util, which reads it next, would
/// wait for ever. False for a connection that ends before.
async fn speaks(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; PREFACE.len()];
    loop {
        let come = stream.peek(&mut start).await?;
        let come = start.get(..come).unwrap_or_default();
        if come.is_empty() {
            return Ok(false);
        }
        if come.len() == PREFACE.len() || !PREFACE.starts_with(come) {
            return Ok(true);
        }
        // What has been seen stays readable: only time tells whether there is more.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_first_bytes_are_bounded_and_kept() {
        // What is sent, and whether that tells enough; `None`: more is waited for.
        let check = async |sent: &[u8], close: bool, want: Option<bool>| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            client.write_all(sent).await.unwrap();
            if close {
                client.shutdown().await.unwrap();
            }
            let said = timeout(Duration::from_millis(200), speaks(&server)).await;
            assert_eq!(said.ok().map(Result::unwrap), want, "{:?}", String::from_utf8_lossy(sent));
        };
        check(b"", false, None).await;
        check(b"", true, Some(false)).await;
        check(b"P", false, None).await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", false, None).await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false, Some(true)).await;
        check(b"POST", false, Some(true)).await;
        check(b"G", false, Some(true)).await;
    }
}
