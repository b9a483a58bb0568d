//! `[mcp]` as it is meant: which methods are tools, under which names, and what is said of them.

use std::{sync::Arc, time::Duration};

use super::McpServer;
pub use crate::route::Glob;
use crate::{
    auth::Origin,
    surface::mcp::{Bounds, Listeners, Naming, Said},
};

/// `[mcp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mcp {
    pub enabled: bool,
    /// Where the endpoint is; it begins with a slash and does not end with one.
    pub path: Arc<str>,
    /// Which methods are tools,
    pub expose: Vec<Glob>,
    /// but for these.
    pub hide: Vec<Glob>,
    pub naming: Naming,
    pub instructions: Option<Arc<str>>,
    pub tools: Vec<ToolRule>,
    pub page_size: usize,
    pub list_ttl: Duration,
    pub session_lifetime: Duration,
    pub bounds: Bounds,
    pub listeners: Listeners,
    pub oauth: Oauth,
    /// Upstream MCP servers.
    pub servers: Vec<McpServer>,
}

/// `[mcp.oauth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oauth {
    pub enabled: bool,
    /// Where clients find the gateway.
    pub origin: Origin,
    /// Who makes the tokens, by its name among `[[auth.issuers]]`; the gateway itself where it is `None`.
    pub issuer: Option<Arc<str>>,
    /// What every call needs.
    pub scope: Option<Arc<str>>,
    pub scopes: Vec<OauthScope>,
    /// Clients may register themselves.
    pub registration: bool,
    /// Clients may be described at the address that is their id.
    pub client_documents: bool,
}

/// `[[mcp.oauth.scopes]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthScope {
    pub name: Arc<str>,
    pub description: Arc<str>,
    pub tools: Vec<Glob>,
}

impl Default for Oauth {
    fn default() -> Self {
        Self {
            enabled: true,
            origin: Origin::default(),
            issuer: None,
            scope: Some("mcp".into()),
            scopes: Vec::new(),
            registration: true,
            client_documents: true,
        }
    }
}

impl Mcp {
    /// The path of the endpoint for tokens that were made for it.
    #[must_use]
    pub fn oauth_path(&self) -> String {
        format!("{}/oauth", self.path)
    }

    /// Where it is told which tokens these are; the second for clients that look at the root (RFC 9728, 3.1).
    #[must_use]
    pub fn oauth_metadata(&self) -> [String; 2] {
        const ROOT: &str = "/.well-known/oauth-protected-resource";
        [format!("{ROOT}{}", self.oauth_path()), ROOT.to_owned()]
    }
}

/// `[[mcp.tools]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRule {
    /// Which it is, counted from 0.
    pub entry: usize,
    /// `package.Service/Method`
    pub method: String,
    pub name: Option<Arc<str>>,
    pub said: Said,
}

impl Default for Mcp {
    fn default() -> Self {
        Self {
            enabled: true,
            path: "/mcp".into(),
            expose: Vec::new(),
            hide: Vec::new(),
            naming: Naming::Full,
            instructions: None,
            tools: Vec::new(),
            page_size: 250,
            list_ttl: Duration::from_secs(60),
            session_lifetime: Duration::from_secs(3600),
            bounds: Bounds { messages: 1000, bytes: 1 << 20, time: Duration::from_secs(60) },
            listeners: Listeners { all: 1000, each: 100 },
            oauth: Oauth::default(),
            servers: Vec::new(),
        }
    }
}
