//! What outlives every snapshot: which tools there are now, for those who listen for changes, how many of them there are, and
//! the sessions of the older versions.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{asks::Asks, cancel::Calls, feeds::Feeds, session::Sessions, shelf::Shelf, toolbox::Toolbox};
use crate::{federation::Kind, store::Cache};

/// Told to who listens.
pub struct Board {
    told: watch::Sender<Told>,
    shown: Mutex<Option<(Arc<Toolbox>, Arc<Shelf>)>>,
    /// How many listen, by who they are.
    listening: Mutex<HashMap<String, usize>>,
    pub(super) sessions: Sessions,
    /// Those of sessions.
    pub(super) calls: Arc<Calls>,
    /// What clients were asked for.
    pub(super) asks: Arc<Asks>,
    pub(super) feeds: Feeds,
}

/// The most streams that tell of changes, at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listeners {
    pub all: usize,
    /// Of one caller.
    pub each: usize,
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
            listening: Mutex::default(),
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

    /// Begins to listen, beside so many others and others of the same caller's; `None` where there are so many.
    pub(super) fn listen(self: &Arc<Self>, caller: &str, most: Listeners) -> Option<Listening> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let own = listening.get(caller).copied().unwrap_or(0);
        if own >= most.each || listening.values().sum::<usize>() >= most.all {
            return None;
        }
        listening.insert(caller.to_owned(), own + 1);
        Some(Listening { told: self.told.subscribe(), board: Arc::clone(self), caller: caller.to_owned() })
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
    pub(super) board: Arc<Board>,
    caller: String,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listening = self.board.listening.lock().unwrap_or_else(PoisonError::into_inner);
        match listening.get_mut(&self.caller) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(listening.remove(&self.caller)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryCache;

    #[test]
    fn so_many_listen_and_no_more() {
        let board = Arc::new(Board::new(Arc::<MemoryCache>::default()));
        let most = Listeners { all: 3, each: 2 };
        let listen = |caller| board.listen(caller, most);
        let (one, two) = (listen("a").unwrap(), listen("a").unwrap());
        assert!(listen("a").is_none());
        let other = listen("b").unwrap();
        assert!(listen("c").is_none());
        drop(one);
        assert!(listen("a").is_some_and(|_| listen("b").is_none()));
        drop(other);
        board.drain();
        assert!(two.told.borrow().ends);
    }
}
