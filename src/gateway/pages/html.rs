//! HTML by hand: escaping, and the frame that every page shares.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tonic::Status;

use crate::surface::{Response, rest};

/// A text as it stands in HTML, in an attribute's double quotes too.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A whole page; `title`, `head` and `body` are HTML.
///
/// # Errors
/// INTERNAL: it could not be compressed.
pub(super) fn page(
    title: &str,
    head: &str,
    body: &str,
    policy: &str,
    request: &HeaderMap,
) -> Result<Response, Status> {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n\
         {head}</head>\n<body>\n{body}</body>\n</html>\n"
    );
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::CACHE_CONTROL, super::ASK_AGAIN);
    let body = rest::encode(Bytes::from(text), request.get(header::ACCEPT_ENCODING), &mut headers)?;
    Ok(super::response(StatusCode::OK, headers, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_html_reads_is_escaped() {
        assert_eq!(escape("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&#39;");
        assert_eq!(escape("plain ü"), "plain ü");
    }
}
