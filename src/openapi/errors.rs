//! What failures look like: the schema of the deployment's error body, and the responses that operations refer to, each with
//! its headers and an example.

use http::StatusCode;
use serde_json::{Map, Value, json};
use tonic::Code;
use utoipa::openapi::{ContentBuilder, Ref, Response, ResponseBuilder};

use super::headers;
use crate::{
    status,
    surface::rest::{ErrorValue, Profile},
};

/// The definition of the error body.
pub(super) const ERROR: &str = "Error";
/// The definition of the last element of a stream that fails half-way.
pub(super) const STREAM_ERROR: &str = "StreamError";

/// A response that operations refer to.
struct Known {
    /// HTTP's own refusals keep their status; other failures have that of their code, as the profile has it.
    status: u16,
    code: Code,
    refusal: bool,
    name: &'static str,
    words: &'static str,
    /// Headers beside those that every response has.
    headers: &'static [&'static str],
    /// The message of the example.
    message: &'static str,
}

/// Which operation may give a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Invalid,
    Unauthenticated,
    Forbidden,
    NotFound,
    NotAcceptable,
    RequestTimeout,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    TooMany,
    HeadersTooLarge,
    Internal,
    Unimplemented,
    Unavailable,
    DeadlineExceeded,
}

/// No operation's own, since what a path has is documented: what its other methods give.
const NOT_ALLOWED: Known = Known {
    status: 405,
    code: Code::Unimplemented,
    refusal: true,
    name: "MethodNotAllowed",
    words: "The path has no such method; `Allow` has those that it has.",
    headers: &["Allow"],
    message: "/v1/books/7 has no PUT; it has GET, HEAD",
};

/// Every other failure.
const DEFAULT: Known = Known {
    status: 500,
    code: Code::Unknown,
    refusal: false,
    name: "Failure",
    words: "Any other failure; the body says what it is.",
    headers: &[],
    message: "the books are being counted",
};

impl Failure {
    const ALL: [Self; 15] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::TooMany,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Unimplemented,
        Self::Unavailable,
        Self::DeadlineExceeded,
    ];

    #[rustfmt::skip]
    fn known(self) -> Known {
        let of = |code, name, words, message| Known {
            status: status::http_of(code).as_u16(), code, refusal: false, name, words, headers: &[], message,
        };
        let refusal = |status, code, name, words, message| Known {
            status, code, refusal: true, name, words, headers: &[], message,
        };
        match self {
            Self::Invalid => of(Code::InvalidArgument, "BadRequest",
                "The request is not what the method takes: a parameter, a header, the body, or the state of what it is about. \
                 The message names what is wrong.",
                "page_size: -1 is not 1 to 1000"),
            Self::Unauthenticated => Known {
                headers: &["WWW-Authenticate"],
                ..of(Code::Unauthenticated, "Unauthorized", "The request has no credentials, or none that hold.",
                    "the call is for authenticated callers; the request has no credentials")
            },
            Self::Forbidden => of(Code::PermissionDenied, "Forbidden",
                "The caller is known, and may not do this.", "the role admin is missing"),
            Self::NotFound => of(Code::NotFound, "NotFound", "There is no such resource.", "there is no book 7"),
            Self::NotAcceptable => refusal(406, Code::InvalidArgument, "NotAcceptable",
                "`Accept` excludes every form that the answer has.", "text/plain is not among application/json"),
            Self::RequestTimeout => refusal(408, Code::DeadlineExceeded, "RequestTimeout",
                "The request's body paused for too long.", "the request's body paused for 30s"),
            Self::Conflict => of(Code::AlreadyExists, "Conflict",
                "It is there already, somebody else was faster, or things are such that it cannot be.", "there is a book 7 already"),
            Self::TooLarge => refusal(413, Code::ResourceExhausted, "TooLarge",
                "The request body is over the limit of its route.", "the body is over the limit of 4194304 bytes"),
            Self::UnsupportedMediaType => refusal(415, Code::InvalidArgument, "UnsupportedMediaType",
                "The body is of a type, or in a coding, that is not understood here.",
                "content-type \"text/plain\" is not understood here: application/json is"),
            Self::TooMany => Known {
                headers: &["Retry-After", "RateLimit", "RateLimit-Policy", "X-RateLimit-Limit",
                           "X-RateLimit-Remaining", "X-RateLimit-Reset"],
                ..of(Code::ResourceExhausted, "TooManyRequests",
                    "The caller has called too often; `Retry-After` says when to try again.",
                    "too many calls: the limit is 60 in 60s (tier-free); try again in 17 s")
            },
            Self::HeadersTooLarge => refusal(431, Code::ResourceExhausted, "HeadersTooLarge",
                "The request's headers are over the gateway's limit.",
                "the headers of the request are 70000 bytes; the limit is 65536"),
            Self::Internal => of(Code::Internal, "Internal",
                "Something broke on the way or behind it; the log has the request's id.", "a book has no pages"),
            Self::Unimplemented => of(Code::Unimplemented, "Unimplemented",
                "What answers this does not know the method.", "unknown method GetBook"),
            Self::Unavailable => Known {
                headers: &["Retry-After"],
                ..of(Code::Unavailable, "Unavailable",
                    "What answers this, or a store that it needs, cannot be reached now; the request may be sent again.",
                    "upstream books cannot be reached")
            },
            Self::DeadlineExceeded => of(Code::DeadlineExceeded, "DeadlineExceeded",
                "What answers this has not done so in time.", "the deadline of 60s passed"),
        }
    }
}

