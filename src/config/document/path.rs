//! Paths of keys: `upstreams[0].metadata."x.y"`. Keys are separated by dots, places of a list stand in brackets from 0 on,
//! and a key that is more than letters, digits, `_` and `-` stands in quotes. An entry of a list may stand by its name too.

use std::collections::HashMap;

use super::{Entry, Node, Origin, Value};

/// One step into a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum Step {
    Key(String),
    Index(usize),
}

/// Reads a path; what is not one yields the steps before it goes wrong.
pub(in crate::config) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let Some((index, behind)) = inside.split_once(']') else { break };
            let Ok(index) = index.parse() else { break };
            steps.push(Step::Index(index));
            rest = behind;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let Some((key, behind)) = quoted.split_once('"') else { break };
            steps.push(Step::Key(key.to_owned()));
            rest = behind;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, behind) = rest.split_at(end);
            steps.push(Step::Key(key.to_owned()));
            rest = behind;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    steps
}

/// The path of a key under another.
pub(in crate::config) fn child(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let quote = if !key.is_empty() && key.chars().all(plain) { "" } else { "\"" };
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{quote}{key}{quote}")
}

/// The path for a program: the keys as texts, the places of lists as numbers.
pub(in crate::config) fn plain(path: &str) -> serde_json::Value {
    let steps = steps(path).into_iter().map(|step| match step {
        Step::Key(key) => serde_json::Value::from(key),
        Step::Index(index) => index.into(),
    });
    steps.collect()
}

/// Shows where each value of a tree came from.
pub(in crate::config) fn origins<'t>(node: &'t Node, show: &mut impl FnMut(&'t Origin)) {
    show(&node.origin);
    match &node.value {
        Value::List(nodes) => nodes.iter().for_each(|node| origins(node, show)),
        Value::Table(entries) => entries.iter().for_each(|entry| origins(&entry.node, show)),
        _ => {}
    }
}

/// The path as a person would say it: an entry of a list by its name, where it has one.
pub(in crate::config) fn spoken(root: &Node, path: &str) -> String {
    let mut said = String::new();
    let mut node = Some(root);
    let steps = steps(path);
    // Behind the last entry of a list nothing has a name.
    let last = steps.iter().rposition(|step| matches!(step, Step::Index(_)));
    for (depth, step) in steps.into_iter().enumerate() {
        if last.is_some_and(|last| depth <= last) {
            node = node.and_then(|node| node.step(&step)).map(|(_, node)| node);
        }
        match step {
            Step::Key(key) => said = child(&said, &key),
            Step::Index(index) => {
                match node.and_then(|node| node.text("name")).filter(|name| !name.is_empty()) {
                    Some(name) => said = child(&said, name),
                    None => said.push_str(&format!("[{index}]")),
                }
            }
        }
    }
    said
}

/// Finds many places of one tree. The keys of long tables are looked up in a table of hashes.
pub(in crate::config) struct Finder<'t> {
    root: &'t Node,
    tables: HashMap<*const Node, HashMap<&'t str, &'t Entry>>,
}

/// Tables with no more entries are looked through.
const SHORT: usize = 32;

impl<'t> Finder<'t> {
    pub(in crate::config) fn of(root: &'t Node) -> Self {
        Self { root, tables: HashMap::new() }
    }

    /// Where a path's value was written, or its key; where there is no such value, the nearest around it that there is.
    /// `None` for the whole file.
    pub(in crate::config) fn find(&mut self, path: &str, key: bool) -> Option<&'t Origin> {
        let mut node = self.root;
        let mut found = None;
        let steps = steps(path);
        for (depth, step) in steps.iter().enumerate() {
            let Some((entry, next)) = self.step(node, step) else { break };
            let whole = depth + 1 == steps.len();
            // Around a value that is missing, a table's key is the better place: its value may be many lines.
            let by_key = if whole { key } else { matches!(next.value, Value::Table(_) | Value::List(_)) };
            found = Some(match entry {
                Some(entry) if by_key => &entry.origin,
                _ => &next.origin,
            });
            node = next;
        }
        found
    }

    fn step(&mut self, node: &'t Node, step: &Step) -> Option<(Option<&'t Entry>, &'t Node)> {
        match (step, &node.value) {
            (Step::Key(key), Value::Table(entries)) if entries.len() > SHORT => {
                let table = self
                    .tables
                    .entry(std::ptr::from_ref(node))
                    .or_insert_with(|| entries.iter().map(|entry| (entry.key.as_str(), entry)).collect());
                table.get(key.as_str()).map(|entry| (Some(*entry), &entry.node))
            }
            _ => node.step(step),
        }
    }
}

impl Node {
    /// One step down: the key's entry, if it was a key, and the value.
    fn step(&self, step: &Step) -> Option<(Option<&Entry>, &Node)> {
        match (step, &self.value) {
            (Step::Key(key), Value::Table(_)) => self.entry(key).map(|entry| (Some(entry), &entry.node)),
            (Step::Index(index), Value::List(nodes)) => nodes.get(*index).map(|node| (None, node)),
            // An entry of a list may be told by its name.
            (Step::Key(name), Value::List(nodes)) => {
                nodes.iter().find(|node| node.text("name") == Some(name)).map(|node| (None, node))
            }
            _ => None,
        }
    }

    /// Where a path's value was written, or its key; see [`Finder::find`].
    pub(in crate::config) fn find(&self, path: &str, key: bool) -> Option<&Origin> {
        Finder::of(self).find(path, key)
    }

    /// The value at a path, if there is one.
    pub(in crate::config) fn get(&self, path: &str) -> Option<&Node> {
        steps(path).iter().try_fold(self, |node, step| node.step(step).map(|(_, node)| node))
    }

    /// Puts a value at a path; tables on the way are made where they are not there.
    pub(in crate::config) fn set(&mut self, path: &str, value: Node) {
        self.put(&steps(path), value);
    }

    fn put(&mut self, steps: &[Step], value: Node) {
        match steps {
            [] => *self = value,
            [Step::Key(key), rest @ ..] => {
                if !matches!(self.value, Value::Table(_)) {
                    *self = Node { value: Value::Table(Vec::new()), origin: value.origin.clone() };
                }
                let Value::Table(entries) = &mut self.value else { return };
                match entries.iter_mut().find(|entry| entry.key == *key) {
                    Some(entry) => entry.node.put(rest, value),
                    None => {
                        let origin = value.origin.clone();
                        let mut node = Node { value: Value::Null, origin: origin.clone() };
                        node.put(rest, value);
                        entries.push(Entry { key: key.clone(), origin, node });
                    }
                }
            }
            [Step::Index(index), rest @ ..] => {
                if let Value::List(nodes) = &mut self.value
                    && let Some(node) = nodes.get_mut(*index)
                {
                    node.put(rest, value);
                }
            }
        }
    }
}
