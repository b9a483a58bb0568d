//! Headers that requests may have and responses have, each said once: operations and responses refer to them.

use serde_json::{Map, Value, json};
use utoipa::openapi::{extensions::Extensions, response::Response};

/// Parameters that every operation of a method takes.
pub(super) const OF_METHODS: [&str; 2] = ["RequestId", "RequestTimeout"];
/// Parameters that pages and routes without a service take.
pub(super) const OF_PAGES: [&str; 1] = ["RequestId"];
/// What every response has.
pub(super) const OF_ANSWERS: [&str; 2] = ["X-Request-ID", "X-Process-Time"];
/// What says how often a caller may still call; a refusal has `X-RateLimit-*` in the document too.
pub(super) const OF_LIMITS: [&str; 2] = ["RateLimit", "RateLimit-Policy"];

/// The parameters, for `components/parameters`. They have no examples: Swagger UI would fill in each, and send it.
pub(super) fn parameters() -> Value {
    json!({
        "RequestId": {
            "name": "X-Request-ID", "in": "header", "required": false,
            "description": "Names the request in logs, and to what answers it. One that is not 1 to 128 visible ASCII \
                            characters is replaced; without one, an id is made up. The response has it.",
            "schema": {"type": "string"},
        },
        "RequestTimeout": {
            "name": "X-Request-Timeout", "in": "header", "required": false,
            "description": "How long the caller waits: seconds, or a number with `ms`, `s` or `m`, such as `30s`. What takes longer ends \
                            with 504. The route's own limit, if it has one, is not made longer.",
            "schema": {
                "type": "string",
                "pattern": r"^([1-9][0-9]{0,7}(\.[0-9]{1,6})?[sm]?|[1-9][0-9]{2,7}ms)$",
            },
        },
    })
}

/// The headers of responses, for `components/headers`.
pub(super) fn headers() -> Value {
    let text = |words: &str, example: &str| json!({"description": words, "schema": {"type": "string"}, "example": example});
    let number = |words: &str, example: u64| json!({"description": words, "schema": {"type": "integer", "minimum": 0}, "example": example});
    let mut headers = json!({
        "X-Request-ID": text("The request's id: its own, or one made up.", "01a21ff9-d560-7055-89d6-46b22f7a23d8"),
        "X-Process-Time": {
            "description": "How long it took until the response began, in seconds.",
            "schema": {"type": "number", "minimum": 0}, "example": 0.004_211,
        },
        "WWW-Authenticate": text("How to say who calls (RFC 9110, RFC 6750).", "Bearer"),
        "Allow": text("The methods that the path has.", "GET, HEAD, OPTIONS"),
        "Retry-After": number("In how many seconds to try again.", 17),
        "RateLimit": text("What is left of the limit, and in how many seconds it is whole again.", "\"tier-free\";r=0;t=17"),
        "RateLimit-Policy": text("The limit: calls, and the seconds they are counted over.", "\"tier-free\";q=60;w=60"),
        "X-RateLimit-Limit": number("How many calls there may be.", 60),
        "X-RateLimit-Remaining": number("How many are left.", 0),
        "X-RateLimit-Reset": number("When all are there again: seconds since 1970, or from now, as the gateway is set up.", 1_769_860_817),
        "ETag": text("Names this version; `If-None-Match` asks for another.", "W/\"5c1ab0f3d2e49c77\""),
    });
    for (name, required) in
        [("X-Request-ID", true), ("WWW-Authenticate", true), ("Allow", true), ("ETag", true)]
    {
        if let Some(header) = headers.get_mut(name).and_then(Value::as_object_mut) {
            header.insert("required".to_owned(), required.into());
        }
    }
    headers
}

/// References to parameters, for a path.
pub(super) fn taken(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")})).collect()
}

/// A response with these headers beside those it has. utoipa's headers know no reference.
pub(super) fn with(mut response: Response, names: &[&str]) -> Response {
    let mut headers = Map::new();
    for (name, header) in std::mem::take(&mut response.headers) {
        headers.insert(name, serde_json::to_value(header).unwrap_or_default());
    }
    for name in names {
        headers.insert((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    }
    let extensions = response.extensions.get_or_insert_default();
    extensions.merge(Extensions::from_iter([("headers", Value::Object(headers))]));
    response
}
