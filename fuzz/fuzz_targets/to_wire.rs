//! JSON → protobuf wire: never a panic; only JSON is accepted, and what is accepted can be printed or says why not.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use propylon::schema::Schema;
use propylon::transcode::{ErrorKind, JsonInput, JsonStyle, Tables};

static TABLES: LazyLock<Arc<Tables>> = LazyLock::new(|| {
    let schema =
        Schema::decode(include_bytes!("../../tests/conformance/messages.binpb")).expect("a descriptor set");
    Tables::compile(schema.pool())
});

const MESSAGES: [&str; 5] = [
    "protobuf_test_messages.proto2.TestAllTypesProto2",
    "protobuf_test_messages.proto3.TestAllTypesProto3",
    "protobuf_test_messages.editions.TestAllTypesEdition2023",
    "google.protobuf.Value",
    "google.protobuf.Any",
];

fuzz_target!(|data: &[u8]| {
    let [which, json @ ..] = data else { return };
    let codec = TABLES.codec(MESSAGES[usize::from(*which >> 1) % MESSAGES.len()]).expect("a known message");
    let input = JsonInput { ignore_unknown: which & 1 != 0 };
    let mut wire = Vec::new();
    if let Err(error) = codec.to_wire(json, &input, &mut wire) {
        assert!(error.is_input() && error.position().is_some(), "{error}");
        return;
    }
    assert!(serde_json::from_slice::<&serde_json::value::RawValue>(json).is_ok());
    if let Err(error) = codec.to_json(&wire, &JsonStyle::default(), &mut Vec::new()) {
        assert_eq!(error.kind(), ErrorKind::Unprintable, "{error}");
    }
});
