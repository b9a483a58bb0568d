//! JSON (RFC 8259) as a value.

use prost_types::{Value, value::Kind};

use super::{MOST_LEVELS, list, object, string, too_deep, value};

/// # Errors
/// Why it is none, with the place.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let read: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // The reader's own bound is a little more than a hundred: nothing here goes deeper.
    converted(read, 1)
}

pub(super) fn converted(read: serde_json::Value, level: usize) -> Result<Value, String> {
    if level > MOST_LEVELS {
        return Err(too_deep());
    }
    Ok(match read {
        serde_json::Value::Null => value(Kind::NullValue(0)),
        serde_json::Value::Bool(one) => value(Kind::BoolValue(one)),
        serde_json::Value::Number(number) => {
            value(Kind::NumberValue(number.as_f64().ok_or("it has a number beyond all numbers")?))
        }
        serde_json::Value::String(text) => string(&text),
        serde_json::Value::Array(items) => {
            list(items.into_iter().map(|item| converted(item, level + 1)).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| Ok((name, converted(member, level + 1)?)));
            object(members.collect::<Result<Vec<_>, String>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_and_what_is_none_is_told_with_its_place() {
        let a = read(r#"{"a": [1, null, "x", true, 1e400]}"#).unwrap_err();
        assert!(a.contains("out of range"), "{a}");
        let want = object([("a".to_owned(), list(vec![value(Kind::NumberValue(1.0)), string("x")]))]);
        assert_eq!(read(r#"{"a": [1, "x"]}"#), Ok(want));
        for bad in ["{a:1}", "", "[1,]", "{} {}", "NaN", "\u{1}"] {
            let why = read(bad).unwrap_err();
            assert!(why.contains("line 1 column"), "{bad:?}: {why}");
        }
        for levels in [31, 100, 30_000] {
            let deep = "[".repeat(levels) + &"]".repeat(levels);
            let why = read(&deep).unwrap_err();
            assert!(why.contains("nested too deeply") || why.contains("recursion limit"), "{levels}: {why}");
        }
    }
}
