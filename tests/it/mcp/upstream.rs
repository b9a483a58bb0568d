//! An upstream of tools to be tried: `protos/tools.proto`, and the lines of a config under which its methods have the names
//! that MCP's conformance suite calls.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::Engine as _;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use propylon::{
    call::{Body, Encoding, FrameReader},
    status::Whose,
};
use prost::Message as _;
use tonic::Status;

use crate::support::{
    gateway::World,
    library::{finished, framed, serve, trailers_only},
};

/// The compiled descriptors.
static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("tests/it/protos"), root.join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file("tools.proto").unwrap();
    compiler.encode_file_descriptor_set()
});

/// The tools' names by their methods'.
const NAMES: [(&str, &str); 9] = [
    ("SimpleText", "test_simple_text"),
    ("Image", "test_image_content"),
    ("Audio", "test_audio_content"),
    ("Resource", "test_embedded_resource"),
    ("Failing", "test_error_handling"),
    ("Steps", "test_tool_with_progress"),
    ("Endless", "endless"),
    ("Slow", "slow"),
    ("Echo", "echo"),
];

/// Calls of `Endless` and `Slow` that have begun, and those of them that have ended.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// A call that goes on.
struct Ongoing;

impl Ongoing {
    fn begin() -> Self {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::SeqCst);
    }
}

/// How many calls have begun, and how many go on.
pub(super) fn calls() -> (usize, usize) {
    let (ended, begun) = (ENDED.load(Ordering::SeqCst), BEGUN.load(Ordering::SeqCst));
    (begun, begun - ended)
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Step {
    #[prost(int32, tag = "1")]
    done: i32,
}

/// A gateway before it, every method of which is a tool; `more` are lines of `[mcp]`.
pub(super) async fn world(more: &str) -> World {
    let upstream: SocketAddr = serve(answer).await;
    let tools = NAMES.map(|(method, name)| {
        format!("[[mcp.tools]]\nmethod = \"tools.v1.Tools/{method}\"\nname = \"{name}\"\n")
    });
    World::new().with_file("tools.binpb", DESCRIPTORS.as_slice()).with_config(&format!(
        "[[upstreams]]\nname = \"tools\"\ngrpc = \"http://{upstream}\"\ndescriptors = \"tools.binpb\"\n\
         [mcp]\nexpose = [\"*\"]\n{more}\n{}",
        tools.concat()
    ))
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let encoding = Encoding::of(request.headers());
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut reader = FrameReader::new(Body::new(request.into_body()), Whose::Client, encoding, 16 << 20);
    let mut first = Vec::new();
    while let Ok(Some(message)) = reader.next().await {
        first = message.to_vec();
    }
    let body = |content_type: &str, base64: &str| {
        let data = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
        HttpBody { content_type: content_type.to_owned(), data }.encode_to_vec()
    };
    let one = |message: Vec<u8>| Response::new(finished(vec![message], Ok(())));
    let mut response = match method.as_str() {
        "SimpleText" => {
            let data = b"This is a simple text response for testing.".to_vec();
            one(HttpBody { content_type: "text/plain".to_owned(), data }.encode_to_vec())
        }
        // One red pixel; a tenth of nothing to hear; four bytes.
        "Image" => one(body(
            "image/png",
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==",
        )),
        "Audio" => one(body("audio/wav", "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=")),
        "Resource" => one(body("application/octet-stream", "3q2+7w==")),
        "Failing" => trailers_only(&Status::failed_precondition("it always does")),
        "Steps" => {
            let steps = [0, 50, 100].map(|done| Step { done }.encode_to_vec());
            Response::new(finished(steps.into(), Ok(())))
        }
        "Endless" => {
            let ongoing = Ongoing::begin();
            let steps = stream::unfold((0, ongoing), |(done, ongoing)| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let step = Frame::data(framed(&Step { done }.encode_to_vec()));
                Some((Ok::<_, Infallible>(step), (done + 1, ongoing)))
            });
            Response::new(Body::new(StreamBody::new(steps)))
        }
        "Slow" => {
            let ongoing = Ongoing::begin();
            tokio::time::sleep(Duration::from_secs(30)).await;
            drop(ongoing);
            one(Vec::new())
        }
        "Echo" => one(first),
        _ => trailers_only(&Status::unimplemented("no such method")),
    };
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    Ok(response)
}
