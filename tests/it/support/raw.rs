//! HTTP/2 by hand (RFC 9113): frames as bytes, so that a test can send what no client library would.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout_at,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A request's head in HPACK, without its tables: method, scheme and path as literals, then other headers.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let all = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")];
    for (name, value) in all.iter().chain(headers) {
        // Literal without indexing, both texts shorter than 127 bytes.
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The status that a block of response headers begins with: of HPACK's static table, or a literal of it; 0 for any other.
pub(crate) fn status(block: &[u8]) -> u16 {
    match block {
        [0x20..=0x3f, rest @ ..] => status(rest),
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        // A literal whose name is the table's, in Huffman's code or as it is.
        [0x08 | 0x48, 3, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0'))
        }
        [0x08 | 0x48, 0x82, a, b, ..] => huffman([*a, *b]),
        _ => 0,
    }
}

/// Three digits in HPACK's code, in two bytes: 0 to 2 take five bits each, the others six.
fn huffman(bytes: [u8; 2]) -> u16 {
    let (mut bits, mut left, mut number) = (u16::from_be_bytes(bytes), 16, 0);
    for _ in 0..3 {
        let five = bits >> 11;
        let (digit, width) = if five < 3 { (five, 5) } else { ((bits >> 10) - 0x19 + 3, 6) };
        number = number * 10 + digit;
        (bits, left) = (bits << width, left - width);
    }
    assert!(left >= 0);
    number
}

/// What a connection is, in plain text or over TLS.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A client's side of a connection.
pub(crate) struct Raw {
    stream: Box<dyn Duplex>,
    bytes: Vec<u8>,
}

impl Raw {
    /// Connects and sends the preface and a SETTINGS frame with these settings.
    pub(crate) async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut raw = Self { stream: Box::new(stream), bytes: Vec::new() };
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
            .collect();
        assert!(raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()).await);
        raw
    }

    /// The same on a connection that is open.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let mut raw = Self { stream: Box::new(stream), bytes: Vec::new() };
        assert!(raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await);
        raw
    }

    /// Sends bytes; false if the connection is gone.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn next(&mut self, limit: Duration) -> Option<Frame> {
        let until = Instant::now() + limit;
        loop {
            if let Some((header, rest)) = self.bytes.split_at_checked(9) {
                let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
                if let Some(payload) = rest.get(..length) {
                    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
                    let frame =
                        Frame { kind: header[3], flags: header[4], stream, payload: payload.to_vec() };
                    self.bytes.drain(..9 + length);
                    return Some(frame);
                }
            }
            let more = self.stream.read_buf(&mut self.bytes);
            match timeout_at(until.into(), more).await.expect("a frame, or the end, in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads until a frame of this kind comes; `None` when the connection ends before.
    pub(crate) async fn wait_for(&mut self, kind: u8, limit: Duration) -> Option<Frame> {
        let until = Instant::now() + limit;
        loop {
            let frame = self.next(until.saturating_duration_since(Instant::now())).await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}
