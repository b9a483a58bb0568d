//! A gRPC method as a tool: what agents are told of it, and how its arguments become its message and its replies a result. It
//! is called by the method's own routes, and its JSON comes from the same tables as REST's.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost_reflect::MessageDescriptor;
use prost_types::method_options::IdempotencyLevel;
use serde_json::{Map, Value, json};
use tonic::Status;

use super::members::Members;
use crate::{
    call::{Frames, frame},
    route::Routes,
    schema::{Method, Verb},
    status::{Fault, Refusal, refuse},
    surface::rest,
    transcode::{
        Codec, HTTP_BODY, JsonInput, JsonStyle, Tables,
        json_schema::{Comments, Contained, Direction, contained, demands, missing},
    },
};

/// One method as a tool.
pub struct Tool {
    name: Arc<str>,
    method: Arc<Method>,
    routes: Routes,
    input: Codec,
    output: Codec,
    tables: Arc<Tables>,
    takes: Form,
    /// Some field of the arguments must be there.
    demands: bool,
    gives: Form,
    style: JsonStyle,
    said: Said,
    hints: Hints,
    /// What `tools/list` says of it; written when it is first asked for.
    described: OnceLock<Box<str>>,
}

/// What the config says of a tool in place of what its method says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub title: Option<Arc<str>>,
    pub description: Option<Arc<str>>,
    pub read_only: Option<bool>,
    pub destructive: Option<bool>,
    pub idempotent: Option<bool>,
}

/// What of the tool's behaviour its method tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Hints {
    read_only: Option<bool>,
    destructive: Option<bool>,
    idempotent: Option<bool>,
}

/// What a message's JSON is to a tool, whose arguments and result are objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The object itself.
    Object,
    /// Another value: a member of an object.
    Value,
    /// The bytes of a `google.api.HttpBody`.
    Raw,
}

