//! Path templates of `google.api.http` as OpenAPI's. A variable over several segments becomes its literals and a parameter
//! for each `*` and `**`, because OpenAPI's parameters are whole segments:
//!
//! ```text
//! /v1/{name=shelves/*/books/*}:read    /v1/shelves/{shelf}/books/{book}:read
//! /v1/{name=a/**}                      /v1/a/{name}        (with slashes)
//! ```

use std::collections::HashMap;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::schema::{Segment, Template};

/// What a literal may not hold as it is.
const LITERAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/');

/// A path template as OpenAPI has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Such as `/v1/shelves/{shelf}`.
    pub(super) text: String,
    /// In their order.
    pub(super) parameters: Vec<Parameter>,
}

/// A parameter of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    /// The index of the template's variable it is, or is a part of.
    pub(super) variable: Option<usize>,
    /// It is the whole variable, one segment long.
    pub(super) whole: bool,
    /// `**`: it may hold slashes.
    pub(super) rest: bool,
}

/// The paths of one document. Templates that differ in nothing but names are one path to OpenAPI: the first names it.
#[derive(Debug, Default)]
pub(super) struct Paths {
    known: HashMap<String, Vec<String>>,
}

impl Paths {
    /// The path of a template. `name` gives the field path of the variable of an index.
    pub(super) fn path(&mut self, template: &Template, name: impl Fn(usize) -> Vec<String>) -> Path {
        let mut parameters = parameters(template, name);
        let shape = text(template, parameters.iter().map(|_| ""));
        let names = self
            .known
            .entry(shape)
            .or_insert_with(|| parameters.iter().map(|parameter| parameter.name.clone()).collect());
        for (parameter, name) in parameters.iter_mut().zip(names) {
            parameter.name.clone_from(name);
        }
        let text = text(template, parameters.iter().map(|parameter| parameter.name.as_str()));
        Path { text, parameters }
    }
}

fn parameters(template: &Template, name: impl Fn(usize) -> Vec<String>) -> Vec<Parameter> {
    let mut found: Vec<Parameter> = Vec::new();
    let mut before = None;
    for (at, segment) in template.segments().iter().enumerate() {
        if let Segment::Literal(text) = segment {
            before = Some((at, text));
            continue;
        }
        let variable =
            template.variables().iter().position(|variable| (variable.start..variable.end).contains(&at));
        let span = variable.and_then(|index| template.variables().get(index));
        let alone = span.is_some_and(|span| {
            let segments = template.segments().get(span.start..span.end).unwrap_or_default();
            segments.iter().filter(|segment| !matches!(segment, Segment::Literal(_))).count() == 1
                && (span.end - span.start == 1 || *segment == Segment::Rest)
        });
        // What stands before it in the same variable says what it is.
        let within = |(place, _): &(usize, _)| span.is_some_and(|span| *place >= span.start);
        let wanted = match (alone, variable, before.take().filter(within)) {
            (false, Some(_), Some((_, literal))) => singular(literal),
            (_, Some(index), _) => of_field(&name(index), &found),
            (_, None, _) => "segment".to_owned(),
        };
        let taken = |name: &str| found.iter().any(|parameter| parameter.name == name);
        let unique = (2..).map(|number| format!("{wanted}{number}"));
        let name = std::iter::once(wanted.clone()).chain(unique).find(|name| !taken(name));
        found.push(Parameter {
            name: name.unwrap_or(wanted),
            variable,
            whole: span.is_some_and(|span| span.end - span.start == 1),
            rest: *segment == Segment::Rest,
        });
    }
    found
}

/// What a variable is called: the last field on the way to its own, all of them where that is another's already. Never
/// with dots, which many readers of OpenAPI cannot take in a path.
fn of_field(way: &[String], found: &[Parameter]) -> String {
    let plain = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-', "_");
    let last = plain(way.last().map(String::as_str).unwrap_or_default());
    if found.iter().any(|parameter| parameter.name == last) { plain(&way.join("_")) } else { last }
}

