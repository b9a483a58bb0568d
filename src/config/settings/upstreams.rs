//! `[[upstreams]]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::Time;

/// `[[upstreams]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"], "oneOf" = [{ "required": ["grpc"] }, { "required": ["http"] }]))]
pub(in crate::config) struct Upstream {
    /// Names it in logs, errors and routes.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// The address of one that speaks gRPC: http://HOST:PORT (HTTP/2 in plain text) or https://HOST:PORT.
    #[schemars(length(min = 1))]
    pub(in crate::config) grpc: Option<String>,
    /// The address of one that speaks plain HTTP/1.1, in place of grpc: http://HOST:PORT or https://HOST:PORT. [[routes]]
    /// with a path lead there.
    #[schemars(length(min = 1))]
    pub(in crate::config) http: Option<String>,
    /// A file with an encoded google.protobuf.FileDescriptorSet: its schema, in place of reflection. Default: none.
    pub(in crate::config) descriptors: Option<PathBuf>,
    /// Read its schema from its own server reflection. Default: true, unless there are descriptors.
    pub(in crate::config) reflection: Option<bool>,
    /// How often reflection is read again. Default: 30s.
    pub(in crate::config) reflection_interval: Option<Time>,
    /// The services to route there, by full name or prefix (package.*). Default: all that its schema has.
    pub(in crate::config) services: Option<Vec<String>>,
    /// How long name resolution and TCP may take. Default: 3s.
    pub(in crate::config) connect_timeout: Option<Time>,
    /// How long TLS and HTTP/2's first settings may take. Default: 3s.
    pub(in crate::config) handshake_timeout: Option<Time>,
    /// How often a quiet connection is pinged. Default: 5m.
    pub(in crate::config) keepalive_interval: Option<Time>,
    /// How long the answer to a ping may take. Default: 20s.
    pub(in crate::config) keepalive_timeout: Option<Time>,
    /// The longest a unary call may take, or an HTTP response's head. Default: limits.timeout.
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
fn without_branches(schema: &mut schemars::Schema) {
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
