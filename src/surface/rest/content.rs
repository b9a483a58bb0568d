//! HTTP content codings of the REST surface (RFC 9110, section 8.4): gzip, deflate, br and zstd of requests, undone piece
//! by piece so that a small body cannot become a large one; gzip, br and zstd of unary JSON replies.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use http::{HeaderMap, HeaderValue, header};
use tonic::Status;
use zstd::stream::raw::{self, Operation as _};

use super::accept;
use crate::status::{Refusal, refuse};

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::surface) enum Coding {
    Gzip,
    /// The zlib format, as RFC 9110 means `deflate`.
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The name in `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of a request's body; `None` where it has none.
    ///
    /// # Errors
    /// 415 for a coding not known here, and for more than one.
    pub(in crate::surface) fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(None) };
        match value.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
            _ if values.next().is_some() => {}
            b"identity" | b"" => return Ok(None),
            b"gzip" | b"x-gzip" => return Ok(Some(Self::Gzip)),
            b"deflate" => return Ok(Some(Self::Deflate)),
            b"br" => return Ok(Some(Self::Brotli)),
            b"zstd" => return Ok(Some(Self::Zstd)),
            _ => {}
        }
        let message =
            format!("content-encoding {value:?} is not understood: one of gzip, deflate, br, zstd is",);
        Err(refuse(Refusal::UnsupportedMediaType, message))
    }

    /// The coding a client likes best for its reply, by its `Accept-Encoding`; of equals the one that costs least.
    pub(super) fn of_reply(accepted: &HeaderValue) -> Option<Self> {
        let accepted = accept::ranges(accepted);
        let named = |name: &str| accepted.iter().find(|range| range.name == name).map(|range| range.weight);
        // The last of equals wins `max_by_key`.
        let best = [Self::Brotli, Self::Gzip, Self::Zstd]
            .into_iter()
            .filter_map(|coding| named(coding.name()).or_else(|| named("*")).map(|weight| (weight, coding)))
            .filter(|(weight, _)| *weight > 0)
            .max_by_key(|(weight, _)| *weight)?;
        named("identity").is_none_or(|identity| identity <= best.0).then_some(best.1)
    }

    /// Encodes a whole reply body.
    ///
    /// # Errors
    /// Those of the compressor.
    pub(super) fn encode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 4 + 64);
        match self {
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(out, flate2::Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Brotli => {
                let mut encoder = brotli::CompressorWriter::new(out, 4096, 4, 20);
                encoder.write_all(body)?;
                Ok(encoder.into_inner())
            }
            Self::Zstd => zstd::encode_all(body, 3),
        }
    }
}

/// The longest piece of coded bytes that is undone at once: what it can become is bounded, whatever the coding.
const PIECE_BYTES: usize = 64;

/// Undoes a content coding as the chunks come. What it holds is never more than `limit` bytes and one piece's output.
pub(super) struct Decoder {
    inner: Inner,
    coding: Coding,
    begun: bool,
}

enum Inner {
    Gzip(flate2::write::MultiGzDecoder<Sink>),
    Deflate { inflate: Decompress, out: Sink, done: bool },
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Zstd { decoder: raw::Decoder<'static>, out: Sink, done: bool },
}

impl Decoder {
    /// Undoes `coding`; more than `limit` bytes that nobody has taken are refused.
    ///
    /// # Errors
    /// INTERNAL if the decompressor cannot be made.
    pub(super) fn new(coding: Coding, limit: usize) -> Result<Self, Status> {
        let out = Sink { bytes: Vec::new(), limit };
        let inner = match coding {
            Coding::Gzip => Inner::Gzip(flate2::write::MultiGzDecoder::new(out)),
            Coding::Deflate => Inner::Deflate { inflate: Decompress::new(true), out, done: false },
            Coding::Brotli => Inner::Brotli(Box::new(brotli::DecompressorWriter::new(out, 4096))),
            Coding::Zstd => {
                let decoder = raw::Decoder::new()
                    .map_err(|error| Status::internal(format!("zstd cannot be used: {error}")))?;
                Inner::Zstd { decoder, out, done: true }
            }
        };
        Ok(Self { inner, coding, begun: false })
    }

    /// Undoes coded bytes from the front of `chunk`, which keeps what is left of it, and answers what came out:
    /// all of it if `whole`, else what a piece or some gave.
    ///
    /// # Errors
    /// 413 for more than the limit, 400 for bytes that are not what the coding promises.
    pub(super) fn decode(&mut self, chunk: &mut Bytes, whole: bool) -> Result<Bytes, Status> {
        self.begun |= !chunk.is_empty();
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(PIECE_BYTES));
            self.write(&piece).map_err(|error| self.status(&error))?;
            if !whole && self.sink().bytes.len() >= 4096 {
                break;
            }
        }
        Ok(std::mem::take(&mut self.sink().bytes).into())
    }

    /// True once a byte has come.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// What is left when the body has ended.
    ///
    /// # Errors
    /// Those of [`Decoder::decode`], and 400 for a body that breaks off.
    pub(super) fn finish(&mut self) -> Result<Bytes, Status> {
        let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "it breaks off");
        match &mut self.inner {
            Inner::Gzip(decoder) => decoder.try_finish(),
            Inner::Deflate { done, .. } | Inner::Zstd { done, .. } => {
                if *done {
                    Ok(())
                } else {
                    Err(broken())
                }
            }
            Inner::Brotli(decoder) => decoder.close(),
        }
        .map_err(|error| self.status(&error))?;
        Ok(std::mem::take(&mut self.sink().bytes).into())
    }

    fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        let mut space = [0; 16 << 10];
        match &mut self.inner {
            Inner::Gzip(decoder) => decoder.write_all(piece),
            Inner::Brotli(decoder) => decoder.write_all(piece),
            Inner::Deflate { inflate, out, done } => loop {
                if *done {
                    return if piece.is_empty() {
                        Ok(())
                    } else {
                        Err(io::Error::other("something follows it"))
                    };
                }
                let before = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(piece, &mut space, FlushDecompress::None)?;
                let read = usize::try_from(inflate.total_in() - before.0).unwrap_or(usize::MAX);
                let wrote = usize::try_from(inflate.total_out() - before.1).unwrap_or(usize::MAX);
                piece = piece.get(read..).unwrap_or_default();
                out.write_all(space.get(..wrote).unwrap_or_default())?;
                *done = status == flate2::Status::StreamEnd;
                if !*done && piece.is_empty() && wrote < space.len() {
                    return Ok(());
                }
            },
            Inner::Zstd { decoder, out, done } => loop {
                let status = decoder.run_on_buffers(piece, &mut space)?;
                piece = piece.get(status.bytes_read..).unwrap_or_default();
                out.write_all(space.get(..status.bytes_written).unwrap_or_default())?;
                *done = status.remaining == 0;
                if piece.is_empty() && status.bytes_written < space.len() {
                    return Ok(());
                }
            },
        }
    }

    fn sink(&mut self) -> &mut Sink {
        match &mut self.inner {
            Inner::Gzip(decoder) => decoder.get_mut(),
            Inner::Deflate { out, .. } | Inner::Zstd { out, .. } => out,
            Inner::Brotli(decoder) => decoder.get_mut(),
        }
    }

    fn status(&mut self, error: &io::Error) -> Status {
        let limit = self.sink().limit;
        if error.get_ref().is_some_and(|inner| inner.is::<Full>()) {
            return too_large(limit);
        }
        Status::invalid_argument(format!("the body is not {}: {error}", self.coding.name()))
    }
}

/// True for content that is text, and so becomes smaller by a coding; images, archives and the like are coded already.
pub(super) fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/').unwrap_or_default();
    let suffix = subtype.rsplit_once('+').map_or("", |(_, suffix)| suffix);
    kind == "text" && subtype != "event-stream"
        || kind == "application"
            && matches!(subtype, "json" | "javascript" | "xml" | "yaml" | "x-ndjson" | "wasm")
        || matches!(suffix, "json" | "xml" | "yaml")
}

/// 413: a request body over the limit of its route.
pub(super) fn too_large(limit: usize) -> Status {
    refuse(Refusal::TooLarge, format!("the request body is over the limit of {limit} bytes"))
}

/// A buffer that refuses to grow over its limit.
struct Sink {
    bytes: Vec<u8>,
    limit: usize,
}

#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("over the limit")
    }
}

impl std::error::Error for Full {}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::Error::other(Full));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;

    #[test]
    fn text_is_worth_a_coding() {
        let check =
            |content_type: &str, want: bool| assert_eq!(is_text(content_type), want, "{content_type}");
        check("text/html; charset=utf-8", true);
        check("Application/JSON", true);
        check("application/problem+json", true);
        check("image/svg+xml", true);
        check("text/event-stream", false);
        check("image/png", false);
        check("application/octet-stream", false);
        check("", false);
    }

    const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    fn undo(coding: Coding, limit: usize, coded: &[u8], step: usize) -> Result<Vec<u8>, Status> {
        let mut decoder = Decoder::new(coding, limit)?;
        let mut out = Vec::new();
        for chunk in coded.chunks(step) {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while !chunk.is_empty() {
                out.extend_from_slice(&decoder.decode(&mut chunk, false)?);
            }
        }
        out.extend_from_slice(&decoder.finish()?);
        Ok(out)
    }

    #[test]
    fn every_coding_is_undone_at_every_chunk_size() {
        let body: Vec<u8> = (0..5000u32).flat_map(|n| format!("{{\"n\":{}}},", n * n).into_bytes()).collect();
        for coding in ALL {
            let coded = coding.encode(&body).unwrap();
            assert!(coded.len() < body.len() / 2, "{coding:?}");
            for step in [1, 7, 64, 1000, coded.len()] {
                assert_eq!(undo(coding, 1 << 20, &coded, step).unwrap(), body, "{coding:?} by {step}");
            }
        }
    }

    #[test]
    fn a_bomb_and_a_torn_body_are_refused() {
        for coding in ALL {
            let bomb = coding.encode(&vec![0; 8 << 20]).unwrap();
            let mut decoder = Decoder::new(coding, 1 << 20).unwrap();
            let error = decoder.decode(&mut Bytes::from(bomb), true).unwrap_err();
            assert_eq!(status::http(&error).as_u16(), 413, "{coding:?}: {error}");
            assert_eq!(error.message(), "the request body is over the limit of 1048576 bytes");

            let coded = coding.encode(b"{\"name\":\"some text that is long enough\"}").unwrap();
            let torn = undo(coding, 1 << 20, &coded[..coded.len() - 3], 64).unwrap_err();
            assert!(torn.message().starts_with(&format!("the body is not {}: ", coding.name())), "{torn}");
            let garbage = undo(coding, 1 << 20, b"{\"not\": \"coded\"}", 64).unwrap_err();
            assert_eq!(garbage.code(), tonic::Code::InvalidArgument, "{coding:?}");
        }
    }

    #[test]
    fn codings_of_headers() {
        let headers = |name, value: &str| HeaderMap::from_iter([(name, value.parse().unwrap())]);
        let request = |value| Coding::of_request(&headers(header::CONTENT_ENCODING, value));
        assert_eq!(request("gzip").unwrap(), Some(Coding::Gzip));
        assert_eq!(request("BR").unwrap(), Some(Coding::Brotli));
        assert_eq!(request("identity").unwrap(), None);
        for unknown in ["compress", "gzip, br"] {
            let error = request(unknown).unwrap_err();
            assert_eq!(status::http(&error).as_u16(), 415);
            assert_eq!(
                error.message(),
                format!("content-encoding {unknown:?} is not understood: one of gzip, deflate, br, zstd is")
            );
        }
        let reply = |value: &str, want| {
            assert_eq!(Coding::of_reply(&value.parse().unwrap()), want, "{value}");
        };
        reply("gzip", Some(Coding::Gzip));
        reply("gzip, deflate, br, zstd", Some(Coding::Zstd));
        reply("gzip, deflate, br", Some(Coding::Gzip));
        reply("gzip;q=0.5, br", Some(Coding::Brotli));
        reply("*", Some(Coding::Zstd));
        reply("identity", None);
        reply("gzip;q=0", None);
        reply("identity;q=1, gzip;q=0.5", None);
        reply("", None);
    }
}
