//! What a route is called in numbers: found once, when it is called first, and kept where the route is.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::calls::Series;

/// The place in a route for what its calls are counted by.
#[derive(Clone, Default)]
pub struct Label(OnceLock<Arc<Series>>);

impl Label {
    /// What its calls are counted by.
    pub(super) fn series(&self, find: impl FnOnce() -> Arc<Series>) -> &Series {
        self.0.get_or_init(find)
    }
}

/// Two routes that differ in nothing else are the same.
impl PartialEq for Label {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Label {}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label")
    }
}
