//! `[mcp]` checked.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{Check, rest::prefix};
use crate::{
    auth::Origin,
    config::{Glob, Mcp, Oauth, OauthScope, ToolRule, callers::TrustedIssuer, mistake::Mistake, settings},
    surface::mcp::{Bounds, Listeners, Naming, Said, check_name},
};

impl Check<'_> {
    pub(super) fn mcp(&mut self, written: settings::Mcp, issuers: &[TrustedIssuer]) -> Mcp {
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
                bytes: written.stream_bytes.unwrap_or(default.bounds.bytes),
                time: stream_time,
            },
            listeners: Listeners {
                all: written.listeners.unwrap_or(default.listeners.all),
                each: written.listeners_per_caller.unwrap_or(default.listeners.each),
            },
            oauth: self.oauth(written.oauth, issuers),
            servers: self.mcp_servers(written.servers),
        }
    }

    fn oauth(&mut self, written: settings::McpOauth, issuers: &[TrustedIssuer]) -> Oauth {
        let default = Oauth::default();
        let url = written.url.and_then(|url| self.found.take("mcp.oauth.url", origin(&url)));
        let issuer = written.issuer.map(Arc::<str>::from);
        if let Some(name) = &issuer {
            match issuers.iter().find(|issuer| issuer.name == *name) {
                None => {
                    let names = issuers.iter().map(|issuer| &*issuer.name);
                    let mistake =
                        Mistake::new("mcp.oauth.issuer", format!("{name:?} is none of auth.issuers"));
                    self.found.push(mistake.near(name, names));
                }
                Some(issuer) if issuer.issuer.is_none() => {
                    let message = "clients are led to it by its `issuer`, which it does not say";
                    self.found.add("mcp.oauth.issuer", message);
                }
                Some(_) if url.is_none() => {
                    let message =
                        "without mcp.oauth.url a token that was made for somebody else could be shown here";
                    self.found.add("mcp.oauth.issuer", message);
                }
                Some(_) => {}
            }
        }
        let mut names = HashSet::new();
        let mut scopes = Vec::with_capacity(written.scopes.len());
        for (entry, scope) in written.scopes.into_iter().enumerate() {
            let path = format!("mcp.oauth.scopes[{entry}]");
            let twice = || format!("there are two scopes {:?}", scope.name);
            let checked = scope_name(&scope.name)
                .and_then(|()| if names.insert(scope.name.clone()) { Ok(()) } else { Err(twice()) });
            if self.found.take(format!("{path}.name"), checked).is_none() {
                continue;
            }
            if scope.tools.is_empty() {
                self.found
                    .add(format!("{path}.tools"), "no tool wants it: tools = [\"package.Service/Method\"]");
            }
            scopes.push(OauthScope {
                tools: self.globs(&format!("{path}.tools"), &scope.tools),
                description: scope.description.unwrap_or_else(|| scope.name.clone()).into(),
                name: scope.name.into(),
            });
        }
        let scope = match written.scope.as_deref() {
            None => default.scope.filter(|_| issuer.is_none()),
            Some("") => None,
            Some(scope) => self.found.take("mcp.oauth.scope", scope_name(scope).map(|()| scope.into())),
        };
        Oauth {
            enabled: written.enabled.unwrap_or(default.enabled),
            origin: Origin(url),
            issuer,
            scope,
            scopes,
            registration: written.registration.unwrap_or(default.registration),
            client_documents: written.client_documents.unwrap_or(default.client_documents),
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

/// `https://HOST[:PORT]`, or `http` to this machine.
fn origin(text: &str) -> Result<Arc<str>, String> {
    let wrong = |why: &str| format!("{text:?} is not where clients find the gateway: {why}");
    let bare = text.trim_end_matches('/');
    let uri: http::Uri = bare.parse().map_err(|_| wrong("it is https://HOST"))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if local => {}
        Some("http") => return Err(wrong("passwords and tokens go there, over https")),
        _ => return Err(wrong("it is https://HOST")),
    }
    if uri.query().is_some() || uri.path() != "/" || bare.matches('/').count() != 2 || bare.contains('@') {
        return Err(wrong("it is https://HOST, with nothing behind"));
    }
    Ok(bare.to_ascii_lowercase().into())
}

/// A scope-token of RFC 6749, 3.3.
fn scope_name(text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    if !text.is_empty() && text.len() <= 100 && text.bytes().all(fits) {
        return Ok(());
    }
    Err(format!("{text:?} is no scope: it is 1 to 100 visible ASCII characters without \" and \\"))
}
