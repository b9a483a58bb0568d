//! `Expect: 100-continue` (RFC 9110, 10.1.1): the client sends its body once it is told that it is wanted. The upstream is
//! asked first, so that it can refuse a body which then never comes; one that says nothing is sent the body after a while.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, StatusCode, header::EXPECT};
use tokio::{sync::Notify, time::timeout};

use crate::dispatch::body::Bounded;

/// How long an upstream is waited for that may not know what is expected of it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Makes a request's body wait for the upstream's 100. (The client is told to go on when its body is first read.)
pub(super) fn ask(request: Request<Bounded>) -> Request<Bounded> {
    let wanted = Arc::new(Notify::new());
    let told = Arc::clone(&wanted);
    let mut request = request.map(|body| {
        body.after(async move {
            // Whether it was told or has waited long enough makes no difference.
            let _ = timeout(PATIENCE, wanted.notified()).await;
        })
    });
    request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            told.notify_one();
        }
    });
    request
}
