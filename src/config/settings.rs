//! The config as written: the shape of the TOML file, with every key optional and nothing checked but its type.
//! `super` turns it into the config as meant.

use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) gateway: Gateway,
    pub(super) limits: Limits,
    pub(super) cors: Cors,
    pub(super) rest: Rest,
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
    pub(super) drain: Option<String>,
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
}

/// `[rest]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rest {
    pub(super) method_paths: Option<bool>,
    pub(super) trailing_slash: Option<TrailingSlash>,
    pub(super) fully_decode_reserved_expansion: Option<bool>,
    pub(super) ignore_unknown_parameters: Option<bool>,
    pub(super) ignore_unknown_fields: Option<bool>,
}

/// `[rest] trailing_slash`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TrailingSlash {
    Strict,
    Ignore,
    Redirect,
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
    pub(super) timeout: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) ca: Option<PathBuf>,
    #[serde(default)]
    pub(super) json: Json,
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

/// `[[routes]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) service: String,
    pub(super) upstream: String,
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