impl Known {
    fn http(&self, profile: &Profile) -> u16 {
        let own = if self.refusal { None } else { profile.http_of(self.code) };
        own.map_or(self.status, |status| status.as_u16())
    }
}

/// The responses of failures: HTTP status, and a reference. Where a profile gives two of them one status, the first has it;
/// what is not listed is `default`.
pub(super) fn responses_of(
    failures: impl IntoIterator<Item = Failure>,
    profile: &Profile,
) -> impl Iterator<Item = (String, Ref)> {
    let mut found: Vec<(String, Ref)> = Vec::new();
    for known in failures.into_iter().map(Failure::known) {
        let status = known.http(profile).to_string();
        if !found.iter().any(|(other, _)| *other == status) {
            found.push((status, Ref::from_response_name(known.name)));
        }
    }
    found.into_iter().chain([("default".to_owned(), Ref::from_response_name(DEFAULT.name))])
}

/// All of them, by name.
pub(super) fn responses(profile: &Profile) -> impl Iterator<Item = (&'static str, Response)> {
    let all = Failure::ALL.into_iter().map(Failure::known).chain([NOT_ALLOWED, DEFAULT]);
    all.map(|known| {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(ERROR)))
            .example(Some(example(&known, profile)))
            .build();
        let response =
            ResponseBuilder::new().description(known.words).content("application/json", content).build();
        let names: Vec<_> = headers::OF_ANSWERS.iter().chain(known.headers).copied().collect();
        (known.name, headers::with(response, &names))
    })
}

/// An error body as the profile has it.
fn example(known: &Known, profile: &Profile) -> Value {
    let http = known.http(profile);
    let limited = http == StatusCode::TOO_MANY_REQUESTS.as_u16();
    let mut body = Map::new();
    for field in &profile.error_fields {
        let value = match field.value {
            ErrorValue::Reason => match profile.reasons.get(&http) {
                Some(own) => json!(&**own),
                None => json!(
                    StatusCode::from_u16(http)
                        .ok()
                        .and_then(|status| status.canonical_reason())
                        .unwrap_or("Error")
                ),
            },
            ErrorValue::Code => json!(known.code as i32),
            ErrorValue::Status => json!(status::name(known.code)),
            ErrorValue::HttpStatus => json!(http),
            ErrorValue::Message => json!(known.message),
            ErrorValue::Details => match known.code {
                Code::InvalidArgument if !known.refusal => json!([{
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "page_size", "description": "-1 is not 1 to 1000"}],
                }]),
                Code::ResourceExhausted if !known.refusal => {
                    json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}])
                }
                _ => json!([]),
            },
            ErrorValue::Timestamp => json!("2026-01-31T12:00:00.000Z"),
            ErrorValue::RequestId => json!("01a21ff9-d560-7055-89d6-46b22f7a23d8"),
            ErrorValue::RetryAfter if limited => json!(17),
            ErrorValue::RetryAfter => continue,
            ErrorValue::Path => json!("/v1/books/7"),
        };
        body.insert(field.name.to_string(), value);
    }
    Value::Object(body)
}

/// The last element of a stream that fails half-way, as an example.
pub(super) fn in_stream() -> Value {
    json!({"error": {"code": 14, "status": "UNAVAILABLE", "message": "the upstream went away", "details": []}})
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
