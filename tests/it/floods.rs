//! Floods: what a client can send faster than it can be of any use, in raw frames, and what clients that are slow on
//! purpose do by the thousand. Another client's calls go on as before, and the gateway's memory does not grow.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use http::Method;
use socket2::{Domain, Socket, Type};

use crate::support::{
    client::{http1, request},
    gateway::{TestGateway, World},
    library::{self, PATIENCE},
    process::Program,
    raw::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
        RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame, head,
    },
    tools::needs,
};

/// What a flood may cost another client beyond twice what its calls take without: a tick of the system's scheduler, by which a
/// call can wait on any machine that has more to run than processors.
const SLACK: Duration = Duration::from_millis(1);
/// Calls whose 99th percentile is looked at.
const CALLS: usize = 200;
/// How often a flood is measured: what is promised holds most of those times. Other programs of the machine disturb some.
const ROUNDS: usize = 5;
/// The most that the gateway's memory may grow by while it is flooded, in KiB.
const GROWTH: usize = 8 << 10;
/// The most that one connection may take of the gateway's memory that sends or reads slowly, whatever it asked for, in KiB.
const OF_A_CONNECTION: usize = 48;

/// A client that goes on with its calls, one after the other on a connection of its own, and notes how long each takes.
struct Bystander {
    stream: std::net::TcpStream,
}

impl Bystander {
    fn connect(gateway: SocketAddr) -> Self {
        Self::connect_from(gateway, Ipv4Addr::LOCALHOST)
    }

    fn connect_from(gateway: SocketAddr, from: Ipv4Addr) -> Self {
        let stream = connect_from(gateway, from).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    fn call(&mut self) -> Duration {
        let begun = Instant::now();
        self.stream.write_all(b"GET /ping HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        let (mut answer, mut chunk) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"}") {
            let read = match self.stream.read(&mut chunk) {
                // A signal to the process, which is about something else.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.unwrap(),
            };
            assert!(read > 0, "the connection of a client that does nothing wrong was closed");
            answer.extend_from_slice(&chunk[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        begun.elapsed()
    }

    /// The 99th percentile of the calls, a few milliseconds apart.
    fn p99(&mut self) -> Duration {
        let mut times: Vec<Duration> = (0..CALLS)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(3));
                self.call()
            })
            .collect();
        times.sort_unstable();
        times[CALLS * 99 / 100 - 1]
    }
}

/// Connects from one of the machine's loopback addresses.
fn connect_from(gateway: SocketAddr, from: Ipv4Addr) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&gateway.into())?;
    Ok(socket.into())
}

/// Sends the same bytes on connection after connection, as fast as they go, until stopped. It reads nothing until a
/// connection has been closed to it.
struct Flooder {
    stop: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Flooder {
    fn start(gateway: SocketAddr, from: Ipv4Addr, first: Vec<u8>, again: Vec<u8>) -> Self {
        let (stop, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&connections));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok(mut stream) = connect_from(gateway, from) else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                let mut sent = stream.write_all(&first);
                while sent.is_ok() && !again.is_empty() && !stopped.load(Ordering::Relaxed) {
                    sent = stream.write_all(&again);
                }
                // More connections at once would be another flood, for the caps to end.
                let mut scrap = [0; 16 << 10];
                while !stopped.load(Ordering::Relaxed) && !ended(stream.read(&mut scrap)) {}
            }
        });
        Self { stop, connections, thread: Some(thread) }
    }

    /// Ends it; how many connections it took.
    fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How long each of the gateway's threads ran so far, and how long it waited for a processor, as the system counts it.
fn ran_and_waited(gateway: &TestGateway) -> HashMap<OsString, (u64, u64)> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", gateway.program.id())).unwrap();
    let of = |thread: std::fs::DirEntry| {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let mut times = times.split_whitespace().map(|time| time.parse().unwrap_or(0));
        (thread.file_name(), (times.next().unwrap_or(0), times.next().unwrap_or(0)))
    };
    threads.map(|thread| of(thread.unwrap())).collect()
}

