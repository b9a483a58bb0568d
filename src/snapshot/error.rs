//! Why a snapshot could not be built.

use std::fmt;

use super::Mistake;

/// Why a snapshot could not be built: every mistake.
#[derive(Debug)]
pub struct SnapshotError(pub(super) Vec<Mistake>);

impl SnapshotError {
    /// Every mistake, in the order of the parts of a snapshot.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for SnapshotError {}
