//! Asks an upstream what it serves, by the gRPC Server Reflection Protocol (`grpc.reflection.v1`, else `v1alpha`, whose
//! messages are the same on the wire), over the same relay as any call. File descriptors stay the bytes they came as:
//! decoding them into structs would drop their extensions, `google.api.http` among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, uri::PathAndQuery};
use prost::Message;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Upstream, deadline, reply::Opened, request};
use crate::{
    call::{Body, Encoding, FrameReader, Frames, frame},
    status::{Fault, Whose, from_trailers, name},
};

/// What an upstream says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reflected {
    /// Full names of its services, sorted, without those of gRPC itself (`grpc.health.*`, `grpc.reflection.*`).
    pub services: Vec<String>,
    /// True if it serves `grpc.health.*`.
    pub health: bool,
    /// Serialized `FileDescriptorProto`s of the services and all they import, each name once, sorted by name.
    pub files: Vec<Bytes>,
    /// What could not be had: a service whose file it does not know, an import that is missing.
    pub problems: Vec<String>,
}

/// Bounds of one reading.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub time: Duration,
    /// Of all descriptors together.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), bytes: 64 << 20 }
    }
}

const VERSIONS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Reads an upstream's services and their files.
///
/// # Errors
/// UNIMPLEMENTED: the upstream has no reflection; UNAVAILABLE: it cannot be reached; DEADLINE_EXCEEDED,
/// RESOURCE_EXHAUSTED: over the limits; INTERNAL: what it says is not the protocol.
pub async fn read(upstream: &Arc<Upstream>, limits: Limits) -> Result<Reflected, Status> {
    let until = Instant::now() + limits.time;
    let reading = async {
        let mut refused = None;
        for version in VERSIONS {
            let mut reader = Reader { upstream, version, until, left: limits.bytes };
            match reader.read().await {
                Err(status) if status.code() == Code::Unimplemented => refused = Some(status),
                outcome => return outcome,
            }
        }
        let code = refused.as_ref().map_or(Code::Unimplemented, Status::code);
        let message = format!("{upstream} does not serve reflection ({})", name(code));
        Err(Fault::upstream().on(Status::unimplemented(message)))
    };
    tokio::time::timeout_at(until, reading)
        .await
        .unwrap_or_else(|_| Err(deadline::passed("its reflection was read", upstream)))
}

struct Reader<'a> {
    upstream: &'a Arc<Upstream>,
    version: &'static str,
    until: Instant,
    /// Bytes that may still come.
    left: usize,
}

