//! Which version of MCP a request speaks, and what that demands of its head. Since 2026-07-28 every request says so itself,
//! in `_meta` and in headers that must say the same; before, it was agreed upon when a session began. What says nothing at
//! all is served as the oldest of HTTP's, without a session.
//!
//! Source: the specification of 2026-07-28, basic/transports and basic/versioning (SEP-2575, SEP-2243).

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use serde_json::value::RawValue;

use super::{
    error::RpcError,
    members::{Members, is_object, text},
    message::{Kind, Message},
};

/// The version without sessions.
pub(super) const MODERN: &str = "2026-07-28";
/// Those with `initialize`, the newest first.
pub(super) const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// Every version that is spoken, the newest first.
pub(super) const VERSIONS: [&str; 5] = [MODERN, "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// What a request is that says nothing of its version.
const UNSAID: &str = "2025-03-26";

pub(super) const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD_HEADER: HeaderName = HeaderName::from_static("mcp-method");
const NAME_HEADER: HeaderName = HeaderName::from_static("mcp-name");

const META: &[&str] = &[VERSION_KEY, CAPABILITIES_KEY, "progressToken"];
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// What a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// 2026-07-28: everything is in the request.
    Modern,
    /// An older version.
    Legacy(&'static str),
}

/// What is known here of a request's `_meta`.
#[derive(Debug, Default)]
pub(super) struct Meta<'a> {
    version: Option<Cow<'a, str>>,
    /// What its client can do, as it was written.
    pub(super) capabilities: Option<&'a RawValue>,
    /// As it was written: a text or a number.
    pub(super) progress: Option<&'a RawValue>,
}

impl<'a> Meta<'a> {
    /// Reads the `_meta` of a request's params.
    ///
    /// # Errors
    /// −32602 for what is not as the protocol has it.
    pub(super) fn of(params: &Members<'a>) -> Result<Self, RpcError> {
        let Some(meta) = params.get("_meta") else { return Ok(Self::default()) };
        let meta = Members::read(meta.get().as_bytes(), META)
            .map_err(|unread| RpcError::meta(format!("params._meta: {unread}")))?;
        let version = meta.text(VERSION_KEY);
        let version = version.map_err(|()| RpcError::meta(format!("_meta: {VERSION_KEY} is a string")))?;
        let capabilities = meta.get(CAPABILITIES_KEY);
        if capabilities.is_some_and(|capabilities| !is_object(capabilities)) {
            return Err(RpcError::meta(format!("_meta: {CAPABILITIES_KEY} is an object")));
        }
        let progress = meta.get("progressToken");
        if progress
            .is_some_and(|token| !token.get().starts_with(['"', '-']) && !starts_with_digit(token.get()))
        {
            return Err(RpcError::meta("_meta: progressToken is a string or a number"));
        }
        Ok(Self { version, capabilities, progress })
    }
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

/// What a message speaks, once its head and its `_meta` say the same.
///
/// # Errors
/// −32020, −32022 or −32602, each with 400.
pub(super) fn of(
    headers: &HeaderMap,
    message: &Message<'_>,
    params: &Members<'_>,
    meta: &Meta<'_>,
) -> Result<Era, RpcError> {
    let header = single(headers, &VERSION_HEADER)?;
    if message.method == "initialize" && meta.version.is_none() {
        return Ok(Era::Legacy(header.and_then(legacy).unwrap_or(UNSAID)));
    }
    let era = match (header, meta.version.as_deref()) {
        (None, None) if message.method == "server/discover" => return Err(missing(meta)),
        (None, None) => Era::Legacy(UNSAID),
        (Some(MODERN), None) => match message.kind {
            Kind::Request(_) => return Err(missing(meta)),
            // What every request says is not asked of notifications.
            Kind::Notification | Kind::Response => Era::Modern,
        },
        (Some(version), None) => Era::Legacy(legacy(version).ok_or_else(|| RpcError::version(version))?),
        (None, Some(version)) => match legacy(version) {
            Some(version) => Era::Legacy(version),
            None => {
                return Err(RpcError::header(
                    "the header MCP-Protocol-Version is missing: it says what _meta says",
                ));
            }
        },
        (Some(header), Some(version)) if header != version => {
            return Err(RpcError::header(format!(
                "the header MCP-Protocol-Version says {header:?}, and _meta says {version:?}"
            )));
        }
        (Some(MODERN), Some(_)) => Era::Modern,
        (Some(version), Some(_)) => Era::Legacy(legacy(version).ok_or_else(|| RpcError::version(version))?),
    };
    if era == Era::Modern {
        if matches!(message.kind, Kind::Request(_)) && meta.capabilities.is_none() {
            return Err(missing(meta));
        }
        says_the_same(headers, message, params)?;
    }
    Ok(era)
}

/// The older version of a name.
pub(super) fn legacy(name: &str) -> Option<&'static str> {
    LEGACY.into_iter().find(|known| *known == name)
}

