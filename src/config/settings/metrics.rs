//! `[metrics]` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{OtlpProtocol, Text, Time};

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
    /// The most series that calls make, the buckets of histograms among them: routes, methods and statuses multiply. A tenth is kept
    /// for what there is no room for, which is told of as "other". Default: 1900, a hundred histograms.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub(crate) max_series: Option<usize>,
    /// A gauge that is always 1, whose labels say what this deployment is. Default: none.
    pub(crate) info: Option<Info>,
    /// They are sent to a collector too. Default: true, unless there is no endpoint.
    pub(in crate::config) push: Option<bool>,
    /// Where they are sent, in place of otlp.endpoint; the path is taken as it is. Default: the one of [otlp].
    pub(in crate::config) endpoint: Option<String>,
    /// What is spoken there. Default: the one of [otlp].
    pub(in crate::config) protocol: Option<OtlpProtocol>,
    /// Sent along, in place of otlp.headers. Default: those of [otlp].
    pub(in crate::config) headers: BTreeMap<String, Text>,
    /// Sent along, in place of otlp.headers_from. Default: those of [otlp].
    pub(in crate::config) headers_from: Option<Text>,
    /// How long a request may take. Default: the one of [otlp].
    pub(in crate::config) timeout: Option<Time>,
    /// How often they are sent. Default: 60s.
    pub(in crate::config) interval: Option<Time>,
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
