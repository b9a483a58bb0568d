//! `[[routes]]` checked: a service or a path, what answers it, and its rules; and the texts with places of those that
//! answer by themselves.

use std::sync::Arc;

use http::{HeaderName, StatusCode};

use super::{Check, values::service_pattern};
use crate::{
    config::{
        Action, PathRoute, Rules, ServiceRoute,
        document::path::child,
        mistake::{Mistake, ROUTE_HOW},
        settings,
    },
    route::{Piece, Place, Redirect, Respond, Text},
    schema::{Template, Verb, nearest},
};

impl Check<'_> {
    /// `upstreams`: the names of all, if all have one. Routes of which it is not known what they are about are left out.
    pub(super) fn routes(
        &mut self,
        written: Vec<settings::Route>,
        upstreams: Option<&[String]>,
    ) -> (Vec<ServiceRoute>, Vec<PathRoute>) {
        let (mut services, mut paths) = (Vec::new(), Vec::new());
        for (index, route) in written.into_iter().enumerate() {
            let key = format!("routes[{index}]");
            match (route.service.is_some(), route.path.is_some()) {
                (true, false) => services.extend(self.service(index, route, upstreams)),
                (false, true) => {
                    let path = self.path(index, route);
                    paths.extend(path.filter(|_| !self.found.leaves_open(&key, &ROUTE_HOW)));
                }
                (true, true) => {
                    self.found.add(key, "it has both `service` and `path`; one is needed");
                }
                (false, false) if self.found.below(&key) => {}
                (false, false) => self.found.add(key, "it has neither `service` nor `path`; one is needed"),
            }
        }
        (services, paths)
    }

    fn rules(&mut self, key: &str, written: &mut settings::Route) -> Rules {
        Rules {
            timeout: self.some_time(&format!("{key}.timeout"), written.timeout.take()),
            request_bytes: written.request_bytes,
            response_bytes: written.response_bytes,
            access: written
                .access
                .take()
                .map(|written| Arc::new(self.rule(&format!("{key}.access"), written))),
            cors: written.cors.take().map(|written| Arc::new(self.cors(&format!("{key}.cors"), written))),
        }
    }

    fn service(
        &mut self,
        entry: usize,
        mut written: settings::Route,
        upstreams: Option<&[String]>,
    ) -> Option<ServiceRoute> {
        let key = &format!("routes[{entry}]");
        let rules = self.rules(key, &mut written);
        let others = [
            ("methods", written.methods.is_some()),
            ("respond", written.respond.is_some()),
            ("redirect", written.redirect.is_some()),
        ];
        for (name, _) in others.iter().filter(|(_, there)| *there) {
            let message = format!("{name} is for a route with `path`; this one has `service`");
            self.found.push(Mistake::new(format!("{key}.{name}"), message).of_key());
        }
        if let (Some(name), Some(names)) = (written.upstream.as_deref(), upstreams)
            && !names.iter().any(|known| known == name)
        {
            let message = format!("{name:?} is not among the upstreams");
            let mistake = Mistake::new(format!("{key}.upstream"), message);
            self.found.push(mistake.near(name, names.iter().map(String::as_str)));
        }
        let service = written.service?;
        let pattern = match service.split_once('/') {
            None => service_pattern(service),
            Some((name, method)) => service_pattern(name.to_owned()).map(|name| format!("{name}/{method}")),
        };
        let pattern = self.found.take(format!("{key}.service"), pattern)?;
        Some(ServiceRoute { entry, pattern, upstream: written.upstream.map(Into::into), rules })
    }

    fn path(&mut self, entry: usize, mut written: settings::Route) -> Option<PathRoute> {
        let key = &format!("routes[{entry}]");
        let rules = self.rules(key, &mut written);
        if written.upstream.is_some() {
            let message =
                "upstream is for a route with `service`; this one has `path`, and answers by itself";
            self.found.push(Mistake::new(format!("{key}.upstream"), message).of_key());
        }
        if written.response_bytes.is_some() {
            let message =
                "it does nothing: a route with `path` answers by itself, and transcodes no response";
            self.found.push(Mistake::new(format!("{key}.response_bytes"), message).of_key());
        }
        let path = written.path?;
        let template = Template::parse(&path).map_err(|problem| problem.to_string());
        let template = self.found.take(format!("{key}.path"), template);
        let mut verbs = vec![Verb::Get];
        if let Some(names) = &written.methods {
            if names.is_empty() {
                self.found.add(format!("{key}.methods"), "it is empty; \"*\" stands for any method");
            }
            for (index, name) in names.iter().enumerate() {
                if name != "*" && http::Method::from_bytes(name.as_bytes()).is_err() {
                    let message = format!("{name:?} is not an HTTP method");
                    self.found.add(format!("{key}.methods[{index}]"), message);
                }
            }
            verbs = names.iter().map(|name| Verb::parse(&name.to_ascii_uppercase())).collect();
        }
        let action = match (written.respond, written.redirect) {
            (Some(written), None) => {
                let respond = self.respond(&format!("{key}.respond"), written, template.as_ref());
                respond.map(|respond| Action::Respond(Arc::new(respond)))
            }
            (None, Some(written)) => {
                let redirect = self.redirect(&format!("{key}.redirect"), &written, template.as_ref());
                redirect.map(|redirect| Action::Redirect(Arc::new(redirect)))
            }
            (None, None) if self.found.below(key) => None,
            _ => {
                self.found.add(key, "a route with `path` has either `respond` or `redirect`");
                None
            }
        };
        let name = written.name.unwrap_or(path).into();
        // What is wrong with the answer leaves the path as it is: whether another has it too, can be said.
        let action = action.unwrap_or_else(|| Action::Respond(Arc::new(nothing())));
        Some(PathRoute { entry, name, verbs, template: template?, action, rules })
    }

    fn respond(
        &mut self,
        key: &str,
        written: settings::Respond,
        template: Option<&Template>,
    ) -> Option<Respond> {
        let status = written.status.unwrap_or(200);
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| !status.is_informational() && status.as_u16() < 600)
            .ok_or_else(|| format!("{status} is not the status of a response (200 to 599)"));
        let status = self.found.take(format!("{key}.status"), status);
        let mut headers = Vec::with_capacity(written.headers.len());
        let mut content_type = written.content_type;
        for (name, value) in written.headers {
            let path = child(&format!("{key}.headers"), &name);
            let Ok(header) = HeaderName::try_from(&name) else {
                self.found.push(Mistake::new(path, format!("{name:?} is no header's name")).of_key());
                continue;
            };
            if header == http::header::CONTENT_TYPE {
                if content_type.is_some() {
                    let message = "content_type says it already; one of the two is enough";
                    self.found.push(Mistake::new(path, message).of_key());
                } else if value.contains("${") {
                    self.found.add(path, "a body's type has no places: it is the same for every request");
                } else {
                    content_type = Some(value);
                }
                continue;
            }
            if CONNECTION.contains(&header.as_str()) {
                let message =
                    format!("{name:?} is the connection's own: the gateway writes it where it belongs");
                self.found.push(Mistake::new(path, message).of_key());
                continue;
            }
            let text = self.places(&path, &value, template);
            headers.extend(text.map(|text| (header, text)));
        }
        let (json, body) = match &written.body {
            None => (false, String::new()),
            Some(serde_json::Value::String(body)) => (false, body.clone()),
            Some(value) => (true, value.to_string()),
        };
        let content_type = content_type.unwrap_or_else(|| {
            if json { "application/json".to_owned() } else { "text/plain; charset=utf-8".to_owned() }
        });
        if http::HeaderValue::try_from(&content_type).is_err() {
            self.found.add(format!("{key}.content_type"), format!("{content_type:?} is no header's value"));
        }
        let json = json || content_type.starts_with("application/json");
        let body = self.places(&format!("{key}.body"), &body, template);
        Some(Respond { status: status?, headers, content_type: content_type.into(), body: body?, json })
    }

    fn redirect(
        &mut self,
        key: &str,
        written: &settings::Redirect,
        template: Option<&Template>,
    ) -> Option<Redirect> {
        let status = written.status.unwrap_or(308);
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308))
            .ok_or_else(|| format!("{status} is not a redirect; 301, 302, 303, 307 and 308 are"));
        let status = self.found.take(format!("{key}.status"), status);
        let path = format!("{key}.to");
        let to = self.places(&path, &written.to, template);
        if written.keep_query.is_some() && written.to.contains('?') {
            let message =
                "it does nothing: `to` has a query of its own, and the request's is never added to it";
            self.found.push(Mistake::new(format!("{key}.keep_query"), message).of_key());
        }
        let to = to.and_then(|to| self.found.take(path, leads(&to).map(|()| to)));
        Some(Redirect { status: status?, to: to?, keep_query: written.keep_query.unwrap_or(true) })
    }

    /// Without a template, which is wrong then, nothing is said of the places of its variables.
    fn places(&mut self, path: &str, written: &str, template: Option<&Template>) -> Option<Text> {
        let of = template.map_or(Places::Unknown, Places::Route);
        self.text_with_places(path, written, of)
    }

    /// A text whose places are all known, or a mistake for each that is not.
    pub(super) fn text_with_places(&mut self, path: &str, written: &str, of: Places<'_>) -> Option<Text> {
        let mistakes = match text(written, of) {
            Ok(text) => return Some(text),
            Err(mistakes) => mistakes,
        };
        for mistake in mistakes {
            self.found.push(Mistake { path: path.to_owned(), ..mistake });
        }
        None
    }
}

