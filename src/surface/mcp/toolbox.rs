//! All tools of one snapshot by their names, in the order in which they are listed.

use std::{collections::BTreeMap, sync::Arc};

use super::tool::Tool;

/// Tools by name.
#[derive(Debug, Default)]
pub struct Toolbox(BTreeMap<Arc<str>, Arc<Tool>>);

impl Toolbox {
    /// Adds a tool.
    ///
    /// # Errors
    /// The full name of the method that has its name already.
    pub fn add(&mut self, tool: Tool) -> Result<(), Arc<str>> {
        match self.0.get(tool.name()) {
            Some(there) => Err(Arc::clone(&there.method().full_name)),
            None => {
                self.0.insert(Arc::clone(tool.name()), Arc::new(tool));
                Ok(())
            }
        }
    }

    /// The tool of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Tool>> {
        self.0.get(name)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// Those behind a name, or all.
    pub(super) fn behind(&self, name: Option<&str>) -> impl Iterator<Item = &Arc<Tool>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = name.map_or(Unbounded, Excluded);
        self.0.range::<str, _>((from, Unbounded)).map(|(_, tool)| tool)
    }

    /// True where those who know the other need not be told that anything is new.
    pub(super) fn is_told_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.values().zip(other.0.values()).all(|(tool, other)| tool.is_told_as(other))
    }
}
