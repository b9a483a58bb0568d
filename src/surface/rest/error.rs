//! Errors as REST clients read them: one JSON body for every failure, whoever made it, with the HTTP status of its code
//! or of its refusal; and the same error as the last element of a stream that fails half-way.
//!
//! ```json
//! {"error": "Not Found", "code": 5, "status": "NOT_FOUND", "message": "…", "details": […],
//!  "timestamp": "2026-01-31T12:00:00.000Z", "request_id": "…"}
//! ```

use std::{
    fmt::Display,
    io::Write as _,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    call::Body,
    status::{self, Fault, Refusal},
    surface::{Failed, Protocol, Response, metadata},
    transcode::{JsonStyle, Tables},
};

/// What of a request its error body needs.
#[derive(Debug, Default, Clone)]
pub(super) struct Origin {
    /// `x-request-id`, which the edge sets; a new one is made where it is missing.
    pub(super) request_id: Option<HeaderValue>,
    /// HEAD: the answer has no body.
    pub(super) head: bool,
    /// Types of the method's schema, for the details.
    pub(super) tables: Option<Arc<Tables>>,
}

/// The response of a failure.
pub(super) fn response(status: &Status, origin: &Origin) -> Response {
    let http = status::http(status);
    let mut headers = status.metadata().as_ref().clone();
    metadata::to_response(&mut headers, Protocol::Rest);
    match Fault::of(status).and_then(|fault| fault.refusal.as_ref()) {
        Some(Refusal::MethodNotAllowed { allow }) => {
            let allow: Vec<_> = allow.iter().map(http::Method::as_str).collect();
            if let Ok(allow) = HeaderValue::try_from(allow.join(", ")) {
                headers.insert(header::ALLOW, allow);
            }
        }
        Some(Refusal::Redirect { location }) => {
            if let Ok(location) = HeaderValue::try_from(location) {
                headers.insert(header::LOCATION, location);
            }
        }
        _ => {}
    }
    let retry_after = retry_after(status);
    if let Some(seconds) = retry_after {
        headers.entry(header::RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
    }
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(b"{\"error\":");
    string(&mut body, reason(http));
    body.push(b',');
    fields(status, origin.tables.as_ref(), &mut body);
    let _ = write!(body, ",\"timestamp\":\"{:.3}\",\"request_id\":", jiff::Timestamp::now());
    match origin.request_id.as_ref().and_then(|id| id.to_str().ok()) {
        Some(id) => string(&mut body, id),
        None => string(&mut body, &uuid::Uuid::now_v7().to_string()),
    }
    if let Some(seconds) = retry_after.filter(|_| http == StatusCode::TOO_MANY_REQUESTS) {
        let _ = write!(body, ",\"retry_after\":{seconds}");
    }
    body.push(b'}');
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if origin.head {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        body.clear();
    }
    let mut response = http::Response::new(Body::from(body));
    *response.status_mut() = http;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(Failed { code: status.code(), message: status.message().to_owned() });
    response
}

/// The error as a stream's last element: `{"error":{"code":…,"status":…,"message":…,"details":[…]}}`.
pub(super) fn terminal(status: &Status, tables: Option<&Arc<Tables>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":{");
    fields(status, tables, out);
    out.extend_from_slice(b"}}");
}

/// INVALID_ARGUMENT for a request whose field at `path` (empty for the whole body) is wrong, with google.rpc.BadRequest.
pub(super) fn invalid(path: &str, problem: &impl Display) -> Status {
    let message = problem.to_string();
    let details = ErrorDetails::with_bad_request_violation(path, message.as_str());
    Fault::client().on(Status::with_error_details(Code::InvalidArgument, message, details))
}

/// The same failure, said of one element of a stream of requests.
pub(super) fn of_element(number: usize, status: &Status) -> Status {
    let message = format!("element {number}: {}", status.message());
    let mut named = Status::with_details(status.code(), message, status.details().to_vec().into());
    if let Some(fault) = Fault::of(status) {
        named = fault.clone().on(named);
    }
    named
}

