//! Protobuf wire ↔ JSON by compiled tables: a schema is compiled once into flat tables, and a message is converted in one
//! pass over its bytes, with no message object in between. Pure functions over byte slices; nothing here does I/O.
//!
//! ```text
//!  DescriptorPool ──compile──▶ Tables ──codec(name)──▶ Codec ──to_json──▶ ProtoJSON
//!                                                        └────to_wire──▶ protobuf wire
//! ```
//! Source: the ProtoJSON format (<https://protobuf.dev/programming-guides/json/>) and the protobuf wire encoding
//! (<https://protobuf.dev/programming-guides/encoding/>).

mod bind;
mod casing;
mod codec;
mod compile;
mod error;
mod features;
mod http_body;
pub mod json_schema;
mod keys;
mod mask;
mod names;
mod parse;
mod print;
mod query;
mod tables;
mod target;
mod tests;
mod text;
mod time;
mod weave;
mod wire;

pub use bind::{HttpBodyPlace, Parameter, RequestPlan};
pub use codec::{Codec, FieldCodec, JsonInput, JsonStyle};
pub use error::{ErrorKind, TranscodeError};
pub use http_body::{HTTP_BODY, HttpBody, message_in};
pub use tables::{Kind, Tables};
