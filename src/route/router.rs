//! Finds the binding of an HTTP method and a raw path: a trie of path segments whose cost does not grow with the number
//! of templates. A literal beats `*`, `*` beats `**`, whatever the order of insertion; a registered verb `:x` beats the
//! same text as part of the last segment. Where a template has several entries, the first whose method and headers are
//! the request's is found; where none is, a less exact template may be.

mod alike;
mod candidates;
mod captures;
mod miss;
mod near;
mod walk;

use std::{borrow::Cow, cmp::Ordering, collections::HashMap, sync::Arc};

pub use miss::{Conflict, Miss};

use self::alike::Letters;
pub use self::near::{Near, Piece};
use self::walk::end_of;
use super::conditions::{Asked, Headers};
use crate::schema::{Segment, Template, Verb, decode_segment};

/// Values by HTTP method and path template.
#[derive(Debug)]
pub struct Router<T> {
    nodes: Vec<Node>,
    entries: Vec<Entry<T>>,
    settings: Settings,
}

/// How paths are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What a path with a `/` at its end is.
    pub trailing_slash: TrailingSlash,
    /// Decode `%2F` in variables of several segments too (`google.api.Http.fully_decode_reserved_expansion`).
    pub fully_decode_reserved_expansion: bool,
}

/// What a path with a `/` at its end is, if no template matches it as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrailingSlash {
    /// Another path.
    #[default]
    Strict,
    /// The same path.
    Ignore,
    /// The client is sent to the path without it.
    Redirect,
}

/// What [`Router::find`] found.
#[derive(Debug, PartialEq)]
pub struct Found<'r, 'p, T> {
    /// The value inserted with the template.
    pub value: &'r T,
    /// What the template's variables captured, in their order, decoded.
    pub captures: Vec<Cow<'p, str>>,
}

/// One place in the trie: what may follow, and what ends here.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Arc<str>, usize>,
    /// The same in the order of insertion, so that what a search looks at does not depend on a map's.
    in_order: Vec<Literal>,
    one: Option<usize>,
    /// `**`: what ends there, and what may follow at the end of the path; there is no second `**` behind it.
    rest: Option<usize>,
    /// Of a `**`: the most segments that a template has behind it.
    behind: usize,
    ends: Vec<End>,
}

/// A literal that may follow at a node.
#[derive(Debug)]
struct Literal {
    text: Arc<str>,
    letters: Letters,
    child: usize,
}

