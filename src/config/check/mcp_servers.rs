//! `[[mcp.servers]]` checked.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::uri::PathAndQuery;

use super::{Check, has_credentials, values::http_address};
use crate::{
    config::{
        Addresses, McpServer, NameGlob, Secret, ServerReached, document::path::child, mistake::Mistake,
        settings,
    },
    federation::Speaks,
};

/// What a program finds in its environment without being told of.
const KEPT: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ"];

impl Check<'_> {
    pub(super) fn mcp_servers(&mut self, written: Vec<settings::McpServer>) -> Vec<McpServer> {
        let (mut names, mut prefixes) = (HashSet::new(), HashSet::new());
        let mut servers = Vec::with_capacity(written.len());
        for (entry, server) in written.into_iter().enumerate() {
            let path = format!("mcp.servers[{entry}]");
            if !server.name.is_empty() {
                let checked = name(&server.name);
                self.found.take(format!("{path}.name"), checked);
                if !names.insert(server.name.clone()) {
                    self.found
                        .add(format!("{path}.name"), format!("two servers are named {:?}", server.name));
                }
            }
            let prefix = server.prefix.clone().unwrap_or_else(|| server.name.clone());
            if server.prefix.is_some() && !prefix.is_empty() {
                self.found.take(format!("{path}.prefix"), name(&prefix));
            }
            if !prefix.is_empty() && names.contains(&server.name) && !prefixes.insert(prefix.clone()) {
                let message = format!("two servers have the prefix {prefix:?}");
                self.found.add(format!("{path}.prefix"), message);
            }
            servers.extend(self.mcp_server(&path, entry, &prefix, server));
        }
        servers
    }

    fn mcp_server(
        &mut self,
        path: &str,
        entry: usize,
        prefix: &str,
        mut written: settings::McpServer,
    ) -> Option<McpServer> {
        let key = |name: &str| format!("{path}.{name}");
        let globs = |check: &mut Self, name: &str, written: &[String]| {
            let read = written.iter().enumerate();
            let glob = |(at, text): (usize, &String)| {
                check.found.take(format!("{}[{at}]", key(name)), NameGlob::parse(text))
            };
            read.filter_map(glob).collect::<Vec<_>>()
        };
        let expose = written.expose.take();
        if expose.as_ref().is_some_and(Vec::is_empty) {
            let message = "it shows nothing: a server of which nothing is wanted has no entry";
            self.found.push(Mistake::new(key("expose"), message).warning());
        }
        let expose = match expose {
            // Not all of them: none.
            Some(written) if written.is_empty() => NameGlob::parse("-").into_iter().collect(),
            Some(written) => globs(self, "expose", &written),
            None => globs(self, "expose", &["*".to_owned()]),
        };
        let hide = globs(self, "hide", &written.hide);
        let timeout = self.time(&key("timeout"), written.timeout.take(), Duration::from_secs(60));
        let refresh = self.time(&key("refresh"), written.refresh.take(), Duration::from_secs(30));
        let session_idle =
            self.time(&key("session_idle"), written.session_idle.take(), Duration::from_secs(300));
        let sessions = written.sessions.unwrap_or(if written.command.is_some() { 16 } else { 100 });
        let (prompts, resources) = (written.prompts.unwrap_or(true), written.resources.unwrap_or(true));
        let speaks = match written.protocol {
            None | Some(settings::McpProtocol::Auto) => Speaks::Either,
            Some(settings::McpProtocol::Modern) => Speaks::Modern,
            Some(settings::McpProtocol::Legacy) => Speaks::Legacy,
        };
        let closed = written.failure == Some(settings::McpFailure::Closed);
        let name: Arc<str> = written.name.as_str().into();
        let reached = match (written.url.is_some(), written.command.is_some()) {
            (true, false) => self.mcp_over_http(path, written),
            (false, true) => self.mcp_process(path, written),
            (true, true) => {
                self.found.add(path, "it has both `url` and `command`; what it is, is one of them");
                None
            }
            (false, false) => {
                if !self.found.below(path) {
                    self.found.add(path, "it has neither `url` nor `command`; one of them says where it is");
                }
                None
            }
        };
        Some(McpServer {
            entry,
            name,
            reached: reached?,
            prefix: prefix.into(),
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
        })
    }

    fn mcp_over_http(&mut self, path: &str, written: settings::McpServer) -> Option<ServerReached> {
        let key = |name: &str| format!("{path}.{name}");
        let of_program = [("env", !written.env.is_empty()), ("folder", written.folder.is_some())];
        for (name, _) in of_program.iter().filter(|(_, there)| *there) {
            let message = format!("{name} is for a server with `command`; this one has `url`");
            self.found.push(Mistake::new(key(name), message).of_key());
        }
        let url = written.url.unwrap_or_default();
        let place = self.found.take(key("url"), place(&url));
        let addresses = place.as_ref().map(|(addresses, _)| addresses);
        let ca = self.ca(&key("ca"), written.ca, addresses);
        let server_name = self.server_name(&key("server_name"), written.server_name, addresses);
        let client = self.client_pair(path, written.client_certificate, written.client_key, addresses);
        let headers = self.metadata(&key("headers"), written.headers);
        let connect_timeout =
            self.time(&key("connect_timeout"), written.connect_timeout, Duration::from_secs(3));
        let (addresses, path) = place?;
        Some(ServerReached::Http { addresses, path, headers, connect_timeout, ca, server_name, client })
    }

    fn mcp_process(&mut self, path: &str, written: settings::McpServer) -> Option<ServerReached> {
        let key = |name: &str| format!("{path}.{name}");
        let of_http = [
            ("headers", !written.headers.is_empty()),
            ("connect_timeout", written.connect_timeout.is_some()),
            ("ca", written.ca.is_some()),
            ("server_name", written.server_name.is_some()),
            ("client_certificate", written.client_certificate.is_some()),
            ("client_key", written.client_key.is_some()),
        ];
        for (name, _) in of_http.iter().filter(|(_, there)| *there) {
            let message = format!("{name} is for a server with `url`; this one has `command`");
            self.found.push(Mistake::new(key(name), message).of_key());
        }
        let mut command = written.command.unwrap_or_default().into_iter();
        let Some(program) = command.next().filter(|program| !program.trim().is_empty()) else {
            self.found.add(key("command"), "it names no program: command = [\"PROGRAM\", \"ARGUMENT\", …]");
            return None;
        };
        let kept = KEPT.iter().filter(|name| !written.env.contains_key(**name));
        let mut environment: Vec<(String, Secret)> = kept
            .filter_map(|name| Some(((*name).to_owned(), Secret::new(self.looks.environment.get(name)?))))
            .collect();
        for (name, text) in written.env {
            let path = child(&key("env"), &name);
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("{name:?} is no name of an environment variable");
                self.found.push(Mistake::new(path, message).of_key());
                continue;
            }
            let literal = matches!(text, settings::Text::Literal(_));
            match self.text(&name, text) {
                Ok(secret) => environment.push((name, secret)),
                Err(_) if !self.looks.secrets && !literal => {}
                Err(why) => self.found.add(path, why),
            }
        }
        let folder = written.folder.map(|folder| self.looks.folder.join(folder));
        if let Some(folder) = folder.as_ref().filter(|folder| self.looks.files && !folder.is_dir()) {
            self.found.add(key("folder"), format!("there is no folder {}", folder.display()));
        }
        // What has a slash in it is a file, whose place the config's folder decides.
        let program = match program.contains('/') {
            true => self.looks.folder.join(&program).display().to_string(),
            false => program,
        };
        Some(ServerReached::Process { program, arguments: command.collect(), environment, folder })
    }
}

