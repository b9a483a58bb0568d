//! A health body that a deployment has its own way: the schema of what it looks like then.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    surface::rest::health_body::{HealthBody, Member, Services},
    transcode::json_schema::{Direction, Walker},
};

/// The schema of a message in this form.
pub(super) fn schema(walker: &mut Walker, message: &MessageDescriptor, body: &HealthBody) -> Value {
    object(walker, message, body.fields.as_deref(), &mut |walker, field| {
        let below = match field.kind() {
            Kind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
                Kind::Message(value) => Some(value),
                _ => None,
            },
            Kind::Message(element) if field.is_list() => Some(element),
            _ => None,
        };
        let value = match (field.name(), below) {
            ("services", Some(service)) => {
                let one = match &body.services {
                    Services::Whole => {
                        object(walker, &service, None, &mut |walker, field| of(walker, field, body))
                    }
                    Services::Members(members) => {
                        object(walker, &service, Some(members), &mut |walker, field| of(walker, field, body))
                    }
                    Services::Value(name) => {
                        service.get_field_by_name(name).map_or(json!({}), |field| of(walker, &field, body))
                    }
                };
                json!({"type": "object", "additionalProperties": one})
            }
            ("checks", Some(check)) => {
                let members = body.checks.as_deref();
                let one = object(walker, &check, members, &mut |walker, field| of(walker, field, body));
                json!({"type": "array", "items": one})
            }
            _ => return walker.field(field, Direction::Output),
        };
        let mut value = value;
        let words = walker.description(field);
        if let Some(members) = value.as_object_mut().filter(|_| !words.is_empty()) {
            members.insert("description".to_owned(), words.into());
        }
        value
    })
}

fn of(walker: &mut Walker, field: &FieldDescriptor, body: &HealthBody) -> Value {
    let mut value = walker.field(field, Direction::Output);
    if body.whole_milliseconds && field.name() == "latency_ms" {
        let description = value["description"].take();
        value = json!({"type": "integer", "minimum": 0, "description": description});
    }
    value
}

/// An object of these members; of all where none are chosen. What may be unset may be left out.
fn object(
    walker: &mut Walker,
    message: &MessageDescriptor,
    members: Option<&[Member]>,
    value: &mut dyn FnMut(&mut Walker, &FieldDescriptor) -> Value,
) -> Value {
    let fields: Vec<(String, FieldDescriptor)> = match members {
        None => message.fields().map(|field| (walker.name(&field), field)).collect(),
        Some(members) => members
            .iter()
            .filter_map(|member| Some((member.key.to_string(), message.get_field_by_name(&member.field)?)))
            .collect(),
    };
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (key, field) in fields {
        if !field.supports_presence() || matches!(field.kind(), Kind::Message(_)) {
            required.push(Value::from(key.clone()));
        }
        properties.insert(key, value(walker, &field));
    }
    json!({"type": "object", "properties": properties, "required": required})
}