/// How many times longer the gateway's work took than it would have on a machine with nothing else to do.
fn strain(before: &HashMap<OsString, (u64, u64)>, after: &HashMap<OsString, (u64, u64)>) -> f64 {
    // Of a thread that has ended meanwhile nothing is known.
    let (ran, waited) = after.iter().fold((1, 0), |all, (thread, now)| {
        let then = before.get(thread).copied().unwrap_or_default();
        (all.0 + now.0.saturating_sub(then.0), all.1 + now.1.saturating_sub(then.1))
    });
    (ran + waited) as f64 / ran as f64
}

/// Whether a read says that the connection is gone.
fn ended(read: std::io::Result<usize>) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    read.map_or_else(|error| !matches!(error.kind(), Interrupted | TimedOut | WouldBlock), |bytes| bytes == 0)
}

/// The process's resident memory in KiB.
fn memory(gateway: &TestGateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What each flood sends: once, and then again and again.
fn floods() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let ping = head("GET", "/ping", &[]);
    let post =
        head("POST", "/propylon.gateway.v1.HealthService/Ping", &[("content-type", "application/grpc")]);
    let many = |piece: &[u8]| piece.repeat(64 * 1024 / piece.len());
    let resets: Vec<u8> = (0..20_000)
        .flat_map(|n| {
            let stream = 2 * n + 1;
            [
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &ping),
                frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()),
            ]
            .concat()
        })
        .collect();
    let upload = [begin.clone(), frame(HEADERS, END_HEADERS, 1, &post)].concat();
    let endless = [begin.clone(), frame(HEADERS, 0, 1, &ping)].concat();
    let header = [&[0, 7][..], b"x-flood", &[100], &[b'x'; 100]].concat();
    vec![
        ("rapid reset", [begin.clone(), resets].concat(), vec![]),
        ("CONTINUATION", endless.clone(), many(&frame(CONTINUATION, 0, 1, &header))),
        ("empty CONTINUATION", endless, many(&frame(CONTINUATION, 0, 1, &[]))),
        ("empty DATA", upload, many(&frame(DATA, 0, 1, &[]))),
        ("PING", begin.clone(), many(&frame(PING, 0, 0, &[7; 8]))),
        ("PING answers", begin.clone(), many(&frame(PING, ACK, 0, &[7; 8]))),
        ("SETTINGS", begin.clone(), many(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]))),
        ("WINDOW_UPDATE", begin.clone(), many(&frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()))),
        ("PRIORITY", begin.clone(), many(&frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16]))),
        ("unknown frames", begin, many(&frame(0x55, 0, 0, &[]))),
    ]
}

/// Measures one flood, and whether what is promised holds. What is compared is one client's calls over one connection, right
/// before the flood and while two clients flood as fast as they are let, from an address that has never flooded before and
/// that is also the calling client's. The flooders are threads beside it: nothing is taken off for what they cost the machine.
///
/// One measurement holds where it is within twice what the calls took without; that is what they took right before or, if it
/// is more, what they `usually` did, and longer by as much as the machine kept the gateway's own work waiting for longer. Most
/// measurements must hold.
fn flooded(
    gateway: &TestGateway,
    from: Ipv4Addr,
    (first, again): (&[u8], &[u8]),
    usually: &mut Vec<Duration>,
) -> (bool, Vec<String>) {
    let (mut said, mut held, mut failed) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        let [a, b, _, d] = from.octets();
        let from = Ipv4Addr::new(a, b, u8::try_from(round).unwrap(), d);
        let mut bystander = Bystander::connect_from(gateway.address, from);
        let begun = ran_and_waited(gateway);
        let without = bystander.p99();
        let (before, times) = (memory(gateway), ran_and_waited(gateway));
        let flooders =
            [(); 2].map(|()| Flooder::start(gateway.address, from, first.to_vec(), again.to_vec()));
        let with = bystander.p99();
        let connections: usize = flooders.into_iter().map(Flooder::stop).sum();
        let strain = (strain(&times, &ran_and_waited(gateway)) / strain(&begun, &times)).max(1.0);
        let grown = memory(gateway).saturating_sub(before);
        said.push(format!(
            "p99 {with:?} (without {without:?}, {strain:.1} times the strain), {connections} connections, {grown} KiB more"
        ));
        assert!(connections > 2, "it was never ended: {}", said.join("; "));
        assert!(grown <= GROWTH, "the most is {GROWTH} KiB: {}", said.join("; "));
        usually.push(without);
        usually.sort_unstable();
        let without = without.max(usually[usually.len() / 2]);
        if with <= (without * 2 + SLACK).mul_f64(strain) {
            held += 1;
        } else {
            failed += 1;
        }
        if held.max(failed) > ROUNDS / 2 {
            break;
        }
    }
    (held > failed, said)
}

