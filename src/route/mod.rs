//! A route: what was decided about a group of calls when the config was loaded. Plain data, and the tables that find it.

mod by_host;
pub mod catalog;
mod conditions;
mod cors;
mod glob;
mod header_rules;
mod hosts;
mod near_rpc;
pub mod path;
mod proxy;
mod respond;
mod retry;
pub mod router;
mod rpc_table;
mod weighted;

use std::{sync::Arc, time::Duration};

pub use self::{
    conditions::{Asked, Conditions, HeaderMatch, Headers, Host, without_port},
    cors::{Cors, Origins},
    glob::Glob,
    header_rules::{HeaderChanges, HeaderRules},
    hosts::Hosts,
    near_rpc::NearRpc,
    proxy::Proxy,
    respond::{Piece, Place, Redirect, Respond, Text, Values, header},
    retry::{RetryChanges, RetryRules},
    rpc_table::{Routes, Rpc, RpcMiss, RpcTable},
    weighted::Weighted,
};
use crate::{auth::Terms, telemetry::Label};

/// Where calls go and under which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The route's name in logs and lists: an RPC's `/package.Service/Method`, or a service's pattern.
    pub name: Arc<str>,
    pub destination: Destination,
    /// The longest a unary call may take; a client's own timeout is cut to it. Streams are exempt.
    pub timeout: Option<Duration>,
    /// It does no harm to call twice: so the method says, or its HTTP rules do.
    pub repeatable: bool,
    /// Which of its calls are sent again, and how, where it is not as its upstream's are.
    pub retry: Option<Arc<RetryRules>>,
    pub limits: Limits,
    /// Who may call, how often, and what becomes of credentials.
    pub terms: Terms,
    /// Which pages of other origins may call, where it is not the general rule.
    pub cors: Option<Arc<Cors>>,
    /// What a request is, beside its path, that comes here; `None` where it may be any.
    pub when: Option<Arc<Conditions>>,
    /// What is changed of headers, both ways.
    pub headers: Option<Arc<HeaderRules>>,
    /// What its calls are counted by.
    pub label: Label,
}

/// The path template of a method's binding, by which its requests are counted.
#[derive(Debug, Clone)]
pub struct Binding {
    pub template: Arc<str>,
    pub label: Label,
}

#[cfg(test)]
impl Route {
    /// A route under no rules of its own.
    pub(crate) fn of(name: &str, destination: Destination) -> Self {
        Self {
            name: name.into(),
            destination,
            timeout: None,
            repeatable: false,
            retry: None,
            limits: Limits::default(),
            terms: Terms::default(),
            cors: None,
            when: None,
            headers: None,
            label: Label::default(),
        }
    }
}

/// What answers a route's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A service of the gateway itself.
    Local,
    /// An upstream, by its name in the config.
    Upstream(Arc<str>),
    /// A response that is written in the config.
    Respond(Arc<Respond>),
    Redirect(Arc<Redirect>),
    /// An HTTP upstream, and as what requests go there.
    Proxy(Arc<Proxy>),
    /// A federated MCP server, by its name in the config.
    McpServer(Arc<str>),
    /// A page of the gateway's own, which its door shows.
    Page,
    /// Nothing: what finds nothing to answer it is a call too, and is counted as one.
    Nothing,
}

impl Destination {
    /// False for what the gateway answers at its door, a page or a refusal.
    #[must_use]
    pub fn is_behind_the_door(&self) -> bool {
        match self {
            Self::Local
            | Self::Upstream(_)
            | Self::Respond(_)
            | Self::Redirect(_)
            | Self::Proxy(_)
            | Self::McpServer(_) => true,
            Self::Page | Self::Nothing => false,
        }
    }
}

/// Limits of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest request message, decompressed.
    pub request_bytes: usize,
    /// The longest response message that is transcoded, decompressed.
    pub response_bytes: usize,
    /// How long a request's body may pause, where it is one message.
    pub request_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_bytes: 4 << 20, response_bytes: 64 << 20, request_pause: Duration::from_secs(30) }
    }
}
