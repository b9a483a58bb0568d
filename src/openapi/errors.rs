//! What failures look like: the schema of the deployment's error body, and the responses that operations refer to.

use serde_json::{Map, Value, json};
use utoipa::openapi::{Content, Ref, Response, ResponseBuilder};

use crate::surface::rest::{ErrorValue, Profile};

/// The definition of the error body.
pub(super) const ERROR: &str = "Error";
/// The definition of the last element of a stream that fails half-way.
pub(super) const STREAM_ERROR: &str = "StreamError";

/// The responses that operations refer to: HTTP status, name, words.
const RESPONSES: [(&str, &str, &str); 9] = [
    (
        "400",
        "BadRequest",
        "The request is not what the method takes: a parameter, or the body. The message names what is wrong.",
    ),
    ("401", "Unauthorized", "The request has no credentials, or none that hold."),
    ("404", "NotFound", "There is no such resource."),
    ("406", "NotAcceptable", "`Accept` excludes every form that the answer has."),
    ("413", "TooLarge", "The request body is over the limit of its route."),
    ("415", "UnsupportedMediaType", "The body is of a type, or in a coding, that is not understood here."),
    ("503", "Unavailable", "What answers this cannot be reached now; the request may be sent again."),
    ("504", "DeadlineExceeded", "What answers this has not done so in time."),
    ("default", "Failure", "Any other failure; the body says what it is."),
];

/// A reference to the response of an HTTP status, or `default`.
pub(super) fn response(status: &str) -> Option<Ref> {
    let (_, name, _) = RESPONSES.iter().find(|(known, ..)| *known == status)?;
    Some(Ref::from_response_name(*name))
}

/// All of them, by name.
pub(super) fn responses() -> impl Iterator<Item = (&'static str, Response)> {
    RESPONSES.iter().map(|(_, name, words)| {
        let content = Content::new(Some(Ref::from_schema_name(ERROR)));
        (*name, ResponseBuilder::new().description(*words).content("application/json", content).build())
    })
}

/// The schemas of error bodies, by name.
pub(super) fn schemas(profile: &Profile) -> [(&'static str, Value); 2] {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in &profile.error_fields {
        let name = field.name.to_string();
        if field.value != ErrorValue::RetryAfter {
            required.push(name.clone());
        }
        properties.insert(name, value(field.value));
    }
    let error = json!({
        "type": "object", "description": "A failure.", "properties": properties, "required": required,
    });
    let in_stream = json!({
        "type": "object",
        "description": "The last element of a stream that fails behind its first message.",
        "properties": {"error": {
            "type": "object",
            "properties": {
                "code": value(ErrorValue::Code),
                "status": value(ErrorValue::Status),
                "message": value(ErrorValue::Message),
                "details": value(ErrorValue::Details),
            },
            "required": ["code", "status", "message", "details"],
        }},
        "required": ["error"],
    });
    [(ERROR, error), (STREAM_ERROR, in_stream)]
}

fn value(of: ErrorValue) -> Value {
    match of {
        ErrorValue::Reason => json!({"type": "string", "description": "HTTP's words for the status."}),
        ErrorValue::Code => {
            json!({"type": "integer", "format": "int32", "description": "The code of google.rpc.Code."})
        }
        ErrorValue::Status => {
            json!({"type": "string", "description": "The name of the code, such as `NOT_FOUND`."})
        }
        ErrorValue::HttpStatus => {
            json!({"type": "integer", "format": "int32", "description": "The HTTP status."})
        }
        ErrorValue::Message => json!({"type": "string", "description": "What went wrong, for people."}),
        ErrorValue::Details => json!({
            "type": "array",
            "description": "More about it, for programs: messages as google.protobuf.Any.",
            "items": {
                "type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"], "additionalProperties": {},
            },
        }),
        ErrorValue::Timestamp => json!({"type": "string", "format": "date-time"}),
        ErrorValue::RequestId => {
            json!({"type": "string", "description": "The request's `X-Request-ID`; logs have it too."})
        }
        ErrorValue::RetryAfter => {
            json!({"type": "integer", "description": "When to try again, in seconds; of 429 alone."})
        }
        ErrorValue::Path => json!({"type": "string", "description": "The path that was asked for."}),
    }
}
