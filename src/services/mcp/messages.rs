//! MCP's messages as the service's: JSON objects as `google.protobuf.Struct`, errors as statuses, events as they come.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Value as Json, json};
use tonic::{Code, Status};

use crate::{call::Body, federation::Events};

/// The most bytes of one message.
const MOST: usize = 64 << 20;

/// A JSON value as protobuf has it.
pub(super) fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(value).collect() }),
        Json::Object(members) => Kind::StructValue(of_members(members)),
    };
    Value { kind: Some(kind) }
}

fn of_members(members: &Map<String, Json>) -> Struct {
    Struct { fields: members.iter().map(|(name, member)| (name.clone(), value(member))).collect() }
}

/// A JSON object; `None` for what is none.
pub(super) fn object(json: &Json) -> Option<Struct> {
    json.as_object().map(of_members)
}

/// The objects of a list.
pub(super) fn objects(json: &Json) -> Vec<Struct> {
    json.as_array().into_iter().flatten().filter_map(object).collect()
}

/// A text; empty for what is none.
pub(super) fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

/// An object as JSON.
pub(super) fn of_struct(of: &Struct) -> Json {
    Json::Object(of.fields.iter().map(|(name, member)| (name.clone(), of_value(member))).collect())
}

fn of_value(of: &Value) -> Json {
    /// Whole numbers up to here are the same in both.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match &of.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within what both have")]
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < EXACT => {
            (*number as i64).into()
        }
        Some(Kind::NumberValue(number)) => json!(number),
        Some(Kind::StringValue(text)) => text.as_str().into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(of_value).collect(),
        Some(Kind::StructValue(members)) => of_struct(members),
    }
}

/// The result of a message; or the error in its place.
///
/// # Errors
/// What the error says.
pub(super) fn result(message: &Json) -> Result<Json, Status> {
    if let Some(error) = message.get("error") {
        let said = error["message"].as_str().unwrap_or_default();
        let why = error["data"].as_str().map_or_else(|| said.to_owned(), |data| format!("{said}: {data}"));
        let code = match error["code"].as_i64() {
            Some(-32602) if said.starts_with("Unknown ") || said == "Resource not found" => Code::NotFound,
            Some(-32602 | -32600 | -32700) => Code::InvalidArgument,
            Some(-32601) => Code::Unimplemented,
            Some(-32021) => Code::FailedPrecondition,
            Some(-32001) => Code::Unauthenticated,
            Some(-32003) => Code::PermissionDenied,
            Some(-32005) => Code::ResourceExhausted,
            Some(-32000) => Code::Unavailable,
            _ => Code::Internal,
        };
        return Err(Status::new(code, why));
    }
    message.get("result").cloned().ok_or_else(|| Status::internal("there is no result"))
}

/// The one message of an answer.
///
/// # Errors
/// It is none.
pub(super) async fn whole(body: Body) -> Result<Json, Status> {
    let body = http_body_util::Limited::new(body, MOST).collect().await;
    let body = body.map_err(|error| Status::internal(format!("the answer broke off: {error}")))?.to_bytes();
    read(&body)
}

fn read(message: &[u8]) -> Result<Json, Status> {
    serde_json::from_slice(message)
        .map_err(|error| Status::internal(format!("the answer is no JSON: {error}")))
}

/// The messages of an answer that is a stream of events, or one message.
pub(super) struct Messages {
    body: Body,
    /// `None`: it is one message.
    events: Option<Events>,
    whole: Vec<u8>,
    over: bool,
}

impl Messages {
    pub(super) fn of(response: http::Response<Body>) -> Self {
        let kind = response.headers().get(http::header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_vec());
        let streamed = kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
        let events = streamed.then(|| Events::new(MOST));
        Self { body: response.into_body(), events, whole: Vec::new(), over: false }
    }

    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// It is no JSON, or too long.
    pub(super) async fn next(&mut self) -> Result<Option<Json>, Status> {
        loop {
            if let Some(message) = self.events.as_mut().and_then(Events::take) {
                return read(&message).map(Some);
            }
            if self.over {
                return Ok(None);
            }
            let data: Bytes = match self.body.frame().await {
                Some(frame) => match frame.map(http_body::Frame::into_data) {
                    Ok(Ok(data)) => data,
                    Ok(Err(_)) => continue,
                    Err(error) => return Err(Status::internal(format!("the answer broke off: {error}"))),
                },
                None => {
                    self.over = true;
                    if self.events.is_none() {
                        return read(&self.whole).map(Some);
                    }
                    continue;
                }
            };
            match &mut self.events {
                Some(events) => events.push(&data).map_err(|_| Status::internal("a message is too long"))?,
                None => self.whole.extend_from_slice(&data),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_back() {
        let json = json!({"a": [1, 2.5, null, true, "x"], "b": {"c": {}}, "n": -7});
        assert_eq!(of_struct(&object(&json).unwrap()), json);
        assert!(object(&json!([])).is_none());
        assert_eq!(objects(&json!([{}, 1, {"a": 1}])).len(), 2);
    }

    #[test]
    fn an_error_is_a_status() {
        let check = |code: i32, said: &str, want: Code| {
            let message = json!({"error": {"code": code, "message": said, "data": "why"}});
            let status = result(&message).unwrap_err();
            assert_eq!((status.code(), status.message()), (want, format!("{said}: why").as_str()));
        };
        check(-32602, "Unknown method", Code::NotFound);
        check(-32602, "Unknown tool: x", Code::NotFound);
        check(-32602, "cursor is a string", Code::InvalidArgument);
        check(-32003, "Forbidden", Code::PermissionDenied);
        check(-32603, "Internal error", Code::Internal);
        assert_eq!(result(&json!({"result": {"a": 1}})).unwrap(), json!({"a": 1}));
    }
}
