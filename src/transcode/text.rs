//! The text of a path variable or query parameter as one field on the wire: scalars as they are written in a URL, the
//! well-known types in their ProtoJSON form without quotes. Nothing is guessed: what is not exactly of the type is refused.
//!
//! ```text
//! integer   = [ "-" ] digits                 bool  = "true" | "false"
//! float     = JSON number | "NaN" | "Infinity" | "-Infinity"
//! bytes     = base64, standard or URL-safe alphabet, padded or not
//! enum      = name | integer
//! Timestamp = RFC 3339    Duration = "3.5s"    FieldMask = path { "," path }, camelCase or snake_case
//! Struct, Value, ListValue = JSON              wrappers = as the type they wrap
//! ```

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::casing::put_snake;
use super::codec::{FieldCodec, JsonInput};
use super::error::{ErrorKind, TranscodeError, did_you_mean};
use super::tables::{Form, Kind};
use crate::schema::wire::{put_bytes, put_tag, put_varint};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Appends one value of `field`, its tag before it, read from `text`. Nothing is appended for an unknown enum name that
/// `input` says to skip. The error's path is empty: the caller knows by which name the field was reached.
pub(super) fn put_text(
    field: &FieldCodec,
    text: &str,
    input: &JsonInput,
    out: &mut Vec<u8>,
) -> Result<(), TranscodeError> {
    let number = field.number();
    match field.kind() {
        Kind::String => put_bytes(out, number, text.as_bytes()),
        Kind::Bytes => put_bytes(out, number, &bytes(text)?),
        Kind::Bool => put_number(out, number, u64::from(boolean(text)?)),
        Kind::Int32 => put_number(out, number, i64::from(integer::<i32>(text, "an int32")?) as u64),
        Kind::Int64 => put_number(out, number, integer::<i64>(text, "an int64")? as u64),
        Kind::Uint32 => put_number(out, number, u64::from(integer::<u32>(text, "a uint32")?)),
        Kind::Uint64 => put_number(out, number, integer::<u64>(text, "a uint64")?),
        Kind::Sint32 => put_number(out, number, zigzag(i64::from(integer::<i32>(text, "a sint32")?))),
        Kind::Sint64 => put_number(out, number, zigzag(integer::<i64>(text, "a sint64")?)),
        Kind::Fixed32 => put_fixed(out, number, 5, &integer::<u32>(text, "a fixed32")?.to_le_bytes()),
        Kind::Sfixed32 => put_fixed(out, number, 5, &integer::<i32>(text, "an sfixed32")?.to_le_bytes()),
        Kind::Fixed64 => put_fixed(out, number, 1, &integer::<u64>(text, "a fixed64")?.to_le_bytes()),
        Kind::Sfixed64 => put_fixed(out, number, 1, &integer::<i64>(text, "an sfixed64")?.to_le_bytes()),
        Kind::Double => put_fixed(out, number, 1, &double(text, "a double")?.to_le_bytes()),
        Kind::Float => put_fixed(out, number, 5, &float(text)?.to_le_bytes()),
        Kind::Enum => {
            if let Some(value) = enum_number(field, text, input)? {
                put_number(out, number, i64::from(value) as u64);
            }
        }
        Kind::Message | Kind::Group => return put_message(field, text, input, out),
    }
    Ok(())
}

/// Whether a value of `field` can be written as one text.
pub(super) fn has_text_form(field: &FieldCodec) -> bool {
    match field.message() {
        None => true,
        Some(message) => !matches!(message.table().form, Form::Object | Form::Any),
    }
}

/// Well-known messages, by way of their JSON: the same reader as for bodies, so that both put down the same bytes.
fn put_message(
    field: &FieldCodec,
    text: &str,
    input: &JsonInput,
    out: &mut Vec<u8>,
) -> Result<(), TranscodeError> {
    let Some(message) = field.message() else { return Ok(()) };
    let json = match message.table().form {
        Form::FieldMask => return put_field_mask(field, text, out),
        Form::Struct | Form::Value | Form::ListValue => text.to_owned(),
        // A boolean is the one scalar whose JSON has no quoted form.
        Form::Wrapper if message.fields().any(|value| value.kind() == Kind::Bool) => {
            boolean(text)?;
            text.to_owned()
        }
        Form::Timestamp | Form::Duration | Form::Wrapper => quoted(text),
        Form::Object | Form::Any => {
            let reason = format!(
                "{} has no text form; name its fields, as in \"{}.field=\"",
                message.name(),
                field.name()
            );
            return Err(TranscodeError::of(ErrorKind::Type, reason));
        }
    };
    let json = if field.is_repeated() { format!("[{json}]") } else { json };
    field
        .to_wire(json.as_bytes(), input, out)
        .map_err(|error| TranscodeError::of(error.kind(), error.message().to_owned()))
}

