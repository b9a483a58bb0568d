//! One binding as an operation: what may be sent, what is answered, and in which forms.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use utoipa::openapi::{
    Content, ContentBuilder, Deprecated, Required, ResponseBuilder,
    path::{Operation, OperationBuilder},
    request_body::{RequestBody, RequestBodyBuilder},
    response::{Response, Responses, ResponsesBuilder},
};

use super::{
    Listed,
    errors::{self, Failure},
    headers, health_body, parameters,
    path::Path,
    schema::schema,
    security::Demand,
};
use crate::{
    config::Config,
    schema::{Binding, Body},
    surface::rest::health_body::HealthBody,
    transcode::{
        HTTP_BODY,
        json_schema::{Direction, Walker, first_sentence, formed, nullable},
    },
};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";
/// The content type of bytes of any type.
const ANY: &str = "*/*";

/// Methods whose reply may have another status than 200 and be no error: name, status, words.
const OTHER_STATUSES: [(&str, &str, &str); 2] = [
    ("propylon.gateway.v1.HealthService.Check", "503", "Unhealthy: send traffic elsewhere."),
    ("propylon.gateway.v1.HealthService.CheckServices", "503", "A critical service is down."),
];

/// Services of the gateway's own that may fail by what they keep, whoever calls: prefix of the method's name.
const OF_ACCOUNTS: [&str; 4] = [
    "propylon.gateway.v1.AuthService.",
    "propylon.gateway.v1.UserService.",
    "propylon.gateway.v1.AdminService.",
    "propylon.automation.v1.",
];

pub(super) fn operation(
    walker: &mut Walker,
    listed: &Listed<'_>,
    path: &Path,
    id: String,
    config: &Config,
) -> Operation {
    let binding = listed.binding;
    let method = &binding.method;
    let descriptor = &method.descriptor;
    let service = descriptor.parent_service();
    let said = walker.comments().of(&service.parent_file(), descriptor.path());
    let summary = first_sentence(&said).replace('\n', " ");
    let summary = summary.trim_end_matches('.');
    let mut parameters = parameters::of_path(walker, binding, path);
    parameters.extend(parameters::of_query(walker, binding));
    let body = request_body(walker, binding);
    let demand = Demand::of(listed.access, config);
    let responses = responses(walker, listed, body.is_some(), demand.any(), config);
    let mut described = said.clone();
    if demand.any() {
        described.push_str(if described.is_empty() { "" } else { "\n\n" });
        described.push_str(&demand.words);
    }
    let of_service = service.service_descriptor_proto().options.as_ref();
    let deprecated = method.deprecated || of_service.is_some_and(prost_types::ServiceOptions::deprecated);
    OperationBuilder::new()
        .tag(method.service_name())
        .operation_id(Some(id))
        .summary(Some(if summary.is_empty() { method.name() } else { summary }))
        .description(Some(described).filter(|said| !said.is_empty()))
        .parameters(Some(parameters).filter(|list| !list.is_empty()))
        .request_body(body)
        .responses(responses)
        .deprecated(deprecated.then_some(Deprecated::True))
        .securities(Some(demand.requirements))
        .extensions(demand.extensions)
        .build()
}

