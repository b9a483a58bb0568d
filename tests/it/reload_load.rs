//! A thousand reloads under load: clients of each surface call all the time, streams of each kind stay open, and nothing
//! that they can see happens.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use prost::Message as _;
use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    client::{http1, http2, request, rest},
    gateway::{TestGateway, World},
    library::{PATIENCE, framed},
    reflecting::{FIRST, Reflecting, SECOND},
    streams::{Events, GrpcStream, Socket},
};

const RELOADS: usize = 1_000;
/// Of each kind: gRPC, server-sent events, WebSocket.
const STREAMS: usize = 25;
/// Of each surface.
const CLIENTS: usize = 2;
/// The most that the gateway may have grown over the last three quarters of the reloads, in percent.
const GROWTH: usize = 5;
const LONGEST: Duration = Duration::from_secs(500);
/// The longest that one call may take, and the longest that one may take on average, beside all else on a busy machine.
const LONGEST_CALL: Duration = Duration::from_secs(2);
const SLOWEST_RATE: Duration = Duration::from_millis(200);

#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(string, tag = "1")]
    name: String,
}

/// What is told of a run.
#[derive(Default)]
struct Board {
    done: AtomicBool,
    calls: AtomicUsize,
    /// Of each client that has ended: its surface, its calls, and the longest that one took.
    clients: Mutex<Vec<(&'static str, usize, Duration)>>,
    failures: Mutex<Vec<String>>,
    /// What each stream has had.
    delivered: Vec<AtomicUsize>,
}

impl Board {
    fn call(&self, surface: &str, went_well: Result<(), String>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = went_well {
            self.failures.lock().unwrap().push(format!("{surface}: {why}"));
        }
    }

