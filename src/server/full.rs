//! What a connection over a cap is told, in its own protocol: HTTP/1.1 a 503 in REST's words, HTTP/2 a GOAWAY. A bounded
//! number of them are told at once; the others get what fits into their sockets, and nobody is waited for.

use std::{io::Read as _, net::SocketAddr, sync::Arc, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

use super::{
    answer,
    caps::Full,
    sniff::{Http, PREFACE, Start},
};
use crate::gateway::Door;

/// So many are told at once. Each has a task and a file, which no cap counts.
const MOST: usize = 64;
/// How long a client may take to say by its first bytes what it speaks; who is silent is answered as HTTP/1.1.
const FIRST_BYTES: Duration = Duration::from_millis(250);
/// How long it may take in all, and how much of what it sends is read so that it reads the answer: a socket closed with
/// something unread takes back what it has sent.
const IN_ALL: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 10;

/// To who cannot be told in the words of REST: too many are told already.
const BRIEFLY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 21\r\n\
    retry-after: 1\r\nconnection: close\r\n\r\ntoo many connections\n";

/// HTTP/2's SETTINGS, with none in it, which its server begins with.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The right to tell those that are refused.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    left: Arc<Semaphore>,
}

impl Telling {
    pub(super) fn new() -> Self {
        Self { left: Arc::new(Semaphore::new(MOST)) }
    }

    /// Refuses a connection: in a task of its own if not too many have one, else with what fits into its socket at once.
    pub(super) fn refuse(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        full: Full,
        door: &Door,
        tasks: &mut JoinSet<()>,
    ) {
        let Ok(permit) = Arc::clone(&self.left).try_acquire_owned() else {
            return briefly(&stream, full);
        };
        let door = door.clone();
        tasks.spawn(async move {
            if !tell_in_time(stream, full, &door).await {
                debug!(peer = %address, "a connection over a cap took its time to hear so");
            }
            drop(permit);
        });
    }
}

/// Tells one, and ends its connection; false where it was cut short.
pub(super) async fn tell_in_time(stream: TcpStream, full: Full, door: &Door) -> bool {
    timeout(IN_ALL, tell(stream, full, door)).await.is_ok()
}

/// What both protocols' clients are told.
fn words(full: Full) -> &'static str {
    match full {
        Full::Total => "the gateway has as many connections as it takes",
        Full::Address => "this address has as many connections as one may have",
    }
}

async fn tell(mut stream: TcpStream, full: Full, door: &Door) {
    let mut start = Start::default();
    let speaks = match timeout(FIRST_BYTES, start.sniff(&mut stream)).await {
        Ok(Ok(None) | Err(_)) => return,
        Ok(Ok(Some(speaks))) => speaks,
        Err(_) => Http::One,
    };
    let text = match speaks {
        Http::One => answer::text(door.refuse_connection(words(full)).await).await,
        Http::Two => Some(goaway(full)),
    };
    let Some(text) = text else { return };
    // Who does not read it is closed all the same.
    if stream.write_all(&text).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(LINGER_BYTES as u64);
    let mut read = [0; 1024];
    while rest.read(&mut read).await.is_ok_and(|read| read > 0) {}
}

/// Says what fits into a socket. What has come by now is read, for it tells the protocol.
fn briefly(stream: &TcpStream, full: Full) {
    let socket = SockRef::from(stream);
    let mut come = [0; 1024];
    let read = (&*socket).read(&mut come).unwrap_or_default();
    let come = come.get(..read).unwrap_or_default();
    let two = !come.is_empty() && (come.starts_with(&PREFACE) || PREFACE.starts_with(come));
    // Who cannot be told is only closed.
    drop(if two { socket.send(&goaway(full)) } else { socket.send(BRIEFLY) });
}

/// HTTP/2's first and last words to a client: no stream of it was looked at (RFC 9113, section 6.8).
fn goaway(full: Full) -> Vec<u8> {
    let words = words(full).as_bytes();
    let length = u32::try_from(8 + words.len()).unwrap_or(8);
    let mut frames = SETTINGS.to_vec();
    frames.extend(length.to_be_bytes().into_iter().skip(1));
    frames.extend([GOAWAY, 0, 0, 0, 0, 0]);
    frames.extend(0_u32.to_be_bytes());
    frames.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    frames.extend(words);
    frames
}
