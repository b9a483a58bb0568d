//! Propylon.

pub mod transcode;
