//! What is looked for in federated MCP servers: what goes to them in plain text, and programs that anybody may have started.

use super::{
    Finding, Severity,
    findings::{Found, exposed, finding, is_local},
};
use crate::config::{Config, ServerReached};

/// Servers elsewhere that are spoken to in plain text.
pub(super) fn plain_text(config: &Config) -> Found {
    let far = config.mcp.servers.iter().filter_map(|server| match &server.reached {
        ServerReached::Http { addresses, headers, .. } => {
            let far = addresses.0.iter().find(|address| !address.tls && !is_local(&address.host))?;
            Some((server, far, !headers.is_empty()))
        }
        ServerReached::Process { .. } => None,
    });
    let told = |(server, address, says): (&crate::config::McpServer, &crate::config::Address, bool)| {
        let (severity, what) = match says {
            true => (Severity::High, "calls, and the headers that are sent with them"),
            false => (Severity::Medium, "calls and their results, which models believe"),
        };
        finding(
            severity,
            format!("mcp.servers[{}].url", server.entry),
            format!("{address} is in plain text: who is on the way reads and changes {what}"),
            "https://, with `ca` where its certificate is your own",
        )
    };
    far.map(told).collect()
}

/// Programs whose tools are open to everyone who reaches the gateway.
pub(super) fn programs(config: &Config) -> Found {
    let open = config.callers.rules.default.public && exposed(config) && config.mcp.enabled;
    let programs =
        config.mcp.servers.iter().filter(|server| matches!(server.reached, ServerReached::Process { .. }));
    let told = |server: &crate::config::McpServer| -> Finding {
        finding(
            Severity::High,
            format!("mcp.servers[{}].command", server.entry),
            format!(
                "whoever reaches {} has {} started, and uses what of its tools no rule names",
                config.listen, server.reached
            ),
            "take access.default = \"authenticated\", or name who may use it (match = [\"mcp.NAME\"])",
        )
    };
    programs.filter(|_| open).map(told).collect()
}
