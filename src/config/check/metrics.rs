//! `[metrics]`

use super::{
    Check,
    otlp::{Otlp, Own},
};
use crate::{
    config::{
        Push,
        settings::{self, Info},
    },
    telemetry::{Names, Settings},
};

impl Check<'_> {
    /// Which there are, `None` where they are switched off, and where they are sent.
    pub(super) fn metrics(&mut self, written: settings::Metrics, otlp: &Otlp) -> (Option<Settings>, Push) {
        let enabled = written.enabled.unwrap_or(true);
        let own = Own {
            section: "metrics",
            suffix: "/v1/metrics",
            endpoint: written.endpoint,
            protocol: written.protocol,
            headers: (written.headers, written.headers_from),
            timeout: written.timeout,
        };
        let collector = self.collector(own, otlp).filter(|_| written.push != Some(false));
        match written.push {
            Some(true) if !enabled => {
                let message = "no numbers are kept that could be sent: metrics.enabled is false";
                self.found.add("metrics.push", message);
            }
            Some(true)
                if collector.is_none() && !self.found.below("otlp") && !self.found.below("metrics") =>
            {
                let message =
                    "there is no endpoint to send them to: otlp.endpoint, or metrics.endpoint, says where";
                self.found.add("metrics.push", message);
            }
            _ => {}
        }
        let push = Push {
            collector: collector.filter(|_| enabled),
            resource: otlp.resource.clone(),
            interval: self.time("metrics.interval", written.interval, Push::default().interval),
        };
        let default = Settings::default();
        let buckets = written.buckets.unwrap_or(default.buckets);
        let ascending = buckets.windows(2).all(|pair| matches!(pair, [one, next] if one < next));
        if !ascending || buckets.iter().any(|bound| !bound.is_finite() || *bound <= 0.0) {
            self.found.add(
                "metrics.buckets",
                "the bounds are seconds above 0, each greater than the one before it",
            );
        }
        let settings = Settings {
            names: match written.names {
                None => default.names,
                Some(settings::Names::Semantic) => Names::Semantic,
                Some(settings::Names::GatewayHttp) => Names::GatewayHttp,
                Some(settings::Names::Gateway) => Names::Gateway,
            },
            buckets,
            max_routes: written.max_routes.unwrap_or(default.max_routes),
            max_series: written.max_series.unwrap_or(default.max_series),
            info: written.info.map(|info| self.info(info)),
        };
        (enabled.then_some(settings), push)
    }

    fn info(&mut self, Info { name, labels }: Info) -> (String, Vec<(String, String)>) {
        if !is_name(&name, true) {
            let message = format!("{name:?} is no metric's name: letters, digits, _ and :, no digit first");
            self.found.add("metrics.info.name", message);
        }
        for label in labels.keys().filter(|label| !is_name(label, false) || label.starts_with("__")) {
            let message = format!("{label:?} is no label's name: letters, digits and _, no digit first");
            self.found.add("metrics.info.labels", message);
        }
        (name, labels.into_iter().collect())
    }
}

/// Prometheus, data model
fn is_name(text: &str, colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    text.chars().all(fits) && text.chars().next().is_some_and(|first| !first.is_ascii_digit())
}
