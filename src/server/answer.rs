//! Answers that are written straight to a socket, because hyper has none for them: to a client that speaks plain text where
//! TLS is spoken, and to an HTTP/1.1 client whose request's head did not come in time, or could not be read, or whose
//! connection is one too many.

use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Duration, timeout},
};

use super::wire::Wire;
use crate::surface::Response;

/// The most bytes of a request in plain text that are read to let its answer arrive.
const MOST_SCRAP: usize = 1 << 20;
/// How long a client may take to read the last answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// To a request in plain text where TLS is spoken: in HTTP/1.1, and as HTTP/2's GOAWAY (after the SETTINGS that come first)
/// with INADEQUATE_SECURITY and the same words.
const SPEAK_TLS: &str = "this port speaks TLS: ask by https://\n";
const PLAIN: usize = 3;

/// Tells a client in plain text that TLS is spoken here, and ends the connection.
pub(super) async fn speak_tls(mut stream: TcpStream) {
    let told = timeout(PATIENCE, async {
        let mut first = [0; PLAIN];
        let read = stream.peek(&mut first).await?;
        let text = if read == PLAIN && first == *b"PRI" {
            let debug = SPEAK_TLS.trim_end().as_bytes();
            let length = u8::try_from(8 + debug.len()).unwrap_or(8);
            let goaway = [0, 0, length, 0x7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc];
            [&[0, 0, 0, 0x4, 0, 0, 0, 0, 0][..], &goaway, debug].concat()
        } else {
            let length = SPEAK_TLS.len();
            format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
                 date: {}\r\nconnection: close\r\n\r\n{SPEAK_TLS}",
                now()
            )
            .into_bytes()
        };
        stream.write_all(&text).await?;
        stream.shutdown().await?;
        // A socket closed with something unread takes back what it has sent.
        let mut scrap = [0; 4096];
        let mut most = MOST_SCRAP;
        while most > 0 {
            let read = stream.read(&mut scrap).await?;
            most = if read == 0 { 0 } else { most.saturating_sub(read) };
        }
        std::io::Result::Ok(())
    });
    // Who does not read it is closed all the same.
    drop(told.await);
}

/// The time as HTTP writes it.
fn now() -> impl std::fmt::Display {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT")
}

/// A whole response as HTTP/1.1's last on a connection; `None` where its body cannot be had.
pub(super) async fn text(response: Response) -> Option<Vec<u8>> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let mut text = Vec::with_capacity(512 + body.len());
    text.extend_from_slice(format!("HTTP/1.1 {}\r\nconnection: close\r\n", head.status).as_bytes());
    text.extend_from_slice(format!("content-length: {}\r\ndate: {}\r\n", body.len(), now()).as_bytes());
    for (name, value) in &head.headers {
        if name != ::http::header::CONTENT_LENGTH && name != ::http::header::CONNECTION {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    Some(text)
}

/// Writes a whole response as HTTP/1.1's last on a connection, and ends it.
pub(super) async fn last(mut wire: Wire, response: Response) {
    let Some(text) = text(response).await else { return };
    let written = timeout(PATIENCE, async {
        wire.write_all(&text).await?;
        wire.shutdown().await
    });
    // Who does not read it is closed all the same.
    drop(written.await);
}

/// Writes what a wire has kept back, if it has, and ends it.
pub(super) async fn rest(mut wire: Wire) {
    if wire.keeps() {
        drop(timeout(PATIENCE, wire.finish()).await);
    }
}
