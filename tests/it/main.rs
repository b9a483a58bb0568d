//! The integration tests, one module for each part of the road.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod dispatch;
