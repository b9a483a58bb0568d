//! What hyper answers by itself to an HTTP/1.1 head that it cannot read: an empty 400, 414 or 431, after which it ends the
//! connection. Those bytes are recognised on their way out and kept back, so that the door can answer in REST's words.
//!
//! The same bytes may be the end of a response's body. What they were is known for certain only by how the connection ends:
//! with a parse error they were hyper's, for it writes nothing after them. Else they go out late, and whole.

use std::{io, task::Poll};

use http::StatusCode;

/// The parts of a refusal's text: `HTTP/1.1 400 Bad Request`, these, and between the last two a date.
const VERSION: &[u8] = b"HTTP/1.1 ";
const HEADERS: &[u8] = b"\r\nconnection: close\r\ncontent-length: 0\r\ndate: ";
const DATE: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
const END: &[u8] = b"\r\n\r\n";

/// What hyper refuses a head with.
const STATUSES: [StatusCode; 3] =
    [StatusCode::BAD_REQUEST, StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];

/// What is kept back of a connection's writes.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    status: Option<StatusCode>,
}

impl Kept {
    /// The status of the refusal that is kept, if one is.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Keeps a refusal, which `bytes` are from first to last.
    pub(super) fn keep(&mut self, bytes: &[u8], status: StatusCode) {
        self.bytes = bytes.to_vec();
        self.status = Some(status);
    }

    /// It is no refusal, or is not wanted: sends it by `write`, and is ready once all of it went.
    pub(super) fn release(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            match write(&self.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => drop(self.bytes.drain(..written.min(self.bytes.len()))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.status = None;
        Poll::Ready(Ok(()))
    }

    /// Forgets it: it is answered otherwise.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The refusal that bytes end with, if they do: its status, and where it begins.
pub(super) fn at_end(bytes: &[u8]) -> Option<(StatusCode, usize)> {
    // Nearly everything that is written is told by this alone.
    let before = bytes.strip_suffix(END)?;
    let before = before.get(..before.len().checked_sub(DATE)?)?.strip_suffix(HEADERS)?;
    STATUSES.into_iter().find_map(|status| {
        let before = before.strip_suffix(status.canonical_reason()?.as_bytes())?.strip_suffix(b" ")?;
        let before = before.strip_suffix(status.as_str().as_bytes())?.strip_suffix(VERSION)?;
        Some((status, before.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
        date: Sat, 28 Nov 2026 02:43:28 GMT\r\n\r\n";

    #[test]
    fn a_refusal_is_known_by_its_whole_text() {
        let check = |bytes: &[u8], want: Option<(u16, usize)>| {
            let found = at_end(bytes).map(|(status, at)| (status.as_u16(), at));
            assert_eq!(found, want, "{:?}", String::from_utf8_lossy(bytes));
        };
        check(REFUSAL, Some((431, 0)));
        check(&[b"{\"an\": \"answer\"}", REFUSAL].concat(), Some((431, 16)));
        let text = String::from_utf8(REFUSAL.to_vec()).unwrap();
        let other = |from: &str, to: &str| text.replace(from, to).into_bytes();
        check(&other("431 Request Header Fields Too Large", "400 Bad Request"), Some((400, 0)));
        check(&other("431 Request Header Fields Too Large", "414 URI Too Long"), Some((414, 0)));
        check(&other("431 Request Header Fields Too Large", "404 Not Found"), None);
        check(&other("length: 0", "length: 1"), None);
        check(&other("\r\n\r\n", "\r\n\r\n{}"), None);
        check(&REFUSAL[1..], None);
        for end in 0..REFUSAL.len() {
            check(&REFUSAL[..end], None);
        }
    }

    #[test]
    fn what_is_kept_goes_out_whole() {
        let mut kept = Kept::default();
        kept.keep(REFUSAL, StatusCode::BAD_REQUEST);
        let mut out = Vec::new();
        let mut turns = 0;
        let mut write = |bytes: &[u8]| {
            turns += 1;
            if turns % 2 == 0 {
                return Poll::Pending;
            }
            let some = bytes.len().min(50);
            out.extend_from_slice(&bytes[..some]);
            Poll::Ready(Ok(some))
        };
        while kept.release(&mut write).is_pending() {}
        assert_eq!((out.as_slice(), kept.status()), (REFUSAL, None));
    }
}
