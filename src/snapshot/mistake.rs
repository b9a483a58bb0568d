//! What is wrong with a config or with the descriptors that it names, found where a snapshot is built of them.

use std::fmt;

use crate::config;

/// Why a snapshot could not be built: every mistake.
#[derive(Debug)]
pub struct SnapshotError(pub(super) Vec<Mistake>);

/// One mistake of the config, or of a descriptor file that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// At the key that it belongs to, such as `routes[2].path`, `upstreams.books`, `builtin.docs`.
    pub told: config::Mistake,
    /// The sections that must be right for it to be one: what stands for nothing may stand for what is wrong there.
    pub needs: &'static [&'static str],
}

impl Mistake {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { told: config::Mistake::new(path, message), needs: &[] }
    }

    /// It is one only where these sections of the config are right.
    pub(super) fn needing(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }
}

impl SnapshotError {
    /// Every mistake, in the order of the parts of a snapshot.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.told.path, self.told.sentence())
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for SnapshotError {}
