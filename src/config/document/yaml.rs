//! YAML (1.2, core schema) into the tree, from saphyr's events with positions. One document; anchors and aliases are
//! understood and bounded, so that a few lines cannot stand for millions of values.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Entry, MAX_DEPTH, Node, Origin, Read, Root, STOPPED, Unreadable, Value};

/// The most values of a file, those that aliases stand for included.
const MAX_NODES: usize = 100_000;

pub(super) fn read(text: &str) -> Read {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        offsets: Offsets::of(text),
        anchors: HashMap::new(),
        nodes: 0,
        told: Vec::new(),
        up_to: 0,
        stopped: None,
    };
    let root = document(&mut reader);
    let Reader { mut told, stopped, up_to, .. } = reader;
    let Some(from) = stopped else {
        return Read { root: Root::Whole(root.unwrap_or_else(Node::empty)), wrong: told };
    };
    if root.is_some()
        && let Some(second) = document_behind(text, from)
    {
        told.push(Unreadable { at: second, why: SECOND.to_owned() });
    }
    Read { root: root.map_or(Root::Nothing, |root| Root::UpTo(root, up_to)), wrong: told }
}

/// What is said of a second document, and why none is looked into.
const SECOND: &str = "a config is one document; here a second one begins";

/// The line behind a place that begins a document, whatever it stands in (YAML 1.2, section 9.1.2).
fn document_behind(text: &str, from: usize) -> Option<Range<usize>> {
    let begins = |rest: &str| {
        rest.strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let rest = text.get(from..)?;
    let lines = rest.match_indices('\n').map(|(at, _)| from + at + 1);
    let at = lines.into_iter().find(|at| text.get(*at..).is_some_and(begins))?;
    Some(at..at + 3)
}

/// The one document of a file; `None` where none was read, or nothing but comments.
fn document(reader: &mut Reader<'_>) -> Option<Node> {
    let mut root = None;
    loop {
        let (event, span) = reader.next();
        match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(_) if root.is_some() => {
                // The first is looked at all the same.
                let second = reader.wrong(span, SECOND);
                reader.told.push(second);
                break;
            }
            Event::DocumentStart(_) => {
                let (event, span) = reader.next();
                root = Some(reader.node(event, span, 0));
            }
            _ => reader.stop(span, "a document should begin here"),
        }
    }
    root.filter(|root| root.value != Value::Null)
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    offsets: Offsets,
    anchors: HashMap<usize, Anchor>,
    nodes: usize,
    /// What is wrong with one value alone, or ends the reading.
    told: Vec<Unreadable>,
    /// The end of what was read.
    up_to: usize,
    /// Where the reading had to stop: from there on, everything ends.
    stopped: Option<usize>,
}

/// What an alias stands for.
struct Anchor {
    node: Node,
    /// How many values it has, and how deep they are.
    size: usize,
    height: usize,
}