impl Tool {
    /// Makes a tool of a method; `paths` are its REST bindings'.
    ///
    /// # Errors
    /// The tables are of another schema, or the method's requests are a stream.
    pub fn new(
        name: Arc<str>,
        method: &Arc<Method>,
        routes: Routes,
        tables: &Arc<Tables>,
        style: JsonStyle,
        verbs: &[Verb],
        said: Said,
    ) -> Result<Self, String> {
        if method.client_streaming {
            return Err(format!(
                "{} takes a stream of requests, which no tool's arguments are",
                method.full_name
            ));
        }
        let (input, output) = (method.descriptor.input(), method.descriptor.output());
        let codec = |message: &MessageDescriptor| {
            let name = message.full_name();
            tables
                .codec(name)
                .ok_or_else(|| format!("{}: the schema has no message {name}", method.full_name))
        };
        let gives = match form(&output) {
            _ if output.full_name() == HTTP_BODY && !method.server_streaming => Form::Raw,
            form => form,
        };
        Ok(Self {
            name,
            routes,
            input: codec(&input)?,
            output: codec(&output)?,
            tables: Arc::clone(tables),
            takes: form(&input),
            demands: demands(&input),
            gives,
            // In a stream of events a message is one line.
            style: JsonStyle { pretty: false, ..style },
            said,
            hints: hints(method, verbs),
            described: OnceLock::new(),
            method: Arc::clone(method),
        })
    }

    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn method(&self) -> &Arc<Method> {
        &self.method
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    pub(super) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub(super) fn gives(&self) -> Form {
        self.gives
    }

    /// True where clients that know the other need not be told that anything is new.
    pub(super) fn is_told_as(&self, other: &Self) -> bool {
        let terms = |tool: &Self| tool.routes.first().map(|route| route.terms.access.clone());
        Arc::ptr_eq(&self.method, &other.method)
            && (&self.name, &self.said, self.style, self.hints)
                == (&other.name, &other.said, other.style, other.hints)
            && terms(self) == terms(other)
    }

    /// The message of its arguments, a JSON object, as one frame of at most `limit` bytes.
    ///
    /// # Errors
    /// INVALID_ARGUMENT that says which field, and what it takes.
    pub(super) fn frames(&self, arguments: &[u8], limit: usize) -> Result<Frames, Status> {
        let invalid =
            |field: &str, why: String| rest::invalid(field, &format!("the arguments do not fit: {why}"));
        let json = match self.takes {
            Form::Object | Form::Raw => arguments,
            Form::Value => {
                let members = Members::read(arguments, &["value"]);
                let members = members.map_err(|unread| invalid("", unread.to_string()))?;
                // Absent, it is the message's default.
                members.get("value").map_or(&b""[..], |value| value.get().as_bytes())
            }
        };
        let frames = frame(|out| {
            if json.is_empty() {
                return Ok(());
            }
            let read = self.input.to_wire(json, &JsonInput::default(), out);
            read.map_err(|problem| invalid(problem.field(), problem.to_string()))
        })?;
        if self.demands && !json.is_empty() {
            // What cannot be looked through may lack anything.
            let json = serde_json::from_slice(json)
                .map_err(|error| invalid("", format!("what is required cannot be looked for: {error}")))?;
            if let Some(field) = missing(&self.method.descriptor.input(), &json) {
                return Err(invalid(&field, format!("{field} is required")));
            }
        }
        if frames.len() > limit.saturating_add(crate::call::HEADER_BYTES) {
            let message = format!("the arguments make a message over the limit of {limit} bytes");
            return Err(refuse(Refusal::TooLarge, message));
        }
        Ok(Frames::Whole(frames))
    }

    /// Appends the JSON of one reply message.
    ///
    /// # Errors
    /// INTERNAL: the upstream's message is not what its schema says.
    pub(super) fn json(&self, message: &Bytes, out: &mut Vec<u8>) -> Result<(), Status> {
        self.output.to_json(message, &self.style, out).map_err(|problem| {
            let name = &self.method.full_name;
            let text = format!("the upstream's reply of {name} cannot be written as JSON: {problem}");
            Fault::upstream().on(Status::internal(text))
        })
    }

    /// What `tools/list` says of it.
    pub(super) fn described(&self) -> &str {
        self.described.get_or_init(|| self.describe().to_string().into())
    }

    fn describe(&self) -> Value {
        let mut tool = Map::new();
        tool.insert("name".to_owned(), (*self.name).into());
        let title = self.said.title.as_deref().map_or_else(|| title(self.method.name()), str::to_owned);
        tool.insert("title".to_owned(), title.into());
        tool.insert("description".to_owned(), self.description().into());
        let (input, output) = (self.method.descriptor.input(), self.method.descriptor.output());
        let input = contained(&input, Direction::Input, self.style);
        tool.insert("inputSchema".to_owned(), whole(wrapped(input, self.takes, "value", true)));
        let output = contained(&output, Direction::Output, self.style);
        let output = match (self.gives, self.method.server_streaming) {
            (Form::Raw, _) => None,
            (Form::Object | Form::Value, true) => Some(collected(output)),
            (form, false) => Some(wrapped(output, form, "result", false)),
        };
        if let Some(output) = output {
            tool.insert("outputSchema".to_owned(), whole(output));
        }
        let annotations = self.annotations();
        if !annotations.is_empty() {
            tool.insert("annotations".to_owned(), annotations.into());
        }
        Value::Object(tool)
    }

    fn description(&self) -> String {
        if let Some(said) = &self.said.description {
            return said.to_string();
        }
        let descriptor = &self.method.descriptor;
        let file = descriptor.parent_service().parent_file();
        let mut said = Comments::default().of(&file, descriptor.path());
        if said.is_empty() {
            said = format!("Calls {}.", self.method.path.as_str().trim_start_matches('/'));
        }
        if self.method.server_streaming {
            said.push_str(
                "\n\nIts reply is a stream: with a progress token each message is told as it comes, and the result lists them.",
            );
        }
        if self.method.deprecated {
            said.push_str("\n\nDeprecated.");
        }
        said
    }

    fn annotations(&self) -> Map<String, Value> {
        let (said, hints) = (&self.said, &self.hints);
        let read_only = said.read_only.or(hints.read_only);
        let hints = [
            ("readOnlyHint", read_only),
            ("destructiveHint", said.destructive.or(hints.destructive)),
            ("idempotentHint", said.idempotent.or(hints.idempotent)),
        ];
        hints.into_iter().filter_map(|(name, hint)| Some((name.to_owned(), hint?.into()))).collect()
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tool").field(&self.name).finish()
    }
}

fn form(message: &MessageDescriptor) -> Form {
    match message.full_name().strip_prefix("google.protobuf.") {
        None | Some("Empty" | "Struct" | "Any") => Form::Object,
        Some("Timestamp" | "Duration" | "FieldMask") => Form::Value,
        Some(name) if name.ends_with("Value") => Form::Value,
        Some(_) => Form::Object,
    }
}

/// What the method says of itself, and what its verbs promise (RFC 9110, 9.2).
fn hints(method: &Method, verbs: &[Verb]) -> Hints {
    let any = |wanted: &[&str]| verbs.iter().any(|verb| wanted.contains(&verb.as_str()));
    let all = |wanted: &[&str]| !verbs.is_empty() && verbs.iter().all(|verb| wanted.contains(&verb.as_str()));
    let level = method.idempotency;
    if level == IdempotencyLevel::NoSideEffects || any(&["GET", "HEAD"]) {
        return Hints { read_only: Some(true), destructive: Some(false), idempotent: Some(true) };
    }
    let idempotent = level == IdempotencyLevel::Idempotent || all(&["PUT", "DELETE"]);
    Hints {
        read_only: (!verbs.is_empty()).then_some(false),
        // Of what a POST does nothing is known.
        destructive: any(&["DELETE", "PUT", "PATCH"]).then_some(true),
        idempotent: idempotent.then_some(true),
    }
}

/// `GetBook` as people write it: `Get book`.
fn title(method: &str) -> String {
    let mut title = String::with_capacity(method.len() + 4);
    let mut before = None;
    for (at, c) in method.char_indices() {
        let next_is_small =
            method.get(at + 1..).and_then(|rest| rest.chars().next()).is_some_and(char::is_lowercase);
        let begins =
            c.is_uppercase() && before.is_some_and(|before: char| before.is_lowercase() || next_is_small);
        if begins {
            title.push(' ');
            if next_is_small {
                title.extend(c.to_lowercase());
                before = Some(c);
                continue;
            }
        }
        title.push(if c == '_' { ' ' } else { c });
        before = Some(c);
    }
    title
}

/// A value that is no object as the member of one.
fn wrapped(contained: Contained, form: Form, name: &str, closed: bool) -> Contained {
    match form {
        Form::Object | Form::Raw => contained,
        Form::Value => {
            let Contained { schema, definitions } = contained;
            let mut object = json!({"type": "object", "properties": {name: schema}, "required": [name]});
            if closed && let Some(members) = object.as_object_mut() {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            Contained { schema: object, definitions }
        }
    }
}

/// All messages of a stream.
fn collected(contained: Contained) -> Contained {
    let Contained { schema, definitions } = contained;
    let schema = json!({
        "type": "object",
        "properties": {
            "messages": {"type": "array", "items": schema, "description": "The messages, in their order."},
            "complete": {"type": "boolean", "description": "The stream has ended; false where it was cut off here."},
        },
        "required": ["messages", "complete"],
    });
    Contained { schema, definitions }
}

fn whole(contained: Contained) -> Value {
    let Contained { mut schema, definitions } = contained;
    if let Some(members) = schema.as_object_mut().filter(|_| !definitions.is_empty()) {
        members.insert("$defs".to_owned(), definitions.into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        let check = |method: &str, want: &str| assert_eq!(title(method), want);
        check("GetBook", "Get book");
        check("ListMyBooks", "List my books");
        check("GetURL", "Get URL");
        check("GetHTTPBody", "Get HTTP body");
        check("ping", "ping");
        check("do_it", "do it");
        check("V2Check", "V2 check");
    }
}
