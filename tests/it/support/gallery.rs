//! An upstream with something of everything: `protos/gallery.proto`, answered by its descriptors alone. What it is sent must
//! be what its schema says, else it fails with INTERNAL, and so would the test.

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::LazyLock};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use propylon::{
    call::{Body, Encoding, FrameReader},
    status::Whose,
};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _,
    Value,
};
use tokio::net::TcpListener;
use tonic::Status;

use super::library::{finished, trailers_only};

/// Messages are filled to this depth.
const DEPTH: usize = 3;

/// The compiled descriptors, google.api.http options included.
pub(crate) static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([root.join("tests/it/protos"), root.join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file("gallery.proto").unwrap();
    compiler.encode_file_descriptor_set()
});

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS.as_slice()).unwrap());

/// Starts the upstream on a free port. It ends with the test's runtime.
pub(crate) async fn start() -> SocketAddr {
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
    let reader = FrameReader::new(Body::new(request.into_body()), Whose::Client, encoding, 16 << 20);
    let mut response = match call(&path, reader).await {
        Ok(messages) => Response::new(finished(messages, Ok(()))),
        Err(status) => trailers_only(&status),
    };
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    Ok(response)
}

async fn call(path: &str, mut reader: FrameReader) -> Result<Vec<Vec<u8>>, Status> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let service = POOL.get_service_by_name("gallery.v1.Gallery").unwrap();
    let method = service
        .methods()
        .find(|method| method.name() == name)
        .ok_or_else(|| Status::unimplemented("no such method"))?;
    let mut requests = Vec::new();
    while let Some(message) = reader.next().await? {
        let decoded = DynamicMessage::decode(method.input(), Bytes::copy_from_slice(&message));
        requests.push(decoded.map_err(|error| Status::internal(format!("a bad message came: {error}")))?);
    }
    let missing = |request: &DynamicMessage| {
        let name = request.get_field_by_name("name");
        name.is_some_and(|name| name.as_str().is_some_and(|name| name.contains("missing")))
    };
    if requests.iter().any(missing) {
        return Err(Status::not_found("there is no such picture"));
    }
    let output = method.output();
    if method.is_client_streaming() && method.input() == output {
        return Ok(requests.iter().map(|request| request.encode_to_vec()).collect());
    }
    let request = requests.first().cloned().unwrap_or_else(|| DynamicMessage::new(method.input()));
    let answer = respond(&request, &output);
    let times = if method.is_server_streaming() { 3 } else { 1 };
    Ok(vec![answer.encode_to_vec(); times])
}

/// The request itself where it has the answer's type, its field of that type, or a message made up.
fn respond(request: &DynamicMessage, output: &MessageDescriptor) -> DynamicMessage {
    if request.descriptor() == *output {
        return request.clone();
    }
    let given = request.fields().find_map(|(_, value)| match value {
        Value::Message(message) if message.descriptor() == *output => Some(message.clone()),
        _ => None,
    });
    given.unwrap_or_else(|| filled(output, 0))
}

/// A message whose every field is set; of a oneof the first.
fn filled(descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let first = |oneof: prost_reflect::OneofDescriptor| oneof.fields().next().as_ref() == Some(&field);
        let set = field.containing_oneof().is_none_or(first);
        if let Some(value) = set.then(|| value(&field, depth)).flatten() {
            message.set_field(&field, value);
        }
    }
    message
}

fn value(field: &FieldDescriptor, depth: usize) -> Option<Value> {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let key = match entry.map_entry_key_field().kind() {
            Kind::Bool => MapKey::Bool(true),
            Kind::Int32 => MapKey::I32(-7),
            _ => MapKey::String("key".to_owned()),
        };
        return Some(Value::Map([(key, one(&entry.map_entry_value_field(), depth)?)].into()));
    }
    let one = one(field, depth)?;
    Some(if field.is_list() { Value::List(vec![one.clone(), one]) } else { one })
}

fn one(field: &FieldDescriptor, depth: usize) -> Option<Value> {
    Some(match field.kind() {
        Kind::Message(_) if depth == DEPTH => return None,
        // Theirs have ranges of their own.
        Kind::Message(message) if ["Timestamp", "Duration"].contains(&message.name()) => {
            let mut time = DynamicMessage::new(message);
            time.set_field_by_name("seconds", Value::I64(1_700_000_000));
            time.set_field_by_name("nanos", Value::I32(500_000_000));
            Value::Message(time)
        }
        Kind::Message(message) => Value::Message(filled(&message, depth + 1)),
        // One that has no name.
        Kind::Enum(_) => Value::EnumNumber(if field.is_list() { 9 } else { 0 }),
        Kind::Double => Value::F64(f64::NAN),
        Kind::Float => Value::F32(1.5),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(7),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1 << 40),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(u32::MAX),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::MAX),
        Kind::Bool => Value::Bool(true),
        Kind::String if field.name() == "content_type" => Value::String("image/png".to_owned()),
        Kind::String => Value::String(field.name().replace('_', "")),
        Kind::Bytes => Value::Bytes(Bytes::from_static(b"\xffbytes")),
    })
}
