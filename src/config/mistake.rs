//! What is wrong with a config, by the path of its key. Where that key was written is the [`Source`](super::Source)'s to say.

use std::{ops::Range, sync::Arc};

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

    pub(super) fn at(self, part: Part) -> Self {
        Self { part, ..self }
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

/// Collects mistakes.
#[derive(Debug, Default)]
pub(super) struct Mistakes(pub(super) Vec<Mistake>);

impl Mistakes {
    pub(super) fn push(&mut self, mistake: Mistake) {
        self.0.push(mistake);
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
        self.0.iter().any(|one| {
            one.severity == Severity::Error
                && one
                    .path
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || path.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}
