//! The methods that are tools for agents: those that `[mcp] expose` names, each with its name and what is said of it.

use std::{collections::HashMap, sync::Arc};

use tracing::warn;

use super::{
    Known, Mistake, Parts,
    build::{Build, Face, key},
};
use crate::{
    auth::{Access, Resource, Rule, Whose},
    config::{Page, Rules, SchemaSource, ToolRule},
    route::{Destination, Route, Routes},
    schema::{Method, Template, Verb, nearest},
    surface::mcp::{Mcp, Naming, Protection, Said, Settings, Shelf, Tool, ToolScope, Toolbox, name},
};

/// The service by which tools are called over gRPC and REST.
const MCP_SERVICE: &str = "propylon.gateway.v1.McpService";
/// The tools, and what federated servers have beside.
type Tools = (Arc<Toolbox>, Arc<Shelf>);

/// The MCP surface over a snapshot's tools.
pub(super) fn surface(parts: &Parts, route: Arc<Route>, tools: &Tools, path: &str) -> Mcp {
    let (config, rest) = (&parts.config.mcp, &parts.config.rest);
    let settings = Settings {
        title: Arc::clone(&rest.title),
        version: rest.version.clone().unwrap_or_else(|| parts.about.version.as_str().into()),
        instructions: config.instructions.clone(),
        page_size: config.page_size,
        list_ttl: config.list_ttl,
        session_lifetime: config.session_lifetime,
        bounds: config.bounds,
        listeners: config.listeners,
    };
    Mcp::new(path, rest.paths.trailing_slash, route, tools, &parts.mcp, settings)
}

/// The same for tokens that were made for it.
pub(super) fn protected(parts: &Parts, route: Arc<Route>, shared: &Tools) -> Option<Mcp> {
    let mcp = &parts.config.mcp;
    let [metadata, _] = mcp.oauth_metadata();
    let tools = mcp
        .oauth
        .scopes
        .iter()
        .map(|scope| ToolScope { scope: Arc::clone(&scope.name), tools: scope.tools.clone() });
    let protection = Protection {
        resource: Arc::clone(route.terms.resource.as_ref()?),
        metadata: metadata.into(),
        scope: mcp.oauth.scope.clone(),
        tools: tools.collect(),
    };
    Some(surface(parts, route, shared, &mcp.oauth_path()).protected(protection))
}

