//! The listener sockets, one per worker on one port (SO_REUSEPORT), and the accept loop, which survives whatever accepting
//! or a connection comes to, and ends with the drain.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tracing::{debug, error, warn};

use super::{
    Rules, Server,
    caps::Full,
    connection::{self, Worker, asked},
    http,
    opening::Opened,
    quiet::Quiet,
};
use crate::gateway::Door;

/// Connections that the system has opened and nobody has accepted yet.
const BACKLOG: i32 = 4096;
/// The pause after an error such as EMFILE, which passes when connections close. Clients wait in the backlog.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a worker wakes for nothing. A timer that is earlier than all others makes tokio write to its own event
/// descriptor, a system call; with one always near, the timers of calls and connections are never the earliest.
const BEAT: Duration = Duration::from_secs(1);
/// TCP's own sign of life, for what has none: how long a connection is silent before the first question, and between them.
const SILENT: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(10);

static REFUSED: Quiet = Quiet::new();
static UNACCEPTED: Quiet = Quiet::new();
static PANICKED: Quiet = Quiet::new();

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
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Server {
    /// Accepts and serves one worker's connections until `shutdown` turns true and the last of them has ended, or the
    /// drain's time is up.
    pub async fn serve(&self, listener: TcpListener, door: Door, mut shutdown: watch::Receiver<bool>) {
        let rules = &self.rules;
        inherited(&listener, rules);
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return error!(%error, "a listener cannot be used"),
        };
        let (tunnels, tunnels_ended) = mpsc::channel(1);
        let worker = Worker {
            rules: rules.clone(),
            calm: Arc::clone(&self.calm),
            http1: http::http1(rules),
            http2: http::http2(rules),
            door,
            tunnels,
            shutdown: shutdown.clone(),
        };
        let mut connections = JoinSet::new();
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.take(stream, address, &worker, &mut connections),
                    Err(error) => refused_by_system(&error).await,
                },
                Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
                () = asked(&mut shutdown) => break,
            }
        }
        self.take_waiting(listener, &worker, &mut connections);
        // As the config is now, not as it was at the start.
        let most = worker.door.drain_timeout();
        drop(worker);
        drain(connections, tunnels_ended, most).await;
    }

    /// Begins to serve a connection, or to tell it that there is no room for it.
    fn take(&self, stream: TcpStream, address: SocketAddr, worker: &Worker, connections: &mut JoinSet<()>) {
        let introduced = self.rules.proxy_protocol.iter().any(|network| network.contains(address.ip()));
        let permit = if introduced { self.caps.admit_somebody() } else { self.caps.admit(address.ip()) };
        match permit {
            Ok(permit) => {
                let opened = Opened { stream, address, permit, introduced };
                connections.spawn(connection::serve(worker.clone(), opened));
            }
            Err(full) => {
                // Who expects TLS could not read it.
                if worker.door.tls().is_none() {
                    self.telling.refuse(stream, address, full, &worker.door, connections);
                }
                worker.door.refused(full.word());
                say_refused(&self.rules, full, address.ip());
            }
        }
    }

    /// What the system has opened by now may have its call on the way: it is taken, and drained like the rest.
    fn take_waiting(
        &self,
        listener: tokio::net::TcpListener,
        worker: &Worker,
        connections: &mut JoinSet<()>,
    ) {
        // Asked past the runtime, which only knows of those that it was told of.
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, address)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.take(stream, address, worker, connections);
            }
        }
    }
}

/// Tells of a connection over a cap.
pub(super) fn say_refused(rules: &Rules, full: Full, address: IpAddr) {
    let Some(unsaid) = REFUSED.says() else { return };
    let limits = &rules.connections;
    match full {
        Full::Total => {
            warn!(%address, unsaid, "a connection was refused: all {} of connections.max are open", limits.max);
        }
        Full::Address => {
            let most = limits.max_per_address;
            warn!(%address, unsaid, "a connection was refused: its address has {most}, which is connections.max_per_address");
        }
    }
}

/// Waits for the last connection and the last tunnel, and closes what is left when the time is up.
async fn drain(mut connections: JoinSet<()>, mut tunnels: mpsc::Receiver<Infallible>, most: Duration) {
    let ended = timeout(most, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
        // Nothing is ever sent: this ends when the last sender is gone.
        tunnels.recv().await
    });
    if ended.await.is_err() {
        warn!(connections = connections.len(), "the drain's {most:?} are up; what is left is closed");
        connections.shutdown().await;
    } else {
        debug!("a worker has drained");
    }
}

/// Options that accepted sockets take over from their listener, so that they cost no system call each.
fn inherited(listener: &TcpListener, rules: &Rules) {
    let socket = socket2::SockRef::from(listener);
    let alive = TcpKeepalive::new().with_time(SILENT).with_interval(ASK_AGAIN);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&alive))
        .and_then(|()| taken_within(&socket, rules.connections.write_timeout));
    if let Err(error) = set {
        warn!(%error, "an option of the listener could not be set");
    }
}

/// What was sent and is not acknowledged, or not let in, for so long ends the connection, whoever still waits for it.
#[cfg(target_os = "linux")]
fn taken_within(socket: &Socket, most: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(most))
}

#[cfg(not(target_os = "linux"))]
fn taken_within(_: &Socket, _: Duration) -> io::Result<()> {
    Ok(())
}

/// An error of accepting: of one connection that has gone already, or of a process or system that can have no more.
async fn refused_by_system(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return debug!(%error, "a connection went away before it was accepted");
    }
    if let Some(unsaid) = UNACCEPTED.says() {
        warn!(%error, unsaid, "connections cannot be accepted; they wait");
    }
    tokio::time::sleep(PAUSE).await;
}

/// A panic ends its own connection, and nothing else.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
        && let Some(unsaid) = PANICKED.says()
    {
        error!(unsaid, "a connection's task panicked: {error}");
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;
    use crate::config::Connections;

    #[tokio::test]
    async fn accepted_sockets_have_the_options_of_their_listener() {
        let connections = Connections { write_timeout: Duration::from_secs(7), ..Connections::default() };
        let rules = Rules { header_bytes: 1, headers: 100, connections, proxy_protocol: [].into() };
        let listener = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        inherited(&listener, &rules);
        let address = listener.local_addr().unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENT);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_port_is_not_shared_with_another_gateway() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = first[0].local_addr().unwrap();
        assert_eq!(first[1].local_addr().unwrap(), address);
        assert_eq!(listen(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
