//! Whether a message in JSON has what it must: the fields that `google.api.field_behavior` calls REQUIRED, however deep. The
//! codec has read it before, so that its types are right.

use std::collections::BTreeSet;

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::Value;

use super::Behavior;

/// Whether anything is demanded of a message, or of one within it.
#[must_use]
pub fn demands(message: &MessageDescriptor) -> bool {
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![message.clone()]);
    while let Some(message) = waiting.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for field in message.fields() {
            if Behavior::of(&field).required {
                return true;
            }
            if let Kind::Message(nested) = field.kind() {
                waiting.push(nested);
            }
        }
    }
    false
}

/// The path of the first field that is demanded and not there, by proto names, such as `book.chapters[3].title`.
#[must_use]
pub fn missing(message: &MessageDescriptor, json: &Value) -> Option<String> {
    let members = json.as_object()?;
    // What has a JSON of its own has no fields in it.
    if message.full_name().starts_with("google.protobuf.") {
        return None;
    }
    message.fields().find_map(|field| {
        let value = members.get(field.json_name()).or_else(|| members.get(field.name()));
        let value = value.filter(|value| !value.is_null());
        let Some(value) = value else {
            return Behavior::of(&field).required.then(|| field.name().to_owned());
        };
        let Kind::Message(nested) = field.kind() else { return None };
        let within = |at: String, nested: &MessageDescriptor, value: &Value| {
            missing(nested, value).map(|path| format!("{at}.{path}"))
        };
        match value {
            Value::Array(items) if field.is_list() => {
                let mut items = items.iter().enumerate();
                items.find_map(|(at, item)| within(format!("{}[{at}]", field.name()), &nested, item))
            }
            Value::Object(entries) if field.is_map() => {
                let Kind::Message(of_entry) = nested.map_entry_value_field().kind() else { return None };
                let mut entries = entries.iter();
                entries
                    .find_map(|(key, value)| within(format!("{}[{key:?}]", field.name()), &of_entry, value))
            }
            value => within(field.name().to_owned(), &nested, value),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::{Schema, compile};

    #[test]
    fn what_is_demanded_is_missed_however_deep() {
        let source = r#"syntax = "proto3"; package p; import "google/protobuf/descriptor.proto";
            extend google.protobuf.FieldOptions { repeated int32 behavior = 1052; }
            message Order { string user_id = 1 [(behavior) = 2]; repeated Line lines = 2;
              map<string, Line> named = 3; Order before = 4; }
            message Line { string sku = 1 [(behavior) = 2]; }
            message Free { string text = 1; Free again = 2; }"#;
        let behavior = r#"syntax = "proto3"; package google.api; import "google/protobuf/descriptor.proto";
            extend google.protobuf.FieldOptions { repeated FieldBehavior field_behavior = 1052 [packed = false]; }
            enum FieldBehavior { FIELD_BEHAVIOR_UNSPECIFIED = 0; OPTIONAL = 1; REQUIRED = 2; }"#;
        let files = [("p.proto", source), ("google/api/field_behavior.proto", behavior)];
        let schema = Schema::decode(&compile(&files, true)).unwrap();
        let message = |name: &str| schema.pool().get_message_by_name(name).unwrap();
        assert!(demands(&message("p.Order")) && !demands(&message("p.Free")));
        let check = |json: Value, want: Option<&str>| {
            assert_eq!(missing(&message("p.Order"), &json).as_deref(), want, "{json}");
        };
        check(json!({}), Some("user_id"));
        check(json!({"userId": null}), Some("user_id"));
        check(json!({"userId": ""}), None);
        check(json!({"user_id": "a", "lines": [{"sku": "x"}, {}]}), Some("lines[1].sku"));
        check(json!({"user_id": "a", "named": {"k": {}}}), Some("named[\"k\"].sku"));
        check(json!({"user_id": "a", "before": {"lines": []}}), Some("before.user_id"));
        check(json!({"user_id": "a", "lines": [], "named": {}}), None);
    }
}
