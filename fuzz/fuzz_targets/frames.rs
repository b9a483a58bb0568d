//! gRPC frames: never a panic, and the same messages wherever the body is cut. The first two bytes choose the encoding
//! and the length of the pieces; the rest is the body.
#![no_main]

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::Body as _;
use libfuzzer_sys::fuzz_target;
use propylon::{
    call::{Body, Encoding, FrameGuard, FrameReader},
    status::Whose,
};
use tonic::Status;

const LIMIT: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let [choice, piece, bytes @ ..] = data else { return };
    let encoding = match choice % 4 {
        0 => Some(Encoding::Identity),
        1 => Some(Encoding::Gzip),
        2 => Some(Encoding::Zstd),
        _ => None,
    };
    let piece = usize::from(*piece).max(1);
    let whole = read(body(bytes, bytes.len().max(1)), encoding);
    assert_eq!(read(body(bytes, piece), encoding), whole);
    let passed = pass(body(bytes, piece), encoding);
    assert_eq!(passed, pass(body(bytes, bytes.len().max(1)), encoding));
    // What the guard refuses, the reader refuses: it checks all that the guard does.
    if let Err(refused) = passed {
        assert!(whole.is_err(), "the reader took what the guard refused: {refused}");
    }
});

fn body(bytes: &[u8], piece: usize) -> Body {
    let pieces: Vec<_> = bytes.chunks(piece).map(|p| Ok::<_, Status>(Bytes::copy_from_slice(p))).collect();
    Body::from_stream(futures_util::stream::iter(pieces))
}

fn read(body: Body, encoding: Option<Encoding>) -> Result<Vec<Bytes>, String> {
    let mut reader = FrameReader::new(body, Whose::Client, encoding, LIMIT);
    let mut cx = Context::from_waker(Waker::noop());
    let mut messages = Vec::new();
    loop {
        match reader.poll_next(&mut cx) {
            Poll::Ready(Ok(Some(message))) => {
                assert!(message.len() <= LIMIT);
                messages.push(message);
            }
            Poll::Ready(Ok(None)) => return Ok(messages),
            // A message that ends within a frame names how much of it came.
            Poll::Ready(Err(status)) => return Err(format!("{:?} {}", status.code(), status.message())),
            Poll::Pending => unreachable!("the body is ready"),
        }
    }
}

fn pass(body: Body, encoding: Option<Encoding>) -> Result<(), String> {
    let mut guard = FrameGuard::new(body, encoding, LIMIT);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut guard).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(None) => return Ok(()),
            Poll::Ready(Some(Err(status))) => return Err(status.message().to_owned()),
            Poll::Pending => unreachable!("the body is ready"),
        }
    }
}
