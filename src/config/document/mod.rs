//! A config file as one tree whose keys and values know where they were written, whatever language it is in. Values from the
//! environment and the command line are put into the same tree, and know that too.

mod json;
pub(super) mod path;
mod toml;
mod yaml;

use std::{fmt, ops::Range, sync::Arc};

/// Deeper files are refused: no config needs it, and a hostile one must not overflow the stack.
const MAX_DEPTH: usize = 64;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What the three languages have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    /// A whole number beyond that, as it was written.
    Beyond(String),
    Float(f64),
    Text(String),
    /// TOML's dates and times, which no key wants.
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// What cannot be read, and has been told.
    Wrong,
}

/// A key of a table with its value; no two of a table have the same key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Bytes of the config file.
    File(Range<usize>),
    /// An environment variable.
    Variable(Arc<str>),
    /// A flag of the command line.
    Flag(Arc<str>),
    /// Nobody wrote it.
    Default,
}

/// What is wrong with a text that has no quotes, in a language where it needs them.
pub(super) const BARE: &str = "a text must stand in quotes";
/// What is wrong with `True` or `FALSE`.
pub(super) const LARGE: &str = "true and false are written in small letters";

/// What cannot be read of a file: bytes of its text, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) at: Range<usize>,
    pub(super) why: String,
}

/// A file's text, read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) root: Root,
    /// Each place that is not of the language.
    pub(super) wrong: Vec<Unreadable>,
}

/// What of a file's text is understood.
#[derive(Debug)]
pub(super) enum Root {
    Whole(Node),
    /// Reading had to stop: what stands before these bytes' end, its tables and lists being cut off.
    UpTo(Node, usize),
    /// What is wrong leaves nothing to be sure of.
    Nothing,
}

impl Root {
    /// The tree, if all of it is there.
    pub(super) fn whole(self) -> Option<Node> {
        match self {
            Self::Whole(node) => Some(node),
            Self::UpTo(..) | Self::Nothing => None,
        }
    }
}

/// Said of the place where reading had to stop.
const STOPPED: &str = "; what follows is not read";

/// The language of a config file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Toml,
    Yaml,
    Json,
}

impl Language {
    /// By the file's extension, in any case; TOML where that says nothing.
    pub(super) fn of(file: &std::path::Path) -> Self {
        let extension = file.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            _ => Self::Toml,
        }
    }

    /// Reads a file's text: as much of it as can be.
    pub(super) fn read(self, text: &str) -> Read {
        match self {
            Self::Toml => toml::read(text),
            Self::Yaml => yaml::read(text),
            Self::Json => json::read(text),
        }
    }
}

impl Node {
    /// An empty table that nobody wrote.
    pub(super) fn empty() -> Self {
        Self { value: Value::Table(Vec::new()), origin: Origin::Default }
    }

    /// The entry of a table's key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of a key that is a text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match &self.entry(key)?.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same without where it was written.
    pub(super) fn plain(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Wrong => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(text) | Value::Date(text) | Value::Beyond(text) => text.as_str().into(),
            Value::List(nodes) => nodes.iter().map(Self::plain).collect(),
            Value::Table(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.plain())).collect()
            }
        }
    }

    /// A value in the words of JSON, all of it from one place.
    pub(super) fn of(value: &serde_json::Value, origin: &Origin) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => number
                .as_i64()
                .map_or_else(|| Value::Float(number.as_f64().unwrap_or_default()), Value::Integer),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(values) => {
                Value::List(values.iter().map(|value| Self::of(value, origin)).collect())
            }
            serde_json::Value::Object(members) => {
                let entry = |(key, value): (&String, &serde_json::Value)| Entry {
                    key: key.clone(),
                    origin: origin.clone(),
                    node: Self::of(value, origin),
                };
                Value::Table(members.iter().map(entry).collect())
            }
        };
        Self { value, origin: origin.clone() }
    }
}

/// What a value is, in words: `a text`, `the number 3`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null | Self::Wrong => f.write_str("nothing"),
            Self::Beyond(text) => write!(f, "the number {text}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "the number {value}"),
            Self::Float(value) => write!(f, "the number {value}"),
            Self::Text(text) => write!(f, "the text {text:?}"),
            Self::Date(text) => write!(f, "the date {text}"),
            Self::List(_) => f.write_str("a list"),
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

#[cfg(test)]
mod tests;