impl Reader<'_> {
    async fn read(&mut self) -> Result<Reflected, Status> {
        let mut reflected = Reflected::default();
        let mut answers = self.ask(vec![Question::ListServices("*".into())]).await?;
        let services = match answers.pop().and_then(|answer| answer.answer) {
            Some(Answer::Services(services)) => services.service,
            Some(Answer::Error(error)) => return Err(self.refused("to list its services", &error)),
            _ => return Err(self.broken("does not answer list_services with services")),
        };
        let names: BTreeSet<String> = services.into_iter().map(|service| service.name).collect();
        reflected.health = names.iter().any(|name| name.starts_with("grpc.health."));
        let own = |name: &String| name.starts_with("grpc.health.") || name.starts_with("grpc.reflection.");
        reflected.services = names.into_iter().filter(|name| !own(name)).collect();

        let mut files = BTreeMap::<String, Bytes>::new();
        let mut asked = BTreeSet::<String>::new();
        let mut questions: Vec<_> = reflected.services.iter().cloned().map(Question::Symbol).collect();
        // Each round asks for what the one before turned out to import; no file is asked for twice, so this ends.
        while !questions.is_empty() {
            let answers = self.ask(questions.clone()).await?;
            for (question, answer) in questions.iter().zip(answers) {
                match answer.answer {
                    Some(Answer::Files(found)) => {
                        for file in found.file_descriptor_proto {
                            let head = FileHead::decode(file.clone()).map_err(|error| {
                                self.broken(&format!("answers with a malformed file descriptor: {error}"))
                            })?;
                            asked.insert(head.name.clone());
                            files.entry(head.name).or_insert(file);
                        }
                    }
                    Some(Answer::Error(error)) => {
                        let what = format!("to describe {question}");
                        reflected.problems.push(self.refused(&what, &error).message().to_owned());
                    }
                    _ => return Err(self.broken("does not answer a question for a file with files")),
                }
            }
            questions.clear();
            for file in files.values() {
                // Decoded above.
                let imports = FileHead::decode(file.clone()).map(|head| head.dependency).unwrap_or_default();
                for import in imports {
                    if !files.contains_key(&import) && asked.insert(import.clone()) {
                        questions.push(Question::File(import));
                    }
                }
            }
        }
        reflected.files = files.into_values().collect();
        Ok(reflected)
    }

    /// Asks questions on one stream, all at once, and reads an answer to each, in order.
    async fn ask(&mut self, questions: Vec<Question>) -> Result<Vec<Response>, Status> {
        let count = questions.len();
        let mut frames = Vec::new();
        for question in questions {
            let request = Request { host: String::new(), question: Some(question) };
            let one = frame(|out| request.encode(out).map_err(|error| Status::internal(error.to_string())))?;
            frames.extend_from_slice(&one);
        }
        let mut headers = HeaderMap::new();
        request::head(&mut headers, Some(self.until));
        let path = PathAndQuery::from_static(self.version);
        let Opened { metadata, body, .. } =
            self.upstream.ask(path, headers, Frames::Whole(frames.into())).await?;
        let Some(body) = body else { return Err(self.broken("ends without an answer")) };
        let encoding = Encoding::of(&metadata);
        let mut reader = FrameReader::new(Body::new(body), Whose::Upstream, encoding, self.left);
        let mut answers = Vec::with_capacity(count);
        while answers.len() < count
            && let Some(message) = reader.next().await?
        {
            self.left = self.left.checked_sub(message.len()).ok_or_else(|| {
                let message = format!("the reflection of {} is too large", self.upstream);
                Fault::upstream().on(Status::resource_exhausted(message))
            })?;
            let answer = Response::decode(message)
                .map_err(|error| self.broken(&format!("answers with a malformed message: {error}")))?;
            answers.push(answer);
        }
        if answers.len() == count {
            return Ok(answers);
        }
        match reader.take_trailers().as_ref().and_then(from_trailers) {
            Some(Err(status)) => Err(status),
            _ => Err(self.broken(&format!("ends after {} of {count} answers", answers.len()))),
        }
    }

    fn refused(&self, what: &str, error: &ErrorResponse) -> Status {
        let code = Code::from_i32(error.error_code);
        let text = format!(
            "the reflection of {} refuses {what}: {} {}",
            self.upstream,
            name(code),
            error.error_message
        );
        Fault::upstream().on(Status::new(code, text))
    }

    fn broken(&self, what: &str) -> Status {
        Fault::upstream().on(Status::internal(format!("the reflection of {} {what}", self.upstream)))
    }
}

/// `grpc.reflection.v1.ServerReflectionRequest`
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Question", tags = "3, 4, 7")]
    question: Option<Question>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Question {
    /// `file_by_filename`
    #[prost(string, tag = "3")]
    File(String),
    /// `file_containing_symbol`
    #[prost(string, tag = "4")]
    Symbol(String),
    #[prost(string, tag = "7")]
    ListServices(String),
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(name) => write!(f, "file {name}"),
            Self::Symbol(name) => write!(f, "service {name}"),
            Self::ListServices(_) => f.write_str("its services"),
        }
    }
}

/// `grpc.reflection.v1.ServerReflectionResponse`
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(oneof = "Answer", tags = "4, 6, 7")]
    answer: Option<Answer>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Answer {
    #[prost(message, tag = "4")]
    Files(FileDescriptorResponse),
    #[prost(message, tag = "6")]
    Services(ListServiceResponse),
    #[prost(message, tag = "7")]
    Error(ErrorResponse),
}

#[derive(Clone, PartialEq, Message)]
struct FileDescriptorResponse {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file_descriptor_proto: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct ListServiceResponse {
    #[prost(message, repeated, tag = "1")]
    service: Vec<ServiceResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceResponse {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorResponse {
    #[prost(int32, tag = "1")]
    error_code: i32,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The two fields of a `FileDescriptorProto` that are needed to find the others.
#[derive(Clone, PartialEq, Message)]
struct FileHead {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    dependency: Vec<String>,
}
