//! Which worker the current thread is. Each worker is one runtime on one thread with connections of its own to every
//! upstream, so that a call never wakes another core; a worker's thread says its number once, before its first call.

use std::cell::Cell;

thread_local! {
    static INDEX: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Names the current thread as worker `index`, counted from 0.
pub fn set(index: usize) {
    INDEX.set(Some(index));
}

/// The current thread's worker; `None` on a thread that is no worker, which shares one more set of connections.
#[must_use]
pub fn index() -> Option<usize> {
    INDEX.get()
}
