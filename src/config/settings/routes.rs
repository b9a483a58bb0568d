//! `[[routes]]` and `[[http_rules]]` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AccessRule, Cors, RouteRetry, Time};

/// `[[routes]]`: a service, a path or a prefix of paths, where it goes, and the rules that hold there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [
    { "required": ["service"] },
    { "required": ["path"], "oneOf": [
        { "required": ["upstream"] }, { "required": ["upstreams"] }, { "required": ["respond"] }, { "required": ["redirect"] },
    ] },
    { "required": ["prefix"], "oneOf": [
        { "required": ["upstream"] }, { "required": ["upstreams"] }, { "required": ["respond"] }, { "required": ["redirect"] },
    ] },
]))]
pub(in crate::config) struct Route {
    /// Names it in logs and messages. Default: its service or path.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: Option<String>,
    /// What is called by gRPC's names, whatever surface it comes by: package.Service, package.* or package.Service/Method.
    pub(in crate::config) service: Option<String>,
    /// The upstream that answers: of a service a gRPC one, of a path an HTTP one. Default: who serves the service already.
    pub(in crate::config) upstream: Option<String>,
    /// Several upstreams in place of one: each call goes to one of them, by weight. Default: none.
    #[schemars(length(min = 1))]
    pub(in crate::config) upstreams: Option<Vec<Share>>,
    /// What is called by an HTTP path: a path template such as /docs/{page=**}. It has upstream, upstreams, respond or
    /// redirect.
    pub(in crate::config) path: Option<String>,
    /// What is called by an HTTP path that is this one or below it, whole segments: /api/users is for /api/users and
    /// /api/users/7, not for /api/users2. What is below is ${path.rest}. It has what a path has.
    pub(in crate::config) prefix: Option<String>,
    /// Only calls for one of these hosts, whatever the port: api.example.com, or *.example.com for all names below.
    /// Default: any host.
    #[schemars(length(min = 1))]
    pub(in crate::config) hosts: Option<Vec<String>>,
    /// Only calls with all of these headers, or metadata: exactly this value, or "*" for any. Default: none is needed.
    pub(in crate::config) headers: BTreeMap<String, String>,
    /// How many segments of the path its upstream does not see: 1 makes /users/7 of /api/users/7. Default: 0.
    pub(in crate::config) strip_segments: Option<usize>,
    /// What its upstream sees before the path that is left, such as /v2. Default: nothing.
    pub(in crate::config) add_prefix: Option<String>,
    /// What its upstream sees in the place of the prefix, such as /v2; "/" takes it away. Default: the prefix.
    pub(in crate::config) replace_prefix: Option<String>,
    /// Send a path on in which a slash is escaped (%2F). Default: false, it is refused.
    pub(in crate::config) escaped_slashes: Option<bool>,
    /// Send the client's own Host to its upstream. Default: false, the upstream's.
    pub(in crate::config) keep_host: Option<bool>,
    /// The HTTP methods of the path; "*" for any. Default: any of them where it has an upstream, else GET.
    pub(in crate::config) methods: Option<Vec<String>>,
    /// Answer by itself.
    pub(in crate::config) respond: Option<Respond>,
    /// Send the client elsewhere.
    pub(in crate::config) redirect: Option<Redirect>,
    /// The longest a unary call may take. Default: the upstream's timeout, or limits.timeout.
    pub(in crate::config) timeout: Option<Time>,
    /// The longest request message in bytes. Default: limits.request_bytes.
    #[schemars(range(min = 1))]
    pub(in crate::config) request_bytes: Option<usize>,
    /// The longest response message that is transcoded, in bytes. Default: limits.response_bytes.
    #[schemars(range(min = 1))]
    pub(in crate::config) response_bytes: Option<usize>,
    /// Which calls are sent again, and how: each key in place of the upstream's own. Default: as the upstream has it.
    pub(in crate::config) retry: Option<RouteRetry>,
    /// Which pages of other origins may call it. Default: [cors].
    pub(in crate::config) cors: Option<Cors>,
    /// Headers, or metadata, of a request that are changed before it goes to what answers it.
    pub(in crate::config) request_headers: HeaderChanges,
    /// Headers, or metadata, of a reply that are changed before it goes to its client; not those of the gateway's own
    /// refusals.
    pub(in crate::config) response_headers: HeaderChanges,
    /// Who may call it, as in access.rules, without match. Default: what [access] says.
    pub(in crate::config) access: Option<AccessRule>,
}

