//! The lines of a server's callers: each has its own, which nobody else comes by. There are so many at most; one that nobody
//! uses goes when another is wanted, or when its time is over.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use super::line::Line;

/// Whose a line is, and what its client can do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) whose: Box<str>,
    pub(super) capabilities: Box<str>,
}

impl Key {
    /// That of the gateway itself.
    pub(super) fn own() -> Self {
        Self { whose: "".into(), capabilities: "{}".into() }
    }
}

/// A place for a line, which its first user opens.
pub(super) type Cell = Arc<OnceCell<Arc<Line>>>;

#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<Key, (Cell, Instant)>>);

impl Sessions {
    /// The place of a caller's line; `None` where there are `most` others and all are used.
    pub(super) fn place(&self, key: &Key, most: usize) -> Option<Cell> {
        let mut all = self.lock();
        let now = Instant::now();
        // One that is over is opened anew.
        if all.get(key).is_some_and(|(cell, _)| cell.get().is_some_and(|line| line.is_over())) {
            all.remove(key);
        }
        if let Some((cell, used)) = all.get_mut(key) {
            *used = now;
            return Some(Arc::clone(cell));
        }
        if all.len() >= most {
            let idle = all.iter().filter(|(_, (cell, _))| is_idle(cell));
            let oldest = idle.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())?;
            if let Some((cell, _)) = all.remove(&oldest) {
                close(&cell);
            }
        }
        let cell = Cell::default();
        all.insert(key.clone(), (Arc::clone(&cell), now));
        Some(cell)
    }

    /// Takes a line away that is of no use any more.
    pub(super) fn forget(&self, key: &Key, line: &Arc<Line>) {
        let mut all = self.lock();
        let same = |cell: &Cell| cell.get().is_none_or(|there| Arc::ptr_eq(there, line));
        if all.get(key).is_some_and(|(cell, _)| same(cell)) {
            all.remove(key);
        }
    }

    /// Takes a line away, whosever it is.
    pub(super) fn forget_line(&self, line: &Arc<Line>) {
        self.lock().retain(|_, (cell, _)| !cell.get().is_some_and(|there| Arc::ptr_eq(there, line)));
    }

    /// Takes all away.
    pub(super) fn take(&self) -> Vec<Arc<Line>> {
        self.lock().drain().filter_map(|(_, (cell, _))| cell.get().cloned()).collect()
    }

    /// Closes those that were not used for so long, but for the gateway's own.
    pub(super) fn reap(&self, idle: Duration) {
        let own = Key::own();
        self.lock().retain(|key, (cell, used)| {
            let stays = *key == own || used.elapsed() < idle || !is_idle(cell);
            if !stays {
                close(cell);
            }
            stays
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (Cell, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody talks over it.
fn is_idle(cell: &Cell) -> bool {
    Arc::strong_count(cell) == 1 && cell.get().is_none_or(|line| Arc::strong_count(line) == 1)
}

/// Tells the server that a session is over, in the background; a process ends with its line.
fn close(cell: &Cell) {
    if let (Some(line), Ok(runtime)) = (cell.get().cloned(), tokio::runtime::Handle::try_current()) {
        runtime.spawn(async move { line.end().await });
    }
}
