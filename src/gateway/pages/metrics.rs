//! The page of the gateway's numbers, as text.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tonic::Status;

use super::response as page;
use crate::{
    gateway::Gateway,
    surface::{Response, rest},
    telemetry::{OPEN_METRICS, TEXT, open_metrics, text, wants_open_metrics},
};

/// In the format that who asks would rather have.
///
/// # Errors
/// NOT_FOUND where there are no numbers; INTERNAL: they cannot be compressed.
pub(super) fn response(gateway: &Gateway, request: &HeaderMap) -> Result<Response, Status> {
    let Some(telemetry) = &gateway.telemetry else {
        return Err(Status::not_found("no numbers are kept here: [metrics] enabled"));
    };
    let all = telemetry.gather();
    let (kind, body) = if wants_open_metrics(request.get_all(header::ACCEPT)) {
        (OPEN_METRICS, open_metrics(&all))
    } else {
        (TEXT, text(&all))
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    let body = rest::encode(body.into(), request.get(header::ACCEPT_ENCODING), &mut headers)?;
    Ok(page(StatusCode::OK, headers, body))
}