fn fields(status: &Status, tables: Option<&Arc<Tables>>, out: &mut Vec<u8>) {
    let code = status.code();
    let _ = write!(out, "\"code\":{},\"status\":\"{}\",\"message\":", code as i32, status::name(code));
    string(out, status.message());
    out.extend_from_slice(b",\"details\":[");
    for (at, detail) in status::details(status).iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        self::detail(detail, tables, out);
    }
    out.push(b']');
}

/// One detail in ProtoJSON's form of Any; a type that neither the method's schema nor google.rpc knows keeps its bytes.
fn detail(detail: &prost_types::Any, tables: Option<&Arc<Tables>>, out: &mut Vec<u8>) {
    let name = detail.type_url.rsplit('/').next().unwrap_or_default();
    out.extend_from_slice(b"{\"@type\":");
    string(out, &detail.type_url);
    let mut json = Vec::new();
    let known = tables.into_iter().chain(COMMON.as_ref()).any(|tables| {
        // What a failed attempt has left does not belong to the next.
        json.clear();
        tables
            .codec(name)
            .is_some_and(|codec| codec.to_json(&detail.value, &JsonStyle::default(), &mut json).is_ok())
    });
    // The well-known types have a JSON of their own, which stands under "value".
    let own_form = name.starts_with("google.protobuf.") && name != "google.protobuf.Empty";
    match json.strip_prefix(b"{") {
        Some(b"}") if known && !own_form => out.push(b'}'),
        Some(members) if known && !own_form => {
            out.push(b',');
            out.extend_from_slice(members);
        }
        _ if known => {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(&json);
            out.push(b'}');
        }
        _ => {
            out.extend_from_slice(b",\"value\":");
            string(out, &STANDARD.encode(&detail.value));
            out.push(b'}');
        }
    }
}

/// google/rpc/error_details.proto, for upstreams whose own schema does not import it.
static COMMON: LazyLock<Option<Arc<Tables>>> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET).ok()?;
    Some(Tables::compile(&pool))
});

/// When to try again, in whole seconds rounded up, if the status carries google.rpc.RetryInfo.
fn retry_after(status: &Status) -> Option<u64> {
    if status.details().is_empty() {
        return None;
    }
    let details = status::details(status);
    let info = details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = tonic_types::pb::RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    u64::try_from(delay.seconds.saturating_add(i64::from(delay.nanos > 0))).ok()
}

fn reason(http: StatusCode) -> &'static str {
    http.canonical_reason().unwrap_or(match http.as_u16() {
        499 => "Client Closed Request",
        _ => "Error",
    })
}

