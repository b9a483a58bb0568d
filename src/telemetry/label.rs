//! What a route is called in numbers: found once, when it is called first, and kept where the route is.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;

use super::calls::Series;

/// The place in a route for what its calls are counted by.
#[derive(Default)]
pub struct Label(ArcSwapOption<Series>);

impl Label {
    /// Hands what its calls are counted by to `use_it`; found again where its place was given to another route.
    pub(super) fn with(&self, find: impl FnOnce() -> Arc<Series>, use_it: impl FnOnce(&Series)) {
        let known = self.0.load();
        match &*known {
            Some(series) if !series.is_gone() => use_it(series),
            _ => {
                let found = find();
                self.0.store(Some(Arc::clone(&found)));
                use_it(&found);
            }
        }
    }
}

impl Clone for Label {
    fn clone(&self) -> Self {
        Self(ArcSwapOption::new(self.0.load_full()))
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
