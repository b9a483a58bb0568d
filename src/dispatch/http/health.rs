//! How an HTTP upstream's endpoints are asked how they are: by a GET that is answered with 2xx.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, header::USER_AGENT, uri::PathAndQuery};
use http_body_util::BodyExt as _;

use super::{
    Head, Outline,
    lend::Lender,
    transport::{Sent, Transport},
};
use crate::{
    call::{Body, Frames},
    dispatch::{
        balance::{Ask, Endpoint, HealthKind},
        replay::Outgoing,
    },
};

/// As much of an answer is read as leaves its connection good for more.
const MOST_BYTES: usize = 64 << 10;

/// Asks by a GET.
pub(super) struct Health(pub(super) Arc<Head>);

impl Ask<Transport> for Health {
    fn ask(
        &self,
        endpoint: Arc<Endpoint<Transport>>,
        kind: HealthKind,
    ) -> BoxFuture<'static, Result<(), String>> {
        let head = Arc::clone(&self.0);
        Box::pin(async move {
            let HealthKind::Http { path } = kind else { return Ok(()) };
            let path = PathAndQuery::try_from(path).map_err(|error| error.to_string())?;
            let mut headers = HeaderMap::new();
            headers.insert(http::header::HOST, head.host.clone());
            headers.insert(USER_AGENT, HeaderValue::from_static("propylon health check"));
            headers.extend(head.headers.clone());
            let outline = Outline {
                method: Method::GET,
                path,
                headers,
                keep_host: false,
                expected: None,
                upload: None,
                until: None,
            };
            let label = Arc::clone(&endpoint.label);
            let why = |status: tonic::Status| {
                // The words are said behind its name.
                let words = status.message();
                words.strip_prefix(&*label).unwrap_or(words).trim_start().to_owned()
            };
            let request = head.request(endpoint.origin, &outline).map_err(why)?;
            let outgoing = Outgoing::new(Frames::Stream(Body::empty()), 0);
            let mut sent = match &endpoint.transport {
                Transport::Http1(_) => Sent::Http1(Lender::new(outgoing)),
                Transport::Http2(_) => Sent::Http2(outgoing),
            };
            let response = endpoint.transport.send(request, &mut sent, &endpoint.label).await;
            let (parts, mut body) = response.map_err(|lost| why(lost.status))?.into_parts();
            let mut left = MOST_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                let Some(less) = left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) else {
                    break;
                };
                left = less;
            }
            if parts.status.is_success() {
                return Ok(());
            }
            Err(format!("answers with {}", parts.status.as_u16()))
        })
    }
}