/// Appends a JSON string.
fn string(out: &mut Vec<u8>, text: &str) {
    // A Vec takes everything.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;

    fn body(status: &Status, origin: &Origin) -> (StatusCode, HeaderMap, serde_json::Value) {
        let (parts, body) = response(status, origin).into_parts();
        let bytes =
            futures_util::FutureExt::now_or_never(axum::body::to_bytes(body, 1 << 20)).unwrap().unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[test]
    fn the_body_of_an_error() {
        let origin = Origin { request_id: Some(HeaderValue::from_static("r-1")), ..Origin::default() };
        let (http, headers, mut json) = body(&Status::not_found("no \"shelf\" 7"), &origin);
        assert_eq!((http.as_u16(), headers["content-type"].as_bytes()), (404, &b"application/json"[..]));
        let timestamp = json.as_object_mut().unwrap().remove("timestamp").unwrap();
        let timestamp = timestamp.as_str().unwrap();
        assert!(
            timestamp.len() == 24 && timestamp.ends_with('Z') && timestamp.parse::<jiff::Timestamp>().is_ok()
        );
        let want = serde_json::json!({
            "error": "Not Found", "code": 5, "status": "NOT_FOUND", "message": "no \"shelf\" 7", "details": [],
            "request_id": "r-1"
        });
        assert_eq!(json, want);
        let (.., json) = body(&Status::cancelled(""), &Origin::default());
        assert_eq!(json["error"], "Client Closed Request");
        assert_eq!(uuid::Uuid::parse_str(json["request_id"].as_str().unwrap()).unwrap().get_version_num(), 7);
    }

    #[test]
    fn details_are_readable_or_at_least_kept() {
        let details = [
            (
                "type.googleapis.com/google.rpc.ErrorInfo",
                tonic_types::pb::ErrorInfo { reason: "R".into(), domain: "d".into(), ..Default::default() }
                    .encode_to_vec(),
            ),
            (
                "type.googleapis.com/google.protobuf.Duration",
                prost_types::Duration { seconds: 3, nanos: 0 }.encode_to_vec(),
            ),
            ("type.googleapis.com/google.protobuf.Empty", Vec::new()),
            ("type.googleapis.com/some.Unknown", vec![8, 150, 1]),
            ("type.googleapis.com/google.rpc.ErrorInfo", vec![255]),
        ];
        let details = details.map(|(url, value)| prost_types::Any { type_url: url.into(), value });
        let rpc = status::RpcStatus { code: 9, message: "m".into(), details: details.into() };
        let status = Status::with_details(Code::FailedPrecondition, "m", rpc.encode_to_vec().into());
        let (http, _, json) = body(&status, &Origin::default());
        assert_eq!(http.as_u16(), 400);
        let want = serde_json::json!([
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R", "domain": "d"},
            {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"},
            {"@type": "type.googleapis.com/google.protobuf.Empty"},
            {"@type": "type.googleapis.com/some.Unknown", "value": "CJYB"},
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "value": "/w=="},
        ]);
        assert_eq!(json["details"], want);
        let mut out = Vec::new();
        terminal(&status, None, &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"error": {"code": 9, "status": "FAILED_PRECONDITION", "message": "m", "details": want}})
        );
    }

    #[test]
    fn headers_that_belong_to_an_error() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        let limited = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
        let (http, headers, json) = body(&limited, &Origin::default());
        assert_eq!(
            (http.as_u16(), &headers["retry-after"], &json["retry_after"]),
            (429, &HeaderValue::from(2), &2.into())
        );

        let allow = vec![http::Method::GET, http::Method::HEAD];
        let refused = status::refuse(Refusal::MethodNotAllowed { allow }, "no");
        let (http, headers, json) = body(&refused, &Origin::default());
        assert_eq!((http.as_u16(), &headers["allow"]), (405, &HeaderValue::from_static("GET, HEAD")));
        assert_eq!(json["error"], "Method Not Allowed");

        let mut denied = Status::unauthenticated("who are you?");
        denied.metadata_mut().insert("www-authenticate", "Bearer".parse().unwrap());
        denied.metadata_mut().insert("content-length", "7".parse().unwrap());
        let (http, headers, _) = body(&denied, &Origin::default());
        assert_eq!((http.as_u16(), &headers["www-authenticate"]), (401, &HeaderValue::from_static("Bearer")));
        assert!(!headers.contains_key("content-length"));

        let (_, headers, json) = body(&denied, &Origin { head: true, ..Origin::default() });
        assert!(json.is_null() && headers.contains_key("content-length"));
    }

    #[test]
    fn a_field_is_named() {
        let status = invalid("book.title", &"book.title: a string is needed");
        let (_, _, json) = body(&status, &Origin::default());
        assert_eq!(
            json["details"],
            serde_json::json!([{
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "book.title", "description": "book.title: a string is needed"}]
            }])
        );
        let status = of_element(3, &status);
        assert_eq!(status.message(), "element 3: book.title: a string is needed");
        assert_eq!(status::details(&status).len(), 1);
    }
}
