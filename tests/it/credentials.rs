//! Metadata that the config has for an upstream: it goes with each call, in place of what a caller sent, from a file or the
//! environment, and a file that changes is read again.

use std::time::Duration;

use http::Method;

use crate::support::{
    client::{grpc, request, rest},
    gateway::{TestGateway, World},
    library::{self, PATIENCE, framed},
};

/// What the upstream was told under `x-say`, which it repeats.
async fn told(gateway: &TestGateway) -> String {
    let path = "/v1/shelves/1/books/2";
    let outcome =
        rest(gateway.address, request(&Method::GET, path, &[("x-say", "the caller's own")], "")).await;
    assert_eq!(outcome.http, 200, "{outcome:?}");
    let said = outcome.headers.iter().find(|(name, _)| name.as_str().ends_with("x-said"));
    said.map(|(_, value)| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn an_upstream_is_told_what_the_config_has_for_it() {
    let upstream = library::start().await;
    let gateway = World::with_library(upstream)
        .with_config("metadata = { x-say = { file = \"say\" }, x-client = \"propylon\" }")
        .with_file("say", b"5f2b8c1e9d\n")
        .start();
    assert_eq!(told(&gateway).await, "5f2b8c1e9d");
    let native = grpc(
        gateway.address,
        "/library.v1.Library/GetBook",
        &[("x-say", "the caller's own")],
        framed(b""),
        "library.v1.Book",
    )
    .await;
    assert_eq!(native.headers["x-said"], "5f2b8c1e9d");
    // Another credential in the file is taken over, and is nowhere said.
    gateway.put("say", b"0a9b8c7d6e\n");
    let taken = async {
        while told(&gateway).await != "0a9b8c7d6e" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("the new credential");
    let printed = gateway.program.output();
    assert!(printed.contains("upstreams.library.metadata has changed"), "{printed}");
    assert!(!printed.contains("5f2b8c1e9d") && !printed.contains("0a9b8c7d6e"), "{printed}");
}