/// The templates that end at a node with the same template verb.
#[derive(Debug)]
struct End {
    /// The template's `:verb`.
    suffix: Option<Box<str>>,
    /// HTTP methods and entries, in the order in which they are asked: `*` is last, and of one method the entry that wants
    /// the most headers first.
    methods: Vec<(Verb, usize)>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    label: String,
    template: Template,
    /// What it wants of a request beside its method and path.
    headers: Headers,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl<T> Router<T> {
    /// An empty router.
    pub fn new(settings: Settings) -> Self {
        Self { nodes: vec![Node::default()], entries: Vec::new(), settings }
    }

    /// Adds a binding. `label` names it in the error of a later binding that is identical to it, such as the method's
    /// full name; templates that differ only in their variables' names are identical.
    pub fn insert(
        &mut self,
        verb: &Verb,
        template: &Template,
        label: impl Into<String>,
        value: T,
    ) -> Result<(), Conflict> {
        self.insert_for(verb, template, &Headers::default(), label, value)
    }

    /// Adds a binding for requests with these headers alone.
    pub fn insert_for(
        &mut self,
        verb: &Verb,
        template: &Template,
        headers: &Headers,
        label: impl Into<String>,
        value: T,
    ) -> Result<(), Conflict> {
        let label = label.into();
        let mut at = 0;
        for (index, segment) in template.segments().iter().enumerate() {
            at = self.child(at, segment);
            if *segment == Segment::Rest
                && let Some(node) = self.nodes.get_mut(at)
            {
                node.behind = node.behind.max(template.segments().len() - index - 1);
            }
        }
        let entry = self.entries.len();
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let place = node.ends.iter().position(|end| end.suffix.as_deref() == template.verb());
        let place = place.unwrap_or_else(|| {
            node.ends.push(End { suffix: template.verb().map(Into::into), methods: Vec::new() });
            node.ends.len() - 1
        });
        let Some(end) = node.ends.get_mut(place) else { return Ok(()) };
        let mut same = end.methods.iter().filter(|(known, _)| known == verb);
        let first = same.find_map(|(_, at)| self.entries.get(*at).filter(|known| known.headers == *headers));
        if let Some(first) = first {
            return Err(Conflict {
                verb: verb.clone(),
                first: (first.label.clone(), first.template.to_string()),
                second: (label, template.to_string()),
            });
        }
        self.entries.push(Entry { value, label, template: template.clone(), headers: headers.clone() });
        end.methods.push((verb.clone(), entry));
        let of = |at: usize| self.entries.get(at).map(|entry| &entry.headers);
        end.methods.sort_by(|(a, first), (b, second)| {
            let headers = match (of(*first), of(*second)) {
                (Some(one), Some(other)) => one.order(other),
                _ => Ordering::Equal,
            };
            a.cmp(b).then(headers).then(first.cmp(second))
        });
        Ok(())
    }

    /// Finds the value for an HTTP method and a raw path, without its query. A `HEAD` without a binding of its own is
    /// served by the `GET`. A match without variables allocates nothing.
    pub fn find<'r, 'p>(
        &'r self,
        method: &http::Method,
        raw_path: &'p str,
    ) -> Result<Found<'r, 'p, T>, Miss> {
        let asked = Asked::default();
        self.find_for(method, raw_path, &asked).unwrap_or_else(|| Err(self.miss(raw_path, &asked)))
    }

    /// The same for a request of which more is known. `None` where nothing is found and [`Router::miss`] says why.
    pub(super) fn find_for<'r, 'p>(
        &'r self,
        method: &http::Method,
        raw_path: &'p str,
        asked: &Asked<'_>,
    ) -> Option<Result<Found<'r, 'p, T>, Miss>> {
        if let Some(segment) = bad_escape(raw_path) {
            return Some(Err(Miss::BadEscape { segment: segment.to_owned() }));
        }
        if let Some(found) = self.look_up(method, raw_path, asked) {
            return Some(Ok(found));
        }
        if self.settings.trailing_slash == TrailingSlash::Strict {
            return None;
        }
        let stripped = without_slash(raw_path)?;
        let found = self.look_up(method, stripped, asked)?;
        Some(match self.settings.trailing_slash {
            TrailingSlash::Redirect => Err(Miss::Redirect(stripped.to_owned())),
            TrailingSlash::Strict | TrailingSlash::Ignore => Ok(found),
        })
    }

    /// Why nothing is found.
    fn miss(&self, raw_path: &str, asked: &Asked<'_>) -> Miss {
        let allow = self.allow_for(raw_path, asked);
        if !allow.is_empty() {
            return Miss::WrongVerb { allow };
        }
        Miss::NotFound
    }

    /// The value for an HTTP method and a raw path, as [`Router::find`] finds it (or where it redirects to), and nothing more.
    pub fn get(&self, method: &http::Method, raw_path: &str, asked: &Asked<'_>) -> Option<&T> {
        let stripped =
            || without_slash(raw_path).filter(|_| self.settings.trailing_slash != TrailingSlash::Strict);
        let (entry, _) =
            self.entry(method, raw_path, asked).or_else(|| self.entry(method, stripped()?, asked))?;
        self.entries.get(entry).map(|entry| &entry.value)
    }

    /// What was inserted with this template, or one that differs in its variables' names alone: the HTTP methods, each with
    /// its label and value.
    pub fn at(&self, template: &Template) -> impl Iterator<Item = (&Verb, &str, &T)> {
        let mut node = self.nodes.first();
        for segment in template.segments() {
            let child = |node: &Node| match segment {
                Segment::Literal(text) => node.literals.get(&**text).copied(),
                Segment::One => node.one,
                Segment::Rest => node.rest,
            };
            node = node.and_then(child).and_then(|child| self.nodes.get(child));
        }
        let methods =
            node.and_then(|node| end_of(node, template.verb())).into_iter().flat_map(|end| &end.methods);
        methods.filter_map(|(verb, entry)| {
            let entry = self.entries.get(*entry)?;
            Some((verb, entry.label.as_str(), &entry.value))
        })
    }

    /// Every template, in the order of insertion; one that has several HTTP methods is there for each.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.entries.iter().map(|entry| &entry.template)
    }

