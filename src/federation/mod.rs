//! Federation: upstream MCP servers, over streamable HTTP or as child processes, in both eras of the protocol. What is known of
//! each is what it lists; what is asked of it goes over a line of its caller's own. It knows no surface: JSON goes through as it
//! was written.
//!
//! ```text
//!  watch ─▶ own line ─▶ lists ─▶ Listing, of which the snapshot makes tools
//!  ask   ─▶ the caller's line (HTTP | session of HTTP | process) ─▶ Talk: notes, questions, the result
//! ```
//! rmcp's client is not used: its types know what they keep, and here unknown members go on; and it belongs to one caller of one
//! era, where this one speaks to servers of either for clients of both.

mod events;
mod http;
mod line;
mod listing;
mod message;
mod object;
mod process;
mod server;
mod sessions;
mod talk;
mod updates;
mod watch;

use std::{sync::Arc, time::Duration};

use ::http::uri::PathAndQuery;

pub use self::{
    events::{Events, TooLong},
    listing::{Item, Kind, Listing},
    message::{RpcFailure, reply},
    object::{Object, raw},
    process::Command,
    server::Server,
    talk::{Question, Said, Talk},
    updates::{Subscription, Tell},
    watch::Watch,
};
use crate::dispatch::HttpSettings;

/// The version without sessions.
const MODERN: &str = "2026-07-28";
/// Those with sessions, the newest first.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// One server, as the config has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub name: Arc<str>,
    pub reached: Reached,
    pub speaks: Speaks,
    /// How long its lists stay without being read again.
    pub refresh: Duration,
    /// How long the head of an answer may take, where its caller waits longer.
    pub timeout: Duration,
    /// The most sessions, or processes, at once.
    pub sessions: usize,
    /// How long one is kept that is not used.
    pub session_idle: Duration,
    /// The most bytes of one message of the server's.
    pub message_bytes: usize,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    Http(Box<HttpSettings>, PathAndQuery),
    Process(Command),
}

/// Which eras are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Speaks {
    /// The newest version, and the older ones where it does not speak that.
    #[default]
    Either,
    Modern,
    Legacy,
}
