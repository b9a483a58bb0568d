//! The upstream of `scripts/bench`: answers `bench.v1.BenchService` from frames made once, and plain HTTP below
//! `/plain`, on a bare hyper server, so that it is never what limits a row.
//!
//! `bench-upstream ADDRESS DIRECTORY` writes what the script sends and what the gateways load into the directory
//! (`bench.binpb`, the descriptor set; `echo.frame`, a gRPC frame; `order.json`), then prints `listening on http://ADDRESS`.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a peer of the benchmark: it stops when it cannot run"
)]

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;

mod sample;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many orders the list holds.
const LISTED: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("usage: bench-upstream ADDRESS DIRECTORY");
    let directory = PathBuf::from(arguments.next().expect("usage: bench-upstream ADDRESS DIRECTORY"));
    let pool = sample::pool();
    let echo = sample::message(&pool, "bench.v1.EchoRequest", r#"{"text":"hello, relay","number":"417"}"#);
    for (name, content) in [
        ("bench.binpb", sample::descriptor_set()),
        ("echo.frame", frame(&echo.encode_to_vec()).to_vec()),
        ("order.json", sample::ORDER.trim_end().as_bytes().to_vec()),
    ] {
        std::fs::write(directory.join(name), content).expect("the directory can be written");
    }

    let answers = Answers {
        book: frame(&sample::message(&pool, "bench.v1.Book", sample::BOOK).encode_to_vec()),
        orders: frame(&sample::message(&pool, "bench.v1.ListOrdersResponse", &orders()).encode_to_vec()),
    };
    let listener = TcpListener::bind(address).await.expect("the address is free");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let answers = answers.clone();
        let service = service_fn(move |request| answers.clone().answer(request));
        tokio::spawn(async move {
            // A gateway that goes away is the end of its connection and no more.
            let mut server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            server.http2().max_concurrent_streams(10_000);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The frames that need no request.
#[derive(Clone)]
struct Answers {
    book: Bytes,
    orders: Bytes,
}

impl Answers {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
        let (head, body) = request.into_parts();
        // An unread body would be reset, and a gateway would rightly count that as a failure.
        let sent = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if let Some(path) = head.uri.path().strip_prefix("/plain/") {
            let body = if path == "echo" { sent } else { Bytes::from_static(sample::BOOK.as_bytes()) };
            let mut response = Response::new(Reply { frame: body, trailers: None });
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            return Ok(response);
        }
        let (frame, status) = match head.uri.path() {
            "/bench.v1.BenchService/Echo" | "/bench.v1.BenchService/CreateOrder" => (sent, "0"),
            "/bench.v1.BenchService/GetBook" => (self.book, "0"),
            "/bench.v1.BenchService/ListOrders" => (self.orders, "0"),
            // It is the gateways' collector too, which takes whatever it is sent.
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            | "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => (frame(&[]), "0"),
            _ => (Bytes::new(), "12"),
        };
        let mut response = Response::new(Reply { frame, trailers: Some(status) });
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        Ok(response)
    }
}

/// One frame, then the status: `trailers` is taken when it has been sent.
struct Reply {
    frame: Bytes,
    trailers: Option<&'static str>,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    /// Of plain HTTP the length is known, as most servers know it.
    fn size_hint(&self) -> SizeHint {
        match self.trailers {
            None => SizeHint::with_exact(self.frame.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.frame.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.frame)))));
        }
        Poll::Ready(self.trailers.take().map(|status| {
            let mut trailers = HeaderMap::with_capacity(1);
            trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status));
            Ok(Frame::trailers(trailers))
        }))
    }
}

/// `message` as one uncompressed gRPC frame.
fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).expect("a sample under 4 GiB"));
    frame.put_slice(message);
    frame.freeze()
}

/// A hundred orders, each with its own name and customer and one line or two, 62 KB of JSON together.
fn orders() -> String {
    let mut list = Vec::with_capacity(LISTED);
    for index in 0..LISTED {
        let mut order: serde_json::Value = serde_json::from_str(sample::ORDER).expect("order.json");
        order["name"] = format!("orders/2026-{index:06}").into();
        order["customer"]["id"] = (90_071_992_000 + index).to_string().into();
        let lines = order["lines"].as_array_mut().expect("lines");
        // Of unlike length, as a list is, and 620 bytes on average.
        lines.truncate(if index % 3 == 0 { 2 } else { 1 });
        list.push(order);
    }
    serde_json::json!({ "orders": list, "nextPageToken": "b3JkZXJzLzEwMA" }).to_string()
}
