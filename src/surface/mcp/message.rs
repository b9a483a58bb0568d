//! JSON-RPC 2.0 as MCP has it: one request, notification or response a body, `params` an object, ids texts or whole numbers.
//!
//! ```text
//! request      = { "jsonrpc": "2.0", "id": string / integer, "method": string, ["params": object] }
//! notification = the same without an id
//! response     = { "jsonrpc": "2.0", "id": …, "result": … / "error": … }       only from clients of the older versions
//! ```

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    error::RpcError,
    members::{Members, Unread, is_object, text},
};

const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
/// Every member of `params` that some method here asks for.
const PARAMS: &[&str] = &[
    "_meta",
    "name",
    "arguments",
    "cursor",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "notifications",
    "requestId",
    "uri",
    "level",
];

/// One message of a client.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: Kind<'a>,
    /// Empty for a response.
    pub(super) method: Cow<'a, str>,
    params: Option<&'a RawValue>,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// With its id, as it was written.
    Request(&'a str),
    Notification,
    Response,
}

/// Why a body is no message, with the id that it has all the same.
#[derive(Debug)]
pub(super) struct NoMessage {
    pub(super) id: Option<String>,
    pub(super) error: RpcError,
}

impl<'a> Message<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// −32700 for what is no JSON, −32600 for what is no message.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, NoMessage> {
        let without_id = |error| NoMessage { id: None, error };
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(without_id(RpcError::invalid("One message a body: batches are not spoken here")));
        }
        let members = Members::read(body, ENVELOPE).map_err(|unread| {
            without_id(match unread {
                Unread::Malformed(why) => RpcError::malformed(why),
                Unread::Wrong(why) => RpcError::invalid(why),
            })
        })?;
        let id = members.get("id").map(RawValue::get);
        if id.is_some_and(|id| !is_id(id)) {
            return Err(without_id(RpcError::invalid("ID must be a string or number")));
        }
        let wrong = |why| Err(NoMessage { id: id.map(str::to_owned), error: RpcError::invalid(why) });
        if members.get("jsonrpc").and_then(|version| text(version).ok()).as_deref() != Some("2.0") {
            return wrong("Invalid JSON-RPC version");
        }
        let answers = members.get("result").is_some() || members.get("error").is_some();
        let method = match members.text("method") {
            Ok(Some(_)) if answers => return wrong("A request has no result and no error"),
            Ok(None) if answers && id.is_some() => {
                return Ok(Self { kind: Kind::Response, method: Cow::Borrowed(""), params: None });
            }
            Ok(Some(method)) => method,
            Ok(None) | Err(()) => return wrong("Method is required and must be a string"),
        };
        let params = members.get("params");
        if params.is_some_and(|params| !is_object(params)) {
            return wrong("Params must be an object");
        }
        let kind = id.map_or(Kind::Notification, Kind::Request);
        Ok(Self { kind, method, params })
    }

    /// What is known here of its `params`; none are as an empty object.
    ///
    /// # Errors
    /// −32602 for a name given twice, or in other capitals.
    pub(super) fn params(&self) -> Result<Members<'a>, RpcError> {
        let json = self.params.map_or("{}", RawValue::get);
        Members::read(json.as_bytes(), PARAMS).map_err(|unread| RpcError::params(format!("params: {unread}")))
    }

    /// All of its `params`, as they were written.
    pub(super) fn whole_params(&self) -> &'a str {
        self.params.map_or("{}", RawValue::get)
    }

    /// Its id, of a request.
    pub(super) fn id(&self) -> Option<&'a str> {
        match self.kind {
            Kind::Request(id) => Some(id),
            Kind::Notification | Kind::Response => None,
        }
    }
}

/// A text, or a whole number.
fn is_id(json: &str) -> bool {
    json.starts_with('"') || json.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let read = |json: &'static str| Message::read(json.as_bytes()).unwrap();
        let request = read(r#"{"jsonrpc":"2.0","id":"a\n1","method":"tools/list","params":{"cursor":"x"}}"#);
        assert_eq!((request.id(), &*request.method), (Some(r#""a\n1""#), "tools/list"));
        assert_eq!(request.params().unwrap().text("cursor").unwrap().unwrap(), "x");
        let bare = read(r#"{"jsonrpc":"2.0","id":-7,"method":"ping"}"#);
        assert_eq!(bare.id(), Some("-7"));
        assert!(bare.params().unwrap().get("cursor").is_none());
        assert!(matches!(read(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#).kind, Kind::Notification));
        assert!(matches!(read(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).kind, Kind::Response));
        assert!(matches!(read(r#"{"jsonrpc":"2.0","id":1,"error":{}}"#).kind, Kind::Response));
        let twice = read(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","Name":"b"}}"#);
        assert_eq!(twice.params().unwrap_err().code(), -32602);
    }

    #[test]
    fn what_is_no_message() {
        let check = |json: &str, code: i32, id: Option<&str>, why: &str| {
            let NoMessage { id: found, error } = Message::read(json.as_bytes()).unwrap_err();
            assert_eq!((error.code(), found.as_deref()), (code, id), "{json}");
            assert!(error.to_json().contains(why), "{json}: {}", error.to_json());
        };
        check(r#"{"jsonrpc":"2.0","#, -32700, None, "Parse error");
        check("", -32700, None, "Parse error");
        check("nonsense", -32700, None, "Parse error");
        check(r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#, -32600, None, "batches");
        check(r#""text""#, -32600, None, "Invalid Request");
        check(r#"{"jsonrpc":"1.0","id":5,"method":"m"}"#, -32600, Some("5"), "Invalid JSON-RPC version");
        check(r#"{"id":5,"method":"m"}"#, -32600, Some("5"), "Invalid JSON-RPC version");
        check(r#"{"jsonrpc":2.0,"id":5,"method":"m"}"#, -32600, Some("5"), "Invalid JSON-RPC version");
        let method = "Method is required and must be a string";
        check(r#"{"jsonrpc":"2.0","id":5}"#, -32600, Some("5"), method);
        check(r#"{"jsonrpc":"2.0","id":5,"method":7}"#, -32600, Some("5"), method);
        check(r#"{"jsonrpc":"2.0","result":{}}"#, -32600, None, method);
        for id in ["true", "null", "1.5", "1e3", "[]", "{}"] {
            let json = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
            check(&json, -32600, None, "ID must be a string or number");
        }
        check(r#"{"jsonrpc":"2.0","id":5,"method":"m","params":[1]}"#, -32600, Some("5"), "Params");
        check(r#"{"jsonrpc":"2.0","id":5,"method":"m","result":1}"#, -32600, Some("5"), "no result");
        check(r#"{"jsonrpc":"2.0","id":5,"id":6,"method":"m"}"#, -32600, None, "given twice");
        check(r#"{"jsonrpc":"2.0","id":5,"Method":"m"}"#, -32600, None, "is written");
    }
}