/// Refuses a redirect whose callers could choose the host: what they send would follow right behind it.
fn leads(to: &Text) -> Result<(), String> {
    let mut before = String::new();
    for piece in &to.0 {
        match piece {
            Piece::Literal(text) => before.push_str(text),
            Piece::Place(Place::Host | Place::Version) => before.push('x'),
            // It begins with a slash of its own.
            Piece::Place(Place::Path) => before.push('/'),
            Piece::Place(_) => {
                let host = before.split_once("//").map(|(_, behind)| behind);
                if host.is_some_and(|host| !host.contains(['/', '?', '#'])) {
                    return Err(format!(
                        "what fills the place behind {before:?} would be a part of the host's name; a / belongs between them"
                    ));
                }
                before.push('x');
            }
        }
    }
    Ok(())
}

/// What stands for an answer that is wrong.
fn nothing() -> Respond {
    Respond {
        status: StatusCode::NO_CONTENT,
        headers: Vec::new(),
        content_type: Arc::default(),
        body: Text(Vec::new()),
        json: false,
    }
}

/// Headers that say how a message goes over its connection, not what it is.
const CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

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

/// What a text is of, whose places are read.
#[derive(Clone, Copy)]
pub(super) enum Places<'a> {
    /// A route's: its template has the names of `${path.…}`.
    Route(&'a Template),
    /// A route's whose template is wrong.
    Unknown,
    /// A failure's message, which has `${message}`.
    Failure,
}

