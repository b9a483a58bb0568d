//! Lowers a file written in an edition to the syntax that the descriptor pool knows, with the features that matter to
//! a message's bytes and JSON spelt out field by field: presence, packing and groups.
//!
//! Specification: protobuf.dev, "Feature Settings for Editions" (numbers from google/protobuf/descriptor.proto).
//!
//! ```text
//! field_presence EXPLICIT         proto3_optional = true
//! field_presence IMPLICIT         proto3 without it
//! field_presence LEGACY_REQUIRED  LABEL_REQUIRED
//! repeated_field_encoding         options.packed
//! message_encoding DELIMITED      TYPE_GROUP
//! enum_type CLOSED                syntax proto2 for the whole file (its implicit fields become explicit)
//! ```

use super::wire::{Malformed, Record, Value, put_bytes, put_tag, put_varint, records};

const EDITION_LEGACY_PROTO3: u64 = 999;
const EDITION_2023: u64 = 1000;
/// The newest edition whose defaults are known here.
const EDITION_2024: u64 = 1001;
/// How deep messages may be declared inside each other; what decodes the file afterwards takes no more.
const MAX_NESTING: usize = 100;

/// The features of one element, inherited from the element around it.
#[derive(Clone, Copy)]
struct Features {
    presence: Presence,
    closed_enums: bool,
    packed: bool,
    delimited: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Presence {
    Explicit,
    Implicit,
    Required,
}

/// What a file's elements ask of its syntax.
#[derive(Default)]
struct Needs {
    proto2: bool,
}

/// Rewrites an encoded FileDescriptorProto of `edition`; the error is the reason.
pub(super) fn lower(file: &[u8], edition: u64) -> Result<Vec<u8>, String> {
    if !(EDITION_2023..=EDITION_2024).contains(&edition) {
        // 998 and 999 are proto2 and proto3 in another dress.
        if (998..=EDITION_LEGACY_PROTO3).contains(&edition) {
            return Ok(file.to_vec());
        }
        return Err(format!("edition {edition} is not known; the newest known is 2024"));
    }
    lower_known(file).map_err(|Malformed| "this file is not a FileDescriptorProto".to_owned())
}

fn lower_known(file: &[u8]) -> Result<Vec<u8>, Malformed> {
    let defaults =
        Features { presence: Presence::Explicit, closed_enums: false, packed: true, delimited: false };
    let features = defaults.overridden_by(file, 8, 50)?;
    let mut needs = Needs::default();
    let mut options = Vec::new();
    let mut out = Vec::with_capacity(file.len() + 64);
    for record in records(file) {
        let record = record?;
        match (record.number, record.value) {
            (4, Value::Bytes(message)) => {
                put_bytes(&mut out, 4, &lower_message(message, features, &mut needs, MAX_NESTING)?)
            }
            (5, Value::Bytes(descriptor)) => {
                needs.see_enum(descriptor, features)?;
                out.extend_from_slice(record.raw);
            }
            (7, Value::Bytes(extension)) => put_bytes(&mut out, 7, &lower_field(extension, features)?),
            (8, Value::Bytes(part)) => options.extend_from_slice(part),
            (12 | 14, _) => {}
            _ => out.extend_from_slice(record.raw),
        }
    }
    // The edition's own defaults are gone with the edition, so the file states every feature from here on.
    put_bytes(&mut options, 50, &features.encode());
    put_bytes(&mut out, 8, &options);
    put_bytes(&mut out, 12, if needs.proto2 { b"proto2" } else { b"proto3" });
    Ok(out)
}

/// `levels`: how many more levels of messages there may be, this one among them.
fn lower_message(
    message: &[u8],
    features: Features,
    needs: &mut Needs,
    levels: usize,
) -> Result<Vec<u8>, Malformed> {
    // Each level is a call and a copy: without a bound, an upstream's file could end the stack.
    let levels = levels.checked_sub(1).ok_or(Malformed)?;
    let features = features.overridden_by(message, 7, 12)?;
    let mut out = Vec::with_capacity(message.len() + 16);
    for record in records(message) {
        let record = record?;
        match (record.number, record.value) {
            (number @ (2 | 6), Value::Bytes(field)) => {
                put_bytes(&mut out, number, &lower_field(field, features)?)
            }
            (3, Value::Bytes(nested)) => {
                put_bytes(&mut out, 3, &lower_message(nested, features, needs, levels)?)
            }
            (4, Value::Bytes(descriptor)) => {
                needs.see_enum(descriptor, features)?;
                out.extend_from_slice(record.raw);
            }
            // Extension ranges and message sets belong to proto2 only.
            (5, _) => {
                needs.proto2 = true;
                out.extend_from_slice(record.raw);
            }
            _ => out.extend_from_slice(record.raw),
        }
    }
    Ok(out)
}

fn lower_field(field: &[u8], features: Features) -> Result<Vec<u8>, Malformed> {
    const REPEATED: u64 = 3;
    const REQUIRED: u64 = 2;
    let features = features.overridden_by(field, 8, 21)?;
    let number = |wanted: u32| -> Result<Option<u64>, Malformed> {
        let mut found = None;
        for record in records(field) {
            if let Record { number, value: Value::Varint(value), .. } = record?
                && number == wanted
            {
                found = Some(value);
            }
        }
        Ok(found)
    };
    let (label, kind, in_oneof) = (number(4)?, number(5)?, number(9)?.is_some());
    let repeated = label == Some(REPEATED);
    // double to fixed32, bool, uint32, enum to sint64: what may be packed.
    let packable = matches!(kind, Some(1..=8 | 13..=18));
    let mut out = Vec::with_capacity(field.len() + 8);
    let mut options = Vec::new();
    for record in records(field) {
        let record = record?;
        match (record.number, record.value) {
            (4, Value::Varint(_)) if !repeated && features.presence == Presence::Required => {
                put_tag(&mut out, 4, 0);
                put_varint(&mut out, REQUIRED);
            }
            (5, Value::Varint(11)) if features.delimited => {
                put_tag(&mut out, 5, 0);
                put_varint(&mut out, 10);
            }
            (8, Value::Bytes(part)) => options.extend_from_slice(part),
            (17, _) => {}
            _ => out.extend_from_slice(record.raw),
        }
    }
    if repeated && packable {
        put_tag(&mut options, 2, 0);
        put_varint(&mut options, u64::from(features.packed));
    }
    if !options.is_empty() {
        put_bytes(&mut out, 8, &options);
    }
    if !repeated && !in_oneof && features.presence != Presence::Implicit {
        put_tag(&mut out, 17, 0);
        put_varint(&mut out, 1);
    }
    Ok(out)
}

impl Features {
    /// The features of an element whose options are its field `options`, their `features` the field `features`.
    fn overridden_by(mut self, element: &[u8], options: u32, features: u32) -> Result<Self, Malformed> {
        for record in records(element) {
            let Record { number, value: Value::Bytes(parts), .. } = record? else { continue };
            if number != options {
                continue;
            }
            for record in records(parts) {
                let Record { number, value: Value::Bytes(set), .. } = record? else { continue };
                if number == features {
                    self.apply(set)?;
                }
            }
        }
        Ok(self)
    }

