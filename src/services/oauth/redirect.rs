//! Where a program may have its answers sent: https, its own machine (RFC 8252, 7.3), or a scheme of its own (7.1), exactly
//! as it has registered it. Of its own machine the port may be another, as the system gives them out.

use http::Uri;

/// Schemes that a browser does something with by itself.
const BROWSERS: [&str; 12] = [
    "about",
    "blob",
    "data",
    "file",
    "filesystem",
    "ftp",
    "http",
    "javascript",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Whether answers may be sent there.
///
/// # Errors
/// They may not, and why.
pub(super) fn check(text: &str) -> Result<(), String> {
    let shown: String = text.chars().take(100).collect();
    let no = |why: &str| Err(format!("{shown:?} is no redirect_uri: {why}"));
    if text.len() > 1024
        || !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&byte))
    {
        return no("it is longer than 1024 bytes, or not of visible ASCII");
    }
    if text.contains('#') {
        return no("it has a fragment");
    }
    let Some((scheme, rest)) = text.split_once(':') else { return no("it has no scheme") };
    let scheme = scheme.to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(fits) {
        return no("it has no scheme");
    }
    match scheme.as_str() {
        "https" | "http" => {
            let Some(uri) =
                text.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
            else {
                return no("it has no host");
            };
            if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                return no("it has a user's name in it");
            }
            if scheme == "http" && !is_loopback(&uri) {
                return no("plain http is for the client's own machine alone: 127.0.0.1, [::1] or localhost");
            }
            Ok(())
        }
        other if BROWSERS.contains(&other) => no("its scheme is a browser's own"),
        _ if rest.is_empty() => no("there is nothing behind its scheme"),
        _ => Ok(()),
    }
}

/// Whether a client that has registered these may have its answer sent there.
pub(super) fn matches(registered: &[String], asked: &str) -> bool {
    registered.iter().any(|known| known == asked || same_but_port(known, asked))
}

fn same_but_port(known: &str, asked: &str) -> bool {
    let (Ok(one), Ok(other)) = (known.parse::<Uri>(), asked.parse::<Uri>()) else { return false };
    let http =
        |uri: &Uri| uri.scheme_str() == Some("http") && is_loopback(uri) && !asked.contains(['@', '#']);
    // The text behind the authority, as it stands: nothing is made the same that is not.
    let behind = |text: &str| {
        text.find("://").and_then(|at| {
            let rest = text.get(at + 3..)?;
            Some(rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default().to_owned())
        })
    };
    http(&one) && http(&other) && one.host() == other.host() && behind(known) == behind(asked)
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    // Only as a browser writes them: who reads 127.1 or 0x7f000001 may read something else.
    matches!(host, "127.0.0.1" | "[::1]" | "localhost")
}

/// What a page that sends its reader there must name: `https://host:port`, or `scheme:`.
#[must_use]
pub fn origin(redirect: &str) -> String {
    let (scheme, _) = redirect.split_once(':').unwrap_or((redirect, ""));
    match redirect.parse::<Uri>() {
        Ok(uri) if matches!(scheme, "http" | "https") => {
            format!("{scheme}://{}", uri.authority().map_or("", |authority| authority.as_str()))
        }
        _ => format!("{scheme}:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sent_where_no_page_of_others_is() {
        for good in [
            "https://a.example/cb",
            "https://a.example:8443/cb?x=1",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:33418/",
            "http://[::1]:1/cb",
            "http://localhost:6274/oauth/callback",
            "cursor://anysphere.cursor-retrieval/oauth/user-agent/callback",
            "com.example.app:/callback",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "a.example/cb",
            "https:///cb",
            "https://a.example/cb#x",
            "https://u@a.example/cb",
            "http://a.example/cb",
            "http://127.1/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://localhost@evil.example/cb",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://a.example/\r\nx",
            "https://a.example/\"x",
            "1a:b",
            "app:",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_redirect_is_the_one_that_was_registered_but_for_a_port_of_the_client_s_own() {
        let known = ["https://a.example/cb".to_owned(), "http://127.0.0.1:1/cb?x=1".to_owned()];
        for good in [
            "https://a.example/cb",
            "http://127.0.0.1:1/cb?x=1",
            "http://127.0.0.1:50000/cb?x=1",
            "http://127.0.0.1/cb?x=1",
        ] {
            assert!(matches(&known, good), "{good}");
        }
        for bad in [
            "https://a.example/cb/",
            "https://a.example/cb?",
            "https://a.example:443/cb",
            "https://A.example/cb",
            "https://a.example/cb/../x",
            "https://a.example.evil.example/cb",
            "https://b.example/cb",
            "http://a.example/cb",
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:1/cb?x=2",
            "http://127.0.0.1:1/CB?x=1",
            "http://localhost:1/cb?x=1",
            "http://[::1]:1/cb?x=1",
            "http://x@127.0.0.1:1/cb?x=1",
            "https://127.0.0.1:1/cb?x=1",
        ] {
            assert!(!matches(&known, bad), "{bad}");
        }
    }

    #[test]
    fn a_page_names_where_it_leads() {
        assert_eq!(origin("https://a.example:1/cb?x"), "https://a.example:1");
        assert_eq!(origin("http://[::1]:9/cb"), "http://[::1]:9");
        assert_eq!(origin("cursor://x/cb"), "cursor:");
        assert_eq!(origin("com.example.app:/cb"), "com.example.app:");
    }
}