fn missing(meta: &Meta<'_>) -> RpcError {
    let lacks = [(VERSION_KEY, meta.version.is_none()), (CAPABILITIES_KEY, meta.capabilities.is_none())];
    let lacks: Vec<_> = lacks.into_iter().filter_map(|(key, lacks)| lacks.then_some(key)).collect();
    RpcError::meta(format!("_meta of a request of {MODERN} has no {}", lacks.join(" and no ")))
}

/// Holds `Mcp-Method` and `Mcp-Name` against the body: whoever routes by them must not be told otherwise.
fn says_the_same(headers: &HeaderMap, message: &Message<'_>, params: &Members<'_>) -> Result<(), RpcError> {
    let method = &*message.method;
    match single(headers, &METHOD_HEADER)? {
        None => {
            return Err(RpcError::header(format!("the header Mcp-Method is missing: it says {method:?}")));
        }
        Some(said) if said != method => {
            return Err(RpcError::header(format!(
                "the header Mcp-Method says {said:?}, and the body {method:?}"
            )));
        }
        Some(_) => {}
    }
    let key = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(()),
    };
    let Some(name) = params.get(key).and_then(|name| text(name).ok()) else { return Ok(()) };
    let Some(said) = single(headers, &NAME_HEADER)? else {
        return Err(RpcError::header(format!("the header Mcp-Name is missing: it says {name:?}")));
    };
    let said = decoded(said)?;
    if said != name {
        return Err(RpcError::header(format!("the header Mcp-Name says {said:?}, and the body {name:?}")));
    }
    Ok(())
}

/// A header that may be there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(RpcError::header(format!("the header {name} is there more than once")));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(RpcError::header(format!("the header {name} holds more than visible ASCII"))),
    }
}

