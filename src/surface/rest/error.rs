//! Errors as REST clients read them: one JSON body for every failure, whoever made it, with the HTTP status of its code
//! or of its refusal, its members as the deployment's profile has them; and the same error, in one fixed form, as the last
//! element of a stream that fails half-way. By default it is
//!
//! ```json
//! {"error": "Not Found", "code": 5, "status": "NOT_FOUND", "message": "…", "details": […],
//!  "timestamp": "2026-01-31T12:00:00.000Z", "request_id": "…"}
//! ```

use std::{
    fmt::Display,
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request};
use hyper::ext::ReasonPhrase;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    answer::encode,
    profile::{ErrorValue, Profile},
};
use crate::{
    call::{Body, Record, RequestValues},
    route::Text,
    status::{self, Fault, Refusal},
    surface::{Failed, Protocol, Response, metadata, peer},
    transcode::{JsonStyle, Tables},
};

/// How failures are written: by the deployment's profile, with the types of one schema for the details.
#[derive(Debug, Default)]
pub(super) struct Errors {
    profile: Arc<Profile>,
    pub(super) tables: Option<Arc<Tables>>,
    /// The profile's messages have places that headers fill.
    headers: bool,
}

impl Errors {
    pub(super) fn new(profile: &Arc<Profile>, tables: Option<Arc<Tables>>) -> Self {
        Self { headers: profile.reads_headers(), profile: Arc::clone(profile), tables }
    }
}

/// What of a request its error body needs.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// `x-request-id`, which the edge sets; a new one is made where it is missing.
    pub(super) request_id: Option<HeaderValue>,
    pub(super) accept_encoding: Option<HeaderValue>,
    client: SocketAddr,
    /// Kept where the profile's messages have places that headers fill.
    headers: Option<Box<HeaderMap>>,
    pub(super) errors: Arc<Errors>,
    /// Where what is found out of the request is written.
    pub(super) record: Option<Arc<Record>>,
}

impl Origin {
    /// What of a request its failures will need. Method and URI are taken out of its head.
    pub(super) fn take(parts: &mut request::Parts, errors: &Arc<Errors>) -> Self {
        Self {
            method: std::mem::take(&mut parts.method),
            uri: std::mem::take(&mut parts.uri),
            request_id: parts.headers.get(REQUEST_ID).cloned(),
            accept_encoding: parts.headers.get(header::ACCEPT_ENCODING).cloned(),
            client: peer(&parts.extensions).address,
            headers: errors.headers.then(|| Box::new(parts.headers.clone())),
            errors: Arc::clone(errors),
            record: Record::of(&parts.extensions),
        }
    }

    /// What the profile says in place of a failure's own message.
    fn message(&self, text: &Text, status: &Status) -> String {
        let mut headers = self.headers.as_deref().cloned().unwrap_or_default();
        if let Some(id) = &self.request_id {
            headers.insert(REQUEST_ID, id.clone());
        }
        let values = RequestValues {
            method: &self.method,
            uri: &self.uri,
            headers: &headers,
            captured: &[],
            client: self.client,
            message: status.message(),
            limit: status.metadata().get(LIMIT).and_then(|limit| limit.to_str().ok()),
            retry_after: retry_after(status),
        };
        text.fill(&values, |_, value, out| out.push_str(value))
    }