fn name(name: &str) -> Result<(), String> {
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if begins && name.len() <= 32 && name.bytes().all(fits) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name for an MCP server: at most 32 small letters, digits and -, of which a letter is the first"
    ))
}

/// The address and the path of an endpoint.
fn place(url: &str) -> Result<(Addresses, PathAndQuery), String> {
    let wrong = |why: &str| {
        format!("{url:?} is not where an MCP server is ({why}): http://HOST:PORT/PATH or https://HOST/PATH")
    };
    if has_credentials(url) {
        return Err("the url has a user or a password; credentials go into its headers".to_owned());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("no scheme"))?;
    if !matches!(scheme, "http" | "https") {
        return Err(wrong("another scheme"));
    }
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    if path.contains('#') {
        return Err(wrong("it has a fragment"));
    }
    // Where HTTP has no port, it is the usual one.
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let host = if scheme == "http" && !has_port { format!("{host}:80") } else { host.to_owned() };
    let address = http_address(&format!("{scheme}://{host}")).map_err(|_| wrong("its host"))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let path = path.parse().map_err(|_| wrong("its path"))?;
    Ok((address.into(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let check = |url: &str, want: &str| {
            let (addresses, path) = place(url).unwrap();
            assert_eq!(format!("{addresses} {path}"), want, "{url}");
        };
        check("http://127.0.0.1:9000/mcp", "http://127.0.0.1:9000 /mcp");
        check("https://mcp.example.com/v1/mcp?x=1", "https://mcp.example.com:443 /v1/mcp?x=1");
        check("http://files", "http://files:80 /");
        for wrong in [
            "files/mcp",
            "ftp://files/mcp",
            "http://u:p@files/mcp",
            "http://files:0/mcp",
            "http:///mcp",
            "http://a/b#c",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
