//! A collector that is away, slow or refuses what it is sent: calls go on as if it were there, memory stays bounded, and the log
//! says it once. And what is told last, when the gateway stops.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

use super::{Begun, traced};
use crate::support::{
    client::{request, rest},
    collector::{Collector, Mood},
    gateway::{TestGateway, World},
    servers::free_port,
    tools::setting,
};

/// How long calls come, and how many a second, unless somebody wants a minute of 2,000 (`scripts/outage`).
fn load() -> (Duration, u32) {
    let number = |name: &str, usual: u32| setting(name).map_or(usual, |text| text.parse().unwrap());
    (Duration::from_secs(number("PROPYLON_OUTAGE_SECONDS", 4).into()), number("PROPYLON_OUTAGE_RATE", 200))
}

const CLIENTS: u32 = 20;
/// The most that the gateway may grow, in KiB: all that waits to be sent, and what the allocator keeps of it.
const MOST_GROWTH: usize = 24 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls at a rate, each of them well; how many there were, and the longest.
async fn calls(gateway: SocketAddr, time: Duration, rate: u32) -> (u32, Duration) {
    let mut clients = JoinSet::new();
    let pause = Duration::from_secs(1) * CLIENTS / rate;
    for number in 0..CLIENTS {
        clients.spawn(async move {
            let stream = TcpStream::connect(gateway).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut turns =
                tokio::time::interval_at(tokio::time::Instant::now() + pause * number / CLIENTS, pause);
            let (begun, mut count, mut longest) = (Instant::now(), 0, Duration::ZERO);
            while begun.elapsed() < time {
                turns.tick().await;
                let asked = request(&Method::GET, "/hello", &[("host", "test")], "").map(Full::new);
                let at = Instant::now();
                let response = sender.send_request(asked).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                (count, longest) = (count + 1, longest.max(at.elapsed()));
            }
            (count, longest)
        });
    }
    let all = clients.join_all().await;
    all.into_iter()
        .fold((0, Duration::ZERO), |(sum, most), (count, longest)| (sum + count, most.max(longest)))
}

fn memory_kib(gateway: &TestGateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn lines(gateway: &TestGateway, words: &str) -> usize {
    gateway.program.output().lines().filter(|line| line.contains(words)).count()
}

const HELLO: &str = "[[routes]]\npath = \"/hello\"\nrespond = { body = \"hi\" }\n[log]\nrequests = false\n[rate_limits]\nenabled = false\n";
/// What is told of one that does not take what it is sent.
const AWAY: &str = "cannot be sent to";
const SLOW: &str = "takes traces more slowly than they come";
const AGAIN: &str = "traces are sent to";

fn gateway(collector: SocketAddr) -> TestGateway {
    // Small enough for seconds to fill it.
    let more = "queue = 512\nbatch = 128\n[otlp.headers]\nx-a = \"1\"\n[metrics]\ninterval = \"1s\"\n";
    traced(World::new().with_config(HELLO), "edge", collector, "grpc", more)
}

/// Calls while the collector is as it is; each goes well, and the gateway does not grow.
async fn unaffected(what: &str, gateway: &TestGateway) {
    let (time, rate) = load();
    calls(gateway.address, Duration::from_secs(1), rate).await;
    let before = memory_kib(gateway);
    let (count, longest) = calls(gateway.address, time, rate).await;
    let after = memory_kib(gateway);
    eprintln!(
        "{what}: {count} calls in {time:?}, the longest took {longest:?}; {before} KiB before, {after} after"
    );
    let wanted = rate * u32::try_from(time.as_secs()).unwrap();
    assert!(count >= wanted / 10 * 9, "{what}: {count} calls alone, and {wanted} were to come");
    assert!(after < before + MOST_GROWTH, "{what}: {before} KiB, then {after}");
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_once_and_missed_by_nobody() {
    let (port, http) = (free_port(), free_port());
    let gateway = gateway(([127, 0, 0, 1], port).into());
    unaffected("away", &gateway).await;
    assert_eq!(lines(&gateway, AWAY), 1, "{}", gateway.program.output());
    // It comes, and is sent what has waited.
    let collector = Collector::start_at(port, http).await;
    until("it is sent what has waited", || !collector.got().is_empty()).await;
    until("the end of it is told", || {
        let asked = std::net::TcpStream::connect(gateway.address);
        drop(asked);
        lines(&gateway, AGAIN) == 1
    })
    .await;
    assert_eq!(lines(&gateway, AWAY), 1, "{}", gateway.program.output());
    assert!(gateway.program.output().contains("\"lost\":"), "{}", gateway.program.output());
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_of_once() {
    for (mood, why) in [(Mood::Refuses, "not now"), (Mood::RefusesForGood, "never")] {
        let collector = Collector::start().await;
        collector.is_in(mood);
        let gateway = gateway(collector.grpc);
        unaffected(why, &gateway).await;
        let output = gateway.program.output();
        assert_eq!(lines(&gateway, AWAY), 1, "{output}");
        assert!(output.contains(why), "{output}");
        collector.is_in(Mood::Takes);
        let begun = Begun::new(true);
        let asked = request(&Method::GET, "/hello", &[("traceparent", &begun.header)], "");
        until("there is room again", || !collector.got().is_empty()).await;
        rest(gateway.address, asked).await;
        collector.trace(&begun.id, 2).await;
    }
}

#[tokio::test]
async fn a_collector_that_is_slow_gets_what_it_can_take() {
    let collector = Collector::start().await;
    collector.is_in(Mood::Slow(Duration::from_millis(800)));
    let gateway = gateway(collector.grpc);
    unaffected("slow", &gateway).await;
    until("it takes some", || !collector.got().is_empty()).await;
    assert_eq!((lines(&gateway, SLOW), lines(&gateway, AWAY)), (1, 0), "{}", gateway.program.output());
}

// The end of a program is waited for on a thread of its own: the collector is this one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_last_is_sent_before_the_end() {
    let collector = Collector::start().await;
    // Nothing but the end makes it send so little.
    let more = "queue = 8192\nbatch = 512\n";
    let mut gateway = World::new()
        .with_config(HELLO)
        .with_config(&format!(
            "[otlp]\nendpoint = \"http://{}\"\n[traces]\nsample = 1\ndelay = \"10m\"\n{more}",
            collector.grpc
        ))
        .start();
    let begun = Begun::new(true);
    rest(gateway.address, request(&Method::GET, "/hello", &[("traceparent", &begun.header)], "")).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!((collector.got().len(), collector.requests()), (0, 0));
    gateway.program.signal("TERM");
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    assert_eq!(collector.trace(&begun.id, 2).await.len(), 2);
}

#[tokio::test]
async fn a_collector_that_is_away_holds_up_no_end() {
    let mut gateway = gateway(([127, 0, 0, 1], free_port()).into());
    rest(gateway.address, request(&Method::GET, "/hello", &[], "")).await;
    gateway.program.signal("TERM");
    let asked = Instant::now();
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}
