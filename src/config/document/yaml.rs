//! YAML (1.2, core schema) into the tree, from saphyr's events with positions. One document; anchors and aliases are
//! understood and bounded, so that a few lines cannot stand for millions of values.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Entry, MAX_DEPTH, Node, Origin, Read, Unreadable, Value};

/// The most values of a file, those that aliases stand for included.
const MAX_NODES: usize = 100_000;

pub(super) fn read(text: &str) -> Read {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        offsets: Offsets::of(text),
        anchors: HashMap::new(),
        nodes: 0,
        told: Vec::new(),
    };
    match document(&mut reader) {
        Ok(root) => Read { root: Some(root), wrong: reader.told },
        Err(one) => {
            reader.told.push(one);
            Read { root: None, wrong: reader.told }
        }
    }
}

/// The one document of a file.
fn document(reader: &mut Reader<'_>) -> Result<Node, Unreadable> {
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(_) if root.is_some() => {
                // The first is looked at all the same.
                let second = reader.wrong(span, "a config is one document; here a second one begins");
                reader.told.push(second);
                break;
            }
            Event::DocumentStart(_) => {
                let (event, span) = reader.next()?;
                root = Some(reader.node(event, span, 0)?);
            }
            _ => return Err(reader.wrong(span, "a document should begin here")),
        }
    }
    // A file of comments alone has no document, or an empty one.
    Ok(root.filter(|root| root.value != Value::Null).unwrap_or_else(Node::empty))
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    offsets: Offsets,
    anchors: HashMap<usize, Anchor>,
    nodes: usize,
    /// What is wrong with one value alone.
    told: Vec<Unreadable>,
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
    fn next(&mut self) -> Result<(Event<'t>, Span), Unreadable> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = self.offsets.byte(error.marker().index());
                Err(Unreadable { at: at..at, why: error.info().to_owned() })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn wrong(&self, span: Span, why: &str) -> Unreadable {
        Unreadable { at: self.offsets.bytes(span), why: why.to_owned() }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Unreadable> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(self.wrong(span, &format!("it is deeper than {MAX_DEPTH} levels")));
        }
        let before = self.nodes;
        let (anchor, value, whole) = match event {
            Event::Alias(anchor) => {
                let Some(Anchor { node, size, height }) = self.anchors.get(&anchor) else {
                    return Err(self.wrong(span, "the anchor of this alias is not complete"));
                };
                self.nodes = self.nodes.saturating_add(*size);
                if self.nodes > MAX_NODES || depth + height > MAX_DEPTH {
                    return Err(self.wrong(
                        span,
                        &format!(
                            "with its aliases it has more than {MAX_NODES} values or {MAX_DEPTH} levels"
                        ),
                    ));
                }
                return Ok(Node {
                    value: node.value.clone(),
                    origin: Origin::File(self.offsets.bytes(span)),
                });
            }
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
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break span;
                    }
                    nodes.push(self.node(event, span, depth + 1)?);
                };
                (anchor, Value::List(nodes), self.offsets.between(span, end))
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", span);
                let (entries, end) = self.entries(depth)?;
                (anchor, Value::Table(entries), self.offsets.between(span, end))
            }
            _ => return Err(self.wrong(span, "a value should stand here")),
        };
        if self.nodes > MAX_NODES {
            return Err(self.wrong(span, &format!("it has more than {MAX_NODES} values")));
        }
        let node = Node { value, origin: Origin::File(whole) };
        if anchor != 0 {
            let height = height(&node);
            self.anchors.insert(anchor, Anchor { node: node.clone(), size: self.nodes - before + 1, height });
        }
        Ok(node)
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<Entry>, Span), Unreadable> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut keys = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            let (key, anchor) = match event {
                Event::MappingEnd => return Ok((entries, span)),
                Event::Scalar(text, _, anchor, _) => (text.into_owned(), anchor),
                other => {
                    let wrong = self.wrong(span, "a key is a text");
                    self.told.push(wrong);
                    self.node(other, span, depth + 1)?;
                    let (event, span) = self.next()?;
                    self.node(event, span, depth + 1)?;
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
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if twice {
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

    fn between(&self, start: Span, end: Span) -> Range<usize> {
        self.byte(start.start.index())..self.byte(end.end.index())
    }
}
