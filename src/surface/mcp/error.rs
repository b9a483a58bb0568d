//! JSON-RPC errors: MCP's codes, each with the HTTP status that goes with it, and what a policy's refusal is in their terms.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::era::{Era, VERSIONS};
use crate::{federation::RpcFailure, status};

/// An error instead of a result.
#[derive(Debug, Clone)]
pub(super) struct RpcError {
    code: i32,
    message: Cow<'static, str>,
    data: Option<Box<Value>>,
    /// `None`: 200, as of an answer of the method's own.
    http: Option<StatusCode>,
}

impl RpcError {
    fn bad(code: i32, message: impl Into<Cow<'static, str>>, data: Option<Value>) -> Self {
        let data = data.map(Box::new);
        Self { code, message: message.into(), data, http: Some(StatusCode::BAD_REQUEST) }
    }

    /// It is no JSON.
    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::bad(-32700, "Parse error", Some(why.into().into()))
    }

    /// It is no message.
    pub(super) fn invalid(why: impl Into<String>) -> Self {
        Self::bad(-32600, "Invalid Request", Some(why.into().into()))
    }

    /// What a method is asked with does not fit it.
    pub(super) fn params(why: impl Into<String>) -> Self {
        Self { code: -32602, message: why.into().into(), data: None, http: None }
    }

    /// A request that announces the newest version lacks what that demands of every request.
    pub(super) fn meta(why: impl Into<String>) -> Self {
        Self::bad(-32602, why.into(), None)
    }

    /// A header does not say what the body says.
    pub(super) fn header(why: impl Into<String>) -> Self {
        Self::bad(-32020, why.into(), None)
    }

    /// No such version is spoken.
    pub(super) fn version(requested: &str) -> Self {
        let data = json!({"supported": VERSIONS, "requested": status::shown(requested)});
        Self::bad(-32022, "Unsupported protocol version", Some(data))
    }

    /// No such method; the newest version says so in HTTP's words too.
    pub(super) fn method(name: &str, era: &Era) -> Self {
        let http = matches!(era, Era::Modern).then_some(StatusCode::NOT_FOUND);
        let data = Some(Box::new(format!("there is no {}", status::shown(name)).into()));
        Self { code: -32601, message: "Method not found".into(), data, http }
    }

    /// The session that a request is of has ended, was never, or is somebody else's.
    pub(super) fn session() -> Self {
        let data = "there is no such session, or it is over: initialize again";
        let http = Some(StatusCode::NOT_FOUND);
        Self { code: -32001, message: "Session not found".into(), data: Some(Box::new(data.into())), http }
    }

    /// Its client has taken the request back, and waits for no answer.
    pub(super) fn taken_back() -> Self {
        Self { code: -32000, message: "Request cancelled".into(), data: None, http: None }
    }

    /// What a federated server says no with, in its own words.
    pub(super) fn of_server(failure: RpcFailure, era: Era) -> Self {
        let RpcFailure { code, message, data } = failure;
        let code = i32::try_from(code).unwrap_or(-32603);
        let http = match (code, era) {
            (-32601, Era::Modern) => Some(StatusCode::NOT_FOUND),
            (-32021, Era::Modern) => Some(StatusCode::BAD_REQUEST),
            _ => None,
        };
        let data = data.and_then(|data| serde_json::from_str(data.get()).ok()).map(Box::new);
        Self { code, message: message.into(), data, http }
    }

    /// There is no such resource.
    pub(super) fn no_resource(uri: &str) -> Self {
        let data = Some(Box::new(json!({"uri": status::shown(uri)})));
        Self { code: -32602, message: "Resource not found".into(), data, http: None }
    }

    /// What a policy, or the surface itself, refuses before there is a method.
    pub(super) fn of_status(status: &Status) -> Self {
        let http = status::http(status);
        let (code, message) = match (status.code(), http.as_u16()) {
            (Code::Unauthenticated, _) => (-32001, "Unauthorized"),
            (Code::PermissionDenied, _) => (-32003, "Forbidden"),
            (_, 429) => (-32005, "Too Many Requests"),
            (Code::Unavailable, _) => (-32000, "Service Unavailable"),
            (Code::DeadlineExceeded, _) => (-32000, "Deadline Exceeded"),
            (_, 400..=499) => (-32600, "Invalid Request"),
            _ => (-32603, "Internal error"),
        };
        Self {
            code,
            message: message.into(),
            data: Some(Box::new(status.message().into())),
            http: Some(http),
        }
    }

    /// The same for another reason.
    pub(super) fn because(self, why: impl Into<String>) -> Self {
        Self { data: Some(Box::new(why.into().into())), ..self }
    }

    /// Its number.
    pub(super) fn code(&self) -> i32 {
        self.code
    }

    /// The HTTP status of its response.
    pub(super) fn http(&self) -> StatusCode {
        self.http.unwrap_or(StatusCode::OK)
    }

    /// In words, for logs.
    pub(super) fn words(&self) -> String {
        match self.data.as_deref() {
            Some(Value::String(why)) => format!("{}: {why}", self.message),
            _ => self.message.clone().into_owned(),
        }
    }

    /// What it is as a gRPC code, for what counts outcomes.
    pub(super) fn grpc(&self) -> Code {
        match self.code {
            -32601 => Code::Unimplemented,
            -32603 => Code::Internal,
            -32003 => Code::PermissionDenied,
            -32005 => Code::ResourceExhausted,
            -32000 => Code::Unavailable,
            -32001 if self.http == Some(StatusCode::UNAUTHORIZED) => Code::Unauthenticated,
            -32001 => Code::NotFound,
            _ => Code::InvalidArgument,
        }
    }

    /// `{"code":…,"message":…,"data":…}`
    pub(super) fn to_json(&self) -> String {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(data), Some(members)) = (&self.data, error.as_object_mut()) {
            members.insert("data".to_owned(), (**data).clone());
        }
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Refusal, refuse};

    #[test]
    fn a_refusal_has_a_code_and_its_http_status() {
        let check = |status: Status, code: i32, http: u16| {
            let error = RpcError::of_status(&status);
            assert_eq!((error.code(), error.http().as_u16()), (code, http), "{status}");
            assert!(error.to_json().contains(status.message()));
        };
        check(Status::unauthenticated("who?"), -32001, 401);
        check(Status::permission_denied("not you"), -32003, 403);
        check(Status::resource_exhausted("too often"), -32005, 429);
        check(Status::unavailable("away"), -32000, 503);
        check(refuse(Refusal::TooLarge, "too long"), -32600, 413);
        check(refuse(Refusal::RequestTimeout, "too slow"), -32000, 408);
        check(refuse(Refusal::UnsupportedMediaType, "what?"), -32600, 415);
        check(Status::internal("broken"), -32603, 500);
    }

    #[test]
    fn an_unknown_method_is_404_in_the_newest_version_alone() {
        assert_eq!(RpcError::method("no/such", &Era::Modern).http().as_u16(), 404);
        assert_eq!(RpcError::method("no/such", &Era::Legacy("2025-06-18")).http().as_u16(), 200);
    }
}
