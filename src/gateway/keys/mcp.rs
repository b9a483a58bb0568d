//! The keys of `[mcp]`.

use super::Keys;
use crate::config::{Glob, Mcp};

impl Keys {
    pub(super) fn mcp(&mut self, mcp: &Mcp) {
        let Mcp {
            enabled,
            path,
            expose,
            hide,
            naming,
            instructions,
            tools,
            page_size,
            list_ttl,
            session_lifetime,
            bounds,
            listeners,
            oauth,
            servers,
        } = mcp;
        self.add("mcp.enabled", enabled);
        self.text("mcp.path", path);
        let globs = |globs: &[Glob]| globs.iter().map(Glob::to_string).collect::<Vec<_>>();
        self.add("mcp.expose", &globs(expose));
        self.add("mcp.hide", &globs(hide));
        self.text("mcp.names", &format!("{naming:?}").to_lowercase());
        self.long("mcp.instructions", instructions);
        self.long("mcp.tools", tools);
        self.add("mcp.page_size", page_size);
        self.add("mcp.list_ttl", list_ttl);
        self.add("mcp.session_lifetime", session_lifetime);
        self.add("mcp.stream_messages", &bounds.messages);
        self.add("mcp.stream_timeout", &bounds.time);
        self.add("mcp.stream_bytes", &bounds.bytes);
        self.add("mcp.listeners", &listeners.all);
        self.add("mcp.listeners_per_caller", &listeners.each);
        self.long("mcp.oauth", oauth);
        servers.iter().for_each(|server| self.mcp_server(server));
    }
}
