//! `[[upstreams]]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Time,
    resilience::{Balance, Breaker, Ejection, Health, Load, OneOrMore, Retry},
};

/// `[[upstreams]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"], "oneOf" = [{ "required": ["grpc"] }, { "required": ["http"] }]))]
pub(in crate::config) struct Upstream {
    /// Names it in logs, errors and routes.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// The address of one that speaks gRPC: http://HOST:PORT (HTTP/2 in plain text; grpc://, h2c:// and HOST:PORT alone are the
    /// same) or https://HOST:PORT (or grpcs://); or a list of them. A host name with several addresses is several endpoints.
    pub(in crate::config) grpc: Option<OneOrMore>,
    /// The address of one that speaks plain HTTP, in place of grpc: http://HOST:PORT or https://HOST:PORT; or a list of them.
    /// [[routes]] with a path lead there.
    pub(in crate::config) http: Option<OneOrMore>,
    /// Of an upstream with http: HTTP/2, by prior knowledge in plain text, by ALPN over TLS. Default: false.
    pub(in crate::config) http2: Option<bool>,
    /// A file with an encoded google.protobuf.FileDescriptorSet: its schema, in place of reflection. Default: none.
    pub(in crate::config) descriptors: Option<PathBuf>,
    /// Read its schema from its own server reflection. Default: true, unless there are descriptors.
    pub(in crate::config) reflection: Option<bool>,
    /// How often reflection is read again. Default: 30s.
    pub(in crate::config) reflection_interval: Option<Time>,
    /// The services to route there, by full name or prefix (package.*). Default: all that its schema has.
    pub(in crate::config) services: Option<Vec<String>>,
    /// How an endpoint is chosen: round_robin, least_requests (of two that are drawn, the one with fewer calls on it),
    /// peak_ewma (of two, the one likelier to answer soon) or hash (the same endpoint for the same hash_by). Default:
    /// least_requests.
    pub(in crate::config) balance: Option<Balance>,
    /// What is hashed, for hash: header:NAME, cookie:NAME, client (its address) or path.
    #[schemars(length(min = 1))]
    pub(in crate::config) hash_by: Option<String>,
    /// How often host names are looked up again; what they had last stays while they cannot be. Default: 10s.
    pub(in crate::config) resolve_interval: Option<Time>,
    /// How long the head of a response may take, at each attempt. Default: none.
    pub(in crate::config) first_byte_timeout: Option<Time>,
    /// How long a response may pause. Default: none, but 1m for an HTTP response that says how long it is.
    pub(in crate::config) idle_timeout: Option<Time>,
    /// How long nothing may go through a tunnel, such as a WebSocket, of an upstream with http; 0s: as long as it likes.
    /// Default: 1h.
    pub(in crate::config) tunnel_idle_timeout: Option<Time>,
    /// How long name resolution, and then TCP, may take. Default: 3s.
    pub(in crate::config) connect_timeout: Option<Time>,
    /// How long TLS and HTTP/2's first settings may take. Default: 3s.
    pub(in crate::config) handshake_timeout: Option<Time>,
    /// How often a quiet connection is pinged. Default: 5m.
    pub(in crate::config) keepalive_interval: Option<Time>,
    /// How long the answer to a ping may take. Default: 20s.
    pub(in crate::config) keepalive_timeout: Option<Time>,
    /// The longest a unary call may take; of an HTTP request the answer, from when the request has gone on to the response's
    /// head, or to its end where it says how long it is. Default: limits.timeout.
    pub(in crate::config) timeout: Option<Time>,
    /// The :authority or Host of calls, and the name that TLS asks for. Default: the address's host and port.
    #[schemars(length(min = 1))]
    pub(in crate::config) authority: Option<String>,
    /// A PEM file of the certificate authorities to trust. Default: the machine's own.
    pub(in crate::config) ca: Option<PathBuf>,
    /// The name that its certificate is for, which TLS asks for. Default: the host of its authority.
    #[schemars(length(min = 1))]
    pub(in crate::config) server_name: Option<String>,
    /// A PEM file: the certificate that is shown to it, where it asks for one. Default: none.
    pub(in crate::config) client_certificate: Option<PathBuf>,
    /// The PEM file of its private key.
    pub(in crate::config) client_key: Option<PathBuf>,
    /// Metadata, or headers, that are sent with each call to it, in place of what the caller sent under the same name; credentials by
    /// reference. Default: none.
    pub(in crate::config) metadata: BTreeMap<String, Text>,
    /// Send the caller's own Authorization and X-API-Key on to it. Default: false.
    pub(in crate::config) forward_credentials: Option<bool>,
    /// How its messages look as JSON.
    pub(in crate::config) json: Json,
    /// Which calls are sent again, and how.
    pub(in crate::config) retry: Retry,
    /// When no call is sent to it for a while, because too many fail.
    pub(in crate::config) breaker: Breaker,
    /// When one of its endpoints is left out for a while, because it fails.
    pub(in crate::config) ejection: Ejection,
    /// How endpoints are asked how they are. Default: none is asked.
    pub(in crate::config) health: Option<Health>,
    /// How many calls it has at a time. Default: none are turned away.
    pub(in crate::config) limits: Option<Load>,
}

/// A text, or where to read it once, when the config is loaded: { env = "NAME" } or { file = "PATH" }. A credential is
/// never written as a text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend(
    "type" = ["string", "object"],
    "properties" = {
        "env": { "type": "string", "minLength": 1, "description": "The environment variable that holds it." },
        "file": { "type": "string", "minLength": 1, "description": "The file that holds it; a line's end at its end is not part of it." },
    },
    "additionalProperties" = false,
    "writeOnly" = true,
), transform = without_branches)]
pub(in crate::config) enum Text {
    Literal(String),
    Reference { env: Option<String>, file: Option<PathBuf> },
}

/// The branches of an untagged enum say the same less clearly.
pub(super) fn without_branches(schema: &mut schemars::Schema) {
    schema.remove("anyOf");
}

/// `[upstreams.json]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Json {
    /// Field names as in the proto file, in place of lowerCamelCase. Default: false.
    pub(in crate::config) proto_names: bool,
    /// Print fields that have their default value. Default: false.
    pub(in crate::config) defaults: bool,
    /// Enum values as numbers, in place of names. Default: false.
    pub(in crate::config) enum_numbers: bool,
    /// Indent the JSON. Default: false.
    pub(in crate::config) pretty: bool,
}
