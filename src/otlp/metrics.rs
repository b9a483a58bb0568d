//! Numbers as OTLP tells them: the families that `/metrics` shows, under the names that OpenTelemetry's conventions have for them.
//! What they have none for keeps its name without what OTLP says elsewhere, its unit and that it only grows; so what a collector
//! makes of it for a Prometheus is the name at `/metrics` again.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point::Value,
    },
    resource::v1::Resource,
};
use prometheus::proto::{self, MetricType};

use super::{
    finished::nanos,
    resource::{number, text},
    spans::SCHEMA,
};
use crate::telemetry::Metrics;

/// The conventions' names, each with its unit, of families that are theirs.
const NAMES: [(&str, &str, &str); 11] = [
    ("http_server_request_duration_seconds", "http.server.request.duration", "s"),
    ("http_server_active_requests", "http.server.active_requests", "{request}"),
    ("rpc_server_call_duration_seconds", "rpc.server.call.duration", "s"),
    ("mcp_server_operation_duration_seconds", "mcp.server.operation.duration", "s"),
    ("mcp_server_session_duration_seconds", "mcp.server.session.duration", "s"),
    ("process_cpu_seconds_total", "process.cpu.time", "s"),
    ("process_resident_memory_bytes", "process.memory.usage", "By"),
    ("process_virtual_memory_bytes", "process.memory.virtual", "By"),
    ("process_open_fds", "process.unix.file_descriptor.count", "{file_descriptor}"),
    ("process_threads", "process.thread.count", "{thread}"),
    ("process_start_time_seconds", "process.start_time", "s"),
];

/// Labels that are attributes of the conventions. All others are called what they are.
const LABELS: [(&str, &str); 13] = [
    ("http_request_method", "http.request.method"),
    ("http_route", "http.route"),
    ("http_response_status_code", STATUS),
    ("url_scheme", "url.scheme"),
    ("error_type", "error.type"),
    ("propylon_surface", "propylon.surface"),
    ("rpc_system_name", "rpc.system.name"),
    ("rpc_method", "rpc.method"),
    ("rpc_response_status_code", "rpc.response.status_code"),
    ("mcp_method_name", "mcp.method.name"),
    ("mcp_protocol_version", "mcp.protocol.version"),
    ("gen_ai_tool_name", "gen_ai.tool.name"),
    ("gen_ai_operation_name", "gen_ai.operation.name"),
];

/// Of all attributes that one is a number.
const STATUS: &str = "http.response.status_code";

/// What of our own goes up and down and can be added up over replicas, as the conventions' do.
const ADDS_UP: [&str; 3] =
    ["propylon_connections", "propylon_upstream_in_flight", "propylon_upstream_endpoints"];

/// The families as they are now, counted since `began`.
pub(super) fn of(families: &[Metrics], began: SystemTime, resource: &Resource) -> ResourceMetrics {
    let clock = |time: SystemTime| nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default());
    let times = Times { began: clock(began), now: clock(SystemTime::now()) };
    let scope = InstrumentationScope {
        name: "propylon".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let metrics = families.iter().filter_map(|family| metric(family, times)).collect();
    ResourceMetrics {
        resource: Some(resource.clone()),
        scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: SCHEMA.to_owned() }],
        schema_url: SCHEMA.to_owned(),
    }
}

/// In nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    began: u64,
    now: u64,
}

