//! Answers that are written straight to a socket, because hyper has none for them: to an HTTP/1.1 client whose request's
//! head did not come in time, or could not be read, or whose connection is one too many.

use http_body_util::BodyExt as _;
use tokio::{
    io::AsyncWriteExt as _,
    time::{Duration, timeout},
};

use super::wire::Wire;
use crate::surface::Response;

/// How long a client may take to read the last answer.
const PATIENCE: Duration = Duration::from_secs(1);

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
