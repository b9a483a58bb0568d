//! What a record keeps of a request of MCP: what was asked for, by the protocol's own names.

use std::{sync::Arc, time::Duration};

use super::Record;

/// The longest name of a method that is kept: a client writes it.
const MOST_NAME: usize = 64;

/// A request, or a notification, of MCP.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// As its client wrote it, cut to a length.
    pub method: Box<str>,
    /// The tool that is called; `None` for one that there is not.
    pub tool: Option<Arc<str>>,
    /// The number of the JSON-RPC error that it was answered with.
    pub error: Option<i32>,
    /// How long the session was that it has ended.
    pub session: Option<Duration>,
}

impl Record {
    /// It asks for a method of MCP.
    pub fn asks(&self, method: &str) {
        let cut = method.get(..method.floor_char_boundary(MOST_NAME)).unwrap_or_default();
        self.found().asked.get_or_insert_default().method = cut.into();
    }

    /// It calls this tool.
    pub fn calls_tool(&self, tool: &Arc<str>) {
        self.found().asked.get_or_insert_default().tool = Some(Arc::clone(tool));
    }

    /// It is answered with this error of JSON-RPC.
    pub fn answered_with(&self, error: i32) {
        if let Some(asked) = &mut self.found().asked {
            asked.error = Some(error);
        }
    }

    /// It has ended a session that was so long.
    pub fn ended_session(&self, lasted: Duration) {
        self.found().asked.get_or_insert_default().session = Some(lasted);
    }
}
