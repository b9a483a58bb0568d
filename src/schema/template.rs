//! Path templates of `google.api.http`: which URL paths a rule matches, and which parts of them are variables.
//! Specification: google/api/http.proto, "Path template syntax":
//!
//! ```text
//! Template  = "/" [ Segments ] [ Verb ] ;          "/" alone is the root
//! Segments  = Segment { "/" Segment } ;
//! Segment   = "*" | "**" | LITERAL | Variable ;
//! Variable  = "{" FieldPath [ "=" Segments ] "}" ; no variable inside another
//! FieldPath = IDENT { "." IDENT } ;
//! Verb      = ":" LITERAL ;                        what follows the last ":" of the last segment
//! LITERAL   = pchar { pchar } ;                    RFC 3986; what is reserved is percent-encoded
//! ```
//! `**` stands once at most. The specification wants it last; published contracts (Firestore's) have it before other
//! segments too, so it may stand anywhere, and those behind it match the end of the path.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The most segments a template may have: matching recurses once per segment.
const MAX_SEGMENTS: usize = 64;

/// A parsed path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<Box<str>>,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text, percent-decoded.
    Literal(Box<str>),
    /// `*`: one segment that is not empty.
    One,
    /// `**`: any number of segments, also none.
    Rest,
}

/// A variable and the segments it captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The request field's path by proto names, such as `book.name`.
    pub field_path: Box<str>,
    /// Index of its first segment in [`Template::segments`].
    pub start: usize,
    /// Index after its last segment.
    pub end: usize,
    /// Whether it captures other than exactly one segment: then `%2F` is kept in what it captures.
    pub multi: bool,
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The text.
    pub template: String,
    /// Where it went wrong: a character counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

impl Template {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Parser { text, at: 0, segments: Vec::new(), variables: Vec::new() }.template()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// All segments, those of variables among them; empty for `/`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The variables from left to right.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// A path that it matches: a made-up segment for each `*`, `rest` of them for each `**`.
    pub fn sample(&self, rest: usize) -> String {
        const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        let mut path = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => {
                    path.push('/');
                    path.extend(utf8_percent_encode(text, ESCAPED));
                }
                // No literal that anybody writes.
                Segment::One => path.push_str("/~~"),
                Segment::Rest => path.push_str(&"/~~".repeat(rest)),
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path.extend(utf8_percent_encode(verb, ESCAPED));
        }
        path
    }

    /// The verb without its colon, percent-decoded.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path template \"{}\", column {}: {}", self.template, self.column, self.reason)
    }
}

impl std::error::Error for TemplateError {}

/// A `%` without two hexadecimal digits, or escapes of bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEscape;

/// Decodes the escapes of one path segment.
pub fn decode_segment(segment: &str) -> Result<Cow<'_, str>, BadEscape> {
    if memchr::memchr(b'%', segment.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(segment));
    }
    if !escapes_are_whole(segment) {
        return Err(BadEscape);
    }
    percent_decode_str(segment).decode_utf8().map_err(|_| BadEscape)
}

