//! Federated MCP servers as the config names them, and the tasks that look after them: what one lists anew becomes the next
//! snapshot.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::error;

use super::{
    Gateway,
    upstreams::{ByName, Prepared, Wrong, identity, metadata, roots},
};
use crate::{
    config::{Config, McpServer, ServerReached},
    dispatch::{HttpSettings, Resilience, Tls},
    federation::{Command, Reached, Server, Settings, Watch},
    snapshot::{Parts, Snapshot},
};

/// How long the start waits for servers' lists; what is slower comes in when it appears.
pub(super) const FIRST_CHANCE: Duration = Duration::from_secs(3);

/// Makes the servers of a config; what has not changed is what it was, sessions and processes included.
pub(super) fn prepare(config: &Config, before: &ByName<Arc<Server>>, prepared: &mut Prepared) {
    for written in config.mcp.servers.iter().filter(|_| config.mcp.enabled) {
        let made = settings(config, written).and_then(|settings| match before.get(&written.name) {
            Some(server) if *server.settings() == settings => Ok(Arc::clone(server)),
            _ => Server::new(settings, config.workers).map(Arc::new).map_err(|why| ("", why)),
        });
        match made {
            Ok(server) => {
                prepared.servers.insert(Arc::clone(&written.name), server);
            }
            Err((key, why)) => {
                let subject = format!("mcp.servers[{}]{key}", written.entry);
                prepared.mistake(subject, format!("MCP server {:?}: {why}", written.name));
            }
        }
    }
}

fn settings(config: &Config, written: &McpServer) -> Result<Settings, Wrong> {
    let reached = match &written.reached {
        ServerReached::Http { addresses, path, headers, connect_timeout, ca, server_name, client } => {
            let roots = roots(ca.as_deref())?;
            let (server_name, identity) = (server_name.clone(), identity(client.as_ref())?);
            let settings = HttpSettings {
                name: format!("mcp {}", written.name).into(),
                hosts: addresses.hosts().collect(),
                tls: addresses.tls().then_some(Tls { roots, server_name, identity }),
                http2: false,
                authority: None,
                headers: headers.iter().filter_map(metadata).collect(),
                connect_timeout: *connect_timeout,
                handshake_timeout: *connect_timeout,
                resilience: Resilience::default(),
            };
            Reached::Http(Box::new(settings), path.clone())
        }
        ServerReached::Process { program, arguments, environment, folder } => Reached::Process(Command {
            program: program.clone(),
            arguments: arguments.clone(),
            environment: environment
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect(),
            folder: folder.clone(),
        }),
    };
    Ok(Settings {
        name: Arc::clone(&written.name),
        reached,
        speaks: written.speaks,
        refresh: written.refresh,
        timeout: written.timeout.min(Duration::from_secs(30)),
        sessions: written.sessions,
        session_idle: written.session_idle,
        message_bytes: config.limits.response_bytes,
    })
}

impl Gateway {
    /// Begins to look after the servers, and waits so long for what they list.
    pub(super) async fn federate(self: &Arc<Self>, limit: Duration) {
        let servers = {
            let mut current = self.current();
            let super::Current { parts, server_watches, .. } = &mut *current;
            self.watch_servers(parts, server_watches);
            parts.servers.clone()
        };
        let until = Instant::now() + limit;
        let waits = || servers.values().any(|server| server.listing().is_none() && server.away().is_none());
        while waits() && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks after the servers of a snapshot that nobody looks after yet; those that are gone are left alone.
    pub(super) fn watch_servers(self: &Arc<Self>, parts: &Parts, watches: &mut ByName<Watch>) {
        if !self.opened {
            return;
        }
        let mut next = ByName::new();
        for (name, server) in &parts.servers {
            let watch = match watches.remove(name) {
                Some(watch) if Arc::ptr_eq(watch.server(), server) => watch,
                _ => {
                    let gateway = Arc::downgrade(self);
                    server.watch(move |server| {
                        if let Some(gateway) = gateway.upgrade() {
                            gateway.listed(server);
                        }
                    })
                }
            };
            next.insert(Arc::clone(name), watch);
        }
        *watches = next;
    }

    /// Ends the servers' sessions and processes, at the end of the process's own; nothing is asked of them any more.
    pub async fn end_servers(&self) {
        let servers = {
            let mut current = self.current();
            current.server_watches.clear();
            current.parts.servers.clone()
        };
        futures_util::future::join_all(servers.values().map(|server| server.close())).await;
    }

    /// Swaps in the next snapshot, with what a server lists now.
    fn listed(&self, server: &Arc<Server>) {
        let current = self.current();
        if !current.parts.servers.get(server.name()).is_some_and(|now| Arc::ptr_eq(now, server)) {
            return;
        }
        match Snapshot::build(&current.parts, &current.schemas) {
            Ok(snapshot) => self.show(snapshot),
            Err(error) => error!("MCP server {:?}: what it lists is not used: {error}", server.name()),
        }
    }
}