    /// These as a `google.protobuf.FeatureSet`.
    fn encode(self) -> Vec<u8> {
        let presence = match self.presence {
            Presence::Explicit => 1,
            Presence::Implicit => 2,
            Presence::Required => 3,
        };
        let mut set = Vec::new();
        let choices = [(2, self.closed_enums), (3, !self.packed), (5, self.delimited)];
        let choices = choices.map(|(number, second)| (number, if second { 2 } else { 1 }));
        for (number, value) in [(1, presence)].into_iter().chain(choices) {
            put_tag(&mut set, number, 0);
            put_varint(&mut set, value);
        }
        set
    }

    /// Overlays one `google.protobuf.FeatureSet`.
    fn apply(&mut self, set: &[u8]) -> Result<(), Malformed> {
        for record in records(set) {
            let Record { number, value: Value::Varint(value), .. } = record? else { continue };
            match (number, value) {
                (1, 1) => self.presence = Presence::Explicit,
                (1, 2) => self.presence = Presence::Implicit,
                (1, 3) => self.presence = Presence::Required,
                (2, 1 | 2) => self.closed_enums = value == 2,
                (3, 1 | 2) => self.packed = value == 1,
                (5, 1 | 2) => self.delimited = value == 2,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Needs {
    fn see_enum(&mut self, descriptor: &[u8], features: Features) -> Result<(), Malformed> {
        self.proto2 |= features.overridden_by(descriptor, 3, 7)?.closed_enums;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::{Cardinality, Kind};

    use super::super::load::tests::compile;
    use super::super::{Schema, wire};
    use super::*;

    /// Compiles a proto3 source and makes it a file of `edition` with the file-wide feature `(number, value)`.
    fn file(source: &str, edition: u64, feature: Option<(u32, u64)>) -> Vec<u8> {
        let set = compile(&[("e.proto", source)], false);
        let Some(Ok(Record { value: Value::Bytes(file), .. })) = records(&set).next() else {
            panic!("one file")
        };
        let mut out = Vec::new();
        records(file)
            .map(Result::unwrap)
            .filter(|it| it.number != 12)
            .for_each(|it| out.extend_from_slice(it.raw));
        put_bytes(&mut out, 12, b"editions");
        put_tag(&mut out, 14, 0);
        put_varint(&mut out, edition);
        if let Some((number, value)) = feature {
            let (mut set, mut options) = (Vec::new(), Vec::new());
            put_tag(&mut set, number, 0);
            put_varint(&mut set, value);
            put_bytes(&mut options, 50, &set);
            put_bytes(&mut out, 8, &options);
        }
        out
    }

    const SOURCE: &str = r#"syntax = "proto3"; package e;
        message M { int32 a = 1; repeated int32 b = 2; M c = 3; repeated string d = 4; oneof o { int32 e = 5; } }
        service S { rpc Go(M) returns (M); }"#;

    /// The field's cardinality, kind, presence and packing.
    fn field(schema: &Schema, name: &str) -> (Cardinality, bool, bool, bool) {
        let field = schema.pool().get_message_by_name("e.M").unwrap().get_field_by_name(name).unwrap();
        let group = field.is_group();
        assert_eq!(matches!(field.kind(), Kind::Message(_)), name == "c");
        (field.cardinality(), field.supports_presence(), field.is_packed(), group)
    }

    #[test]
    fn features_become_descriptor_fields() {
        use Cardinality::{Optional, Repeated, Required};
        fn check(feature: Option<(u32, u64)>, name: &str, want: (Cardinality, bool, bool, bool)) {
            let schema =
                Schema::from_files([file(SOURCE, 1000, feature)]).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(field(&schema, name), want, "{feature:?} {name}");
            assert!(schema.method("/e.S/Go").is_some());
        }
        check(None, "a", (Optional, true, false, false));
        check(None, "b", (Repeated, false, true, false));
        check(None, "c", (Optional, true, false, false));
        check(None, "d", (Repeated, false, false, false));
        check(None, "e", (Optional, true, false, false));
        check(Some((1, 2)), "a", (Optional, false, false, false));
        check(Some((1, 3)), "a", (Required, true, false, false));
        check(Some((3, 2)), "b", (Repeated, false, false, false));
        check(Some((5, 2)), "c", (Optional, true, false, true));
    }

    #[test]
    fn closed_enums_make_a_proto2_file() {
        let source = r#"syntax = "proto3"; package e; enum E { A = 0; } message M { E e = 1; }"#;
        let syntax = |feature| {
            Schema::from_files([file(source, 1001, feature)]).unwrap().pool().files().next().unwrap().syntax()
        };
        assert_eq!(syntax(None), prost_reflect::Syntax::Proto3);
        assert_eq!(syntax(Some((2, 2))), prost_reflect::Syntax::Proto2);
    }

    #[test]
    fn an_unknown_edition_is_named() {
        let error = Schema::from_files([file(SOURCE, 2000, None)]).unwrap_err().to_string();
        assert_eq!(error, "e.proto: edition 2000 is not known; the newest known is 2024");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(
            lower(&[0x22, 0x02, 0x12, 0x05], 1000).unwrap_err(),
            "this file is not a FileDescriptorProto"
        );
        assert!(wire::records(&lower(&[], 1000).unwrap()).all(|record| record.is_ok()));
    }

    #[test]
    fn messages_nested_a_million_deep_do_not_end_the_stack() {
        // The header of a level stands before all that is in it: written from the inside out, then turned around.
        let nested = |levels: usize| {
            let (mut backwards, mut header) = (Vec::new(), Vec::new());
            for level in 0..levels {
                header.clear();
                put_tag(&mut header, if level + 1 == levels { 4 } else { 3 }, 2);
                put_varint(&mut header, backwards.len() as u64);
                backwards.extend(header.iter().rev());
            }
            backwards.reverse();
            backwards
        };
        assert_eq!(lower(&nested(1_000_000), 1000).unwrap_err(), "this file is not a FileDescriptorProto");
        assert_eq!(lower(&nested(101), 1000).unwrap_err(), "this file is not a FileDescriptorProto");
        assert!(lower(&nested(100), 1000).is_ok());
    }
}
