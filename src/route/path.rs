//! Paths that say the same to whoever reads them (RFC 3986, 6.2.2; RFC 9110, 4.2.3). What a route was matched by, what its
//! rules were held against and what an upstream finds is one path: whatever could be read as another is refused before
//! anything is matched, or where it is found to go on.

use std::borrow::Cow;

/// Whether a request may be matched by a path at all. A binding's variables may hold what they like, escaped; that a path
/// leads elsewhere by dots is nobody's to guess.
///
/// # Errors
/// Says what of it two servers could read in two ways.
pub fn readable(path: &str) -> Result<(), String> {
    // `*` is of OPTIONS; CONNECT has none.
    if !path.starts_with('/') && !matches!(path, "*" | "") {
        return no("no slash at its beginning");
    }
    if !path.bytes().any(|byte| matches!(byte, b'.' | b'%' | b'\\')) {
        return Ok(());
    }
    if path.contains('\\') {
        return no("a backslash");
    }
    match path.split('/').any(|segment| is_dots(&dots_decoded(segment))) {
        true => no("a segment of dots"),
        false => Ok(()),
    }
}

/// Whether a path may go on to an upstream that reads paths.
///
/// # Errors
/// Says what of it two servers could read in two ways.
pub fn sendable(path: &str, escaped_slashes: bool) -> Result<(), String> {
    if path.contains("//") {
        return no("an empty segment");
    }
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (byte, length) = match byte {
            b'%' => {
                let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
                let hex = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let Some(byte) = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    return no("a % that is no escape");
                };
                (byte, 3)
            }
            byte => (*byte, 1),
        };
        match byte {
            b'\\' => return no("a backslash"),
            0..=0x1f | 0x7f => return no("a control character"),
            b'/' if length == 3 && !escaped_slashes => return no("an escaped slash"),
            _ => decoded.push(byte),
        }
        at += length;
    }
    // Overlong forms of `.` and `/` are no UTF-8.
    if std::str::from_utf8(&decoded).is_err() {
        return no("an escape that is no UTF-8");
    }
    // What a slash's own escape parts may be read as segments, too.
    match decoded.split(|byte| *byte == b'/').any(is_dots) {
        true => no("a segment of dots"),
        false => Ok(()),
    }
}

/// What a server makes of a path that takes no notice of parameters behind a `;`, and reads `%2F` as a slash; `None` where
/// there is neither.
#[must_use]
pub fn other_reading(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b';' | b'%')) {
        return None;
    }
    let slashes = path.replace("%2F", "/").replace("%2f", "/");
    let semicolons = slashes.replace("%3B", ";").replace("%3b", ";");
    let (before, last) = semicolons.rsplit_once('/').unwrap_or(("", &semicolons));
    let left = |segment: &'_ str| segment.find(';').map_or(segment.len(), |end| end);
    // A segment of which nothing is left is none to servers that take several slashes for one.
    let kept = before.split('/').filter(|segment| segment.is_empty() || left(segment) > 0).chain([last]);
    let cut: Vec<&str> = kept.map(|segment| segment.get(..left(segment)).unwrap_or_default()).collect();
    let other = cut.join("/");
    (other != path).then_some(other)
}

fn no(what: &str) -> Result<(), String> {
    Err(format!("the path has {what}, which is refused here"))
}

/// `..;x` is `..` to some servers.
fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    name == b"." || name == b".."
}

/// A segment with the escapes of dots and semicolons decoded, and no others.
fn dots_decoded(segment: &str) -> Cow<'_, [u8]> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment.as_bytes());
    }
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match rest {
            [b'%', b'2', b'e' | b'E', behind @ ..] => (b'.', behind),
            [b'%', b'3', b'b' | b'B', behind @ ..] => (b';', behind),
            _ => (*first, behind),
        };
        out.push(byte);
        rest = behind;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_elsewhere_by_dots() {
        for (path, what) in [
            ("/a/../b", "a segment of dots"),
            ("/a/.", "a segment of dots"),
            ("/..", "a segment of dots"),
            ("/a/%2e%2E/b", "a segment of dots"),
            ("/a/.%2e/b", "a segment of dots"),
            ("/a/..;x=1/b", "a segment of dots"),
            ("/a/..%3bx/b", "a segment of dots"),
            ("/a\\..\\b", "a backslash"),
            ("a/b", "no slash"),
            ("/a/%2e", "a segment of dots"),
        ] {
            let error = readable(path).unwrap_err();
            assert!(error.contains(what), "{path}: {error}");
        }
        for path in [
            "/",
            "*",
            "",
            "/a",
            "/a/",
            "/a.b/..c/...",
            "/a%2F..%2Fb",
            "/a//b",
            "/.well-known",
            "/a%5Cb",
            "/%2e%2e%2e",
        ] {
            assert_eq!(readable(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_sent_on() {
        for (path, what) in [
            ("/a/..%2fb", "an escaped slash"),
            ("/a//b", "an empty segment"),
            ("//a", "an empty segment"),
            ("/a%5c..%5cb", "a backslash"),
            ("/a%00b", "a control character"),
            ("/a%0d%0ab", "a control character"),
            ("/a%7f", "a control character"),
            ("/a%c0%ae%c0%ae/b", "an escape that is no UTF-8"),
            ("/a%c0%afb", "an escape that is no UTF-8"),
            ("/a%ff", "an escape that is no UTF-8"),
            ("/a%zz", "a % that is no escape"),
            ("/a%2", "a % that is no escape"),
            ("/a%", "a % that is no escape"),
        ] {
            let error = sendable(path, false).unwrap_err();
            assert!(error.contains(what), "{path}: {error}");
        }
        for path in
            ["/", "/a", "/a/", "/a.b/..c/...", "/%E2%82%AC", "/a;b=c", "/:x@y!$&'()*+,=", "/a%252e%252e"]
        {
            assert_eq!(sendable(path, false), Ok(()), "{path}");
        }
        assert_eq!(sendable("/a%2Fb", true), Ok(()));
        for path in ["/a/x%2f..%2fb", "/a/..%2fb"] {
            assert!(sendable(path, true).unwrap_err().contains("a segment of dots"), "{path}");
        }
    }

    #[test]
    fn a_path_may_have_another_reading() {
        let check =
            |path: &str, want: Option<&str>| assert_eq!(other_reading(path).as_deref(), want, "{path}");
        check("/a/b", None);
        check("/a%20b", None);
        check("/admin;x/users;y=1/7", Some("/admin/users/7"));
        check("/admin%3bx/users", Some("/admin/users"));
        check("/a%2Fb/c%2fd", Some("/a/b/c/d"));
        check("/;", Some("/"));
        check("/;x/adm", Some("/adm"));
        check("/a/%3bx;y/adm", Some("/a/adm"));
        check("/a/;x", Some("/a/"));
    }
}
