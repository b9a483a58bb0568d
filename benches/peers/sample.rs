//! The messages that the measurements are made with, read from the JSON beside this file by prost-reflect, so that no
//! figure rests on Propylon's own converter. Shared by the upstream of `scripts/bench` and by `benches/pure.rs`.
#![expect(clippy::expect_used, reason = "a broken sample must stop the measurement")]

use std::path::Path;

use prost_reflect::{DescriptorPool, DynamicMessage};

/// The book of 12 fields: a nested message, a map, packed integers, bytes; 343 bytes of JSON.
pub(crate) const BOOK: &str = include_str!("book.json");

/// An order of 700 bytes of JSON: two lines, four kinds of nested message, a timestamp, a map.
pub(crate) const ORDER: &str = include_str!("order.json");

/// The descriptor set of `bench.proto` with its imports and its `google.api.http` extensions, as wire bytes.
pub(crate) fn descriptor_set() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler =
        protox::Compiler::new([root.join("benches/peers"), root.join("proto")]).expect("include paths");
    compiler.include_imports(true).open_file("bench.proto").expect("bench.proto compiles");
    compiler.encode_file_descriptor_set()
}

/// The pool made from [`descriptor_set`].
pub(crate) fn pool() -> DescriptorPool {
    DescriptorPool::decode(descriptor_set().as_slice()).expect("a pool of bench.proto")
}

/// The message `name` of `pool`, read from its JSON.
pub(crate) fn message(pool: &DescriptorPool, name: &str, json: &str) -> DynamicMessage {
    let descriptor = pool.get_message_by_name(name).expect("a message of bench.proto");
    let mut reader = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(descriptor, &mut reader).expect("a sample of that message")
}
