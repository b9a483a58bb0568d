//! Balancers that say whose a connection is before its first byte (PROXY protocol).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{TLS, world};
use crate::support::{
    certificates::{Authority, Client},
    gateway::{TestGateway, World},
    library::{self, PATIENCE},
};

const GET: &[u8] = b"GET /v1/books:get HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const HERE: &str = "[connections]\nproxy_protocol = [\"127.0.0.0/8\"]\n";

/// What is answered to these bytes; nothing where the connection is closed.
async fn answered(address: SocketAddr, bytes: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&bytes.concat()).await;
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the end in time");
    String::from_utf8_lossy(&said).into_owned()
}

async fn start(more: &str) -> TestGateway {
    let upstream = library::start().await;
    World::with_library(upstream).with_config(more).start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_and_limits_know_the_client_and_not_the_balancer() {
    let config =
        format!("{HERE}[rate_limits]\naddress = 2\nburst = 0\nexempt = []\n[access]\ndefault = \"public\"\n");
    let gateway = start(&config).await;
    let line = |address: &str| format!("PROXY TCP4 {address} 198.51.100.1 5000 443\r\n").into_bytes();
    for (address, ok) in [("192.0.2.1", true), ("192.0.2.1", true), ("192.0.2.1", false), ("192.0.2.2", true)]
    {
        let said = answered(gateway.address, &[&line(address), GET]).await;
        assert_eq!(said.starts_with("HTTP/1.1 200"), ok, "{address}: {said}");
        assert_eq!(said.starts_with("HTTP/1.1 429"), !ok, "{address}: {said}");
        if ok {
            assert!(said.contains(&format!("x-forwarded-for={address}")), "{said}");
        }
    }
    let two = [
        SIGNATURE,
        &[0x21, 0x11, 0, 19],
        &[203, 0, 113, 7, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb],
        &[1, 0, 4],
        b"h2!!",
    ];
    let said = answered(gateway.address, &[&two.concat(), GET]).await;
    assert!(said.contains("x-forwarded-for=203.0.113.7"), "{said}");
    let own = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
    let said = answered(gateway.address, &[&own, GET]).await;
    assert!(said.contains("x-forwarded-for=127.0.0.1"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balancer_that_does_not_say_for_whom_is_not_this_machine() {
    let gateway = start(HERE).await;
    let info = b"GET /gateway/info HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let own = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
    let unknown = [SIGNATURE, &[0x21, 0, 0, 0]].concat();
    for (header, want) in [
        (&own[..], "200"),
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 5000 443\r\n", "200"),
        (&unknown, "401"),
        (b"PROXY UNKNOWN\r\n", "401"),
        (b"PROXY TCP4 192.0.2.1 127.0.0.1 5000 443\r\n", "401"),
    ] {
        let said = answered(gateway.address, &[header, info]).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {want}")), "{}: {said}", String::from_utf8_lossy(header));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_must_say_it_and_does_not_is_closed_and_who_may_not_is_not_believed() {
    let mut gateway = start(&format!("[log]\nlevel = \"debug\"\n{HERE}header_timeout = \"700ms\"\n")).await;
    for wrong in [&b""[..], b"PROXY TCP4 nobody\r\n", b"\x16\x03\x01\0\0\0\0\0\0\0\0\0\0\0"] {
        assert_eq!(answered(gateway.address, &[wrong, GET]).await, "", "{wrong:?}");
    }
    gateway.program.wait_for("its PROXY header is wrong: there is none", PATIENCE).unwrap();
    // Half of one has its time.
    let begun = Instant::now();
    let mut half = TcpStream::connect(gateway.address).await.unwrap();
    half.write_all(b"PROXY TCP4 192.").await.unwrap();
    let read = timeout(PATIENCE, half.read(&mut [0; 8])).await.expect("the end in time");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert!((Duration::from_millis(600)..Duration::from_secs(5)).contains(&begun.elapsed()));
    gateway.program.wait_for("no whole PROXY header came", PATIENCE).unwrap();
    let other = start("[connections]\nproxy_protocol = [\"10.0.0.0/8\"]\n").await;
    let said = answered(other.address, &[b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n", GET]).await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    let two = [SIGNATURE, &[0x21, 0x11, 0, 12], &[1; 12]].concat();
    let said = answered(other.address, &[&two, GET]).await;
    assert!(!said.contains("200 OK"), "{said}");
    assert!(answered(other.address, &[GET]).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_for_the_client_and_not_for_the_balancer() {
    let config = "[connections]\nproxy_protocol = [\"127.0.0.0/8\"]\nmax_per_address = 2\n";
    let gateway = start(config).await;
    let open = async |address: &str| {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let line = format!("PROXY TCP4 {address} 198.51.100.1 5000 443\r\n");
        stream.write_all(line.as_bytes()).await.unwrap();
        stream
    };
    let mut held = Vec::new();
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
        held.push(open(address).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut third = open("192.0.2.1").await;
    let mut said = String::new();
    let _ = timeout(PATIENCE, third.read_to_string(&mut said)).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    let mut other = open("192.0.2.2").await;
    other.write_all(GET).await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, other.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_before_tls() {
    let authority = Authority::new();
    let world = world(library::start().await, &authority);
    let gateway = world.with_config(&format!("{TLS}{HERE}")).start();
    let config = Client::trusting(&authority).config();
    let mut tcp = TcpStream::connect(gateway.address).await.unwrap();
    tcp.write_all(b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n").await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    tls.write_all(GET).await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, tls.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("x-forwarded-for=2001:db8::7"), "{said}");
}
