//! `[mcp]` checked.

use std::{collections::HashSet, time::Duration};

use super::{Check, rest::prefix};
use crate::{
    config::{Glob, Mcp, ToolRule, mistake::Mistake, settings},
    surface::mcp::{Bounds, Naming, Said, check_name},
};

impl Check<'_> {
    pub(super) fn mcp(&mut self, written: settings::Mcp) -> Mcp {
        let default = Mcp::default();
        let path = written.path.and_then(|path| {
            let read = prefix(&path).and_then(|path| match &*path {
                "" => {
                    Err("the endpoint cannot be the root: it is a path of its own, such as /mcp".to_owned())
                }
                _ => Ok(path),
            });
            self.found.take("mcp.path", read)
        });
        let mut time = |key: &str, text, default: Duration| self.time(&format!("mcp.{key}"), text, default);
        let list_ttl = match written.list_ttl {
            // Some clients keep nothing.
            Some(settings::Time(text)) if matches!(text.as_str(), "0" | "0s") => Duration::ZERO,
            written => time("list_ttl", written, default.list_ttl),
        };
        let session_lifetime = time("session_lifetime", written.session_lifetime, default.session_lifetime);
        let stream_time = time("stream_timeout", written.stream_timeout, default.bounds.time);
        Mcp {
            enabled: written.enabled.unwrap_or(default.enabled),
            path: path.unwrap_or(default.path),
            expose: self.globs("mcp.expose", &written.expose),
            hide: self.globs("mcp.hide", &written.hide),
            naming: match written.names {
                None | Some(settings::ToolNames::Full) => Naming::Full,
                Some(settings::ToolNames::Service) => Naming::Service,
                Some(settings::ToolNames::Method) => Naming::Method,
            },
            instructions: written.instructions.map(Into::into),
            tools: self.tools(written.tools),
            page_size: written.page_size.unwrap_or(default.page_size),
            list_ttl,
            session_lifetime,
            bounds: Bounds {
                messages: written.stream_messages.unwrap_or(default.bounds.messages),
                time: stream_time,
            },
            listeners: written.listeners.unwrap_or(default.listeners),
            servers: self.mcp_servers(written.servers),
        }
    }

    fn globs(&mut self, key: &str, written: &[String]) -> Vec<Glob> {
        let read = written.iter().enumerate();
        read.filter_map(|(at, text)| self.found.take(format!("{key}[{at}]"), Glob::parse(text))).collect()
    }

    fn tools(&mut self, written: Vec<settings::Tool>) -> Vec<ToolRule> {
        let (mut methods, mut names) = (HashSet::new(), HashSet::new());
        let mut rules = Vec::with_capacity(written.len());
        for (entry, tool) in written.into_iter().enumerate() {
            let path = format!("mcp.tools[{entry}]");
            if tool.method.is_empty() {
                self.found.add(&path, "it says no method: method = \"package.Service/Method\"");
                continue;
            }
            if !Glob::parse(&tool.method).is_ok_and(|glob| glob.is_exact()) {
                let message = format!("{:?} is no method: package.Service/Method", tool.method);
                self.found.add(format!("{path}.method"), message);
                continue;
            }
            if !methods.insert(tool.method.clone()) {
                self.found.add(format!("{path}.method"), format!("{} has an entry already", tool.method));
                continue;
            }
            if let Some(name) = &tool.name {
                let twice = || format!("two tools are called {name:?}");
                let checked = check_name(name)
                    .and_then(|()| if names.insert(name.clone()) { Ok(()) } else { Err(twice()) });
                if self.found.take(format!("{path}.name"), checked).is_none() {
                    continue;
                }
            }
            for (key, text) in [("title", &tool.title), ("description", &tool.description)] {
                if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
                    let message = "it says nothing; without it the method says it";
                    self.found.push(Mistake::new(format!("{path}.{key}"), message));
                }
            }
            rules.push(ToolRule {
                entry,
                method: tool.method,
                name: tool.name.map(Into::into),
                said: Said {
                    title: tool.title.map(Into::into),
                    description: tool.description.map(Into::into),
                    read_only: tool.read_only,
                    destructive: tool.destructive,
                    idempotent: tool.idempotent,
                },
            });
        }
        rules
    }
}
