//! `tools/list`: what the caller may call, in pages, always in the same order.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{answer::string, era::Era, error::RpcError, members::Members, tool::Tool, toolbox::Toolbox};

/// One page, as the members of a result.
///
/// # Errors
/// −32602 for a cursor that is none of ours.
pub(super) fn page(
    toolbox: &Toolbox,
    params: &Members<'_>,
    most: usize,
    cache: Option<Cache>,
    may_call: impl Fn(&Tool) -> bool,
) -> Result<Vec<u8>, RpcError> {
    let behind = match params.text("cursor") {
        Ok(None) => None,
        Ok(Some(cursor)) => Some(name_of(&cursor)?),
        Err(()) if params.get("cursor").is_some_and(|cursor| cursor.get() == "null") => None,
        Err(()) => return Err(RpcError::params("cursor is a string")),
    };
    let mut tools = toolbox.behind(behind.as_deref()).filter(|tool| may_call(tool));
    let shown: Vec<&Arc<Tool>> = tools.by_ref().take(most).collect();
    let more = tools.next().is_some();
    let mut out = b"\"tools\":[".to_vec();
    for (at, tool) in shown.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(tool.described().as_bytes());
    }
    out.push(b']');
    if let Some(last) = shown.last().filter(|_| more) {
        out.extend_from_slice(b",\"nextCursor\":");
        string(&mut out, &URL_SAFE_NO_PAD.encode(&**last.name()));
    }
    if let Some(cache) = cache {
        cache.write(&mut out);
    }
    Ok(out)
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

/// The tool that a page ended with.
fn name_of(cursor: &str) -> Result<String, RpcError> {
    let name = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| RpcError::params("cursor: it is none that tools/list has given"))
}
