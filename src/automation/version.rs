//! Which version of something a change is about: the request's `version`, or `If-Match` with the ETags that answers have
//! (RFC 9110, 13.1.1).

use tonic::{Response, Status, metadata::MetadataMap};

use crate::store::Expected;

/// # Errors
/// INVALID_ARGUMENT: both are given and differ, or one is none that an answer has had.
pub(super) fn expected(metadata: &MetadataMap, version: Option<i32>) -> Result<Expected, Status> {
    let mut tags = Expected::Any;
    for header in metadata.get_all("if-match") {
        let header = header.to_str().unwrap_or_default().trim();
        if header == "*" {
            continue;
        }
        // A tag that is none of these is of no version: the change is about something else.
        let versions = header.split(',').filter_map(|tag| strong(tag.trim()));
        match &mut tags {
            Expected::Any => tags = Expected::OneOf(versions.collect()),
            Expected::OneOf(more) => more.extend(versions),
        }
    }
    let Some(version) = version else { return Ok(tags) };
    if version < 1 {
        return Err(Status::invalid_argument("version: it is 1 or more, as an answer has it"));
    }
    if !tags.fits(version.into()) {
        return Err(Status::invalid_argument("version: If-Match names another one"));
    }
    Ok(Expected::OneOf(vec![version.into()]))
}

/// What a tag stands for; only strong ones can be of the same version.
fn strong(tag: &str) -> Option<i64> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// An answer about something with this version.
pub(super) fn tagged<T>(message: T, version: i64) -> Response<T> {
    let mut response = Response::new(message);
    if let Ok(tag) = format!("\"{version}\"").parse() {
        response.metadata_mut().insert("etag", tag);
    }
    response
}

/// ABORTED: it has been changed since it was read.
pub(super) fn stale(what: &str, now: i64) -> Status {
    Status::aborted(format!(
        "the {what} has been changed since: it has version {now} now; read it again, and try again"
    ))
}

/// A version as messages have it.
pub(super) fn number(version: i64) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_by_field_or_by_header() {
        let check = |headers: &[&'static str], version: Option<i32>, want: Option<Expected>| {
            let mut metadata = MetadataMap::new();
            for header in headers {
                metadata.append("if-match", header.parse().unwrap());
            }
            assert_eq!(expected(&metadata, version).ok(), want, "{headers:?} {version:?}");
        };
        let one_of = |versions: &[i64]| Some(Expected::OneOf(versions.to_vec()));
        check(&[], None, Some(Expected::Any));
        check(&["*"], None, Some(Expected::Any));
        check(&[], Some(3), one_of(&[3]));
        check(&["\"3\""], None, one_of(&[3]));
        check(&["\"3\", \"4\"", "\"5\""], None, one_of(&[3, 4, 5]));
        check(&["W/\"3\""], None, one_of(&[]));
        check(&["\"other\""], None, one_of(&[]));
        check(&["\"3\", \"4\""], Some(4), one_of(&[4]));
        check(&["\"3\""], Some(4), None);
        check(&[], Some(0), None);
        let answer = tagged((), 7);
        assert_eq!(answer.metadata().get("etag").unwrap(), "\"7\"");
    }
}
