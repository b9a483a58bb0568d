//! Reads an upstream's schema from its own server reflection, over the same pool as its calls: grpc.reflection.v1, and
//! v1alpha where that is all it has. Files are kept as the bytes that came, because options would be lost in any struct.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, uri::PathAndQuery};
use prost::Message as _;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::Upstream;
use crate::{
    call::{FrameReader, Frames, frame},
    status::{self, Fault, Whose},
};

/// The longest that reading a whole schema may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer.
const ANSWER_BYTES: usize = 64 << 20;
/// Rounds of asking for imports that were not sent along; each goes one level deeper.
const ROUNDS: usize = 64;

/// A message of the file that most details of errors are from. No service imports it, since details travel as `Any`; with
/// it they can be read in JSON, and by the clients of our own reflection.
const ERROR_DETAILS: &str = "google.rpc.ErrorInfo";

/// What an upstream's reflection said.
#[derive(Debug)]
pub struct Reflected {
    /// Full names, the reflection service itself included.
    pub services: Vec<String>,
    /// Encoded `google.protobuf.FileDescriptorProto`s, each file once.
    pub files: Vec<Bytes>,
}

/// Reads the whole schema.
///
/// # Errors
/// The upstream cannot be reached, does not serve reflection, or answers nonsense; the message names it.
pub async fn read(upstream: &Upstream) -> Result<Reflected, Status> {
    let reading = async {
        match read_by(
            upstream,
            PathAndQuery::from_static("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
        )
        .await
        {
            Err(status) if status.code() == Code::Unimplemented => {
                let alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
                read_by(upstream, PathAndQuery::from_static(alpha)).await
            }
            read => read,
        }
    };
    match timeout(PATIENCE, reading).await {
        Ok(Err(status)) if status.code() == Code::Unimplemented => {
            Err(Status::unimplemented(format!("{} does not serve reflection", upstream.who())))
        }
        Ok(read) => read,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "{} did not answer reflection within {PATIENCE:?}",
            upstream.who()
        ))),
    }
}

async fn read_by(upstream: &Upstream, path: PathAndQuery) -> Result<Reflected, Status> {
    let listed =
        ask(upstream, &path, vec![Request { list_services: Some(String::new()), ..Request::default() }])
            .await?;
    let services: Vec<String> = listed
        .into_iter()
        .filter_map(|answer| answer.services)
        .flat_map(|list| list.service)
        .map(|s| s.name)
        .collect();
    let mut files = BTreeMap::new();
    let by_symbol = services.iter().map(|name| Request { symbol: Some(name.clone()), ..Request::default() });
    gather(upstream, &path, by_symbol.collect(), &mut files).await?;
    if files.is_empty() {
        return Err(nonsense(upstream, "no file for any service"));
    }
    // In a stream of its own, and only if all of it comes: some servers end the stream at a symbol they do not know.
    let mut more = files.clone();
    let details = Request { symbol: Some(ERROR_DETAILS.to_owned()), ..Request::default() };
    if gather(upstream, &path, vec![details], &mut more).await.is_ok() {
        files = more;
    }
    Ok(Reflected { services, files: files.into_values().collect() })
}

/// Asks for files and for what they import, until nothing is missing.
async fn gather(
    upstream: &Upstream,
    path: &PathAndQuery,
    mut requests: Vec<Request>,
    files: &mut BTreeMap<String, Bytes>,
) -> Result<(), Status> {
    let mut asked = BTreeSet::new();
    for _ in 0..ROUNDS {
        if requests.is_empty() {
            break;
        }
        for answer in ask(upstream, path, std::mem::take(&mut requests)).await? {
            for file in answer.files.map(|found| found.file).unwrap_or_default() {
                let name = FileHead::decode(file.clone())
                    .map_err(|error| nonsense(upstream, &format!("a file that cannot be read: {error}")))?
                    .name;
                files.entry(name).or_insert(file);
            }
        }
        for import in files.values().flat_map(imports).collect::<Vec<_>>() {
            if !files.contains_key(&import) && asked.insert(import.clone()) {
                requests.push(Request { filename: Some(import), ..Request::default() });
            }
        }
    }
    Ok(())
}

fn nonsense(upstream: &Upstream, what: &str) -> Status {
    Fault::upstream().on(Status::internal(format!("the reflection of {} gives {what}", upstream.who())))
}

fn imports(file: &Bytes) -> Vec<String> {
    FileHead::decode(file.clone()).map(|file| file.dependency).unwrap_or_default()
}

/// Asks a number of questions in one stream. An answer that is an error is left out: a server may list a service whose file
/// it does not have, and the others are still good.
async fn ask(
    upstream: &Upstream,
    path: &PathAndQuery,
    questions: Vec<Request>,
) -> Result<Vec<Answer>, Status> {
    let mut frames = Vec::new();
    for question in &questions {
        frames.extend_from_slice(&frame(|out| {
            question.encode_raw(out);
            Ok(())
        })?);
    }
    let deadline = Instant::now() + PATIENCE;
    let reply =
        upstream.call(path.clone(), HeaderMap::new(), Some(deadline), Frames::Whole(frames.into())).await?;
    let mut reader = FrameReader::new(reply.body, Whose::Upstream, None, ANSWER_BYTES);
    let mut answers = Vec::new();
    while let Some(message) = reader.next().await? {
        answers.push(
            Answer::decode(message)
                .map_err(|error| nonsense(upstream, &format!("an unreadable answer: {error}")))?,
        );
        if answers.len() == questions.len() {
            return Ok(answers);
        }
    }
    match reader.take_trailers().as_ref().and_then(status::from_trailers) {
        Some(Err(status)) => Err(status),
        Some(Ok(())) | None => Ok(answers),
    }
}

/// grpc.reflection.v1.ServerReflectionRequest, the same in v1alpha.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(string, optional, tag = "3")]
    filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    symbol: Option<String>,
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

/// grpc.reflection.v1.ServerReflectionResponse
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "4")]
    files: Option<FoundFiles>,
    #[prost(message, optional, tag = "6")]
    services: Option<ServiceList>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FoundFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ServiceList {
    #[prost(message, repeated, tag = "1")]
    service: Vec<ServiceName>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ServiceName {
    #[prost(string, tag = "1")]
    name: String,
}

/// What is needed here of a google.protobuf.FileDescriptorProto.
#[derive(Clone, PartialEq, prost::Message)]
struct FileHead {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    dependency: Vec<String>,
}
