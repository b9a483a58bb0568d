//! The instruments of what agents ask for, by OpenTelemetry's conventions for MCP.

use std::{sync::Arc, time::Duration};

use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};

use super::{
    Settings,
    room::{Family, Room, Share},
};

/// The upper bounds of how long sessions were, in seconds.
const SESSIONS: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];
/// The tool of what there is no room to tell of by its own.
const OTHER: &str = "other";

/// Those of all requests of MCP.
pub struct Tools {
    operations: HistogramVec,
    sessions: Histogram,
    /// Series of an operation with its labels.
    buckets: usize,
    room: Arc<Room>,
}

impl Tools {
    pub(super) fn new(
        registry: &Registry,
        settings: &Settings,
        room: &Arc<Room>,
    ) -> Result<Self, prometheus::Error> {
        let help = "From a request or notification of MCP to the end of its answer, in seconds.";
        let opts = HistogramOpts::new("mcp_server_operation_duration_seconds", help);
        let operations = HistogramVec::new(
            opts.buckets(settings.buckets.clone()),
            &["mcp_method_name", "gen_ai_tool_name", "gen_ai_operation_name", "error_type"],
        )?;
        registry.register(Box::new(operations.clone()))?;
        let help = "How long sessions of MCP were that their clients have ended, in seconds.";
        let opts = HistogramOpts::new("mcp_server_session_duration_seconds", help);
        let sessions = Histogram::with_opts(opts.buckets(SESSIONS.to_vec()))?;
        registry.register(Box::new(sessions.clone()))?;
        Ok(Self { operations, sessions, buckets: settings.buckets.len() + 3, room: Arc::clone(room) })
    }

    /// A request of this method has ended; of a tool, if it was for one, and with this kind of error, if any.
    pub fn asked(&self, method: &str, tool: Option<&str>, error: &str, took: Duration) {
        let operation = if tool.is_some() { "execute_tool" } else { "" };
        let tool = tool.unwrap_or_default();
        let other = if tool.is_empty() { "" } else { OTHER };
        let last = [method, other, operation, ""];
        let ways = [
            ([method, tool, operation, error], Share::Own),
            ([method, other, operation, error], Share::All),
            (last, Share::Last),
        ];
        let has_room = ways.into_iter().find(|(labels, share)| {
            let set = (Family::Tools, labels.map(str::to_owned).to_vec());
            self.room.take("", &[(set, self.buckets)], *share)
        });
        let labels = has_room.map_or(last, |(labels, _)| labels);
        self.operations.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// A session was ended by its client after this time.
    pub fn session_ended(&self, lasted: Duration) {
        self.sessions.observe(lasted.as_secs_f64());
    }
}
