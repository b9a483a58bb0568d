//! Failures: every failure inside the gateway is a `tonic::Status`, and this file holds the one table between
//! gRPC codes and HTTP, the faults gRPC has no code for, and the safe reading of a status from trailers.
//!
//! Sources: google.rpc.Code (its HTTP mapping), "gRPC over HTTP/2" (Status, Status-Message, percent-encoding),
//! "HTTP to gRPC Status Code Mapping".

use std::{borrow::Cow, error::Error, fmt, sync::Arc};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS};
use prost::Message as _;
use tonic::{Code, Status};

/// What gRPC's sixteen codes cannot say, and whose fault it is; rides in a status's source, never on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The refusal HTTP has a word of its own for, if it is one of these.
    pub refusal: Option<Refusal>,
    pub whose: Whose,
    /// True where the call never reached the application and may be sent again.
    pub retry: bool,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Client,
    Gateway,
    Upstream,
}

/// Refusals that are HTTP's own (RFC 9110), with what their answer must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 405, with the methods its `Allow` names.
    MethodNotAllowed { allow: Vec<Method> },
    /// 406
    NotAcceptable,
    /// 408
    RequestTimeout,
    /// 409 for a request that is right by itself, and cannot be as things are
    Conflict,
    /// 413
    TooLarge,
    /// 414
    UriTooLong,
    /// 415
    UnsupportedMediaType,
    /// 431
    HeadersTooLarge,
    /// 301/308 to a path that differs in its trailing slash.
    Redirect { location: String },
}

impl Refusal {
    /// The HTTP status of this refusal.
    #[must_use]
    pub fn http(&self) -> StatusCode {
        match self {
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Redirect { .. } => StatusCode::PERMANENT_REDIRECT,
        }
    }

    /// The gRPC code a gRPC client sees for the same refusal.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::MethodNotAllowed { .. } => Code::Unimplemented,
            Self::NotAcceptable | Self::UnsupportedMediaType => Code::InvalidArgument,
            Self::RequestTimeout => Code::DeadlineExceeded,
            Self::Conflict => Code::FailedPrecondition,
            Self::TooLarge | Self::UriTooLong | Self::HeadersTooLarge => Code::ResourceExhausted,
            Self::Redirect { .. } => Code::NotFound,
        }
    }
}

impl Fault {
    /// A failure whose cause is the client's.
    #[must_use]
    pub fn client() -> Self {
        Self { refusal: None, whose: Whose::Client, retry: false }
    }

    /// A failure whose cause is the upstream's.
    #[must_use]
    pub fn upstream() -> Self {
        Self { refusal: None, whose: Whose::Upstream, retry: false }
    }

    /// Marks a call that never reached the application: the same call may be sent again.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.retry = true;
        self
    }

    /// Puts this fault into a status.
    #[must_use]
    pub fn on(self, mut status: Status) -> Status {
        status.set_source(Arc::new(self));
        status
    }

    /// The fault a status carries, if any.
    #[must_use]
    pub fn of(status: &Status) -> Option<&Self> {
        status.source()?.downcast_ref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whose {
            Whose::Client => f.write_str("the client's fault"),
            Whose::Gateway => f.write_str("the gateway's fault"),
            Whose::Upstream => f.write_str("the upstream's fault"),
        }
    }
}

impl Error for Fault {}

/// A status for a refusal that HTTP has a word of its own for.
#[must_use]
pub fn refuse(refusal: Refusal, message: impl Into<String>) -> Status {
    let status = Status::new(refusal.code(), message);
    Fault { refusal: Some(refusal), whose: Whose::Client, retry: false }.on(status)
}

/// The HTTP status a failure is answered with: its refusal's own, else google.rpc.Code's mapping.
#[must_use]
pub fn http(status: &Status) -> StatusCode {
    if let Some(refusal) = Fault::of(status).and_then(|fault| fault.refusal.as_ref()) {
        return refusal.http();
    }
    http_of(status.code())
}

/// google.rpc.Code's HTTP mapping. 499 is nginx's "client closed request", as google.rpc.Code documents.
#[must_use]
pub fn http_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The most characters of a client's own text that an answer says again.
const MOST_SHOWN: usize = 200;

/// As much of a client's own text as an answer says again: whoever sends a path of 60 kB need not be sent it back.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// google.rpc.Code's name, as JSON shows it (`NOT_FOUND`).
#[must_use]
pub fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code of an upstream's reply that is not gRPC at all ("HTTP to gRPC Status Code Mapping").
#[must_use]
pub fn code_of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Base64 as gRPC writes it (no padding) and reads it (either).
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// google.rpc.Status, as `grpc-status-details-bin` carries it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<prost_types::Any>,
}

/// Reads an upstream's status from its trailers (or from a trailers-only head). `None`: there is no `grpc-status`.
/// What is malformed makes this one call INTERNAL or UNKNOWN, and never panics. Status metadata is left empty.
#[must_use]
pub fn from_trailers(trailers: &HeaderMap) -> Option<Result<(), Status>> {
    let value = trailers.get(GRPC_STATUS)?;
    let code = match value.as_bytes() {
        b"0" => return Some(Ok(())),
        [d @ b'1'..=b'9'] => i32::from(d - b'0'),
        [b'1', d @ b'0'..=b'6'] => 10 + i32::from(d - b'0'),
        other => {
            let shown = String::from_utf8_lossy(other);
            let status =
                Status::unknown(format!("the upstream's grpc-status {shown:?} is not a status code"));
            return Some(Err(Fault::upstream().on(status)));
        }
    };
    let message = trailers.get(GRPC_MESSAGE).map_or_else(String::new, |value| {
        percent_encoding::percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned()
    });
    let details = match trailers.get(GRPC_STATUS_DETAILS).map(|value| BASE64.decode(value.as_bytes())) {
        None => Bytes::new(),
        Some(Ok(details)) if RpcStatus::decode(details.as_slice()).is_ok() => details.into(),
        Some(_) => {
            let status = Status::internal(format!(
                "the upstream answered {} with a malformed grpc-status-details-bin: {message}",
                name(Code::from_i32(code)),
            ));
            return Some(Err(Fault::upstream().on(status)));
        }
    };
    Some(Err(Fault::upstream().on(Status::with_details(Code::from_i32(code), message, details))))
}