fn request_body(walker: &mut Walker, binding: &Binding) -> Option<RequestBody> {
    let input = binding.method.descriptor.input();
    let (value, example, raw, required) = match &binding.body {
        Body::None => return None,
        Body::All if input.full_name() == HTTP_BODY => (json!({}), None, true, false),
        Body::All => {
            let given: Vec<_> = binding.variables.iter().map(|variable| variable.fields.as_slice()).collect();
            let example = walker.example(&input, Direction::Input);
            let example = example.map(|value| without(walker, &given, value));
            (walker.message_without(&input, &given), example, false, walker.demands(&input, &given))
        }
        Body::Field(field) => {
            let message = message_of(field);
            let raw = message.as_ref().is_some_and(|message| message.full_name() == HTTP_BODY);
            let below = |fields: &'_ [FieldDescriptor]| fields.first() == Some(field);
            let given: Vec<_> = binding
                .variables
                .iter()
                .filter(|variable| below(&variable.fields))
                .filter_map(|variable| variable.fields.get(1..))
                .collect();
            let example = message.as_ref().and_then(|message| walker.example(message, Direction::Input));
            let example = example.map(|value| without(walker, &given, value));
            let value = match message {
                _ if raw => json!({}),
                Some(message) => walker.message_without(&message, &given),
                _ => walker.value(field, Direction::Input),
            };
            let (value, required) = match walker.form(field) {
                Some(form) if form.required => (formed(value, form), true),
                // A body of `null` is a field that is not there.
                _ => (nullable(value), false),
            };
            (value, example, raw, required)
        }
    };
    let required = if required { Required::True } else { Required::False };
    let body = RequestBodyBuilder::new().required(Some(required));
    if raw {
        let words = "Bytes of any content type.";
        return Some(body.description(Some(words)).content("application/octet-stream", bytes()).build());
    }
    if !binding.method.client_streaming {
        let content = ContentBuilder::new().schema(Some(schema(&value))).example(example).build();
        return Some(body.content(JSON, content).build());
    }
    let words = "A stream of messages: a JSON array, or a message a line. Each is sent on as it comes. Over a WebSocket \
                 at this path each text message is one.";
    let array = ContentBuilder::new()
        .schema(Some(schema(&json!({"type": "array", "items": value}))))
        .example(example.as_ref().map(|one| json!([one])))
        .build();
    // An example in words: as a value it would be taken for one JSON text.
    let mut words_of_lines = "The messages, one a line.".to_owned();
    if let Some(one) = example {
        words_of_lines.push_str(&format!(" Such as:\n\n    {one}\n    {one}"));
    }
    let lines = lines(&value, &words_of_lines, None);
    Some(body.description(Some(words)).content(JSON, array).content(LINES, lines).build())
}

/// An example without the fields that the path gives: both must agree.
fn without(walker: &Walker, given: &[&[FieldDescriptor]], mut example: Value) -> Value {
    for fields in given {
        let Some((last, before)) = fields.split_last() else { continue };
        let mut at = Some(&mut example);
        for field in before {
            at = at.and_then(|value| value.get_mut(walker.name(field)));
        }
        if let Some(members) = at.and_then(Value::as_object_mut) {
            members.shift_remove(&walker.name(last));
        }
    }
    example
}

fn responses(
    walker: &mut Walker,
    listed: &Listed<'_>,
    body: bool,
    demanding: bool,
    config: &Config,
) -> Responses {
    let binding = listed.binding;
    let method = &binding.method;
    let upstream = listed.upstream.is_some();
    let accounts = !upstream && OF_ACCOUNTS.iter().any(|service| method.full_name.starts_with(service));
    let limited = config.callers.limits.enabled;
    // 400: a bad header is one of every operation's, such as a timeout that is none.
    let mut failures = vec![Failure::Invalid];
    // An upstream may ask for credentials and roles by itself.
    if demanding || accounts || upstream {
        failures.extend([Failure::Unauthenticated, Failure::Forbidden]);
    }
    failures.extend([Failure::NotFound, Failure::NotAcceptable]);
    if body {
        failures.extend([Failure::RequestTimeout, Failure::TooLarge, Failure::UnsupportedMediaType]);
    }
    if accounts || upstream {
        failures.push(Failure::Conflict);
    }
    if limited || accounts || upstream {
        failures.push(Failure::TooMany);
    }
    failures.extend([Failure::HeadersTooLarge, Failure::Internal]);
    if upstream {
        failures.push(Failure::Unimplemented);
    }
    if demanding || accounts || upstream {
        failures.push(Failure::Unavailable);
    }
    failures.push(Failure::DeadlineExceeded);
    let mut names = headers::OF_ANSWERS.to_vec();
    if limited {
        names.extend(headers::OF_LIMITS);
    }
    let ok = headers::with(answer(walker, binding, listed.body.as_deref()), &names);
    let mut responses = ResponsesBuilder::new();
    for (status, response) in errors::responses_of(failures, &config.rest.profile) {
        responses = responses.response(status, response);
    }
    for (name, status, words) in OTHER_STATUSES {
        if *method.full_name == *name {
            let mut other = ok.clone();
            words.clone_into(&mut other.description);
            responses = responses.response(status, other);
        }
    }
    responses.response("200", ok).build()
}

