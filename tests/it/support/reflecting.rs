//! An upstream whose contract is its server reflection, and can be changed while it runs: `shop.v1.Shop`, which echoes,
//! and streams a message whenever the test says so.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use propylon::{
    call::{Body, Encoding, FrameReader},
    proto::grpc_reflection_v1::{
        FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest, ServerReflectionResponse,
        ServiceResponse, server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    },
    status::{self, Whose},
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::broadcast};

use super::{library::framed, tools};

/// What `shop.v1.Shop` has at first.
pub(crate) const FIRST: &str = "";
/// A method and a field more.
pub(crate) const SECOND: &str =
    "rpc Find(Item) returns (Item) { option (google.api.http) = { get: \"/v1/find\" }; }";

/// A running upstream. It ends with the test's runtime.
pub(crate) struct Reflecting {
    pub(crate) address: SocketAddr,
    files: Arc<Mutex<Vec<Vec<u8>>>>,
    ticks: broadcast::Sender<()>,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

/// `google.protobuf.FileDescriptorSet` whose files stay bytes, extensions and all.
#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

impl Reflecting {
    /// Starts it on an address (port 0 takes a free one) with further methods in its contract.
    pub(crate) async fn start(address: SocketAddr, methods: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let files = Arc::new(Mutex::new(compiled(methods)));
        let (ticks, _) = broadcast::channel(256);
        let (served, ticking) = (Arc::clone(&files), ticks.clone());
        let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, opened) = (Arc::clone(&accepted), Arc::clone(&open));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (served, ticking) = (Arc::clone(&served), ticking.clone());
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&served), ticking.clone()));
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                counted.fetch_add(1, Ordering::Relaxed);
                opened.fetch_add(1, Ordering::Relaxed);
                let opened = Arc::clone(&opened);
                tokio::spawn(async move {
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    opened.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, files, ticks, accepted, open }
    }

    /// The connections it has ever had.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The connections it has now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// From now on its reflection says this.
    pub(crate) fn change(&self, methods: &str) {
        *self.files.lock().unwrap() = compiled(methods);
    }

    /// Waits until so many Watches are open.
    pub(crate) async fn watched_by(&self, count: usize) {
        let watched = async {
            while self.ticks.receiver_count() < count {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(super::library::PATIENCE, watched).await.expect("the calls at the upstream");
    }

    /// Every open Watch sends a message.
    pub(crate) fn tick(&self) {
        assert!(self.try_tick(), "nobody watches");
    }

    /// The same; false where none is open.
    pub(crate) fn try_tick(&self) -> bool {
        self.ticks.send(()).is_ok()
    }
}

/// Its contract as an encoded `google.protobuf.FileDescriptorSet`.
pub(crate) fn descriptors(methods: &str) -> Vec<u8> {
    Files { file: compiled(methods) }.encode_to_vec()
}

fn compiled(methods: &str) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let source = format!(
        "syntax = \"proto3\"; package shop.v1; import \"google/api/annotations.proto\";
        message Item {{ string name = 1; }}
        service Shop {{
          rpc Get(Item) returns (Item) {{ option (google.api.http) = {{ get: \"/v1/items/{{name}}\" }}; }}
          rpc Watch(Item) returns (stream Item) {{ option (google.api.http) = {{ get: \"/v1/watch\" }}; }}
          {methods}
        }}"
    );
    std::fs::write(folder.path().join("shop.proto"), source).unwrap();
    let includes = [folder.path().to_path_buf(), tools::package().join("proto")];
    let mut compiler = protox::Compiler::new(includes).unwrap();
    compiler.include_imports(true).open_file("shop.proto").unwrap();
    Files::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap().file
}

async fn answer(
    request: Request<Incoming>,
    files: Arc<Mutex<Vec<Vec<u8>>>>,
    ticks: broadcast::Sender<()>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let encoding = Encoding::of(request.headers());
    let mut reader = FrameReader::new(Body::new(request.into_body()), Whose::Client, encoding, 1 << 20);
    let body = match path.as_str() {
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => {
            let files = files.lock().unwrap().clone();
            frames(stream::unfold((reader, files), |(mut reader, files)| async move {
                let asked = reader.next().await.ok()??;
                let answer = reflected(&ServerReflectionRequest::decode(asked).unwrap(), &files);
                Some((framed(&answer.encode_to_vec()), (reader, files)))
            }))
        }
        "/shop.v1.Shop/Watch" => frames(stream::unfold(ticks.subscribe(), |mut ticks| async move {
            ticks.recv().await.ok()?;
            Some((framed(b"\x0a\x04tick"), ticks))
        })),
        _ => {
            let message = reader.next().await.ok().flatten().unwrap_or_default();
            frames(stream::iter([framed(&message)]))
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    Ok(response)
}

/// Frames, then a status that all went well.
fn frames(messages: impl stream::Stream<Item = Bytes> + Send + 'static) -> Body {
    use futures_util::StreamExt as _;
    let frames = messages.map(Frame::data).chain(stream::iter([Frame::trailers(status::ok_trailers())]));
    Body::new(StreamBody::new(Box::pin(frames.map(Ok::<_, Infallible>))))
}

fn reflected(asked: &ServerReflectionRequest, files: &[Vec<u8>]) -> ServerReflectionResponse {
    let answer = match asked.message_request.as_ref().unwrap() {
        MessageRequest::ListServices(_) => {
            let service = vec![ServiceResponse { name: "shop.v1.Shop".into() }];
            MessageResponse::ListServicesResponse(ListServiceResponse { service })
        }
        // Everything at once: who asks for a part may be told of all it imports.
        _ => MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
            file_descriptor_proto: files.to_vec(),
        }),
    };
    ServerReflectionResponse {
        valid_host: String::new(),
        original_request: Some(asked.clone()),
        message_response: Some(answer),
    }
}
