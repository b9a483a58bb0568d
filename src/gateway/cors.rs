//! Which pages of other origins may call (the Fetch standard's CORS protocol): preflights are answered here, and what a
//! page may read is said on every other response. OPTIONS that is no preflight is a request like any other.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use crate::route::{Cors, Origins};

/// How long, in seconds, a browser may keep the answer to a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Answers a preflight, or adds to the response what the page it goes to may read of it.
pub(super) async fn answer(cors: &Cors, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned();
    let (mut response, preflight) = match asked {
        Some(method) if request.method() == Method::OPTIONS && origin.is_some() => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method);
            if let Some(asked) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            (response, true)
        }
        _ => (next.run(request).await, false),
    };
    let headers = response.headers_mut();
    // Whatever an upstream says of origins was not meant for this one.
    headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    let any = cors.origins == Origins::Any;
    if !any {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if preflight {
        let asked = "access-control-request-method, access-control-request-headers";
        headers.append(header::VARY, HeaderValue::from_static(asked));
    }
    if let Some(origin) = origin.filter(|origin| allows(cors, origin)) {
        let named = if any { HeaderValue::from_static("*") } else { origin };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, named);
        // Without credentials a `*` exposes every header: the status of gRPC-Web, and whatever metadata an upstream sends.
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
    response
}

/// True where pages of this origin may call.
fn allows(cors: &Cors, origin: &HeaderValue) -> bool {
    match &cors.origins {
        Origins::None => false,
        Origins::Any => true,
        Origins::Loopback => is_loopback(origin),
        Origins::Listed(origins) => origins.iter().any(|named| **named == *origin),
    }
}

/// The origin of a page that may not call. (A browser asks nobody before it opens a WebSocket, and lets the page read
/// what comes: only the server can refuse.)
pub(super) fn foreign<'a>(cors: &Cors, headers: &'a HeaderMap, uri: &Uri) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(http::uri::Authority::as_str));
    let own =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    let same = own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host));
    (!same && !allows(cors, origin)).then_some(origin)
}

/// True for pages served from this machine, on any port.
fn is_loopback(origin: &HeaderValue) -> bool {
    let Some(uri) = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()) else { return false };
    match uri.host() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::any};
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn only_pages_of_this_machine_are_loopback() {
        let check = |origin: &'static str, want: bool| {
            assert_eq!(is_loopback(&HeaderValue::from_static(origin)), want, "{origin}");
        };
        check("http://localhost:3000", true);
        check("http://127.0.0.1", true);
        check("https://[::1]:8443", true);
        check("http://localhost.evil.example", false);
        check("http://127.0.0.1.evil.example", false);
        check("http://10.0.0.1", false);
        check("null", false);
    }

    #[tokio::test]
    async fn a_preflight_is_answered_and_no_other_options() {
        let app = |cors: Cors| {
            let layer = from_fn(move |request: Request, next: Next| {
                let cors = cors.clone();
                async move { answer(&cors, request, next).await }
            });
            Router::new().route("/", any(async || (StatusCode::IM_A_TEAPOT, "tea"))).layer(layer)
        };
        let of = |origins| Cors { origins, ..Cors::default() };
        let named = || of(Origins::Listed(vec!["https://a.example".into()]));
        let check = async |cors: Cors, method: &str, headers: &[(&str, &str)], want: (u16, &str, &str)| {
            let mut request = http::Request::builder().method(method).uri("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = app(cors).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let text = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
            let got = (
                response.status().as_u16(),
                text(header::ACCESS_CONTROL_ALLOW_ORIGIN),
                text(header::ACCESS_CONTROL_ALLOW_METHODS),
            );
            assert_eq!(got, want, "{method} {headers:?}");
        };
        let (page, evil) = (("origin", "https://a.example"), ("origin", "https://evil.example"));
        let asks = ("access-control-request-method", "PATCH");
        check(named(), "OPTIONS", &[page, asks], (204, "https://a.example", "PATCH")).await;
        check(named(), "OPTIONS", &[evil, asks], (204, "", "PATCH")).await;
        check(named(), "OPTIONS", &[page], (418, "https://a.example", "")).await;
        check(named(), "OPTIONS", &[], (418, "", "")).await;
        check(named(), "OPTIONS", &[asks], (418, "", "")).await;
        check(named(), "GET", &[page], (418, "https://a.example", "")).await;
        check(named(), "GET", &[evil], (418, "", "")).await;
        check(of(Origins::Any), "GET", &[evil], (418, "*", "")).await;
    }

    #[test]
    fn a_foreign_page_is_known() {
        let of = |origins| Cors { origins, ..Cors::default() };
        let check = |origins: Origins, origin: &'static str, host: &'static str, want: bool| {
            let cors = &of(origins);
            let headers = [(header::ORIGIN, origin), (header::HOST, host)];
            let headers: HeaderMap =
                headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
            assert_eq!(foreign(cors, &headers, &Uri::from_static("/")).is_some(), want, "{origin} {host}");
        };
        check(Origins::None, "http://a.example:8080", "a.example:8080", false);
        check(Origins::None, "http://a.example", "a.example:8080", true);
        check(Origins::Loopback, "http://localhost:3000", "127.0.0.1:8080", false);
        check(Origins::Loopback, "https://evil.example", "127.0.0.1:8080", true);
        check(Origins::Any, "https://evil.example", "127.0.0.1:8080", false);
        check(Origins::None, "null", "127.0.0.1:8080", true);
        assert_eq!(foreign(&of(Origins::None), &HeaderMap::new(), &Uri::from_static("/")), None);
    }
}