/// What no header can hold is in base64: `=?base64?…?=`.
fn decoded(value: &str) -> Result<Cow<'_, str>, RpcError> {
    let Some(coded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    let text = STANDARD.decode(coded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Cow::Owned).ok_or_else(|| RpcError::header("the header Mcp-Name is no base64 of a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&'static str, &str)], body: &str) -> Result<Era, i32> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let message = Message::read(body.as_bytes()).unwrap();
        let params = message.params().map_err(|error| error.code())?;
        let meta = Meta::of(&params).map_err(|error| error.code())?;
        of(&map, &message, &params, &meta).map_err(|error| error.code())
    }

    fn request(method: &str, params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    }

    const V: &str = "mcp-protocol-version";
    const M: &str = "mcp-method";
    const N: &str = "mcp-name";

    fn meta(version: &str) -> String {
        format!(r#"{{"_meta":{{"{VERSION_KEY}":"{version}","{CAPABILITIES_KEY}":{{}}}}}}"#)
    }

    #[test]
    fn the_newest_version_says_everything_in_each_request() {
        let body = request("tools/list", &meta(MODERN));
        assert_eq!(found(&[(V, MODERN), (M, "tools/list")], &body), Ok(Era::Modern));
        assert_eq!(found(&[(V, MODERN), (M, "  tools/list ")], &body), Ok(Era::Modern));
        let check = |headers: &[(&'static str, &str)], body: &str, code: i32| {
            assert_eq!(found(headers, body), Err(code), "{headers:?} {body}");
        };
        check(&[(V, MODERN)], &body, -32020);
        check(&[(V, MODERN), (M, "TOOLS/LIST")], &body, -32020);
        check(&[(V, MODERN), (M, "prompts/list")], &body, -32020);
        check(&[(V, MODERN), (M, "tools/list"), (M, "tools/list")], &body, -32020);
        check(&[(M, "tools/list")], &body, -32020);
        check(&[(V, "2025-06-18"), (M, "tools/list")], &body, -32020);
        check(&[(V, MODERN), (V, MODERN)], &body, -32020);
        check(&[(V, MODERN)], &request("tools/list", "{}"), -32602);
        check(&[], &request("server/discover", "{}"), -32602);
        let no_capabilities = format!(r#"{{"_meta":{{"{VERSION_KEY}":"{MODERN}"}}}}"#);
        check(&[(V, MODERN), (M, "tools/list")], &request("tools/list", &no_capabilities), -32602);
        let no_version = format!(r#"{{"_meta":{{"{CAPABILITIES_KEY}":{{}}}}}}"#);
        check(&[(V, MODERN), (M, "tools/list")], &request("tools/list", &no_version), -32602);
        for wrong in [
            format!(r#"{{"_meta":{{"{VERSION_KEY}":7,"{CAPABILITIES_KEY}":{{}}}}}}"#),
            format!(r#"{{"_meta":{{"{VERSION_KEY}":"{MODERN}","{CAPABILITIES_KEY}":[]}}}}"#),
            format!(
                r#"{{"_meta":{{"{VERSION_KEY}":"{MODERN}","{CAPABILITIES_KEY}":{{}},"progressToken":[]}}}}"#
            ),
            r#"{"_meta":7}"#.to_owned(),
        ] {
            check(&[(V, MODERN), (M, "tools/list")], &request("tools/list", &wrong), -32602);
        }
        check(&[(V, "v999"), (M, "tools/list")], &request("tools/list", &meta("v999")), -32022);
        check(&[(V, MODERN), (M, "tools/list")], &request("tools/list", &meta("v999")), -32020);
    }

    #[test]
    fn a_call_s_name_is_held_against_its_header() {
        let call = |name: &str| {
            let params = meta(MODERN);
            request("tools/call", &format!(r#"{{"name":"{name}",{}"#, &params[1..]))
        };
        let with = |said: &str, name: &str| found(&[(V, MODERN), (M, "tools/call"), (N, said)], &call(name));
        assert_eq!(with("a", "a"), Ok(Era::Modern));
        assert_eq!(with("=?base64?w6Q=?=", "ä"), Ok(Era::Modern));
        assert_eq!(with("b", "a"), Err(-32020));
        assert_eq!(with("A", "a"), Err(-32020));
        assert_eq!(with("=?base64?!?=", "a"), Err(-32020));
        assert_eq!(found(&[(V, MODERN), (M, "tools/call")], &call("a")), Err(-32020));
        assert_eq!(found(&[(V, MODERN), (M, "tools/call"), (N, "a"), (N, "a")], &call("a")), Err(-32020));
    }

    #[test]
    fn older_versions_need_no_words() {
        let list = request("tools/list", "{}");
        assert_eq!(found(&[], &list), Ok(Era::Legacy(UNSAID)));
        for version in LEGACY {
            assert_eq!(found(&[(V, version)], &list), Ok(Era::Legacy(version)));
            assert_eq!(
                found(&[(V, version)], &request("tools/list", &meta(version))),
                Ok(Era::Legacy(version))
            );
        }
        assert_eq!(found(&[(V, "2023-01-01")], &list), Err(-32022));
        let initialize = r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{}}"#;
        let initialize = request("initialize", initialize);
        assert_eq!(found(&[], &initialize), Ok(Era::Legacy(UNSAID)));
        assert_eq!(found(&[(V, MODERN)], &initialize), Ok(Era::Legacy(UNSAID)));
        // What says that it is of the newest version is, and that has no such method.
        let modern = request("initialize", &meta(MODERN));
        assert_eq!(found(&[(V, MODERN), (M, "initialize")], &modern), Ok(Era::Modern));
        let note = r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#;
        assert_eq!(found(&[(V, MODERN), (M, "notifications/cancelled")], note), Ok(Era::Modern));
        assert_eq!(found(&[], note), Ok(Era::Legacy(UNSAID)));
    }
}