    fn delivered(&self) -> Vec<usize> {
        self.delivered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// Calls by one surface until the end, one call after the other.
async fn client(surface: &'static str, gateway: SocketAddr, board: Arc<Board>) {
    let pen = Item { name: "pen".into() }.encode_to_vec();
    let (mut calls, mut longest) = (0, Duration::ZERO);
    while !board.done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let went_well = match surface {
            "REST" => {
                let outcome = rest(gateway, request(&Method::GET, "/v1/items/pen", &[], "")).await;
                let right = outcome.messages == [serde_json::json!({ "name": "pen" })];
                if right { Ok(()) } else { Err(format!("{outcome:?}")) }
            }
            "gRPC" => {
                let headers = [("content-type", "application/grpc"), ("te", "trailers")];
                let request = request(&Method::POST, "/shop.v1.Shop/Get", &headers, framed(&pen));
                let (head, (body, trailers)) = http2(gateway, request).await.into_parts();
                let right =
                    body == framed(&pen) && trailers.get("grpc-status").is_some_and(|code| code == "0");
                if right { Ok(()) } else { Err(format!("{head:?} {body:?} {trailers:?}")) }
            }
            _ => {
                let headers = [("content-type", "application/grpc-web+proto")];
                let request = request(&Method::POST, "/shop.v1.Shop/Get", &headers, framed(&pen));
                let (head, (body, _)) = http1(gateway, request).await.into_parts();
                let right = body.starts_with(&framed(&pen))
                    && String::from_utf8_lossy(&body).contains("grpc-status: 0");
                if right { Ok(()) } else { Err(format!("{head:?} {body:?}")) }
            }
        };
        (calls, longest) = (calls + 1, longest.max(begun.elapsed()));
        board.call(surface, went_well);
    }
    board.clients.lock().unwrap().push((surface, calls, longest));
}

/// Reads one stream until the end, each message checked.
async fn reader(at: usize, gateway: SocketAddr, board: Arc<Board>) {
    let count = || board.delivered[at].fetch_add(1, Ordering::Relaxed);
    let text = |message: String| assert_eq!(message, "{\"name\":\"tick\"}");
    match at % 3 {
        0 => {
            let mut stream = GrpcStream::start(gateway, "/shop.v1.Shop/Watch", &Item::default()).await;
            while !board.done.load(Ordering::Relaxed) {
                assert_eq!(stream.next::<Item>().await.name, "tick");
                count();
            }
        }
        1 => {
            let mut stream = Events::start(gateway, "/v1/watch").await;
            while !board.done.load(Ordering::Relaxed) {
                text(stream.next().await);
                count();
            }
        }
        _ => {
            let mut stream = Socket::start(gateway, "/v1/watch").await;
            while !board.done.load(Ordering::Relaxed) {
                text(stream.next().await);
                count();
            }
        }
    }
}

/// The gateway's memory in KiB.
fn memory(gateway: &TestGateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The generation that is served.
async fn generation(gateway: SocketAddr) -> usize {
    let info = rest(gateway, request(&Method::GET, "/gateway/info", &[], "")).await;
    usize::try_from(info.messages[0]["generation"].as_i64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load_and_nobody_notices() {
    let upstream = Arc::new(Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await);
    let passing = Reflecting::start(([127, 0, 0, 1], 0).into(), SECOND).await;
    let config = |round: usize| {
        let mut config = format!(
            "[gateway]\nworkers = 2\n[limits]\ntimeout = \"{}s\"\n[[upstreams]]\nname = \"shop\"\n\
             grpc = \"http://{}\"\nreflection_interval = \"1h\"\n",
            60 + round % 7,
            upstream.address
        );
        // An upstream that comes and goes, and one that is another each time.
        if round % 2 == 1 {
            config += &format!(
                "[[upstreams]]\nname = \"passing\"\ngrpc = \"http://{}\"\nservices = [\"other.v{round}.*\"]\n",
                passing.address
            );
        }
        config
    };
    let gateway = World::new().with_config(&config(0)).start();
    let address = gateway.address;
    let board = Arc::new(Board {
        delivered: (0..3 * STREAMS).map(|_| AtomicUsize::new(0)).collect(),
        ..Board::default()
    });
    let mut tasks = JoinSet::new();
    for at in 0..3 * STREAMS {
        tasks.spawn(reader(at, address, Arc::clone(&board)));
    }
    upstream.watched_by(3 * STREAMS).await;

    let (ticking, ended) = (Arc::clone(&upstream), Arc::clone(&board));
    // The last ticks let the readers see the end.
    let ticks = tokio::spawn(async move {
        while !ended.done.load(Ordering::Relaxed) || ticking.try_tick() {
            ticking.try_tick();
            sleep(Duration::from_millis(100)).await;
        }
    });
    for surface in ["REST", "gRPC", "gRPC-Web"] {
        for _ in 0..CLIENTS {
            tasks.spawn(client(surface, address, Arc::clone(&board)));
        }
    }
    let begun = Instant::now();
    let accepted = upstream.accepted();
    let mut warm = 0;
    for round in 1..=RELOADS {
        gateway.rewrite(&config(round));
        match round % 10 {
            // By the change of its file alone.
            0 => {}
            odd if odd % 2 == 1 => gateway.program.signal("HUP"),
            _ => {
                let outcome = rest(address, request(&Method::POST, "/admin/reload", &[], "")).await;
                assert_eq!(outcome.http, 200, "{outcome:?}");
            }
        }
        while generation(address).await < round + 1 {
            assert!(begun.elapsed() < LONGEST, "round {round}\n{}", gateway.program.output());
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(generation(address).await, round + 1, "each reload is one generation");
        if round == RELOADS / 4 {
            warm = memory(&gateway);
        }
    }
    let (took, memory) = (begun.elapsed(), memory(&gateway));
    let calls = board.calls.load(Ordering::Relaxed);
    // Every stream that was open at the start delivers still.
    let before = board.delivered();
    let late = Instant::now();
    while board.delivered().iter().zip(&before).any(|(now, before)| now <= before) {
        assert!(late.elapsed() < PATIENCE, "{before:?} {:?}", board.delivered());
        sleep(Duration::from_millis(20)).await;
    }
    board.done.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    ticks.await.unwrap();
    let failures = board.failures.lock().unwrap();
    assert!(failures.is_empty(), "{} of {calls} calls: {:#?}", failures.len(), &failures[..1]);
    // Each client was served all along: no call waited for a reload to be over, and none stood still between two.
    let clients = board.clients.lock().unwrap();
    assert_eq!(clients.len(), 3 * CLIENTS);
    let a_round = took / u32::try_from(RELOADS).unwrap();
    for (surface, calls, longest) in clients.iter() {
        assert!(*longest < LONGEST_CALL, "a call over {surface} took {longest:?}, a reload {a_round:?}");
        let least = usize::try_from(took.as_millis() / SLOWEST_RATE.as_millis()).unwrap();
        assert!(*calls >= least, "{calls} calls over {surface} in {took:?}");
    }
    assert!(memory <= warm + warm * GROWTH / 100, "from {warm} KiB to {memory} KiB");
    // One that nobody has used for a while is closed, and opened again when it is needed: once or twice, not a thousand times.
    let opened = upstream.accepted() - accepted;
    assert!(opened <= 2, "an upstream that stays keeps its connections, and {opened} were opened");
    println!(
        "{RELOADS} reloads in {took:.1?}: {calls} calls, {} stream messages, memory {warm} to {memory} KiB, {clients:?}",
        board.delivered().iter().sum::<usize>()
    );
}
