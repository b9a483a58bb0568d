//! What a contract says of a value: itself, or a matcher such as `$rfc3339` or `$re:…`.

use fancy_regex::Regex;
use serde_json::Value;

/// Holds a value against what is expected of it; objects may have more members. The error says where they differ.
pub(super) fn matches(expected: &Value, found: Option<&Value>, at: &str) -> Result<(), String> {
    let differs = || {
        let found = found.map_or("nothing".to_owned(), Value::to_string);
        Err(format!("{at}: expected {expected}, found {found}"))
    };
    match (expected, found) {
        (Value::String(text), _) if text.starts_with('$') => match matcher(text, found) {
            true => Ok(()),
            false => differs(),
        },
        (Value::Object(members), _) if members.contains_key("$any_of") => {
            let mut alternatives = members["$any_of"].as_array().into_iter().flatten();
            if alternatives.any(|one| matches(one, found, at).is_ok()) { Ok(()) } else { differs() }
        }
        (Value::Object(members), Some(Value::Object(found))) => members
            .iter()
            .try_for_each(|(name, expected)| matches(expected, found.get(name), &format!("{at}.{name}"))),
        (Value::Array(items), Some(Value::Array(found))) if items.len() == found.len() => {
            items.iter().zip(found).enumerate().try_for_each(|(index, (expected, found))| {
                matches(expected, Some(found), &format!("{at}[{index}]"))
            })
        }
        (expected, Some(found)) if expected == found => Ok(()),
        _ => differs(),
    }
}

/// The same of a text, such as a header's: what is no matcher is the text itself.
pub(super) fn matches_text(expected: &Value, found: Option<&str>, at: &str) -> Result<(), String> {
    let expected = match expected {
        Value::String(_) => expected.clone(),
        other => other.to_string().into(),
    };
    let value = found.map(|found| match (expected.as_str(), found.parse::<i64>()) {
        (Some("$int" | "$number"), Ok(number)) => number.into(),
        _ => Value::from(found),
    });
    matches(&expected, value.as_ref(), at)
}

fn matcher(text: &str, found: Option<&Value>) -> bool {
    let (name, argument) = text.split_once(':').map_or((text, ""), |(name, argument)| (name, argument));
    if name == "$absent" {
        return found.is_none();
    }
    let Some(found) = found else { return name == "$not" };
    let text = found.as_str();
    match name {
        "$present" | "$any" => true,
        "$string" => text.is_some(),
        "$nonempty" => match found {
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => false,
        },
        "$int" => found.is_i64() || found.is_u64(),
        "$number" => found.is_number(),
        "$bool" => found.is_boolean(),
        "$array" => found.is_array(),
        "$object" => found.is_object(),
        "$null" => found.is_null(),
        "$uuid" => text.is_some_and(|text| uuid::Uuid::parse_str(text).is_ok()),
        "$rfc3339" => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        "$jwt" => text.is_some_and(|text| {
            let parts: Vec<&str> = text.split('.').collect();
            parts.len() == 3 && parts.iter().all(|part| !part.is_empty()) && text.starts_with("eyJ")
        }),
        "$re" => {
            let pattern = Regex::new(argument).unwrap_or_else(|error| panic!("{argument}: {error}"));
            pattern.is_match(&said(found)).unwrap_or_else(|error| panic!("{argument}: {error}"))
        }
        "$gte" | "$lte" => {
            let bound: f64 = argument.parse().unwrap_or_else(|_| panic!("{argument} is no number"));
            let number = found.as_f64().or_else(|| text?.parse().ok());
            number.is_some_and(|number| if name == "$gte" { number >= bound } else { number <= bound })
        }
        "$oneof" => argument.split('|').any(|one| one == said(found)),
        "$not" => argument != said(found),
        "$len" => {
            let length =
                found.as_array().map(Vec::len).or_else(|| found.as_object().map(serde_json::Map::len));
            length.is_some() && length == argument.parse().ok()
        }
        "$contains" => {
            let wanted: Value =
                serde_json::from_str(argument).unwrap_or_else(|error| panic!("{argument}: {error}"));
            let mut items = found.as_array().into_iter().flatten();
            items.any(|item| matches(&wanted, Some(item), "").is_ok())
        }
        _ => panic!("{name} is no matcher"),
    }
}

/// A text without its quotes; any other value as JSON.
fn said(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_found() {
        let check = |expected: Value, found: Value, want: bool| {
            assert_eq!(matches(&expected, Some(&found), "it").is_ok(), want, "{expected} {found}");
        };
        check(json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), true);
        check(json!({ "a": 1 }), json!({ "a": 2 }), false);
        check(json!({ "a": "$absent" }), json!({ "a": 2 }), false);
        check(json!({ "a": "$absent" }), json!({}), true);
        check(json!({ "a": "$nonempty" }), json!({}), false);
        check(json!({ "a": "$nonempty" }), json!({ "a": "" }), false);
        check(json!({ "a": "$not:1" }), json!({ "a": "1" }), false);
        check(json!({ "a": "$not:1" }), json!({}), true);
        check(json!("$re:^\\d+$"), json!("12"), true);
        check(json!("$re:^\\d+$"), json!("12a"), false);
        check(json!("$rfc3339"), json!("2026-02-08T18:30:00.000Z"), true);
        check(json!("$rfc3339"), json!("yesterday"), false);
        check(json!("$jwt"), json!("eyJ.b.c"), true);
        check(json!("$jwt"), json!("opaque"), false);
        check(json!("$gte:1000"), json!(999), false);
        check(json!("$oneof:a|b"), json!("b"), true);
        check(json!([1, 2]), json!([1]), false);
        check(json!("$len:1"), json!({ "a": 2 }), true);
        check(json!("$len:2"), json!([1]), false);
        let list = json!([{ "name": "a", "n": 1 }, { "name": "b", "n": 2 }]);
        check(json!(r#"$contains:{"name": "b", "n": "$gte:2"}"#), list.clone(), true);
        check(json!(r#"$contains:{"name": "a", "n": 2}"#), list, false);
        assert!(matches_text(&json!("$int"), Some("60"), "it").is_ok());
        assert!(matches_text(&json!("$int"), Some("soon"), "it").is_err());
        assert!(matches_text(&json!("60"), Some("60"), "it").is_ok());
    }
}
