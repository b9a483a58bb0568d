//! What federated MCP servers have, as a snapshot shows it: each of their tools, prompts and resources on the terms of the rules
//! about it. A rule names a server as `mcp.NAME`, and a tool of it as `mcp.NAME/TOOL`, as it names gRPC's services and methods.

use std::{collections::HashMap, sync::Arc};

use tracing::warn;

use super::build::Build;
use crate::{
    auth::Place,
    config::{McpServer, Rules},
    federation::{Item, Kind, Server},
    route::{Destination, Route, catalog::McpServerEntry},
    surface::mcp::{Stand, Thing, bounded},
};

/// What rules call the prompts of a server, and its resources.
const PROMPTS: &str = "prompts_get";
const RESOURCES: &str = "resources_read";

impl Build<'_> {
    /// Enters what each server lists now.
    pub(super) fn federated(&mut self, servers: &HashMap<Arc<str>, Arc<Server>>) {
        let config = self.config;
        if !config.mcp.enabled {
            return;
        }
        for written in &config.mcp.servers {
            if let Some(server) = servers.get(&written.name) {
                self.server(written, server);
            }
        }
    }

    fn server(&mut self, written: &McpServer, server: &Arc<Server>) {
        let prompts = written.prompts.then(|| self.far_route(written, PROMPTS));
        let resources = written.resources.then(|| self.far_route(written, RESOURCES));
        let listing = server.listing();
        let stand = Arc::new(Stand {
            server: Arc::clone(server),
            prefix: Arc::clone(&written.prefix),
            closed: written.closed,
            listing: listing.clone(),
            prompts: prompts.clone(),
            resources: resources.clone(),
        });
        self.built.shelf.stands.push(Arc::clone(&stand));
        let (mut tools, mut routes) = (0, Vec::new());
        routes.extend(prompts.iter().chain(&resources).map(|route| Arc::clone(&route.name)));
        if let Some(listing) = &listing {
            for item in listing.tools.iter().filter(|item| written.shows(&item.key)) {
                let route = self.far_route(written, &item.key);
                routes.push(Arc::clone(&route.name));
                tools += usize::from(self.far_tool(written, &stand, item, &route));
            }
            let shown = |item: &&Item| written.shows(&item.key);
            for item in listing.prompts.iter().filter(shown) {
                self.far_thing(Kind::Prompts, &stand, item, prompts.as_ref());
            }
            for item in &listing.resources {
                self.far_thing(Kind::Resources, &stand, item, resources.as_ref());
            }
            for item in &listing.templates {
                self.far_thing(Kind::Templates, &stand, item, resources.as_ref());
            }
        }
        self.built.catalog.push_mcp_server(McpServerEntry {
            name: Arc::clone(&written.name),
            address: written.reached.to_string(),
            tools: listing.map(|_| tools),
            routes,
        });
    }

    /// Enters a tool. One whose name is taken gets the server's before it.
    fn far_tool(&mut self, written: &McpServer, stand: &Arc<Stand>, item: &Item, route: &Arc<Route>) -> bool {
        let whole = format!("{}/{}", written.name, item.key);
        let named = bounded(&stand.named(&item.key), &whole);
        let other = bounded(&format!("{}__{}", written.name, item.key), &whole);
        let mut said = None;
        for name in [named, other] {
            let thing = Thing::new(&name, Kind::Tools, item, stand, Arc::clone(route));
            match self.built.toolbox.add_far(thing) {
                Ok(()) => return true,
                Err(owner) => said = Some((name, owner)),
            }
        }
        if let Some((name, owner)) = said {
            warn!(
                "MCP server {:?}: its tool {:?} is left out: {owner} is {name:?} already",
                written.name, item.key
            );
        }
        false
    }

    fn far_thing(&mut self, kind: Kind, stand: &Arc<Stand>, item: &Item, route: Option<&Arc<Route>>) {
        let Some(route) = route else { return };
        let key = match kind {
            Kind::Tools | Kind::Prompts => stand.named(&item.key),
            Kind::Resources | Kind::Templates => stand.located(&item.key),
        };
        let thing = Thing::new(&key, kind, item, stand, Arc::clone(route));
        if let Err(owner) = self.built.shelf.add(kind, thing) {
            let name = stand.server.name();
            warn!(
                "MCP server {name:?}: its {key:?} is left out: {owner:?} has one; give one of them a prefix"
            );
        }
    }

    /// The route of one thing of a server's.
    fn far_route(&mut self, written: &McpServer, thing: &str) -> Arc<Route> {
        let name = format!("{}/{}", in_rules(&written.name), plain(thing));
        let destination = Destination::McpServer(Arc::clone(&written.name));
        let place = Place { method: &name, paths: &[] };
        let terms = self.terms_at(&format!("mcp.servers[{}]", written.entry), &place, None, &destination);
        let rules = Rules { timeout: Some(written.timeout), ..Rules::default() };
        self.route(&name, destination, None, rules, terms, None)
    }

    /// Whether a pattern is about a server that there is, or all of them.
    pub(super) fn is_about_a_server(&self, pattern: &str) -> bool {
        let servers = &self.config.mcp.servers;
        let service = pattern.split('/').next().unwrap_or_default();
        servers.iter().any(|server| in_rules(&server.name) == service)
            || (pattern == "mcp.*" && !servers.is_empty())
    }
}

/// What rules call a server.
pub(super) fn in_rules(name: &str) -> String {
    format!("mcp.{}", plain(name))
}

/// A name in the characters that rules have.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
