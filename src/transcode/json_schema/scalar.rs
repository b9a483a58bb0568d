//! Scalars: the numbers and texts of JSON that stand for each, in bodies, as keys of maps, and as text in URLs.

use prost_reflect::Kind;
use serde_json::{Value, json};

use super::Direction;

/// Integers in quotes. 18 and 19 digits are not all in range; longer ones than these are accepted but not promised.
const INT32: &str = "^(0|-?[1-9][0-9]{0,8})$";
const UINT32: &str = "^(0|[1-9][0-9]{0,8})$";
const INT64: &str = "^(0|-?[1-9][0-9]{0,17})$";
const UINT64: &str = "^(0|[1-9][0-9]{0,18})$";
/// A float in quotes, or one of its specials.
const FLOAT: &str = r"^(NaN|-?Infinity|-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?)$";
/// Base64 with padding, as it is printed.
const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
/// Base64 of either alphabet, padded or not.
const ANY_BASE64: &str = "^(?:(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw](?:==)?|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=?)?|\
                          (?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw](?:==)?|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]=?)?)$";

/// A scalar in a body.
pub(super) fn schema(kind: &Kind, direction: Direction) -> Value {
    let (float_name, float_most) =
        if *kind == Kind::Float { ("float", f64::from(f32::MAX)) } else { ("double", f64::MAX) };
    match (kind, direction) {
        (Kind::Double | Kind::Float, Direction::Output) => json!({"anyOf": [
            {"type": "number", "format": float_name},
            {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]},
        ]}),
        (Kind::Double | Kind::Float, Direction::Input) => json!({
            "type": ["number", "string"], "format": float_name, "minimum": -float_most, "maximum": float_most, "pattern": FLOAT,
        }),
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, Direction::Output) => {
            json!({"type": "integer", "format": "int32"})
        }
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, Direction::Input) => json!({
            "type": ["integer", "string"], "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX, "pattern": INT32,
        }),
        (Kind::Uint32 | Kind::Fixed32, Direction::Output) => {
            json!({"type": "integer", "format": "uint32", "minimum": 0})
        }
        (Kind::Uint32 | Kind::Fixed32, Direction::Input) => json!({
            "type": ["integer", "string"], "format": "uint32", "minimum": 0, "maximum": u32::MAX, "pattern": UINT32,
        }),
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, Direction::Output) => {
            json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"})
        }
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, Direction::Input) => json!({
            "type": ["string", "integer"], "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX, "pattern": INT64,
        }),
        (Kind::Uint64 | Kind::Fixed64, Direction::Output) => {
            json!({"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"})
        }
        (Kind::Uint64 | Kind::Fixed64, Direction::Input) => json!({
            "type": ["string", "integer"], "format": "uint64", "minimum": 0, "maximum": u64::MAX, "pattern": UINT64,
        }),
        (Kind::Bool, _) => json!({"type": "boolean"}),
        (Kind::String, _) => json!({"type": "string"}),
        (Kind::Bytes, Direction::Output) => {
            json!({"type": "string", "contentEncoding": "base64", "pattern": BASE64})
        }
        (Kind::Bytes, Direction::Input) => {
            json!({"type": "string", "contentEncoding": "base64", "pattern": ANY_BASE64})
        }
        // Not scalars: the walker has them.
        (Kind::Message(_) | Kind::Enum(_), _) => json!({}),
    }
}

/// A scalar as text in a path or query. What is a number there is a number to who reads the schema.
pub(super) fn text(kind: &Kind) -> Value {
    match kind {
        Kind::Double => json!({"type": "number", "format": "double"}),
        Kind::Float => json!({"type": "number", "format": "float", "minimum": f32::MIN, "maximum": f32::MAX}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX})
        }
        Kind::Uint32 | Kind::Fixed32 => {
            json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX})
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({"type": "string", "format": "int64", "pattern": INT64})
        }
        Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64", "pattern": UINT64}),
        other => schema(other, Direction::Input),
    }
}

/// A scalar in a body, in the one form that is best sent.
pub(super) fn plain(kind: &Kind) -> Value {
    match kind {
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        other => text(other),
    }
}

/// What the keys of a map are, where they are not any text.
pub(super) fn map_key(kind: &Kind) -> Option<Value> {
    match kind {
        Kind::Bool => Some(json!({"type": "string", "enum": ["true", "false"]})),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Some(json!({"type": "string", "pattern": INT32})),
        Kind::Uint32 | Kind::Fixed32 => Some(json!({"type": "string", "pattern": UINT32})),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some(json!({"type": "string", "pattern": INT64})),
        Kind::Uint64 | Kind::Fixed64 => Some(json!({"type": "string", "pattern": UINT64})),
        _ => None,
    }
}
