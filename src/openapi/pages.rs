//! What has a path and is no method: the gateway's own pages, and the config's routes that answer by themselves.

use serde_json::{Value, json};
use utoipa::openapi::{
    Content, Required, Response, ResponseBuilder,
    header::HeaderBuilder,
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    response::ResponsesBuilder,
    tag::TagBuilder,
};

use super::{Writer, errors, http_method, omission, schema::schema};
use crate::{
    config::{Action, Config, Page, PathRoute},
    route::{Piece, Place, Text},
};

/// The tag of the gateway's pages.
const PAGES: &str = "Pages";
/// The tag of routes that answer by themselves.
const ROUTES: &str = "Routes";

pub(super) fn add(writer: &mut Writer, config: &Config) {
    for (path, page) in config.built_ins.pages() {
        let (summary, responses) = page_responses(page, config);
        let mut all = ResponsesBuilder::new();
        for (status, response) in responses {
            all = all.response(status, response);
        }
        all = all.response("default", errors::response("default").unwrap_or_default());
        let operation = OperationBuilder::new()
            .tag(PAGES)
            .operation_id(Some(page.name()))
            .summary(Some(summary))
            .responses(all.build())
            .build();
        tag(writer, PAGES, "What the gateway answers by itself.");
        writer.put(&path, utoipa::openapi::HttpMethod::Get, operation);
    }
    for (at, route) in config.paths.iter().enumerate() {
        self::route(writer, route, at);
    }
}

fn page_responses(page: Page, config: &Config) -> (&'static str, Vec<(&'static str, Response)>) {
    let of = |words: &str, content_type: &str, value: Value| {
        ResponseBuilder::new()
            .description(words)
            .content(content_type, Content::new(Some(schema(&value))))
            .build()
    };
    let text = || json!({"type": "string"});
    match page {
        Page::Livez => ("The process runs", vec![("200", of("It does.", "text/plain", text()))]),
        Page::Readyz => (
            "The gateway takes calls",
            vec![
                ("200", of("It does.", "text/plain", text())),
                (
                    "503",
                    of("It drains, or has not what it needs: send traffic elsewhere.", "text/plain", text()),
                ),
            ],
        ),
        Page::Openapi => (
            "This document",
            vec![("200", of("The document.", "application/json", json!({"type": "object"})))],
        ),
        Page::Docs => {
            ("The API to try out, in Swagger UI", vec![("200", of("A page.", "text/html", text()))])
        }
        Page::Redoc => ("The API to read, in ReDoc", vec![("200", of("A page.", "text/html", text()))]),
        Page::Jwks => {
            let set = json!({
                "type": "object",
                "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
                "required": ["keys"],
            });
            let answer = of("A JSON Web Key Set (RFC 7517).", "application/jwk-set+json", set);
            ("The public keys of the tokens that are issued here", vec![("200", answer)])
        }
        Page::Index => {
            let body = match &config.rest.index {
                Some(_) => json!({"type": "object"}),
                None => json!({
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"}, "version": {"type": "string"}, "description": {"type": "string"},
                        "services": {"type": "array", "items": {"type": "object"}},
                        "endpoints": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                    "required": ["name", "version", "services", "endpoints"],
                }),
            };
            let response = ResponseBuilder::new()
                .description("What is served here; for browsers, as a page.")
                .content("application/json", Content::new(Some(schema(&body))))
                .content("text/html", Content::new(Some(schema(&text()))))
                .build();
            ("What this is", vec![("200", response)])
        }
    }
}

fn route(writer: &mut Writer, route: &PathRoute, at: usize) {
    let variables = route.template.variables();
    let path = writer.paths.path(&route.template, |index| {
        variables.get(index).map(|variable| variable.field_path.to_string()).unwrap_or_default()
    });
    let in_path = path.parameters.iter().map(|parameter| {
        let value = json!({"type": "string", "minLength": 1});
        let parameter = ParameterBuilder::new().name(&parameter.name).parameter_in(ParameterIn::Path);
        parameter.required(Required::True).schema(Some(schema(&value))).build()
    });
    let mut parameters: Vec<Parameter> = in_path.collect();
    let (status, response, summary) = match &route.action {
        Action::Respond(respond) => {
            let texts = respond.headers.iter().map(|(_, text)| text).chain([&respond.body]);
            parameters.extend(texts.flat_map(asked));
            let content_type = respond.content_type.split(';').next().unwrap_or_default().trim();
            let value = if respond.json { json!({}) } else { json!({"type": "string"}) };
            let response = ResponseBuilder::new()
                .description("A fixed answer.")
                .content(content_type, Content::new(Some(schema(&value))));
            (respond.status.as_u16().to_string(), response.build(), "Answers by itself")
        }
        Action::Redirect(redirect) => {
            parameters.extend(asked(&redirect.to));
            let location = HeaderBuilder::new().description(Some("Where to go.")).build();
            let response = ResponseBuilder::new().description("Go there.").header("Location", location);
            (redirect.status.as_u16().to_string(), response.build(), "Redirects")
        }
    };
    // A name said twice is one parameter.
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    parameters.dedup_by(|a, b| a.name == b.name && a.parameter_in == b.parameter_in);
    let mut written = false;
    for verb in &route.verbs {
        let Some(method) = http_method(verb) else {
            writer.omitted.push(omission(verb, &route.template, &route.name));
            continue;
        };
        let id = if written {
            format!("route-{at}-{}", verb.as_str().to_lowercase())
        } else {
            format!("route-{at}")
        };
        written = true;
        let responses = ResponsesBuilder::new()
            .response(&status, response.clone())
            .response("default", errors::response("default").unwrap_or_default());
        let operation = OperationBuilder::new()
            .tag(ROUTES)
            .operation_id(Some(id))
            .summary(Some(format!("{summary} ({})", route.name)))
            .parameters(Some(parameters.clone()).filter(|list| !list.is_empty()))
            .responses(responses.build())
            .build();
        tag(writer, ROUTES, "Routes of this deployment that no service stands behind.");
        writer.put(&path.text, method, operation);
    }
}

/// What a text asks of the request's query and headers.
fn asked(text: &Text) -> Vec<Parameter> {
    let of = |name: &str, parameter_in: ParameterIn| {
        let value = schema(&json!({"type": "string"}));
        let parameter = ParameterBuilder::new().name(name).parameter_in(parameter_in);
        parameter.required(Required::False).schema(Some(value)).build()
    };
    let asked = text.0.iter().filter_map(|piece| match piece {
        Piece::Place(Place::Query(name)) => Some(of(name, ParameterIn::Query)),
        Piece::Place(Place::Header(name)) => Some(of(name.as_str(), ParameterIn::Header)),
        Piece::Place(_) | Piece::Literal(_) => None,
    });
    asked.collect()
}

fn tag(writer: &mut Writer, name: &str, words: &str) {
    if !writer.tags.iter().any(|tag| tag.name == name) {
        writer.tags.push(TagBuilder::new().name(name).description(Some(words)).build());
    }
}
