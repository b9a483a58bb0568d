//! `[otlp]`, `[traces]` and where `[metrics]` are sent, as meant.

use std::{path::PathBuf, time::Duration};

use http::{HeaderName, uri::PathAndQuery};

use super::{Address, Pair, Secret};
use crate::otlp::Trust;

/// Where telemetry of one kind is sent, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    pub address: Address,
    /// `None`: OTLP/gRPC; else OTLP/HTTP, at this path.
    pub path: Option<PathAndQuery>,
    /// Each value can be sent.
    pub headers: Vec<(HeaderName, Secret)>,
    pub timeout: Duration,
    pub gzip: bool,
    /// PEM file of the certificate authorities to trust, in place of the machine's own.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to it, where it asks for one.
    pub client: Option<Pair>,
}

/// Whose telemetry it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub service: String,
    /// Attributes that go before those which are known without.
    pub attributes: Vec<(String, String)>,
}

/// `[traces]`
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// `None`: there are none.
    pub collector: Option<Collector>,
    pub resource: Resource,
    /// The share of the traces that begin here which is recorded, from 0 to 1.
    pub sample: f64,
    /// The caller's word for whether it is recorded holds.
    pub by_parent: bool,
    pub trust: Trust,
    /// `traceparent` and `tracestate` are read and written.
    pub context: bool,
    pub baggage: bool,
    pub user_ids: bool,
    /// The most spans that wait to be sent.
    pub queue: usize,
    /// As many are sent at once.
    pub batch: usize,
    /// How long less than a batch waits.
    pub delay: Duration,
}

/// Where the numbers of `[metrics]` are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// `None`: nowhere.
    pub collector: Option<Collector>,
    pub resource: Resource,
    /// How often.
    pub interval: Duration,
}

impl Default for Push {
    fn default() -> Self {
        Self { collector: None, resource: Resource::default(), interval: Duration::from_secs(60) }
    }
}

impl Default for Resource {
    fn default() -> Self {
        Self { service: "propylon".to_owned(), attributes: Vec::new() }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            collector: None,
            resource: Resource::default(),
            sample: 0.1,
            by_parent: true,
            trust: Trust::Everyone,
            context: true,
            baggage: true,
            user_ids: false,
            queue: 8192,
            batch: 512,
            delay: Duration::from_secs(5),
        }
    }
}

