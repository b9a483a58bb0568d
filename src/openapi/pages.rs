//! What has a path and is no method: the gateway's own pages, and the config's routes that answer by themselves.

use std::collections::HashSet;

use serde_json::{Value, json};
use utoipa::openapi::{
    Content, Required, Response, ResponseBuilder,
    header::HeaderBuilder,
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    response::ResponsesBuilder,
};

use super::{
    Answers, Writer,
    errors::{self, Failure},
    headers, http_method, omission,
    schema::schema,
    security::Demand,
    tags::{PAGES, ROUTES},
};
use crate::{
    config::{Action, Config, Own, Page, PathRoute},
    route::{HeaderMatch, Piece, Place, Text},
    schema::Verb,
};

pub(super) fn add(writer: &mut Writer<'_>, answers: &Answers<'_>) {
    let config = writer.config;
    let mut ids: HashSet<String> = HashSet::new();
    // What OAuth's clients know by its metadata is no part of the API.
    let pages = config.built_ins.pages().into_iter().filter(|(_, page)| page.own() != Own::Oauth);
    for (path, page) in pages {
        let (summary, responses) = page_responses(page, config);
        let mut all = ResponsesBuilder::new();
        let terms = answers.get(path.as_str());
        let demand = terms.map(|terms| Demand::of(&terms.access, config)).unwrap_or_default();
        let mut failures = vec![Failure::HeadersTooLarge];
        if demand.any() {
            failures.extend([Failure::Unauthenticated, Failure::Forbidden]);
        }
        if config.callers.limits.enabled && terms.is_none_or(|terms| !terms.uncounted) {
            failures.push(Failure::TooMany);
        }
        for (status, response) in errors::responses_of(failures, &config.rest.profile) {
            all = all.response(status, response);
        }
        for (status, response) in responses {
            let mut names = headers::OF_ANSWERS.to_vec();
            names.extend((page == Page::Openapi).then_some("ETag"));
            all = all.response(status, headers::with(response, &names));
        }
        let operation = OperationBuilder::new()
            .tag(PAGES)
            .operation_id(Some(unique(page.name(), &mut ids)))
            .summary(Some(summary))
            .description(Some(demand.words).filter(|words| !words.is_empty()))
            .responses(all.build())
            .securities(Some(demand.requirements))
            .extensions(demand.extensions)
            .build();
        writer.tags.put(PAGES, true, || "What the gateway answers by itself.".to_owned());
        writer.put(&path, utoipa::openapi::HttpMethod::Get, operation, &headers::OF_PAGES);
    }
    // What is for all requests of a path is its operation; what is for some of them comes where there is no such.
    let (all, some): (Vec<_>, Vec<_>) = config.paths.iter().partition(|route| route.when.is_empty());
    for route in all.into_iter().chain(some) {
        self::route(writer, route, &mut ids, answers);
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
        Page::Metrics => (
            "The gateway's numbers, as Prometheus reads them",
            vec![("200", of("The numbers.", "text/plain", text()))],
        ),
        Page::Openapi => (
            "This document",
            vec![
                ("200", of("The document.", "application/json", json!({"type": "object"}))),
                ("304", Response::new("It is still the one that `If-None-Match` names.")),
            ],
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
        Page::ResourceMetadata
        | Page::ServerMetadata
        | Page::Authorize
        | Page::Token
        | Page::Register
        | Page::Revoke => {
            ("OAuth", vec![("200", of("As its specifications have it.", "application/json", json!({})))])
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

fn route(writer: &mut Writer<'_>, route: &PathRoute, ids: &mut HashSet<String>, answers: &Answers<'_>) {
    if let Action::Proxy(proxies) = &route.action {
        let names: Vec<&str> = proxies.iter().map(|(_, proxy)| &*proxy.upstream).collect();
        let reason = format!("what it is, is upstream {}'s own to say", names.join(" or "));
        for verb in &route.verbs {
            writer.omitted.push(omission(verb, &route.template, &route.name, Some(&reason)));
        }
        return;
    }
    let variables = route.template.variables();
    let path = writer.paths.path(&route.template, |index| {
        let name = variables.get(index).map(|variable| variable.field_path.to_string()).unwrap_or_default();
        name.split('.').map(str::to_owned).collect()
    });
    let demand =
        answers.get(&*route.name).map(|terms| Demand::of(&terms.access, writer.config)).unwrap_or_default();
    let mut failures =
        vec![Failure::Invalid, Failure::RequestTimeout, Failure::TooLarge, Failure::HeadersTooLarge];
    if demand.any() {
        failures.extend([Failure::Unauthenticated, Failure::Forbidden]);
    }
    if writer.config.callers.limits.enabled {
        failures.push(Failure::TooMany);
    }
    let in_path = path.parameters.iter().map(|parameter| {
        let value = json!({"type": "string", "minLength": 1});
        let parameter = ParameterBuilder::new().name(&parameter.name).parameter_in(ParameterIn::Path);
        parameter.required(Required::True).schema(Some(schema(&value))).build()
    });
    let mut parameters: Vec<Parameter> = in_path.collect();
    parameters.extend(route.when.headers.iter().map(wanted));
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
        Action::Proxy(_) => return,
    };
    // A name said twice is one parameter.
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    parameters.dedup_by(|a, b| a.name == b.name && a.parameter_in == b.parameter_in);
    let when = route.when.words();
    let when = (!when.is_empty()).then(|| format!("For requests with {}.", when.join(", ")));
    let words = [when.as_deref(), Some(demand.words.as_str()).filter(|words| !words.is_empty())];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    for verb in &route.verbs {
        let Some(method) = http_method(verb) else {
            writer.omitted.push(omission(verb, &route.template, &route.name, None));
            continue;
        };
        if !route.when.is_empty() && writer.items.get_path_operation(&path.text, method.clone()).is_some() {
            let reason = "it is for some of the requests of an operation that is told";
            writer.omitted.push(omission(verb, &route.template, &route.name, Some(reason)));
            continue;
        }
        let id = unique(&operation_id(route, verb), ids);
        let mut responses = ResponsesBuilder::new();
        for (status, failure) in errors::responses_of(failures.iter().copied(), &writer.config.rest.profile) {
            responses = responses.response(status, failure);
        }
        let responses = responses.response(&status, headers::with(response.clone(), &headers::OF_ANSWERS));
        let operation = OperationBuilder::new()
            .tag(ROUTES)
            .operation_id(Some(id))
            .summary(Some(format!("{summary} ({})", route.name)))
            .description(Some(words.clone()).filter(|words| !words.is_empty()))
            .parameters(Some(parameters.clone()).filter(|list| !list.is_empty()))
            .responses(responses.build())
            .securities(Some(demand.requirements.clone()))
            .extensions(demand.extensions.clone())
            .build();
        writer
            .tags
            .put(ROUTES, false, || "Routes of this deployment that no service stands behind.".to_owned());
        writer.put(&path.text, method, operation, &headers::OF_METHODS);
    }
}

/// A header without which a request is another route's.
fn wanted(wanted: &HeaderMatch) -> Parameter {
    let value = match wanted.value.as_ref().and_then(|value| value.to_str().ok()) {
        Some(value) => json!({"type": "string", "enum": [value]}),
        None => json!({"type": "string"}),
    };
    let parameter = ParameterBuilder::new().name(wanted.name.as_str()).parameter_in(ParameterIn::Header);
    parameter.required(Required::True).schema(Some(schema(&value))).build()
}

/// The operation's name: the route's, where it has one of its own, else its method and path. Each of several methods has its
/// own.
fn operation_id(route: &PathRoute, verb: &Verb) -> String {
    let named = *route.name != *route.template.as_str();
    let words = route.name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut words: Vec<&str> = words.collect();
    let verb = verb.as_str().to_lowercase();
    if !named {
        words.insert(0, &verb);
    } else if route.verbs.len() > 1 || words.is_empty() {
        words.push(&verb);
    }
    words.join("-")
}

/// The same with a number, where another operation has it already.
fn unique(id: &str, ids: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{id}-{number}"));
    let free =
        std::iter::once(id.to_owned()).chain(numbered).find(|id| !ids.contains(id)).unwrap_or_default();
    ids.insert(free.clone());
    free
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
