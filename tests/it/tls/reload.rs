//! Certificates that are exchanged while the gateway runs: taken over whole or not at all, by new handshakes alone.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use http::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::sleep,
};

use super::{TLS, get_book, start, world};
use crate::support::{
    certificates::{Authority, Client, Pair},
    client::request,
    gateway::{TestGateway, World},
    library::{self, PATIENCE},
};

/// The certificate that a new connection is shown.
async fn shown(gateway: &TestGateway, client: &Client) -> Vec<u8> {
    let stream = client.connect(gateway.address).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn put(gateway: &TestGateway, pair: &Pair) {
    gateway.put("tls.crt", pair.certificate.as_bytes());
    gateway.put("tls.key", pair.key.as_bytes());
}

async fn until_it_says(gateway: &TestGateway, words: &str) {
    let begun = Instant::now();
    while !gateway.program.output().contains(words) {
        assert!(begun.elapsed() < PATIENCE, "not in time: {words}\n{}", gateway.program.output());
        sleep(Duration::from_millis(20)).await;
    }
}

async fn until_another_is_shown(gateway: &TestGateway, client: &Client, before: &[u8]) -> Vec<u8> {
    let begun = Instant::now();
    loop {
        let now = shown(gateway, client).await;
        if now != before {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", gateway.program.output());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_pair_is_shown_to_new_connections_and_a_bad_one_to_nobody() {
    let (gateway, authority, client) = start("").await;
    let first = shown(&gateway, &client).await;
    let mut open = client.connect(gateway.address).await.unwrap();
    put(&gateway, &authority.issue(&["localhost", "new.example"]));
    let second = until_another_is_shown(&gateway, &client, &first).await;
    until_it_says(&gateway, "tls: the certificates are others now: localhost, new.example until ").await;
    // What was open goes on.
    open.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    open.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    // A key of another certificate.
    gateway.put("tls.key", authority.issue(&["localhost"]).key.as_bytes());
    until_it_says(&gateway, "is not that of the certificate").await;
    assert!(gateway.program.output().contains("what was served before is served still"));
    assert_eq!(shown(&gateway, &client).await, second);
    let asked = request(&Method::POST, "/admin/reload", &[], "");
    let refused = client.http1(gateway.address, asked).await.unwrap();
    let text = String::from_utf8_lossy(&refused.body().0).into_owned();
    assert!(refused.status() == 409 && text.contains("tls.key: the key "), "{text}");
    // Something that is no certificate, and then the right ones again.
    gateway.put("tls.crt", b"nothing");
    until_it_says(&gateway, "it holds no certificate").await;
    assert_eq!(shown(&gateway, &client).await, second);
    put(&gateway, &authority.issue(&["localhost"]));
    until_another_is_shown(&gateway, &client, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_of_links_as_kubernetes_does_it_is_seen() {
    let authority = Authority::new();
    let world = world(library::start().await, &authority);
    let gateway = world.with_config("[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n").start();
    let client = Client::trusting(&authority);
    let root = gateway.folder();
    let version = |name: &str| {
        let pair = authority.issue(&["localhost"]);
        fs::create_dir_all(root.join("mount").join(name)).unwrap();
        fs::write(root.join("mount").join(name).join("tls.crt"), &pair.certificate).unwrap();
        fs::write(root.join("mount").join(name).join("tls.key"), &pair.key).unwrap();
    };
    version("..1");
    symlink("..1", root.join("mount/..data")).unwrap();
    symlink("..data/tls.crt", root.join("mount/tls.crt")).unwrap();
    symlink("..data/tls.key", root.join("mount/tls.key")).unwrap();
    let first = shown(&gateway, &client).await;
    gateway.rewrite(
        &fs::read_to_string(gateway.config())
            .unwrap()
            .replace("\"tls.crt\"", "\"mount/tls.crt\"")
            .replace("\"tls.key\"", "\"mount/tls.key\""),
    );
    let second = until_another_is_shown(&gateway, &client, &first).await;
    version("..2");
    symlink("..2", root.join("mount/..new")).unwrap();
    fs::rename(root.join("mount/..new"), root.join("mount/..data")).unwrap();
    until_another_is_shown(&gateway, &client, &second).await;
    assert!(!gateway.program.output().contains("not reloaded"), "{}", gateway.program.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_calls_meanwhile_notices() {
    let (gateway, authority, client) = start("[rate_limits]\nenabled = false\n").await;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let (client, address) = (client.clone(), gateway.address);
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    let answer = match n % 2 {
                        0 => client.http1(address, get_book(&[])).await,
                        _ => client.http2(address, get_book(&[])).await,
                    };
                    assert_eq!(answer.unwrap().status(), 200);
                    calls.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let mut before = shown(&gateway, &client).await;
    for _ in 0..8 {
        put(&gateway, &authority.issue(&["localhost"]));
        before = until_another_is_shown(&gateway, &client, &before).await;
    }
    stop.store(true, SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(calls.load(SeqCst) > 20, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_comes_and_goes_with_the_config() {
    let authority = Authority::new();
    let plain = library::start().await;
    let gateway = world(plain, &authority).start();
    let client = Client::trusting(&authority);
    assert!(client.connect(gateway.address).await.is_err());
    let without = fs::read_to_string(gateway.config()).unwrap();
    gateway.rewrite(&format!("{TLS}{without}"));
    until_it_says(&gateway, "tls: new connections speak TLS: localhost").await;
    assert_eq!(client.http2(gateway.address, get_book(&[])).await.unwrap().status(), 200);
    gateway.rewrite(&without);
    until_it_says(&gateway, "tls: new connections speak plain text").await;
    assert!(client.connect(gateway.address).await.is_err());
}

#[test]
fn what_only_a_restart_changes_is_told() {
    let gateway = World::new().with_config("[gateway]\nworkers = 1\n").start();
    gateway.rewrite(
        "[gateway]\nworkers = 1\n[admin]\nlisten = \"0\"\n[connections]\nproxy_protocol = [\"10.0.0.0/8\"]\n",
    );
    let mut gateway = gateway;
    let limit = PATIENCE;
    gateway.program.wait_for("admin.listen needs a restart; still none", limit).unwrap();
    gateway.program.wait_for("connections.proxy_protocol needs a restart; still []", limit).unwrap();
}
