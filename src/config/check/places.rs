//! The texts with places of routes that answer by themselves, and of failures, checked.

use http::HeaderName;

use super::Check;
use crate::{
    config::mistake::Mistake,
    route::{Piece, Place, Text},
    schema::{Template, nearest},
};

impl Check<'_> {
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
    /// A failure's message, which has `${message}` and `${limit.…}`.
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
        Some(("limit", "retry_after")) if matches!(of, Places::Failure) => return Ok(Place::LimitRetryAfter),
        _ => {}
    }
    let mut known: Vec<String> = PLACES.iter().map(|(known, _)| (*known).to_owned()).collect();
    known.extend(variables().map(|variable| format!("path.{variable}")));
    if matches!(of, Places::Failure) {
        known.extend(["message", "limit.calls", "limit.retry_after"].map(str::to_owned));
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
