//! `[[mcp.servers]]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Text, Time};

/// `[[mcp.servers]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"], "oneOf" = [{ "required": ["url"] }, { "required": ["command"] }]))]
pub(in crate::config) struct McpServer {
    /// Names it in logs, errors and rules (mcp.NAME): small letters, digits and -, beginning with a letter.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// Where it is, of one that speaks streamable HTTP: http://HOST:PORT/PATH or https://HOST/PATH.
    pub(in crate::config) url: Option<String>,
    /// In place of url, of one that is a program and speaks on its standard input and output: the program and its arguments. Each
    /// caller has a process of its own.
    #[schemars(inner(length(min = 1)), length(min = 1))]
    pub(in crate::config) command: Option<Vec<String>>,
    /// What the program finds in its environment, beside PATH, HOME, USER, LANG, TMPDIR and TZ; credentials by reference. Default:
    /// nothing.
    pub(in crate::config) env: BTreeMap<String, Text>,
    /// The folder that the program runs in. Default: the gateway's.
    pub(in crate::config) folder: Option<PathBuf>,
    /// What its tools' and prompts' names begin with, before two underscores, and its resources' URIs, before a plus; empty: they
    /// are called as it calls them. Default: its name.
    pub(in crate::config) prefix: Option<String>,
    /// Which of its tools and prompts are shown, by globs over the names that it gives to them. Default: *.
    pub(in crate::config) expose: Option<Vec<String>>,
    /// And which of those are not. Default: none.
    pub(in crate::config) hide: Vec<String>,
    /// Show its prompts. Default: true.
    pub(in crate::config) prompts: Option<bool>,
    /// Show its resources and their templates. Default: true.
    pub(in crate::config) resources: Option<bool>,
    /// Which versions of MCP are tried: auto (the newest, and older ones where it does not speak that), modern (2026-07-28) or legacy
    /// (those with sessions). Default: auto.
    pub(in crate::config) protocol: Option<McpProtocol>,
    /// What lists are while it is away: open (without what it has) or closed (an error, so that nobody takes half of the tools for all
    /// of them). Default: open.
    pub(in crate::config) failure: Option<McpFailure>,
    /// Headers that are sent with each request to it; credentials by reference. What a caller sends is never sent on. Default: none.
    pub(in crate::config) headers: BTreeMap<String, Text>,
    /// The longest a call of its tools may take. Default: 60s.
    pub(in crate::config) timeout: Option<Time>,
    /// How often its lists are read again, where it does not tell of changes. Default: 30s.
    pub(in crate::config) refresh: Option<Time>,
    /// The most sessions, or processes, at once; one caller has half of them at most. Default: 100, of processes 16.
    #[schemars(range(min = 2))]
    pub(in crate::config) sessions: Option<usize>,
    /// How long one is kept that nobody uses. Default: 5m.
    pub(in crate::config) session_idle: Option<Time>,
    /// How long name resolution, and then TCP, may take. Default: 3s.
    pub(in crate::config) connect_timeout: Option<Time>,
    /// A PEM file of the certificate authorities to trust. Default: the machine's own.
    pub(in crate::config) ca: Option<PathBuf>,
    /// The name that its certificate is for. Default: the host of its url.
    #[schemars(length(min = 1))]
    pub(in crate::config) server_name: Option<String>,
    /// A PEM file: the certificate that is shown to it, where it asks for one. Default: none.
    pub(in crate::config) client_certificate: Option<PathBuf>,
    /// The PEM file of its private key.
    pub(in crate::config) client_key: Option<PathBuf>,
}

/// `[[mcp.servers]] protocol`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum McpProtocol {
    Auto,
    Modern,
    Legacy,
}

/// `[[mcp.servers]] failure`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum McpFailure {
    Open,
    Closed,
}
