//! OpenTelemetry's own names (its specification, "Environment Variable Specification"), which every process that is observed
//! by it has in common.

use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

use super::{
    Environment, boolean,
    callers::milliseconds,
    names::{Name, Read, here, text},
};
use crate::config::{
    document::{Node, Origin, path::child},
    mistake::{Mistake, Mistakes, Part},
};

/// Of two names for one key the later row wins.
pub(super) const NAMES: [Name; 29] = [
    Name { name: "OTEL_SERVICE_NAME", key: "otlp.service", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_PROTOCOL", key: "otlp.protocol", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", key: "traces.protocol", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_HEADERS", key: "otlp.headers_from", read: here },
    Name { name: "OTEL_EXPORTER_OTLP_TRACES_HEADERS", key: "traces.headers_from", read: here },
    Name { name: "OTEL_BSP_EXPORT_TIMEOUT", key: "traces.timeout", read: milliseconds },
    Name { name: "OTEL_EXPORTER_OTLP_TIMEOUT", key: "otlp.timeout", read: milliseconds },
    Name { name: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", key: "traces.timeout", read: milliseconds },
    Name { name: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", key: "metrics.protocol", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_METRICS_HEADERS", key: "metrics.headers_from", read: here },
    Name { name: "OTEL_METRIC_EXPORT_TIMEOUT", key: "metrics.timeout", read: milliseconds },
    Name { name: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", key: "metrics.timeout", read: milliseconds },
    Name { name: "OTEL_METRIC_EXPORT_INTERVAL", key: "metrics.interval", read: milliseconds },
    Name { name: "OTEL_EXPORTER_OTLP_COMPRESSION", key: "otlp.compression", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", key: "otlp.compression", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", key: "otlp.compression", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_CERTIFICATE", key: "otlp.ca", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", key: "otlp.client_certificate", read: text },
    Name { name: "OTEL_EXPORTER_OTLP_CLIENT_KEY", key: "otlp.client_key", read: text },
    Name { name: "OTEL_TRACES_SAMPLER", key: "traces.sample", read: share_of_sampler },
    Name { name: "OTEL_TRACES_SAMPLER", key: "traces.by_parent", read: by_parent },
    Name { name: "OTEL_PROPAGATORS", key: "traces.propagators", read: propagators },
    Name { name: "OTEL_BSP_MAX_QUEUE_SIZE", key: "traces.queue", read: spans },
    Name { name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", key: "traces.batch", read: spans },
    Name { name: "OTEL_BSP_SCHEDULE_DELAY", key: "traces.delay", read: milliseconds },
    Name { name: "OTEL_TRACES_EXPORTER", key: "traces.enabled", read: exporter },
    Name { name: "OTEL_METRICS_EXPORTER", key: "metrics.push", read: pushes },
    Name { name: "OTEL_SDK_DISABLED", key: "traces.enabled", read: disabled },
    Name { name: "OTEL_SDK_DISABLED", key: "metrics.push", read: disabled },
];

/// The names that more than one variable decides about.
#[cfg(test)]
pub(super) const OTHERS: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_RESOURCE_ATTRIBUTES",
];

const RATIOS: [&str; 2] = ["traceidratio", "parentbased_traceidratio"];

/// Puts what these say over what the file says.
pub(super) fn apply(environment: &Environment, root: &mut Node, found: &mut Mistakes) {
    let said = |name: &str| environment.get(name).map(str::trim).filter(|text| !text.is_empty());
    let origin = |name: &str| Origin::Variable(name.into());
    let insecure = said("OTEL_EXPORTER_OTLP_INSECURE").and_then(boolean) == Some(true);
    for (name, key) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp.endpoint"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "traces.endpoint"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "metrics.endpoint"),
    ] {
        let Some(endpoint) = said(name) else { continue };
        let scheme = if insecure { "http" } else { "https" };
        let whole =
            if endpoint.contains("://") { endpoint.to_owned() } else { format!("{scheme}://{endpoint}") };
        root.set(key, Node::of(&whole.into(), &origin(name)));
    }
    if let Some(share) = said("OTEL_TRACES_SAMPLER_ARG")
        && said("OTEL_TRACES_SAMPLER").is_some_and(|sampler| RATIOS.contains(&sampler))
    {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        match share.parse::<f64>() {
            Ok(share) => root.set("traces.sample", Node::of(&share.into(), &origin(name))),
            Err(_) => {
                let why = format!("{share:?} is no share: it is a number from 0 to 1");
                found.push(Mistake::new("traces.sample", why).at(Part::Variable(name.into())));
            }
        }
    }
    let attributes = said("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for part in attributes.split(',').filter(|part| !part.trim().is_empty()) {
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        let value = part.split_once('=').and_then(|(key, value)| {
            Some((key.trim(), percent_decode_str(value.trim()).decode_utf8().ok()?))
        });
        let Some((attribute, value)) = value else {
            let why = format!("{:?} is not NAME=VALUE", part.trim());
            found.push(Mistake::new("otlp.resource", why).at(Part::Variable(name.into())));
            continue;
        };
        let value = Node::of(&value.into(), &origin(name));
        match attribute {
            // OTEL_SERVICE_NAME goes before it.
            "service.name" if said("OTEL_SERVICE_NAME").is_some() => {}
            "service.name" => root.set("otlp.service", value),
            attribute => root.set(&child("otlp.resource", attribute), value),
        }
    }
}

fn share_of_sampler(written: &str, _: &Node) -> Read {
    match written {
        "always_off" | "parentbased_always_off" => Read::Value(json!(0)),
        "always_on" | "parentbased_always_on" | "traceidratio" | "parentbased_traceidratio" => {
            Read::Value(json!(1))
        }
        other => Read::Wrong(format!(
            "{other:?} is no sampler that there is here: it is always_on, always_off or traceidratio, or parentbased_ before one \
             of them"
        )),
    }
}

fn by_parent(written: &str, _: &Node) -> Read {
    Read::Value(written.starts_with("parentbased_").into())
}

/// Those that are not spoken here are left out, as the specification wants it.
fn propagators(written: &str, _: &Node) -> Read {
    let known = written.split(',').map(str::trim).filter(|name| matches!(*name, "tracecontext" | "baggage"));
    let known: Vec<Json> = known.map(Json::from).collect();
    if known.is_empty() && written != "none" {
        return Read::NotOurs("tracecontext and baggage are what there is");
    }
    Read::Value(known.into())
}

fn spans(written: &str, _: &Node) -> Read {
    match written.parse::<u32>() {
        Ok(number @ 1..) => Read::Value(number.into()),
        _ => Read::Wrong(format!("{written:?} is not a number of spans")),
    }
}

fn exporter(written: &str, _: &Node) -> Read {
    let mut all = written.split(',').map(str::trim);
    match written {
        "none" => Read::Value(false.into()),
        _ if all.any(|one| one == "otlp") => Read::Nothing,
        _ => Read::NotOurs("otlp is what there is"),
    }
}

/// The page of the numbers is the config's matter.
fn pushes(written: &str, _: &Node) -> Read {
    let mut all = written.split(',').map(str::trim);
    match written {
        "none" | "prometheus" => Read::Value(false.into()),
        _ if all.any(|one| one == "otlp") => Read::Nothing,
        _ => Read::NotOurs("otlp and prometheus are what there is"),
    }
}

fn disabled(written: &str, _: &Node) -> Read {
    // Whatever is not true is false, as the specification wants it.
    if written.eq_ignore_ascii_case("true") { Read::Value(false.into()) } else { Read::Nothing }
}
