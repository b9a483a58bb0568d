//! The tests' own upstream: `protos/library.proto` over plain HTTP/2, answering from its requests.

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::LazyLock, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use propylon::{
    call::{Body, Encoding, FrameReader, frame},
    status::{self, RpcStatus, Whose},
};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Book {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) title: String,
    #[prost(int64, tag = "3")]
    pub(crate) pages: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) author: Bytes,
    #[prost(string, repeated, tag = "5")]
    pub(crate) tags: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetBookRequest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    edition: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CreateBookRequest {
    #[prost(string, tag = "1")]
    shelf: String,
    #[prost(message, optional, tag = "2")]
    book: Option<Book>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UpdateBookRequest {
    #[prost(message, optional, tag = "1")]
    book: Option<Book>,
    #[prost(message, optional, tag = "2")]
    update_mask: Option<prost_types::FieldMask>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FailRequest {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(string, tag = "3")]
    reason: String,
    #[prost(int32, tag = "4")]
    pages: i32,
}

/// The compiled descriptors, google.api.http options included.
pub(crate) static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("tests/it/protos"), root.join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file("library.proto").unwrap();
    compiler.encode_file_descriptor_set()
});

/// The descriptors as a pool, to make and read messages with.
pub(crate) static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS.as_slice()).unwrap());

/// Starts the upstream on a free port. It ends with the test's runtime.
pub(crate) async fn start() -> SocketAddr {
    serve(answer).await
}

/// Starts a gRPC server of a test's own on a free port. It ends with the test's runtime.
pub(crate) async fn serve<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Copy + Send + 'static,
    A: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let encoding = Encoding::of(request.headers());
    let path = request.uri().path().to_owned();
    let said = request.headers().get("x-say").cloned();
    let which = request.headers().contains_key("x-which");
    let seen: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let reader = FrameReader::new(Body::new(request.into_body()), Whose::Client, encoding, 16 << 20);
    let mut response = match path.strip_prefix("/library.v1.Library/") {
        Some("Chat") => Response::new(chat(reader)),
        Some(method) => match unary(method, reader, &seen).await {
            Ok((messages, end)) => Response::new(finished(messages, end)),
            Err(status) => trailers_only(&status),
        },
        None => {
            // It hears the client out: what the gateway says of a message does not race with the answer.
            let mut reader = reader;
            while let Ok(Some(_)) = reader.next().await {}
            trailers_only(&Status::unimplemented("no such service"))
        }
    };
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    if let Some(said) = said {
        response.headers_mut().insert("x-said", said);
    }
    if which {
        response.headers_mut().insert("x-method", path.parse().unwrap());
    }
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

type Answer = (Vec<Vec<u8>>, Result<(), Status>);

async fn unary(method: &str, mut reader: FrameReader, seen: &[String]) -> Result<Answer, Status> {
    let mut requests = Vec::new();
    while let Some(message) = reader.next().await? {
        requests.push(message);
    }
    let trailers = reader.take_trailers().unwrap_or_default();
    let trailers = trailers.iter().map(|(name, value)| format!("trailer {name}={value:?}"));
    let seen: Vec<String> = seen.iter().cloned().chain(trailers).collect();
    let first = requests.first().cloned().unwrap_or_default();
    let one = |book: Book| Ok((vec![book.encode_to_vec()], Ok(())));
    match method {
        "GetBook" | "Plain" => {
            let asked: GetBookRequest = decode(&first)?;
            one(Book { name: asked.name, pages: asked.edition.into(), tags: seen, ..Book::default() })
        }
        "CreateBook" => {
            let asked: CreateBookRequest = decode(&first)?;
            let book = asked.book.unwrap_or_default();
            one(Book { name: format!("shelves/{}/books/{}", asked.shelf, book.title), ..book })
        }
        "UpdateBook" => {
            let asked: UpdateBookRequest = decode(&first)?;
            let title = asked.update_mask.map_or("no mask".into(), |mask| mask.paths.join(","));
            one(Book { title, ..asked.book.unwrap_or_default() })
        }
        "PutBook" => one(decode(&first)?),
        "Upload" => Ok((vec![first.to_vec()], Ok(()))),
        "Collect" => {
            let books = requests.iter().map(|m| decode::<Book>(m)).collect::<Result<Vec<_>, _>>()?;
            one(Book { pages: books.iter().map(|book| book.pages).sum(), ..Book::default() })
        }
        "Fail" => Err(failure(&decode(&first)?)),
        "ListPages" => {
            let asked: FailRequest = decode(&first)?;
            let pages =
                (1..=asked.pages).map(|n| Book { pages: n.into(), ..Book::default() }.encode_to_vec());
            let end = if asked.code == 0 { Ok(()) } else { Err(failure(&asked)) };
            if asked.pages == 0 && end.is_err() {
                end.map(|()| (vec![], Ok(())))
            } else {
                Ok((pages.collect(), end))
            }
        }
        _ => Err(Status::unimplemented("no such method")),
    }
}

fn decode<M: prost::Message + Default>(message: &[u8]) -> Result<M, Status> {
    M::decode(message)
        .map_err(|error| Status::internal(format!("the upstream was sent a bad message: {error}")))
}

fn failure(asked: &FailRequest) -> Status {
    let code = Code::from_i32(asked.code);
    if asked.reason.is_empty() {
        return Status::new(code, &asked.message);
    }
    let details =
        ErrorDetails::with_error_info(&asked.reason, "library.example", [("shelf".into(), "7".into())]);
    let status = Status::with_error_details(code, &asked.message, details);
    RpcStatus::decode(status.details()).unwrap();
    status
}

pub(crate) fn trailers_only(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    status::to_trailers(status, response.headers_mut());
    response
}

pub(crate) fn finished(messages: Vec<Vec<u8>>, end: Result<(), Status>) -> Body {
    let mut trailers = HeaderMap::new();
    match end {
        Ok(()) => trailers = status::ok_trailers(),
        Err(status) => status::to_trailers(&status, &mut trailers),
    }
    trailers.insert("x-trailer", "kept".parse().unwrap());
    let frames = messages.into_iter().map(|message| Frame::data(framed(&message)));
    let frames = frames.chain([Frame::trailers(trailers)]).map(Ok::<_, Infallible>);
    Body::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())))
}

/// Each message back as it comes, so that a client sees its first answer before it has sent its second message.
fn chat(reader: FrameReader) -> Body {
    let frames = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(message)) => Some((Ok::<_, Infallible>(Frame::data(framed(&message))), Some(reader))),
            Ok(None) => Some((Ok(Frame::trailers(status::ok_trailers())), None)),
            Err(status) => {
                let mut trailers = HeaderMap::new();
                status::to_trailers(&status, &mut trailers);
                Some((Ok(Frame::trailers(trailers)), None))
            }
        }
    });
    Body::new(StreamBody::new(Box::pin(frames)))
}

/// One gRPC frame.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    frame(|out| {
        out.extend_from_slice(message);
        Ok(())
    })
    .unwrap()
}

/// The longest that any step of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