#[test]
fn a_flood_of_frames_is_nobody_elses_concern() {
    // One worker, so that the flood and the bystander share it.
    let gateway = World::new().with_config("[gateway]\nworkers = 1").start();
    let mut bystander = Bystander::connect(gateway.address);
    let mut usually = vec![bystander.p99()];
    let before = memory(&gateway);
    let mut floods_said = Vec::new();
    let mut held = true;
    for (flood, (name, first, again)) in (1..).zip(floods()) {
        let from = Ipv4Addr::new(127, 1, 0, flood);
        let (holds, said) = flooded(&gateway, from, (&first, &again), &mut usually);
        floods_said.push(format!("{name}: {}", said.join("; ")));
        held &= holds;
    }
    let said = floods_said.join("\n");
    assert!(held, "{said}");
    let grown = memory(&gateway).saturating_sub(before);
    assert!(grown <= GROWTH, "{grown} KiB more after all floods; the most is {GROWTH}\n{said}");
    println!("{said}\nafter all floods {grown} KiB more");
    // A line a second at most, of each kind.
    let lines = gateway.program.output().lines().filter(|line| line.contains("a flood of")).count();
    assert!((1..60).contains(&lines), "{lines} lines of the log about floods");
}

/// How long a new connection from an address takes to have its first call answered.
fn first_call(gateway: &TestGateway, from: Ipv4Addr) -> Duration {
    let begun = Instant::now();
    Bystander::connect_from(gateway.address, from).call();
    begun.elapsed()
}

#[test]
fn who_has_flooded_waits_and_nobody_else() {
    let check = |config: &str, waits: (u64, u64)| {
        let gateway = World::new().with_config(config).start();
        let from = Ipv4Addr::new(127, 2, 0, 1);
        let mut bystander = Bystander::connect_from(gateway.address, from);
        let pings =
            [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(PING, 0, 0, &[7; 8]).repeat(20_000)].concat();
        let flooder = Flooder::start(gateway.address, from, pings, vec![]);
        std::thread::sleep(Duration::from_millis(500));
        assert!(flooder.stop() > 1);
        // Who shares the flooder's address waits as long as a connection may, and in none that it has.
        let waited = first_call(&gateway, from);
        let (least, most) = (Duration::from_millis(waits.0), Duration::from_millis(waits.1));
        assert!((least..most).contains(&waited), "{config}: {waited:?}");
        assert!(bystander.call() < Duration::from_millis(200));
        assert!(first_call(&gateway, Ipv4Addr::LOCALHOST) < Duration::from_millis(200));
    };
    check("[connections]\nflood_wait = \"800ms\"", (100, 1_300));
    check("[connections]\nflood_wait = \"0s\"", (0, 200));
}

/// Runs slowhttptest with so many connections; what it printed. `how` says what is slow.
fn slow(tool: &Path, gateway: SocketAddr, path: &str, how: &[&str]) -> String {
    let mut command = Command::new(tool);
    let url = format!("http://{gateway}{path}");
    command.args(["-c", "1000", "-r", "500", "-l", "10", "-i", "1", "-u", &url]).args(how);
    Program::start("slowhttptest", &mut command).unwrap().finish(PATIENCE * 3).unwrap()
}

