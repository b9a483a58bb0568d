//! `[metrics]` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// `[metrics]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Metrics {
    /// Numbers are kept, and shown at /metrics ([builtin.metrics]). Default: true.
    pub(crate) enabled: Option<bool>,
    /// How requests are told of: semantic (OpenTelemetry's conventions: http_server_request_duration_seconds,
    /// rpc_server_call_duration_seconds), gateway_http (gateway_http_requests_total, gateway_http_request_duration_seconds), or
    /// gateway (gateway_requests_total, gateway_request_duration_seconds, gateway_active_connections). Default: semantic.
    pub(crate) names: Option<Names>,
    /// The upper bounds of the buckets of durations, in seconds, ascending. Default: those that OpenTelemetry advises, from 5 ms
    /// to 10 s.
    #[schemars(length(min = 1, max = 40))]
    pub(crate) buckets: Option<Vec<f64>>,
    /// Routes that are told of by their names, those that are called first; all others are "other". Default: 100.
    #[schemars(range(max = 10_000))]
    pub(crate) max_routes: Option<usize>,
    /// A gauge that is always 1, whose labels say what this deployment is. Default: none.
    pub(crate) info: Option<Info>,
}

/// `[metrics] names`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Names {
    Semantic,
    GatewayHttp,
    Gateway,
}

/// `[metrics.info]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"]))]
pub(crate) struct Info {
    /// What it is called, such as shop_gateway_info.
    pub(crate) name: String,
    /// Its labels, such as version = "1.0.0".
    pub(crate) labels: BTreeMap<String, String>,
}
