//! Ten thousand routes that are read again while clients call and sockets are open through an HTTP upstream, once with
//! another certificate: no call fails, no socket ends, and it does not take long.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    certificates::{Authority, Client},
    client::request,
    gateway::World,
    library::PATIENCE,
    recorder::Recorder,
};

const ROUTES: usize = 10_000;
const SOCKETS: usize = 8;
/// The longest that a debug build may take to read them again, beside all else on a busy machine. (scripts/bench holds the
/// release build to a second.)
const LONGEST: Duration = Duration::from_secs(90);

/// Routes of every kind: by path, by host, that answer by themselves. With each round the upstream sees other paths.
fn config(round: usize, upstream: SocketAddr) -> String {
    let mut config = format!(
        "[gateway]\nwatch_config = false\n[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n\
         [[upstreams]]\nname = \"plain\"\nhttp = \"http://{upstream}\"\n"
    );
    for n in 0..ROUTES {
        let _ = match n % 10 {
            1 => write!(
                config,
                "[[routes]]\nprefix = \"/h\"\nhosts = [\"t{n}.example\"]\nupstream = \"plain\"\n"
            ),
            2 => write!(config, "[[routes]]\npath = \"/own/{n}\"\nrespond = {{ body = \"{round}\" }}\n"),
            _ => write!(
                config,
                "[[routes]]\nprefix = \"/r{n}/a\"\nupstream = \"plain\"\nadd_prefix = \"/round{round}\"\n"
            ),
        };
    }
    config
}

/// What the upstream sees of a request for one of the routes.
async fn seen(client: &Client, address: SocketAddr, number: usize, over_http2: bool) -> String {
    let asked = request(&Method::GET, &format!("/r{number}/a/x"), &[], "");
    let answer = match over_http2 {
        true => client.http2(address, asked).await,
        false => client.http1(address, asked).await,
    };
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let value: Value = serde_json::from_slice(&answer.body().0).unwrap();
    value["path"].as_str().unwrap().to_owned()
}

/// Speaks through a tunnel until the end.
async fn socket(client: Client, address: SocketAddr, done: Arc<AtomicBool>) -> usize {
    let mut stream = client.connect(address).await.unwrap();
    let asked =
        b"GET /r5/a/chat HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let mut said = 0;
    while !done.load(SeqCst) {
        stream.write_all(b"tick").await.unwrap();
        let mut answer = [0; 4];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"TICK");
        said += 1;
        sleep(Duration::from_millis(50)).await;
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_routes_are_read_again_and_nobody_notices() {
    let (upstream, authority) = (Recorder::start().await, Authority::new());
    let (client, pair) = (Client::trusting(&authority), authority.issue(&["localhost"]));
    let gateway = World::new()
        .with_file("tls.crt", pair.certificate.as_bytes())
        .with_file("tls.key", pair.key.as_bytes())
        .with_config(&config(0, upstream.address))
        .start();
    let address = gateway.address;
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (mut sockets, mut callers) = (JoinSet::new(), JoinSet::new());
    for _ in 0..SOCKETS {
        sockets.spawn(socket(client.clone(), address, Arc::clone(&done)));
    }
    for at in 0..4 {
        let (client, done, calls) = (client.clone(), Arc::clone(&done), Arc::clone(&calls));
        callers.spawn(async move {
            for number in (0..).map(|call| (call * 7919 + at) % ROUTES).filter(|n| !matches!(n % 10, 1 | 2)) {
                if done.load(SeqCst) {
                    return;
                }
                let path = seen(&client, address, number, at % 2 == 0).await;
                assert!(path.starts_with("/round") && path.ends_with(&format!("/r{number}/a/x")), "{path}");
                calls.fetch_add(1, SeqCst);
            }
        });
    }
    let shown = async || {
        let stream = client.connect(address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown().await;
    for round in 1..=3 {
        let before = calls.load(SeqCst);
        if round == 2 {
            let pair = authority.issue(&["localhost"]);
            gateway.put("tls.crt", pair.certificate.as_bytes());
            gateway.put("tls.key", pair.key.as_bytes());
        }
        gateway.rewrite(&config(round, upstream.address));
        let begun = Instant::now();
        gateway.program.signal("HUP");
        let want = format!("/round{round}/r{}/a/x", ROUTES - 1);
        while seen(&client, address, ROUTES - 1, true).await != want {
            assert!(begun.elapsed() < LONGEST, "{}", gateway.program.output());
            sleep(Duration::from_millis(20)).await;
        }
        println!("round {round}: {:?}, {} calls meanwhile", begun.elapsed(), calls.load(SeqCst) - before);
        while (shown().await != first) != (round >= 2) {
            assert!(
                begun.elapsed() < LONGEST,
                "the certificate of round {round}\n{}",
                gateway.program.output()
            );
            sleep(Duration::from_millis(20)).await;
        }
        let own = client.http1(address, request(&Method::GET, "/own/9992", &[], "")).await.unwrap();
        assert_eq!(own.body().0, round.to_string());
        let host = [("host", "t9991.example")];
        let host = client.http1(address, request(&Method::GET, "/h/x", &host, "")).await.unwrap();
        assert_eq!(host.status(), 200);
    }
    done.store(true, SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    while let Some(ended) = sockets.join_next().await {
        assert!(ended.unwrap() > 0);
    }
    assert!(calls.load(SeqCst) > 10, "{calls:?}");
}