/// The path of a file of the gateway's own that is far longer than what a socket holds; it has been read once.
async fn a_long_file(gateway: SocketAddr) -> String {
    let get = async |path: &str| http1(gateway, request(&Method::GET, path, &[], "")).await.into_body().0;
    let page = String::from_utf8(get("/docs").await.to_vec()).unwrap();
    let path = page.split('"').find(|text| text.starts_with("/docs/swagger-ui-") && text.ends_with(".js"));
    let path = path.unwrap().to_owned();
    assert!(get(&path).await.len() > 1 << 20);
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_clients_of_each_kind_are_nobody_elses_concern() {
    let Some(tool) = needs("slowhttptest") else { return };
    // No cap and no limit of open files helps here.
    let gateway = World::with_library(library::start().await)
        .with_config("[connections]\nmax_per_address = 10000\nheader_timeout = \"3s\"\nbody_timeout = \"3s\"")
        .with_config("write_timeout = \"3s\"\nidle_timeout = \"5s\"")
        .start();
    let file = a_long_file(gateway.address).await;
    let mut bystander = Bystander::connect(gateway.address);
    bystander.call();
    let before = memory(&gateway);
    let attacks = [
        ("/ping", &["-H", "-t", "GET", "-x", "24"][..]),
        ("/v1/shelves/7/books", &["-B", "-t", "POST", "-f", "application/json", "-s", "8192", "-x", "10"]),
        // So that most of what is answered waits in the gateway.
        (&file, &["-X", "-w", "1", "-y", "16", "-n", "1", "-z", "8", "-k", "10"]),
    ];
    let attacks: Vec<_> = attacks
        .into_iter()
        .map(|(path, how)| {
            let (tool, address, path) = (tool.clone(), gateway.address, path.to_owned());
            std::thread::spawn(move || slow(&tool, address, &path, how))
        })
        .collect();
    let (mut calls, mut slowest, mut most, mut grown) = (0_u32, Duration::ZERO, 0, 0);
    let begun_all = Instant::now();
    let mut slowest_new = Duration::ZERO;
    let times = ran_and_waited(&gateway);
    while !attacks.iter().all(JoinHandle::is_finished) {
        std::thread::sleep(Duration::from_millis(10));
        slowest = slowest.max(bystander.call());
        // Who comes only now is served too.
        let begun = Instant::now();
        Bystander::connect(gateway.address).call();
        slowest_new = slowest_new.max(begun.elapsed());
        calls += 1;
        let files = std::fs::read_dir(format!("/proc/{}/fd", gateway.program.id())).unwrap().count();
        most = most.max(files);
        grown = grown.max(memory(&gateway).saturating_sub(before));
    }
    let strain = strain(&times, &ran_and_waited(&gateway));
    println!(
        "{calls} calls beside {most} open files and {grown} KiB more, the slowest {slowest:?}, of new connections {slowest_new:?}, work takes {strain:.1} times its time"
    );
    assert!(most > 500, "{most} open files are no attack");
    assert!(grown <= most * OF_A_CONNECTION, "{grown} KiB more for {most} connections");
    // From the first to the last second of the attacks, one round after the other: none failed, or this had ended.
    let a_round = begun_all.elapsed() / calls.max(1);
    assert!(
        a_round < Duration::from_millis(250).mul_f64(strain),
        "{calls} rounds in {:?}, each {a_round:?}",
        begun_all.elapsed()
    );
    assert!(
        slowest < Duration::from_secs(2).mul_f64(strain),
        "the slowest of {calls} calls took {slowest:?}"
    );
    assert!(
        slowest_new < Duration::from_secs(2).mul_f64(strain),
        "the slowest of {calls} new connections took {slowest_new:?}"
    );
    for attack in attacks {
        let said = attack.join().unwrap();
        assert!(said.contains("Test ended on"), "{said}");
    }
}

#[tokio::test]
async fn a_client_that_floods_is_told_to_calm_down() {
    let gateway = World::new().start();
    let mut raw = Raw::connect(gateway.address, &[]).await;
    assert!(raw.send(&frame(PING, 0, 0, &[7; 8]).repeat(10_000)).await);
    let mut answers = 0;
    let end = loop {
        match raw.next(PATIENCE).await {
            Some(answer) if answer.kind == PING => answers += 1,
            Some(end) if end.kind == GOAWAY => break end,
            Some(_) => {}
            None => panic!("no GOAWAY after {answers} answers"),
        }
    };
    // ENHANCE_YOUR_CALM
    assert_eq!(end.payload[4..8], [0, 0, 0, 0xb]);
    assert!((1..6_000).contains(&answers), "{answers}");
    assert_eq!(raw.next(PATIENCE).await, None);
}
