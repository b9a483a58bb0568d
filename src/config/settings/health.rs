//! `[health]` and `[[health.probes]]` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Text, Time};

/// `[health]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct GatewayHealth {
    /// How long what probes found is kept, for all replicas where there is a Redis; 0s: each who asks has them asked.
    /// Default: 5s.
    pub(in crate::config) cache: Option<Time>,
    /// Its key in Redis. Gateways that share a Redis and probe other services have another. Default: healthcheck:cache.
    #[schemars(length(min = 1))]
    pub(in crate::config) cache_key: Option<String>,
    /// A probe of each upstream that has none among the probes, by its name. Default: false.
    pub(in crate::config) upstreams: Option<bool>,
    /// Where GET /health tells of probes: services or checks. Default: services.
    pub(in crate::config) probes_in: Option<ProbesIn>,
    /// The checks of the process in their order: some of server, memory, cpu, disk, descriptors and lag. Default: all of them.
    pub(in crate::config) checks: Option<Vec<String>>,
    /// The bytes of memory that the process may use. Default: what its control group or the machine has.
    #[schemars(range(min = 1))]
    pub(in crate::config) memory_limit: Option<u64>,
    /// From where on a check says degraded.
    pub(in crate::config) degraded: Degraded,
    /// From where on a check says unhealthy, and GET /health answers 503.
    pub(in crate::config) unhealthy: Unhealthy,
    /// Services that are asked how they are when somebody asks how the gateway is. None of them makes the gateway unready.
    pub(in crate::config) probes: Vec<Probe>,
}

/// `[health] probes_in`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ProbesIn {
    Services,
    Checks,
}

/// `[health.degraded]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Degraded {
    /// Percent of the memory that the process may use. Default: 85.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) memory: Option<f64>,
    /// Percent of the processors that it may use, over the last seconds. Default: 90.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) cpu: Option<f64>,
    /// Percent of the disk that its data are on. Default: 90.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) disk: Option<f64>,
    /// Percent of the files and sockets that it may have open. Default: 80.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) descriptors: Option<f64>,
    /// How late a worker comes to what is due. Default: 250ms.
    pub(in crate::config) lag: Option<Time>,
}

/// `[health.unhealthy]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Unhealthy {
    /// Percent of the memory that the process may use. Default: 97.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) memory: Option<f64>,
    /// Percent of the processors that it may use, over the last seconds. Default: none, a gateway that is busy is no
    /// reason to send its calls elsewhere.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) cpu: Option<f64>,
    /// Percent of the disk that its data are on. Default: 98.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) disk: Option<f64>,
    /// Percent of the files and sockets that it may have open. Default: 97.
    #[schemars(range(min = 0, max = 100))]
    pub(in crate::config) descriptors: Option<f64>,
    /// How late a worker comes to what is due. Default: 5s.
    pub(in crate::config) lag: Option<Time>,
}

/// `[[health.probes]]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"], "oneOf" = [{ "required": ["kind"] }, { "required": ["upstream"] }]))]
pub(in crate::config) struct Probe {
    /// What the service is called in answers.
    #[schemars(length(min = 1))]
    pub(in crate::config) name: String,
    /// How it is asked: http (a GET is answered with 2xx), tcp (a connection is accepted), grpc (grpc.health.v1 says SERVING),
    /// postgres (a query is answered) or redis (PING is answered).
    pub(in crate::config) kind: Option<ProbeKind>,
    /// Where it is: http://HOST:PORT/PATH or https://…; tcp: HOST:PORT; grpc: http://HOST:PORT or https://…; postgres://… and
    /// redis://…, by reference where a password is in it. Default, of postgres and redis: the gateway's own.
    pub(in crate::config) url: Option<Text>,
    /// In place of kind and url, the upstream that it is: down while its breaker is open or its health checks fail, and else
    /// asked whether it accepts a connection.
    #[schemars(length(min = 1))]
    pub(in crate::config) upstream: Option<String>,
    /// The service that grpc.health.v1 is asked for. Default: the whole server.
    pub(in crate::config) service: Option<String>,
    /// Headers of the GET; credentials by reference. Default: none.
    pub(in crate::config) headers: BTreeMap<String, Text>,
    /// How long the answer may take, the connection included. Default: 2s.
    pub(in crate::config) timeout: Option<Time>,
    /// Down, it makes GET /health unhealthy; another one makes it degraded. Default: false.
    pub(in crate::config) critical: Option<bool>,
    /// As long as it was never seen it is not_deployed rather than down, which makes nothing worse. Default: false.
    pub(in crate::config) may_be_absent: Option<bool>,
}

/// `[[health.probes]] kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ProbeKind {
    Http,
    Tcp,
    Grpc,
    Postgres,
    Redis,
}