/// How long a request may take where nothing is said.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, Environment, Sources};
    use super::*;

    fn traces(text: &str) -> Traces {
        Config::parse(text, Path::new("")).unwrap_or_else(|error| panic!("{error}")).traces
    }

    fn place(text: &str) -> String {
        let collector = traces(text).collector.unwrap();
        collector
            .path
            .map_or(format!("grpc {}", collector.address), |path| format!("{}{path}", collector.address))
    }

    #[test]
    fn an_endpoint_is_taken_for_what_it_looks_like() {
        let at = |endpoint: &str| place(&format!("[otlp]\nendpoint = \"{endpoint}\""));
        assert_eq!(at("http://c.example:4317"), "grpc http://c.example:4317");
        assert_eq!(at("https://c.example"), "grpc https://c.example:443");
        assert_eq!(at("http://c.example:4318"), "http://c.example:4318/v1/traces");
        assert_eq!(at("http://c.example:4318/"), "http://c.example:4318/v1/traces");
        assert_eq!(at("https://c.example/otlp"), "https://c.example:443/otlp/v1/traces");
        assert_eq!(at("https://c.example/otlp/"), "https://c.example:443/otlp/v1/traces");
        let http = "[otlp]\nendpoint = \"http://c:9\"\nprotocol = \"http/protobuf\"\n";
        assert_eq!(place(http), "http://c:9/v1/traces");
        // Its own is taken as it is.
        let own = |endpoint: &str| place(&format!("{http}[traces]\nendpoint = \"{endpoint}\""));
        assert_eq!(own("http://d:9/x"), "http://d:9/x");
        assert_eq!(own("http://d:9"), "http://d:9/");
        assert_eq!(place(&format!("{http}[traces]\nprotocol = \"grpc\"")), "grpc http://c:9");
    }

    #[test]
    fn there_are_none_without_an_endpoint_or_where_they_are_off() {
        assert_eq!(traces("[traces]\nsample = 1"), Traces { sample: 1.0, ..Traces::default() });
        let off = "[otlp]\nendpoint = \"http://c:4317\"\n[traces]\nenabled = false";
        assert_eq!(traces(off).collector, None);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, want: &str| {
            let error = Config::parse(text, Path::new("")).unwrap_err().to_string();
            assert!(error.contains(want), "{text}\n gave {error}");
        };
        check("[otlp]\nendpoint = \"c:4317\"", "it is http://HOST:PORT or https://HOST[:PORT]");
        check("[otlp]\nendpoint = \"http://c\"", "no port");
        check("[otlp]\nendpoint = \"http://u:hunter2@c:4317\"", "a user or a password");
        check("[otlp]\nendpoint = \"http://c:4317/x\"\nprotocol = \"grpc\"", "OTLP/gRPC has no path");
        check("[otlp]\nprotocol = \"http/json\"", "otlp.protocol");
        check("[otlp.headers]\nauthorization = \"Bearer x\"", "a credential is not written into the config");
        check("[traces]\nsample = 1.5", "from 0 to 1");
        check("[traces]\nsample = -0.1", "from 0 to 1");
        check("[traces]\nenabled = true", "no endpoint");
        check("[traces]\nbatch = 10\nqueue = 5", "more than wait at all");
        check("[traces]\npropagators = [\"b3\"]", "traces.propagators[0]");
        check("[otlp]\nheaders_from = \"a=b\"", "a credential is not written into the config");
    }

    #[test]
    fn numbers_are_sent_where_there_is_an_endpoint() {
        let push =
            |text: &str| Config::parse(text, Path::new("")).unwrap_or_else(|error| panic!("{error}")).push;
        let at = |text: &str| {
            let collector = push(text).collector?;
            Some((collector.address.to_string(), collector.path.map(|path| path.to_string())))
        };
        assert_eq!(at(""), None);
        let grpc = "[otlp]\nendpoint = \"http://c:4317\"\n";
        assert_eq!(at(grpc), Some(("http://c:4317".to_owned(), None)));
        assert_eq!(push(grpc).interval.as_secs(), 60);
        let http = "[otlp]\nendpoint = \"http://c:4318\"\nservice = \"edge\"\n[metrics]\ninterval = \"15s\"";
        assert_eq!(at(http), Some(("http://c:4318".to_owned(), Some("/v1/metrics".to_owned()))));
        assert_eq!((push(http).interval.as_secs(), &*push(http).resource.service), (15, "edge"));
        for off in ["push = false", "enabled = false"] {
            assert_eq!(at(&format!("{grpc}[metrics]\n{off}")), None, "{off}");
        }
        let own = "[metrics]\nendpoint = \"http://d:9/x\"\nprotocol = \"http/protobuf\"";
        assert_eq!(at(own), Some(("http://d:9".to_owned(), Some("/x".to_owned()))));
        for (text, want) in [
            ("[metrics]\npush = true", "no endpoint"),
            (
                "[otlp]\nendpoint = \"http://c:4317\"\n[metrics]\nenabled = false\npush = true",
                "no numbers are kept",
            ),
            ("[metrics]\ninterval = \"0s\"", "metrics.interval"),
        ] {
            let error = Config::parse(text, Path::new("")).unwrap_err().to_string();
            assert!(error.contains(want), "{text}\n gave {error}");
        }
    }

    #[test]
    fn opentelemetry_says_where_numbers_go() {
        let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        let of = |more: &[(&str, &str)]| environment(&[&[there][..], more].concat(), "").unwrap();
        assert_eq!(of(&[]).push.collector.unwrap().address.port, 4317);
        for name in ["none", "prometheus"] {
            let config = of(&[("OTEL_METRICS_EXPORTER", name)]);
            assert_eq!((config.push.collector, config.metrics.is_some()), (None, true), "{name}");
            assert!(config.traces.collector.is_some());
        }
        let both = of(&[("OTEL_METRICS_EXPORTER", "otlp, prometheus")]);
        assert!(both.push.collector.is_some());
        assert_eq!(of(&[("OTEL_SDK_DISABLED", "true")]).push.collector, None);
        let own = of(&[
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://d/x"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
            ("OTEL_METRIC_EXPORT_TIMEOUT", "700"),
        ])
        .push;
        assert_eq!(own.interval.as_secs(), 5);
        let own = own.collector.unwrap();
        assert_eq!((own.address.to_string().as_str(), own.path.unwrap().as_str()), ("https://d:443", "/x"));
        assert_eq!((own.timeout.as_millis(), own.headers.len()), (700, 1));
        let both =
            of(&[("OTEL_METRIC_EXPORT_TIMEOUT", "700"), ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "900")]);
        assert_eq!(both.push.collector.unwrap().timeout.as_millis(), 900);
    }

    fn environment(variables: &[(&str, &str)], text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("propylon.toml");
        std::fs::write(&file, text).unwrap();
        let environment: Environment = variables.iter().copied().collect();
        let sources = Sources { file: Some(file), environment, ..Sources::default() };
        sources.inspect().accept().map(|(config, _)| config).map_err(|error| error.to_string())
    }

    #[test]
    fn opentelemetrys_own_names_are_read() {
        let all = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x-team=edge"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_SERVICE_NAME", "edge"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,team=a%2Cb,deployment.environment.name=prod"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_PROPAGATORS", "tracecontext"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4096"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "256"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
        ];
        let traces = environment(&all, "").unwrap().traces;
        let collector = traces.collector.clone().unwrap();
        assert_eq!(collector.path.unwrap(), "/base/v1/traces");
        let headers: Vec<_> =
            collector.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(headers, [("api-key", "a b"), ("x-team", "edge")]);
        assert_eq!((collector.timeout.as_millis(), collector.gzip), (2500, true));
        assert_eq!(traces.resource.service, "edge");
        let want = [("deployment.environment.name", "prod"), ("team", "a,b")];
        assert_eq!(traces.resource.attributes, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((traces.sample, traces.by_parent), (0.25, false));
        assert_eq!((traces.context, traces.baggage), (true, false));
        assert_eq!((traces.queue, traces.batch, traces.delay.as_secs()), (4096, 256, 1));
    }

    #[test]
    fn samplers_are_read_by_their_names() {
        let check = |sampler: &str, arg: &str, want: (f64, bool)| {
            let names = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)];
            let traces = environment(&names, "[traces]\nsample = 0.5").unwrap().traces;
            assert_eq!((traces.sample, traces.by_parent), want, "{sampler} {arg}");
        };
        check("always_on", "0.3", (1.0, false));
        check("always_off", "", (0.0, false));
        check("traceidratio", "", (1.0, false));
        check("parentbased_always_on", "", (1.0, true));
        check("parentbased_always_off", "", (0.0, true));
        check("parentbased_traceidratio", "0.01", (0.01, true));
        check("", "0.01", (0.5, true));
        let refused = |sampler, arg| {
            environment(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)], "")
                .unwrap_err()
        };
        assert!(refused("jaeger_remote", "").contains("OTEL_TRACES_SAMPLER"));
        assert!(refused("traceidratio", "2").contains("from 0 to 1"));
    }

    #[test]
    fn opentelemetry_can_be_off_and_elsewhere_for_traces() {
        let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        let of =
            |more: &[(&str, &str)]| environment(&[&[there][..], more].concat(), "").unwrap().traces.collector;
        assert_eq!(of(&[]).unwrap().address.port, 4317);
        assert_eq!(of(&[("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(of(&[("OTEL_TRACES_EXPORTER", "none")]), None);
        let own = of(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://d/x"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "700"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b"),
        ])
        .unwrap();
        assert_eq!((own.address.to_string().as_str(), own.path.unwrap().as_str()), ("https://d:443", "/x"));
        assert_eq!((own.timeout.as_millis(), own.headers.len()), (700, 1));
        // Without a scheme it is what OTEL_EXPORTER_OTLP_INSECURE says.
        let bare = |insecure| {
            let names =
                [("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", insecure)];
            environment(&names, "").unwrap().traces.collector.unwrap().address.to_string()
        };
        assert_eq!((bare("true"), bare("")), ("http://c:4317".to_owned(), "https://c:4317".to_owned()));
    }
}