fn put_field_mask(field: &FieldCodec, text: &str, out: &mut Vec<u8>) -> Result<(), TranscodeError> {
    let mut mask = Vec::with_capacity(text.len() + 16);
    for path in text.split(',').filter(|_| !text.is_empty()) {
        let mut snake = Vec::with_capacity(path.len() + 8);
        let is_proto_name = path.contains('_') && !path.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_proto_name {
            snake.extend_from_slice(path.as_bytes());
        }
        let is_path = !path.is_empty()
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        if !is_path || !is_proto_name && !put_snake(&mut snake, path.as_bytes()) {
            return Err(wrong(text, "a field mask (field paths separated by commas)"));
        }
        put_bytes(&mut mask, 1, &snake);
    }
    put_nested(out, field, &mask);
    Ok(())
}

/// Appends an encoded message as `field`, which may be encoded as a group.
pub(super) fn put_nested(out: &mut Vec<u8>, field: &FieldCodec, message: &[u8]) {
    if field.kind() == Kind::Group {
        put_tag(out, field.number(), 3);
        out.extend_from_slice(message);
        put_tag(out, field.number(), 4);
    } else {
        put_bytes(out, field.number(), message);
    }
}

fn enum_number(field: &FieldCodec, text: &str, input: &JsonInput) -> Result<Option<i32>, TranscodeError> {
    let table = field.table();
    let values = field.parent().tables.enumeration(table.target);
    if let Some(number) = values.number(text.as_bytes()) {
        return Ok(Some(number));
    }
    match integer::<i32>(text, "") {
        // A closed enum has no place for a number that is not its own.
        Ok(number) if !table.closed || values.quoted_name(number).is_some() => return Ok(Some(number)),
        _ if input.ignore_unknown => return Ok(None),
        _ => {}
    }
    let near = did_you_mean(text, values.names());
    let reason = format!("{} has no value {}{near}", field.enum_type().unwrap_or_default(), shown(text));
    Err(TranscodeError::of(ErrorKind::UnknownEnumValue, reason))
}

fn bytes(text: &str) -> Result<Vec<u8>, TranscodeError> {
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode(text).map_err(|_| wrong(text, "base64"))
}

fn boolean(text: &str) -> Result<bool, TranscodeError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(text, "a bool (true or false)")),
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(
    text: &str,
    what: &str,
) -> Result<T, TranscodeError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    // Rust reads "+1" too; JSON has no such number.
    if text.starts_with('+') {
        return Err(wrong(text, what));
    }
    text.parse::<T>().map_err(|error| match error.kind() {
        PosOverflow | NegOverflow => {
            TranscodeError::of(ErrorKind::Range, format!("{} is out of range of {what}", shown(text)))
        }
        _ => wrong(text, what),
    })
}

fn double(text: &str, what: &str) -> Result<f64, TranscodeError> {
    match text {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(f64::INFINITY),
        "-Infinity" => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    let value =
        is_json_number(text).then(|| text.parse::<f64>().ok()).flatten().ok_or_else(|| wrong(text, what))?;
    if value.is_infinite() {
        return Err(TranscodeError::of(
            ErrorKind::Range,
            format!("{} is out of range of {what}", shown(text)),
        ));
    }
    Ok(value)
}

/// Rust reads "inf", "+1", ".5", "5." and "007" too; JSON has none of them.
fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

fn float(text: &str) -> Result<f32, TranscodeError> {
    let wide = double(text, "a float")?;
    let value = wide as f32;
    if value.is_infinite() && !wide.is_infinite() {
        return Err(TranscodeError::of(
            ErrorKind::Range,
            format!("{} is out of range of a float", shown(text)),
        ));
    }
    Ok(value)
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 0);
    put_varint(out, value);
}

fn put_fixed(out: &mut Vec<u8>, number: u32, wire_type: u8, value: &[u8]) {
    put_tag(out, number, wire_type);
    out.extend_from_slice(value);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn wrong(text: &str, what: &str) -> TranscodeError {
    TranscodeError::of(ErrorKind::Type, format!("{} is not {what}", shown(text)))
}

/// `text` quoted for a message, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(64).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}