    /// HEAD: the answer has no body.
    pub(super) fn head(&self) -> bool {
        self.method == Method::HEAD
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where a limit's refusal says how many calls it allows.
const LIMIT: &str = "x-ratelimit-limit";

/// The response of a failure.
pub(super) fn response(status: &Status, origin: &Origin) -> Response {
    let profile = &origin.errors.profile;
    let http = profile.http(status);
    let mut headers = headers(status, http);
    let refusal = Fault::of(status).and_then(|fault| fault.refusal.as_ref());
    if matches!(refusal, Some(Refusal::Redirect { .. })) {
        // It is no failure: there is nothing to read.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        let mut response = http::Response::new(Body::empty());
        (*response.status_mut(), *response.headers_mut()) = (http, headers);
        return response;
    }
    let retry_after = retry_after(status);
    let mut body = Vec::with_capacity(256);
    for field in &profile.error_fields {
        let retry_after = retry_after.filter(|_| http == StatusCode::TOO_MANY_REQUESTS);
        if field.value == ErrorValue::RetryAfter && retry_after.is_none() {
            continue;
        }
        body.push(if body.is_empty() { b'{' } else { b',' });
        string(&mut body, &field.name);
        body.push(b':');
        match field.value {
            ErrorValue::Reason => match profile.reasons.get(&http.as_u16()) {
                Some(reason) => string(&mut body, reason),
                None => string(&mut body, reason(http)),
            },
            ErrorValue::Code => number(&mut body, status.code() as i32),
            ErrorValue::Status => string(&mut body, status::name(status.code())),
            ErrorValue::HttpStatus => number(&mut body, http.as_u16()),
            ErrorValue::Message => match profile.messages.get(&http.as_u16()) {
                Some(text) => string(&mut body, &origin.message(text, status)),
                None => string(&mut body, status.message()),
            },
            ErrorValue::Details => details(status, origin.errors.tables.as_ref(), &mut body),
            ErrorValue::Timestamp => string(&mut body, &format!("{:.3}", jiff::Timestamp::now())),
            ErrorValue::RequestId => match origin.request_id.as_ref().and_then(|id| id.to_str().ok()) {
                Some(id) => string(&mut body, id),
                None => string(&mut body, &uuid::Uuid::now_v7().to_string()),
            },
            ErrorValue::RetryAfter => number(&mut body, retry_after.unwrap_or_default()),
            ErrorValue::Path => string(&mut body, origin.uri.path()),
        }
    }
    body.extend_from_slice(if body.is_empty() { b"{}" } else { b"}" });
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if origin.head() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        body.clear();
    }
    let body = Bytes::from(body);
    // A failure to compress is not worth another one.
    let coded = encode(body.clone(), origin.accept_encoding.as_ref(), &mut headers).unwrap_or(body);
    let mut response = http::Response::new(Body::from(coded));
    *response.status_mut() = http;
    if http.canonical_reason().is_none() {
        // HTTP/1.1 has its reason beside the status, and knows none for this one.
        response.extensions_mut().insert(ReasonPhrase::from_static(b"Client Closed Request"));
    }
    *response.headers_mut() = headers;
    response.extensions_mut().insert(Failed::by(status));
    response
}

/// What the head of a failure's response says beside its status: what came with it, how to come back, when to try again.
#[must_use]
pub fn headers(status: &Status, http: StatusCode) -> HeaderMap {
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
    if http == StatusCode::UNAUTHORIZED {
        // RFC 9110, 11.6.1: who is turned away is told how to come back, whoever has turned it away.
        headers.entry(header::WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = retry_after(status) {
        headers.entry(header::RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
    }
    headers
}

/// The error as a stream's last element: `{"error":{"code":…,"status":…,"message":…,"details":[…]}}`.
pub(in crate::surface) fn terminal(status: &Status, tables: Option<&Arc<Tables>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":{");
    fields(status, tables, out);
    out.extend_from_slice(b"}}");
}

/// INVALID_ARGUMENT for a request whose field at `path` (empty for the whole body) is wrong, with google.rpc.BadRequest.
pub(in crate::surface) fn invalid(path: &str, problem: &impl Display) -> Status {
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
    out.extend_from_slice(b",\"details\":");
    details(status, tables, out);
}

fn details(status: &Status, tables: Option<&Arc<Tables>>, out: &mut Vec<u8>) {
    out.push(b'[');
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

fn number(out: &mut Vec<u8>, number: impl Display) {
    let _ = write!(out, "{number}");
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
    use crate::surface::rest::ErrorField;

    /// A request with the id `r-1`.
    fn origin(method: &str, uri: &str, profile: Profile) -> Origin {
        let request = http::Request::builder().method(method).uri(uri).header("x-request-id", "r-1");
        let mut parts = request.header("host", "api.example").body(()).unwrap().into_parts().0;
        Origin::take(&mut parts, &Arc::new(Errors::new(&Arc::new(profile), None)))
    }

    fn body(status: &Status, origin: &Origin) -> (StatusCode, HeaderMap, serde_json::Value) {
        let (parts, body) = response(status, origin).into_parts();
        let bytes =
            futures_util::FutureExt::now_or_never(axum::body::to_bytes(body, 1 << 20)).unwrap().unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[test]
    fn the_body_of_an_error() {
        let origin = origin("GET", "/v1/shelves/7", Profile::default());
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
        let (.., json) = body(&Status::cancelled(""), &Origin { request_id: None, ..origin });
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
        let (http, _, json) = body(&status, &origin("GET", "/", Profile::default()));
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
        let (http, headers, json) = body(&limited, &origin("GET", "/", Profile::default()));
        assert_eq!(
            (http.as_u16(), &headers["retry-after"], &json["retry_after"]),
            (429, &HeaderValue::from(2), &2.into())
        );

        let allow = vec![http::Method::GET, http::Method::HEAD];
        let refused = status::refuse(Refusal::MethodNotAllowed { allow }, "no");
        let (http, headers, json) = body(&refused, &origin("GET", "/", Profile::default()));
        assert_eq!((http.as_u16(), &headers["allow"]), (405, &HeaderValue::from_static("GET, HEAD")));
        assert_eq!(json["error"], "Method Not Allowed");

        let mut denied = Status::unauthenticated("who are you?");
        denied.metadata_mut().insert("www-authenticate", "Bearer".parse().unwrap());
        denied.metadata_mut().insert("content-length", "7".parse().unwrap());
        let (http, headers, _) = body(&denied, &origin("GET", "/", Profile::default()));
        assert_eq!((http.as_u16(), &headers["www-authenticate"]), (401, &HeaderValue::from_static("Bearer")));
        assert!(!headers.contains_key("content-length"));

        let (_, headers, json) = body(&denied, &origin("HEAD", "/", Profile::default()));
        assert!(json.is_null() && headers.contains_key("content-length"));
    }

    #[test]
    fn a_field_is_named() {
        let status = invalid("book.title", &"book.title: a string is needed");
        let (_, _, json) = body(&status, &origin("GET", "/", Profile::default()));
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

    #[test]
    fn a_profile_is_what_the_body_has() {
        use crate::route::{Piece, Place};
        let field = |name: &str, value| ErrorField { name: name.into(), value };
        let text = |pieces: &[Piece]| Text(pieces.to_vec());
        let said = |text: &str| Piece::Literal(text.into());
        let profile = Profile {
            error_fields: vec![
                field("detail", ErrorValue::Message),
                field("type", ErrorValue::Reason),
                field("http", ErrorValue::HttpStatus),
                field("where", ErrorValue::Path),
                field("id", ErrorValue::RequestId),
                field("wait", ErrorValue::RetryAfter),
            ],
            reasons: [(404, "Nothing here".into())].into(),
            messages: [
                (
                    404,
                    text(&[
                        said("Route "),
                        Piece::Place(Place::Method),
                        said(" "),
                        Piece::Place(Place::Path),
                    ]),
                ),
                (409, text(&[Piece::Place(Place::Message), said(" @"), Piece::Place(Place::Host)])),
            ]
            .into(),
            statuses: [(Code::FailedPrecondition as i32, StatusCode::CONFLICT)].into(),
        };
        let check = |status: Status, http: u16, want: &str| {
            let response = response(&status, &origin("PUT", "/a%20b?c=d", profile.clone()));
            assert_eq!(response.status(), http);
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20);
            let bytes = futures_util::FutureExt::now_or_never(bytes).unwrap().unwrap();
            assert_eq!(std::str::from_utf8(&bytes).unwrap(), want);
        };
        check(
            Status::not_found("no such \"thing\""),
            404,
            r#"{"detail":"Route PUT /a%20b","type":"Nothing here","http":404,"where":"/a%20b","id":"r-1"}"#,
        );
        check(
            Status::failed_precondition("a \"lock\""),
            409,
            r#"{"detail":"a \"lock\" @api.example","type":"Conflict","http":409,"where":"/a%20b","id":"r-1"}"#,
        );
        // What HTTP itself refuses keeps its status, whatever the code of gRPC that it would be.
        let allow = vec![Method::GET];
        check(
            status::refuse(Refusal::MethodNotAllowed { allow }, "no"),
            405,
            r#"{"detail":"no","type":"Method Not Allowed","http":405,"where":"/a%20b","id":"r-1"}"#,
        );
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        check(
            Status::with_error_details(Code::ResourceExhausted, "slow down", details),
            429,
            r#"{"detail":"slow down","type":"Too Many Requests","http":429,"where":"/a%20b","id":"r-1","wait":3}"#,
        );
        let nothing = Profile { error_fields: Vec::new(), ..Profile::default() };
        let response = response(&Status::internal("x"), &origin("GET", "/", nothing));
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(2));
    }
}
