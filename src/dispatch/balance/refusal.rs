//! What a call is told that is not sent on: why, and when to come again. All of it is UNAVAILABLE, 503 in HTTP, and may be
//! sent again by whoever likes.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::breaker::Shut;
use crate::status::Fault;

/// The breaker is open.
pub(super) fn shut(label: &str, shut: &Shut) -> Status {
    let Shut { wait, why } = shut;
    let message = format!("{label} is not called now, for another {wait:.1?} at most: {why}");
    later(message, *wait)
}

/// There are too many calls.
pub(super) fn busy(label: &str, why: &str, wait: Duration) -> Status {
    later(format!("{label} {why}"), wait)
}

/// No endpoint is known.
pub(super) fn nowhere(label: &str, why: &str) -> Status {
    Fault::upstream().unsent().on(Status::unavailable(format!("{label} {why}")))
}

/// With google.rpc.RetryInfo, from which REST makes `Retry-After`.
fn later(message: String, wait: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(wait));
    Fault::upstream().unsent().on(Status::with_error_details(Code::Unavailable, message, details))
}