impl Build<'_> {
    /// Makes a tool of a method, if it is to be one, and answers its name; `paths` are those of its rules.
    pub(super) fn tool(
        &mut self,
        face: &Face<'_>,
        method: &Method,
        routes: &Routes,
        paths: &[(Verb, Arc<Template>)],
    ) -> Option<Arc<str>> {
        let (mcp, called, own) = (&self.config.mcp, key(method), face.own.is_some());
        if !mcp.enabled {
            return None;
        }
        let mut exact = false;
        for (at, _) in mcp.expose.iter().enumerate().filter(|(_, glob)| glob.matches(called, own)) {
            self.exposing.insert(at);
            exact |= mcp.expose.get(at).is_some_and(|glob| glob.is_exact());
        }
        let exposed = mcp.expose.iter().any(|glob| glob.matches(called, own));
        if !exposed || mcp.hide.iter().any(|glob| glob.matches(called, false)) {
            return None;
        }
        if method.service_name() == MCP_SERVICE {
            // It calls tools: one that is a tool would call itself, past what the endpoint asks of a caller of that tool.
            if exact {
                let why = format!("{called} is itself a way to the tools, and is none of them");
                self.no_tool(face, called, None, Taken::Impossible(why), "");
            }
            return None;
        }
        if method.client_streaming && !exact {
            // It is no tool, and a glob means those that can be.
            return None;
        }
        let rule = mcp.tools.iter().find(|rule| rule.method == called);
        let known = face.known.schema.method(method.path.as_str())?;
        let verbs: Vec<Verb> = paths.iter().map(|(verb, _)| verb.clone()).collect();
        let said = rule.map(|rule| rule.said.clone()).unwrap_or_default();
        let make = |name: Arc<str>, said: Said| {
            Tool::new(name, known, routes.clone(), &face.known.tables, face.style, &verbs, said)
        };
        let given = rule.and_then(|rule| rule.name.clone());
        let named = given.clone().unwrap_or_else(|| name(called, mcp.naming).into());
        match self.add(make(Arc::clone(&named), said.clone())) {
            Ok(()) => return Some(named),
            // A short name that is taken gives way to the one that nobody else can have.
            Err(Taken::By(_)) if given.is_none() && mcp.naming != Naming::Full => {}
            Err(taken) => {
                self.no_tool(face, called, rule, taken, &named);
                return None;
            }
        }
        let full: Arc<str> = name(called, Naming::Full).into();
        match self.add(make(Arc::clone(&full), said)) {
            Ok(()) => Some(full),
            Err(taken) => {
                self.no_tool(face, called, rule, taken, &full);
                None
            }
        }
    }

    fn add(&mut self, made: Result<Tool, String>) -> Result<(), Taken> {
        self.built.toolbox.add(made.map_err(Taken::Impossible)?).map_err(Taken::By)
    }

    /// Says that a method is no tool, and why.
    fn no_tool(&mut self, face: &Face<'_>, called: &str, rule: Option<&ToolRule>, taken: Taken, name: &str) {
        let message = match taken {
            Taken::Impossible(why) => why,
            Taken::By(other) => {
                format!(
                    "{called} and {other} are both the tool {name:?}; [[mcp.tools]] gives one another name"
                )
            }
        };
        let entry = match rule.filter(|rule| rule.name.is_some()) {
            Some(rule) => format!("mcp.tools[{}].name", rule.entry),
            None => "mcp.expose".to_owned(),
        };
        self.mistake(face, Some(&entry), message);
    }

    /// The route of the endpoint: that of a page of the gateway's own, and on its terms.
    pub(super) fn mcp(&mut self) {
        let mcp = &self.config.mcp;
        if !mcp.enabled {
            return;
        }
        let path = mcp.path.to_string();
        self.built.mcp = self.endpoint(&path, "mcp.path", None);
    }

    /// The route of the one for tokens that were made for it, and the pages where it is told which these are.
    pub(super) fn mcp_oauth(&mut self) {
        if self.config.authorization().is_none() {
            return;
        }
        let mcp = &self.config.mcp;
        let path = mcp.oauth_path();
        let resource = Resource { origin: mcp.oauth.origin.clone(), path: path.as_str().into() };
        for path in mcp.oauth_metadata() {
            self.page(path, Page::ResourceMetadata);
        }
        self.built.mcp_oauth = self.endpoint(&path, "mcp.oauth", Some(resource));
    }

    fn endpoint(&mut self, path: &str, key: &str, resource: Option<Resource>) -> Option<Arc<Route>> {
        let template = match Template::parse(path) {
            Ok(template) => Arc::new(template),
            Err(problem) => {
                self.mistakes.push(Mistake::new(key, format!("{path}: {problem}")));
                return None;
            }
        };
        let paths = [Verb::Post, Verb::Get, Verb::Delete].map(|verb| (verb, Arc::clone(&template)));
        let mut terms = self.terms_of_own(key, &paths, Whose::Page);
        if let Some(resource) = resource {
            // Whatever is public, nobody is here without such a token.
            let mut rules = terms.access.rules().to_vec();
            rules.push(Arc::new(Rule::authenticated("mcp.oauth takes tokens that were made for it")));
            terms.access = Access::all(rules);
            terms.resource = Some(Arc::new(resource));
        }
        self.built.catalog.push_mcp(path);
        // A message must be here whole by then.
        let timeout = Some(self.config.timeout);
        Some(self.route(path, Destination::Page, timeout, Rules::default(), terms, None))
    }

    /// What exposes or describes nothing is a mistake, once every schema is known; where some come by reflection, it is only
    /// told.
    pub(super) fn unused_tools(&mut self, schemas: &HashMap<Arc<str>, Arc<Known>>) {
        let (mcp, upstreams) = (&self.config.mcp, &self.config.upstreams);
        let known = |upstream: &crate::config::Upstream| {
            schemas.contains_key(&upstream.name) || upstream.schema == SchemaSource::Unknown
        };
        if !mcp.enabled || !upstreams.iter().all(known) {
            return;
        }
        let mut mistakes = Vec::new();
        let served = || {
            let services = self.built.catalog.services();
            let methods = services.flat_map(|(_, service)| service.methods.iter().flatten());
            methods.map(|method| (method.path.trim_start_matches('/'), method.tool.is_some()))
        };
        let needs: &[&str] = &["upstreams", "builtin", "routes", "mcp"];
        let mistake = |path: String, message: String, wanted: &str| {
            let services = self.built.catalog.services().map(|(_, service)| &*service.name);
            // A pattern is like those of its own kind.
            let near = match wanted.contains('/') {
                true => nearest(wanted, served().map(|(method, _)| method)),
                false => nearest(wanted, services),
            };
            let near = near.filter(|near| *near != wanted).map(str::to_owned);
            let mut mistake = Mistake::new(path, message).needing(needs);
            mistake.told = mistake.told.meaning(near);
            mistake
        };
        // With nothing behind the gateway there is nothing that `*` could be about.
        let empty = |text: &str| text == "*" && upstreams.is_empty();
        for (at, glob) in mcp.expose.iter().enumerate() {
            let text = glob.to_string();
            if !self.exposing.contains(&at) && !empty(&text) {
                let message = format!("no method that is served is {text:?}");
                mistakes.push(mistake(format!("mcp.expose[{at}]"), message, &text));
            }
        }
        for rule in &mcp.tools {
            let message = match served().find(|(method, _)| *method == rule.method) {
                Some((_, true)) => continue,
                Some((_, false)) => format!("{} is no tool: mcp.expose does not name it", rule.method),
                None => format!("no method that is served is {:?}", rule.method),
            };
            mistakes.push(mistake(format!("mcp.tools[{}].method", rule.entry), message, &rule.method));
        }
        if upstreams.iter().any(|upstream| matches!(upstream.schema, SchemaSource::Reflection { .. })) {
            for mistake in mistakes {
                warn!("{mistake}");
            }
        } else {
            self.mistakes.extend(mistakes);
        }
    }
}

/// Why a tool was not added.
enum Taken {
    Impossible(String),
    /// Another method has its name.
    By(Arc<str>),
}