/// Whether every `%` has its two hexadecimal digits.
pub fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'%', bytes)
        .all(|at| matches!(bytes.get(at + 1..at + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

struct Parser<'a> {
    text: &'a str,
    /// Byte offset of what is read next.
    at: usize,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

impl<'a> Parser<'a> {
    fn template(mut self) -> Result<Template, TemplateError> {
        if !self.take('/') {
            return Err(self.error("a path template begins with \"/\""));
        }
        let mut verb = None;
        if self.at < self.text.len() {
            loop {
                if self.peek() == Some('{') {
                    self.variable()?
                } else {
                    verb = self.segment(true)?
                }
                if verb.is_none() && self.peek() == Some(':') {
                    // Only after a variable: within a literal the colon was read with it.
                    verb = Some(self.verb()?);
                }
                if verb.is_some() || !self.take('/') {
                    break;
                }
            }
        }
        if let Some(unexpected) = self.peek() {
            return Err(self.error(match unexpected {
                '}' => "\"}\" without \"{\"".to_owned(),
                '{' => "\"{\" inside a segment: a variable is a whole segment".to_owned(),
                other => format!("\"{other}\" is not allowed here; percent-encode it"),
            }));
        }
        Ok(Template { text: self.text.into(), segments: self.segments, variables: self.variables, verb })
    }

    /// `{a.b}` or `{a.b=segments}`, from its brace.
    fn variable(&mut self) -> Result<(), TemplateError> {
        self.take('{');
        let path_at = self.at;
        let field_path = self.run(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        if field_path.is_empty() {
            return Err(self.error("a field's name is missing after \"{\""));
        }
        for ident in field_path.split('.') {
            if !ident.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                self.at = path_at;
                return Err(
                    self.error(format!("\"{field_path}\" is not a field path: names joined by \".\""))
                );
            }
        }
        if self.variables.iter().any(|variable| &*variable.field_path == field_path) {
            self.at = path_at;
            return Err(self.error(format!("the variable \"{field_path}\" is bound twice")));
        }
        let start = self.segments.len();
        if self.take('=') {
            loop {
                if self.peek() == Some('{') {
                    return Err(self.error("a variable inside a variable"));
                }
                self.segment(false)?;
                if !self.take('/') {
                    break;
                }
            }
        } else {
            self.push(Segment::One)?;
        }
        match self.peek() {
            Some('}') => self.take('}'),
            Some(':') => return Err(self.error("a verb stands behind the variable's \"}\"")),
            Some(other) => return Err(self.error(format!("\"{other}\" is not allowed in a variable"))),
            None => return Err(self.error(format!("the variable \"{field_path}\" is not closed by \"}}\""))),
        };
        let multi = self.segments.get(start..) != Some(&[Segment::One]);
        // `{var=literal}` is one segment too, yet its text is fixed: nothing to keep there.
        let multi = multi && !matches!(self.segments.get(start..), Some([Segment::Literal(_)]));
        self.variables.push(Variable {
            field_path: field_path.into(),
            start,
            end: self.segments.len(),
            multi,
        });
        Ok(())
    }

    /// A literal, `*` or `**`. With `verb_allowed` a colon in the last segment begins the verb, which is answered.
    fn segment(&mut self, verb_allowed: bool) -> Result<Option<Box<str>>, TemplateError> {
        let at = self.at;
        let text = self.run(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=@%:".contains(c));
        let last = self.at == self.text.len();
        let (segment, verb) = match text.rfind(':') {
            Some(colon) if verb_allowed && last => {
                self.at = at + colon;
                (text.get(..colon).unwrap_or_default(), Some(self.verb()?))
            }
            Some(colon) if !verb_allowed => {
                self.at = at + colon;
                return Err(self.error("a verb stands behind the variable's \"}\""));
            }
            _ => (text, None),
        };
        let after = std::mem::replace(&mut self.at, at);
        match segment {
            "" => {
                let reason = if last && verb.is_none() {
                    "a trailing slash: no segment follows"
                } else {
                    "an empty segment"
                };
                let reason = match self.peek() {
                    Some(other) if !matches!(other, '/' | ':' | '}') => {
                        return Err(self.error(format!("\"{other}\" is not allowed here; percent-encode it")));
                    }
                    _ => reason,
                };
                return Err(self.error(reason));
            }
            "*" => self.push(Segment::One)?,
            "**" => self.push(Segment::Rest)?,
            text if text.contains('*') => {
                return Err(self.error(format!(
                    "\"{text}\": \"*\" and \"**\" are whole segments; a literal star is %2A"
                )));
            }
            text => {
                let literal = decode_segment(text);
                let literal = literal
                    .map_err(|BadEscape| self.error(format!("\"{text}\" has a bad percent-escape")))?;
                self.push(Segment::Literal(literal.into()))?;
            }
        }
        self.at = after;
        Ok(verb)
    }

    /// `:literal` up to the end.
    fn verb(&mut self) -> Result<Box<str>, TemplateError> {
        self.take(':');
        let at = self.at;
        let text = self.run(|c| c.is_ascii_alphanumeric() || "-._~!$&'()+,;=@%".contains(c));
        if text.is_empty() {
            return Err(self.error("the verb is missing after \":\""));
        }
        if self.at < self.text.len() {
            return Err(self.error("a verb ends the template"));
        }
        match decode_segment(text) {
            Ok(verb) => Ok(verb.into()),
            Err(BadEscape) => {
                self.at = at;
                Err(self.error(format!("\"{text}\" has a bad percent-escape")))
            }
        }
    }

    fn push(&mut self, segment: Segment) -> Result<(), TemplateError> {
        if segment == Segment::Rest && self.segments.contains(&Segment::Rest) {
            return Err(self.error("a second \"**\": where the first ends could not be told"));
        }
        if self.segments.len() == MAX_SEGMENTS {
            return Err(self.error(format!("more than {MAX_SEGMENTS} segments")));
        }
        self.segments.push(segment);
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn run(&mut self, allowed: impl Fn(char) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let run = rest.get(..rest.find(|c| !allowed(c)).unwrap_or(rest.len())).unwrap_or_default();
        self.at += run.len();
        run
    }

    fn error(&self, reason: impl Into<String>) -> TemplateError {
        let column = 1 + self.text.get(..self.at).map_or(0, |before| before.chars().count());
        TemplateError { template: self.text.to_owned(), column, reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A template as its parts: `lit * ** | var=start..end(+ when multi) | :verb`.
    fn parts(template: &Template) -> String {
        let mut out: Vec<String> = template
            .segments()
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text.to_string(),
                Segment::One => "*".to_owned(),
                Segment::Rest => "**".to_owned(),
            })
            .collect();
        for Variable { field_path, start, end, multi } in template.variables() {
            out.push(format!("{field_path}={start}..{end}{}", if *multi { "+" } else { "" }));
        }
        out.extend(template.verb().map(|verb| format!(":{verb}")));
        out.join(" ")
    }

    #[test]
    fn templates() {
        fn check(text: &str, want: &str) {
            let template = Template::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parts(&template), want, "{text}");
            assert_eq!(template.as_str(), text);
        }
        check("/", "");
        check("/v1", "v1");
        check("/v1/messages/*", "v1 messages *");
        check("/v1/{name=messages/*}", "v1 messages * name=1..3+");
        check("/v1/messages/{message_id}", "v1 messages * message_id=2..3");
        check(
            "/v1/messages/{message_id}/{sub.subfield}",
            "v1 messages * * message_id=2..3 sub.subfield=3..4",
        );
        check("/v1/{name=shelves/*/books/*}", "v1 shelves * books * name=1..5+");
        check("/v1/{book.name=shelves/*/books/*}:read", "v1 shelves * books * book.name=1..5+ :read");
        check("/v1/{var=*}", "v1 * var=1..2");
        check("/v1/{var=**}", "v1 ** var=1..2+");
        check("/v1/{var=fixed}", "v1 fixed var=1..2");
        check("/v1/{var=a/**}:go", "v1 a ** var=1..3+ :go");
        check("/**", "**");
        check("/v1/{a=b/**}/{c}", "v1 b ** * a=1..3+ c=3..4");
        check("/**:verb", "** :verb");
        check("/v1/*:cancel", "v1 * :cancel");
        check("/v1:batchGet", "v1 :batchGet");
        check("/v1/a:b/c", "v1 a:b c");
        check("/v1/a:b:c", "v1 a:b :c");
        check("/v1/a%20b/%C3%A9", "v1 a b é");
        check("/pkg.Service/Method", "pkg.Service Method");
        check("/v1/~me/a-b_c.d", "v1 ~me a-b_c.d");
        check("/v1/{a}/{b}:x-y", "v1 * * a=1..2 b=2..3 :x-y");
        check("/v1/{__a1.b_2}", "v1 * __a1.b_2=1..2");
    }

    #[test]
    fn not_templates() {
        fn check(text: &str, column: usize, reason: &str) {
            let error = Template::parse(text).expect_err(text);
            assert!(error.reason.contains(reason), "{error}");
            assert_eq!(error.column, column, "{error}");
        }
        check("", 1, "begins with");
        check("v1/a", 1, "begins with");
        check("//", 2, "empty segment");
        check("/v1//a", 5, "empty segment");
        check("/v1/", 5, "trailing slash");
        check("/:verb", 2, "empty segment");
        check("/v1/{a", 7, "not closed");
        check("/v1/{}", 6, "name is missing");
        check("/v1/{=a}", 6, "name is missing");
        check("/v1/{a.}", 6, "not a field path");
        check("/v1/{.a}", 6, "not a field path");
        check("/v1/{1a}", 6, "not a field path");
        check("/v1/{a=}", 8, "empty segment");
        check("/v1/{a=b/}", 10, "empty segment");
        check("/v1/{a={b}}", 8, "inside a variable");
        check("/v1/{a=b:c}", 9, "behind the variable");
        check("/v1/{a-b}", 7, "not allowed in a variable");
        check("/v1/{a}b", 8, "not allowed here");
        check("/v1/b{a}", 6, "inside a segment");
        check("/v1/a}", 6, "without");
        check("/v1/{a}/{a}", 10, "bound twice");
        check("/v1/**/a/**", 10, "a second \"**\"");
        check("/v1/{a=**}/{b=**}", 15, "a second \"**\"");
        check("/v1/a*b", 5, "whole segments");
        check("/v1/***", 5, "whole segments");
        check("/v1/a:", 7, "verb is missing");
        check("/v1/{a}:x/y", 10, "ends the template");
        check("/v1/a%2", 5, "bad percent-escape");
        check("/v1/%FF", 5, "bad percent-escape");
        check("/v1/a b", 6, "percent-encode");
        check("/v1/é", 5, "percent-encode");
        check("/v1/a?b=c", 6, "percent-encode");
        check(&"/a".repeat(65), 130, "more than 64");
    }

    proptest! {
        #[test]
        fn never_panics_and_text_comes_back(text in "[/a-c{}=*:.%2é]{0,24}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(template.as_str()), Ok(template.clone()));
                prop_assert!(template.variables().iter().all(|it| it.start < it.end && it.end <= template.segments().len()));
            }
        }

        #[test]
        fn never_panics_on_anything(text: String) {
            let _ = Template::parse(&text);
            let _ = decode_segment(&text);
        }
    }
}