/// The response that is no failure.
fn answer(walker: &mut Walker, binding: &Binding, body: Option<&HealthBody>) -> Response {
    let output = binding.method.descriptor.output();
    let response = ResponseBuilder::new();
    let field_message = binding.response_body.as_ref().and_then(message_of);
    let whole = field_message.clone().unwrap_or_else(|| output.clone());
    if whole.full_name() == HTTP_BODY && (binding.response_body.is_none() || field_message.is_some()) {
        return response.description("Bytes, under their own content type.").content(ANY, bytes()).build();
    }
    let value = match (&binding.response_body, body) {
        (None, Some(body)) => health_body::schema(walker, &output, body),
        (None, None) => walker.message(&output, Direction::Output),
        // One that is not there is answered as `null`.
        (Some(field), _) if field.supports_presence() => nullable(walker.value(field, Direction::Output)),
        (Some(field), _) => walker.value(field, Direction::Output),
    };
    let mut example = match (&binding.response_body, field_message) {
        (None, _) => walker.example(&output, Direction::Output),
        (Some(_), Some(message)) => walker.example(&message, Direction::Output),
        (Some(_), None) => None,
    };
    if let (None, Some(body)) = (&binding.response_body, body) {
        example = example.map(|example| body.shape(example));
    }
    if !binding.method.server_streaming {
        let content = ContentBuilder::new().schema(Some(schema(&value))).example(example).build();
        let words = walker.comments().of(&output.parent_file(), output.path());
        let words = if words.is_empty() { "The answer.".to_owned() } else { words };
        return response.description(words).content(JSON, content).build();
    }
    let error = format!("#/components/schemas/{}", errors::STREAM_ERROR);
    let element = json!({"anyOf": [value.clone(), {"$ref": error}]});
    let array = ContentBuilder::new()
        .schema(Some(schema(&json!({"type": "array", "items": element}))))
        .example(example.as_ref().map(|one| json!([one, errors::in_stream()])))
        .build();
    let error = errors::in_stream();
    let in_lines = example.as_ref().map(|one| format!("{one}\n{error}\n"));
    let in_events = example.map(|one| format!("id: 1\ndata: {one}\n\nevent: error\ndata: {error}\n\n"));
    let events = "Server-sent events: each message is the `data` of one, with its number as `id`. A failure is an event \
                  named `error`.";
    response
        .description(
            "A stream of messages in the form that `Accept` asks for: an array (which ends when the stream does), a \
             message a line, or events. If it fails behind its first message, a `StreamError` is the last element.",
        )
        .content(JSON, array)
        .content(LINES, lines(&element, "The messages, one a line.", in_lines))
        .content(EVENTS, lines(&element, events, in_events))
        .build()
}

/// Messages in a text; what each is stands beside, for OpenAPI 3.1 has no word for it.
fn lines(element: &Value, words: &str, example: Option<String>) -> Content {
    let value = json!({"type": "string", "description": words});
    let extensions = utoipa::openapi::extensions::Extensions::from_iter([("x-item-schema", element.clone())]);
    ContentBuilder::new()
        .schema(Some(schema(&value)))
        .example(example.map(Value::from))
        .extensions(Some(extensions))
        .build()
}

fn bytes() -> Content {
    // OpenAPI 3.1: a body that is no JSON has no schema of its own.
    ContentBuilder::new().schema(Some(schema(&json!({"type": "string", "format": "binary"})))).build()
}

/// The message of a field that holds one.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && !field.is_map() => Some(message),
        _ => None,
    }
}
