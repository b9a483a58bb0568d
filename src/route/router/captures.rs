//! What a template's variables cover of a path, decoded.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::schema::{Segment, Template, decode_segment};

/// What the template's variables cover of a path that it matches; `suffix`: the path ends in the template's verb. `%2F` is
/// decoded in variables of several segments only where `decode_slashes`.
pub(super) fn of<'p>(
    template: &Template,
    path: &'p str,
    suffix: bool,
    decode_slashes: bool,
) -> Vec<Cow<'p, str>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = if suffix { path.rsplit_once(':').map_or(path, |(path, _)| path) } else { path };
    let segments = template.segments().len();
    let rest = template.segments().iter().position(|segment| *segment == Segment::Rest);
    let count = if path.is_empty() { 0 } else { 1 + memchr::memchr_iter(b'/', path.as_bytes()).count() };
    // The path's segment at a segment of the template: behind `**` they are counted from the end.
    let place = |index: usize| match rest {
        Some(rest) if index > rest => (count + index).saturating_sub(segments),
        _ => index,
    };
    let mut captures = Vec::with_capacity(template.variables().len());
    let mut offset = Some(0);
    let mut index = 0;
    // Byte offset where segment `to` begins, or none when the path ends before it.
    let mut seek = |to: usize| {
        while index < to {
            offset = offset.and_then(|at: usize| {
                memchr::memchr(b'/', path.as_bytes().get(at..)?).map(|slash| at + slash + 1)
            });
            index += 1;
        }
        offset
    };
    for variable in template.variables() {
        let (first, behind) = (place(variable.start), place(variable.end));
        let raw = if behind > first {
            let start = seek(first);
            let end = seek(behind).map_or(path.len(), |next| next - 1);
            start.and_then(|start| path.get(start..end)).unwrap_or_default()
        } else {
            ""
        };
        captures.push(if variable.multi && !decode_slashes {
            decode_but_slashes(raw)
        } else {
            // `find` has seen that every escape decodes.
            decode_segment(raw).unwrap_or(Cow::Borrowed(raw))
        });
    }
    captures
}

/// Decodes every escape but `%2F`, which would change where segments end.
fn decode_but_slashes(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some(at) = rest.windows(3).position(|escape| matches!(escape, b"%2F" | b"%2f")) {
        let (before, escape) = rest.split_at(at);
        out.extend(percent_decode(before));
        out.extend(escape.iter().take(3));
        rest = escape.get(3..).unwrap_or_default();
    }
    out.extend(percent_decode(rest));
    String::from_utf8(out).map_or(Cow::Borrowed(raw), Cow::Owned)
}
