//! What outlives every snapshot: which tools there are now, for those who listen for changes, how many of them there are, and
//! the sessions of the older versions.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::watch;

use super::{asks::Asks, cancel::Calls, feeds::Feeds, session::Sessions, shelf::Shelf, toolbox::Toolbox};
use crate::{federation::Kind, store::Cache};

/// Told to who listens.
pub struct Board {
    told: watch::Sender<Told>,
    shown: Mutex<Option<(Arc<Toolbox>, Arc<Shelf>)>>,
    listening: AtomicUsize,
    pub(super) sessions: Sessions,
    /// Those of sessions.
    pub(super) calls: Arc<Calls>,
    /// What clients were asked for.
    pub(super) asks: Arc<Asks>,
    pub(super) feeds: Feeds,
}

/// What is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Another number with each change of the tools.
    pub(super) tools: u64,
    pub(super) prompts: u64,
    pub(super) resources: u64,
    /// No more will be told.
    pub(super) ends: bool,
}

impl Board {
    /// Nothing is shown yet; sessions are kept in `cache`.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>) -> Self {
        Self {
            told: watch::Sender::new(Told::default()),
            shown: Mutex::default(),
            listening: AtomicUsize::new(0),
            sessions: Sessions::new(cache),
            calls: Arc::default(),
            asks: Arc::default(),
            feeds: Feeds::default(),
        }
    }

    /// Shows what a new snapshot has: who listens is told of what differs.
    pub fn show(&self, toolbox: &Arc<Toolbox>, shelf: &Arc<Shelf>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shown.replace((Arc::clone(toolbox), Arc::clone(shelf)));
        let Some((tools, things)) = before else { return };
        let same = |kind| things.is_told_as(shelf, kind);
        let (tools, prompts) = (tools.is_told_as(toolbox), same(Kind::Prompts));
        let resources = same(Kind::Resources) && same(Kind::Templates);
        if !(tools && prompts && resources) {
            self.told.send_modify(|told| {
                told.tools += u64::from(!tools);
                told.prompts += u64::from(!prompts);
                told.resources += u64::from(!resources);
            });
        }
    }

    /// How often a session was there that was asked for.
    #[must_use]
    pub fn sessions_used(&self) -> [(&'static str, u64); 3] {
        self.sessions.used().counts()
    }

    /// Ends what listens, for good.
    pub fn drain(&self) {
        self.told.send_modify(|told| told.ends = true);
    }

    /// Begins to listen, beside at most `most` others; `None` where there are so many.
    pub(super) fn listen(self: &Arc<Self>, most: usize) -> Option<Listening> {
        if self.listening.fetch_add(1, Ordering::Relaxed) >= most {
            self.listening.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Listening { told: self.told.subscribe(), board: Arc::clone(self) })
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("told", &*self.told.borrow()).finish_non_exhaustive()
    }
}

/// Somebody who listens.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) told: watch::Receiver<Told>,
    board: Arc<Board>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.board.listening.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryCache;

    #[test]
    fn so_many_listen_and_no_more() {
        let board = Arc::new(Board::new(Arc::<MemoryCache>::default()));
        let one = board.listen(2).unwrap();
        let two = board.listen(2).unwrap();
        assert!(board.listen(2).is_none());
        drop(one);
        assert!(board.listen(2).is_some());
        board.drain();
        assert!(two.told.borrow().ends);
    }
}
