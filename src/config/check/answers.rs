//! What a route answers by itself, checked: a fixed response, or a redirect.

use http::{HeaderName, StatusCode};

use super::Check;
use crate::{
    config::{document::path::child, mistake::Mistake, settings},
    route::{Piece, Place, Redirect, Respond, Text},
    schema::Template,
};

impl Check<'_> {
    pub(super) fn respond(
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
            // What fills a place is made to fit; the rest is as it is written.
            if let Some(sign) = value.chars().find(|sign| sign.is_control() && *sign != '\t') {
                let message = format!("a header's value is one line of text; {sign:?} cannot be in it");
                self.found.add(path, message);
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
        if !body.is_empty()
            && let Some(status @ (204 | 205 | 304)) = written.status
        {
            let message = format!("it is never sent: a response of {status} has no body");
            self.found.push(Mistake::new(format!("{key}.body"), message).of_key());
        }
        let json = json || content_type.starts_with("application/json");
        let body = self.places(&format!("{key}.body"), &body, template);
        Some(Respond { status: status?, headers, content_type: content_type.into(), body: body?, json })
    }

    pub(super) fn redirect(
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
        let to_itself = to.as_ref().is_some_and(|to| match to.0.as_slice() {
            [Piece::Place(Place::Path)] => true,
            [Piece::Literal(path)] => template.is_some_and(|template| template.as_str() == &**path),
            _ => false,
        });
        if to_itself {
            self.found.add(&*path, "it leads to the route itself, which would redirect again and again");
        }
        let to = to.and_then(|to| self.found.take(path, leads(&to).map(|()| to)));
        Some(Redirect { status: status?, to: to?, keep_query: written.keep_query.unwrap_or(true) })
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
            Piece::Place(_) if before.is_empty() => {
                return Err("where it leads would be its caller's to say; it begins with a path or a host that is written here, such as /new/".to_owned());
            }
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

/// Headers that say how a message goes over its connection, not what it is.
pub(super) const CONNECTION: [&str; 9] = [
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
