//! gRPC's length-prefixed messages ("gRPC over HTTP/2"): one flag byte (0 plain, 1 compressed), four bytes of big-endian
//! length, the message. [`FrameReader`] takes messages out of a body, [`FrameGuard`] lets a body pass and only checks it.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;

use super::{Body, Guards, Pace};
use crate::status::{Fault, Refusal, Whose, refuse};

/// Length of a frame's header in bytes.
pub const HEADER_BYTES: usize = 5;

static GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Message compression (`grpc-encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    #[default]
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What this gateway reads, as `grpc-accept-encoding` lists it.
    pub const ACCEPTED: &'static str = "identity,gzip,zstd";

    /// The encoding a `grpc-encoding` header names; `None` means that it is not known here.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match headers.get(&GRPC_ENCODING).map(http::HeaderValue::as_bytes) {
            None | Some(b"identity") => Some(Self::Identity),
            Some(b"gzip") => Some(Self::Gzip),
            Some(b"zstd") => Some(Self::Zstd),
            Some(_) => None,
        }
    }

    /// Compresses one message.
    ///
    /// # Errors
    /// Those of the compressor.
    pub fn compress(self, message: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(message.to_vec()),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(message)?;
                encoder.finish()
            }
            Self::Zstd => zstd::encode_all(message, 1),
        }
    }

    /// Decompresses one message of at most `limit` bytes; `Ok(None)` means that it is longer.
    ///
    /// # Errors
    /// The message is not what its encoding promises.
    pub fn decompress(self, message: Bytes, limit: usize) -> io::Result<Option<Bytes>> {
        let mut out = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        match self {
            Self::Identity => return Ok((message.len() <= limit).then_some(message)),
            Self::Gzip => {
                flate2::read::MultiGzDecoder::new(message.as_ref()).take(most).read_to_end(&mut out)?;
            }
            Self::Zstd => {
                zstd::Decoder::new(message.as_ref())?.take(most).read_to_end(&mut out)?;
            }
        }
        Ok((out.len() <= limit).then(|| out.into()))
    }
}

/// Makes one uncompressed frame of a message written by `write` behind the space for its header.
///
/// # Errors
/// Those of `write`; RESOURCE_EXHAUSTED for a message of 4 GiB or more.
pub fn frame(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Status>) -> Result<Bytes, Status> {
    let mut out = vec![0; HEADER_BYTES];
    write(&mut out)?;
    let length = u32::try_from(out.len() - HEADER_BYTES)
        .map_err(|_| refuse(Refusal::TooLarge, "a message of 4 GiB or more cannot be framed"))?;
    if let Some(space) = out.get_mut(1..HEADER_BYTES) {
        space.copy_from_slice(&length.to_be_bytes());
    }
    Ok(out.into())
}

/// Who made the frames, what they are compressed with, and how long a message may be (bytes).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    whose: Whose,
    encoding: Option<Encoding>,
    limit: usize,
}

impl Rules {
    fn broken(self, message: &str) -> Status {
        let by = match self.whose {
            Whose::Client => "the request",
            Whose::Gateway | Whose::Upstream => "the upstream's reply",
        };
        Fault { refusal: None, whose: self.whose, retry: false }
            .on(Status::internal(format!("{by} {message}")))
    }

    fn too_large(self, length: usize) -> Status {
        match self.whose {
            Whose::Client => refuse(
                Refusal::TooLarge,
                format!("a request message of {length} bytes is over the limit of {} bytes", self.limit),
            ),
            Whose::Gateway | Whose::Upstream => Fault::upstream().on(Status::resource_exhausted(format!(
                "a reply message of {length} bytes is over the limit of {} bytes",
                self.limit
            ))),
        }
    }

    /// Checks a frame's header and returns its message's length.
    fn header(self, header: [u8; HEADER_BYTES]) -> Result<(bool, usize), Status> {
        let [flag, length @ ..] = header;
        let compressed = match flag {
            0 => false,
            1 if self.encoding == Some(Encoding::Identity) => {
                return Err(self.broken("has a compressed message but no grpc-encoding"));
            }
            1 => true,
            other => {
                return Err(self.broken(&format!("has a frame that begins with byte {other}, not 0 or 1")));
            }
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.limit { Err(self.too_large(length)) } else { Ok((compressed, length)) }
    }
}

/// Takes the messages out of a body of frames, decompressed, one after the other.
#[derive(Debug)]
pub struct FrameReader {
    body: Body,
    rules: Rules,
    /// What has come and is not consumed.
    buffer: Bytes,
    /// Used instead of `buffer` while a message is spread over several chunks.
    partial: BytesMut,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl FrameReader {
    /// Reads frames that `whose` made; messages longer than `limit` bytes (decompressed) are refused. An `encoding`
    /// of `None` means one not known here: plain messages can still be read.
    #[must_use]
    pub fn new(body: Body, whose: Whose, encoding: Option<Encoding>, limit: usize) -> Self {
        let rules = Rules { whose, encoding, limit };
        Self { body, rules, buffer: Bytes::new(), partial: BytesMut::new(), trailers: None, ended: false }
    }

    /// The next message; `None` when the body has ended.
    ///
    /// # Errors
    /// A broken frame, a message over the limit, a body that broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`FrameReader::next`], polled.
    ///
    /// # Errors
    /// The same.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(message) = self.take()? {
                return Poll::Ready(Ok(Some(message)));
            }
            if self.ended {
                let rest = self.buffer.len() + self.partial.len();
                self.buffer = Bytes::new();
                self.partial.clear();
                return Poll::Ready(if rest == 0 {
                    Ok(None)
                } else {
                    Err(self.rules.broken(&format!("ends within a frame, after {rest} of its bytes")))
                });
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Err(status_of(error, self.rules.whose))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if self.partial.is_empty() && self.buffer.is_empty() => self.buffer = data,
                    Ok(data) => {
                        if self.partial.is_empty() {
                            self.partial.extend_from_slice(&std::mem::take(&mut self.buffer));
                        }
                        self.partial.extend_from_slice(&data);
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }

    /// The trailers, once the body has ended.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let seen: &[u8] = if self.partial.is_empty() { &self.buffer } else { &self.partial };
        let Some(header) = seen.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (compressed, length) = self.rules.header(*header)?;
        if seen.len() - HEADER_BYTES < length {
            if !self.partial.is_empty() {
                self.partial.reserve(HEADER_BYTES + length - self.partial.len());
            }
            return Ok(None);
        }
        if !self.partial.is_empty() {
            self.buffer = std::mem::take(&mut self.partial).freeze();
        }
        let mut message = self.buffer.split_to(HEADER_BYTES + length);
        let message = message.split_off(HEADER_BYTES);
        if !compressed {
            return Ok(Some(message));
        }
        let Some(encoding) = self.rules.encoding else {
            return Err(self.rules.broken("is compressed in a way that is not known here"));
        };
        match encoding.decompress(message, self.rules.limit) {
            Ok(Some(message)) => Ok(Some(message)),
            Ok(None) => Err(self.rules.too_large(self.rules.limit.saturating_add(1))),
            Err(error) => Err(self.rules.broken(&format!("has a message that does not decompress: {error}"))),
        }
    }
}

/// What a body's error means: the status it carries, or that the other side went away.
pub(crate) fn status_of(error: axum::Error, whose: Whose) -> Status {
    let mut inner = error.into_inner();
    // A body within a body wraps the error once more.
    while let Some(nested) = inner.downcast_mut::<axum::Error>() {
        let nested = std::mem::replace(nested, axum::Error::new(std::fmt::Error));
        inner = nested.into_inner();
    }
    match inner.downcast::<Status>() {
        Ok(status) => *status,
        Err(error) => match whose {
            Whose::Client if is_malformed(&*error) => {
                let message = format!("the request's body is not framed as HTTP/1.1 wants it: {error}");
                Fault::client().on(Status::invalid_argument(message))
            }
            Whose::Client => Fault::client().on(Status::cancelled(format!("the client went away: {error}"))),
            Whose::Gateway | Whose::Upstream => {
                Fault::upstream().on(Status::unavailable(format!("the upstream's reply broke off: {error}")))
            }
        },
    }
}

/// Whether a body broke off because what came is no body, such as a bad chunk size, and not because nothing came.
fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
    })
}

/// Lets a client's frames pass untouched and checks that they are frames: flags, lengths against the limit, a whole
/// last one. Its error is a `Status`.
#[derive(Debug)]
pub struct FrameGuard {
    body: Body,
    rules: Rules,
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have come; the message follows when it is full.
    header_bytes: usize,
    /// Bytes of the message still to come.
    message_bytes: usize,
    /// How long it may pause; for ever where there is none.
    pace: Option<Pace>,
}

impl FrameGuard {
    /// Checks a client's frames; messages longer than `limit` bytes on the wire are refused.
    #[must_use]
    pub fn new(body: Body, encoding: Option<Encoding>, limit: usize) -> Self {
        let rules = Rules { whose: Whose::Client, encoding, limit };
        Self { body, rules, header: [0; HEADER_BYTES], header_bytes: 0, message_bytes: 0, pace: None }
    }

    /// Refuses a body that pauses for longer.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        self.pace = Some(Pace::new(pause));
        self
    }

    fn check(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            let skipped = self.message_bytes.min(data.len());
            self.message_bytes -= skipped;
            data = data.get(skipped..).unwrap_or_default();
            let wanted = (HEADER_BYTES - self.header_bytes).min(data.len());
            let (head, rest) = data.split_at(wanted);
            if let Some(space) = self.header.get_mut(self.header_bytes..self.header_bytes + wanted) {
                space.copy_from_slice(head);
            }
            self.header_bytes += wanted;
            data = rest;
            if self.header_bytes == HEADER_BYTES {
                self.message_bytes = self.rules.header(self.header)?.1;
                self.header_bytes = 0;
            }
        }
        Ok(())
    }
}

impl http_body::Body for FrameGuard {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let Some(pace) = &mut this.pace else { return Poll::Pending };
            return pace.poll_pause(cx).map(|late| Some(Err(late)));
        };
        if let Some(pace) = &mut this.pace {
            pace.moved();
        }
        Poll::Ready(match frame {
            None if this.header_bytes == 0 && this.message_bytes == 0 => None,
            None => {
                let status = this.rules.broken("ends within a frame");
                (this.header_bytes, this.message_bytes) = (0, 0);
                Some(Err(status))
            }
            Some(Err(error)) => Some(Err(status_of(error, Whose::Client))),
            Some(Ok(frame)) => match frame.data_ref().map_or(Ok(()), |data| this.check(data)) {
                Ok(()) => Some(Ok(frame)),
                Err(status) => Some(Err(status)),
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.header_bytes == 0 && self.message_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that keeps its call's guards until it ends.
pub(super) struct Guarded {
    pub(super) body: Body,
    pub(super) _guards: Guards,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn body(bytes: &[u8], chunk: usize) -> Body {
        let chunks: Vec<_> =
            bytes.chunks(chunk).map(|c| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(c)))).collect();
        Body::new(StreamBody::new(stream::iter(chunks)))
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let mut out = vec![flag];
        out.put_u32(message.len() as u32);
        out.extend_from_slice(message);
        out
    }

    async fn read(bytes: &[u8], chunk: usize, encoding: Option<Encoding>) -> Result<Vec<Bytes>, String> {
        let mut reader = FrameReader::new(body(bytes, chunk), Whose::Client, encoding, 100);
        let mut messages = Vec::new();
        while let Some(message) = reader.next().await.map_err(|s| s.message().to_owned())? {
            messages.push(message);
        }
        Ok(messages)
    }

    async fn pass(bytes: &[u8], chunk: usize, encoding: Option<Encoding>) -> Result<Bytes, String> {
        let guard = FrameGuard::new(body(bytes, chunk), encoding, 100);
        guard.collect().await.map(|all| all.to_bytes()).map_err(|s| s.message().to_owned())
    }

    #[tokio::test]
    async fn a_chunk_at_every_byte_reads_the_same() {
        let mut bytes = framed(0, b"");
        bytes.extend(framed(0, b"hello"));
        bytes.extend(framed(1, &Encoding::Gzip.compress(b"gzipped").unwrap()));
        bytes.extend(framed(0, &[7; 100]));
        for chunk in 1..=bytes.len() {
            let messages = read(&bytes, chunk, Some(Encoding::Gzip)).await.unwrap();
            assert_eq!(messages, [&b""[..], b"hello", b"gzipped", &[7; 100]], "chunks of {chunk}");
            assert_eq!(pass(&bytes, chunk, Some(Encoding::Gzip)).await.unwrap(), bytes);
        }
    }

    #[tokio::test]
    async fn broken_frames_are_named() {
        let long = framed(0, &[0; 101]);
        let bomb = framed(1, &Encoding::Zstd.compress(&[0; 5000]).unwrap());
        let rows: &[(&[u8], Option<Encoding>, &str)] = &[
            (&[0, 0, 0], Some(Encoding::Identity), "within a frame"),
            (&[0, 0, 0, 0, 2, 1], Some(Encoding::Identity), "within a frame"),
            (&[1, 0, 0, 0, 0], Some(Encoding::Identity), "has a compressed message but no grpc-encoding"),
            (&[2, 0, 0, 0, 0], Some(Encoding::Identity), "has a frame that begins with byte 2, not 0 or 1"),
            (
                &long,
                Some(Encoding::Identity),
                "a request message of 101 bytes is over the limit of 100 bytes",
            ),
        ];
        for (bytes, encoding, want) in rows {
            for chunk in [1, 3, 1000] {
                let error = read(bytes, chunk, *encoding).await.unwrap_err();
                assert!(error.contains(want), "{error}");
                let error = pass(bytes, chunk, *encoding).await.unwrap_err();
                assert!(error.contains(want), "{error}");
            }
        }
        let only_reader: &[(&[u8], Option<Encoding>, &str)] = &[
            (&bomb, Some(Encoding::Zstd), "over the limit of 100 bytes"),
            (&[1, 0, 0, 0, 1, 9], Some(Encoding::Gzip), "does not decompress"),
            (&[1, 0, 0, 0, 1, 9], None, "compressed in a way that is not known here"),
        ];
        for (bytes, encoding, want) in only_reader {
            let error = read(bytes, 1000, *encoding).await.unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