/// Reads a text with places, or says each that is wrong; the mistakes have no path yet.
fn text(written: &str, of: Places<'_>) -> Result<Text, Vec<Mistake>> {
    let mut pieces = Vec::new();
    let mut mistakes: Vec<Mistake> = Vec::new();
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
        let Some((name, behind)) = inside.split_once('}') else {
            let message = format!("the place {after:?} has no end: ${{name}}");
            mistakes.push(Mistake::new("", message).within(after));
            return Err(mistakes);
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
        }
        match place(name, of) {
            Ok(place) => pieces.push(Piece::Place(place)),
            // The same one is the same mistake.
            Err(mistake) if mistakes.contains(&mistake) => {}
            Err(mistake) => mistakes.push(mistake),
        }
        rest = behind;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    if mistakes.is_empty() { Ok(Text(pieces)) } else { Err(mistakes) }
}

fn place(name: &str, of: Places<'_>) -> Result<Place, Mistake> {
    if let Some((_, place)) = PLACES.iter().find(|(known, _)| *known == name) {
        return Ok(place.clone());
    }
    let template = match of {
        Places::Route(template) => Some(template),
        Places::Unknown | Places::Failure => None,
    };
    let variables =
        || template.into_iter().flat_map(Template::variables).map(|variable| &*variable.field_path);
    match name.split_once('.') {
        Some(("path", variable))
            if matches!(of, Places::Unknown) || variables().any(|known| known == variable) =>
        {
            return Ok(Place::Captured(variable.into()));
        }
        Some(("query", parameter)) if !parameter.is_empty() => return Ok(Place::Query(parameter.into())),
        Some(("header", header)) => {
            if let Ok(header) = HeaderName::try_from(header) {
                return Ok(Place::Header(header));
            }
        }
        None if name == "message" && matches!(of, Places::Failure) => return Ok(Place::Message),
        _ => {}
    }
    let mut known: Vec<String> = PLACES.iter().map(|(known, _)| (*known).to_owned()).collect();
    known.extend(variables().map(|variable| format!("path.{variable}")));
    if matches!(of, Places::Failure) {
        known.push("message".to_owned());
    }
    let whole = format!("${{{name}}}");
    let message = format!("there is nothing to put in the place of {whole}");
    let near = nearest(name, known.iter().map(String::as_str));
    let mistake = match near {
        Some(_) => Mistake::new("", message).meaning(near),
        None => {
            let known = known.join(", ");
            Mistake::new("", format!("{message}; known are {known}, query.NAME and header.NAME"))
        }
    };
    Err(mistake.within(whole))
}
