//! `[[routes]]` checked: a service or a path, what answers it, and its rules; and the texts with places of those that
//! answer by themselves.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::{HeaderName, StatusCode};

use super::{
    Action, ConfigError, PathRoute, Rules, ServiceRoute, callers,
    check::{cors, duration, pattern},
    settings,
};
use crate::{
    route::{Piece, Place, Redirect, Respond, Text},
    schema::{Template, Verb, did_you_mean},
};

/// A route that was checked.
pub(super) enum Checked {
    Service(ServiceRoute),
    Path(PathRoute),
}

pub(super) fn check(
    number: usize,
    written: settings::Route,
    upstreams: &HashSet<&str>,
) -> Result<Checked, ConfigError> {
    let key = format!("routes[{number}]");
    let rules = Rules {
        timeout: written
            .timeout
            .map(|text| duration(&format!("{key}.timeout"), Some(text), Duration::ZERO))
            .transpose()?,
        request_bytes: written.request_bytes,
        response_bytes: written.response_bytes,
        access: written
            .access
            .map(|written| callers::rule(&format!("{key}.access"), written))
            .transpose()?
            .map(Arc::new),
        cors: written.cors.map(|written| cors(&format!("{key}.cors"), written)).transpose()?.map(Arc::new),
    };
    match (written.service, written.path) {
        (Some(service), None) => {
            if written.respond.is_some() || written.redirect.is_some() || written.methods.is_some() {
                let message =
                    "methods, respond and redirect are for a route with `path`; this one has `service`";
                return Err(ConfigError(format!("{key}: {message}")));
            }
            if let Some(upstream) = written.upstream.as_deref().filter(|name| !upstreams.contains(name)) {
                return Err(ConfigError(format!(
                    "routes: service {service:?} goes to upstream {upstream:?}, which is not among the upstreams{}",
                    did_you_mean(upstream, upstreams.iter().copied()),
                )));
            }
            let pattern = match service.split_once('/') {
                None => pattern(service)?,
                Some((name, method)) => format!("{}/{method}", pattern(name.to_owned())?),
            };
            let upstream = written.upstream.map(Into::into);
            Ok(Checked::Service(ServiceRoute { entry: number, pattern, upstream, rules }))
        }
        (None, Some(path)) => {
            let wrong = |why: String| ConfigError(format!("{key}.path: {why}"));
            let template = Template::parse(&path).map_err(|problem| wrong(problem.to_string()))?;
            let action = match (written.respond, written.redirect) {
                (Some(written), None) => Action::Respond(Arc::new(respond(&key, written, &template)?)),
                (None, Some(written)) => Action::Redirect(Arc::new(redirect(&key, &written, &template)?)),
                _ => return Err(wrong("a route with `path` has either `respond` or `redirect`".to_owned())),
            };
            let verbs = match written.methods {
                None => vec![Verb::Get],
                Some(names) => names.iter().map(|name| Verb::parse(&name.to_ascii_uppercase())).collect(),
            };
            let name = written.name.unwrap_or(path).into();
            Ok(Checked::Path(PathRoute { entry: number, name, verbs, template, action, rules }))
        }
        (Some(_), Some(_)) => {
            Err(ConfigError(format!("{key}: it has both `service` and `path`; one is needed")))
        }
        (None, None) => {
            Err(ConfigError(format!("{key}: it has neither `service` nor `path`; one is needed")))
        }
    }
}

