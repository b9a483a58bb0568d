//! The keys of upstream MCP servers with their values.

use super::Keys;
use crate::config::{McpServer, ServerReached};

impl Keys {
    pub(super) fn mcp_server(&mut self, server: &McpServer) {
        let McpServer {
            entry: _,
            name,
            reached,
            prefix,
            expose,
            hide,
            prompts,
            resources,
            speaks,
            closed,
            timeout,
            refresh,
            sessions,
            session_idle,
        } = server;
        self.thing(&format!("MCP server {name}"));
        let key = |key: &str| format!("mcp.servers.{name}.{key}");
        // That a secret is another one is seen, and what it is is not.
        match reached {
            ServerReached::Http { headers, .. } => {
                let headers: Vec<_> =
                    headers.iter().map(|(name, secret)| (name, secret.fingerprint())).collect();
                self.long(&key("headers"), &headers);
            }
            ServerReached::Process { environment, .. } => {
                let environment: Vec<_> =
                    environment.iter().map(|(name, secret)| (name, secret.fingerprint())).collect();
                self.long(&key("env"), &environment);
            }
        }
        self.long(&key("url or command"), reached);
        self.text(&key("prefix"), prefix);
        self.long(&key("expose"), expose);
        self.long(&key("hide"), hide);
        self.add(&key("prompts"), prompts);
        self.add(&key("resources"), resources);
        self.long(&key("protocol"), speaks);
        self.add(&key("failure = closed"), closed);
        self.add(&key("timeout"), timeout);
        self.add(&key("refresh"), refresh);
        self.add(&key("sessions"), sessions);
        self.add(&key("session_idle"), session_idle);
    }
}
