//! What the instruments show, as text: Prometheus' exposition format 0.0.4, and OpenMetrics 1.0.

use std::fmt::Write as _;

use http::HeaderValue;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// The content type of [`text`].
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// The content type of [`open_metrics`].
pub const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Whether who asks by this `Accept` would rather have OpenMetrics.
#[must_use]
pub fn wants_open_metrics<'a>(accept: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    let values = accept.into_iter().filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            open = open.max(weight);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            plain = plain.max(weight);
        }
    }
    open > 0.0 && open >= plain
}

/// In the text format 0.0.4.
#[must_use]
pub fn text(families: &[MetricFamily]) -> String {
    write(families, false)
}

/// In OpenMetrics 1.0.
#[must_use]
pub fn open_metrics(families: &[MetricFamily]) -> String {
    let mut out = write(families, true);
    out.push_str("# EOF\n");
    out
}

fn write(families: &[MetricFamily], open: bool) -> String {
    let mut out = String::new();
    for family in families {
        let (name, kind) = (family.name(), family.get_field_type());
        // OpenMetrics names a counter's family without the end of its samples' names.
        let family_name = match kind {
            MetricType::COUNTER if open => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let word = match kind {
            MetricType::COUNTER => "counter",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY => "summary",
            MetricType::GAUGE => "gauge",
            MetricType::UNTYPED => {
                if open {
                    "unknown"
                } else {
                    "untyped"
                }
            }
        };
        let help = escaped(family.help(), open);
        // A string takes whatever is written to it.
        let _ = writeln!(out, "# HELP {family_name} {help}\n# TYPE {family_name} {word}");
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => sample(&mut out, name, metric, None, metric.get_counter().get_value()),
                MetricType::HISTOGRAM => histogram(&mut out, name, metric, open),
                _ => sample(&mut out, name, metric, None, metric.get_gauge().get_value()),
            }
        }
    }
    out
}

fn histogram(out: &mut String, name: &str, metric: &Metric, open: bool) {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count();
    let bucket = format!("{name}_bucket");
    for one in histogram.get_bucket() {
        let bound = one.upper_bound();
        // OpenMetrics writes bounds as floats.
        let bound = if open && bound.fract() == 0.0 { format!("{bound:.1}") } else { bound.to_string() };
        sample(out, &bucket, metric, Some(&bound), one.cumulative_count() as f64);
    }
    sample(out, &bucket, metric, Some("+Inf"), count as f64);
    sample(out, &format!("{name}_sum"), metric, None, histogram.get_sample_sum());
    sample(out, &format!("{name}_count"), metric, None, count as f64);
}

fn sample(out: &mut String, name: &str, metric: &Metric, bound: Option<&str>, value: f64) {
    out.push_str(name);
    // A label without a value is one that is not there.
    let labels = metric.get_label().iter().filter(|label| !label.value().is_empty());
    let labels = labels.map(|label: &LabelPair| (label.name(), label.value()));
    let mut before = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        let _ = write!(out, "{before}{name}=\"{}\"", escaped(value, true));
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {}", number(value));
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Figure, counter, gauge};

    #[test]
    fn who_asks_is_given_what_it_would_rather_have() {
        let check = |accept: &str, want: bool| {
            let value = HeaderValue::from_str(accept).unwrap();
            assert_eq!(wants_open_metrics([&value]), want, "{accept}");
        };
        check("", false);
        check("*/*", false);
        check("text/plain", false);
        check("application/openmetrics-text", true);
        check("application/openmetrics-text; version=1.0.0; charset=utf-8", true);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        check(prometheus, true);
        check("text/plain;q=0.9, application/openmetrics-text;q=0.5", false);
        check("application/openmetrics-text;q=0", false);
    }

    #[test]
    fn both_formats_say_the_same_in_their_own_words() {
        let labels = vec![("route", "a\"b\\c\nd".to_owned()), ("none", String::new())];
        let opts = prometheus::HistogramOpts::new("took_seconds", "It \"took\".").buckets(vec![0.5, 1.0]);
        let histogram = prometheus::Histogram::with_opts(opts).unwrap();
        for value in [0.25, 0.75, 3.0] {
            histogram.observe(value);
        }
        let mut families = prometheus::core::Collector::collect(&histogram);
        families.push(counter("asked_total", "Asked\nso often.", vec![Figure { labels, value: 3.0 }]));
        families.push(gauge("half", "H.", vec![Figure::alone(0.5)]));
        let plain = "# HELP took_seconds It \"took\".\n# TYPE took_seconds histogram\n\
            took_seconds_bucket{le=\"0.5\"} 1\ntook_seconds_bucket{le=\"1\"} 2\ntook_seconds_bucket{le=\"+Inf\"} 3\n\
            took_seconds_sum 4\ntook_seconds_count 3\n\
            # HELP asked_total Asked\\nso often.\n# TYPE asked_total counter\nasked_total{route=\"a\\\"b\\\\c\\nd\"} 3\n\
            # HELP half H.\n# TYPE half gauge\nhalf 0.5\n";
        assert_eq!(text(&families), plain);
        let open = plain
            .replace("It \"took\".", "It \\\"took\\\".")
            .replace("le=\"1\"", "le=\"1.0\"")
            .replace("# HELP asked_total", "# HELP asked")
            .replace("# TYPE asked_total", "# TYPE asked");
        assert_eq!(open_metrics(&families), format!("{open}# EOF\n"));
    }
}
