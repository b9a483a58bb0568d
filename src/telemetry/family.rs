//! Families of figures that somebody keeps elsewhere.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// One value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Figure {
    #[must_use]
    pub fn alone(value: f64) -> Self {
        Self { labels: Vec::new(), value }
    }
}

/// A family of what only grows; its name ends with `_total`.
#[must_use]
pub fn counter(name: &str, help: &str, figures: Vec<Figure>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, figures, |metric, value| {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    })
}

/// A family of what goes up and down.
#[must_use]
pub fn gauge(name: &str, help: &str, figures: Vec<Figure>) -> MetricFamily {
    family(name, help, MetricType::GAUGE, figures, |metric, value| {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    })
}

fn family(
    name: &str,
    help: &str,
    kind: MetricType,
    figures: Vec<Figure>,
    set: impl Fn(&mut Metric, f64),
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    let metrics = figures.into_iter().map(|Figure { labels, value }| {
        let labels = labels.into_iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(labels.collect());
        set(&mut metric, value);
        metric
    });
    family.set_metric(metrics.collect());
    family
}
