//! Protobuf wire → JSON: never a panic; what is printed is JSON, and reading it gives a message that prints the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use propylon::schema::Schema;
use propylon::transcode::{JsonInput, JsonStyle, Tables};

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
    let [which, style, wire @ ..] = data else { return };
    let codec = TABLES.codec(MESSAGES[usize::from(*which) % MESSAGES.len()]).expect("a known message");
    let style = JsonStyle {
        proto_names: style & 1 != 0,
        defaults: style & 2 != 0,
        enum_numbers: style & 4 != 0,
        pretty: style & 8 != 0,
    };
    let mut json = Vec::new();
    if let Err(error) = codec.to_json(wire, &style, &mut json) {
        assert!(!error.is_input(), "{error}");
        return;
    }
    assert!(
        serde_json::from_slice::<&serde_json::value::RawValue>(&json).is_ok(),
        "{}",
        String::from_utf8_lossy(&json)
    );
    let mut back = Vec::new();
    match codec.to_wire(&json, &JsonInput::default(), &mut back) {
        Ok(()) => {
            let mut again = Vec::new();
            codec.to_json(&back, &style, &mut again).expect("what was read can be printed");
            assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&json));
        }
        // An Any of an unknown type can be shown, not read.
        Err(error) => assert!(error.path().ends_with("@type"), "{error}"),
    }
});
