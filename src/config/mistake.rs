//! What is wrong with a config, by the path of its key. Where that key was written is the [`Source`](super::Source)'s to say.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use super::document::Origin;
use crate::schema::nearest;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key, such as `upstreams[0].grpc`; empty for the whole config.
    pub path: String,
    /// What is wrong, for the one who wrote it.
    pub message: String,
    /// What was likely meant, to be written in its place.
    pub suggestion: Option<String>,
    pub severity: Severity,
    pub(super) part: Part,
}

/// Whether it can be run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// What of a key is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Value,
    Key,
    /// This text within the value.
    Within(String),
    /// What was written there.
    Written(Origin),
    /// These bytes of the file, which has no tree.
    Bytes(Range<usize>),
    /// What this environment variable says, which is not in the tree.
    Variable(Arc<str>),
}

impl Mistake {
    /// An error in the value of a key.
    #[must_use]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            suggestion: None,
            severity: Severity::Error,
            part: Part::Value,
        }
    }

    /// It can be run on all the same.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Says what was likely meant.
    #[must_use]
    pub fn meaning(self, suggestion: Option<impl Into<String>>) -> Self {
        Self { suggestion: suggestion.map(Into::into), ..self }
    }

    /// Says more of what is wanted.
    pub(super) fn but(self, more: &str) -> Self {
        Self { message: format!("{}: {more}", self.message), ..self }
    }

    /// Says which of the known words was likely meant, if one is near.
    #[must_use]
    pub fn near<'a>(self, wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.meaning(nearest(wanted, known))
    }

    /// The key itself is wrong, not its value.
    #[must_use]
    pub fn of_key(self) -> Self {
        self.at(Part::Key)
    }

    /// This text of the value is wrong; all of the value, where it is not written so.
    #[must_use]
    pub fn within(self, text: impl Into<String>) -> Self {
        self.at(Part::Within(text.into()))
    }

    pub(super) fn at(self, part: Part) -> Self {
        Self { part, ..self }
    }

    /// The section of the config that it is in; empty for the whole file.
    pub(super) fn section(&self) -> &str {
        self.path.split(['.', '[']).next().unwrap_or_default()
    }

    /// Whatever was meant here, it is about the same calls.
    pub(super) fn says_only_how(&self) -> bool {
        let how: &[&str] = match self.section() {
            "upstreams" => &UPSTREAM_HOW,
            "routes" => &ROUTE_HOW,
            "builtin" | "http_rules" => &[],
            _ => return true,
        };
        let key = self.path.split_once('.').map_or("", |(_, behind)| behind);
        how.contains(&key.split(['.', '[']).next().unwrap_or_default())
    }

    /// The message with what was likely meant.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Some(suggestion) = &self.suggestion else { return self.message.clone() };
        // A word is quoted; a value is shown as it is to be written.
        let written = suggestion.starts_with(['"', '[', '{'])
            || suggestion.parse::<f64>().is_ok()
            || suggestion.parse::<bool>().is_ok();
        let quote = if written { "" } else { "\"" };
        format!("{} (did you mean {quote}{suggestion}{quote}?)", self.message)
    }
}

/// Keys of an upstream that do not decide which calls come to it.
pub(super) const UPSTREAM_HOW: [&str; 26] = [
    "authority",
    "balance",
    "breaker",
    "ca",
    "client_certificate",
    "client_key",
    "connect_timeout",
    "ejection",
    "first_byte_timeout",
    "forward_credentials",
    "handshake_timeout",
    "hash_by",
    "health",
    "http2",
    "idle_timeout",
    "json",
    "keepalive_interval",
    "keepalive_timeout",
    "limits",
    "metadata",
    "reflection_interval",
    "resolve_interval",
    "retry",
    "server_name",
    "timeout",
    "tunnel_idle_timeout",
];

/// Keys of a route that do not decide which calls come to it.
pub(super) const ROUTE_HOW: [&str; 16] = [
    "access",
    "add_prefix",
    "cors",
    "escaped_slashes",
    "keep_host",
    "name",
    "redirect",
    "replace_prefix",
    "request_bytes",
    "request_headers",
    "respond",
    "response_bytes",
    "response_headers",
    "retry",
    "strip_segments",
    "timeout",
];

/// Collects mistakes.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    all: Vec<Mistake>,
    /// By the paths of errors, and all paths around these: the keys right below that have one; empty for the path itself.
    wrong: HashMap<String, BTreeSet<String>>,
}

impl Mistakes {
    pub(super) fn push(&mut self, mistake: Mistake) {
        if mistake.severity == Severity::Error {
            let path = mistake.path.as_str();
            let mut ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]).peekable();
            while let Some(end) = ends.next() {
                let next = ends.peek().copied().unwrap_or(end);
                let (around, key) =
                    (path.get(..end).unwrap_or_default(), path.get(end..next).unwrap_or_default());
                let key = key.trim_start_matches('.');
                if !self.wrong.get(around).is_some_and(|keys| keys.contains(key)) {
                    self.wrong.entry(around.to_owned()).or_default().insert(key.to_owned());
                }
            }
        }
        self.all.push(mistake);
    }

    pub(super) fn into_all(self) -> Vec<Mistake> {
        self.all
    }

    /// An error in the value of a key.
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.push(Mistake::new(path, message));
    }

    /// The value, or nothing but the mistake.
    pub(super) fn take<T>(&mut self, path: impl Into<String>, read: Result<T, String>) -> Option<T> {
        read.map_err(|message| self.add(path, message)).ok()
    }

    /// True if a mistake that is no warning is at this path or below.
    pub(super) fn below(&self, path: &str) -> bool {
        if path.is_empty() { !self.wrong.is_empty() } else { self.wrong.contains_key(path) }
    }

    /// The keys right below a path that have an error.
    pub(super) fn keys_below(&self, path: &str) -> impl Iterator<Item = &str> {
        self.wrong.get(path).into_iter().flatten().map(String::as_str)
    }

    /// True if an error at this entry, or below it, leaves open what it is about: all its keys but these say no more than
    /// how.
    pub(super) fn leaves_open(&self, entry: &str, but: &[&str]) -> bool {
        self.wrong.get(entry).is_some_and(|keys| keys.iter().any(|key| !but.contains(&key.as_str())))
    }
}
