//! The gateway's numbers as a collector is sent them: the same as those of the page, however the collector is.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Method;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, metric::Data, number_data_point::Value,
};

use super::{exposition::Scrape, metrics};
use crate::support::{
    client::{http1, request},
    collector::{Collector, Mood, Real, text},
    gateway::{TestGateway, World},
    servers::free_port,
};

const HTTP: &str = "http.server.request.duration";
const SOON: Duration = Duration::from_secs(60);

fn sent(endpoint: SocketAddr, protocol: &str) -> String {
    format!(
        "[otlp]\nendpoint = \"http://{endpoint}\"\nprotocol = \"{protocol}\"\nservice = \"edge\"\nheaders = {{ \"x-team\" = \"a\" }}\n\
         [traces]\nenabled = false\n[metrics]\ninterval = \"200ms\"\n"
    )
}

async fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < SOON, "never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The newest that it was sent.
fn last(collector: &Collector) -> Vec<Metric> {
    let Some((service, all)) = collector.numbers().pop() else { return Vec::new() };
    assert_eq!(service, "edge");
    all
}

fn find(all: &[Metric], name: &str) -> Option<Data> {
    all.iter().find(|one| one.name == name)?.data.clone()
}

fn histogram(all: &[Metric], name: &str) -> Vec<HistogramDataPoint> {
    match find(all, name) {
        Some(Data::Histogram(histogram)) => {
            assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
            histogram.data_points
        }
        None => Vec::new(),
        other => panic!("{name}: {other:?}"),
    }
}

fn count(all: &[Metric], name: &str) -> u64 {
    histogram(all, name).iter().map(|point| point.count).sum()
}

/// The same numbers by both writers, of calls of all kinds.
async fn agrees(gateway: &TestGateway, collector: &Collector) {
    metrics::calls(gateway).await;
    until(|| count(&last(collector), HTTP) == 11).await;
    // Before the scrape, which is a request itself.
    let all = last(collector);
    let scrape = Scrape::of(gateway, "").await;
    assert_eq!(count(&all, "rpc.server.call.duration"), 6);
    for point in histogram(&all, HTTP) {
        let of = |name: &str| text(&point.attributes, name).unwrap_or_default();
        let labels = format!(
            "http_route=\"{}\",http_request_method=\"{}\",http_response_status_code=\"{}\",propylon_surface=\"{}\"",
            of("http.route"),
            of("http.request.method"),
            of("http.response.status_code"),
            of("propylon.surface"),
        );
        let shown = scrape.sum("http_server_request_duration_seconds_count", &labels);
        assert_eq!(shown, Some(point.count as f64), "{labels}");
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    }
    let Some(Data::Sum(requests)) = find(&all, "propylon.upstream_requests") else { panic!("{all:#?}") };
    assert!(requests.is_monotonic);
    let answered = requests.data_points.iter().find(|point| {
        text(&point.attributes, "upstream").as_deref() == Some("library")
            && text(&point.attributes, "result").as_deref() == Some("answered")
    });
    assert_eq!(answered.unwrap().value, Some(Value::AsDouble(9.0)));
    // What the page asks for when it is scraped is asked for here too.
    for name in
        ["propylon.upstream_endpoints", "propylon.store_up", "propylon.config_generation", "process.cpu.time"]
    {
        assert!(find(&all, name).is_some(), "no {name}");
    }
    assert_eq!(collector.headers()["x-team"], "a");
}

#[tokio::test]
async fn a_collector_is_sent_what_the_page_shows() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start().await;
        let endpoint = if protocol == "grpc" { collector.grpc } else { collector.http };
        agrees(&metrics::start(&sent(endpoint, protocol)).await, &collector).await;
    }
}

#[tokio::test]
async fn a_real_collector_takes_them() {
    let collector = Collector::start().await;
    let Some(real) = Real::start(&collector) else { return };
    let gateway = metrics::start(&sent(real.grpc, "grpc")).await;
    metrics::calls(&gateway).await;
    until(|| count(&last(&collector), HTTP) == 11).await;
    let gateway = metrics::start(&sent(real.http, "http/protobuf")).await;
    metrics::calls(&gateway).await;
    let before = collector.numbers().len();
    until(|| collector.numbers().len() > before && count(&last(&collector), HTTP) == 11).await;
}

#[tokio::test]
async fn a_collector_that_does_not_take_them_is_told_of_once_and_gets_all_later() {
    let lines = |gateway: &TestGateway, words: &str| {
        gateway.program.output().lines().filter(|line| line.contains(words)).count()
    };
    let (port, http) = (free_port(), free_port());
    let gateway = metrics::start(&sent(([127, 0, 0, 1], port).into(), "grpc")).await;
    metrics::calls(&gateway).await;
    until(|| lines(&gateway, "metrics cannot be sent to") == 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let collector = Collector::start_at(port, http).await;
    // They are sums: nothing of them is lost.
    until(|| count(&last(&collector), HTTP) == 11).await;
    until(|| lines(&gateway, "metrics are sent to") == 1).await;
    collector.is_in(Mood::Refuses);
    let asked = collector.requests();
    until(|| collector.requests() > asked + 2).await;
    assert_eq!(lines(&gateway, "metrics cannot be sent to"), 2, "{}", gateway.program.output());
}

// The end of a program is waited for on a thread of its own: the collector is this one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_numbers_are_sent_at_the_end() {
    let collector = Collector::start().await;
    let config = sent(collector.grpc, "grpc").replace("200ms", "10m");
    let mut gateway = World::new().with_config(&config).start();
    http1(gateway.address, request(&Method::GET, "/livez", &[], "")).await;
    assert!(collector.numbers().is_empty());
    gateway.program.signal("TERM");
    assert_eq!(gateway.program.exit_code(SOON).unwrap(), 0);
    assert_eq!((collector.numbers().len(), count(&last(&collector), HTTP)), (1, 1));
}
