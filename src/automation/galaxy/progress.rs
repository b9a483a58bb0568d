//! How far the reading in the background is, for who watches.

use tokio::sync::watch;

use crate::store::Micros;

/// What is being done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is read in the background.
    #[default]
    Off,
    /// It has not begun.
    Waiting,
    /// The popular namespaces.
    Popular,
    /// Which namespaces there are.
    Listing,
    Reading,
    /// Galaxy wants to be asked later.
    Paused,
    Complete,
}

impl Phase {
    /// As messages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Popular => "popular",
            Self::Listing => "listing",
            Self::Reading => "reading",
            Self::Paused => "paused",
            Self::Complete => "complete",
        }
    }

    /// Nothing more comes.
    #[must_use]
    pub fn is_last(self) -> bool {
        matches!(self, Self::Off | Self::Complete)
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    /// How many there are, as far as is known.
    pub total: usize,
    /// How many of them are known here.
    pub done: usize,
    /// How many could not be read.
    pub failed: usize,
    pub started_at: Option<Micros>,
    pub finished_at: Option<Micros>,
}

/// Where it is told.
#[derive(Debug)]
pub(super) struct Board(watch::Sender<Progress>);

impl Default for Board {
    fn default() -> Self {
        Self(watch::Sender::new(Progress::default()))
    }
}

impl Board {
    pub(super) fn now(&self) -> Progress {
        *self.0.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Progress)) {
        self.0.send_modify(change);
    }

    pub(super) fn phase(&self, phase: Phase) {
        self.0.send_if_modified(|progress| std::mem::replace(&mut progress.phase, phase) != phase);
    }
}
