//! Writes JSON Schema values as utoipa's types. What those have no word for (`oneOf` beside properties, `not`, `allOf`)
//! stands beside them as it is.

use serde_json::{Map, Value};
use utoipa::{
    Number,
    openapi::{
        AllOfBuilder, ArrayBuilder, Deprecated, Object, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat,
        Type,
        extensions::Extensions,
        schema::{AdditionalProperties, AnyOfBuilder, ArrayItems, SchemaType},
    },
};

/// What utoipa's types have no word for, and who may read or write, which those of some have.
const BESIDE: [&str; 3] = ["deprecated", "readOnly", "writeOnly"];

/// The schema of a value.
pub(super) fn schema(value: &Value) -> RefOr<Schema> {
    let Some(members) = value.as_object() else { return RefOr::T(Schema::Object(Object::default())) };
    if let Some(location) = text(members, "$ref") {
        let mut reference = Ref::new(location);
        reference.description = text(members, "description").unwrap_or_default().to_owned();
        let beside = members.iter().filter(|(name, _)| BESIDE.contains(&name.as_str()));
        let beside = Extensions::from_iter(beside.map(|(name, value)| (name.clone(), value.clone())));
        if beside.is_empty() {
            return RefOr::Ref(reference);
        }
        // A reference of utoipa's knows none of these.
        return RefOr::T(Schema::AllOf(AllOfBuilder::new().item(reference).extensions(Some(beside)).build()));
    }
    RefOr::T(inline(members))
}

fn inline(members: &Map<String, Value>) -> Schema {
    let description = text(members, "description");
    let extensions = |names: &[&str]| {
        let beside = names.iter().filter_map(|name| Some(((*name).to_owned(), members.get(*name)?.clone())));
        Some(Extensions::from_iter(beside.collect::<Vec<_>>())).filter(|found| !found.is_empty())
    };
    if let Some(alternatives) = members.get("anyOf").and_then(Value::as_array) {
        let mut any = AnyOfBuilder::new().description(description).extensions(extensions(&BESIDE));
        for alternative in alternatives {
            any = any.item(schema(alternative));
        }
        return Schema::AnyOf(any.build());
    }
    let types = types(members);
    if let (Some(items), Some(types)) = (members.get("items"), &types) {
        return Schema::Array(
            ArrayBuilder::new()
                .schema_type(types.clone())
                .items(ArrayItems::RefOrSchema(Box::new(schema(items))))
                .description(description)
                .deprecated(deprecated(members))
                .min_items(size(members, "minItems"))
                .max_items(size(members, "maxItems"))
                .extensions(extensions(&["readOnly", "writeOnly"]))
                .build(),
        );
    }
    let mut object = ObjectBuilder::new()
        .schema_type(types.unwrap_or(SchemaType::AnyValue))
        .format(text(members, "format").map(|format| SchemaFormat::Custom(format.to_owned())))
        .description(description)
        .pattern(text(members, "pattern"))
        .minimum(number(members, "minimum"))
        .maximum(number(members, "maximum"))
        .min_length(size(members, "minLength"))
        .max_length(size(members, "maxLength"))
        .min_properties(size(members, "minProperties"))
        .max_properties(size(members, "maxProperties"))
        .content_encoding(text(members, "contentEncoding").unwrap_or_default())
        .content_media_type(text(members, "contentMediaType").unwrap_or_default())
        .deprecated(deprecated(members))
        .enum_values(members.get("enum").and_then(Value::as_array).cloned())
        .additional_properties(members.get("additionalProperties").map(additional))
        .extensions(
            extensions(&["oneOf", "allOf", "readOnly", "writeOnly"]).or_else(|| large_maximum(members)),
        );
    if let Some(RefOr::T(names)) = members.get("propertyNames").map(schema) {
        object = object.property_names(Some(names));
    }
    for name in members.get("required").and_then(Value::as_array).into_iter().flatten() {
        object = object.required(name.as_str().unwrap_or_default());
    }
    for (name, value) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
        object = object.property(name, schema(value));
    }
    Schema::Object(object.build())
}

fn additional(value: &Value) -> AdditionalProperties<Schema> {
    match value {
        Value::Bool(free) => AdditionalProperties::FreeForm(*free),
        // Any value is said in the shortest way.
        Value::Object(members) if members.is_empty() => AdditionalProperties::FreeForm(true),
        value => AdditionalProperties::RefOr(schema(value)),
    }
}

fn types(members: &Map<String, Value>) -> Option<SchemaType> {
    let one = |name: &str| {
        Some(match name {
            "object" => Type::Object,
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            "array" => Type::Array,
            "null" => Type::Null,
            _ => return None,
        })
    };
    match members.get("type")? {
        Value::String(name) => one(name).map(SchemaType::Type),
        Value::Array(names) => {
            Some(SchemaType::Array(names.iter().filter_map(Value::as_str).filter_map(one).collect()))
        }
        _ => None,
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

fn number(members: &Map<String, Value>, name: &str) -> Option<Number> {
    let value = members.get(name)?;
    if value.is_u64() && !value.is_i64() {
        return None;
    }
    match value.as_i64().map(isize::try_from) {
        Some(Ok(integer)) => Some(Number::Int(integer)),
        _ => value.as_f64().map(Number::Float),
    }
}

/// The one number that utoipa's would round: the largest uint64.
fn large_maximum(members: &Map<String, Value>) -> Option<Extensions> {
    let most = members.get("maximum").filter(|most| most.is_u64() && !most.is_i64())?;
    Some(Extensions::from_iter([("maximum", most.clone())]))
}

fn size(members: &Map<String, Value>, name: &str) -> Option<usize> {
    members.get(name)?.as_u64().and_then(|size| usize::try_from(size).ok())
}

fn is_true(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name) == Some(&Value::Bool(true))
}

fn deprecated(members: &Map<String, Value>) -> Option<Deprecated> {
    is_true(members, "deprecated").then_some(Deprecated::True)
}
