//! Properties: over schemas and messages made at random the converter agrees with prost-reflect's own JSON mapping; over
//! damaged input it never panics, and what it prints it also reads.

use std::fmt::Write as _;

use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};

use super::{codec, pool};
use crate::transcode::{Codec, ErrorKind, JsonInput, JsonStyle, Tables};

/// A finite source of choices; dry, it always chooses the first.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn u64(&mut self) -> u64 {
        // Small numbers and the ends of the range are where the mistakes are.
        match self.below(4) {
            0 => u64::from(self.byte()),
            1 => u64::MAX - u64::from(self.byte()),
            2 => 1u64.rotate_left(u32::from(self.byte())).wrapping_sub(1),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn text(&mut self) -> String {
        let pieces = [
            "",
            "a",
            "plain words",
            "\"",
            "\\",
            "\n\u{1}",
            "größer",
            "🦀",
            "0123456789abcdef",
            "</script>",
            "\u{7f}\u{2028}",
        ];
        (0..self.below(5)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64",
    "sfixed32", "sfixed64", "bool", "string", "bytes",
];
const KEYS: [&str; 12] = [
    "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64",
    "bool", "string",
];

/// A proto file with the messages `M0` to `M2`.
fn schema(choices: &mut Choices<'_>) -> String {
    let proto3 = choices.below(3) > 0;
    let mut source = format!("syntax = \"proto{}\"; package random;\n", if proto3 { 3 } else { 2 });
    source.push_str("enum Letter { NONE = 0; A = 1; B = -1; C = 70000; }\n");
    for message in 0..3 {
        let _ = writeln!(source, "message M{message} {{");
        let mut number = 0;
        for field in 0..choices.below(12) + 1 {
            number += 1 + [0, 0, 0, 1, 20, 600][choices.below(6)];
            let kind = match choices.below(SCALARS.len() + 4) {
                scalar if scalar < SCALARS.len() => SCALARS[scalar].to_owned(),
                other if other == SCALARS.len() => "Letter".to_owned(),
                _ => format!("M{}", choices.below(3)),
            };
            let optional = if proto3 { "" } else { "optional " };
            let _ = match choices.below(6) {
                0 => writeln!(source, "  repeated {kind} field_{field} = {number};"),
                1 => writeln!(
                    source,
                    "  map<{}, {kind}> field_{field} = {number};",
                    KEYS[choices.below(KEYS.len())]
                ),
                2 => writeln!(
                    source,
                    "  oneof pick_{field} {{ {kind} field_{field} = {number}; string other_{field} = {}; }}",
                    number + 1
                ),
                3 => writeln!(source, "  optional {kind} field_{field} = {number};"),
                4 if !proto3 => {
                    writeln!(source, "  repeated group G{field} = {number} {{ optional {kind} inner = 1; }}")
                }
                _ => writeln!(source, "  {optional}{kind} field_{field} = {number};"),
            };
            number += 1;
        }
        source.push_str("}\n");
    }
    source
}

fn message(descriptor: &MessageDescriptor, choices: &mut Choices<'_>, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if choices.below(4) == 0 || depth > 3 && field.kind().as_message().is_some() {
            continue;
        }
        let set = if field.is_map() {
            let entry = field.kind().as_message().cloned().unwrap();
            let (key, kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            if depth > 2 && kind.as_message().is_some() {
                continue;
            }
            let entries =
                (0..choices.below(12)).map(|_| (map_key(&key, choices), value(&kind, choices, depth)));
            Value::Map(entries.collect())
        } else if field.is_list() {
            Value::List((0..choices.below(4)).map(|_| value(&field.kind(), choices, depth)).collect())
        } else {
            value(&field.kind(), choices, depth)
        };
        message.set_field(&field, set);
    }
    message
}

fn value(kind: &Kind, choices: &mut Choices<'_>, depth: usize) -> Value {
    match kind {
        // serde_json reads floats a little wrong, but these.
        Kind::Double => Value::F64(f64::from(choices.u64() as i32) / 8.0),
        Kind::Float => Value::F32(f32::from(choices.u64() as i16) / 8.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(choices.u64() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(choices.u64() as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(choices.u64() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(choices.u64()),
        Kind::Bool => Value::Bool(choices.below(2) == 1),
        Kind::String => Value::String(choices.text()),
        Kind::Bytes => Value::Bytes(choices.u64().to_le_bytes()[..choices.below(9)].to_vec().into()),
        Kind::Enum(_) => Value::EnumNumber([0, 1, -1, 70_000][choices.below(4)]),
        Kind::Message(descriptor) => Value::Message(message(descriptor, choices, depth + 1)),
    }
}

fn map_key(kind: &Kind, choices: &mut Choices<'_>) -> MapKey {
    match value(kind, choices, 0) {
        Value::Bool(key) => MapKey::Bool(key),
        Value::I32(key) => MapKey::I32(key),
        Value::I64(key) => MapKey::I64(key),
        Value::U32(key) => MapKey::U32(key),
        Value::U64(key) => MapKey::U64(key),
        Value::String(key) => MapKey::String(key),
        other => panic!("{other:?} is no key"),
    }
}

fn print(codec: &Codec, wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    codec.to_json(wire, &JsonStyle::default(), &mut out).unwrap();
    out
}

fn read(codec: &Codec, json: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = codec.to_wire(json, &JsonInput::default(), &mut out);
    read.unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(json)));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_prost_reflect(bytes in proptest::collection::vec(any::<u8>(), 50..1500)) {
        let mut choices = Choices(&bytes);
        let source = schema(&mut choices);
        let pool = pool(&[("random.proto", &source)]);
        let descriptor = pool.get_message_by_name("random.M0").unwrap();
        let tables = Tables::compile(&pool);
        let codec = tables.codec("random.M0").unwrap();
        for _ in 0..4 {
            let message = message(&descriptor, &mut choices, 0);
            let wire = message.encode_to_vec();
            let json = print(&codec, &wire);
            let mut reader = serde_json::Deserializer::from_slice(&json);
            let theirs = DynamicMessage::deserialize(descriptor.clone(), &mut reader).unwrap();
            same(&theirs, &message, &source)?;
            let theirs = serde_json::to_vec(&message).unwrap();
            for json in [&json, &theirs] {
                let back = DynamicMessage::decode(descriptor.clone(), &*read(&codec, json)).unwrap();
                same(&back, &message, &source)?;
            }
            for style in styles() {
                let mut out = Vec::new();
                codec.to_json(&wire, &style, &mut out).unwrap();
                let back = DynamicMessage::decode(descriptor.clone(), &*read(&codec, &out)).unwrap();
                same(&back, &message, &source)?;
            }
        }
    }

    #[test]
    fn records_in_any_order_print_the_same(bytes in proptest::collection::vec(any::<u8>(), 50..1000), turn in any::<usize>()) {
        let mut choices = Choices(&bytes);
        let source = schema(&mut choices);
        let pool = pool(&[("random.proto", &source)]);
        let descriptor = pool.get_message_by_name("random.M0").unwrap();
        let codec = Tables::compile(&pool).codec("random.M0").unwrap();
        let message = message(&descriptor, &mut choices, 0);
        let mut fields: Vec<_> = descriptor.fields().filter(|field| message.has_field(field)).collect();
        if !fields.is_empty() {
            let turn = turn % fields.len();
            fields.rotate_left(turn);
        }
        let mut turned = Vec::new();
        for field in fields {
            let mut alone = DynamicMessage::new(descriptor.clone());
            alone.set_field(&field, message.get_field(&field).into_owned());
            turned.extend(alone.encode_to_vec());
        }
        // Maps come in any order from prost-reflect, so the texts are compared as values.
        let value = |wire: &[u8]| serde_json::from_slice::<serde_json::Value>(&print(&codec, wire)).unwrap();
        prop_assert_eq!(value(&turned), value(&message.encode_to_vec()));
    }
}

fn styles() -> [JsonStyle; 4] {
    let plain = JsonStyle::default();
    [
        JsonStyle { proto_names: true, ..plain },
        JsonStyle { enum_numbers: true, ..plain },
        JsonStyle { pretty: true, ..plain },
        JsonStyle { proto_names: true, enum_numbers: true, pretty: true, ..plain },
    ]
}

/// The messages are shown as JSON: prost-reflect's debug form of a recursive message never ends.
fn same(one: &DynamicMessage, other: &DynamicMessage, source: &str) -> Result<(), TestCaseError> {
    let text = |message| serde_json::to_string(message).unwrap();
    // A default that was set and one that was not are the same message; encoding drops the first.
    let settled = |message: &DynamicMessage| {
        DynamicMessage::decode(message.descriptor(), &*message.encode_to_vec()).unwrap()
    };
    prop_assert!(settled(one) == settled(other), "{}\n{}\n{source}", text(one), text(other));
    Ok(())
}

/// JSON that has every kind of field, to be damaged.
const SAMPLES: [&str; 5] = [
    r#"{"d":1.5,"f":-0.1,"i32":-5,"u64":"18446744073709551615","b":true,"s":"größer 🦀 \"\\","y":"+//+","mood":"GOOD","every":{"i32":1}}"#,
    r#"{"ints":[1,2,300],"texts":["","a"],"list":[{},{"i32":1}],"byText":{"a":1,"b":2},"byU64":{"7":{"s":"x"}},"pickText":"","far":9}"#,
    r#"{"any":{"@type":"a/every.Every","i32":1,"any":{"@type":"a/google.protobuf.Duration","value":"1.5s"}},"at":"1970-01-01T00:00:00.001Z","mask":"a,bC.dE"}"#,
    r#"{"struct":{"a":null,"b":[1,"x",{"c":true}]},"value":{"x":[]},"items":[1,[2],{}],"null":null,"wrappedInt":0,"wrappedText":"w"}"#,
    r#"{"number":0,"text":"","colour":"GREEN","colours":["RED"],"part":{"a":1,"b":[1,2]},"many":[{},{"a":1}],"[old.note]":"n"}"#,
];

fn damage(mut bytes: Vec<u8>, damages: &[(u8, usize, u8)]) -> Vec<u8> {
    for (how, at, byte) in damages {
        let at = at % (bytes.len() + 1);
        match how % 4 {
            0 => bytes.insert(at, *byte),
            1 if at < bytes.len() => bytes[at] = *byte,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.extend_from_within(at..),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_wire_never_panics(sample in 0..5usize, damages in proptest::collection::vec(any::<(u8, usize, u8)>(), 0..6), random in proptest::collection::vec(any::<u8>(), 0..12)) {
        let codec = codec(if sample == 4 { "old.Old" } else { "every.Every" });
        let wire = damage([read(&codec, SAMPLES[sample].as_bytes()), random].concat(), &damages);
        let mut json = Vec::new();
        match codec.to_json(&wire, &JsonStyle::default(), &mut json) {
            Err(error) => prop_assert!(!error.is_input(), "{}", error),
            Ok(()) => {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
                let mut back = Vec::new();
                match codec.to_wire(&json, &JsonInput::default(), &mut back) {
                    Ok(()) => prop_assert_eq!(print(&codec, &back), json),
                    // An Any of an unknown type can be shown, not read.
                    Err(error) => prop_assert!(error.path().ends_with("@type"), "{} {}", error, String::from_utf8_lossy(&json)),
                }
            }
        }
        for style in styles() {
            let defaults = JsonStyle { defaults: true, ..style };
            let _ = codec.to_json(&wire, &defaults, &mut Vec::new());
        }
        for field in codec.fields() {
            let _ = field.to_json(&wire, &JsonStyle::default(), &mut Vec::new());
        }
    }

    #[test]
    fn damaged_json_never_panics(sample in 0..5usize, damages in proptest::collection::vec(any::<(u8, usize, u8)>(), 1..4)) {
        let codec = codec(if sample == 4 { "old.Old" } else { "every.Every" });
        let json = damage(SAMPLES[sample].as_bytes().to_vec(), &damages);
        let mut wire = Vec::new();
        match codec.to_wire(&json, &JsonInput::default(), &mut wire) {
            Err(error) => prop_assert!(error.is_input() && error.position().is_some(), "{}", error),
            Ok(()) => {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
                if let Err(error) = codec.to_json(&wire, &JsonStyle::default(), &mut Vec::new()) {
                    prop_assert_eq!(error.kind(), ErrorKind::Unprintable);
                }
            }
        }
        let _ = codec.to_wire(&json, &JsonInput { ignore_unknown: true }, &mut Vec::new());
    }

    #[test]
    fn floats_come_back_to_the_bit(double: u64, float: u32) {
        let every = codec("every.Every");
        let mut wire = vec![0x09];
        wire.extend_from_slice(&double.to_le_bytes());
        wire.push(0x15);
        wire.extend_from_slice(&float.to_le_bytes());
        if !f64::from_bits(double).is_nan() && !f32::from_bits(float).is_nan() && double != 0 && float != 0 {
            prop_assert_eq!(read(&every, &print(&every, &wire)), wire);
        }
    }

    #[test]
    fn text_is_json_or_refused(json in r#"[\[\]{}",:0-9eE+.\-a-z\\ ]{0,24}"#) {
        let value = codec("google.protobuf.Value");
        let ours = value.to_wire(json.as_bytes(), &JsonInput::default(), &mut Vec::new());
        let theirs = serde_json::from_str::<serde_json::Value>(&json);
        match (&ours, &theirs) {
            // serde_json keeps the last of two equal keys and reads numbers of any size.
            (Err(error), Ok(_)) => prop_assert!(matches!(error.kind(), ErrorKind::Duplicate | ErrorKind::Range), "{json}: {error}"),
            _ => prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", json),
        }
    }
}

#[test]
fn editions_resolve_their_features() {
    let schema =
        crate::schema::Schema::decode(include_bytes!("../../../tests/conformance/messages.binpb")).unwrap();
    let tables = Tables::compile(schema.pool());
    let delimited = tables.codec("protobuf_test_messages.editions.TestAllTypesEdition2023").unwrap();
    let wire = read(
        &delimited,
        br#"{"delimitedField":{"groupInt32":5},"packedInt32":[1,2],"unpackedInt32":[3,4],"optionalInt32":0}"#,
    );
    assert_eq!(
        print(&delimited, &wire),
        br#"{"optionalInt32":0,"packedInt32":[1,2],"unpackedInt32":[3,4],"delimitedField":{"groupInt32":5}}"#
    );
    assert!(delimited.field("optional_int32").unwrap().has_presence());
    let implicit = tables.codec("protobuf_test_messages.editions.proto3.TestAllTypesProto3").unwrap();
    assert_eq!(print(&implicit, &[8, 0]), b"{}");
    assert!(!implicit.field("optional_int32").unwrap().has_presence());
}
