//! The well-known types, whose JSON is not that of their fields.

use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};

use super::{Direction, Walker, scalar};

const DURATION: &str = r"^-?(0|[1-9][0-9]{0,10})(\.[0-9]{1,9})?s$";
/// Paths in lowerCamelCase: whatever has no underscore is one.
const FIELD_MASK: &str = "^([^_,]+(,[^_,]+)*)?$";
/// In a URL paths are field names, of either spelling.
const FIELD_MASK_TEXT: &str = "^(([A-Za-z0-9.]+|[a-z0-9_.]+)(,([A-Za-z0-9.]+|[a-z0-9_.]+))*)?$";

/// A well-known type in a body; `None` for any other message.
pub(super) fn schema(
    walker: &mut Walker,
    message: &MessageDescriptor,
    direction: Direction,
) -> Option<Value> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    Some(match name {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => {
            json!({"type": "string", "pattern": DURATION, "description": "Seconds, such as \"3.5s\"."})
        }
        "FieldMask" => json!({
            "type": "string", "pattern": FIELD_MASK, "description": "Field paths in lowerCamelCase, separated by commas.",
        }),
        "Struct" => json!({"type": "object", "additionalProperties": {}, "description": "Any JSON object."}),
        "Value" => json!({}),
        "ListValue" => json!({"type": "array", "items": {}}),
        "Any" => json!({
            "type": "object",
            "properties": {"@type": {
                "type": "string",
                "description": "The type of the message, such as \"type.googleapis.com/package.Message\"; its fields stand beside.",
            }},
            "required": if direction == Direction::Input { json!([]) } else { json!(["@type"]) },
            "additionalProperties": {},
        }),
        _ if name.ends_with("Value") => {
            let value = message.get_field_by_name("value")?;
            walker.value(&value, direction)
        }
        _ => return None,
    })
}

/// A well-known type as text in a path or query; `None` for one that has no text form, and for any other message.
pub(super) fn text(message: &MessageDescriptor) -> Option<Value> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    Some(match name {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": DURATION}),
        "FieldMask" => json!({"type": "string", "pattern": FIELD_MASK_TEXT}),
        // JSON inside a text: said by its media type.
        "Struct" => {
            json!({"type": "object", "additionalProperties": {}, "contentMediaType": "application/json"})
        }
        "Value" => json!({"contentMediaType": "application/json"}),
        "ListValue" => json!({"type": "array", "items": {}, "contentMediaType": "application/json"}),
        "Any" | "Empty" => return None,
        _ if name.ends_with("Value") => scalar::text(&message.get_field_by_name("value")?.kind()),
        _ => return None,
    })
}