    /// Every value, in the order of insertion.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.value)
    }

    /// The HTTP methods that a path has, sorted, for `Allow`: with `HEAD` where `GET` is; `*` stands for the usual ones.
    /// Empty if no template matches.
    pub fn allow(&self, raw_path: &str) -> Vec<String> {
        self.allow_for(raw_path, &Asked::default())
    }

    /// The same for a request of which more is known: what wants other headers is not there for it.
    pub(super) fn allow_for(&self, raw_path: &str, asked: &Asked<'_>) -> Vec<String> {
        let mut allow: Vec<String> = Vec::new();
        // Of a path with a verb that templates have, the verb's own methods are told. As a part of a name it may have others
        // too, which nobody who writes the verb means.
        let mut with_verb = false;
        let mut collect = |end: &End| {
            with_verb |= end.suffix.is_some();
            if with_verb && end.suffix.is_none() {
                return None;
            }
            for (verb, _) in end.methods.iter().filter(|(_, entry)| self.takes(*entry, asked)) {
                let names: &[&str] = match verb {
                    Verb::Get => &["GET", "HEAD"],
                    Verb::Any => &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
                    verb => &[verb.as_str()],
                };
                allow.extend(names.iter().map(|name| (*name).to_owned()));
            }
            None
        };
        let ignored =
            raw_path.strip_suffix('/').filter(|_| self.settings.trailing_slash == TrailingSlash::Ignore);
        for path in [Some(raw_path), ignored.filter(|path| !path.is_empty())].into_iter().flatten() {
            let _: Option<()> = self.walk(path, &mut collect);
        }
        allow.sort();
        allow.dedup();
        allow
    }

    /// How many bindings it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn look_up<'r, 'p>(
        &'r self,
        method: &http::Method,
        path: &'p str,
        asked: &Asked<'_>,
    ) -> Option<Found<'r, 'p, T>> {
        let (entry, suffix) = self.entry(method, path, asked)?;
        let entry = self.entries.get(entry)?;
        let decode_slashes = self.settings.fully_decode_reserved_expansion;
        let captures = captures::of(&entry.template, path, suffix, decode_slashes);
        Some(Found { value: &entry.value, captures })
    }

    /// The entry of an HTTP method and a path, and whether the path ends in a template's verb.
    fn entry(&self, method: &http::Method, path: &str, asked: &Asked<'_>) -> Option<(usize, bool)> {
        self.walk(path, &mut |end| {
            let by_name =
                |name: &str| self.first(end, asked, |verb| verb != &Verb::Any && verb.as_str() == name);
            let by_get = || if method == http::Method::HEAD { by_name("GET") } else { None };
            let any = || self.first(end, asked, |verb| verb == &Verb::Any);
            by_name(method.as_str()).or_else(by_get).or_else(any).map(|entry| (entry, end.suffix.is_some()))
        })
    }

    fn first(&self, end: &End, asked: &Asked<'_>, fits: impl Fn(&Verb) -> bool) -> Option<usize> {
        let mut fitting = end.methods.iter().filter(|(verb, _)| fits(verb)).map(|(_, entry)| *entry);
        fitting.find(|entry| self.takes(*entry, asked))
    }

    /// Whether an entry is for a request, by its headers.
    fn takes(&self, entry: usize, asked: &Asked<'_>) -> bool {
        self.entries.get(entry).is_some_and(|entry| entry.headers.hold(asked))
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let child = match segment {
            Segment::Literal(text) => match node.literals.get(&**text) {
                Some(child) => *child,
                None => {
                    let text: Arc<str> = Arc::from(&**text);
                    let letters = Letters::of(&text);
                    node.in_order.push(Literal { text: Arc::clone(&text), letters, child: new });
                    node.literals.insert(text, new);
                    new
                }
            },
            Segment::One => *node.one.get_or_insert(new),
            Segment::Rest => *node.rest.get_or_insert(new),
        };
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }
}

/// A path without the slash at its end; `None` where it has none, or is nothing else.
fn without_slash(path: &str) -> Option<&str> {
    path.strip_suffix('/').filter(|stripped| !stripped.is_empty() && !stripped.ends_with('/'))
}

/// The first segment whose escapes are cut short or decode to no UTF-8.
fn bad_escape(path: &str) -> Option<&str> {
    memchr::memchr(b'%', path.as_bytes())?;
    path.split('/').find(|segment| decode_segment(segment).is_err())
}

#[cfg(test)]
mod tests;
