//! Streams and tunnels in numbers and in the log: by how soon they began, for how long they went on is their client's matter.

use std::time::Duration;

use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::sleep};

use super::{exposition::Scrape, metrics::until};
use crate::support::{client::request, gateway::World, library, recorder::Recorder, streams::Socket};

/// How long those of these tests are open; more than what is slow, and than the bucket that they are to be in.
const OPEN: Duration = Duration::from_millis(1300);

#[tokio::test]
async fn what_goes_on_for_long_is_not_slow() {
    let (library, upstream) = (library::start().await, Recorder::start().await);
    let gateway = World::with_library(library)
        .with_config(&format!(
            "[log]\nslow = \"1s\"\n[[upstreams]]\nname = \"u\"\nhttp = \"http://{}\"\n[[routes]]\npath = \"/events\"\nupstream = \"u\"\n\
             [[routes]]\npath = \"/chunks\"\nupstream = \"u\"\n[[routes]]\npath = \"/drips/{{n}}\"\nupstream = \"u\"\n",
            upstream.address
        ))
        .start();
    let read = async |path: &str| {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let asked = request(&Method::GET, path, &[("host", "test")], "").map(Full::new);
        let mut body = sender.send_request(asked).await.unwrap().into_body();
        let all = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = tokio::time::timeout(OPEN, all).await;
        drop((body, sender));
        connection.abort();
    };
    let socket = async {
        let socket = Socket::start(gateway.address, "/v1/chat").await;
        sleep(OPEN).await;
        drop(socket);
    };
    // Events go on for ever, chunks for as long as there are any; what says how long it is, is slow when it is.
    tokio::join!(read("/events"), read("/chunks"), read("/drips/90"), socket);
    let (count, bucket) =
        ("http_server_request_duration_seconds_count", "http_server_request_duration_seconds_bucket");
    for (route, soon) in [("/events", 1.0), ("/chunks", 1.0), ("/v1/chat", 1.0), ("/drips/{n}", 0.0)] {
        let labels = format!("http_route=\"{route}\"");
        let scrape = until(&gateway, |scrape: &Scrape| scrape.sum(count, &labels) == Some(1.0)).await;
        let within = scrape.sum(bucket, &format!("{labels},le=\"1\""));
        assert_eq!(within, Some(soon), "{route} in\n{}", scrape.text);
    }
    let output = gateway.program.output();
    let slow: Vec<&str> = output.lines().filter(|line| line.contains("slow request")).collect();
    assert!(slow.len() == 1 && slow[0].contains("/drips/90"), "{slow:#?}");
}
