//! `[otlp]` and `[traces]` as written.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Text, Time};

/// `[otlp]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Otlp {
    /// Where an OpenTelemetry collector is: http://HOST:PORT or https://HOST[:PORT]; of OTLP/HTTP with a path before /v1/traces and
    /// /v1/metrics, if it has one. Default: none, nothing is sent.
    pub(in crate::config) endpoint: Option<String>,
    /// What it speaks: grpc or http/protobuf. Default: what the endpoint looks like, http/protobuf with a path or the port 4318,
    /// else grpc.
    pub(in crate::config) protocol: Option<OtlpProtocol>,
    /// Metadata, or headers, that are sent with each request; credentials by reference. Default: none.
    pub(in crate::config) headers: BTreeMap<String, Text>,
    /// More of them in one secret, by reference: NAME=VALUE with commas between them, values percent-encoded. Default: none.
    pub(in crate::config) headers_from: Option<Text>,
    /// How long a request may take. Default: 10s.
    pub(in crate::config) timeout: Option<Time>,
    /// How requests are compressed: none or gzip. Default: none.
    pub(in crate::config) compression: Option<Compression>,
    /// A PEM file of the certificate authorities to trust. Default: the machine's own.
    pub(in crate::config) ca: Option<PathBuf>,
    /// A PEM file: the certificate that is shown to it, where it asks for one. Default: none.
    pub(in crate::config) client_certificate: Option<PathBuf>,
    /// The PEM file of its private key.
    pub(in crate::config) client_key: Option<PathBuf>,
    /// The service that all is told of. Default: propylon.
    #[schemars(length(min = 1))]
    pub(in crate::config) service: Option<String>,
    /// What else is told of it, by OpenTelemetry's names. Default: its version and instance, and gateway.environment.
    pub(in crate::config) resource: BTreeMap<String, String>,
}

/// `[traces]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Traces {
    /// Whether traces are made and sent. Default: true, unless there is no endpoint.
    pub(in crate::config) enabled: Option<bool>,
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
    /// The share of the traces that begin here which is recorded, from 0 to 1. Default: 0.1.
    pub(in crate::config) sample: Option<f64>,
    /// A call whose caller says whether it is recorded is, or is not. Default: true.
    pub(in crate::config) by_parent: Option<bool>,
    /// Whose traceparent is believed: everyone, proxies (gateway.trusted_proxies) or nobody. Others call in a trace that begins
    /// here, with a link to theirs. Default: everyone.
    pub(in crate::config) trust: Option<TraceTrust>,
    /// What is read from callers and told to upstreams: tracecontext and baggage. Default: all that there is.
    pub(in crate::config) propagators: Option<Vec<Propagator>>,
    /// Tell who called, by id (enduser.id). Default: false.
    pub(in crate::config) user_ids: Option<bool>,
    /// The most spans that wait to be sent; what comes then is lost. Default: 8192.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) queue: Option<usize>,
    /// As many are sent at once. Default: 512.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) batch: Option<usize>,
    /// How long less than a batch waits. Default: 5s.
    pub(in crate::config) delay: Option<Time>,
}

/// `protocol`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(in crate::config) enum OtlpProtocol {
    #[serde(rename = "grpc")]
    Grpc,
    #[serde(rename = "http/protobuf")]
    Http,
}

/// `compression`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Compression {
    None,
    Gzip,
}

/// `trust`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum TraceTrust {
    Everyone,
    Proxies,
    Nobody,
}

/// `propagators`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Propagator {
    TraceContext,
    Baggage,
}
