//! Bodies of plain HTTP on their way to an upstream and back: when they are asked for, what ends them early, what comes
//! behind them, and how much of them is held.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{
    exact::Exact,
    gateway::{TestGateway, World},
    library::PATIENCE,
};

async fn before(upstream: SocketAddr) -> TestGateway {
    let config = format!(
        "[[upstreams]]\nname = \"up\"\nhttp = \"http://{upstream}\"\n[[routes]]\nprefix = \"/\"\nupstream = \"up\"\n"
    );
    World::new().with_config(&config).start()
}

/// An upstream that speaks its part by hand, once for each connection.
async fn by_hand<F>(part: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(part(stream));
        }
    });
    address
}

/// Reads until what has come ends so.
async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.ends_with(end.as_bytes()) {
            match stream.read_u8().await {
                Ok(byte) => bytes.push(byte),
                Err(_) => break,
            }
        }
    };
    let _ = timeout(PATIENCE, read).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

const HEAD: &str = "\r\n\r\n";

#[tokio::test]
async fn a_client_that_expects_is_told_by_the_upstream() {
    // It asks for the body a while after the head, and answers when it has it.
    let slow = by_hand(|mut stream| async move {
        let head = read_to(&mut stream, HEAD).await.to_ascii_lowercase();
        assert!(head.contains("expect: 100-continue"), "{head}");
        tokio::time::sleep(Duration::from_millis(150)).await;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        read_to(&mut stream, "abc").await;
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let gateway = before(slow.await).await;
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let begun = Instant::now();
    let head = "PUT /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let first = read_to(&mut client, HEAD).await;
    assert!(first.starts_with("HTTP/1.1 100 "), "{first}");
    assert!(begun.elapsed() >= Duration::from_millis(140), "told before the upstream: {:?}", begun.elapsed());
    client.write_all(b"abc").await.unwrap();
    let last = read_to(&mut client, HEAD).await;
    assert!(last.starts_with("HTTP/1.1 201 "), "{last}");
}

#[tokio::test]
async fn an_upstream_that_refuses_a_body_is_not_sent_it() {
    for (status, words) in [(417, "Expectation Failed"), (413, "Content Too Large"), (401, "Unauthorized")] {
        let refusing = by_hand(move |mut stream| async move {
            read_to(&mut stream, HEAD).await;
            let answer =
                format!("HTTP/1.1 {status} {words}\r\ncontent-length: 4\r\nconnection: close\r\n\r\nno: ");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut more = Vec::new();
            let _ = timeout(Duration::from_secs(2), stream.read_to_end(&mut more)).await;
            assert!(more.is_empty(), "{} bytes came", more.len());
        });
        let gateway = before(refusing.await).await;
        let mut client = TcpStream::connect(gateway.address).await.unwrap();
        let head = "PUT /x HTTP/1.1\r\nhost: a\r\ncontent-length: 30000000\r\nexpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = read_to(&mut client, "no: ").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn an_upstream_that_says_nothing_of_it_is_sent_the_body() {
    let upstream = Exact::start().await;
    let gateway = before(upstream.address).await;
    let file = gateway.folder().join("body");
    std::fs::write(&file, vec![b'x'; 3 << 20]).unwrap();
    let url = format!("http://{}/x", gateway.address);
    let curl = tokio::task::spawn_blocking(move || {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "-", "-w", "%{http_code}", "-H", "Expect: 100-continue", "--data-binary"]);
        curl.arg(format!("@{}", file.display())).arg(url).output().unwrap()
    });
    let output = curl.await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200", "{output:?}");
    let [one] = upstream.take().try_into().unwrap();
    assert_eq!(one.body.len(), 3 << 20);
    // A caller whom the gateway refuses itself is never asked for the body.
    let closed = World::new()
        .with_config(&format!(
            "[[upstreams]]\nname = \"up\"\nhttp = \"http://{}\"\n[[routes]]\nprefix = \"/\"\nupstream = \"up\"\n[access]\n",
            upstream.address
        ))
        .start();
    let mut client = TcpStream::connect(closed.address).await.unwrap();
    let head = "PUT /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let first = read_to(&mut client, HEAD).await;
    assert!(first.starts_with("HTTP/1.1 401 "), "{first}");
}

#[tokio::test]
async fn an_answer_may_come_before_the_upload_has_ended() {
    // It takes a little of the body, answers, and reads no more.
    let early = by_hand(|mut stream| async move {
        read_to(&mut stream, HEAD).await;
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let gateway = before(early.await).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    tokio::spawn(async move {
        let _ = write.write_all(b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
        // It never ends by itself.
        while write.write_all(format!("1000\r\n{}\r\n", "x".repeat(4096)).as_bytes()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let begun = Instant::now();
    let mut answer = Vec::new();
    let whole = async {
        while !answer.ends_with(b"big") {
            answer.push(read.read_u8().await.unwrap());
        }
    };
    timeout(Duration::from_secs(4), whole).await.expect("an answer while the upload goes on");
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let upstream = Exact::start().await;
    let gateway = before(upstream.address).await;
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let request = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, x-user-id, x_user_role\r\n\r\n\
        3\r\nabc\r\n0\r\nx-sum: 7\r\nx-user-id: root\r\nx_user_role: admin\r\nx-unannounced: 1\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    read_to(&mut client, HEAD).await;
    let [one] = upstream.take().try_into().unwrap();
    assert_eq!(one.trailers, ["x-sum: 7"], "{one:?}");
    assert!(one.headers.contains(&"trailer: x-sum".to_owned()), "{one:?}");
    // Back, to a client that takes them.
    let answering = by_hand(|mut stream| async move {
        let head = read_to(&mut stream, HEAD).await.to_ascii_lowercase();
        assert!(head.contains("te: trailers") && head.contains("connection: te"), "{head}");
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    let gateway = before(answering.await).await;
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    client.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n").await.unwrap();
    let answer = read_to(&mut client, "0\r\nx-sum: 7\r\n\r\n").await;
    assert!(answer.ends_with("0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let get = Request::get("http://a/x").header("te", "trailers").body(http_body_util::Empty::<Bytes>::new());
    let response = timeout(PATIENCE, sender.send_request(get.unwrap())).await.unwrap().unwrap();
    let body = timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
}

fn memory_kb(gateway: &TestGateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What may be on its way: buffers of three sockets each way, and of hyper.
const MOST_KB: usize = 32 << 10;

#[tokio::test]
async fn a_reader_that_is_slow_holds_its_upstream_up() {
    let sent = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&sent);
    let endless = by_hand(move |mut stream| {
        let sent = Arc::clone(&counted);
        async move {
            read_to(&mut stream, HEAD).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = vec![b'x'; 64 << 10];
            while stream.write_all(&chunk).await.is_ok() {
                sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
        }
    });
    let gateway = before(endless.await).await;
    let before = memory_kb(&gateway);
    for http2 in [false, true] {
        sent.store(0, Ordering::SeqCst);
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let get = Request::get("http://a/x")
            .header("host", "a")
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap();
        let response = if http2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            sender.send_request(get).await.unwrap()
        } else {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(get).await.unwrap()
        };
        let mut body = response.into_body().into_data_stream();
        body.next().await.unwrap().unwrap();
        // It takes no more, and the upstream comes to a stop.
        let mut last = u64::MAX;
        while last != sent.load(Ordering::SeqCst) {
            last = sent.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(last < 64 << 20, "{last} bytes were sent to nobody");
        let grown = memory_kb(&gateway).saturating_sub(before);
        assert!(grown < MOST_KB, "{grown} kB more");
    }
}

#[tokio::test]
async fn a_gigabyte_goes_up_in_flat_memory() {
    const LENGTH: usize = 1 << 30;
    let counting = by_hand(|mut stream| async move {
        read_to(&mut stream, HEAD).await;
        let (mut buffer, mut left) = (vec![0; 256 << 10], LENGTH);
        while left > 0 {
            left -= stream.read(&mut buffer).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    });
    let gateway = before(counting.await).await;
    let before = memory_kb(&gateway);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let chunks = futures_util::stream::iter(std::iter::repeat_n(chunk, LENGTH >> 20));
    let body = StreamBody::new(chunks.map(|chunk| Ok::<_, std::io::Error>(Frame::data(chunk))));
    let put = Request::put("/x").header("host", "a").header("content-length", LENGTH).body(body).unwrap();
    let sending = tokio::spawn(async move { sender.send_request(put).await });
    let (mut most, begun) = (0, Instant::now());
    while !sending.is_finished() {
        most = most.max(memory_kb(&gateway).saturating_sub(before));
        assert!(begun.elapsed() < 4 * PATIENCE, "the upload takes too long");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let response = sending.await.unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert!(most < MOST_KB, "{most} kB more");
}
