//! Lists: what the caller may call or read, in pages, always in the same order.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{answer::string, era::Era, error::RpcError, members::Members};

/// What the page before ended with; `None` for the first.
///
/// # Errors
/// −32602 for a cursor that is none of ours.
pub(super) fn behind(params: &Members<'_>) -> Result<Option<String>, RpcError> {
    match params.text("cursor") {
        Ok(None) => Ok(None),
        Ok(Some(cursor)) => key_of(&cursor).map(Some),
        Err(()) if params.get("cursor").is_some_and(|cursor| cursor.get() == "null") => Ok(None),
        Err(()) => Err(RpcError::params("cursor is a string")),
    }
}

/// One page, as the members of a result: at most so many of these keys with what is said of them.
pub(super) fn page<'a>(
    member: &str,
    mut all: impl Iterator<Item = (&'a str, &'a str)>,
    most: usize,
    cache: Option<Cache>,
) -> Vec<u8> {
    let shown: Vec<_> = all.by_ref().take(most).collect();
    let more = all.next().is_some();
    let mut out = format!("\"{member}\":[").into_bytes();
    for (at, (_, described)) in shown.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(described.as_bytes());
    }
    out.push(b']');
    if let Some((last, _)) = shown.last().filter(|_| more) {
        out.extend_from_slice(b",\"nextCursor\":");
        string(&mut out, &URL_SAFE_NO_PAD.encode(last));
    }
    if let Some(cache) = cache {
        cache.write(&mut out);
    }
    out
}

/// How long, and for whom, a client may keep a result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cache {
    pub(super) milliseconds: u128,
    /// It may be kept for others too.
    pub(super) public: bool,
}

impl Cache {
    /// What a result of the newest version says of it.
    pub(super) fn of(era: Era, milliseconds: u128, public: bool) -> Option<Self> {
        (era == Era::Modern).then_some(Self { milliseconds, public })
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        let scope = if self.public { "public" } else { "private" };
        let said = format!(",\"ttlMs\":{},\"cacheScope\":\"{scope}\"", self.milliseconds);
        out.extend_from_slice(said.as_bytes());
    }
}

/// What a page ended with.
fn key_of(cursor: &str) -> Result<String, RpcError> {
    let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| RpcError::params("cursor: it is none that was given here"))
}
