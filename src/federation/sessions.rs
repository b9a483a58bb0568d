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
    /// Who asks, whatever sessions with the gateway they have.
    fn caller(&self) -> &str {
        self.whose.rsplit_once('\0').map_or(&self.whose, |(caller, _)| caller)
    }

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
    /// The place of a caller's line. One caller has half of all at most, for what it opens lines by is its own to say.
    ///
    /// # Errors
    /// All that there may be, `most` or the half of it, are used: how many these are.
    pub(super) fn place(&self, key: &Key, most: usize) -> Result<Cell, usize> {
        let mut all = self.lock();
        let now = Instant::now();
        // One that is over is opened anew.
        if all.get(key).is_some_and(|(cell, _)| cell.get().is_some_and(|line| line.is_over())) {
            all.remove(key);
        }
        if let Some((cell, used)) = all.get_mut(key) {
            *used = now;
            return Ok(Arc::clone(cell));
        }
        let share = (most / 2).max(1);
        let own = all.keys().filter(|other| other.caller() == key.caller()).count();
        if own >= share {
            Self::make_room(&mut all, |other| other.caller() == key.caller()).ok_or(share)?;
        } else if all.len() >= most {
            Self::make_room(&mut all, |_| true).ok_or(most)?;
        }
        let cell = Cell::default();
        all.insert(key.clone(), (Arc::clone(&cell), now));
        Ok(cell)
    }

    /// Closes the line among these that has been idle for longest; `None` where all are used.
    fn make_room(all: &mut HashMap<Key, (Cell, Instant)>, among: impl Fn(&Key) -> bool) -> Option<()> {
        let idle = all.iter().filter(|(key, (cell, _))| among(key) && is_idle(cell));
        let oldest = idle.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())?;
        if let Some((cell, _)) = all.remove(&oldest) {
            close(&cell);
        }
        Some(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_caller_takes_the_lines_of_all_others() {
        let (sessions, most) = (Sessions::default(), 4);
        let key = |caller: &str, session: &str, capabilities: &str| Key {
            whose: format!("user\0{caller}\0{session}").into(),
            capabilities: capabilities.into(),
        };
        // What is held is used.
        let one = sessions.place(&key("a", "1", "{}"), most).unwrap();
        let two = sessions.place(&key("a", "2", "{}"), most).unwrap();
        for (session, capabilities) in [("3", "{}"), ("1", "{\"x\":{}}")] {
            assert_eq!(sessions.place(&key("a", session, capabilities), most).err(), Some(2));
        }
        assert!(Arc::ptr_eq(&one, &sessions.place(&key("a", "1", "{}"), most).unwrap()));
        let others = [key("b", "", "{}"), key("c", "", "{}")].map(|key| sessions.place(&key, most).unwrap());
        assert_eq!(sessions.place(&key("d", "", "{}"), most).err(), Some(4));
        // What is idle makes room: its own first.
        drop((two, others));
        sessions.place(&key("a", "3", "{}"), most).unwrap();
        assert_eq!(sessions.lock().len(), 4);
        sessions.place(&key("d", "", "{}"), most).unwrap();
        assert_eq!(sessions.lock().len(), 4);
    }
}
