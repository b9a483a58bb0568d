//! The operator's listener: what it serves and to whom, and that it stops last.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::sleep};

use super::{TLS, world};
use crate::support::{
    certificates::Authority,
    client::{Outcome, frames, grpc, request, rest},
    gateway::{TestGateway, World},
    library::{self, PATIENCE},
};

const OPERATOR: &str = "an-operator's-token--which-is-long";
const TOKEN: &str = "[[auth.tokens]]\nname = \"operator\"\ntoken = { file = \"operator\" }\nuser = \"operator\"\nroles = [\"admin\"]\n";

/// The address of its operator's listener, as it says itself.
fn admin_of(gateway: &TestGateway) -> SocketAddr {
    let output = gateway.program.output();
    let line = output.lines().find(|line| line.contains("\"event\":\"listening\"")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    line["admin"].as_str().unwrap().parse().unwrap()
}

async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Outcome {
    rest(address, request(&Method::GET, path, headers, "")).await
}

/// An address of this machine that is not loopback, where it has one.
fn elsewhere() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only chooses the address it would be sent from.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_probes_and_the_operator_in_plain_text_and_nothing_else() {
    let authority = Authority::new();
    let world = world(library::start().await, &authority).with_file("operator", OPERATOR.as_bytes());
    let config = format!(
        "[admin]\nlisten = \"0\"\n{TLS}{TOKEN}[[routes]]\npath = \"/hello\"\nrespond = {{ body = \"hello\" }}\n[access]\ndefault = \"public\"\n"
    );
    let gateway = world.with_config(&config).start();
    let admin = admin_of(&gateway);
    assert!(admin.ip().is_loopback());
    for path in ["/livez", "/readyz", "/ping", "/health", "/gateway/info", "/api/v1/routes"] {
        let answer = get(admin, path, &[]).await;
        assert_eq!(answer.http, 200, "{path}: {answer:?}");
        assert!(!answer.headers.contains_key("strict-transport-security"));
    }
    let check = frames("grpc.health.v1.HealthCheckRequest", &["{}"]);
    let path = "/grpc.health.v1.Health/Check";
    let health = grpc(admin, path, &[], check, "grpc.health.v1.HealthCheckResponse").await;
    assert_eq!(health.messages[0]["status"], "SERVING");
    for path in [
        "/",
        "/docs",
        "/openapi.json",
        "/.well-known/jwks.json",
        "/hello",
        "/v1/books:get",
        "/api/v1/auth/me",
    ] {
        let answer = get(admin, path, &[]).await;
        assert_eq!(answer.http, 404, "{path}: {answer:?}");
        assert!(answer.message.contains("is not served by the admin listener"), "{answer:?}");
    }
    let book = frames("library.v1.GetBookRequest", &["{}"]);
    let refused = grpc(admin, "/library.v1.Library/GetBook", &[], book, "library.v1.Book").await;
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.message.contains("is not served by the admin listener"), "{refused:?}");
    // Administration is for who has the role, here as elsewhere.
    let bearer = format!("Bearer {OPERATOR}");
    assert_eq!(get(admin, "/admin/users", &[]).await.http, 401);
    assert_eq!(get(admin, "/admin/users", &[("authorization", &bearer)]).await.http, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reaches_it_reads_what_is_this_machine_s_and_a_page_does_not() {
    let Some(ip) = elsewhere() else { return };
    let port = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
    let gateway = World::new()
        .with_file("operator", OPERATOR.as_bytes())
        .with_config(&format!("[admin]\nlisten = \"{ip}:{port}\"\n{TOKEN}"))
        .listening_on("0.0.0.0:0")
        .start();
    let admin = SocketAddr::new(ip, port);
    let main = SocketAddr::new(ip, gateway.address.port());
    let token = [("authorization", "Bearer an-operator's-token--which-is-long")];
    for path in ["/gateway/info", "/api/v1/routes"] {
        assert_eq!(get(main, path, &[]).await.http, 401, "{path}");
        assert_eq!(get(admin, path, &[]).await.http, 200, "{path}");
        // A page under a name that somebody else gave this address.
        let page = [("host", "evil.example"), ("accept-language", "en")];
        assert_eq!(get(admin, path, &page).await.http, 401, "{path}");
        assert_eq!(get(admin, path, &[page[0], page[1], token[0]]).await.http, 200, "{path}");
    }
    // To reload is more than to read.
    let reload = async |headers: &[(&str, &str)]| {
        rest(admin, request(&Method::POST, "/admin/reload", headers, "")).await.http
    };
    assert_eq!(reload(&[]).await, 401);
    assert_eq!(reload(&token).await, 200);
    let explained = get(admin, "/gateway/info", &[]).await;
    assert!(explained.messages[0]["generation"].is_i64() || explained.messages[0]["generation"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_connections_are_its_own() {
    let gateway = World::new().with_config("[admin]\nlisten = \"0\"\n[connections]\nmax = 2\n").start();
    let admin = admin_of(&gateway);
    let mut full = Vec::new();
    for _ in 0..2 {
        full.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    sleep(Duration::from_millis(200)).await;
    let mut refused = String::new();
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let _ = stream.read_to_string(&mut refused).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert_eq!(get(admin, "/readyz", &[]).await.http, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_last() {
    let upstream = library::start().await;
    let config = "[gateway]\nworkers = 1\ndrain = \"2s\"\n[admin]\nlisten = \"0\"\n";
    let mut gateway = World::with_library(upstream).with_config(config).start();
    let admin = admin_of(&gateway);
    // Something that does not end by itself.
    let mut stream = crate::support::raw::Raw::connect(gateway.address, &[]).await;
    use crate::support::raw::{END_HEADERS, HEADERS, frame, head};
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let chat = head("POST", "/library.v1.Library/Chat", &headers);
    assert!(stream.send(&frame(HEADERS, END_HEADERS, 1, &chat)).await);
    sleep(Duration::from_millis(300)).await;
    gateway.program.signal("TERM");
    let begun = Instant::now();
    let mut seen = false;
    while begun.elapsed() < Duration::from_millis(1500) {
        sleep(Duration::from_millis(100)).await;
        if TcpStream::connect(gateway.address).await.is_err() {
            // The port is closed, and it still says how things are.
            let ready = get(admin, "/readyz", &[]).await;
            assert_eq!(ready.http, 503, "{ready:?}");
            assert_eq!(get(admin, "/livez", &[]).await.http, 200);
            seen = true;
        }
    }
    assert!(seen, "{}", gateway.program.output());
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    assert!(TcpStream::connect(admin).await.is_err());
}

#[test]
fn a_port_that_is_taken_is_told_in_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, said) = World::new().with_config(&format!("[admin]\nlisten = \"{port}\"\n")).fails();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.starts_with(&format!("propylon: cannot listen on 127.0.0.1:{port}: the port is in use by ")),
        "{said}"
    );
    assert!(said.ends_with("[admin] listen = 127.0.0.1:0 takes a free one"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