fn text<'a>(template: &Template, mut names: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for segment in template.segments() {
        out.push('/');
        match segment {
            Segment::Literal(text) => out.extend(utf8_percent_encode(text, LITERAL)),
            Segment::One | Segment::Rest => {
                out.push('{');
                out.push_str(names.next().unwrap_or_default());
                out.push('}');
            }
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    if let Some(verb) = template.verb() {
        out.push(':');
        out.extend(utf8_percent_encode(verb, LITERAL));
    }
    out
}

/// One of what a collection's segment names: `shelf` of `shelves`.
fn singular(plural: &str) -> String {
    let word: String =
        plural.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    let cut = |ending: &str, instead: &str| {
        word.strip_suffix(ending).filter(|stem| !stem.is_empty()).map(|stem| format!("{stem}{instead}"))
    };
    let stays = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    if stays {
        return word;
    }
    cut("ies", "y")
        .or_else(|| cut("lves", "lf"))
        .or_else(|| cut("sses", "ss"))
        .or_else(|| cut("xes", "x"))
        .or_else(|| cut("ches", "ch"))
        .or_else(|| cut("shes", "sh"))
        .or_else(|| cut("s", ""))
        .unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(paths: &mut Paths, template: &str) -> Path {
        let template = Template::parse(template).unwrap();
        let names: Vec<_> = template.variables().iter().map(|it| it.field_path.to_string()).collect();
        paths.path(&template, |index| names[index].split('.').map(str::to_owned).collect())
    }

    #[test]
    fn templates_become_paths() {
        let check = |template: &str, want: &str| {
            let path = path(&mut Paths::default(), template);
            assert_eq!(path.text, want, "{template}");
            let placed = want.matches('{').count();
            assert_eq!(path.parameters.len(), placed, "{template}");
        };
        check("/", "/");
        check("/v1", "/v1");
        check("/v1/books/{id}", "/v1/books/{id}");
        check("/v1/{book.id}", "/v1/{id}");
        check("/v1/{shelf.id}/books/{book.id}", "/v1/{id}/books/{book_id}");
        check("/v1/{name=shelves/*/books/*}", "/v1/shelves/{shelf}/books/{book}");
        check("/v1/{name=shelves/*}:read", "/v1/shelves/{shelf}:read");
        check("/v1/{name=operations/**}", "/v1/operations/{name}");
        check("/v1/{name=a/*/**}", "/v1/a/{a}/{name}");
        check("/v1/{name=**}", "/v1/{name}");
        check("/v1/{name=*/*}", "/v1/{name}/{name2}");
        check("/v1/*/x/**", "/v1/{segment}/x/{segment2}");
        check("/*/*", "/{segment}/{segment2}");
        check("/v1/{var=fixed}", "/v1/fixed");
        check(
            "/v1/{parent=projects/*/databases/*/documents/**}/{id}",
            "/v1/projects/{project}/databases/{database}/documents/{document}/{id}",
        );
        check("/v1/a%20b", "/v1/a%20b");
        check("/v1:batchGet", "/v1:batchGet");
    }

    #[test]
    fn paths_that_differ_in_names_alone_are_one() {
        let mut paths = Paths::default();
        assert_eq!(path(&mut paths, "/v1/books/{id}").text, "/v1/books/{id}");
        let other = path(&mut paths, "/v1/{book.name=books/*}");
        assert_eq!(other.text, "/v1/books/{id}");
        assert_eq!(other.parameters[0].name, "id");
        assert!(!other.parameters[0].whole);
        assert_eq!(path(&mut paths, "/v1/books/{id}:read").text, "/v1/books/{id}:read");
    }

    #[test]
    fn one_of_many() {
        let check = |plural: &str, want: &str| assert_eq!(singular(plural), want);
        check("shelves", "shelf");
        check("books", "book");
        check("libraries", "library");
        check("addresses", "address");
        check("boxes", "box");
        check("branches", "branch");
        check("status", "status");
        check("analysis", "analysis");
        check("releaseChannels", "releaseChannel");
        check("sample-projects", "sample_project");
        check("news", "new");
        check("s", "s");
    }
}
