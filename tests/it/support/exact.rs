//! An HTTP/1.1 server that keeps each request's bytes as they came. It takes a request for whole when its framing says so,
//! reads the next on the same connection, and answers with nothing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// One request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// `GET /path HTTP/1.1`
    pub(crate) line: String,
    /// Each `name: value`, in lower case.
    pub(crate) headers: Vec<String>,
    /// Without its chunks.
    pub(crate) body: Vec<u8>,
    /// Behind the last chunk.
    pub(crate) trailers: Vec<String>,
}

/// It runs as long as the test's runtime.
pub(crate) struct Exact {
    pub(crate) address: SocketAddr,
    whole: Arc<Mutex<Vec<Recorded>>>,
}

impl Exact {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let whole = Arc::<Mutex<Vec<Recorded>>>::default();
        let kept = Arc::clone(&whole);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(stream, Arc::clone(&kept)));
            }
        });
        Self { address, whole }
    }

    /// Takes the whole requests that have come.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.whole.lock().unwrap())
    }
}

async fn connection(mut stream: TcpStream, whole: Arc<Mutex<Vec<Recorded>>>) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let head = until(&mut stream, &mut bytes, b"\r\n\r\n").await?;
        let mut lines = head.split("\r\n").map(str::to_owned);
        let line = lines.next()?;
        let headers: Vec<String> =
            lines.map(|line| line.to_ascii_lowercase()).filter(|l| !l.is_empty()).collect();
        let header = |name: &str| headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if let Some(length) = header("content-length") {
            body = exactly(&mut stream, &mut bytes, length.parse().ok()?).await?;
        } else if header("transfer-encoding").is_some() {
            loop {
                let size = until(&mut stream, &mut bytes, b"\r\n").await?;
                let size = usize::from_str_radix(size.trim_end().split(';').next()?, 16).ok()?;
                if size == 0 {
                    break;
                }
                body.extend(exactly(&mut stream, &mut bytes, size).await?);
                exactly(&mut stream, &mut bytes, 2).await?;
            }
            loop {
                let line = until(&mut stream, &mut bytes, b"\r\n").await?;
                match line.trim_end() {
                    "" => break,
                    line => trailers.push(line.to_ascii_lowercase()),
                }
            }
        }
        whole.lock().unwrap().push(Recorded { line, headers, body, trailers });
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
    }
}

/// Reads up to and with `end`.
async fn until(stream: &mut TcpStream, bytes: &mut Vec<u8>, end: &[u8]) -> Option<String> {
    loop {
        if let Some(at) = bytes.windows(end.len()).position(|window| window == end) {
            let head: Vec<u8> = bytes.drain(..at + end.len()).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        more(stream, bytes).await?;
    }
}

async fn exactly(stream: &mut TcpStream, bytes: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while bytes.len() < length {
        more(stream, bytes).await?;
    }
    Some(bytes.drain(..length).collect())
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(bytes).await {
        Ok(1..) => Some(()),
        _ => None,
    }
}
