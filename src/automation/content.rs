//! A JSON object as `google.protobuf.Struct` on the wire, looked at from its first byte to its last with a stack of its own:
//! what is kept can be read again by every client, however it decodes, and shown as JSON.

/// The most bytes of an object.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// The most levels. Protobuf's own decoders take 100 messages within each other, and an object is three.
pub(super) const MOST_LEVELS: usize = 30;

/// Which message some bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Struct,
    /// One of a struct's fields.
    Entry,
    Value,
    List,
}

/// Checks an object.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > MOST_BYTES {
        return Err(format!("it has {} bytes; the most is {MOST_BYTES}", bytes.len()));
    }
    let mut open = vec![(Kind::Struct, bytes, 1)];
    while let Some((kind, bytes, level)) = open.pop() {
        if level > MOST_LEVELS {
            return Err(format!("it is nested too deeply: at most {MOST_LEVELS} levels are kept"));
        }
        let mut rest = bytes;
        let mut kinds = 0;
        while !rest.is_empty() {
            let (number, field) = field(&mut rest).ok_or(MALFORMED)?;
            match (kind, number, field) {
                (Kind::Struct, 1, Field::Bytes(entry)) => open.push((Kind::Entry, entry, level)),
                (Kind::Entry, 1, Field::Bytes(key)) => text(key)?,
                (Kind::Entry, 2, Field::Bytes(value)) | (Kind::List, 1, Field::Bytes(value)) => {
                    kinds += 1;
                    open.push((Kind::Value, value, level));
                }
                (Kind::Value, number, field) => {
                    kinds += 1;
                    match (number, field) {
                        (1, Field::Varint(0)) | (4, Field::Varint(0 | 1)) => {}
                        (2, Field::Double(number)) => {
                            if !number.is_finite() {
                                return Err("JSON has no number that is infinite, or none at all".to_owned());
                            }
                        }
                        (3, Field::Bytes(string)) => text(string)?,
                        (5, Field::Bytes(object)) => open.push((Kind::Struct, object, level + 1)),
                        (6, Field::Bytes(list)) => open.push((Kind::List, list, level + 1)),
                        _ => return Err(MALFORMED.to_owned()),
                    }
                }
                _ => return Err(MALFORMED.to_owned()),
            }
        }
        // An entry may leave out a value that has nothing in it.
        if (kind == Kind::Value && kinds != 1) || (kind == Kind::Entry && kinds == 0) {
            return Err("it has a value that is neither null nor anything else".to_owned());
        }
    }
    Ok(())
}

const MALFORMED: &str = "it is no google.protobuf.Struct";

fn text(bytes: &[u8]) -> Result<(), String> {
    simdutf8::basic::from_utf8(bytes).map(drop).map_err(|_| "it has a text that is not UTF-8".to_owned())
}

/// One field's value.
enum Field<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = varint(rest)?;
    let field = match key & 7 {
        0 => Field::Varint(varint(rest)?),
        1 => {
            let (eight, behind) = rest.split_first_chunk::<8>()?;
            *rest = behind;
            Field::Double(f64::from_le_bytes(*eight))
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (bytes, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Field::Bytes(bytes)
        }
        _ => return None,
    };
    Some((key >> 3, field))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << (place * 7);
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{ListValue, Struct, Value, value::Kind};

    use super::*;

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    fn object(value: Value) -> Struct {
        Struct { fields: [("a".to_owned(), value)].into() }
    }

    #[test]
    fn what_json_can_say_is_taken() {
        let kinds = [
            Kind::NullValue(0),
            Kind::NumberValue(-1.5),
            Kind::StringValue("é😀".to_owned()),
            Kind::BoolValue(true),
            Kind::BoolValue(false),
            Kind::StructValue(Struct::default()),
            Kind::ListValue(ListValue { values: vec![value(Kind::NumberValue(1e300)); 3] }),
        ];
        for kind in kinds {
            assert_eq!(check(&object(value(kind.clone())).encode_to_vec()), Ok(()), "{kind:?}");
        }
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn what_json_cannot_say_is_not() {
        let refused = |bytes: &[u8], want: &str| {
            let why = check(bytes).unwrap_err();
            assert!(why.contains(want), "{why}");
        };
        for number in [f64::NAN, f64::INFINITY] {
            refused(&object(value(Kind::NumberValue(number))).encode_to_vec(), "no number that is infinite");
        }
        refused(&object(Value { kind: None }).encode_to_vec(), "neither null nor anything else");
        let mut two = value(Kind::BoolValue(true)).encode_to_vec();
        two.extend(value(Kind::NumberValue(1.0)).encode_to_vec());
        let mut entry = vec![0x0a, 1, b'a', 0x12, two.len() as u8];
        entry.extend(two);
        let mut whole = vec![0x0a, entry.len() as u8];
        whole.extend(entry);
        refused(&whole, "neither null nor anything else");
        refused(&[0x0a, 0x05, 0x0a, 0x03, 0xff, 0xfe, 0xfd], "UTF-8");
        refused(&[0x0a, 0x7f], "no google.protobuf.Struct");
        refused(&[0x12, 0x00], "no google.protobuf.Struct");
        refused(&vec![0; MOST_BYTES + 1], "the most is 1048576");
    }

    /// However deep it is: no stack grows with it.
    #[test]
    fn depth_is_bounded_and_costs_no_stack() {
        let nested = |levels: usize| {
            let mut inner = Struct::default().encode_to_vec();
            for _ in 1..levels {
                let wrapped = |key: u8, bytes: &[u8]| {
                    let mut out = vec![key];
                    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
                    out.extend_from_slice(bytes);
                    out
                };
                let value = wrapped(0x2a, &inner);
                let mut entry = vec![0x0a, 1, b'a'];
                entry.extend(wrapped(0x12, &value));
                inner = wrapped(0x0a, &entry);
            }
            inner
        };
        assert_eq!(check(&nested(MOST_LEVELS)), Ok(()));
        for levels in [MOST_LEVELS + 1, 5000] {
            assert!(check(&nested(levels)).unwrap_err().contains("at most 30 levels"), "{levels}");
        }
        // What is taken every decoder reads.
        assert!(Struct::decode(nested(MOST_LEVELS).as_slice()).is_ok());
    }
}
