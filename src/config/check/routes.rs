//! `[[routes]]` checked: a service or a path, what answers it, and its rules; and the texts with places of those that
//! answer by themselves.

use std::sync::Arc;

use http::{HeaderName, StatusCode};

use super::{Check, values::service_pattern};
use crate::{
    config::{
        Action, PathRoute, Rules, ServiceRoute,
        mistake::{Mistake, ROUTE_HOW},
        settings,
    },
    route::{Piece, Place, Respond, Text},
    schema::{Template, Verb, nearest},
};

impl Check<'_> {
    /// `upstreams`: the names of all, if all have one. Routes of which it is not known what they are about are left out.
    pub(super) fn routes(
        &mut self,
        written: Vec<settings::Route>,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> (Vec<ServiceRoute>, Vec<PathRoute>) {
        let (mut services, mut paths) = (Vec::new(), Vec::new());
        for (index, route) in written.into_iter().enumerate() {
            let key = format!("routes[{index}]");
            match (route.service.is_some(), route.path.is_some()) {
                (true, false) => services.extend(self.service(index, route, upstreams, of_http)),
                (false, true) => {
                    let path = self.path(index, route, upstreams, of_http);
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

    /// One of a route's methods. There are methods beyond those of HTTP itself, so that one of these was meant is but likely.
    fn verb(&mut self, path: &str, name: &str, all: &[String]) {
        let upper = name.to_ascii_uppercase();
        if name == "*" {
            if all.len() > 1 {
                let message = "\"*\" stands for any method: the others beside it do nothing";
                self.found.push(Mistake::new(path, message).warning());
            }
        } else if http::Method::from_bytes(name.as_bytes()).is_err() {
            self.found.add(path, format!("{name:?} is not an HTTP method"));
        } else if !VERBS.contains(&upper.as_str())
            && let Some(near) = nearest(&upper, VERBS)
        {
            let mistake = Mistake::new(path, format!("{name:?} is no method of HTTP's own"));
            self.found.push(mistake.meaning(Some(near)).warning());
        }
    }

    fn service(
        &mut self,
        entry: usize,
        mut written: settings::Route,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> Option<ServiceRoute> {
        let key = &format!("routes[{entry}]");
        let rules = self.rules(key, &mut written);
        let others = [
            ("methods", written.methods.is_some()),
            ("respond", written.respond.is_some()),
            ("redirect", written.redirect.is_some()),
            ("strip_segments", written.strip_segments.is_some()),
            ("add_prefix", written.add_prefix.is_some()),
            ("keep_host", written.keep_host.is_some()),
        ];
        for (name, _) in others.iter().filter(|(_, there)| *there) {
            let message = format!("{name} is for a route with `path`; this one has `service`");
            self.found.push(Mistake::new(format!("{key}.{name}"), message).of_key());
        }
        if let Some(name) = written.upstream.as_deref() {
            self.upstream_of(key, name, upstreams);
            if of_http.iter().any(|known| known == name) {
                let message = format!("{name:?} speaks plain HTTP, and a service is called by gRPC");
                self.found.add(format!("{key}.upstream"), message);
            }
        }
        let service = written.service?;
        let pattern = match service.split_once('/') {
            None => service_pattern(service),
            Some((name, method)) => service_pattern(name.to_owned()).map(|name| format!("{name}/{method}")),
        };
        let pattern = self.found.take(format!("{key}.service"), pattern)?;
        Some(ServiceRoute { entry, pattern, upstream: written.upstream.map(Into::into), rules })
    }

    /// A route's upstream is there.
    pub(super) fn upstream_of(&mut self, key: &str, name: &str, upstreams: Option<&[String]>) {
        if let Some(names) = upstreams
            && !names.iter().any(|known| known == name)
        {
            let message = format!("{name:?} is not among the upstreams");
            let mistake = Mistake::new(format!("{key}.upstream"), message);
            self.found.push(mistake.near(name, names.iter().map(String::as_str)));
        }
    }

    fn path(
        &mut self,
        entry: usize,
        mut written: settings::Route,
        upstreams: Option<&[String]>,
        of_http: &[String],
    ) -> Option<PathRoute> {
        let key = &format!("routes[{entry}]");
        let rules = self.rules(key, &mut written);
        if written.response_bytes.is_some() {
            let message = "it does nothing: of a route with `path` no response is transcoded";
            self.found.push(Mistake::new(format!("{key}.response_bytes"), message).of_key());
        }
        let proxied = written.upstream.is_some();
        let of_upstreams = [
            ("strip_segments", written.strip_segments.is_some()),
            ("add_prefix", written.add_prefix.is_some()),
            ("keep_host", written.keep_host.is_some()),
        ];
        for (name, _) in of_upstreams.iter().filter(|(_, there)| *there && !proxied) {
            let message = format!("{name} is for a route with `upstream`; this one has none");
            self.found.push(Mistake::new(format!("{key}.{name}"), message).of_key());
        }
        let path = written.path.take()?;
        let template = Template::parse(&path).map_err(|problem| problem.to_string());
        let template = self.found.take(format!("{key}.path"), template);
        let mut verbs = vec![if proxied { Verb::Any } else { Verb::Get }];
        if let Some(names) = &written.methods {
            if names.is_empty() {
                self.found.add(format!("{key}.methods"), "it is empty; \"*\" stands for any method");
            }
            for (index, name) in names.iter().enumerate() {
                self.verb(&format!("{key}.methods[{index}]"), name, names);
            }
            verbs = names.iter().map(|name| Verb::parse(&name.to_ascii_uppercase())).collect();
        }
        let action = match (written.respond.take(), written.redirect.take()) {
            (None, None) if proxied => {
                let proxy = self.proxy(key, &written, template.as_ref(), upstreams, of_http);
                Some(Action::Proxy(Arc::new(proxy)))
            }
            _ if proxied => {
                self.found.add(key, "a route with `path` has one of `upstream`, `respond` and `redirect`");
                None
            }
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
                self.found.add(key, "a route with `path` has one of `upstream`, `respond` and `redirect`");
                None
            }
        };
        let name = written.name.take().unwrap_or(path).into();
        // What is wrong with the answer leaves the path as it is: whether another has it too, can be said.
        let action = action.unwrap_or_else(|| Action::Respond(Arc::new(nothing())));
        Some(PathRoute { entry, name, verbs, template: template?, action, rules })
    }

    /// Without a template, which is wrong then, nothing is said of the places of its variables.
    pub(super) fn places(&mut self, path: &str, written: &str, template: Option<&Template>) -> Option<Text> {
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

/// RFC 9110's methods, and PATCH.
const VERBS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

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
    /// A failure's message, which has `${message}` and `${limit.calls}`.
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
        Some(("limit", "calls")) if matches!(of, Places::Failure) => return Ok(Place::LimitCalls),
        _ => {}
    }
    let mut known: Vec<String> = PLACES.iter().map(|(known, _)| (*known).to_owned()).collect();
    known.extend(variables().map(|variable| format!("path.{variable}")));
    if matches!(of, Places::Failure) {
        known.extend(["message".to_owned(), "limit.calls".to_owned()]);
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
