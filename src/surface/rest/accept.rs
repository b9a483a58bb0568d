//! Content negotiation of the REST surface: what a request's `Content-Type` says of its body, and which of the offered
//! forms its `Accept` asks for (RFC 9110, sections 8.3 and 12.5).

use http::{HeaderMap, header};

/// What a request's body is, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// `application/json` or `application/…+json`.
    Json,
    /// `application/x-ndjson`, `application/ndjson`, `application/jsonl`.
    Lines,
    /// It does not say: taken for JSON.
    Missing,
    Other,
}

/// What the request's `Content-Type` says.
pub(super) fn content(headers: &HeaderMap) -> Content {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Content::Missing };
    if value.as_bytes() == b"application/json" {
        return Content::Json;
    }
    let Ok(value) = value.to_str() else { return Content::Other };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" => Content::Missing,
        "application/json" => Content::Json,
        // Enveloped messages of the Connect protocol are no JSON.
        "application/connect+json" => Content::Other,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Content::Lines,
        other if other.starts_with("application/") && other.ends_with("+json") => Content::Json,
        _ => Content::Other,
    }
}

/// The form of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON value; of a stream, an array.
    Json,
    /// One JSON message a line.
    Lines,
    /// `text/event-stream`, one message an event.
    Events,
}

impl Form {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }
}

/// What a unary method offers.
const UNARY: &[(&str, Form)] = &[("application/json", Form::Json)];

/// What a streaming method offers, the one for `*/*` first: an array, because what a client that does not care gets
/// (curl, a browser's address bar, a generated client) should be the media type that every JSON reader reads.
const STREAM: &[(&str, Form)] = &[
    ("application/json", Form::Json),
    ("application/x-ndjson", Form::Lines),
    ("text/event-stream", Form::Events),
    ("application/ndjson", Form::Lines),
    ("application/jsonl", Form::Lines),
];

/// The form a client asks for; `None` when it accepts none of those there are.
pub(super) fn form(headers: &HeaderMap, streaming: bool) -> Option<Form> {
    let offers = if streaming { STREAM } else { UNARY };
    let mut values = headers.get_all(header::ACCEPT).iter();
    let only = (values.next().map(http::HeaderValue::as_bytes), values.next());
    if let (None | Some(b"*/*" | b"application/json" | b""), None) = only {
        return Some(Form::Json);
    }
    let ranges: Vec<Range> = headers.get_all(header::ACCEPT).iter().flat_map(ranges).collect();
    let mut best: Option<(u16, u8, std::cmp::Reverse<usize>, Form)> = None;
    for (media_type, form) in offers {
        // The most specific range that matches an offer decides its weight.
        let matched = ranges.iter().enumerate().filter_map(|(at, range)| {
            range.specificity(media_type).map(|specificity| (specificity, at, range.weight))
        });
        let Some((specificity, at, weight)) =
            matched.max_by_key(|(specificity, at, _)| (*specificity, std::cmp::Reverse(*at)))
        else {
            continue;
        };
        let candidate = (weight, specificity, std::cmp::Reverse(at), *form);
        let better = best.is_none_or(|b| (weight, specificity, candidate.2) > (b.0, b.1, b.2));
        if weight > 0 && better {
            best = Some(candidate);
        }
    }
    best.map(|(.., form)| form)
}

/// Whether a client would rather see a page than JSON: only if it says so by name, as browsers do.
#[must_use]
pub fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges: Vec<Range> = headers.get_all(header::ACCEPT).iter().flat_map(ranges).collect();
    let weight = |media_type: &str| {
        let matched = ranges.iter().filter_map(|range| Some((range.specificity(media_type)?, range.weight)));
        matched.max_by_key(|(specificity, _)| *specificity)
    };
    let html = weight("text/html").filter(|(specificity, weight)| *specificity > 0 && *weight > 0);
    html.is_some_and(|(_, html)| weight("application/json").is_none_or(|(_, json)| html > json))
}

/// Whether an `Accept-Encoding` takes gzip.
#[must_use]
pub fn accepts_gzip(accepted: &http::HeaderValue) -> bool {
    let accepted = ranges(accepted);
    let named = |name: &str| accepted.iter().find(|range| range.name == name).map(|range| range.weight);
    named("gzip").or_else(|| named("*")).is_some_and(|weight| weight > 0)
}

