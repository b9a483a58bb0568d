//! JSON-RPC 2.0 as an MCP client speaks it: what is sent to a server, and what comes from it.

use serde_json::{json, value::RawValue};

use super::object::Object;

/// What a server sends.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The answer to the request of this id, as it was written.
    Answer {
        id: String,
        outcome: Result<Object, RpcFailure>,
    },
    /// It asks for something itself.
    Request {
        id: Box<RawValue>,
        method: String,
        params: Object,
    },
    Notification {
        method: String,
        params: Object,
    },
}

/// An error in the place of a result.
#[derive(Debug, Clone)]
pub struct RpcFailure {
    pub code: i64,
    pub message: String,
    pub data: Option<Box<RawValue>>,
}

impl RpcFailure {
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn read(error: &RawValue) -> Result<Self, String> {
        let mut error = Object::read(error.get()).map_err(|why| format!("its error: {why}"))?;
        let code = error.get("code").and_then(|code| code.get().parse().ok());
        let code = code.ok_or("its error has no code")?;
        let message = error.text("message").unwrap_or_default().into_owned();
        Ok(Self { code, message, data: error.take("data") })
    }

    fn to_object(&self) -> Object {
        let error = Object::default().with("code", self.code).with("message", &self.message);
        match &self.data {
            Some(data) => error.with("data", data),
            None => error,
        }
    }
}

impl Incoming {
    /// Reads one message.
    ///
    /// # Errors
    /// It is none, and why.
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        let json = std::str::from_utf8(json).map_err(|error| error.to_string())?;
        let mut message = Object::read(json)?;
        let params = |message: &Object| match message.get("params").map(RawValue::get) {
            None | Some("null") => Ok(Object::default()),
            Some(params) => Object::read(params).map_err(|why| format!("its params: {why}")),
        };
        let id = message.take("id");
        if let Some(method) = message.text("method").map(std::borrow::Cow::into_owned) {
            let params = params(&message)?;
            return Ok(match id {
                Some(id) => Self::Request { id, method, params },
                None => Self::Notification { method, params },
            });
        }
        let id = id.ok_or("it is no message of JSON-RPC")?.get().to_owned();
        let outcome = match (message.get("result"), message.get("error")) {
            (Some(result), None) => {
                Ok(Object::read(result.get()).map_err(|why| format!("its result: {why}"))?)
            }
            (None, Some(error)) => Err(RpcFailure::read(error)?),
            _ => return Err("it is neither a result nor an error".to_owned()),
        };
        Ok(Self::Answer { id, outcome })
    }
}

/// What a client answers to what it was asked: the id as it was written, and the outcome.
#[must_use]
pub fn reply(body: &[u8]) -> Option<(String, Result<Object, RpcFailure>)> {
    match Incoming::read(body) {
        Ok(Incoming::Answer { id, outcome }) => Some((id, outcome)),
        _ => None,
    }
}

/// A request.
pub(super) fn request(id: u64, method: &str, params: &Object) -> String {
    let message = Object::default().with("jsonrpc", "2.0").with("id", id).with("method", method);
    message.with("params", params).written()
}

/// A notification.
pub(super) fn notification(method: &str, params: &Object) -> String {
    let message = Object::default().with("jsonrpc", "2.0").with("method", method);
    if params.is_empty() { message.written() } else { message.with("params", params).written() }
}

/// That a request is taken back.
pub(super) fn cancelled(id: u64) -> String {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
           "params": {"requestId": id, "reason": "its caller has gone"}})
    .to_string()
}

/// The answer to a server's request.
pub(super) fn answer(id: &RawValue, outcome: &Result<Object, RpcFailure>) -> String {
    let message = Object::default().with("jsonrpc", "2.0").with("id", id);
    match outcome {
        Ok(result) => message.with("result", result).written(),
        Err(failure) => message.with("error", failure.to_object()).written(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let read = |json: &str| Incoming::read(json.as_bytes());
        match read(r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#).unwrap() {
            Incoming::Answer { id, outcome: Ok(result) } => {
                assert_eq!((id.as_str(), result.written().as_str()), ("7", r#"{"a":1}"#));
            }
            other => panic!("{other:?}"),
        }
        match read(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no","data":[1]}}"#).unwrap() {
            Incoming::Answer { outcome: Err(failure), .. } => {
                assert_eq!((failure.code, &*failure.message), (-32602, "no"));
                assert_eq!(failure.data.unwrap().get(), "[1]");
            }
            other => panic!("{other:?}"),
        }
        match read(r#"{"jsonrpc":"2.0","id":"x","method":"elicitation/create","params":{"m":1}}"#).unwrap() {
            Incoming::Request { id, method, params } => {
                assert_eq!((id.get(), &*method), ("\"x\"", "elicitation/create"));
                assert_eq!(params.written(), r#"{"m":1}"#);
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#),
            Ok(Incoming::Notification { .. })
        ));
        for wrong in ["", "[]", "{}", r#"{"id":1}"#, r#"{"id":1,"result":7}"#, r#"{"id":1,"error":{}}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
