//! What the REST face of a deployment looks like where that is a matter of taste: which fields an error body carries,
//! its texts, and the HTTP status of a gRPC code. Plain data; `[rest.errors]` and `[rest.health]` in the config.

use std::{collections::BTreeMap, sync::Arc};

use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    route::{Piece, Text},
    status::{self, Fault},
};

/// The profile of one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The members of an error body, in their order.
    pub error_fields: Vec<ErrorField>,
    /// What the member of [`ErrorValue::Reason`] says, by HTTP status, in place of HTTP's own words.
    pub reasons: BTreeMap<u16, Arc<str>>,
    /// The message of a failure, by HTTP status, in place of its own; `${message}` is what it would have said.
    pub messages: BTreeMap<u16, Text>,
    /// The same by the reason of a failure's google.rpc.ErrorInfo, which goes before.
    pub by_reason: BTreeMap<Arc<str>, Text>,
    /// The HTTP status of a gRPC code, where it is not google.rpc.Code's. A refusal that is HTTP's own keeps its status.
    pub statuses: BTreeMap<i32, StatusCode>,
}

/// One member of an error body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorField {
    pub name: Arc<str>,
    pub value: ErrorValue,
}

/// What a member of an error body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorValue {
    /// `reason`: HTTP's words for the status, such as `Not Found`.
    Reason,
    /// `code`: google.rpc.Code's number.
    Code,
    /// `status`: google.rpc.Code's name.
    Status,
    /// `http_status`: the HTTP status, a number.
    HttpStatus,
    /// `message`
    Message,
    /// `details`: a list of ProtoJSON's Any.
    Details,
    /// `timestamp`: RFC 3339.
    Timestamp,
    /// `request_id`
    RequestId,
    /// `retry_after`: seconds; only of 429, and only where they are known.
    RetryAfter,
    /// `path`: the request's path.
    Path,
}

impl Default for Profile {
    fn default() -> Self {
        let field = |name: &str, value| ErrorField { name: name.into(), value };
        Self {
            error_fields: vec![
                field("error", ErrorValue::Reason),
                field("code", ErrorValue::Code),
                field("status", ErrorValue::Status),
                field("message", ErrorValue::Message),
                field("details", ErrorValue::Details),
                field("timestamp", ErrorValue::Timestamp),
                field("request_id", ErrorValue::RequestId),
                field("retry_after", ErrorValue::RetryAfter),
            ],
            reasons: BTreeMap::new(),
            messages: BTreeMap::new(),
            by_reason: BTreeMap::new(),
            statuses: BTreeMap::new(),
        }
    }
}

impl Profile {
    /// The HTTP status a failure is answered with: a refusal that is HTTP's own keeps its status.
    #[must_use]
    pub fn http(&self, failure: &Status) -> StatusCode {
        let refusal = Fault::of(failure).is_some_and(|fault| fault.refusal.is_some());
        let own = if refusal { None } else { self.http_of(failure.code()) };
        own.unwrap_or_else(|| status::http(failure))
    }

    /// The HTTP status of a code, where this profile has one of its own.
    #[must_use]
    pub fn http_of(&self, code: Code) -> Option<StatusCode> {
        self.statuses.get(&(code as i32)).copied()
    }

    /// What stands for the message of a failure, where its own does not.
    #[must_use]
    pub fn message(&self, failure: &Status, http: StatusCode) -> Option<&Text> {
        let reason = || self.by_reason.get(&*failure.get_details_error_info()?.reason);
        let by_reason = if self.by_reason.is_empty() { None } else { reason() };
        by_reason.or_else(|| self.messages.get(&http.as_u16()))
    }

    /// Whether a message has a place that a request's headers fill.
    #[must_use]
    pub fn reads_headers(&self) -> bool {
        let mut pieces = self.messages.values().chain(self.by_reason.values()).flat_map(|text| &text.0);
        pieces.any(|piece| matches!(piece, Piece::Place(place) if place.of_headers()))
    }
}
