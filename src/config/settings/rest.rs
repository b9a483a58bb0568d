//! `[rest]` and `[builtin.NAME]` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::OneOrMore;

/// `[rest]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Rest {
    /// What the deployment calls itself on its pages and in its OpenAPI document. Default: Propylon.
    pub(in crate::config) title: Option<String>,
    /// What it says of itself there. Default: nothing.
    pub(in crate::config) description: Option<String>,
    /// The version it shows there. Default: the gateway's own.
    #[schemars(length(min = 1))]
    pub(in crate::config) version: Option<String>,
    /// Serve every method at POST /package.Service/Method too, whether it has a google.api.http annotation or not.
    /// Default: false.
    pub(in crate::config) method_paths: Option<bool>,
    /// What a path with a slash at its end is: strict (another path), ignore (the same path), redirect (308 to the path
    /// without). Default: strict.
    pub(in crate::config) trailing_slash: Option<TrailingSlash>,
    /// Decode %2F in variables of several segments too. Default: false.
    pub(in crate::config) fully_decode_reserved_expansion: Option<bool>,
    /// Pass over query parameters that the request message has no field for, instead of refusing them with 400.
    /// Default: false.
    pub(in crate::config) ignore_unknown_parameters: Option<bool>,
    /// Pass over JSON fields that the message does not have, instead of refusing them with 400. Default: false.
    pub(in crate::config) ignore_unknown_fields: Option<bool>,
    /// Send X-Content-Type-Options, X-Frame-Options, Referrer-Policy and a Content-Security-Policy. Default: true.
    pub(in crate::config) security_headers: Option<bool>,
    /// Headers that every response over HTTP has, in place of the gateway's own of the same name; what a page or an upstream
    /// says itself stays. Default: none.
    pub(in crate::config) headers: BTreeMap<String, String>,
    /// What GET / answers as JSON. Default: the gateway's own words.
    pub(in crate::config) index: Option<serde_json::Map<String, serde_json::Value>>,
    /// The body of a failure.
    pub(in crate::config) errors: Errors,
    /// The body of GET /health.
    pub(in crate::config) health: HealthBody,
}

/// `[rest] trailing_slash`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum TrailingSlash {
    Strict,
    Ignore,
    Redirect,
}

/// `[rest.errors]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Errors {
    /// The members of an error body in their order, each a name or NAME=VALUE; the values are reason, code, status,
    /// http_status, message, details, timestamp, request_id, retry_after and path.
    /// Default: error, code, status, message, details, timestamp, request_id, retry_after.
    pub(in crate::config) fields: Option<Vec<String>>,
    /// What stands for `reason`, by HTTP status. Default: the reason phrase of the status.
    pub(in crate::config) reasons: BTreeMap<String, String>,
    /// What stands for `message`, by HTTP status, or by the reason of a google.rpc.ErrorInfo (EMAIL_TAKEN), which goes
    /// before; ${message} is what it would have said, and the places of [[routes]]
    /// respond are known but ${path.NAME}. Default: the failure's own message.
    pub(in crate::config) messages: BTreeMap<String, String>,
    /// The same as messages, in their place, where gateway.environment is not development: what is nobody's business but the
    /// developer's. Default: none.
    pub(in crate::config) outside_development: BTreeMap<String, String>,
    /// HTTP statuses by google.rpc.Code's names. Default: those of google/rpc/code.proto.
    pub(in crate::config) statuses: BTreeMap<String, u16>,
}

/// `[rest.health]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct HealthBody {
    /// The members of the body of GET /health in their order, each a name or NAME=VALUE; GET /health/services has those of them
    /// that it knows. Default: all of them (status, timestamp, version, environment, uptime, services, checks, summary,
    /// cache_hit).
    pub(in crate::config) fields: Option<Vec<String>>,
    /// The members of each service: some of status, latency_ms and message; a single name that is no list stands for its value
    /// alone, in place of an object. Default: all of them.
    pub(in crate::config) service_fields: Option<OneOrMore>,
    /// The members of each check: some of name, status, message, latency_ms, details and checked_at. Default: all of them.
    pub(in crate::config) check_fields: Option<Vec<String>>,
    /// Milliseconds as whole numbers. Default: false.
    pub(in crate::config) whole_milliseconds: Option<bool>,
    /// What checks of the process say, by their names; ${message} is what one would have said, and its figures are known by
    /// their names, those in bytes as NAME_mib too. What keeps the server from taking calls is said all the same. Default: the
    /// checks' own words.
    pub(in crate::config) messages: BTreeMap<String, String>,
    /// The details of checks of the process, by their names: each with a text as above; a place alone is the figure itself.
    /// Default: all of their figures.
    pub(in crate::config) details: BTreeMap<String, BTreeMap<String, String>>,
}

/// `[builtin.NAME]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct BuiltIn {
    /// Off means no REST route, no gRPC, no page, no entry in reflection or OpenAPI. Default: true.
    pub(in crate::config) enabled: Option<bool>,
    /// What its paths begin with; a page's whole path. Default: as the example shows for each.
    pub(in crate::config) prefix: Option<String>,
    /// JSON names as in the proto file, in place of lowerCamelCase. Default: true.
    pub(in crate::config) proto_names: Option<bool>,
}
