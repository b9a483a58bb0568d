//! `[[mcp.servers]]` as it is meant: upstream MCP servers, how they are reached, and what of them is shown under which names.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, uri::PathAndQuery};

use super::{Addresses, Pair, Secret};
use crate::federation::Speaks;

/// `[[mcp.servers]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Which it is, counted from 0.
    pub entry: usize,
    pub name: Arc<str>,
    pub reached: ServerReached,
    /// What its names begin with; empty: they are as it gives them.
    pub prefix: Arc<str>,
    /// Which of its tools and prompts are shown; all where there are none.
    pub expose: Vec<NameGlob>,
    /// But for these.
    pub hide: Vec<NameGlob>,
    pub prompts: bool,
    pub resources: bool,
    pub speaks: Speaks,
    /// Nothing is listed while it is away.
    pub closed: bool,
    pub timeout: Duration,
    pub refresh: Duration,
    pub sessions: usize,
    pub session_idle: Duration,
}

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerReached {
    Http {
        addresses: Addresses,
        path: PathAndQuery,
        /// Sent with each request; each value can be sent.
        headers: Vec<(HeaderName, Secret)>,
        connect_timeout: Duration,
        ca: Option<PathBuf>,
        server_name: Option<String>,
        client: Option<Pair>,
    },
    Process {
        program: String,
        arguments: Vec<String>,
        /// All of its environment.
        environment: Vec<(String, Secret)>,
        folder: Option<PathBuf>,
    },
}

impl McpServer {
    /// Whether a tool or prompt of this name is shown.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        let any = |globs: &[NameGlob]| globs.iter().any(|glob| glob.matches(name));
        (self.expose.is_empty() || any(&self.expose)) && !any(&self.hide)
    }
}

/// Where it is, in words.
impl fmt::Display for ServerReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { addresses, path, .. } => write!(f, "{addresses}{path}"),
            Self::Process { program, .. } => f.write_str(program),
        }
    }
}

/// A pattern of names, in which `*` is any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameGlob(String);

impl NameGlob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("it is no pattern of names: \"*\" is all of them".to_owned()),
            text => Ok(Self(text.to_owned())),
        }
    }

    /// Whether a name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut name) = name.strip_prefix(first) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            let Some(at) = name.find(part) else { return false };
            name = name.get(at + part.len()..).unwrap_or_default();
        }
        name.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_of_names() {
        let check = |glob: &str, name: &str, want: bool| {
            assert_eq!(NameGlob::parse(glob).unwrap().matches(name), want, "{glob} {name}");
        };
        check("*", "anything", true);
        check("read_*", "read_file", true);
        check("read_*", "bread_file", false);
        check("*_file", "read_file", true);
        check("*a*b", "xaxb", true);
        check("*a*b", "xbxa", false);
        check("read", "read", true);
        check("read", "reader", false);
        check("a*a", "a", false);
        assert!(NameGlob::parse(" ").is_err());
    }
}
