//! Until when a call may take: what the client is ready to wait, cut to what the route allows. A route's limit is for
//! unary calls; a healthy stream is cut only by its client's own deadline.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use crate::{call::Call, status::Fault};

/// Longer than any timeout anyone means; what is beyond it is treated as no timeout, so that the sum cannot overflow.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Sets it, whether it has passed or not.
pub(super) fn set(call: &mut Call) {
    call.deadline = granted(call).map(|timeout| Instant::now() + timeout);
}

/// Refuses a call that came too late. After the limits: what is refused uncounted could be sent without end.
pub(super) fn admit(call: &Call) -> Result<(), Status> {
    if granted(call).is_some_and(|timeout| timeout.is_zero()) {
        return Err(
            Fault::client().on(Status::deadline_exceeded("the deadline had passed when the call came"))
        );
    }
    Ok(())
}

/// What [`set`] would set, and whose wish it is.
pub(super) fn describe(call: &Call) -> Result<String, Status> {
    admit(call)?;
    let Some(timeout) = granted(call) else {
        return Ok(match call.route.timeout {
            Some(_) => "none: a stream ends when its client says".to_owned(),
            None => "none".to_owned(),
        });
    };
    let whose = if call.timeout == Some(timeout) { "the client's" } else { "the route's" };
    Ok(format!("{timeout:?}, {whose}"))
}

/// How long a call may take; `None`: as long as it likes.
fn granted(call: &Call) -> Option<Duration> {
    let streams = call.target.client_streaming() || call.target.server_streaming();
    let allowed = if streams { None } else { call.route.timeout };
    call.timeout.into_iter().chain(allowed).min().filter(|timeout| *timeout < FOREVER)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        call::{Body, Caller, Frames, Guards, Message, Peer, Target},
        route::{Destination, Route},
        schema::Schema,
    };

    fn call(timeout: Option<u64>, allowed: Option<u64>) -> Call {
        Call {
            route: Arc::new(Route {
                timeout: allowed.map(Duration::from_secs),
                ..Route::of("/a.B/C", Destination::Local)
            }),
            target: Target::Rpc { path: http::uri::PathAndQuery::from_static("/a.B/C"), method: None },
            metadata: http::HeaderMap::new(),
            message: Message::Frames(Frames::Stream(Body::empty())),
            peer: Peer::at(([127, 0, 0, 1], 1).into()),
            timeout: timeout.map(Duration::from_secs),
            deadline: None,
            caller: Caller::default(),
            guards: Guards::default(),
            record: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_cut_only_by_its_client() {
        let now = Instant::now();
        let check = |timeout, allowed, want: Option<u64>| {
            let mut call = call(timeout, allowed);
            set(&mut call);
            admit(&call).unwrap();
            assert_eq!(call.deadline, want.map(|seconds| now + Duration::from_secs(seconds)));
        };
        check(None, None, None);
        check(Some(3), None, Some(3));
        check(None, Some(5), None);
        check(Some(7), Some(5), Some(7));
        check(Some(u64::MAX), None, None);
    }

    #[test]
    fn what_is_described_is_what_is_done() {
        let check = |timeout, allowed, want: &str| {
            let mut call = call(timeout, allowed);
            call.target = unary();
            let said = describe(&call).unwrap_or_else(|status| status.message().to_owned());
            assert_eq!(said, want);
            let done = admit(&call);
            assert_eq!(done.is_err(), describe(&call).is_err());
            set(&mut call);
            assert_eq!(call.deadline.is_some(), done.is_err() || want.contains("'s"), "{want}");
        };
        check(None, None, "none");
        check(Some(3), None, "3s, the client's");
        check(None, Some(5), "5s, the route's");
        check(Some(7), Some(5), "5s, the route's");
        check(Some(0), Some(5), "the deadline had passed when the call came");
        check(Some(u64::MAX), None, "none");
        assert_eq!(describe(&call(None, Some(5))).unwrap(), "none: a stream ends when its client says");
    }

    /// A method whose one message each way is known.
    fn unary() -> Target {
        let schema = Schema::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        let method = schema.method("/propylon.gateway.v1.HealthService/Ping").unwrap();
        Target::Rpc { path: method.path.clone(), method: Some(Arc::clone(method)) }
    }

    #[test]
    fn a_deadline_that_has_passed_is_refused() {
        assert_eq!(admit(&call(Some(0), None)).unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }
}