/// What `grpc-message` must escape ("gRPC over HTTP/2", Percent-Encoded): all but printable ASCII without `%`.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// Writes a status's code, message, details and metadata as trailers (or a trailers-only head).
pub fn to_trailers(status: &Status, trailers: &mut HeaderMap) {
    for (name, value) in status.metadata().as_ref() {
        if !is_status(name) {
            trailers.append(name, value.clone());
        }
    }
    trailers.insert(GRPC_STATUS, code_value(status.code()));
    if !status.message().is_empty() {
        let encoded = percent_encoding::utf8_percent_encode(status.message(), MESSAGE).to_string();
        if let Ok(value) = HeaderValue::try_from(encoded) {
            trailers.insert(GRPC_MESSAGE, value);
        }
    }
    if !status.details().is_empty()
        && let Ok(value) = HeaderValue::try_from(BASE64.encode(status.details()))
    {
        trailers.insert(GRPC_STATUS_DETAILS, value);
    }
}

/// The trailers of a call that went well.
#[must_use]
pub fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, code_value(Code::Ok));
    trailers
}

/// True for the three names that carry a status itself.
#[must_use]
pub fn is_status(name: &HeaderName) -> bool {
    name == GRPC_STATUS || name == GRPC_MESSAGE || name == GRPC_STATUS_DETAILS
}

/// The details of a status; empty where it has none or they cannot be read.
#[must_use]
pub fn details(status: &Status) -> Vec<prost_types::Any> {
    RpcStatus::decode(status.details()).map(|status| status.details).unwrap_or_default()
}

fn code_value(code: Code) -> HeaderValue {
    match code {
        Code::Ok => HeaderValue::from_static("0"),
        other => HeaderValue::from(other as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(rows: &[(&'static str, &str)]) -> HeaderMap {
        rows.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn every_code_maps_both_ways() {
        let rows = [
            (0, 200),
            (1, 499),
            (2, 500),
            (3, 400),
            (4, 504),
            (5, 404),
            (6, 409),
            (7, 403),
            (8, 429),
            (9, 400),
            (10, 409),
            (11, 400),
            (12, 501),
            (13, 500),
            (14, 503),
            (15, 500),
            (16, 401),
        ];
        for (code, want) in rows {
            assert_eq!(http_of(Code::from_i32(code)).as_u16(), want, "{code}");
            let mut map = HeaderMap::new();
            to_trailers(&Status::new(Code::from_i32(code), "why: 100% ä\n"), &mut map);
            match from_trailers(&map).unwrap() {
                Ok(()) => assert_eq!(code, 0),
                Err(status) => {
                    assert_eq!(status.code() as i32, code);
                    assert_eq!(status.message(), "why: 100% ä\n");
                }
            }
        }
    }

    #[test]
    fn a_malformed_status_is_a_status() {
        let check = |rows: &[(&'static str, &str)], code: Code, message: &str| {
            let status = from_trailers(&trailers(rows)).unwrap().unwrap_err();
            assert_eq!((status.code(), status.message()), (code, message), "{rows:?}");
            assert_eq!(Fault::of(&status).unwrap().whose, Whose::Upstream);
        };
        check(
            &[("grpc-status", "17")],
            Code::Unknown,
            "the upstream's grpc-status \"17\" is not a status code",
        );
        check(&[("grpc-status", "")], Code::Unknown, "the upstream's grpc-status \"\" is not a status code");
        check(
            &[("grpc-status", "5"), ("grpc-message", "no"), ("grpc-status-details-bin", "!!!")],
            Code::Internal,
            "the upstream answered NOT_FOUND with a malformed grpc-status-details-bin: no",
        );
        check(
            &[("grpc-status", "5"), ("grpc-status-details-bin", "/////w")],
            Code::Internal,
            "the upstream answered NOT_FOUND with a malformed grpc-status-details-bin: ",
        );
        check(&[("grpc-status", "5"), ("grpc-message", "%ff%")], Code::NotFound, "\u{fffd}%");
        assert!(from_trailers(&HeaderMap::new()).is_none());
    }

    #[test]
    fn details_survive() {
        let detail = prost_types::Any { type_url: "type.googleapis.com/x.Y".into(), value: vec![1, 2, 3] };
        let rpc = RpcStatus { code: 5, message: "no".into(), details: vec![detail.clone()] };
        let mut map = HeaderMap::new();
        to_trailers(&Status::with_details(Code::NotFound, "no", rpc.encode_to_vec().into()), &mut map);
        let status = from_trailers(&map).unwrap().unwrap_err();
        assert_eq!(details(&status), vec![detail]);
    }

    #[test]
    fn refusals_carry_their_http_status() {
        let status = refuse(Refusal::MethodNotAllowed { allow: vec![Method::GET] }, "only GET");
        assert_eq!((status.code(), http(&status).as_u16()), (Code::Unimplemented, 405));
        assert_eq!(http(&refuse(Refusal::TooLarge, "")).as_u16(), 413);
        assert_eq!(http(&Status::not_found("")).as_u16(), 404);
    }
}
