//! Tables of both directions over one schema that has every kind of field, and properties over schemas made at random.
#![cfg(test)]

mod json_to_wire;
mod properties;
mod wire_to_json;

use std::sync::Arc;

use prost_reflect::DescriptorPool;

use super::{Codec, JsonInput, JsonStyle, Tables};

/// A pool of the given files, which may import google/protobuf.
pub(super) fn pool(files: &[(&str, &str)]) -> DescriptorPool {
    let mut resolver = protox::file::ChainFileResolver::new();
    let directory = tempfile::tempdir().unwrap();
    for (name, source) in files {
        std::fs::write(directory.path().join(name), source).unwrap();
    }
    resolver.add(protox::file::IncludeFileResolver::new(directory.path().to_owned()));
    resolver.add(protox::file::GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_files(files.iter().map(|(name, _)| name)).unwrap();
    DescriptorPool::decode(&*compiler.encode_file_descriptor_set()).unwrap()
}

fn tables() -> Arc<Tables> {
    static TABLES: std::sync::OnceLock<Arc<Tables>> = std::sync::OnceLock::new();
    Arc::clone(TABLES.get_or_init(|| {
        Tables::compile(&pool(&[("everything.proto", EVERYTHING), ("old.proto", OLD), ("book.proto", BOOK)]))
    }))
}

pub(super) fn codec(name: &str) -> Codec {
    tables().codec(name).unwrap_or_else(|| panic!("no message {name}"))
}

/// Wire to JSON in ProtoJSON's own style, or the error's text.
fn json(codec: &Codec, wire: &[u8]) -> String {
    styled(codec, wire, JsonStyle::default())
}

fn styled(codec: &Codec, wire: &[u8], style: JsonStyle) -> String {
    let mut out = b"before".to_vec();
    match codec.to_json(wire, &style, &mut out) {
        Ok(()) => String::from_utf8(out.split_off(6)).unwrap(),
        Err(error) => {
            assert_eq!(out, b"before", "an error leaves nothing behind");
            error.to_string()
        }
    }
}

fn wire(codec: &Codec, json: &str) -> Result<Vec<u8>, super::TranscodeError> {
    let mut out = b"before".to_vec();
    let parsed = codec.to_wire(json.as_bytes(), &JsonInput::default(), &mut out);
    parsed.inspect_err(|_| assert_eq!(out, b"before", "an error leaves nothing behind"))?;
    Ok(out.split_off(6))
}

pub(super) const BOOK: &str = r#"
syntax = "proto3";
package library;
message Author { string name = 1; int32 born = 2; }
message Book {
  string name = 1;
  string title = 2;
  Author author = 3;
  int64 price_micros = 4;
  repeated int32 page_numbers = 5;
  map<string, string> labels = 6;
  bytes cover = 7;
  bool in_print = 8;
  Genre genre = 9;
  double rating = 10;
  repeated string tags = 11;
  uint32 edition = 12;
}
enum Genre { GENRE_UNSPECIFIED = 0; FICTION = 1; SCIENCE = 2; }
"#;

const OLD: &str = r#"
syntax = "proto2";
package old;
enum Colour { RED = 1; GREEN = 2; }
message Old {
  optional int32 number = 1 [default = 5];
  required string text = 2;
  optional Colour colour = 3;
  repeated Colour colours = 4;
  optional group Part = 5 { optional int32 a = 1; repeated int32 b = 2; }
  repeated group Many = 6 { optional int32 a = 1; }
  repeated int32 packed = 7 [packed = true];
  repeated int32 unpacked = 8;
  map<string, Colour> by_name = 9;
  extensions 100 to 200;
}
extend Old { optional string note = 100; repeated int32 marks = 101; }
message Scope { extend Old { optional Scope scope = 102; } optional int32 a = 1; }
"#;

const EVERYTHING: &str = r#"
syntax = "proto3";
package every;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Mood { MOOD_UNSPECIFIED = 0; option allow_alias = true; GOOD = 1; FINE = 1; BAD = -1; }
message Every {
  double d = 1; float f = 2; int32 i32 = 3; int64 i64 = 4; uint32 u32 = 5; uint64 u64 = 6; sint32 s32 = 7; sint64 s64 = 8;
  fixed32 x32 = 9; fixed64 x64 = 10; sfixed32 sx32 = 11; sfixed64 sx64 = 12; bool b = 13; string s = 14; bytes y = 15;
  Mood mood = 16; Every every = 17; optional int32 maybe = 18;
  repeated int32 ints = 20; repeated string texts = 21; repeated Every list = 22; repeated Mood moods = 23;
  repeated double doubles = 24; repeated bytes blobs = 25;
  map<string, int32> by_text = 30; map<int32, string> by_int = 31; map<bool, bytes> by_bool = 32;
  map<uint64, Every> by_u64 = 33; map<sint64, Mood> by_s64 = 34; map<fixed32, double> by_fixed = 35;
  oneof pick { int32 pick_int = 40; string pick_text = 41; Every pick_every = 42; google.protobuf.NullValue pick_null = 43; }
  google.protobuf.Any any = 50; google.protobuf.Timestamp at = 51; google.protobuf.Duration took = 52;
  google.protobuf.FieldMask mask = 53; google.protobuf.Struct struct = 54; google.protobuf.Value value = 55;
  google.protobuf.ListValue items = 56; google.protobuf.NullValue null = 57; google.protobuf.Empty empty = 58;
  google.protobuf.Int32Value wrapped_int = 60; google.protobuf.Int64Value wrapped_long = 61;
  google.protobuf.StringValue wrapped_text = 62; google.protobuf.BoolValue wrapped_bool = 63;
  google.protobuf.BytesValue wrapped_bytes = 64; google.protobuf.DoubleValue wrapped_double = 65;
  google.protobuf.FloatValue wrapped_float = 66; google.protobuf.UInt32Value wrapped_u32 = 67;
  google.protobuf.UInt64Value wrapped_u64 = 68;
  repeated google.protobuf.Value values = 70; map<string, google.protobuf.Value> by_value = 71;
  int32 snake_case_name = 80; int32 odd = 81 [json_name = "@odd \"name\""];
  int32 far = 536870911;
}
"#;