/// One of the upstreams of a route
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"]))]
pub(in crate::config) struct Share {
    /// The upstream's name.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// How many calls it gets, of the sum of all weights; 0 for none. Default: 1.
    pub(in crate::config) weight: Option<u32>,
}

/// `request_headers` and `response_headers` of a route: what is removed first, then set, then added
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct HeaderChanges {
    /// In place of all values of that name. Default: none.
    pub(in crate::config) set: BTreeMap<String, String>,
    /// Beside the values of that name. Default: none.
    pub(in crate::config) add: BTreeMap<String, String>,
    /// Names whose values are removed. Default: none.
    pub(in crate::config) remove: Vec<String>,
}

/// `respond` of a route
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Respond {
    /// The HTTP status, 200 to 599. Default: 200.
    #[schemars(range(min = 200, max = 599))]
    pub(in crate::config) status: Option<u16>,
    /// Response headers; their values may have places. Default: none.
    pub(in crate::config) headers: BTreeMap<String, String>,
    /// The body's type. Default: text/plain; charset=utf-8 for a text, application/json for any other value.
    pub(in crate::config) content_type: Option<String>,
    /// A text, or a value that is written as JSON. Its texts may have places: ${request.method}, ${request.path},
    /// ${request.id}, ${request.host}, ${client.address}, ${gateway.version}, ${time.now}, ${path.NAME}, ${query.NAME},
    /// ${header.NAME}; $${ stands for ${. Default: no body.
    pub(in crate::config) body: Option<serde_json::Value>,
}

/// `redirect` of a route
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["to"]))]
pub(in crate::config) struct Redirect {
    /// A path or an absolute address; it may have the places of respond's body.
    #[schemars(length(min = 1))]
    pub(in crate::config) to: String,
    /// 301, 302, 303, 307 or 308. Default: 308.
    pub(in crate::config) status: Option<u16>,
    /// Carry the request's query on, where `to` has none of its own. Default: true.
    pub(in crate::config) keep_query: Option<bool>,
}

/// `[[http_rules]]`: google.api.HttpRule, with the same field names; its additional bindings have no selector.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [
    { "required": ["get"] },
    { "required": ["put"] },
    { "required": ["post"] },
    { "required": ["delete"] },
    { "required": ["patch"] },
    { "required": ["custom"] },
]))]
pub(in crate::config) struct HttpRule {
    /// The method, package.Service.Method.
    pub(in crate::config) selector: String,
    /// The path template of a GET. A rule has exactly one of get, put, post, delete, patch and custom.
    pub(in crate::config) get: Option<String>,
    /// The path template of a PUT.
    pub(in crate::config) put: Option<String>,
    /// The path template of a POST.
    pub(in crate::config) post: Option<String>,
    /// The path template of a DELETE.
    pub(in crate::config) delete: Option<String>,
    /// The path template of a PATCH.
    pub(in crate::config) patch: Option<String>,
    /// A verb of one's own and its path template.
    pub(in crate::config) custom: Option<CustomVerb>,
    /// The request field that the HTTP body is, or "*" for the whole request. Default: no body.
    pub(in crate::config) body: String,
    /// The response field that the HTTP body is. Default: the whole response.
    pub(in crate::config) response_body: String,
    /// Further bindings of the same method.
    pub(in crate::config) additional_bindings: Vec<HttpRule>,
}

/// A verb of one's own
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["kind", "path"]))]
pub(in crate::config) struct CustomVerb {
    /// The HTTP method's name, or "*" for any.
    #[schemars(length(min = 1))]
    pub(in crate::config) kind: String,
    /// The path template.
    #[schemars(length(min = 1))]
    pub(in crate::config) path: String,
}