/// One entry of a weighted list.
pub(in crate::surface) struct Range {
    /// In lower case.
    pub(in crate::surface) name: String,
    /// Thousandths, 0 to 1000.
    pub(in crate::surface) weight: u16,
}

impl Range {
    /// How exactly this media range names `media_type`: 2 by name, 1 by its type, 0 by `*/*`.
    fn specificity(&self, media_type: &str) -> Option<u8> {
        if self.name == media_type {
            return Some(2);
        }
        match self.name.strip_suffix("/*")? {
            "*" => Some(0),
            kind => (media_type.split('/').next() == Some(kind)).then_some(1),
        }
    }
}

/// The entries of one field value, such as `a/b;q=0.5, c/d`.
pub(in crate::surface) fn ranges(value: &http::HeaderValue) -> Vec<Range> {
    let Ok(value) = value.to_str() else { return Vec::new() };
    let entries = value.split(',').filter(|entry| !entry.trim().is_empty());
    entries
        .map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1000, |q| {
                    let q: f32 = q.trim().parse().unwrap_or(0.0);
                    // Clamped first, so the cast is exact enough and cannot overflow; NaN becomes 0.
                    (q.clamp(0.0, 1.0) * 1000.0) as u16
                });
            Range { name, weight }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_form_asked_for() {
        let check = |accept: &[&str], unary: Option<Form>, stream: Option<Form>| {
            let headers = headers(&header::ACCEPT, accept);
            assert_eq!((form(&headers, false), form(&headers, true)), (unary, stream), "{accept:?}");
        };
        let json = Some(Form::Json);
        check(&[], json, json);
        check(&["*/*"], json, json);
        check(&["application/*"], json, json);
        check(&["application/json; charset=utf-8"], json, json);
        check(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], json, json);
        check(&["text/event-stream"], None, Some(Form::Events));
        check(&["text/event-stream, */*"], json, Some(Form::Events));
        check(&["*/*, text/event-stream"], json, Some(Form::Events));
        check(&["text/*"], None, Some(Form::Events));
        check(&["application/x-ndjson"], None, Some(Form::Lines));
        check(&["Application/JSONL"], None, Some(Form::Lines));
        check(&["application/json;q=0.5, application/x-ndjson;q=0.6"], json, Some(Form::Lines));
        check(&["application/json", "application/x-ndjson"], json, json);
        check(&["application/x-ndjson", "application/json"], json, Some(Form::Lines));
        check(&["application/json;q=0, */*"], None, Some(Form::Lines));
        check(&["text/html"], None, None);
        check(&["application/xml, text/html;q=0.9"], None, None);
        check(&["*/*;q=0"], None, None);
        check(&["*/*;q=nan"], None, None);
    }

    #[test]
    fn a_page_is_for_those_who_ask_for_one() {
        let check = |accept: &[&str], want: bool| {
            assert_eq!(prefers_html(&headers(&header::ACCEPT, accept)), want, "{accept:?}");
        };
        check(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], true);
        check(&["text/html"], true);
        check(&["text/*"], true);
        check(&[], false);
        check(&["*/*"], false);
        check(&["application/json"], false);
        check(&["application/json, text/html;q=0.9"], false);
        check(&["application/json;q=0.5", "text/html"], true);
        check(&["text/html;q=0"], false);
    }

    #[test]
    fn the_body_that_comes() {
        let check = |value: &str, want: Content| {
            assert_eq!(content(&headers(&header::CONTENT_TYPE, &[value])), want, "{value}");
        };
        assert_eq!(content(&HeaderMap::new()), Content::Missing);
        check("application/json", Content::Json);
        check("Application/JSON ; charset=utf-8", Content::Json);
        check("application/merge-patch+json", Content::Json);
        check("application/x-ndjson", Content::Lines);
        check("application/jsonl", Content::Lines);
        check("application/x-www-form-urlencoded", Content::Other);
        check("text/plain", Content::Other);
        check("application/jsonp", Content::Other);
        check("application/connect+json", Content::Other);
    }
}
