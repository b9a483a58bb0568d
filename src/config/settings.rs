//! The config as written: the shape of the TOML file, with every key optional and nothing checked but its type.
//! `super` turns it into the config as meant.

use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub gateway: Gateway,
    pub limits: Limits,
    pub cors: Cors,
    pub rest: Rest,
    pub upstreams: Vec<Upstream>,
    pub routes: Vec<Route>,
    pub http_rules: Vec<HttpRule>,
}

/// `[gateway]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    pub listen: Option<String>,
    pub workers: Option<usize>,
    pub environment: Option<String>,
    pub drain: Option<String>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub request_bytes: Option<usize>,
    pub response_bytes: Option<usize>,
    pub header_bytes: Option<u32>,
    pub timeout: Option<String>,
}

/// `[cors]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    pub origins: Vec<String>,
}

/// `[rest]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rest {
    pub unannotated: Option<bool>,
    pub trailing_slash: Option<TrailingSlash>,
    pub fully_decode_reserved_expansion: Option<bool>,
    pub ignore_unknown_parameters: Option<bool>,
    pub ignore_unknown_fields: Option<bool>,
}

/// `[rest] trailing_slash`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrailingSlash {
    Strict,
    Ignore,
    Redirect,
}

/// `[[upstreams]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    pub name: String,
    pub grpc: String,
    pub descriptors: Option<PathBuf>,
    pub reflection: Option<bool>,
    pub reflection_interval: Option<String>,
    pub services: Option<Vec<String>>,
    pub connect_timeout: Option<String>,
    pub handshake_timeout: Option<String>,
    pub timeout: Option<String>,
    pub authority: Option<String>,
    pub ca: Option<PathBuf>,
    #[serde(default)]
    pub json: Json,
}

/// `[upstreams.json]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Json {
    pub proto_names: bool,
    pub defaults: bool,
    pub enum_numbers: bool,
    pub pretty: bool,
}

/// `[[routes]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub service: String,
    pub upstream: String,
}

/// `[[http_rules]]`: google.api.HttpRule, with the same field names; its additional bindings have no selector.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpRule {
    pub selector: String,
    pub get: Option<String>,
    pub put: Option<String>,
    pub post: Option<String>,
    pub delete: Option<String>,
    pub patch: Option<String>,
    pub custom: Option<CustomVerb>,
    pub body: String,
    pub response_body: String,
    pub additional_bindings: Vec<HttpRule>,
}

/// A verb of one's own, or `*` for any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomVerb {
    pub kind: String,
    pub path: String,
}
