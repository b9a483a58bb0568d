//! Reads a connection's first bytes until they tell HTTP/2 from HTTP/1.1, and keeps them for who reads next.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first bytes of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Start {
    bytes: [u8; PREFACE.len()],
    read: usize,
    taken: usize,
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Http {
    One,
    Two,
}

impl Start {
    /// Reads into `self` until it can tell. Nothing is lost when this is given up and begun again. `None`: the
    /// connection ended before.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn sniff(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Http>> {
        loop {
            let come = self.bytes.get(..self.read).unwrap_or_default();
            if !PREFACE.starts_with(come) {
                return Ok(Some(Http::One));
            }
            let Some(space) = self.bytes.get_mut(self.read..).filter(|space| !space.is_empty()) else {
                return Ok(Some(Http::Two));
            };
            match stream.read(space).await? {
                0 => return Ok(None),
                more => self.read += more,
            }
        }
    }

    /// Whether a TLS handshake has come: its first record, of any version (RFC 8446, section 5.1).
    pub(super) fn is_tls(&self) -> bool {
        self.bytes.get(..self.read).is_some_and(|come| come.starts_with(&[0x16]))
    }

    /// Whether anything has come.
    pub(super) fn begun(&self) -> bool {
        self.read > 0
    }

    /// What has not been taken yet, at most `most` bytes of it; taken now.
    pub(super) fn take(&mut self, most: usize) -> &[u8] {
        let from = self.taken;
        self.taken = self.read.min(from.saturating_add(most));
        self.bytes.get(from..self.taken).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt as _, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_tell_and_are_kept() {
        // What is sent, and what that tells; `None`: more is waited for.
        let check = async |sent: &[u8], close: bool, want: Option<Option<Http>>| {
            let (mut client, mut server) = tokio::io::duplex(100);
            client.write_all(sent).await.unwrap();
            if close {
                client.shutdown().await.unwrap();
            }
            let mut start = Start::default();
            let said = timeout(Duration::from_secs(1), start.sniff(&mut server)).await;
            assert_eq!(said.ok().map(Result::unwrap), want, "{:?}", String::from_utf8_lossy(sent));
            let kept = start.take(1000).to_vec();
            assert_eq!(kept, sent.get(..kept.len()).unwrap());
            assert_eq!(kept.is_empty(), sent.is_empty());
            assert!(start.take(1).is_empty());
        };
        check(b"", false, None).await;
        check(b"", true, Some(None)).await;
        check(b"P", false, None).await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", false, None).await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", true, Some(None)).await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false, Some(Some(Http::Two))).await;
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", false, Some(Some(Http::Two))).await;
        check(b"POST", false, Some(Some(Http::One))).await;
        check(b"G", false, Some(Some(Http::One))).await;
    }
}
