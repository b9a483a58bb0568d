//! The port over TLS: both HTTPs by ALPN, the clients that people use, those that speak something else, and what handshakes
//! may cost.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Version};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{get_book, seen, start, world};
use crate::support::{
    certificates::{Authority, Client, ONLY_12},
    client::{frames, request},
    library::{self, PATIENCE},
    process::Program,
    raw::{ACK, DATA, GOAWAY, PING, PREFACE, Raw, SETTINGS, frame},
    tools::needs,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_https_are_spoken_by_alpn_and_upstreams_are_told_of_tls() {
    let (gateway, _, client) = start("").await;
    let one = client.http1(gateway.address, get_book(&[])).await.unwrap();
    let two = client.http2(gateway.address, get_book(&[])).await.unwrap();
    for (answer, version) in [(&one, Version::HTTP_11), (&two, Version::HTTP_2)] {
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=63072000");
        let seen = seen(&answer.body().0);
        assert!(seen.contains(&"x-forwarded-proto=https".to_owned()), "{seen:?}");
    }
    let book = frames("library.v1.GetBookRequest", &["{}"]);
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let call = request(&Method::POST, "/library.v1.Library/GetBook", &headers, book);
    let answer = client.http2(gateway.address, call).await.unwrap();
    assert_eq!(answer.body().1["grpc-status"], "0");
    for (alpn, want) in [(Some("h2"), Some(&b"h2"[..])), (Some("http/1.1"), Some(b"http/1.1")), (None, None)]
    {
        let stream = Client { alpn, ..client.clone() }.connect(gateway.address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), want);
    }
    let other = Client { alpn: Some("spdy/3"), ..client }.connect(gateway.address).await.unwrap_err();
    assert!(other.to_string().contains("NoApplicationProtocol"), "{other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_that_people_use_are_served() {
    let (gateway, _, _) = start("").await;
    let ca = gateway.folder().join("ca.pem");
    let url = format!("https://localhost:{}/v1/books:get", gateway.address.port());
    let resolve = format!("localhost:{}:127.0.0.1", gateway.address.port());
    for (flag, version) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", flag, "--resolve", &resolve, "-w", "\n%{http_version} %{http_code}", "--cacert"]);
        let said = Program::start("curl", curl.arg(&ca).arg(&url)).unwrap().finish(PATIENCE).unwrap();
        assert!(said.ends_with(version), "{said}");
    }
    let mut untrusting = Command::new("curl");
    let refused = Program::start("curl", untrusting.args(["-sS", "--resolve", &resolve, &url])).unwrap();
    assert!(refused.finish(PATIENCE).is_err());
    if let Some(grpcurl) = needs("grpcurl") {
        let address = format!("localhost:{}", gateway.address.port());
        let mut list = Command::new(grpcurl);
        let said = Program::start("grpcurl", list.arg("-cacert").arg(&ca).args([&address, "list"])).unwrap();
        assert!(said.finish(PATIENCE).unwrap().contains("library.v1.Library"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_s_grpc_is_served_over_a_secure_channel() {
    let Some(python) = needs("python") else { return };
    let (gateway, _, _) = start("").await;
    let script = r#"
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
creds = grpc.ssl_channel_credentials(open(sys.argv[1], "rb").read())
channel = grpc.secure_channel("localhost:" + sys.argv[2], creds)
print(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=15).status)
"#;
    let mut command = Command::new(python);
    command.args(["-c", script]).arg(gateway.folder().join("ca.pem")).arg(gateway.address.port().to_string());
    let said = Program::start("python", &mut command).unwrap().finish(PATIENCE * 2).unwrap();
    assert_eq!(said.trim(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_plain_text_is_told_so() {
    let (gateway, _, client) = start("").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
    assert!(said.contains("content-type: text/plain") && said.ends_with("ask by https://\n"), "{said}");
    let mut two = Raw::connect(gateway.address, &[]).await;
    let goaway = two.wait_for(GOAWAY, PATIENCE).await.unwrap();
    assert_eq!(goaway.payload[4..8], [0, 0, 0, 0xc]);
    assert_eq!(&goaway.payload[8..], b"this port speaks TLS: ask by https://");
    assert_eq!(client.http1(gateway.address, get_book(&[])).await.unwrap().status(), 200);
}

/// A ClientHello (RFC 4346) that offers nothing newer than this version, with suites of TLS 1.1.
fn hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    let suites = [0xc0, 0x13, 0xc0, 0x14, 0xc0, 0x09, 0xc0, 0x0a, 0, 0x2f, 0, 0x35];
    body.extend((suites.len() as u16).to_be_bytes());
    body.extend(suites);
    body.extend([1, 0]);
    // One extension: signature_algorithms.
    body.extend([0, 12, 0, 13, 0, 8, 0, 6, 4, 3, 4, 1, 8, 4]);
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    [&[0x16, 3, 1], &(message.len() as u16).to_be_bytes()[..], &message].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_are_refused_with_an_alert() {
    let (gateway, _, client) = start("").await;
    for minor in [1, 2] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(&hello(minor)).await.unwrap();
        let mut said = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap().unwrap();
        // An alert: fatal, protocol_version.
        assert_eq!((said[0], &said[5..]), (0x15, &[2, 70][..]), "TLS 1.{}", minor - 1);
    }
    let old = Client { only: Some(ONLY_12), ..client.clone() };
    assert_eq!(old.http1(gateway.address, get_book(&[])).await.unwrap().status(), 200);
    let (newer, _, client) = start("min_version = \"1.3\"\n").await;
    assert_eq!(client.http2(newer.address, get_book(&[])).await.unwrap().status(), 200);
    let old = Client { only: Some(ONLY_12), ..client };
    let refused = old.connect(newer.address).await.unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_shown_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::new();
    let mut world = world(library::start().await, &authority);
    let mut config = super::TLS.to_owned();
    for (file, names) in [("shop", &["shop.example", "*.shop.example"][..]), ("api", &["api.shop.example"])] {
        let pair = authority.issue(names);
        world = world
            .with_file(&format!("{file}.crt"), pair.certificate.as_bytes())
            .with_file(&format!("{file}.key"), pair.key.as_bytes());
        config
            .push_str(&format!("[[tls.certificates]]\ncertificate = \"{file}.crt\"\nkey = \"{file}.key\"\n"));
    }
    let gateway = world.with_config(&config).start();
    let shown = async |name| {
        let client = Client { name, ..Client::trusting(&authority) };
        let stream = client.connect(gateway.address).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    };
    let (shop, www, api) =
        (shown("shop.example").await, shown("www.shop.example").await, shown("api.shop.example").await);
    assert_eq!(shop, www);
    assert!(api.is_ok() && api != shop);
    let local = shown("localhost").await;
    assert!(local.is_ok() && local != shop && local != api);
    assert_eq!(shown("127.0.0.1").await, local);
    assert!(shown("other.example").await.unwrap_err().contains("not valid for name"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_handshakes_hold_nobody_up_and_are_ended() {
    let (gateway, _, client) = start("handshake_timeout = \"4s\"\n[gateway]\nworkers = 1\n").await;
    let begun = Instant::now();
    let mut half = Vec::new();
    for n in 0..1000 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        // Nothing, a first byte, half a hello.
        let part = [0, 1, 30][n % 3];
        stream.write_all(&hello(3)[..part]).await.unwrap();
        half.push(stream);
    }
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(client.http2(gateway.address, get_book(&[])).await.unwrap().status(), 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    for mut stream in half {
        let read = timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("the end in time");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_counts_as_a_connection() {
    let (gateway, _, client) = start("[connections]\nmax_per_address = 3\n").await;
    let mut half = Vec::new();
    for _ in 0..3 {
        half.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    sleep(Duration::from_millis(200)).await;
    assert!(client.http1(gateway.address, get_book(&[])).await.is_err());
    drop(half);
    let begun = Instant::now();
    while client.http1(gateway.address, get_book(&[])).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_connections_hold_over_tls() {
    let (mut gateway, _, client) =
        start("[connections]\nheader_timeout = \"600ms\"\nflood_wait = \"0s\"\n").await;
    // Half a head is told so in HTTP.
    let mut one = client.connect(gateway.address).await.unwrap();
    one.write_all(b"GET /v1/x HTTP/1.1\r\nhost:").await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, one.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("strict-transport-security"), "{said}");
    // So is a head that cannot be read.
    let mut one = client.connect(gateway.address).await.unwrap();
    one.write_all(b"GET /v1/x HTTP/1.1\r\nno header\r\n\r\n").await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, one.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("is not HTTP/1.1"), "{said}");
    // Frames are counted behind TLS.
    let mut two = Client { alpn: Some("h2"), ..client.clone() }.connect(gateway.address).await.unwrap();
    two.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let flood: Vec<u8> = (0..4000).flat_map(|_| frame(PING, 0, 0, &[0; 8])).collect();
    let _ = two.write_all(&flood).await;
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, two.read_to_end(&mut said)).await.expect("the end in time");
    let goaway = [&[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0][..], &[0, 0, 0, 0, 0, 0, 0, 0xb]].concat();
    assert!(said.ends_with(&goaway), "{:?}", &said[said.len().saturating_sub(40)..]);
    assert!(said.windows(9).filter(|head| head[3] == PING && head[4] == ACK).count() < 2000);
    gateway.program.wait_for("a flood of PING frames", PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_goes_on_over_tls() {
    let (gateway, _, client) = start("").await;
    let stream = client.connect(gateway.address).await.unwrap();
    let url = "wss://localhost/v1/chat";
    let opened = timeout(PATIENCE, tokio_tungstenite::client_async(url, stream)).await.expect("in time");
    let (mut socket, _) = opened.unwrap();
    for title in ["a", "b"] {
        let book = serde_json::json!({ "title": title });
        socket.send(book.to_string().into()).await.unwrap();
        let back = timeout(PATIENCE, socket.next()).await.expect("in time").unwrap().unwrap();
        let back: serde_json::Value = serde_json::from_str(back.to_text().unwrap()).unwrap();
        assert_eq!(back, book);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_calls_over_tls_end_and_waits_for_no_half_handshake() {
    let (mut gateway, _, client) = start("[gateway]\nworkers = 1\ndrain = \"20s\"\n").await;
    let mut half = TcpStream::connect(gateway.address).await.unwrap();
    half.write_all(&hello(3)[..20]).await.unwrap();
    let mut two =
        Raw::over(Client { alpn: Some("h2"), ..client.clone() }.connect(gateway.address).await.unwrap())
            .await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let head = crate::support::raw::head("POST", "/library.v1.Library/Chat", &headers);
    use crate::support::raw::{END_HEADERS, END_STREAM, HEADERS};
    assert!(two.send(&frame(HEADERS, END_HEADERS, 1, &head)).await);
    let book = frames("library.v1.Book", &["{\"title\": \"a\"}"]);
    assert!(two.send(&frame(DATA, 0, 1, &book)).await);
    assert!(two.wait_for(DATA, PATIENCE).await.is_some());
    gateway.program.signal("TERM");
    assert!(two.wait_for(GOAWAY, PATIENCE).await.is_some());
    sleep(Duration::from_millis(300)).await;
    assert!(two.send(&frame(DATA, END_STREAM, 1, &book)).await);
    assert!(two.wait_for(DATA, PATIENCE).await.is_some());
    let begun = Instant::now();
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn a_config_whose_certificates_are_wrong_is_refused_with_their_place() {
    let authority = Authority::new();
    let other = authority.issue(&["other.example"]);
    let world = world(([127, 0, 0, 1], 1).into(), &authority).with_file("tls.key", other.key.as_bytes());
    let (code, said) = world.with_config(super::TLS).fails();
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("propylon.toml:8:7: tls.key: the key "), "{said}");
    assert!(said.contains("is not that of the certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_asks_a_port_that_speaks_tls() {
    let (gateway, _, _) = start("").await;
    let address = format!("localhost:{}", gateway.address.port());
    let ca = gateway.folder().join("ca.pem").display().to_string();
    let ask = |arguments: &[&str]| {
        let mut health = Command::new(env!("CARGO_BIN_EXE_propylon"));
        health.arg("health").args(arguments);
        let mut program = Program::start("propylon health", &mut health).unwrap();
        (program.exit_code(PATIENCE).unwrap(), program.output())
    };
    let https = format!("https://{address}");
    for arguments in [
        &[&*address, "--ca", &ca][..],
        &[&https, "--ca", &ca],
        &[&address, "--insecure"],
        &[&https, "--insecure"],
        &[&address, "--tls", "--ca", &ca],
    ] {
        assert_eq!(ask(arguments), (0, "SERVING".to_owned()), "{arguments:?}");
    }
    for (arguments, want) in [
        (&[&*address][..], "speak"),
        (&[&https], "failed its TLS handshake"),
        (&[&address, "--tls"], "failed its TLS handshake"),
        (&[&*format!("http://{address}"), "--tls"], "say https:// in its place"),
        (&[&address, "--ca", "/nowhere"], "No such file"),
    ] {
        let (code, said) = ask(arguments);
        assert!(code == 1 && said.contains(want), "{arguments:?}: {code} {said}");
    }
    // With the config alone: by the very certificate that it names.
    let listen = format!("[gateway]\nlisten = \"{}\"\n{}", gateway.address, super::TLS);
    let config = gateway.folder().join("health.toml");
    std::fs::write(&config, &listen).unwrap();
    let config = config.display().to_string();
    assert_eq!(ask(&["--config", &config]), (0, "SERVING".to_owned()));
    let other = Authority::new().issue(&["localhost"]);
    gateway.put("other.crt", other.certificate.as_bytes());
    gateway.put("other.key", other.key.as_bytes());
    std::fs::write(&config, listen.replace("tls.crt", "other.crt").replace("tls.key", "other.key")).unwrap();
    let (code, said) = ask(&["--config", &config]);
    assert!(code == 1 && said.contains("another certificate than the config names"), "{code} {said}");
}
