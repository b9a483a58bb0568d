//! Streams and tunnels: their spans end when they do.

use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use http::Method;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use super::{Begun, traced};
use crate::support::{
    client::request,
    collector::{Collector, Got, hex},
    gateway::World,
    library,
    recorder::Recorder,
};

/// How long a stream of these tests goes on.
const OPEN: Duration = Duration::from_millis(700);

/// The server's span of a trace, which has lasted at least as long as its stream was open.
async fn ended(collector: &Collector, begun: &Begun, spans: usize) -> Got {
    let got = collector.trace(&begun.id, spans).await;
    let server = got.into_iter().find(|got| got.is("edge", SpanKind::Server)).unwrap();
    let took = server.span.end_time_unix_nano - server.span.start_time_unix_nano;
    assert!(u128::from(took) >= OPEN.as_nanos(), "{server:#?}");
    server
}

fn nothing_yet(collector: &Collector, begun: &Begun) {
    assert!(collector.got().iter().all(|got| hex(&got.span.trace_id) != begun.id));
}

#[tokio::test]
async fn a_stream_ends_its_span_when_it_ends_or_its_client_goes() {
    let (collector, upstream) = (Collector::start().await, Recorder::start().await);
    let lines = format!(
        "[[upstreams]]\nname = \"users\"\nhttp = \"http://{}\"\n[[routes]]\npath = \"/events\"\nupstream = \"users\"\n",
        upstream.address
    );
    let gateway = traced(World::new().with_config(&lines), "edge", collector.grpc, "grpc", "");
    let begun = Begun::new(true);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let headers = [("host", "test"), ("traceparent", &*begun.header)];
    let asked = request(&Method::GET, "/events", &headers, "").map(http_body_util::Full::new);
    let mut body = sender.send_request(asked).await.unwrap().into_body();
    let open = Instant::now();
    while open.elapsed() < OPEN {
        body.frame().await.unwrap().unwrap();
    }
    nothing_yet(&collector, &begun);
    drop((body, sender));
    connection.abort();
    let server = ended(&collector, &begun, 3).await;
    assert_eq!(server.attribute("error.type").as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_websocket_ends_its_span_when_it_is_closed() {
    let (collector, library) = (Collector::start().await, library::start().await);
    let gateway = traced(World::with_library(library), "edge", collector.grpc, "grpc", "");
    let begun = Begun::new(true);
    let mut asked = format!("ws://{}/v1/chat", gateway.address).into_client_request().unwrap();
    asked.headers_mut().insert("traceparent", begun.header.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(asked).await.unwrap();
    socket.send(Message::text("{\"title\": \"a\"}")).await.unwrap();
    sleep(OPEN).await;
    nothing_yet(&collector, &begun);
    socket.close(None).await.unwrap();
    drop(socket);
    let server = ended(&collector, &begun, 3).await;
    assert_eq!(server.attribute("http.response.status_code").as_deref(), Some("101"));
    assert_eq!(server.span.name, "GET /v1/chat");
}
