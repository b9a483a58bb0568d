//! What every response over HTTP tells its client beside its content: the security headers, and how long it took.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::Config;

const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");
/// What is no page runs nothing and is framed by nobody, should a browser be made to show it.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Two years, as browsers' preload lists want it at least.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// Adds the config's headers and the security headers. A page's own Content-Security-Policy stays, and so does whatever an upstream has set.
pub(super) fn secure(config: &Config, tls: bool, headers: &mut HeaderMap) {
    for (name, value) in &config.rest.headers {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if !config.rest.security_headers {
        return;
    }
    let mut say = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    say(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    say(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    say(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    if tls {
        say(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    if !is_document(headers) {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NOTHING);
    }
}

/// Content that an upstream may mean as a page, or as a part of one: only its author knows what it needs.
fn is_document(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    [&b"text/html"[..], b"application/xhtml+xml", b"image/svg+xml"].iter().any(|document| {
        content_type.get(..document.len()).is_some_and(|start| start.eq_ignore_ascii_case(document))
    })
}

/// Says how long the response's head took, in seconds to the microsecond.
pub(super) fn time(began: Instant, headers: &mut HeaderMap) {
    let micros = began.elapsed().as_micros();
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    if let Ok(mut value) = HeaderValue::try_from(text) {
        // Never the same twice: it would only push others out of HPACK's table.
        value.set_sensitive(true);
        headers.insert(PROCESS_TIME, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Rest;

    #[test]
    fn what_is_no_page_runs_nothing() {
        let check =
            |content_type: &'static str, policy: Option<&'static str>, tls: bool, want: Option<&str>| {
                let mut headers = HeaderMap::new();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                if let Some(policy) = policy {
                    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
                }
                secure(&Config::default(), tls, &mut headers);
                let said = headers.get(header::CONTENT_SECURITY_POLICY).map(|value| value.to_str().unwrap());
                assert_eq!(said, want, "{content_type}");
                assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
                assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
                assert_eq!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY), tls);
            };
        let nothing = Some("default-src 'none'; frame-ancestors 'none'");
        check("application/json", None, false, nothing);
        check("text/event-stream", None, true, nothing);
        check("text/html; charset=utf-8", None, false, None);
        check("Text/HTML", None, false, None);
        check("text/html", Some("default-src 'self'"), false, Some("default-src 'self'"));
    }

    #[test]
    fn they_can_be_switched_off() {
        let mut headers = HeaderMap::new();
        let rest = Rest { security_headers: false, ..Rest::default() };
        secure(&Config { rest, ..Config::default() }, true, &mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn the_time_is_in_seconds() {
        let mut headers = HeaderMap::new();
        let began = Instant::now().checked_sub(Duration::from_millis(1500)).unwrap();
        time(began, &mut headers);
        let said: f64 = headers[PROCESS_TIME].to_str().unwrap().parse().unwrap();
        assert!((1.5..2.5).contains(&said), "{said}");
    }
}
