//! The config as written: the shape of the file, with every key optional and nothing checked but its type.
//! `super` turns it into the config as meant.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use super::{callers::settings as callers, store};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) gateway: Gateway,
    pub(super) connections: Connections,
    pub(super) limits: Limits,
    pub(super) auth: callers::Auth,
    pub(super) access: callers::Access,
    pub(super) rate_limits: callers::RateLimits,
    pub(super) store: store::WrittenStore,
    pub(super) accounts: store::WrittenAccounts,
    pub(super) cors: Cors,
    pub(super) rest: Rest,
    pub(super) builtin: BTreeMap<String, BuiltIn>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) routes: Vec<Route>,
    pub(super) http_rules: Vec<HttpRule>,
}

/// `[gateway]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gateway {
    pub(super) listen: Option<String>,
    pub(super) workers: Option<usize>,
    pub(super) environment: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) drain_delay: Option<String>,
    pub(super) drain: Option<String>,
    pub(super) watch_config: Option<bool>,
    /// Networks of proxies that are believed, and `nearest`.
    pub(super) trusted_proxies: Vec<String>,
    /// The header by which they say whom they speak for.
    pub(super) forwarded_header: Option<String>,
}

/// `[connections]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Connections {
    pub(super) max: Option<usize>,
    pub(super) max_per_address: Option<usize>,
    pub(super) streams: Option<u32>,
    pub(super) header_timeout: Option<String>,
    pub(super) body_timeout: Option<String>,
    pub(super) idle_timeout: Option<String>,
    pub(super) write_timeout: Option<String>,
    pub(super) keepalive_interval: Option<String>,
    pub(super) keepalive_timeout: Option<String>,
    pub(super) max_age: Option<String>,
    pub(super) max_age_grace: Option<String>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) request_bytes: Option<usize>,
    pub(super) response_bytes: Option<usize>,
    pub(super) header_bytes: Option<u32>,
    pub(super) timeout: Option<String>,
}

/// `[cors]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cors {
    pub(super) origins: Vec<String>,
    pub(super) credentials: Option<bool>,
    pub(super) max_age: Option<String>,
    pub(super) expose: Vec<String>,
}

/// `[rest]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rest {
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) version: Option<String>,
    pub(super) method_paths: Option<bool>,
    pub(super) trailing_slash: Option<TrailingSlash>,
    pub(super) fully_decode_reserved_expansion: Option<bool>,
    pub(super) ignore_unknown_parameters: Option<bool>,
    pub(super) ignore_unknown_fields: Option<bool>,
    pub(super) security_headers: Option<bool>,
    pub(super) index: Option<serde_json::Map<String, serde_json::Value>>,
    pub(super) errors: Errors,
    pub(super) health: HealthBody,
}

/// `[rest] trailing_slash`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TrailingSlash {
    Strict,
    Ignore,
    Redirect,
}

/// `[rest.errors]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Errors {
    /// `name` or `name=value`, in the order of the body.
    pub(super) fields: Option<Vec<String>>,
    /// By HTTP status.
    pub(super) reasons: BTreeMap<String, String>,
    /// By HTTP status.
    pub(super) messages: BTreeMap<String, String>,
    /// HTTP statuses by google.rpc.Code's names.
    pub(super) statuses: BTreeMap<String, u16>,
}

/// `[rest.health]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthBody {
    /// The members of the body; all of them without.
    pub(super) fields: Option<Vec<String>>,
}

/// `[builtin.NAME]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BuiltIn {
    pub(super) enabled: Option<bool>,
    pub(super) prefix: Option<String>,
    pub(super) proto_names: Option<bool>,
}

/// `[[upstreams]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) grpc: String,
    pub(super) descriptors: Option<PathBuf>,
    pub(super) reflection: Option<bool>,
    pub(super) reflection_interval: Option<String>,
    pub(super) services: Option<Vec<String>>,
    pub(super) connect_timeout: Option<String>,
    pub(super) handshake_timeout: Option<String>,
    pub(super) keepalive_interval: Option<String>,
    pub(super) keepalive_timeout: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) ca: Option<PathBuf>,
    #[serde(default)]
    pub(super) json: Json,
    /// The caller's credentials go on to it.
    pub(super) forward_credentials: Option<bool>,
}

/// `[upstreams.json]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Json {
    pub(super) proto_names: bool,
    pub(super) defaults: bool,
    pub(super) enum_numbers: bool,
    pub(super) pretty: bool,
}

/// `[[routes]]`: a service or a path, where it goes, and the rules that hold there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Route {
    pub(super) name: Option<String>,
    /// `package.Service`, `package.*` or `package.Service/Method`
    pub(super) service: Option<String>,
    pub(super) upstream: Option<String>,
    /// A path template.
    pub(super) path: Option<String>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) respond: Option<Respond>,
    pub(super) redirect: Option<Redirect>,
    pub(super) timeout: Option<String>,
    pub(super) request_bytes: Option<usize>,
    pub(super) response_bytes: Option<usize>,
    pub(super) cors: Option<Cors>,
    /// Who may call.
    pub(super) access: Option<callers::AccessRule>,
}

/// `respond` of a route.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Respond {
    pub(super) status: Option<u16>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) content_type: Option<String>,
    /// A text, or a value that is written as JSON; its texts may have places.
    pub(super) body: Option<serde_json::Value>,
}

/// `redirect` of a route.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Redirect {
    pub(super) to: String,
    pub(super) status: Option<u16>,
    pub(super) keep_query: Option<bool>,
}

/// `[[http_rules]]`: google.api.HttpRule, with the same field names; its additional bindings have no selector.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpRule {
    pub(super) selector: String,
    pub(super) get: Option<String>,
    pub(super) put: Option<String>,
    pub(super) post: Option<String>,
    pub(super) delete: Option<String>,
    pub(super) patch: Option<String>,
    pub(super) custom: Option<CustomVerb>,
    pub(super) body: String,
    pub(super) response_body: String,
    pub(super) additional_bindings: Vec<HttpRule>,
}

/// A verb of one's own, or `*` for any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomVerb {
    pub(super) kind: String,
    pub(super) path: String,
}
