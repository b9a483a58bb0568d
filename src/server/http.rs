//! hyper's builders, every limit of HTTP/1.1 and HTTP/2 set here rather than left to a default.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::Rules;

/// HTTP/2 flow-control windows in bytes: of a stream, of a connection. They bound what a client can send ahead of its
/// upstream.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The longest HTTP/2 frame that is read: the least a server must read, so that no stream holds the others up for long.
const FRAME_BYTES: u32 = 16 << 10;
/// Bytes of one stream's response that wait in HTTP/2 for a client to take them.
const SEND_BUFFER: usize = 64 << 10;
/// HPACK's table of what a client has sent, in bytes.
const HEADER_TABLE: u32 = 4 << 10;
/// Streams that were reset before anybody saw them (CVE-2023-44487), at once: so few that a flood of them ends before it
/// has cost what as many calls would.
const RESETS_UNSEEN: usize = 20;
/// Streams that this side had to reset because of a client's errors (CVE-2025-8671), over a connection's life.
const RESETS_OWN: usize = 1_024;

/// Headers this much over their limit are still read: the surface then refuses them, in words. What is longer is cut off
/// by HTTP itself, which on HTTP/1.1 is put into words (`refusal`) and on HTTP/2 is a bare 431.
const HEADER_GRACE: u32 = 64 << 10;

/// The builder of HTTP/1.1 connections.
pub(super) fn http1(rules: &Rules) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Its clock would run between requests too; `checks` has one that starts with a head's first byte.
        .header_read_timeout(None)
        .max_headers(rules.headers)
        .max_buf_size(usize::try_from(header_bytes(rules)).unwrap_or(usize::MAX));
    builder
}

/// The builder of HTTP/2 connections. CONTINUATION floods are ended by h2 itself, at a quarter more frames than a list
/// of `header_bytes` needs; what it does not bound is in `frames`.
pub(super) fn http2(rules: &Rules) -> http2::Builder<TokioExecutor> {
    let connections = &rules.connections;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(connections.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(header_bytes(rules))
        .header_table_size(HEADER_TABLE)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(RESETS_OWN)
        .keep_alive_interval(
            Some(connections.keepalive_interval).filter(|interval| *interval > Duration::ZERO),
        )
        .keep_alive_timeout(connections.keepalive_timeout);
    builder
}

fn header_bytes(rules: &Rules) -> u32 {
    rules.header_bytes.saturating_add(HEADER_GRACE)
}
