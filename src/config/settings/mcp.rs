//! `[mcp]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{McpServer, Time};

/// `[mcp]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Mcp {
    /// Serve MCP: off means that its path is one like any other. Default: true.
    pub(in crate::config) enabled: Option<bool>,
    /// Where: the path of the endpoint, which every client is given whole. Default: /mcp.
    pub(in crate::config) path: Option<String>,
    /// The gRPC methods that are tools, as globs over package.Service/Method, such as acme.library.v1.* or */Get*; a service
    /// alone stands for all its methods. A glob that begins with * is about upstreams alone: the gateway's own methods are named.
    /// Default: none.
    pub(in crate::config) expose: Vec<String>,
    /// Of those the methods that are no tools, as globs too. Default: none.
    pub(in crate::config) hide: Vec<String>,
    /// What a tool's name is made of: full (package_Service_Method), service (Service_Method) or method (Method); where two
    /// are the same, the later has its full name. Default: full.
    pub(in crate::config) names: Option<ToolNames>,
    /// What the server is for and how its tools go together, for models to read. Default: nothing.
    pub(in crate::config) instructions: Option<String>,
    /// What single tools are called, and what is said of them, in place of what their methods say.
    pub(in crate::config) tools: Vec<Tool>,
    /// The most tools in one page of a list. Default: 250.
    #[schemars(range(min = 1))]
    pub(in crate::config) page_size: Option<usize>,
    /// How long clients may keep the list of tools. Default: 1m.
    pub(in crate::config) list_ttl: Option<Time>,
    /// How long a session of an older client lives that is not used. Default: 1h.
    pub(in crate::config) session_lifetime: Option<Time>,
    /// The most messages of a stream that are a tool's result; what comes behind is cut off. Default: 1000.
    #[schemars(range(min = 1))]
    pub(in crate::config) stream_messages: Option<usize>,
    /// How long a tool waits for the end of a stream; what has come by then is its result. Default: 60s.
    pub(in crate::config) stream_timeout: Option<Time>,
    /// The most bytes of a stream's messages, as JSON, that are a tool's result; what comes behind is cut off. Default: 1048576.
    #[schemars(range(min = 1))]
    pub(in crate::config) stream_bytes: Option<usize>,
    /// The most streams that tell clients of changes, at once. Default: 1000.
    pub(in crate::config) listeners: Option<usize>,
    /// The most of them of one caller, or from one address where nobody knows who calls. Default: 100.
    pub(in crate::config) listeners_per_caller: Option<usize>,
    /// The same endpoint for tokens of OAuth that were made for it alone.
    pub(in crate::config) oauth: McpOauth,
    /// Upstream MCP servers, whose tools, prompts and resources are shown beside the gateway's own tools.
    pub(in crate::config) servers: Vec<McpServer>,
}

/// `[mcp.oauth]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct McpOauth {
    /// Serve it, at /oauth below the endpoint's path, where there is somebody to make its tokens. Default: true.
    pub(in crate::config) enabled: Option<bool>,
    /// Where clients find the gateway, such as https://api.example.com: tokens are made for what is there. Default: the
    /// address that each client asks, with https where the port itself speaks TLS.
    pub(in crate::config) url: Option<String>,
    /// Who makes its tokens: the name of one of [[auth.issuers]], whose tokens name this endpoint's address in aud. Default: the
    /// gateway itself, for its accounts.
    pub(in crate::config) issuer: Option<String>,
    /// The scope that every call needs; "" for none. Default: mcp, and none where another issuer makes the tokens.
    pub(in crate::config) scope: Option<String>,
    /// What some tools want beside.
    pub(in crate::config) scopes: Vec<McpScope>,
    /// Take clients that register themselves (RFC 7591). Default: true.
    pub(in crate::config) registration: Option<bool>,
    /// Take clients whose id is the https address of a document about them, which is read from there. Default: true.
    pub(in crate::config) client_documents: Option<bool>,
}

/// `[[mcp.oauth.scopes]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct McpScope {
    /// The scope.
    pub(in crate::config) name: String,
    /// What it lets a program do, for people who are asked whether it may. Default: the name.
    pub(in crate::config) description: Option<String>,
    /// The tools that want it: globs over methods, package.Service/Method, or over tools' names.
    pub(in crate::config) tools: Vec<String>,
}

/// `[mcp] names`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ToolNames {
    Full,
    Service,
    Method,
}

/// `[[mcp.tools]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Tool {
    /// The method: package.Service/Method.
    pub(in crate::config) method: String,
    /// The tool's name: at most 64 letters, digits, _ and -. Default: one made of the method's.
    pub(in crate::config) name: Option<String>,
    /// What people are shown in place of the name. Default: one made of the method's name.
    pub(in crate::config) title: Option<String>,
    /// What it does, for models to read. Default: the comment of the method in its proto file.
    pub(in crate::config) description: Option<String>,
    /// It changes nothing. Default: as the method's idempotency level or HTTP verb says.
    pub(in crate::config) read_only: Option<bool>,
    /// It may destroy something. Default: as the HTTP verb says.
    pub(in crate::config) destructive: Option<bool>,
    /// To call it again changes nothing more. Default: as the method's idempotency level or HTTP verb says.
    pub(in crate::config) idempotent: Option<bool>,
}
