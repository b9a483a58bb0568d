//! The two bodies of gRPC-Web: a request's text decoded as it comes, and a response whose trailers are its last frame:
//! `0x80`, four bytes of big-endian length, then `name: value` lines with lower-case names, each ended by CRLF.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::Status;

use super::text::{Decoder, encode};
use crate::{
    call::{Body, HEADER_BYTES, status_of},
    status::{Whose, to_trailers},
};

/// The flag byte of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// Decodes a request's base64 as it comes. Its error is a `Status`.
#[derive(Debug)]
pub struct Base64Body {
    body: Body,
    decoder: Decoder,
}

impl Base64Body {
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self { body, decoder: Decoder::default() }
    }
}

impl http_body::Body for Base64Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.decoder.finish().err().map(Err),
                Some(Err(error)) => Some(Err(status_of(error, Whose::Client))),
                Some(Ok(frame)) => match frame.into_data().map(|text| self.decoder.push(&text)) {
                    Ok(Ok(data)) if data.is_empty() => continue,
                    Ok(Ok(data)) => Some(Ok(Frame::data(data.into()))),
                    Ok(Err(status)) => Some(Err(status)),
                    Err(trailers) => Some(Ok(trailers)),
                },
            });
        }
    }
}

/// Lets a reply's frames pass and writes its trailers as the last of them; as base64 where `text` says so. Never
/// yields an error or trailers of its own.
#[derive(Debug)]
pub struct TrailersBody {
    body: Body,
    text: bool,
    ended: bool,
}

impl TrailersBody {
    #[must_use]
    pub fn new(body: Body, text: bool) -> Self {
        Self { body, text, ended: false }
    }

    fn write(&self, data: Bytes) -> Frame<Bytes> {
        Frame::data(if self.text { encode(&data).into() } else { data })
    }
}

impl http_body::Body for TrailersBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let last = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            // Without trailers the status is in the response's head already.
            None => None,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Poll::Ready(Some(Ok(self.write(data)))),
                Err(frame) => frame.into_trailers().ok().map(|trailers| trailers_frame(&trailers)),
            },
            Some(Err(error)) => {
                let mut trailers = HeaderMap::new();
                to_trailers(&status_of(error, Whose::Upstream), &mut trailers);
                Some(trailers_frame(&trailers))
            }
        };
        self.ended = true;
        Poll::Ready(last.map(|data| Ok(self.write(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let lines = || trailers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let length: usize = lines().map(|(name, value)| name.len() + value.len() + b": \r\n".len()).sum();
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + length);
    frame.put_u8(TRAILERS);
    // Trailers came in an HTTP head, whose size is limited far below this.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    for (name, value) in lines() {
        frame.put_slice(name);
        frame.put_slice(b": ");
        frame.put_slice(value);
        frame.put_slice(b"\r\n");
    }
    frame.freeze()
}
