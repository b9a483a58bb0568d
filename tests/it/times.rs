//! How long an HTTP upstream may take: for its answer once it has the request, for a response that says how long it is, and
//! for a tunnel through which nothing goes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{
    client::{request, rest},
    gateway::{TestGateway, World},
    library::PATIENCE,
    recorder::Recorder,
};

/// How long the upstream may take.
const LIMIT: Duration = Duration::from_secs(1);

async fn start(more: &str) -> (TestGateway, Recorder) {
    let upstream = Recorder::start().await;
    let config = format!(
        r#"
        [[upstreams]]
        name = "plain"
        http = "http://{}"
        timeout = "1s"
        {more}
        [[routes]]
        path = "/{{rest=**}}"
        upstream = "plain"
        "#,
        upstream.address
    );
    (World::new().with_config(&config).start(), upstream)
}

/// A body of pieces, each a while after the one before.
fn slowly(
    pieces: usize,
    pause: Duration,
) -> impl http_body::Body<Data = Bytes, Error = std::io::Error> + Send + Unpin {
    let pieces = futures_util::stream::unfold(0, move |number| async move {
        if number == pieces {
            return None;
        }
        sleep(pause).await;
        Some((Ok(http_body::Frame::data(Bytes::from(vec![b'x'; 16 << 10]))), number + 1))
    });
    StreamBody::new(Box::pin(pieces))
}

#[tokio::test]
async fn the_time_of_an_upload_is_not_the_upstreams() {
    let (gateway, _upstream) =
        start("retry = { per_try_timeout = \"700ms\" }\nfirst_byte_timeout = \"800ms\"").await;
    let put = |uri: String| {
        let request = http::Request::put(uri).header("host", gateway.address.to_string());
        request.body(slowly(20, Duration::from_millis(100))).unwrap()
    };
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut one, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut two, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let whole = format!("http://{}/upload", gateway.address);
    let begun = Instant::now();
    let both =
        async { tokio::join!(one.send_request(put("/upload".to_owned())), two.send_request(put(whole))) };
    let (one, two) = timeout(PATIENCE, both).await.unwrap();
    for response in [one.unwrap(), two.unwrap()] {
        assert_eq!(response.status(), 200, "{response:?}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let seen: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(seen["length"], 20 * (16 << 10));
    }
    assert!(begun.elapsed() > LIMIT, "it took longer than the limit: {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_upstream_that_has_the_request_or_does_not_take_it_is_late() {
    let (gateway, upstream) = start("").await;
    for body in [Bytes::from("short"), Bytes::from(vec![b'x'; 64 << 20])] {
        let (length, begun) = (body.len(), Instant::now());
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!("POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        let (mut reading, mut writing) = stream.split();
        let mut answer = Vec::new();
        let asked = async {
            writing.write_all(head.as_bytes()).await.unwrap();
            // It may be told before it has sent all.
            let _ = writing.write_all(&body).await;
        };
        let read = async {
            while !answer.ends_with(b"}") {
                answer.push(reading.read_u8().await.unwrap());
            }
        };
        let both = async {
            tokio::select! {
                () = read => {}
                () = async { asked.await; std::future::pending().await } => {}
            }
        };
        timeout(PATIENCE, both).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("before a response came"), "{answer}");
        assert!(begun.elapsed() >= LIMIT, "{length}: {:?}", begun.elapsed());
    }
    assert_eq!(upstream.requests(), 2, "nothing was sent twice");
    // What its client is ready to wait is counted from the beginning, whatever becomes of the body.
    let begun = Instant::now();
    let asked = request(&Method::POST, "/slow", &[("x-request-timeout", "0.3")], "x");
    let late = rest(gateway.address, asked).await;
    assert_eq!(late.http, 504, "{late:?}");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_response_that_says_how_long_it_is_has_a_time_and_one_that_does_not_has_none() {
    let (gateway, _upstream) = start("").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let begun = Instant::now();
    stream.write_all(b"GET /drips/1000000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let (took, text) = (begun.elapsed(), String::from_utf8_lossy(&answer).into_owned());
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("content-length: 1000000"), "{text}");
    assert!(text.ends_with("xxx") && answer.len() < 10_000, "it breaks off: {text}");
    assert!(took >= LIMIT && took < 10 * LIMIT, "{took:?}");
    // A stream goes on.
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let begun = Instant::now();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    while begun.elapsed() < LIMIT * 2 {
        let read = timeout(PATIENCE, stream.read(&mut [0; 4096])).await.unwrap().unwrap();
        assert!(read > 0, "the stream ended after {:?}", begun.elapsed());
    }
    // A client that takes its time does not use up the upstream's.
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"GET /long/40000000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    sleep(LIMIT * 2).await;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.len() > 40_000_000, "{}", answer.len());
}

/// Opens a tunnel, or gives the status that there is instead.
async fn tunnel(gateway: &TestGateway) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let asked = b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: shout\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    let head = String::from_utf8_lossy(&head).into_owned();
    if head.starts_with("HTTP/1.1 101 ") { Ok(stream) } else { Err(head) }
}

#[tokio::test]
async fn a_tunnel_ends_through_which_nothing_goes() {
    let (gateway, _upstream) = start("tunnel_idle_timeout = \"600ms\"").await;
    let mut stream = tunnel(&gateway).await.unwrap();
    let begun = Instant::now();
    let mut said = [0; 2];
    while begun.elapsed() < Duration::from_millis(1500) {
        stream.write_all(b"hi").await.unwrap();
        timeout(PATIENCE, stream.read_exact(&mut said)).await.unwrap().unwrap();
        assert_eq!(&said, b"HI");
        sleep(Duration::from_millis(100)).await;
    }
    let quiet = Instant::now();
    let end = timeout(PATIENCE, stream.read(&mut said)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert!(quiet.elapsed() >= Duration::from_millis(400), "{:?}", quiet.elapsed());
}

#[tokio::test]
async fn open_tunnels_are_counted_among_tunnels_and_not_among_requests() {
    let (gateway, _upstream) = start("limits = { requests = 1, waiting = 0, tunnels = 2 }").await;
    let (first, second) = (tunnel(&gateway).await.unwrap(), tunnel(&gateway).await.unwrap());
    let answer = rest(gateway.address, request(&Method::GET, "/x", &[], "")).await;
    assert_eq!(answer.http, 200, "the one place is for requests: {answer:?}");
    let third = tunnel(&gateway).await.unwrap_err().to_ascii_lowercase();
    assert!(third.starts_with("http/1.1 503 ") && third.contains("\r\nretry-after: "), "{third}");
    drop((first, second));
    let begun = Instant::now();
    while let Err(head) = tunnel(&gateway).await {
        assert!(begun.elapsed() < PATIENCE, "{head}");
        sleep(Duration::from_millis(20)).await;
    }
}