fn height(node: &Node) -> usize {
    let below = match &node.value {
        Value::List(nodes) => nodes.iter().map(height).max(),
        Value::Table(entries) => entries.iter().map(|entry| height(&entry.node)).max(),
        _ => None,
    };
    1 + below.unwrap_or_default()
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> (Event<'t>, Span) {
        if self.stopped.is_some() {
            return (Event::StreamEnd, Span::default());
        }
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.up_to = self.up_to.max(self.offsets.byte(span.end.index()));
                (event, span)
            }
            Some(Err(error)) => {
                let at = self.offsets.byte(error.marker().index());
                self.told.push(Unreadable { at: at..at, why: format!("{}{STOPPED}", error.info()) });
                self.stopped = Some(at);
                (Event::StreamEnd, Span::default())
            }
            None => (Event::StreamEnd, Span::default()),
        }
    }

    /// Reads no more: this is wrong, and what follows cannot be told from it.
    fn stop(&mut self, span: Span, why: &str) {
        if self.stopped.is_none() {
            let at = self.offsets.bytes(span);
            self.stopped = Some(at.start);
            self.told.push(Unreadable { at, why: format!("{why}{STOPPED}") });
        }
    }

    /// A value that has been told, or was cut off.
    fn no_value(&self, span: Span) -> Node {
        Node { value: Value::Wrong, origin: Origin::File(self.offsets.bytes(span)) }
    }

    fn wrong(&self, span: Span, why: &str) -> Unreadable {
        Unreadable { at: self.offsets.bytes(span), why: why.to_owned() }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Node {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            self.stop(span, &format!("it is deeper than {MAX_DEPTH} levels"));
            return self.no_value(span);
        }
        let before = self.nodes;
        let (anchor, value, whole) = match event {
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), span).unwrap_or_else(|one| {
                    self.told.push(one);
                    Value::Wrong
                });
                (anchor, value, self.offsets.bytes(span))
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", span);
                let mut nodes = Vec::new();
                let end = loop {
                    let (event, span) = self.next();
                    if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                        break span;
                    }
                    nodes.push(self.node(event, span, depth + 1));
                };
                (anchor, Value::List(nodes), self.between(span, end))
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", span);
                let (entries, end) = self.entries(depth);
                (anchor, Value::Table(entries), self.between(span, end))
            }
            // It was cut off.
            Event::StreamEnd => return self.no_value(span),
            _ => {
                self.stop(span, "a value should stand here");
                return self.no_value(span);
            }
        };
        if self.nodes > MAX_NODES {
            self.stop(span, &format!("it has more than {MAX_NODES} values"));
        }
        let node = Node { value, origin: Origin::File(whole) };
        if anchor != 0 {
            let height = height(&node);
            self.anchors.insert(anchor, Anchor { node: node.clone(), size: self.nodes - before + 1, height });
        }
        node
    }

    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Node {
        let Some(Anchor { node, size, height }) = self.anchors.get(&anchor) else {
            self.stop(span, "the anchor of this alias is not complete");
            return self.no_value(span);
        };
        let value = &node.value;
        self.nodes = self.nodes.saturating_add(*size);
        if self.nodes > MAX_NODES || depth + height > MAX_DEPTH {
            let why = format!("with its aliases it has more than {MAX_NODES} values or {MAX_DEPTH} levels");
            self.stop(span, &why);
            return self.no_value(span);
        }
        Node { value: value.clone(), origin: Origin::File(self.offsets.bytes(span)) }
    }

    /// The bytes of a collection; one that was cut off ends where the reading did.
    fn between(&self, start: Span, end: Span) -> Range<usize> {
        let start = self.offsets.byte(start.start.index());
        let end = if self.stopped.is_some() { self.up_to } else { self.offsets.byte(end.end.index()) };
        start..end.max(start)
    }

    fn entries(&mut self, depth: usize) -> (Vec<Entry>, Span) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = HashSet::new();
        loop {
            let (event, span) = self.next();
            let (key, anchor) = match event {
                Event::MappingEnd | Event::StreamEnd => return (entries, span),
                Event::Scalar(text, _, anchor, _) => (text.into_owned(), anchor),
                other => {
                    let wrong = self.wrong(span, "a key is a text");
                    self.told.push(wrong);
                    self.node(other, span, depth + 1);
                    let (event, span) = self.next();
                    self.node(event, span, depth + 1);
                    continue;
                }
            };
            let origin = Origin::File(self.offsets.bytes(span));
            if anchor != 0 {
                let node = Node { value: Value::Text(key.clone()), origin: origin.clone() };
                self.anchors.insert(anchor, Anchor { node, size: 1, height: 1 });
            }
            let twice = !keys.insert(key.clone());
            if twice {
                let wrong = self.wrong(span, &format!("the key {key:?} is there twice"));
                self.told.push(wrong);
            }
            let (event, span) = self.next();
            // A key without a value may be the beginning of something else.
            let cut = matches!(event, Event::StreamEnd);
            let node = self.node(event, span, depth + 1);
            if twice || cut {
                continue;
            }
            entries.push(Entry { key, origin, node });
        }
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, own: &str, span: Span) {
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == own)) {
            let why = format!("the tag {}{} means nothing here", tag.handle, tag.suffix);
            let wrong = self.wrong(span, &why);
            self.told.push(wrong);
        }
    }

    /// The core schema: a plain scalar is what it looks like, a quoted one is a text, and a tag decides over both.
    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Value, Unreadable> {
        let Some(tag) = tag else {
            return Ok(match style {
                ScalarStyle::Plain => plain(text),
                _ => Value::Text(text.to_owned()),
            });
        };
        let read = match (tag.is_yaml_core_schema(), tag.suffix.as_str(), plain(text)) {
            (true, "str", _) => Some(Value::Text(text.to_owned())),
            (true, "int", value @ Value::Integer(_))
            | (true, "float", value @ Value::Float(_))
            | (true, "bool", value @ Value::Bool(_))
            | (true, "null", value @ Value::Null) => Some(value),
            (true, "float", Value::Integer(value)) => {
                text.parse().ok().map(Value::Float).or(Some(Value::Integer(value)))
            }
            _ => None,
        };
        read.ok_or_else(|| {
            self.wrong(span, &format!("the tag {}{} does not fit {text:?}", tag.handle, tag.suffix))
        })
    }
}

fn plain(text: &str) -> Value {
    let digits = |text: &str, radix| i64::from_str_radix(text, radix).ok();
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let integer = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(hex), _) if !hex.starts_with(['-', '+']) => digits(hex, 16),
        (_, Some(octal)) if !octal.starts_with(['-', '+']) => digits(octal, 8),
        _ if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) => digits(text, 10),
        _ => None,
    };
    if let Some(integer) = integer {
        return Value::Integer(integer);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Value::Beyond(text.to_owned());
    }
    let looks_like_one = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && unsigned.bytes().any(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(float) if looks_like_one => Value::Float(float),
        _ => Value::Text(text.to_owned()),
    }
}

/// Bytes by characters: saphyr counts characters.
struct Offsets(Vec<usize>);

impl Offsets {
    fn of(text: &str) -> Self {
        Self(text.char_indices().map(|(at, _)| at).chain([text.len()]).collect())
    }

    fn byte(&self, index: usize) -> usize {
        self.0.get(index).or(self.0.last()).copied().unwrap_or_default()
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }
}