fn respond(key: &str, written: settings::Respond, template: &Template) -> Result<Respond, ConfigError> {
    let wrong = |name: &str, why: String| ConfigError(format!("{key}.respond.{name}: {why}"));
    let status = written.status.unwrap_or(200);
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| wrong("status", format!("{status} is not the status of a response (200 to 599)")))?;
    let mut headers = Vec::with_capacity(written.headers.len());
    for (name, value) in written.headers {
        let text = text(&value, Some(template)).map_err(|why| wrong(&format!("headers.{name}"), why))?;
        let name = HeaderName::try_from(&name)
            .map_err(|_| wrong("headers", format!("{name:?} is no header's name")))?;
        headers.push((name, text));
    }
    let (json, body) = match &written.body {
        None => (false, String::new()),
        Some(serde_json::Value::String(body)) => (false, body.clone()),
        Some(value) => (true, value.to_string()),
    };
    let content_type = written.content_type.unwrap_or_else(|| {
        if json { "application/json".to_owned() } else { "text/plain; charset=utf-8".to_owned() }
    });
    let json = json || content_type.starts_with("application/json");
    let body = text(&body, Some(template)).map_err(|why| wrong("body", why))?;
    Ok(Respond { status, headers, content_type: content_type.into(), body, json })
}

fn redirect(key: &str, written: &settings::Redirect, template: &Template) -> Result<Redirect, ConfigError> {
    let wrong = |name: &str, why: String| ConfigError(format!("{key}.redirect.{name}: {why}"));
    let status = written.status.unwrap_or(308);
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308))
        .ok_or_else(|| {
            wrong("status", format!("{status} is not a redirect; 301, 302, 303, 307 and 308 are"))
        })?;
    if written.to.is_empty() {
        return Err(wrong("to", "it is empty; it is a path or an absolute address".to_owned()));
    }
    let to = text(&written.to, Some(template)).map_err(|why| wrong("to", why))?;
    Ok(Redirect { status, to, keep_query: written.keep_query.unwrap_or(true) })
}

/// The places that need no name of their own.
const PLACES: [(&str, Place); 7] = [
    ("request.method", Place::Method),
    ("request.path", Place::Path),
    ("request.id", Place::RequestId),
    ("request.host", Place::Host),
    ("client.address", Place::ClientAddress),
    ("gateway.version", Place::Version),
    ("time.now", Place::Now),
];

/// Reads a text with places. `template` has the names of `${path.…}`; a text without one is a failure's message, which has
/// `${message}`.
pub(super) fn text(written: &str, template: Option<&Template>) -> Result<Text, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = written;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            literal.push_str(before);
            literal.push_str("${");
            rest = after.get(2..).unwrap_or_default();
            continue;
        }
        literal.push_str(before);
        let inside = after.get(2..).unwrap_or_default();
        let (name, behind) =
            inside.split_once('}').ok_or_else(|| format!("the place {after:?} has no end: ${{name}}"))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
        }
        pieces.push(Piece::Place(place(name, template)?));
        rest = behind;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Ok(Text(pieces))
}

fn place(name: &str, template: Option<&Template>) -> Result<Place, String> {
    if let Some((_, place)) = PLACES.iter().find(|(known, _)| *known == name) {
        return Ok(place.clone());
    }
    let variables =
        || template.into_iter().flat_map(Template::variables).map(|variable| &*variable.field_path);
    match name.split_once('.') {
        Some(("path", variable)) if variables().any(|known| known == variable) => {
            return Ok(Place::Captured(variable.into()));
        }
        Some(("query", parameter)) if !parameter.is_empty() => return Ok(Place::Query(parameter.into())),
        Some(("header", header)) => {
            if let Ok(header) = HeaderName::try_from(header) {
                return Ok(Place::Header(header));
            }
        }
        None if name == "message" && template.is_none() => return Ok(Place::Message),
        _ => {}
    }
    let mut known: Vec<String> = PLACES.iter().map(|(known, _)| (*known).to_owned()).collect();
    known.extend(variables().map(|variable| format!("path.{variable}")));
    if template.is_none() {
        known.push("message".to_owned());
    }
    let near = did_you_mean(name, known.iter().map(String::as_str));
    Err(format!(
        "there is nothing to put in the place of ${{{name}}}{near}; known are {}, query.NAME and header.NAME",
        known.join(", ")
    ))
}