/// `None` for a family that nothing is known of yet.
fn metric(family: &Metrics, times: Times) -> Option<Metric> {
    let series = family.get_metric();
    if series.is_empty() {
        return None;
    }
    let written = family.name();
    let known = NAMES.iter().find(|(name, ..)| *name == written);
    let adds_up = known.is_some() || ADDS_UP.contains(&written);
    let cumulative = AggregationTemporality::Cumulative.into();
    let points = |value: fn(&proto::Metric) -> f64| {
        series.iter().map(|one| point(one, value(one), times)).collect::<Vec<_>>()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: points(|one| one.get_counter().get_value()),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: series.iter().map(|one| histogram(one, times)).collect(),
            aggregation_temporality: cumulative,
        }),
        MetricType::GAUGE if adds_up => Data::Sum(Sum {
            data_points: points(|one| one.get_gauge().get_value()),
            aggregation_temporality: cumulative,
            is_monotonic: false,
        }),
        MetricType::GAUGE => Data::Gauge(Gauge { data_points: points(|one| one.get_gauge().get_value()) }),
        // Nobody here makes any.
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    let (name, unit) = match known {
        Some((_, name, unit)) => ((*name).to_owned(), *unit),
        None => named(written),
    };
    Some(Metric {
        name,
        description: family.help().to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

/// `propylon_upstream_request_duration_seconds` is `propylon.upstream_request_duration` in seconds.
fn named(written: &str) -> (String, &'static str) {
    let bare = written.strip_suffix("_total").unwrap_or(written);
    let (bare, unit) = match (bare.strip_suffix("_seconds"), bare.strip_suffix("_bytes")) {
        (Some(bare), _) => (bare, "s"),
        (_, Some(bare)) => (bare, "By"),
        (None, None) => (bare, ""),
    };
    let name =
        bare.strip_prefix("propylon_").map_or_else(|| bare.to_owned(), |own| format!("propylon.{own}"));
    (name, unit)
}

fn point(one: &proto::Metric, value: f64, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(one),
        start_time_unix_nano: times.began,
        time_unix_nano: times.now,
        value: Some(Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn histogram(one: &proto::Metric, times: Times) -> HistogramDataPoint {
    let histogram = one.get_histogram();
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.get_bucket() {
        let up_to = bucket.cumulative_count();
        bounds.push(bucket.upper_bound());
        counts.push(up_to.saturating_sub(below));
        below = up_to;
    }
    // They were not read at one moment: a call that ended between is in the next.
    let count = histogram.get_sample_count().max(below);
    counts.push(count - below);
    HistogramDataPoint {
        attributes: attributes(one),
        start_time_unix_nano: times.began,
        time_unix_nano: times.now,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

/// A label without a value is one that is not there.
fn attributes(one: &proto::Metric) -> Vec<KeyValue> {
    let labels = one.get_label().iter().filter(|label| !label.value().is_empty());
    let attribute = |label: &proto::LabelPair| {
        let known = LABELS.iter().find(|(name, _)| *name == label.name());
        match (known.map_or(label.name(), |(_, name)| name), label.value().parse()) {
            (STATUS, Ok(status)) => number(STATUS, status),
            (name, _) => text(name, label.value()),
        }
    };
    labels.map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Figure, counter, gauge};

    #[test]
    fn what_the_conventions_have_no_name_for_keeps_its_own() {
        let check = |written: &str, name: &str, unit: &str| {
            assert_eq!(named(written), (name.to_owned(), unit), "{written}");
        };
        check("propylon_upstream_requests_total", "propylon.upstream_requests", "");
        check("propylon_upstream_request_duration_seconds", "propylon.upstream_request_duration", "s");
        check("gateway_http_requests_total", "gateway_http_requests", "");
        check("gateway_http_request_duration_seconds", "gateway_http_request_duration", "s");
        check("shop_info", "shop_info", "");
    }

    #[test]
    fn each_kind_is_told_as_what_it_is() {
        let opts = prometheus::HistogramOpts::new("http_server_request_duration_seconds", "Took.")
            .buckets(vec![0.5, 1.0]);
        let labels = ["http_response_status_code", "error_type", "http_route"];
        let took = prometheus::HistogramVec::new(opts, &labels).unwrap();
        for value in [0.25, 0.3, 0.75, 3.0] {
            took.with_label_values(&["200", "", "/a/{b}"]).observe(value);
        }
        let mut families = prometheus::core::Collector::collect(&took);
        families.push(counter("propylon_asked_total", "Asked.", vec![Figure::alone(3.0)]));
        families.push(gauge("propylon_connections", "Open.", vec![Figure::alone(2.0)]));
        families.push(gauge("half", "H.", vec![Figure::alone(0.5)]));
        families.push(gauge("nobody", "N.", Vec::new()));
        let began = UNIX_EPOCH + std::time::Duration::from_nanos(7);
        let all = of(&families, began, &Resource::default());
        let [scope] = all.scope_metrics.as_slice() else { panic!("{all:?}") };
        let told: Vec<_> = scope.metrics.iter().map(|one| (one.name.as_str(), one.unit.as_str())).collect();
        let want = [
            ("http.server.request.duration", "s"),
            ("propylon.asked", ""),
            ("propylon.connections", ""),
            ("half", ""),
        ];
        assert_eq!(told, want);
        let data: Vec<_> = scope.metrics.iter().filter_map(|one| one.data.clone()).collect();
        let [Data::Histogram(took), Data::Sum(asked), Data::Sum(open), Data::Gauge(half)] = data.as_slice()
        else {
            panic!("{data:?}")
        };
        let [took] = took.data_points.as_slice() else { panic!("{took:?}") };
        assert_eq!((took.count, took.sum, took.start_time_unix_nano), (4, Some(4.3), 7));
        assert_eq!((&*took.explicit_bounds, &*took.bucket_counts), (&[0.5, 1.0][..], &[2, 1, 1][..]));
        assert_eq!(took.attributes, [number(STATUS, 200), text("http.route", "/a/{b}")]);
        assert_eq!((asked.is_monotonic, open.is_monotonic, half.data_points.len()), (true, false, 1));
    }
}
