//! Finds the binding of an HTTP method and a raw path: a trie of path segments whose cost does not grow with the number
//! of templates. A literal beats `*`, `*` beats `**`, whatever the order of insertion; a registered verb `:x` beats the
//! same text as part of the last segment.

mod alike;
mod candidates;
mod captures;
mod miss;
mod near;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

pub use miss::{Conflict, Miss};

use self::alike::Letters;
pub use self::near::{Near, Piece};
use crate::schema::{BadEscape, Segment, Template, Verb, decode_segment};

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
    /// HTTP methods and entries; `*` is last.
    methods: Vec<(Verb, usize)>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    label: String,
    template: Template,
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
        if let Some(first) =
            end.methods.iter().find(|(known, _)| known == verb).and_then(|(_, at)| self.entries.get(*at))
        {
            return Err(Conflict {
                verb: verb.clone(),
                first: (first.label.clone(), first.template.to_string()),
                second: (label, template.to_string()),
            });
        }
        end.methods.push((verb.clone(), entry));
        end.methods.sort();
        self.entries.push(Entry { value, label, template: template.clone() });
        Ok(())
    }

    /// Finds the value for an HTTP method and a raw path, without its query. A `HEAD` without a binding of its own is
    /// served by the `GET`. A match without variables allocates nothing.
    pub fn find<'r, 'p>(
        &'r self,
        method: &http::Method,
        raw_path: &'p str,
    ) -> Result<Found<'r, 'p, T>, Miss> {
        if let Some(segment) = bad_escape(raw_path) {
            return Err(Miss::BadEscape { segment: segment.to_owned() });
        }
        if let Some(found) = self.look_up(method, raw_path) {
            return Ok(found);
        }
        let stripped =
            raw_path.strip_suffix('/').filter(|stripped| !stripped.is_empty() && !stripped.ends_with('/'));
        if let Some(stripped) = stripped.filter(|_| self.settings.trailing_slash != TrailingSlash::Strict)
            && let Some(found) = self.look_up(method, stripped)
        {
            return match self.settings.trailing_slash {
                TrailingSlash::Redirect => Err(Miss::Redirect(stripped.to_owned())),
                TrailingSlash::Strict | TrailingSlash::Ignore => Ok(found),
            };
        }
        let allow = self.allow(raw_path);
        if !allow.is_empty() {
            return Err(Miss::WrongVerb { allow });
        }
        Err(Miss::NotFound)
    }

    /// The value for an HTTP method and a raw path, as [`Router::find`] finds it (or where it redirects to), and nothing more.
    pub fn get(&self, method: &http::Method, raw_path: &str) -> Option<&T> {
        let stripped = || {
            let stripped = raw_path.strip_suffix('/').filter(|stripped| !stripped.ends_with('/'))?;
            (self.settings.trailing_slash != TrailingSlash::Strict && !stripped.is_empty())
                .then_some(stripped)
        };
        let (entry, _) = self.entry(method, raw_path).or_else(|| self.entry(method, stripped()?))?;
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
        let mut allow: Vec<String> = Vec::new();
        // Of a path with a verb that templates have, the verb's own methods are told. As a part of a name it may have others
        // too, which nobody who writes the verb means.
        let mut with_verb = false;
        let mut collect = |end: &End| {
            with_verb |= end.suffix.is_some();
            if with_verb && end.suffix.is_none() {
                return None;
            }
            for (verb, _) in &end.methods {
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

    fn look_up<'r, 'p>(&'r self, method: &http::Method, path: &'p str) -> Option<Found<'r, 'p, T>> {
        let (entry, suffix) = self.entry(method, path)?;
        let entry = self.entries.get(entry)?;
        let decode_slashes = self.settings.fully_decode_reserved_expansion;
        let captures = captures::of(&entry.template, path, suffix, decode_slashes);
        Some(Found { value: &entry.value, captures })
    }

    /// The entry of an HTTP method and a path, and whether the path ends in a template's verb.
    fn entry(&self, method: &http::Method, path: &str) -> Option<(usize, bool)> {
        self.walk(path, &mut |end| {
            let by_name = |name: &str| {
                let exact = end.methods.iter().find(|(verb, _)| verb != &Verb::Any && verb.as_str() == name);
                exact.map(|(_, entry)| *entry)
            };
            let by_get = || if method == http::Method::HEAD { by_name("GET") } else { None };
            let any = || end.methods.iter().find(|(verb, _)| verb == &Verb::Any).map(|(_, entry)| *entry);
            by_name(method.as_str()).or_else(by_get).or_else(any).map(|entry| (entry, end.suffix.is_some()))
        })
    }

    /// Offers the ends that match `path` to `take`, in order of precedence, until it answers something.
    fn walk<R>(&self, path: &str, take: &mut impl FnMut(&End) -> Option<R>) -> Option<R> {
        let path = path.strip_prefix('/')?;
        let last = path.rfind('/').map_or(0, |slash| slash + 1);
        let colon = memchr::memrchr(b':', path.as_bytes()).filter(|colon| *colon >= last);
        if let Some(colon) = colon
            && let (Some(path), Some(verb)) = (path.get(..colon), path.get(colon + 1..))
            && let Ok(verb) = decode_segment(verb)
            && let Some(found) = self.descend(0, Some(path), &mut |node| take(end_of(node, Some(&verb))?))
        {
            return Some(found);
        }
        // The root has no segments at all, rather than one empty one.
        self.descend(0, (!path.is_empty()).then_some(path), &mut |node| take(end_of(node, None)?))
    }

    fn descend<R>(
        &self,
        at: usize,
        path: Option<&str>,
        take: &mut impl FnMut(&Node) -> Option<R>,
    ) -> Option<R> {
        let node = self.nodes.get(at)?;
        let Some(path) = path else {
            return take(node).or_else(|| take(self.nodes.get(node.rest?)?));
        };
        let (segment, rest) = match memchr::memchr(b'/', path.as_bytes()) {
            Some(slash) => (path.get(..slash)?, path.get(slash + 1..)),
            None => (path, None),
        };
        // An empty segment is no literal and matches no variable; only `**` reaches over it.
        if !segment.is_empty() {
            let literal = match decode_segment(segment) {
                Ok(literal) => node.literals.get(&*literal),
                Err(BadEscape) => None,
            };
            if let Some(found) = literal.and_then(|literal| self.descend(*literal, rest, take)) {
                return Some(found);
            }
            if let Some(found) = node.one.and_then(|one| self.descend(one, rest, take)) {
                return Some(found);
            }
        }
        self.descend_rest(node.rest?, path, take)
    }

    /// Goes on behind a `**`, which covers as little as what follows it allows: a literal behind it is the most exact,
    /// then it covers all that is left, and only then is there a variable behind it.
    fn descend_rest<R>(&self, at: usize, path: &str, take: &mut impl FnMut(&Node) -> Option<R>) -> Option<R> {
        let node = self.nodes.get(at)?;
        // A longer end than any template has cannot match: a lookup's cost does not grow with the path for each of them.
        let longer = (1 + memchr::memchr_iter(b'/', path.as_bytes()).count()).saturating_sub(node.behind);
        let literals = (!node.literals.is_empty())
            .then(|| {
                tails(path).skip(longer).find_map(|(segment, rest)| {
                    let literal = decode_segment(segment).ok().and_then(|text| node.literals.get(&*text))?;
                    self.descend(*literal, rest, take)
                })
            })
            .flatten();
        literals.or_else(|| take(node)).or_else(|| {
            let one = node.one?;
            let mut tails = tails(path).skip(longer).filter(|(segment, _)| !segment.is_empty());
            tails.find_map(|(_, rest)| self.descend(one, rest, take))
        })
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

fn end_of<'n>(node: &'n Node, suffix: Option<&str>) -> Option<&'n End> {
    node.ends.iter().find(|end| end.suffix.as_deref() == suffix)
}

/// The first segment whose escapes are cut short or decode to no UTF-8.
fn bad_escape(path: &str) -> Option<&str> {
    memchr::memchr(b'%', path.as_bytes())?;
    path.split('/').find(|segment| decode_segment(segment).is_err())
}

/// Every end of a path that begins at a segment, the whole first: its first segment, and what follows that.
fn tails(path: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'/', path.as_bytes()).map(|slash| slash + 1));
    starts.filter_map(|start| path.get(start..)).map(|tail| match tail.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (tail, None),
    })
}

#[cfg(test)]
mod tests;
