//! The floor of `scripts/bench`: a bare hyper HTTP/2 to HTTP/2 relay on one thread, with no policy, no route and no
//! error handling beyond closing the connection. What a gateway costs beyond this is what its features cost.
//!
//! `bench-relay UPSTREAM_ADDRESS` prints `listening on http://ADDRESS`.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a peer of the benchmark: it stops when it cannot run"
)]

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

// The allocator of the gateway under test, so that the difference is the gateway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let upstream: Authority = std::env::args()
        .nth(1)
        .and_then(|address| address.parse().ok())
        .expect("usage: bench-relay UPSTREAM_ADDRESS");

    let stream = TcpStream::connect(upstream.as_str()).await.expect("the upstream");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let (client, connection) =
        hyper::client::conn::http2::handshake::<_, _, Incoming>(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("a handshake with the upstream");
    tokio::spawn(connection);

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let client = client.clone();
        let upstream = upstream.clone();
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            let mut client = client.clone();
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(upstream.clone());
            parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from_parts(parts).expect("a target with scheme, authority and path");
            async move {
                client.ready().await?;
                client.send_request(request).await
            }
        });
        tokio::spawn(async move {
            // A client that goes away is the end of its connection and no more.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
