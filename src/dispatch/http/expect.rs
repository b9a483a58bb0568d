//! `Expect: 100-continue` (RFC 9110, 10.1.1): the client sends its body once it is told that it is wanted. The upstream is
//! asked first, so that it can refuse a body which then never comes; one that says nothing is sent the body after a while.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Request, StatusCode, header::EXPECT};
use tokio::{sync::Notify, time::timeout};

use crate::dispatch::body::Bounded;

/// How long an upstream is waited for that may not know what is expected of it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Says that a body is wanted.
pub(super) type Expected = Arc<Notify>;

/// Holds a body back until it is wanted. (The client is told to go on when its body is first read.)
pub(super) fn hold(body: Bounded, headers: &mut HeaderMap) -> (Bounded, Option<Expected>) {
    let expected = Expected::default();
    let wanted = Arc::clone(&expected);
    let body = body.after(async move {
        // Whether it was told or has waited long enough makes no difference.
        let _ = timeout(PATIENCE, wanted.notified()).await;
    });
    headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    (body, Some(expected))
}

/// Listens to what comes before the response of a request.
pub(super) fn listen(request: &mut Request<()>, expected: &Expected) {
    let expected = Arc::clone(expected);
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            expected.notify_one();
        }
    });
}
